# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite field sample|curves``: maps and fitted curves from a field that an earlier run has left."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, fitting, results
from ..core import QUANTITIES, FittedField, InvalidInputError, part_of
from ..core.files import check_output_folder, staged_folder, write_json
from ..core.geometry import FloatArray
from ..core.nifti import read_header
from ..results.tables import write_rows
from .console import ConsoleProgress

MOST_CURVES_BYTES = 8e9
"""A sequence of fitted curves beyond this does not fit into the memory of common machines."""


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("field", help="maps at any resolution and fitted curves from a fitted field")
    kinds = parser.add_subparsers(dest="field_command", required=True, metavar="sample|curves")
    sample = kinds.add_parser("sample", help="maps on the field's own grid or any other one")
    curves = kinds.add_parser("curves", help="fitted tissue curves as a 4D volume, and the arterial curve as a table")
    for command in (sample, curves):
        command.add_argument("file", metavar="FILE", type=Path, help="field.safetensors of a run")
        command.add_argument("output", metavar="OUT", type=Path, help="folder for the results")
        grid = command.add_mutually_exclusive_group()
        grid.add_argument("--spacing", metavar="MM", type=float, nargs="+", help="voxel size: one number or three")
        grid.add_argument("--like", metavar="NIFTI", type=Path, help="take the grid of this volume")
        command.add_argument("--device", default="auto", help="auto, cpu or cuda[:n]")
    curves.add_argument("--step", metavar="SECONDS", type=float, help="time between samples (default: the frames of the scan)")
    sample.set_defaults(execute=execute_sample)
    curves.set_defaults(execute=execute_curves)


def execute_sample(options: argparse.Namespace) -> int:
    """Write the maps of a field.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    field, grid, affine, console = _open(options)
    maps = fitting.sample(field, **grid, device=options.device, progress=part_of(console, 0.0, 0.8))
    with staged_folder(options.output) as staging:
        for at, (key, values) in enumerate(maps.items()):
            console(0.8 + 0.2 * at / len(maps), "Writing")
            quantity = QUANTITIES[key]
            results.write_volume(
                staging / f"{key}.nii.gz", values, affine, description=_words(quantity.symbol), unit=quantity.unit,
                display_range=quantity.display_range,
            )  # fmt: skip
        write_json(staging / "field.json", _facts(field, affine, next(iter(maps.values())).shape))
    console.message(f"{', '.join(maps)} of {' x '.join(map(str, next(iter(maps.values())).shape))} voxels in {options.output}")
    return 0


def execute_curves(options: argparse.Namespace) -> int:
    """Write the fitted curves of a field.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    field, grid, affine, console = _open(options)
    times = _times(field, options.step)
    shape = fitting.sampling_grid(field, **grid)[1]
    if 4.0 * np.prod(shape) * len(times) > MOST_CURVES_BYTES:
        msg = (
            f"{' x '.join(map(str, shape))} curves of {len(times)} samples do not fit into memory. Choose a coarser step or grid."
        )
        raise InvalidInputError(msg)
    curves, times = fitting.fitted_curves(
        field, **grid, times_s=times, device=options.device, progress=part_of(console, 0.0, 0.7)
    )
    arterial, _ = fitting.fitted_aif(field, times, device=options.device)
    console(0.7, "Writing")
    with staged_folder(options.output) as staging:
        results.write_volume(
            staging / "fitted_curves.nii.gz", np.nan_to_num(curves, nan=0.0), affine, description=_words("fitted curves"),
            interval_s=float(np.median(np.diff(times))) if times.size > 1 else None,
        )  # fmt: skip
        rows = [{"time_sec": round(float(t), 6), "aif": float(f"{v:.7g}")} for t, v in zip(times, arterial, strict=True)]
        write_rows(staging / "fitted_aif.csv", rows, ["time_sec", "aif"])
        facts = _facts(field, affine, curves.shape[:3])
        write_json(staging / "fitted_curves.json", {**facts, "times_s": times})
    console.message(f"{times.size} samples from {times[0]:g} s to {times[-1]:g} s in {options.output}")
    return 0


def _open(options: argparse.Namespace) -> tuple[FittedField, dict[str, Any], FloatArray, ConsoleProgress]:
    """Read the field and what the options say of the grid."""
    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    field = fitting.load_field(options.file)
    grid: dict[str, Any] = {}
    if options.like is not None:
        header = read_header(options.like)
        grid = {"affine": header.affine, "shape": header.shape[:3]}
    elif options.spacing is not None:
        if len(options.spacing) not in {1, 3}:
            msg = f"--spacing takes one number or three, not {len(options.spacing)}. Give the voxel size in mm."
            raise InvalidInputError(msg)
        grid = {"spacing_mm": options.spacing if len(options.spacing) == 3 else options.spacing[0]}
    return field, grid, fitting.sampling_grid(field, **grid)[0], console


def _times(field: FittedField, step: float | None) -> FloatArray:
    first, last = float(field.times_s[0]), float(field.times_s[-1])
    if step is None:
        return np.asarray(field.times_s, np.float64)
    if not 0.01 <= step <= last - first:
        msg = f"--step must lie between 0.01 s and the length of the scan ({last - first:g} s), not {step:g} s."
        raise InvalidInputError(msg)
    return first + step * np.linspace(0, np.floor((last - first) / step + 1e-6), int((last - first) / step + 1e-6) + 1)


def _facts(field: FittedField, affine: FloatArray, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "method": field.method,
        "kind": field.kind,
        "shape": shape,
        "affine": affine,
        "settings": field.settings,
        "software": f"Perfusion Suite {__version__}",
    }


def _words(what: str) -> str:
    return f"{what}, Perfusion Suite {__version__}, research use"
