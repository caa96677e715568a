# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite phantom``: digital patients with known truth, as DICOM or NIfTI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import phantom
from ..core import InvalidInputError, PerfusionSeries, ProgressCallback, part_of
from ..core.files import check_output_folder, staged_folder
from ..core.nifti import write_volume
from ..phantom.dsc import SITES
from ..phantom.motion import KINDS as MOTIONS
from . import phantom_asl, phantom_vessels
from .console import ConsoleProgress


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("phantom", help="make a digital patient with known truth")
    parser.add_argument(
        "kind",
        choices=("ctp", "dsc", "asl", "tiles", "brain", "colormaps", "asl-cubes", "asl-brain"),
        help="ctp, dsc, asl: a head with a lesion in CT or MR; tiles: the grid of Kudo 2013; brain: an analytic brain with a "
        "stroke, without vessels, motion or artifacts; colormaps: DICOM pictures of true maps with a burnt-in color bar; "
        "asl-cubes, asl-brain: simulated vasculature with known perfusion, cubes to train QTMnet on or a brain",
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the scan and its truth")
    parser.add_argument("--seed", type=int, required=True, help="one seed, one patient")
    parser.add_argument("--recipe", choices=("clean", "typical", "hard"), default="typical", help="difficulty (default typical)")
    parser.add_argument("--noise", metavar="HU", type=float, help="noise of a CT voxel (default: of the recipe)")
    parser.add_argument(
        "--snr", metavar="RATIO", type=float, help="dsc, asl: signal over noise, inf for none (default: of the recipe)"
    )
    parser.add_argument("--site", choices=SITES, help="where the lesion lies; tumor for dsc only (default: drawn from the seed)")
    parser.add_argument("--field", metavar="TESLA", type=float, help="dsc, asl: 1.5 or 3 (default: drawn from the seed; asl 3)")
    parser.add_argument("--dual-echo", action="store_true", help="dsc: also write a second echo")
    parser.add_argument("--crop", action="store_true", help="brain: only 64 x 64 x 8 voxels around the lesion")
    parser.add_argument("--residue", help="box, exponential, gamma:K or mixed (default: drawn from the seed)")
    parser.add_argument("--motion", choices=MOTIONS, help="how the head moves (default: drawn from the seed)")
    parser.add_argument("--motion-mm", metavar="MM", type=float, help="how far the brain gets at most (default: drawn)")
    parser.add_argument("--healthy", action="store_true", help="colormaps: a brain with a Tmax of 2 s everywhere")
    parser.add_argument("--no-bar", action="store_true", help="colormaps: pictures without the color bar")
    parser.add_argument(
        "--format", choices=("dicom", "nifti", "bids"), help="how the scan is written (default dicom; asl: bids, which is NIfTI)"
    )
    parser.add_argument("--vendor", choices=tuple(phantom.VENDORS), default="generic", help="whose manner of DICOM")
    parser.add_argument("--encoding", choices=tuple(phantom.ENCODINGS), default="explicit", help="how DICOM files are encoded")
    parser.add_argument("--split", choices=phantom.SPLITS, help="what starts a new DICOM series (default: as the vendor does)")
    troubles = tuple(phantom.TROUBLES)
    parser.add_argument("--trouble", choices=troubles, action="append", default=[], help="what befalls the files (repeatable)")
    phantom_asl.add_options(parser)
    phantom_vessels.add_options(parser)
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
        options.format = options.format or ("bids" if options.kind == "asl" else "dicom")
        if options.kind == "colormaps":
            return _write_pictures(options, console)
        if options.kind == "asl-cubes":
            _check_kind(options)
            return phantom_vessels.write_asl_cubes(options, console)
        if options.kind == "asl-brain":
            _check_kind(options)
            return phantom_vessels.write_asl_brain(options, console)
        if options.kind == "asl":
            _check_kind(options)
            phantom_asl.write_asl(options, earlier_scan(options.output), console)
            console(1.0, "Done")
            console.message(f"Scan and truth in {options.output}")
            return 0
        echoes, truth = _patient(options, part_of(console, 0.0, 0.6))
        with staged_folder(options.output, outdated=earlier_scan(options.output)) as staging:
            write_echoes(echoes, staging, options, part_of(console, 0.6, 0.95))
            if "adc_measured" in truth.maps:
                write_volume(staging / "adc.nii.gz", truth.maps["adc_measured"], truth.affine, unit="1e-6 mm2/s")
            phantom.write_truth(truth, staging / "truth")
        console(1.0, "Done")
        console.message(f"Scan and truth in {options.output}")
    finally:
        console.close()
    return 0


def _write_pictures(options: argparse.Namespace, console: ConsoleProgress) -> int:
    """Write true maps as a scanner shows them: color pictures with a burnt-in bar."""
    if options.format != "dicom" or options.trouble:
        msg = "Color maps are written as plain DICOM pictures. Leave out --format and --trouble."
        raise InvalidInputError(msg)
    _check_kind(options)
    marks = tuple(mark for mark in phantom.MARKS if mark != "bar" or not options.no_bar)
    with staged_folder(options.output, outdated=earlier_scan(options.output)) as staging:
        if options.healthy:
            maps, affine = phantom.healthy_maps()
        else:
            common = {key: getattr(options, key) for key in ("seed", "recipe", "residue", "site")}
            _, truth = phantom.ctp(**common, frames=10, interval_s=5.0, progress=part_of(console, 0.0, 0.6))
            # The imitated maker shows volumes on a scale of its own, up to 100.
            maps = {**{key: truth.maps[key] for key in ("tmax", "cbf", "mtt")}, "cbv": 10.0 * truth.maps["cbv"]}
            affine = truth.affine
            phantom.write_truth(truth, staging / "truth")
        style = phantom.DisplayStyle(marks=marks)
        phantom.write_color_maps(maps, affine, staging / "dicom", seed=options.seed, style=style)
    console(1.0, "Done")
    console.message(f"Color maps in {options.output}")
    return 0


def _patient(options: argparse.Namespace, progress: ProgressCallback) -> tuple[tuple[PerfusionSeries, ...], phantom.PhantomTruth]:
    """Make the patient that the options ask for; one series per echo."""
    _check_kind(options)
    if options.kind == "tiles":
        scan, truth = phantom.tiles(seed=options.seed, noise_hu=options.noise or 0.0, residue=options.residue)
        return (scan,), truth
    if options.kind == "brain":
        noise, residue = 2.0 if options.noise is None else options.noise, options.residue or "box"
        scan, truth = phantom.brain(seed=options.seed, noise_hu=noise, residue=residue, crop=options.crop, progress=progress)
        return (scan,), truth
    common = {key: getattr(options, key) for key in ("seed", "recipe", "residue", "site", "motion", "motion_mm")}
    if options.kind == "dsc":
        return phantom.dsc_echoes(
            **common, snr=options.snr, field_t=options.field, dual_echo=options.dual_echo, progress=progress
        )
    scan, truth = phantom.ctp(**common, noise_hu=options.noise, progress=progress)
    return (scan,), truth


def _check_kind(options: argparse.Namespace) -> None:
    """Refuse options that say nothing about this kind of patient."""
    mine = {
        "ctp": ("noise", "site"),
        "dsc": ("snr", "site", "field", "dual_echo"),
        "tiles": ("noise",),
        "brain": ("noise", "crop"),
        "colormaps": ("site", "healthy", "no_bar"),
        "asl": ("snr", "site", "field", *phantom_asl.OPTIONS),
        "asl-cubes": phantom_vessels.OPTIONS,
        "asl-brain": phantom_vessels.BRAIN_OPTIONS,
    }[options.kind]
    every = (
        "noise",
        "snr",
        "site",
        "field",
        "dual_echo",
        "crop",
        "healthy",
        "no_bar",
        *phantom_asl.OPTIONS,
        *phantom_vessels.EVERY,
    )
    foreign = [name for name in every if getattr(options, name) and name not in mine]
    if foreign:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
        hint = " Give its noise as --snr." if "noise" in foreign else ""
        msg = f"A '{options.kind}' patient has no option {words}. Leave it out.{hint}"
        raise InvalidInputError(msg)


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
    files = [path for part in ("dicom", "dicom_echo2", "truth") for path in (folder / part).rglob("*")]
    files += [*folder.glob("scan.*"), *folder.glob("scan_echo2.*"), folder / "adc.nii.gz"]
    return {path.relative_to(folder) for path in files if path.is_file()}


def write_echoes(
    echoes: tuple[PerfusionSeries, ...], folder: Path, options: argparse.Namespace, progress: ProgressCallback
) -> None:
    """Write a scan as the options say; DICOM keeps all echoes in one series, NIfTI needs a file for each.

    Parameters
    ----------
    echoes : tuple of PerfusionSeries
        One per echo.
    folder : Path
        ``dicom/`` or ``scan.nii.gz`` is made in it; further echoes become ``scan_echo2.nii.gz``.
    options : argparse.Namespace
        Parsed arguments.
    progress : callable
        Progress.

    Raises
    ------
    InvalidInputError
        If options contradict each other.
    """
    usual: dict[str, Any] = {"vendor": "generic", "encoding": "explicit", "split": None, "trouble": []}
    asked = [name for name, value in usual.items() if getattr(options, name) != value]
    if options.format == "bids":
        msg = "Only ASL patients are written as BIDS. Choose --format nifti or dicom."
        raise InvalidInputError(msg)
    if options.format == "nifti" and asked:
        msg = f"--{asked[0]} says how DICOM is written. Leave it out, or choose --format dicom."
        raise InvalidInputError(msg)
    if options.trouble and len(echoes) > 1:
        msg = "--trouble needs a scan with one echo. Leave --dual-echo out."
        raise InvalidInputError(msg)
    if options.format == "nifti":
        for number, scan in enumerate(echoes):
            phantom.write_nifti(scan, folder / f"scan{f'_echo{number + 1}' if number else ''}.nii.gz")
        return
    phantom.write_dicom(
        echoes[0],
        folder / "dicom",
        vendor=options.vendor,
        seed=options.seed,
        encoding=options.encoding,
        split=options.split,
        further_echoes=echoes[1:],
        troubles=options.trouble,
        progress=progress,
    )
