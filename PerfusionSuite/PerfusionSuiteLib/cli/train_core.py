# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite train core``: train the network that draws infarct cores, on digital patients or a folder of own cases."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import InvalidInputError, part_of
from ..core.errors import require_package
from ..core.files import check_output_folder, write_text
from ..fitting.devices import choose_device
from ..lesion.core_image import INPUTS
from ..lesion.core_weights import CoreWeights, save_weights
from .console import ConsoleProgress
from .stopping import kept_when_stopped
from .training_files import CHECKPOINTS, machine_words, write_record

if TYPE_CHECKING:
    from ..training.core_cohort import Source
    from ..training.core_plan import Plan
    from ..training.core_trainer import Trainer

PRESETS = ("default", "published")
FIRST_SEED = 400
"""Digital patients of a training without a seed; seeds below 1000 are for development."""


def add_parser(parts: Any) -> None:
    """Register the command.

    Parameters
    ----------
    parts : argparse sub-parsers action
        Where to add it.
    """
    parser = parts.add_parser(
        "core",
        help="the network that draws infarct cores",
        description="Writes core.safetensors with a model card and scores beside the threshold on relative flow; an interrupted "
        "training goes on when the same command is given again. Use the result with 'run IN OUT --preset core-network "
        "--threshold core_network=OUT/core.safetensors'.",
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for weights, card, scores, record and prepared cases")
    add_cases(parser)
    parser.add_argument("--held-out", metavar="SHARE", type=float, default=0.15, help="share kept back to score (default 0.15)")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="default, or as published")
    parser.add_argument("--inputs", nargs="+", choices=tuple(INPUTS), help="what the network sees (default all; published rcbf)")
    parser.add_argument("--window", metavar="N", type=int, nargs=3, help="voxels seen at once (default 96 96 12)")
    parser.add_argument("--voxel-mm", metavar="MM", type=float, help="in-plane voxels of the network (default 1.2)")
    parser.add_argument("--epochs", metavar="N", type=int, help="times that every case is seen (default 60; published 500)")
    parser.add_argument("--minutes", metavar="M", type=float, help="time limit, within which the schedule comes to its end")
    parser.add_argument("--rate", metavar="X", type=float, help="highest learning rate (default 0.002; published 0.00005)")
    parser.add_argument("--half", action=argparse.BooleanOptionalAction, help="convolutions in bfloat16 (default: no)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda[:n]")
    parser.set_defaults(execute=execute)


def add_cases(parser: argparse.ArgumentParser) -> None:
    """Add what says which cases are used.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a command.
    """
    parser.add_argument("--simulated", metavar="N", type=int, help="N digital patients through the whole chain, 40 s each")
    parser.add_argument("--seed", metavar="S", type=int, default=FIRST_SEED, help=f"first of them (default {FIRST_SEED})")
    parser.add_argument("--workers", metavar="N", type=int, default=1, help="processes that make them (default 1)")
    parser.add_argument(
        "--cohort", metavar="FOLDER", type=Path,
        help="own cases: sub-folders with finished maps, as 'run' writes them, and the infarct on their grid as infarct.nii.gz",
    )  # fmt: skip


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
    require_package("torch", "train networks")
    require_package("safetensors", "write learned weights")
    from ..training.core_cohort import prepared_cases
    from ..training.core_outcome import Facts, card, finished, rows_of, score_table, summaries
    from ..training.core_trainer import Trainer

    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    with kept_when_stopped(options.output, CHECKPOINTS, "cases/*"), closing(console):
        plan, device = plan_of(options), choose_device(options.device)
        plan.check()
        cases = prepared_cases(
            options.output / "cases", sources_of(options), console.message, workers=options.workers,
            progress=part_of(console, 0.0, 0.4),
        )  # fmt: skip
        trained, kept = _split(cases, options.held_out)
        if not kept:
            console.message("No case is kept back, so there will be no scores. Raise --held-out, or give more cases.")
        trainer = Trainer(trained, kept, plan, device, folder=options.output)
        if trainer.state.epoch:
            console.message(f"Going on after {trainer.state.epoch} epochs.")
        weights = trainer.run(part_of(console, 0.4, 0.95), console.message)
        state = trainer.state
        facts = Facts(
            plan, state.epoch, state.epoch * len(trained), state.seconds, [case.name for case in trained],
            [case.name for case in kept], options.cohort is None, _command(options), machine_words(device),
        )  # fmt: skip
        rows = rows_of(weights, kept, str(device), part_of(console, 0.95, 0.99))
        _write(finished(weights, facts, rows), card(weights, facts, rows), trainer, options.output)
        trainer.forget()
        console(1.0, "Done")
        for line in score_table(summaries(rows)) if rows else []:
            console.message(line)
        console.message(f"Weights and model card in {options.output}")
    return 0


def sources_of(options: argparse.Namespace) -> list[Source]:
    """Return which cases the options name.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_cases` adds.

    Returns
    -------
    list of int or Path
        Seeds, or folders.

    Raises
    ------
    InvalidInputError
        If they name none.
    """
    from ..training.core_cohort import folders_of_cases

    if (options.simulated is None) == (options.cohort is None):
        msg = "Say which cases to use: either --simulated N or --cohort FOLDER."
        raise InvalidInputError(msg)
    if options.cohort is not None:
        return list(folders_of_cases(options.cohort))
    if options.simulated < 1 or options.seed < 0:
        msg = f"--simulated {options.simulated} --seed {options.seed} names nobody. Give at least 1, and a seed of 0 or more."
        raise InvalidInputError(msg)
    return [options.seed + number for number in range(options.simulated)]


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the training that the options ask for."""
    from ..training.core_plan import PUBLISHED, Plan

    plan = PUBLISHED if options.preset == "published" else Plan()
    given = {"epochs": options.epochs, "minutes": options.minutes, "rate": options.rate, "half": options.half}
    given |= {"voxel_mm": options.voxel_mm, "seed": options.seed}
    given |= {name: tuple(getattr(options, name)) for name in ("inputs", "window") if getattr(options, name)}
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def _split(cases: list[Any], share: float) -> tuple[list[Any], list[Any]]:
    """Keep the last cases back."""
    kept = min(round(max(share, 0.0) * len(cases)), len(cases) - 1)
    return cases[: len(cases) - kept], cases[len(cases) - kept :]


def _write(weights: CoreWeights, text: str, trainer: Trainer, folder: Path) -> None:
    from ..training.core_trainer import COLUMNS

    save_weights(folder / "core.safetensors", weights)
    write_text(folder / "core.md", text)
    write_record(folder / "training.csv", COLUMNS, trainer.state.record)


def _command(options: argparse.Namespace) -> str:
    """The command without folders, which are nobody's business."""
    source = "--cohort FOLDER" if options.cohort is not None else f"--simulated {options.simulated} --seed {options.seed}"
    words = f"perfusion-suite train core OUT {source} --preset {options.preset} --held-out {options.held_out:g}"
    for name in ("inputs", "window"):
        if getattr(options, name):
            words += f" --{name} {' '.join(map(str, getattr(options, name)))}"
    for name in ("voxel_mm", "epochs", "minutes", "rate"):
        if getattr(options, name) is not None:
            words += f" --{name.replace('_', '-')} {getattr(options, name):g}"
    return words + (" --half" if options.half else "")
