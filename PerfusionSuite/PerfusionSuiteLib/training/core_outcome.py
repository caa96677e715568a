# SPDX-License-Identifier: Apache-2.0
"""What a training of the core's network leaves: weights that say where they come from, scores beside thresholds, a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from ..core.progress import ProgressCallback, part_of
from ..evaluation.core_scores import CoreRow, CoreScores, core_row, core_scores
from ..lesion.core_weights import CoreWeights
from .core_cases import CoreCase
from .core_plan import Plan
from .epochs import time_words

NETWORK, THRESHOLD = "network", "relative CBF"
TITLES: Mapping[str, str] = {NETWORK: "network", THRESHOLD: "relative CBF below 30 %"}


@dataclass(frozen=True, slots=True)
class Facts:
    """How weights came about.

    Parameters
    ----------
    plan : Plan
        The training.
    epochs, steps : int
        What was done.
    seconds : float, s
        Time of the epochs.
    trained, unseen : sequence of str
        Names of the cases.
    simulated : bool
        Whether the cases are digital patients.
    command, machine : str
        How it was started, and where.
    """

    plan: Plan
    epochs: int
    steps: int
    seconds: float
    trained: Sequence[str]
    unseen: Sequence[str]
    simulated: bool
    command: str
    machine: str

    @property
    def learned_from(self) -> str:
        """Return what the network knows, in words."""
        return (
            f"{len(self.trained)} {'digital CT-perfusion patients, not from infarcts' if self.simulated else 'cases of a cohort'}"
        )


def rows_of(
    weights: CoreWeights, cases: Sequence[CoreCase], device: str = "auto", progress: ProgressCallback | None = None
) -> list[CoreRow]:
    """Score a network beside the threshold.

    Parameters
    ----------
    weights : CoreWeights
        The network.
    cases : sequence of CoreCase
        That were not trained on.
    device : str
        See `fitting.devices.choose_device`.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    list of CoreRow
        Two for each case.
    """
    from .core_trainer import core_found

    tell, rows = part_of(progress, 0.0, 1.0), []
    for number, case in enumerate(cases):
        tell(number / len(cases), f"Case {number + 1} of {len(cases)}")
        rows.append(core_row(case.name, NETWORK, core_found(weights, case, device), case.core, case.scored, case.voxel_ml))
        rows.append(core_row(case.name, THRESHOLD, case.threshold, case.core, case.scored, case.voxel_ml))
    return rows


def summaries(rows: Sequence[CoreRow]) -> dict[str, CoreScores]:
    """Return the scores of each method, in the order in which they appear."""
    methods = list(dict.fromkeys(row.method for row in rows))
    return {name: core_scores([row for row in rows if row.method == name]) for name in methods}


def finished(weights: CoreWeights, facts: Facts, rows: Sequence[CoreRow]) -> CoreWeights:
    """Return weights that say how they came about."""
    plain = {key: value for key, value in asdict(facts).items() if key != "plan"}
    scores: dict[str, Any] = {name: asdict(score) for name, score in summaries(rows).items()} if rows else {}
    told = {**plain, "learned_from": facts.learned_from, "plan": facts.plan.plain(), "scores": scores}
    return replace(weights, provenance=told)


def score_table(scores: Mapping[str, CoreScores]) -> list[str]:
    """Return scores as lines of a table in Markdown."""
    lines = [
        "| core by | cases | Dice, mean | Dice, median of cores >= 5 mL | MVD +- 1.96 SD, mL | AVD, mL | FNR | nothing found | "
        "false core, worst, mL |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, s in scores.items():
        limits = f" +- {1.96 * s.sd_ml:.1f}" if isfinite(s.sd_ml) else ""
        others = (_number(s.dice, ".2f"), _number(s.dice_median, ".2f"), _number(s.mvd_ml, "+.1f") + limits)
        last = (_number(s.avd_ml, ".1f"), _number(s.fnr, ".2f"), _number(s.fnr_nothing, ".2f"), _number(s.false_ml, ".1f"))
        lines.append(f"| {' | '.join((TITLES.get(name, name), str(s.count), *others, *last))} |")
    return lines


def _number(value: float, form: str) -> str:
    return format(value, form) if isfinite(value) else "–"


def card(weights: CoreWeights, facts: Facts, rows: Sequence[CoreRow]) -> str:
    """Return a model card in Markdown.

    Parameters
    ----------
    weights : CoreWeights
        The network.
    facts : Facts
        How it was trained.
    rows : sequence of CoreRow
        Scores on cases that were not trained on.

    Returns
    -------
    str
        The card.
    """
    plan, how = facts.plan, facts.plan.augmentation
    table = [
        ("Input", f"{', '.join(weights.inputs)}: relative to the median of normal tissue; Tmax over 10 s"),
        ("Raster", f"{plan.voxel_mm:g} mm in plane, slices as they are; windows of {' x '.join(map(str, plan.window))} voxels"),
        ("Output", "background and core; core counts inside hypoperfusion of the affected hemisphere"),
        ("Network", "3D U-Net, 16, 16, 32, 32, 64 channels, instance normalization, stored with 16 bits"),
        ("Learned from", facts.learned_from + f" ({_short(facts.trained)})"),
        ("Maps by", " and ".join(weights.methods) or "not known"),
        ("Scored on", _short(facts.unseen) if facts.unseen else "nothing"),
        ("Training", f"Adam, rate {plan.rate:g}, one cycle with {100 * plan.warm_up:g} % warm-up, Dice + cross entropy, batch 1"),
        (
            "Augmentation",
            f"left-right {how.flip:g}, rotation by {how.turn_deg:g} degrees {how.rotate:g}, zoom by {100 * how.stretch:g} % "
            f"{how.zoom:g}, gain {100 * how.gain:g} %",
        ),
        ("Epochs", f"{facts.epochs} ({facts.steps} steps); {'best of the kept case' if plan.select else 'the last one'}"),
        ("Seed", str(plan.seed)),
        ("Time", f"{time_words(facts.seconds)} on {facts.machine}"),
    ]
    lines = ["# Infarct core", "", "Research use only. Made with:", "", f"    {facts.command}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in table]
    if rows:
        chose = ["They chose the epoch, so the scores flatter the network.", ""] if plan.select else []
        lines += ["", "## Scores on cases that were not trained on", "", *chose, *score_table(summaries(rows))]
    lines += ["", "## Distance from the publication", "", PUBLISHED_WORDS, ""]
    return "\n".join([*lines, "## Limits", "", SIMULATED_LIMITS if facts.simulated else OWN_LIMITS, ""])


PUBLISHED_WORDS = (
    "Published (Fast and robust CTP, 2025): relative CBF alone, 14 patients with infarcts of diffusion MRI, windows of 256 x 256 "
    "x 20 voxels, rate 5e-5, 500 epochs, the best epoch of one validation case; '--preset published' trains so."
)
SIMULATED_LIMITS = (
    "It has never seen a patient. It knows cores that digital patients define by their flow, not infarcts of follow-up imaging, "
    "and only maps of the methods above. Old infarcts, hemorrhage, posterior lesions and reperfusion are rare or absent in its "
    "cases. Not a medical device."
)
OWN_LIMITS = "It knows the scanners, methods and infarcts of its cohort. Not a medical device."


def _short(names: Sequence[str]) -> str:
    if len(names) <= 12:
        return ", ".join(names)
    return f"{len(names)}, from {names[0]} to {names[-1]}"
