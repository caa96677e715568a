# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate``: how good results are, on digital patients or beside a truth or another software's maps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import evaluation, phantom, pipeline, prepare
from ..core import InvalidInputError, ProgressCallback
from ..core.files import check_output_folder
from ..evaluation import Condition, Design
from ..evaluation.study import ROWS
from ..phantom.lesion import SITES
from ..phantom.residues import parse_family
from . import evaluate_core, evaluate_hemopic, evaluate_neural, evaluate_qtmnet
from .console import ConsoleProgress
from .evaluate_folders import compare_folders
from .stopping import kept_when_stopped

_MOTIONS = ("none", "drift:4", "nod:4", "jerks:4")
_DEFAULT_NOISE_REDUCTION = pipeline.Settings().noise_reduction_used


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("evaluate", help="how good results are: on digital patients, on phantoms, or beside a truth")
    parts = parser.add_subparsers(dest="part", required=True, metavar="WHAT")
    maps = parts.add_parser(
        "maps",
        help="perfusion maps and lesions",
        description="Either a study on digital patients (--study OUT), which goes on where it was stopped, or finished maps "
        "beside their truth (RESULT TRUTH). Each list below is varied alone around the reference; an empty one leaves it out. "
        "The study as it stands takes about an hour of one core (60 scans, 56 s each).",
    )  # fmt: skip
    maps.add_argument("result", metavar="RESULT", type=Path, nargs="?", help="folder with finished maps, as 'run' writes it")
    maps.add_argument(
        "truth", metavar="TRUTH", type=Path, nargs="?", help="folder with the truth, or with another software's maps"
    )
    maps.add_argument("--out", metavar="FOLDER", type=Path, help="also write the comparison of RESULT and TRUTH as files")
    maps.add_argument("--study", metavar="OUT", type=Path, help="study on digital patients: folder for tables and pictures")
    _add_patients(maps.add_argument_group("patients of the study"))
    _add_factors(maps.add_argument_group("what the study varies"))
    maps.set_defaults(execute=execute_maps)
    evaluate_neural.add_parser(parts)
    evaluate_qtmnet.add_parser(parts)
    evaluate_hemopic.add_parser(parts)
    evaluate_core.add_parser(parts)


def _add_patients(group: Any) -> None:
    group.add_argument("--patients", metavar="N", type=int, default=4, help="development patients 1 to N (default 4)")
    group.add_argument("--seeds", metavar="N", type=int, nargs="+", help="these patients instead")
    group.add_argument("--grid", choices=tuple(evaluation.GRIDS), default="standard", help="size of the scans (default standard)")
    group.add_argument("--recipe", choices=("clean", "typical", "hard"), default="typical", help="difficulty (default typical)")
    group.add_argument("--any-code", action="store_true", help="go on with rows that another version of the code has made")


def _add_factors(group: Any) -> None:
    names = [name for name, method in pipeline.methods().items() if "ctp" in getattr(method, "modalities", ("ctp",))]
    quick = [name for name in names if name not in pipeline.GPU_METHODS]
    group.add_argument(
        "--methods",
        metavar="NAME",
        nargs="+",
        choices=names,
        default=quick,
        help=f"of {', '.join(names)} (default: {', '.join(quick)}, which take seconds a scan; the others take minutes)",
    )
    group.add_argument("--numbers-method", metavar="NAME", choices=names, help="the method recommended for absolute flow")
    group.add_argument("--residues", nargs="*", default=["box", "exponential", "gamma:3", "mixed"], help="families of residues")
    group.add_argument("--noise", metavar="HU", type=float, nargs="*", default=[2.0, 8.0], help="noise of a voxel (reference 4)")
    group.add_argument(
        "--intervals", metavar="S", type=float, nargs="*", default=[2.0, 3.0], help="frame intervals (reference 1)"
    )
    group.add_argument("--frames", metavar="N", type=int, nargs="*", default=[30], help="lengths of a truncated scan in frames")
    group.add_argument(
        "--motion",
        metavar="KIND[:MM]",
        nargs="*",
        default=list(_MOTIONS),
        help="head motion: none, drift, nod, jerks; with its size",
    )
    group.add_argument("--sites", nargs="*", default=["none"], help="sites of the lesion, for example none or stenosis")
    group.add_argument(
        "--noise-reduction", nargs="*", choices=tuple(prepare.NOISE_METHODS), default=list(prepare.NOISE_METHODS), help="filters"
    )


