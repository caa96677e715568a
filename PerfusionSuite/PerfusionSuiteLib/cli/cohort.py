# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite cohort IN OUT participant``: many scans one after another, then tables of all of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .. import cohort
from ..cohort.batch import STATES
from ..core import InvalidInputError
from ..core.files import check_output_folder
from ..lesion.core_network import check_modality
from ..results.tables import write_rows
from .asl_options import expects_asl
from .console import ConsoleProgress
from .run import settings_from
from .stopping import kept_when_stopped

ALL_TABLE, ASL_TABLE, STATE_TABLE = "cohort.csv", "asl_cohort.csv", "cases.csv"
_OWN_WORDS = {
    "--modality": "belongs before '--run', since it also decides which scans are cases. Move it there.",
    "--case-id": "cannot be the same for every scan. Leave it out; --case-names says what cases are called.",
}
_MOST_SHOWN = 10
_EPILOG = f"""files in OUT:
  CASE/            results of a scan as 'run' writes them; open CASE/report.html
  {STATE_TABLE}        every scan: done or failed, and why
  {ALL_TABLE}       one row for each scan with results
  {ASL_TABLE}   flow of regions, for ASL scans

examples:
  perfusion-suite cohort scans results participant --workers 2
  perfusion-suite cohort scans results participant --participant-label case-07 --again
  perfusion-suite cohort archive results participant --case-names numbered
  perfusion-suite cohort bids results participant --modality asl --run --method asl-multi --smooth 5

A folder that is called after its patient, as the headers tell, becomes case-001 and so on. OUT-key.csv, beside OUT, says which
is which and keeps the numbers when the cohort goes on; keep it apart from the results when these are passed on.
The exit code is 2 when a scan that was asked for has no results."""


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser(
        "cohort",
        help="run many scans and gather their numbers in tables",
        description="participant: runs every scan of IN that has no results yet, each in a process of its own; one bad scan does "
        "not stop the rest, and the same command goes on where it was stopped. group: gathers the numbers of OUT in tables "
        "(participant does so at its end, too).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("input", metavar="IN", type=Path, help="BIDS data set, or a folder with one folder or 4D file per case")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the results: a folder per case, and the tables")
    parser.add_argument("level", choices=("participant", "group"), help="analyze the scans, or only gather their numbers")
    parser.add_argument(
        "--participant-label", metavar="LABEL", nargs="+", default=[], help="only these participants, with or without 'sub-'"
    )
    parser.add_argument("--modality", choices=("auto", "ctp", "dsc", "asl"), default="auto", help="kind of scan, as for 'run'")
    parser.add_argument(
        "--case-names", choices=cohort.HOW, default="auto",
        help="what cases are called: auto (default: after their folders, but by numbers where a folder is called after the "
        "patient), folder, or numbered",
    )  # fmt: skip
    parser.add_argument("--key", metavar="FILE.csv", type=Path, help="which scan got which number (default: OUT-key.csv)")
    parser.add_argument("--workers", metavar="N", type=int, default=1, help="scans at a time (default 1)")
    parser.add_argument("--again", action="store_true", help="also run scans that have results")
    parser.add_argument(
        "--run", nargs=argparse.REMAINDER, default=[],
        help="options of 'run' for every scan; comes last, since all words behind it are meant ('run --help' lists them)",
    )  # fmt: skip
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

    Raises
    ------
    InvalidInputError
        If a word is wrong; at the end, if some scan has no results.
    """
    if options.workers < 1:
        msg = f"{options.workers} scans at a time cannot be run. Give --workers 1 or more."
        raise InvalidInputError(msg)
    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    with kept_when_stopped(options.output, f"{STATES}/*.json"), closing(console):
        wanted = _participants(options, console) if options.level == "participant" else None
        states = _group(options.output, console)
        _tell_failed([state for state in states if wanted is None or state.case in wanted])
    return 0


def _participants(options: argparse.Namespace, console: ConsoleProgress) -> set[str]:
    """Run the cases that have no results yet; return the names of all that were asked for."""
    words = _checked_words(options)
    cases = cohort.with_labels(_named_cases(options, console), options.participant_label)
    console.message(f"{len(cases)} {'scan' if len(cases) == 1 else 'scans'}: {_listed([case.name for case in cases])}")
    if others := cohort.folders_without_images(options.input, leave_out=options.output):
        hidden = any(case.scan for case in cases)  # where folders are called after patients, others may be, too
        shown = f"{len(others)} of the folders" if hidden else _listed(others)
        console.message(f"Left out, because nothing in them looks like a scan: {shown}")

    def told(state: cohort.CaseState) -> None:
        how = "done" if state.state == cohort.DONE else f"failed: {state.sentence}"
        console.message(f"  {state.case} ({state.seconds:.0f} s): {how}")

    states = cohort.run_cases(
        cases, options.output, words, workers=options.workers, again=options.again, told=told, progress=console
    )
    good = sum(state.state == cohort.DONE for state in states)
    console.message(f"{good} of {len(states)} scans have results in {options.output}.")
    return {case.name for case in cases}


def _named_cases(options: argparse.Namespace, console: ConsoleProgress) -> tuple[cohort.Case, ...]:
    """Find the cases; those that must not be called after their folders get numbers, and the key is written first."""
    found = cohort.find_cases(options.input, modality=options.modality, leave_out=options.output)
    path = options.key or cohort.key_file_of(options.output)
    key = cohort.read_key(path) if path.is_file() and options.case_names != "folder" else {}
    cases = cohort.name_cases(found, key, how=options.case_names)
    numbered = sum(bool(case.scan) for case in cases)
    if numbered:
        check_output_folder(path.parent)
        cohort.write_key(path, cases, key)
        why = "" if options.case_names == "numbered" else ", because what they are called may name a patient"
        console.message(f"{numbered} of {len(cases)} scans are numbered here{why}. '{path}' says which is which: keep it apart.")
    if old := sum((options.output / case.scan).exists() for case in cases if case.scan):
        console.message(f"{old} of them have results of before, still under their own names. Remove those, or take another OUT.")
    return cases


def _checked_words(options: argparse.Namespace) -> list[str]:
    """The words for every run; wrong ones are told before the first."""
    from .main import build_parser

    words = list(options.run)
    taken = next((word for word in words if word.split("=")[0] in _OWN_WORDS), None)
    if taken is not None:
        msg = f"{taken} {_OWN_WORDS[taken.split('=')[0]]}"
        raise InvalidInputError(msg)
    words = [*(["--modality", options.modality] if options.modality != "auto" else []), *words]
    parsed = build_parser().parse_args(["run", "IN", "OUT", *words])
    for name in ("config", "asl_options"):
        path = getattr(parsed, name)
        if path is not None and not path.is_file():
            msg = f"There is no file '{path}' ({name.replace('_', '-')}). Check the path."
            raise InvalidInputError(msg)
    if not expects_asl(parsed):
        # Settings that no run could use would fail all of them, one after another.
        settings = settings_from(parsed)
        settings.check_packages()
        if options.modality != "auto" and settings.preset_used.core_rule == "network":
            check_modality(settings.preset_used.core_network, options.modality)
    return words


def _group(out: Path, console: ConsoleProgress) -> list[cohort.CaseState]:
    """Write the tables; return how all scans went."""
    states = cohort.states_in(out)
    failed = [state for state in states.values() if state.state != cohort.DONE]
    rows = [
        {"case_id": state.case, "state": state.state, "seconds": state.seconds, "why_failed": state.sentence}
        for state in states.values()
    ]
    if rows:
        write_rows(out / STATE_TABLE, rows)
    written = [STATE_TABLE] if rows else []
    if len(failed) < len(states) or not states:
        found = cohort.aggregate(out, progress=console)
        kept = [row for row in found.rows if row["case_id"] not in {state.case for state in failed}]
        write_rows(out / ALL_TABLE, kept, found.columns)
        written.append(ALL_TABLE)
        for finding in found.findings:
            console.message(f"  {finding.severity}: {finding.message} {finding.advice}")
    if of_asl := cohort.asl_rows(out):
        write_rows(out / ASL_TABLE, of_asl, cohort.ASL_COLUMNS)
        written.append(ASL_TABLE)
    console.message(f"Tables in {out}: {', '.join(written) or 'none'}.")
    return list(states.values())


def _tell_failed(states: Sequence[cohort.CaseState]) -> None:
    failed = [state.case for state in states if state.state != cohort.DONE]
    if failed:
        msg = f"{len(failed)} of {len(states)} scans have no results: {_listed(failed)}."
        raise InvalidInputError(f"{msg} '{STATE_TABLE}' says why; correct them and run again, what is done is kept.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else "")
