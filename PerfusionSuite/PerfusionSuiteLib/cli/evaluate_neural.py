# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate neural``: fits, neural fields and deconvolution side by side on phantoms with known truth."""

from __future__ import annotations

import argparse
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from .. import phantom
from ..core import InvalidInputError, ProgressCallback
from ..core.files import check_output_folder
from ..core.series import PerfusionSeries
from ..evaluation.neural_estimate import estimator, known_methods
from ..evaluation.neural_scan import PHANTOMS, FieldCondition
from ..evaluation.neural_study import ROWS, FieldDesign, run_field_study
from ..evaluation.report.neural_writing import write_field_study
from ..evaluation.row_file import FAILED
from .console import ConsoleProgress
from .stopping import kept_when_stopped

USUAL = ("spatial", "spatial:guided", "neural", "resppinn", "sppinn", "nlr", "bayes", "csvd", "osvd")
"""Those of them that exist are compared by default."""

PHANTOMS_USUAL = ("tiles", "crop")
QUICK = {"sppinn": "sppinn{steps=100}", "resppinn": "resppinn{steps=500,start=resppinn}"}
QUICK_PHANTOMS, QUICK_TILE_PX, QUICK_CBV, QUICK_SLICES = ("tiles",), 16, (4.0,), 4
"""What ``--quick`` makes of the published methods, which take hours on a CPU, and of the phantoms and their sizes."""

PATIENT_SHAPE, PATIENT_SPACING_MM = (96, 96, 6), (2.2, 2.2, 10.0)
TILE_CBVS = (1.0, 2.0, 3.0, 4.0, 5.0)


def add_parser(parts: Any) -> None:
    """Register the command.

    Parameters
    ----------
    parts : argparse sub-parsers action
        Where to add it.
    """
    parser = parts.add_parser(
        "neural",
        help="neural fields, spatial fit, voxel fits and SVD side by side on phantoms",
        description="Error tables, pictures and a report on phantoms with known truth; it goes on where it was stopped.",
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for tables and pictures")
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", default=usual_methods(),
        help=f"of {', '.join(known_methods())}; NAME:guided lets a method that looks at neighbors see the static CT image, "
        "NAME{steps=500} sets its options "
        f"(default: {' '.join(usual_methods())})",
    )  # fmt: skip
    parser.add_argument("--phantom", nargs="+", choices=tuple(PHANTOMS), help="default: tiles crop; tiles with --quick")
    parser.add_argument("--noise", metavar="HU", type=float, nargs="+", default=[0.0, 2.0, 4.0], help="default 0 2 4")
    parser.add_argument(
        "--families", nargs="+", metavar="RESIDUE", default=["box"],
        help="residues: box, exponential, linear (not for patients) or gamma:K (default box)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", metavar="N", type=int, nargs="+", default=[1], help="anatomies, or noise of the tiles (default 1)"
    )
    parser.add_argument(
        "--gaussian-px", metavar="SD", type=float, nargs="+", default=[0.0],
        help="in-plane Gaussian (and 1-2-1 over frames) instead of every method's own filter, as in the published phantom "
        "experiments, whose usual value is 2 (default 0: each method's own)",
    )  # fmt: skip
    parser.add_argument("--half-frames", action="store_true", help="leave out every other frame")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="three minutes of one core instead of hours: small tiles of one blood volume, 100 steps of sppinn for each "
        "slice, 500 of resppinn from its learned start; of the brain four slices",
    )
    parser.add_argument("--tile-px", metavar="N", type=int, help="size of a tile (default 32)")
    parser.add_argument("--tile-cbv", metavar="ML", type=float, nargs="+", help="blood volumes of the tiles (default 1 to 5)")
    parser.add_argument("--brain-slices", metavar="N", type=int, help="height of the analytic brain (default 32)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda[:n] (default auto)")
    parser.add_argument("--any-code", action="store_true", help="go on with rows that another version of the code has made")
    parser.set_defaults(execute=execute)


