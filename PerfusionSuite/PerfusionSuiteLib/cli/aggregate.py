# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite aggregate FOLDER --output summary.csv``: the metrics of all cases in one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import cohort
from ..core import InvalidInputError
from ..core.files import check_output_folder
from ..results.tables import write_rows
from .console import ConsoleProgress

_MOST_SHOWN = 10


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser(
        "aggregate",
        help="gather the metrics of all cases in one table",
        description="Searches FOLDER and all folders below for metrics.json (of any version, and of the published programs) and "
        "writes one row per case, named by its folder. Entries that could name a patient are left out.",
    )  # fmt: skip
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder with one folder of results per case")
    parser.add_argument("--output", metavar="FILE.csv", type=Path, required=True, help="the table to write")
    parser.add_argument("--outcomes", metavar="FILE.csv", type=Path, help="a table of outcomes to put beside the metrics")
    parser.add_argument("--id-column", metavar="NAME", default="case_id", help="its column with the names of the cases")
    parser.add_argument(
        "--key", metavar="FILE.csv", type=Path,
        help="the key of a numbered cohort (OUT-key.csv), when the outcomes stand beside the names of the scans",
    )  # fmt: skip
    parser.add_argument("--slices", action="store_true", help="also the values of each slice, a column for each")
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
        If the output is a folder.
    """
    check_output_folder(options.output.parent)
    if options.output.is_dir():
        msg = f"'{options.output}' is a folder. Name the CSV file to write, for example {options.output / 'summary.csv'}."
        raise InvalidInputError(msg)
    console = ConsoleProgress(check_stop=options.check_stop)
    try:
        found = cohort.aggregate(options.folder, lists=options.slices, progress=console)
    finally:
        console.close()
    rows, columns = found.rows, found.columns
    merged = None
    if options.outcomes is not None:
        key = cohort.read_key(options.key) if options.key is not None else None
        merged = cohort.merge_outcomes(found, cohort.read_table(options.outcomes), id_column=options.id_column, key=key)
        rows, columns = merged.rows, merged.columns
    write_rows(options.output, rows, columns)
    print(f"{len(rows)} {'case' if len(rows) == 1 else 'cases'}, {len(columns)} columns in {options.output}")
    for name, reason in found.skipped:
        print(f"  skipped: {name} ({reason})")
    for finding in found.findings:
        print(f"  {finding.severity}: {finding.message} {finding.advice}")
    _list("left out, they could name a patient", (*found.withheld, *(merged.withheld if merged else ())))
    if merged:
        _list("without outcome", merged.without_outcome)
        _list("in the outcome table only", merged.without_metrics)
        _list("renamed to NAME_outcome, since the metrics have that name", merged.renamed)
    return 0


def _list(title: str, names: Sequence[str]) -> None:
    if names:
        shown = ", ".join(names[:_MOST_SHOWN]) + (f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else "")
        print(f"  {title}: {len(names)} ({shown})")