def execute_maps(options: argparse.Namespace) -> int:
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
        If neither or both uses were asked for.
    CancelledError
        If the user asked to stop; a study keeps what is finished.
    """
    if (options.study is None) == (options.result is None) or (options.result is None) != (options.truth is None):
        msg = "Give either --study OUT for a study on digital patients, or the folders RESULT and TRUTH of finished maps."
        raise InvalidInputError(msg)
    if options.study is None:
        return compare_folders(options.result, options.truth, options.out)
    with kept_when_stopped(options.study, ROWS):
        return _study(options)


def _study(options: argparse.Namespace) -> int:
    console = ConsoleProgress(check_stop=options.check_stop)
    try:
        design = study_design(options)
        check_output_folder(options.study)
        rows = evaluation.run_study(
            design,
            options.study,
            make_patient=make_patient,
            analyze=analyze,
            any_code=options.any_code,
            progress=console,
        )
        report = evaluation.write_study(
            rows, design, options.study, default_method=pipeline.default_method("ctp"), numbers_method=options.numbers_method
        )
        console.message(report.text)
        console.message(f"Tables and pictures are in {options.study}; open report.html first.")
    finally:
        console.close()
    return 0


def study_design(options: argparse.Namespace) -> Design:
    """Turn arguments into a design.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    Design
        One factor at a time around the reference; the default method first.
    """
    base = Condition(grid=options.grid, recipe=options.recipe)
    levels = {
        "residue": options.residues,
        "noise_hu": options.noise,
        "interval_s": options.intervals,
        "frames": options.frames,
        "motion": options.motion,
        "site": options.sites,
        "noise_reduction": ["" if name == _DEFAULT_NOISE_REDUCTION else name for name in options.noise_reduction],
    }
    _check_words(options)
    if options.seeds is None and options.patients < 1:
        msg = f"{options.patients} patients cannot be studied. Give 1 or more."
        raise InvalidInputError(msg)
    seeds = options.seeds or list(range(1, options.patients + 1))
    methods = sorted(options.methods, key=lambda name: name != pipeline.default_method("ctp"))
    return Design(evaluation.one_at_a_time(base, levels), list(dict.fromkeys(seeds)), list(dict.fromkeys(methods)))


def _check_words(options: argparse.Namespace) -> None:
    """Tell a mistake now, not after hours of work."""
    for words in options.motion:
        moved(words)
    for name in options.residues:
        if name != "mixed":
            parse_family(name)
    if unknown := [site for site in options.sites if site not in SITES]:
        msg = f"There is no lesion site '{unknown[0]}'. Use one of {', '.join(SITES)}."
        raise InvalidInputError(msg)


def make_patient(condition: Condition, seed: int, progress: ProgressCallback) -> tuple[Any, Any]:
    """Make the digital patient of a condition.

    Parameters
    ----------
    condition : Condition
        How it is scanned.
    seed : int
        Which patient.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    series : PerfusionSeries
        The scan.
    truth : PhantomTruth
        What is true about it.
    """
    shape, spacing_mm = evaluation.GRIDS[condition.grid]
    motion, motion_mm = moved(condition.motion)
    return phantom.ctp(
        seed=seed,
        recipe=condition.recipe,
        noise_hu=condition.noise_hu,
        residue=condition.residue or None,
        site=condition.site or None,
        motion=motion,
        motion_mm=motion_mm,
        interval_s=condition.interval_s,
        frames=condition.frames or None,
        shape=shape,
        spacing_mm=spacing_mm,
        progress=progress,
    )


def moved(words: str) -> tuple[str | None, float | None]:
    """Read a head motion.

    Parameters
    ----------
    words : str
        For example ``drift``, or ``drift:4`` for 4 mm; empty to let the patient draw it.

    Returns
    -------
    kind : str or None
        Kind of motion.
    size_mm : float or None, mm
        Its size.

    Raises
    ------
    InvalidInputError
        If the size is not a number.
    """
    kind, colon, size = words.partition(":")
    try:
        return kind or None, float(size) if colon else None
    except ValueError as error:
        msg = f"The motion '{words}' has no size that can be read. Write it like drift:4, for 4 mm."
        raise InvalidInputError(msg) from error


def analyze(series: Any, noise_reduction: str, method: str, earlier: Any, progress: ProgressCallback) -> Any:
    """Analyze a scan with the chain; of a still head, vascular curves are taken over from an earlier analysis of the same scan.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.
    noise_reduction : str
        Filter; empty for the default one.
    method : str
        How maps are made.
    earlier : Study or None
        Of the same scan; nothing in it depends on the filter or the method before the maps.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    Study
        What ``run`` would have made.
    """
    chosen = noise_reduction or "auto"
    # What a moved head leaves in curves is told by its poses, which a series that was corrected before no longer has.
    if earlier is None or earlier.motion is None or earlier.motion.applied:
        return pipeline.run(series, pipeline.Settings(method=method, noise_reduction=chosen), progress=progress)
    settings = pipeline.Settings(method=method, noise_reduction=chosen, motion_correction=False)
    inputs = pipeline.UserInputs(aif=earlier.aif, vof=earlier.vof)
    study = pipeline.run(earlier.series, settings, inputs=inputs, progress=progress)
    return replace(study, motion=earlier.motion)
