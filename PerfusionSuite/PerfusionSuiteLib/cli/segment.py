# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite segment MAPS OUT``: lesions and metrics from finished maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .. import input_function, lesion, results
from ..core import QUANTITIES, InputFunction, InvalidInputError, PerfusionMap, PerfusionMaps
from ..core.files import check_output_folder, staged_folder
from ..pipeline import SOFTWARE

_KEYS = ("cbf", "cbv", "mtt", "tmax", "rcbf", "delay", "ttp", "baseline")


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("segment", help="lesions and metrics from finished maps")
    parser.add_argument(
        "maps", metavar="MAPS", type=Path, help="folder with cbf, cbv, mtt, tmax .nii.gz (aif.csv and vof.csv if any)"
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for masks and metrics")
    parser.add_argument("--preset", choices=tuple(lesion.PRESETS), default="ct-perfusion-auto", help="threshold preset")
    parser.add_argument("--contra-mask", metavar="FILE", type=Path, help="normal region that relative maps refer to")
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
    check_output_folder(options.output)
    maps = read_maps(options.maps)
    contra = None
    if options.contra_mask is not None:
        contra = np.asarray(results.read_volume(options.contra_mask)[0] > 0)
    maps, lesions = lesion.segment(maps, preset=options.preset, contra_mask=contra)
    metrics = lesion.metrics(
        maps,
        lesions,
        aif=_curve(options.maps / "aif.csv", "aif"),
        vof=_curve(options.maps / "vof.csv", "vof"),
        case_id=options.maps.resolve().name,
        software=SOFTWARE,
        settings={"preset": options.preset},
        findings=lesions.findings,
    )
    with staged_folder(options.output) as staging:
        results.write_lesions(lesions, metrics, staging)
    core, hypoperfusion = (metrics.values[f"{name}_volume_ml"] for name in ("infarct_core", "hypoperfusion"))
    print(f"Core {core:.1f} mL, hypoperfusion {hypoperfusion:.1f} mL; files in {options.output}")
    return 0


def read_maps(folder: Path) -> PerfusionMaps:
    """Read the maps of a results folder.

    Parameters
    ----------
    folder : Path
        Holds ``tmax.nii.gz`` and others, named by quantity.

    Returns
    -------
    PerfusionMaps
        What was found.

    Raises
    ------
    InvalidInputError
        If Tmax is missing.
    """
    found = {key: path for key in _KEYS for path in (folder / f"{key}.nii.gz", folder / f"{key}.nii") if path.is_file()}
    if "tmax" not in found:
        msg = f"There is no tmax.nii.gz in '{folder}'. Give a folder with maps named cbf, cbv, mtt and tmax (.nii.gz)."
        raise InvalidInputError(msg)
    maps = []
    for key, path in found.items():
        values, affine = results.read_volume(path)
        maps.append(PerfusionMap(values, affine, QUANTITIES[key]))
    return PerfusionMaps(maps)


def _curve(path: Path, kind: str) -> InputFunction | None:
    """Read a curve at its own times, when the file exists."""
    return input_function.from_csv(path, None, kind=kind) if path.is_file() else None
