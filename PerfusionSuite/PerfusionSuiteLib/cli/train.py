# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite train``: learn what fits start from, or a network, on digital patients or a folder of own scans."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..core import InvalidInputError, part_of
from ..core.errors import require_package
from ..core.files import check_output_folder
from ..fitting.devices import choose_device
from ..fitting.standard_frame import STANDARD_SHAPE, STANDARD_SPACING_MM
from ..fitting.start_file import save_start
from ..training import learners
from ..training.model_card import Score, Training, provenance, write_card
from ..training.patients import Cohort, scans_in, usable
from ..training.reptile import COLUMNS, Plan, Reptile
from . import train_core, train_qtmnet
from .console import ConsoleProgress
from .stopping import kept_when_stopped
from .training_files import CHECKPOINTS, machine_words, write_record

FIRST_SEED = 200
"""Digital patients of a training without a seed; seeds below 1000 are for development."""


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("train", help="learn what fits start from, the ASL network, the network of the infarct core")
    parts = parser.add_subparsers(dest="part", required=True, metavar="WHAT")
    reptile = parts.add_parser(
        "reptile",
        help="a start for neural fields",
        description="Fits one patient after the other and learns weights from which a new one needs few steps. Writes "
        "METHOD.safetensors with a model card; an interrupted training goes on when the same command is given again. "
        "Use the result with 'run --method METHOD --option start=OUT/METHOD.safetensors'.",
    )
    reptile.add_argument("output", metavar="OUT", type=Path, help="folder for the weights, their card and the prepared patients")
    reptile.add_argument("--method", choices=tuple(learners.LEARNERS), required=True, help="whose start")
    reptile.add_argument("--simulated", metavar="N", type=int, help="train on N digital patients")
    reptile.add_argument("--seed", metavar="S", type=int, default=FIRST_SEED, help="first of them, and seed of the training")
    reptile.add_argument("--voxel-mm", metavar="MM", type=float, nargs=3, help="their voxels (default 0.91 0.91 5, the frame's)")
    reptile.add_argument("--cohort", metavar="FOLDER", type=Path, help="train on own CT scans: a sub-folder or file for each")
    reptile.add_argument("--held-out", metavar="N", type=int, default=1, help="patients kept back to score the start (default 1)")
    reptile.add_argument("--outer", choices=("adam", "interp"), default="adam", help="as the paper's text, or its algorithm box")
    reptile.add_argument("--outer-steps", metavar="N", type=int, default=7500, help="fits (default 7500, as published)")
    reptile.add_argument("--inner-steps", metavar="N", type=int, help="steps of a fit (default: the method's)")
    reptile.add_argument("--batch", metavar="N", type=int, help="samples of a step (default: the method's)")
    reptile.add_argument("--epsilon", metavar="X", type=float, default=0.1, help="share of the way (default 0.1, as published)")
    reptile.add_argument("--epsilon-end", metavar="X", type=float, help="interp: share of the way at the end (default: constant)")
    reptile.add_argument("--rate", metavar="X", type=float, default=1e-2, help="adam: highest rate (default 0.01, as published)")
    reptile.add_argument("--minutes", metavar="M", type=float, help="time limit of all fits together")
    reptile.add_argument("--device", default="auto", help="auto (default), cpu or cuda[:n]")
    reptile.set_defaults(execute=execute)
    train_qtmnet.add_parser(parts)
    train_core.add_parser(parts)


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
    require_package("torch", "train neural fields")
    require_package("safetensors", "write learned weights")
    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    with kept_when_stopped(options.output, CHECKPOINTS, "patients/*"), closing(console):
        plan = _plan(options)
        cohort = _cohort(options)
        numbers = usable(cohort, console.message, part_of(console, 0.0, 0.3))
        kept_back = min(max(options.held_out, 0), len(numbers) - 1)
        trained, unseen = (numbers[: len(numbers) - kept_back], numbers[len(numbers) - kept_back :])
        learner = learners.make(options.method, options.inner_steps, options.batch, choose_device(options.device))
        names = [cohort.names[number] for number in trained]
        facts = {"patients": names, "inner_steps": learner.inner_steps, "batch": learner.batch}
        reptile = Reptile(learner, Chosen(cohort, trained), plan, folder=options.output, belongs_to=facts)
        if reptile.state.step:
            console.message(f"Going on after {reptile.state.step} fits.")
        weights = reptile.run(part_of(console, 0.3, 0.95), console.message)
        scores = _scores(learner, weights, cohort, unseen)
        done, seconds = reptile.state.step, reptile.state.seconds
        training = Training(
            plan, done, learner.inner_steps, learner.batch, seconds, names, _command(options),
            machine_words(choose_device(options.device)),
        )  # fmt: skip
        start = learner.start(weights, provenance(training, scores))
        path = save_start(options.output / f"{options.method}.safetensors", start)
        write_card(options.output / f"{options.method}.md", start, training, scores)
        write_record(options.output / "training.csv", COLUMNS, reptile.state.record)
        reptile.forget()
        console(1.0, "Done")
        console.message(f"Start and model card in {path.parent}")
    return 0