def usual_methods() -> list[str]:
    """Return the methods that are compared by default.

    Returns
    -------
    list of str
        Those of `USUAL` that exist.
    """
    return [name for name in USUAL if name.partition(":")[0] in known_methods()]


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

    Raises
    ------
    InvalidInputError
        If no method could be measured.
    CancelledError
        If the user asked to stop; what is finished is kept.
    """
    console = ConsoleProgress(check_stop=options.check_stop)
    with kept_when_stopped(options.output, ROWS), closing(console):
        fill_in(options)
        design = field_design(options)
        check_output_folder(options.output)

        def make(condition: FieldCondition, seed: int, progress: ProgressCallback) -> tuple[PerfusionSeries, Any]:
            return make_phantom(condition, seed, options, progress)

        rows = run_field_study(design, options.output, make_phantom=make, any_code=options.any_code, progress=console)
        write_field_study(rows, design, options.output)
        console.message(f"Tables and pictures are in {options.output}; open report.html first.")
        _tell_failures(rows, console)
    return 0


def _tell_failures(rows: list[dict[str, Any]], console: ConsoleProgress) -> None:
    """Say that methods failed; when all did, the comparison has."""
    failed = [row for row in rows if row["subject"] == FAILED]
    if not failed:
        return
    first = f"{failed[0]['method']} ({failed[0]['condition']}): {failed[0]['region']}"
    if len(failed) == len(rows):
        msg = f"No method could be measured. The first one, {first}"
        raise InvalidInputError(msg)
    console.message(f"{len(failed)} could not be measured and are named in the report. The first one, {first}")


def fill_in(options: argparse.Namespace) -> None:
    """Fill in the sizes of phantoms and what ``--quick`` changes.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments; changed in place.
    """
    quick = (QUICK_PHANTOMS, QUICK_TILE_PX, QUICK_CBV, QUICK_SLICES)
    usual = quick if options.quick else (PHANTOMS_USUAL, 32, TILE_CBVS, 32)
    for name, value in zip(("phantom", "tile_px", "tile_cbv", "brain_slices"), usual, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.quick:
        options.methods = [QUICK.get(name, name) for name in options.methods]


def field_design(options: argparse.Namespace) -> FieldDesign:
    """Turn arguments into a design.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    FieldDesign
        All combinations of phantom, family, prefilter and noise.

    Raises
    ------
    InvalidInputError
        If a word is not known.
    """
    if options.tile_px < 4 or not 1 <= options.brain_slices <= 32:
        msg = "Tiles need at least 4 pixels, the brain 1 to 32 slices. Correct --tile-px or --brain-slices."
        raise InvalidInputError(msg)
    factors = product(options.phantom, options.families, options.gaussian_px, options.noise)
    conditions = [FieldCondition(kind, family, noise, sigma, options.half_frames) for kind, family, sigma, noise in factors]
    return FieldDesign(
        list(dict.fromkeys(conditions)), list(dict.fromkeys(options.seeds)), [estimator(name) for name in options.methods],
        options.device,
    )  # fmt: skip


def make_phantom(
    condition: FieldCondition, seed: int, options: argparse.Namespace, progress: ProgressCallback
) -> tuple[PerfusionSeries, Any]:
    """Make the phantom of a condition.

    Parameters
    ----------
    condition : FieldCondition
        Which, and how it is scanned.
    seed : int
        Anatomy or noise.
    options : argparse.Namespace
        Sizes.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    series : PerfusionSeries
        The scan.
    truth : PhantomTruth
        What is true about it.
    """
    common: dict[str, Any] = {"seed": seed, "noise_hu": condition.noise_hu, "residue": condition.family, "progress": progress}
    if condition.phantom == "tiles":
        return phantom.tiles(**common, tile_px=options.tile_px, cbvs=tuple(options.tile_cbv))
    if condition.phantom == "patients":
        return phantom.ctp(
            **common, recipe="clean", motion="none", interval_s=1.0, shape=PATIENT_SHAPE, spacing_mm=PATIENT_SPACING_MM
        )
    if condition.phantom == "crop":
        return phantom.brain(**common, crop=True)
    return phantom.brain(**common, shape=(256, 256, options.brain_slices))
