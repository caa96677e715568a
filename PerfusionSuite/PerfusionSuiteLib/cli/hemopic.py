# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite hemopic partition|convert|fit``: the published HemoPIC steps on folders ``training_<N>``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core import InvalidInputError, PerfusionError, ProgressCallback
from ..core.errors import CancelledError, OutOfMemoryError
from ..core.files import check_output_folder
from ..hemopic.compat_files import fit_subject, is_fitted
from ..hemopic.compat_partition import PartitionChoices, partition_subject
from ..hemopic.compat_run import CompatChoices
from ..hemopic.subjects import SERIES, Subject, parse_ids, subjects_at
from ..hemopic.tissue_labels import TABLES, TissueTable, read_table, write_table
from ..hemopic.tracer import CHANGE, DEFAULTS, ECHO_TIME_S, INTERVAL_S, TracerChoices, convert_file, times_of_sidecar
from .console import ConsoleProgress

NAMED = 3
"""So many absent or failed subjects are named: the usual range 1-48 has holes, which are no failure."""

_PATH_HELP = "a subject's folder, or a folder that holds training_1, training_2, and so on"

Step = Callable[[Subject, ProgressCallback], str | None]
"""Does one subject; returns what to say about it, or None when its files exist already."""


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser(
        "hemopic",
        help="the published HemoPIC steps, files and columns on DSC-MRI folders",
        description="Compatibility mode: partition, convert and fit as the published program does, quirks included, so that "
        "results compare line by line. For new scans use 'run --method hemopic'.",
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="STEP")
    _add_partition(parts)
    _add_convert(parts)
    _add_fit(parts)


def _common(parser: Any, path_help: str = _PATH_HELP) -> None:
    parser.add_argument("path", metavar="PATH", type=Path, help=path_help)
    parser.add_argument("--ids", metavar="N[-M]", nargs="+", help="which of them, for example 1-48 (default: all that exist)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier run")
    parser.add_argument("--json-events", action="store_true", help="print progress as JSON lines")


