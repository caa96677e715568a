# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate core``: infarct cores of a network beside those of the threshold, or a leave-one-out study."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from ..core import InvalidInputError, part_of
from ..core.errors import require_package
from ..core.files import check_output_folder, write_text
from ..evaluation.core_scores import CoreRow
from ..fitting.devices import choose_device
from ..lesion.core_weights import SHIPPED, load_weights
from ..results.tables import write_rows
from .console import ConsoleProgress
from .stopping import kept_when_stopped
from .train_core import add_cases, plan_of, sources_of

FIRST_SEED = 900
"""Digital patients of an evaluation without a seed; the network that comes with the software has not seen them."""


def add_parser(parts: Any) -> None:
    """Register the command.

    Parameters
    ----------
    parts : argparse sub-parsers action
        Where to add it.
    """
    parser = parts.add_parser(
        "core",
        help="infarct cores of a network beside those of the threshold",
        description="Dice, volume differences, missed infarcts and Bland-Altman limits on digital patients or own cases. With "
        "--leave-one-out a network is trained for each case on all others, as published: the first case fixes settings and is "
        "left out of the scores.",
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for tables, picture and prepared cases")
    add_cases(parser)
    parser.add_argument("--weights", metavar="FILE", default=SHIPPED, help="a network of 'train core' (default: the one shipped)")
    parser.add_argument("--leave-one-out", action="store_true", help="train on all other cases instead of using weights")
    parser.add_argument("--repeats", metavar="N", type=int, default=1, help="leave-one-out with N seeds (published 5)")
    parser.add_argument("--preset", choices=("default", "published"), default="default", help="training of leave-one-out")
    parser.add_argument("--epochs", metavar="N", type=int, help="of each training (default 60; published 500)")
    parser.add_argument("--minutes", metavar="M", type=float, help="time limit of each training")
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda[:n]")
    parser.set_defaults(
        execute=execute, seed=FIRST_SEED, inputs=None, window=None, voxel_mm=None, rate=None, half=None, held_out=0.0
    )


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
    require_package("torch", "draw cores with a network")
    from ..training.core_cohort import prepared_cases
    from ..training.core_outcome import rows_of, score_table, summaries

    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    with kept_when_stopped(options.output, "cases/*"), closing(console):
        device = choose_device(options.device)
        weights = None if options.leave_one_out else load_weights(options.weights)
        sources = sources_of(options)
        _refuse_seen(sources, weights)
        cases = prepared_cases(
            options.output / "cases", sources, console.message, workers=options.workers, progress=part_of(console, 0.0, 0.5)
        )
        if weights is None:
            rows = _leave_one_out(cases, options, device, part_of(console, 0.5, 0.98))
        else:
            rows = rows_of(weights, cases, str(device), part_of(console, 0.5, 0.98))
        table = score_table(summaries(rows))
        _write(rows, table, options)
        console(1.0, "Done")
        for line in table:
            console.message(line)
        console.message(f"Tables and picture in {options.output}")
    return 0


def _refuse_seen(sources: list[Any], weights: Any) -> None:
    """Digital patients that a network has learned from say nothing about it."""
    if weights is None:
        return
    seen = {str(name) for name in weights.provenance.get("trained", ())}
    known = [source for source in sources if isinstance(source, int) and f"simulated-{source:04d}" in seen]
    if known:
        msg = f"The network has learned from the digital patient {known[0]}. Choose other seeds (--seed)."
        raise InvalidInputError(msg)


def _leave_one_out(cases: list[Any], options: argparse.Namespace, device: Any, progress: Any) -> list[CoreRow]:
    """Train for every case but the first on all others, and score it."""
    from ..training.core_outcome import rows_of
    from ..training.core_trainer import Trainer

    if len(cases) < 3:
        msg = f"Leave-one-out needs at least 3 cases, not {len(cases)}: the first one is left out of the scores. Add some."
        raise InvalidInputError(msg)
    plan, rows = plan_of(options), []
    total = options.repeats * (len(cases) - 1)
    for repeat in range(options.repeats):
        for fold in range(1, len(cases)):
            done = repeat * (len(cases) - 1) + fold - 1
            others = [case for number, case in enumerate(cases) if number != fold]
            trained, kept = (others[1:], others[:1]) if plan.select else (others, [])
            trainer = Trainer(trained, kept, replace(plan, seed=plan.seed + repeat), device)
            weights = trainer.run(part_of(progress, done / total, (done + 1) / total))
            rows += [replace(row, fold=fold, repeat=repeat) for row in rows_of(weights, [cases[fold]], str(device))]
    return rows


def _write(rows: list[CoreRow], table: list[str], options: argparse.Namespace) -> None:
    from ..evaluation.report.core_pictures import draw_agreement

    plain = [asdict(row) for row in rows]
    rounded = [{key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()} for row in plain]
    write_rows(options.output / "cases.csv", rounded, [item.name for item in fields(CoreRow)])
    head = "Leave-one-out; the first case is not scored" if options.leave_one_out else f"Network {Path(options.weights).name}"
    write_text(options.output / "summary.md", "\n".join(["# Infarct cores", "", f"{head}.", "", *table, ""]))
    draw_agreement(rows, options.output / "agreement.png")
