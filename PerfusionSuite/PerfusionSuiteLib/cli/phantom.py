# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite phantom``: digital patients with known truth, as DICOM or NIfTI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import phantom
from ..core import PerfusionSeries, part_of
from ..core.files import check_output_folder, staged_folder
from ..phantom.motion import KINDS as MOTIONS
from .console import ConsoleProgress


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("phantom", help="make a digital patient with known truth")
    parser.add_argument("kind", choices=("ctp", "tiles"), help="ctp: a head with a lesion; tiles: the grid of Kudo 2013")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the scan and its truth")
    parser.add_argument("--seed", type=int, required=True, help="one seed, one patient")
    parser.add_argument("--recipe", choices=("clean", "typical", "hard"), default="typical", help="difficulty (default typical)")
    parser.add_argument("--noise", metavar="HU", type=float, help="noise of a voxel (default: of the recipe)")
    parser.add_argument("--residue", help="box, exponential, gamma:K or mixed (default: drawn from the seed)")
    parser.add_argument("--motion", choices=MOTIONS, help="how the head moves (default: drawn from the seed)")
    parser.add_argument("--motion-mm", metavar="MM", type=float, help="how far the brain gets at most (default: drawn)")
    parser.add_argument("--format", choices=("dicom", "nifti"), default="dicom", help="how the scan is written (default dicom)")
    parser.add_argument("--vendor", choices=tuple(phantom.VENDORS), default="generic", help="whose manner of DICOM")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    console = ConsoleProgress(check_stop=options.check_stop)
    try:
        check_output_folder(options.output)
        if options.kind == "tiles":
            scan, truth = phantom.tiles(seed=options.seed, noise_hu=options.noise or 0.0, residue=options.residue)
        else:
            scan, truth = phantom.ctp(
                seed=options.seed,
                recipe=options.recipe,
                noise_hu=options.noise,
                residue=options.residue,
                motion=options.motion,
                motion_mm=options.motion_mm,
                progress=part_of(console, 0.0, 0.6),
            )
        with staged_folder(options.output, outdated=earlier_scan(options.output)) as staging:
            write_scan(scan, staging, options.format, options.vendor, options.seed, part_of(console, 0.6, 0.95))
            phantom.write_truth(truth, staging / "truth")
        console(1.0, "Done")
        console.message(f"Scan and truth in {options.output}")
    finally:
        console.close()
    return 0


def earlier_scan(folder: Path) -> set[Path]:
    """List the scan and truth of an earlier patient, which must not mix with those of a new one.

    Parameters
    ----------
    folder : Path
        Output folder.

    Returns
    -------
    set of Path
        Files relative to `folder`.
    """
    files = [path for part in ("dicom", "truth") for path in (folder / part).rglob("*")] + list(folder.glob("scan.*"))
    return {path.relative_to(folder) for path in files if path.is_file()}


def write_scan(scan: PerfusionSeries, folder: Path, form: str, vendor: str, seed: int, progress: Any) -> None:
    """Write a scan as DICOM files or as a NIfTI file.

    Parameters
    ----------
    scan : PerfusionSeries
        The scan.
    folder : Path
        ``dicom/`` or ``scan.nii.gz`` is made in it.
    form : {"dicom", "nifti"}
        Format.
    vendor : str
        Whose manner of DICOM.
    seed : int
        Makes the invented identifiers.
    progress : callable
        Progress.
    """
    if form == "dicom":
        phantom.write_dicom(scan, folder / "dicom", vendor=vendor, seed=seed, progress=progress)
    else:
        phantom.write_nifti(scan, folder / "scan.nii.gz")
