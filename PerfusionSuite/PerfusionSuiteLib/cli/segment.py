# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite segment MAPS OUT``: lesions and metrics from finished maps."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import input_function, lesion, results
from ..core import QUANTITIES, InputFunction, InvalidInputError, PerfusionMap, PerfusionMaps, TissueMasks
from ..core.files import check_output_folder, staged_folder
from ..core.geometry import BoolArray, check_same_grid
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
    if options.output.resolve() == options.maps.resolve():
        msg = f"'{options.output}' holds the maps and what was made with them. Choose another folder for the new lesions."
        raise InvalidInputError(msg)
    maps = read_maps(options.maps)
    earlier = read_facts(options.maps)
    contra = None if options.contra_mask is None else read_mask(options.contra_mask, maps, "contralateral mask")
    masks, vof = read_masks(options.maps, maps), _curve(options.maps, "vof", maps)
    maps, lesions = lesion.segment(
        maps,
        masks=masks,
        preset=options.preset,
        contra_mask=contra,
        method=earlier.get("method"),
        vof=vof,
    )
    metrics = lesion.metrics(
        maps,
        lesions,
        aif=_curve(options.maps, "aif", maps),
        vof=vof,
        case_id=earlier.get("case_id") or options.maps.resolve().name,
        software=SOFTWARE,
        settings={"preset": options.preset, **({"method": earlier["method"]} if "method" in earlier else {})},
        findings=lesions.findings,
    )
    with staged_folder(options.output) as staging:
        results.write_lesions(lesions, metrics, staging)
    core, hypoperfusion = (metrics.values[f"{name}_volume_ml"] for name in ("infarct_core", "hypoperfusion"))
    print(f"Core {core:.1f} mL, hypoperfusion {hypoperfusion:.1f} mL; files in {options.output}")
    for finding in lesions.findings:
        if finding.severity != "info":
            print(f"  {finding.severity}: {finding.message} {finding.advice}".rstrip())
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


def read_masks(folder: Path, maps: PerfusionMaps) -> TissueMasks | None:
    """Read the masks of an earlier run, so that the same tissue counts.

    Parameters
    ----------
    folder : Path
        Holds ``masks/brain.nii.gz``, ``csf``, ``vessel`` and ``bone`` if it was made by ``run``.
    maps : PerfusionMaps
        Whose grid they must have.

    Returns
    -------
    TissueMasks or None
        None when one is missing: tissue is then found from the maps themselves.
    """
    paths = {name: folder / "masks" / f"{name}.nii.gz" for name in ("brain", "csf", "vessel", "bone")}
    if not all(path.is_file() for path in paths.values()):
        return None
    found = {name: read_mask(path, maps, f"{name} mask") for name, path in paths.items()}
    return TissueMasks(found["brain"], found["csf"], found["vessel"], found["bone"])


def read_mask(path: Path, maps: PerfusionMaps, name: str) -> BoolArray:
    """Read a mask that lies on the grid of the maps.

    Parameters
    ----------
    path : Path
        NIfTI file.
    maps : PerfusionMaps
        The maps.
    name : str
        What it is called in a message.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask.

    Raises
    ------
    GridMismatchError
        If it lies on another grid.
    """
    values, affine = results.read_volume(path)
    check_same_grid(f"The {name} '{path.name}'", values.shape, affine, maps.shape, maps.affine)
    mask: BoolArray = np.asarray(values > 0)
    return mask


def read_facts(folder: Path) -> dict[str, str]:
    """Read from ``metrics.json`` of an earlier run how its maps were made.

    Parameters
    ----------
    folder : Path
        Folder of the maps.

    Returns
    -------
    dict
        ``method`` and ``case_id`` where they are known; Tmax means something else for each method.
    """
    try:
        values = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        facts = {"method": values["method"]["name"], "case_id": values["case_id"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {key: value for key, value in facts.items() if isinstance(value, str) and value}


def _curve(folder: Path, kind: str, maps: PerfusionMaps) -> InputFunction | None:
    """Read a curve at its own times and where it was measured, when the files exist."""
    path, place = folder / f"{kind}.csv", folder / "masks" / f"{kind}.nii.gz"
    if not path.is_file():
        return None
    curve = input_function.from_csv(path, None, kind=kind)
    return replace(curve, voxels=np.argwhere(read_mask(place, maps, f"{kind.upper()} mask"))) if place.is_file() else curve
