# SPDX-License-Identifier: Apache-2.0
"""What lies beside learned weights: where they come from, how good they are, how far their training is from the published one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.files import write_text
from ..fitting.start_file import Start
from .epochs import time_words
from .reptile import Plan

PUBLISHED_OUTER, PUBLISHED_INNER, PUBLISHED_BATCH = 7500, 500, 25000


@dataclass(frozen=True, slots=True)
class Score:
    """What a start gained on a patient that was not trained on.

    Parameters
    ----------
    patient : str
        Name.
    steps : int
        Steps of both fits.
    random, learned : float
        Last loss from random weights and from the start.
    """

    patient: str
    steps: int
    random: float
    learned: float


@dataclass(frozen=True, slots=True)
class Training:
    """Facts of a training.

    Parameters
    ----------
    plan : Plan
        The outer loop.
    outer_done, inner_steps, batch : int
        Fits that were done, their steps, and samples of a step.
    seconds : float, s
        Time of the fits.
    patients : sequence of str
        Whom it was trained on.
    command : str
        How it was started.
    machine : str
        Where.
    """

    plan: Plan
    outer_done: int
    inner_steps: int
    batch: int
    seconds: float
    patients: Sequence[str]
    command: str
    machine: str

    def distance(self) -> str:
        """Return how far this is from the published training, in words."""
        if not self.batch:
            return (
                f"There is no published training of this method. {self.outer_done} fits of {self.inner_steps} steps, all curves "
                f"in every step, on {len(self.patients)} patients."
            )
        steps, published = self.outer_done * self.inner_steps, PUBLISHED_OUTER * PUBLISHED_INNER
        samples = steps * self.batch / (published * PUBLISHED_BATCH)
        return (
            f"{self.outer_done} fits of {self.inner_steps} steps are {100 * steps / published:.2g} % of the published "
            f"{PUBLISHED_OUTER} x {PUBLISHED_INNER} steps, and with batches of {self.batch} samples {100 * samples:.2g} % of the "
            f"samples; {len(self.patients)} patients instead of 898."
        )


def card(start: Start, training: Training, scores: Sequence[Score]) -> str:
    """Return a model card.

    Parameters
    ----------
    start : Start
        The weights.
    training : Training
        How they were made.
    scores : sequence of Score
        On patients that were not trained on.

    Returns
    -------
    str
        Markdown.
    """
    plan = training.plan
    if plan.outer == "adam":
        outer = f"epsilon times the way back given to Adam as a gradient (epsilon {plan.epsilon:g}, highest rate {plan.rate:g})"
    else:
        end = "" if plan.epsilon_end is None else f" falling to {plan.epsilon_end:g}"
        outer = f"weights move towards the fitted ones by epsilon = {plan.epsilon:g}{end}"
    rows = [
        ("Method", start.method),
        ("Frame", f"{start.frame.name}: {start.frame.words()}"),
        ("Weights", f"{sum(value.size for value in start.weights.values())} numbers, stored with 16 bits"),
        ("Patients", _short(training.patients)),
        ("Outer loop", f"{plan.outer}: {outer}"),
        ("Outer steps", str(training.outer_done)),
        ("Inner steps", f"{training.inner_steps}, {training.batch or 'all'} samples each"),
        ("Seed", str(plan.seed)),
        ("Time", f"{time_words(training.seconds)} on {training.machine}"),
    ]
    lines = [f"# Learned start for {start.method}", "", "Research use only. Made with:", "", f"    {training.command}", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), ""]
    lines += ["## Distance from the published training", "", training.distance(), ""]
    if scores:
        lines += ["## Loss on patients that were not trained on", ""]
        lines += ["| patient | steps | from random weights | from this start |", "|---|---|---|---|"]
        lines += [f"| {s.patient} | {s.steps} | {s.random:.4f} | {s.learned:.4f} |" for s in scores]
        lines += [""]
    return "\n".join(lines)


def write_card(path: Path, start: Start, training: Training, scores: Sequence[Score]) -> Path:
    """Write a model card, see `card`."""
    return write_text(path, card(start, training, scores))


def provenance(training: Training, scores: Sequence[Score]) -> Mapping[str, object]:
    """Return the same facts as plain values, for the file of the weights."""
    return {
        "outer": training.plan.outer,
        "outer_steps": training.outer_done,
        "inner_steps": training.inner_steps,
        "batch": training.batch,
        "seed": training.plan.seed,
        "patients": list(training.patients),
        "distance": training.distance(),
        "scores": [{"patient": s.patient, "steps": s.steps, "random": s.random, "learned": s.learned} for s in scores],
    }


def _short(names: Sequence[str]) -> str:
    if len(names) <= 12:
        return f"{len(names)}: {', '.join(names)}"
    return f"{len(names)}, from {names[0]} to {names[-1]}"