class Chosen:
    """Some patients of a cohort.

    Parameters
    ----------
    cohort : Cohort
        All.
    numbers : list of int
        Which.
    """

    def __init__(self, cohort: Cohort, numbers: list[int]) -> None:
        self._cohort, self._numbers = cohort, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def patient(self, number: int) -> Any:
        """Return a patient."""
        return self._cohort.patient(self._numbers[number])


def _plan(options: argparse.Namespace) -> Plan:
    plan = Plan(
        options.outer, options.outer_steps, options.epsilon, options.epsilon_end, options.rate, seed=options.seed,
        minutes=options.minutes,
    )  # fmt: skip
    plan.check()
    return plan


def _cohort(options: argparse.Namespace) -> Cohort:
    if (options.simulated is None) == (options.cohort is None):
        msg = "Say whom to train on: either --simulated N or --cohort FOLDER."
        raise InvalidInputError(msg)
    cache = options.output / "patients"
    if options.cohort is not None:
        return Cohort(cache, scans_in(options.cohort))
    if options.simulated < 1 or options.seed < 0:
        msg = (
            f"--simulated {options.simulated} --seed {options.seed} names no patients. Give at least 1, and a seed of at least 0."
        )
        raise InvalidInputError(msg)
    seeds = [options.seed + number for number in range(options.simulated)]
    if options.voxel_mm is None:
        return Cohort(cache, seeds)
    size = np.array(options.voxel_mm)
    if not (size > 0.3).all() or not (size < 20.0).all():
        msg = f"--voxel-mm {' '.join(f'{v:g}' for v in size)} is no voxel size in mm. Choose numbers from 0.3 to 20."
        raise InvalidInputError(msg)
    i, j, k = (max(8, round(n * mm / step)) for n, mm, step in zip(STANDARD_SHAPE, STANDARD_SPACING_MM, size, strict=True))
    return Cohort(cache, seeds, shape=(i, j, k), spacing_mm=(float(size[0]), float(size[1]), float(size[2])))


def _scores(learner: Any, weights: Any, cohort: Cohort, unseen: list[int]) -> list[Score]:
    """Fit patients that were not trained on from random weights and from the start, with equal steps."""
    random = learner.parameters()
    return [
        Score(
            cohort.names[number],
            learner.inner_steps,
            learner.fit_inner(random, cohort.patient(number), 0)[1],
            learner.fit_inner(weights, cohort.patient(number), 0)[1],
        )
        for number in unseen
    ]


def _command(options: argparse.Namespace) -> str:
    """The command without folders, which are nobody's business."""
    source = "--cohort FOLDER" if options.cohort is not None else f"--simulated {options.simulated}"
    words = f"perfusion-suite train reptile OUT --method {options.method} {source} --seed {options.seed} --outer {options.outer}"
    given = ("outer_steps", "inner_steps", "batch", "epsilon", "epsilon_end", "rate", "minutes", "held_out")
    if options.voxel_mm is not None:
        words += f" --voxel-mm {' '.join(f'{v:g}' for v in options.voxel_mm)}"
    return words + "".join(f" --{name.replace('_', '-')} {getattr(options, name):g}" for name in given if getattr(options, name))