def _add_partition(parts: Any) -> None:
    parser = parts.add_parser(
        "partition",
        help="tissue labels: gray matter, white matter, CSF, brain stem",
        description="Reduces structural labels to four classes on the grid of MR_rCBF. Takes synthseg/seg_synthseg[_sym].nii.gz "
        "when a subject has it; otherwise runs FreeSurfer's mri_synthseg on MR_ADC.",
    )
    _common(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--labels", metavar="FILE", type=Path, help="a structural label image of this one subject")
    source.add_argument(
        "--estimate", action="store_true", help="estimate the classes from MR_4DPWI itself (no brain stem), without FreeSurfer"
    )
    parser.add_argument(
        "--table",
        metavar="NAME|FILE",
        default="published",
        help="which structure belongs where: published (4th ventricle and cerebellar white matter count as gray matter), "
        "corrected, or a CSV or JSON file with the columns label,class (default published)",
    )
    parser.add_argument("--save-table", metavar="FILE", type=Path, help="also write the table there, to edit it")
    parser.add_argument("--threads", metavar="N", type=int, help="of mri_synthseg (default: all, at most 8)")
    parser.set_defaults(execute=partition)


def _add_convert(parts: Any) -> None:
    parser = parts.add_parser(
        "convert",
        help="signal to tracer curves",
        description="Writes CTC_from_MR_4DPWI.nii beside MR_4DPWI: ln(S0/S)/TE with one baseline for the whole volume.",
    )
    _common(parser, f"{_PATH_HELP}, or a raw series")
    parser.add_argument("--te", metavar="S", type=float, help=f"echo time in seconds (default {ECHO_TIME_S}, as published)")
    parser.add_argument("--dt", metavar="S", type=float, help=f"interval between frames in seconds (default {INTERVAL_S})")
    parser.add_argument(
        "--theta", metavar="X", type=float, default=CHANGE, help=f"relative change that ends the baseline (default {CHANGE})"
    )
    parser.add_argument(
        "--sidecar", action="store_true", help="take echo time and interval from the JSON file beside the series, and store them"
    )
    parser.add_argument(
        "--store-dt",
        action="store_true",
        help="store the interval also for raw series with five axes, where it is lost as published",
    )
    parser.set_defaults(execute=convert)


def _add_fit(parts: Any) -> None:
    parser = parts.add_parser(
        "fit",
        help="regions, their fits, and maps of CBF, CBV and MTT",
        description="Needs CTC_from_MR_4DPWI, MR_rCBF, MR_rCBV, MR_MTT and the tissue labels. Writes OUT/training_<N> with the "
        "published names, columns and keys.",
    )
    _common(parser)
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the results")
    parser.add_argument("--k-gm", metavar="K", type=int, default=8, help="clusters of gray matter (default 8)")
    parser.add_argument("--k-wm", metavar="K", type=int, default=6, help="clusters of white matter (default 6)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the random numbers (default 0)")
    parser.set_defaults(execute=fit)


def partition(options: argparse.Namespace) -> int:
    """Run ``hemopic partition``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    table = _table_of(options.table)
    if options.save_table is not None:
        write_table(table, options.save_table)
    if options.labels is not None and not options.labels.is_file():
        msg = f"The label image '{options.labels}' does not exist. Check --labels."
        raise InvalidInputError(msg)
    choices = PartitionChoices(table, options.labels, options.estimate, options.threads, options.overwrite)

    def step(subject: Subject, progress: ProgressCallback) -> str | None:
        made = partition_subject(subject, choices, progress=progress)
        if made is None:
            return None
        counts = ", ".join(f"{name} {made.voxels[kind]}" for kind, name in enumerate(("GM", "WM", "CSF", "brain stem"), 1))
        origin = made.source if options.estimate else f"{made.source} ({table.name} table)"
        return f"voxels from {origin}: {counts}"

    return _for_all(options, step, single=options.labels is not None)


def convert(options: argparse.Namespace) -> int:
    """Run ``hemopic convert``.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    given = {name: value for name, value in (("echo_time_s", options.te), ("interval_s", options.dt)) if value is not None}
    origin = "the command line" if given else DEFAULTS
    fixed = TracerChoices(change=options.theta, always_store=options.store_dt, origin=origin, **given)

    def step(subject: Subject, progress: ProgressCallback) -> str | None:
        source = options.path if options.path.is_file() else subject.need(SERIES)[SERIES]
        choices = times_of_sidecar(source, fixed, **given) if options.sidecar else fixed
        done = convert_file(source, choices, overwrite=options.overwrite, progress=progress)
        if done is None:
            return None
        words = f"{done.path.name}: TE {choices.echo_time_s:g} s, {done.frames} frames, baseline of {done.baseline_end}, "
        return f"{words}interval saved {done.stored_interval_s:g} s ({choices.origin}). {done.note}".rstrip()

    return _for_all(options, step)


def fit(options: argparse.Namespace) -> int:
    """Run ``hemopic fit``.

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
    choices = CompatChoices(options.k_gm, options.k_wm, options.seed)

    def step(subject: Subject, progress: ProgressCallback) -> str | None:
        if not options.overwrite and is_fitted(subject, options.output, choices):
            return None
        done = fit_subject(subject, options.output, choices, overwrite=options.overwrite, progress=progress)
        regions = len(done.fit.regions.rows)
        lines = [f"{regions} regions, interval {done.fit.record['dt_seconds']:g} s; files in {done.folder}"]
        lines += [f"  {finding.severity}: {finding.message} {finding.advice}".rstrip() for finding in done.findings]
        return "\n".join(lines)

    return _for_all(options, step)


def _table_of(word: str) -> TissueTable:
    if word in TABLES:
        return TABLES[word]
    if Path(word).is_file():
        return read_table(word)
    msg = f"There is no tissue table '{word}'. Choose {' or '.join(TABLES)}, or give a CSV or JSON file."
    raise InvalidInputError(msg)


def _for_all(options: argparse.Namespace, step: Step, *, single: bool = False) -> int:
    """Do all subjects; one that cannot be done is named and counted, and the others go on."""
    subjects, absent = subjects_at(options.path, None if options.ids is None else parse_ids(options.ids))
    if single and len(subjects) != 1:
        msg = f"--labels names one image, but {len(subjects)} subjects were chosen. Choose one with --ids, or leave --labels out."
        raise InvalidInputError(msg)
    console = ConsoleProgress(json_events=options.json_events, check_stop=options.check_stop)
    failed: dict[str, PerfusionError] = {}
    kept: list[str] = []
    try:
        for index, subject in enumerate(subjects):
            try:
                words = step(subject, _share(console, index, len(subjects), subject.name))
            except (CancelledError, OutOfMemoryError):
                raise
            except PerfusionError as error:
                failed[subject.name] = error
                continue
            if words is None:
                kept.append(subject.name)
            else:
                console.message(f"{subject.name}: {words}")
        _summarize(console, len(subjects) + len(absent), failed, kept, absent)
    finally:
        console.close()
    return 0


def _share(console: ConsoleProgress, index: int, count: int, name: str) -> ProgressCallback:
    def progress(fraction: float, stage: str) -> None:
        console((index + fraction) / count, f"{name}: {stage}")

    return progress


def _summarize(
    console: ConsoleProgress, count: int, failed: dict[str, PerfusionError], kept: list[str], absent: list[str]
) -> None:
    first = next(iter(failed.values()), None)
    if first is not None and count == 1:
        raise first
    for name, error in failed.items():
        console.message(f"{name}: not done. {error}")
    if absent:
        console.message(f"Without a folder, and not done: {_shown(absent)}.")
    if len(failed) + len(absent) == count:
        first = first or InvalidInputError(f"The folder '{absent[0]}' does not exist.")
        raise type(first)(f"None of {count} subjects could be done. The first one: {first}")
    if kept:
        console.message(f"{len(kept)} had their files already and were left as they are (replace them with --overwrite).")
    done = count - len(failed) - len(absent) - len(kept)
    if count > 1:
        console.message(f"{done} of {count} subjects done, {len(kept)} kept, {len(failed) + len(absent)} not done.")
    if failed:
        msg = f"{len(failed)} of {count - len(absent)} subjects could not be done: {_shown(list(failed))}."
        raise InvalidInputError(f"{msg} What is wrong is said above; correct them and run again, what is done is kept.")
    console.finished({"done": done, "kept": kept, "failed": dict.fromkeys(absent, "The folder does not exist.")})


def _shown(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
