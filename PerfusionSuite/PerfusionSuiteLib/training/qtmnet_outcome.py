# SPDX-License-Identifier: Apache-2.0
"""What a training of QTMnet leaves: weights that know their errors, scores beside what they have to beat, and a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ..asl.qtm_network import QtmNetwork
from ..asl.qtm_weights import Q_REF, S_REF, QtmWeights
from ..core.progress import ProgressCallback, part_of
from ..evaluation import qtmnet_estimators as estimators
from .epochs import time_words
from .qtmnet_brains import Brain
from .qtmnet_data import Cubes, moments
from .qtmnet_plan import Plan

PUBLISHED_CUBES, PUBLISHED_EPOCHS, PUBLISHED_BATCH = 6400, 40, 8

NOISES = (0.0, 0.02, 0.05)
"""Noise of the scores, in units of `S_REF`; three pairs of a scan have 0.02 to 0.07."""

SPREAD_CUBES, SPREAD_NOISES, COVERED = 96, (0.0, 0.25, 0.5, 1.0), 0.6827


@dataclass(frozen=True, slots=True)
class Row:
    """Score of an estimator on cubes that were not trained on.

    Parameters
    ----------
    method : str
        Name.
    noise : float
        In units of `S_REF`.
    nrmse_percent, bias, correlation : float
        See `evaluation.qtmnet_estimators.Scores`.
    """

    method: str
    noise: float
    nrmse_percent: float
    bias: float
    correlation: float


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
    trained, unseen : str
        Cubes in words.
    brains, kept_brain : str
        Brains that were learned from, and the one that was kept back, by their seeds; empty without any.
    command, machine : str
        How it was started, and where.
    """

    plan: Plan
    epochs: int
    steps: int
    seconds: float
    trained: str
    unseen: str
    command: str
    machine: str
    brains: str = ""
    kept_brain: str = ""

    def distance(self) -> str:
        """Return how far this is from the published training, in words."""
        plan, published = self.plan, PUBLISHED_CUBES * 9 // 10 * PUBLISHED_EPOCHS // PUBLISHED_BATCH
        seen = self.steps * plan.batch / (published * PUBLISHED_BATCH)
        words = (
            f"Published: {PUBLISHED_CUBES} cubes without exchange, 9:1, {PUBLISHED_EPOCHS} epochs of SGD with momentum from 1e-3 "
            f"to 1e-6. Here: {self.trained}, {self.epochs} epochs of {plan.optimizer}, {100 * seen:.0f} % of the "
            "published number of cubes seen."
        )
        differs = []
        if plan.regression:
            differs.append("the U-Net corrects a regression of single voxels instead of beginning from nothing")
        if plan.noise_channel:
            differs.append("the noise goes in as one more image")
        if plan.scale == "physical":
            differs.append("images are divided by a constant instead of their maximum")
        if plan.augmentation.arteries:
            differs.append("large arteries are added to cubes")
        if "later versions" in self.trained:
            differs.append("cubes into which blood enters later are learned from, too")
        if self.brains:
            differs.append("pieces of simulated brains are learned from, too; the published network saw cubes only")
        return words + (f" Other than published: {'; '.join(differs)}." if differs else "")


def finished(
    network: QtmNetwork,
    plan: Plan,
    trained: Cubes,
    plain: Cubes,
    kept: Cubes,
    *,
    brain: Brain | None = None,
    progress: ProgressCallback | None = None,
) -> QtmWeights:
    """Turn a trained network into weights, with the size of its errors on cubes that were kept back.

    Parameters
    ----------
    network : QtmNetwork
        After the training.
    plan : Plan
        How it was trained.
    trained, plain, kept : Cubes
        What it was trained on, the same without later versions (for the regression that it has to beat), and what was kept back.
    brain : Brain, optional
        Kept back, too.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    QtmWeights
        Without provenance.
    """
    weights = QtmWeights(
        tensors={name: value.detach().float().cpu().numpy() for name, value in network.state_dict().items()},
        protocol=trained.protocol,
        base=plan.base,
        regression=plan.regression,
        noise_channel=plan.noise_channel,
        scale=plan.scale,
        slope=plan.slope,
        most_label=tuple(float(v) for v in np.percentile(trained.density, 99.9, axis=(0, 2, 3, 4))),
        mean_label=float(trained.density.mean()),
        most_noise=plan.augmentation.noise * S_REF,
        moments=tuple(tuple(float(v) for v in row) for row in moments(plain)),
    )
    return replace(weights, spread=spread_of(weights, kept, plan.seed, brain=brain, progress=progress))


def spread_of(
    weights: QtmWeights,
    cubes: Cubes,
    seed: int,
    *,
    brain: Brain | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[float, ...]:
    """Learn how large errors are from what is known at use, see `QtmWeights.spread`.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    cubes : Cubes
        Cubes that were kept back.
    seed : int
        Of the noise.
    brain : Brain, optional
        That was kept back; it counts instead of the cubes, for it is what the network is used on.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    tuple of float
        Such that 68 % of the errors are smaller than their standard error.
    """
    few = cubes.chosen(np.arange(min(len(cubes), SPREAD_CUBES)))
    density, truth = (few.density, few.flow) if brain is None else (brain.density[None], brain.flow[None])
    inside = np.ones(truth.shape, bool) if brain is None else brain.mask[None]
    levels = [0.0] if not weights.most_noise else list(SPREAD_NOISES)
    parts, errors = [], []
    for number, share in enumerate(levels):
        noise = share * weights.most_noise / S_REF
        seen = np.where(inside[:, None], estimators.with_noise(density, noise, seed), np.float32(0.0))
        flow, variance = estimators.network(
            weights, seen, noise, progress=part_of(progress, number / len(levels), (number + 1) / len(levels))
        )
        known = (np.ones(flow.size), variance.ravel(), flow.ravel() ** 2, np.full(flow.size, (noise * Q_REF) ** 2))
        parts.append(np.stack(known, axis=1).astype(np.float64)[inside.ravel()])
        errors.append(np.abs(flow - truth)[inside].astype(np.float64))
    found = np.append(_fitted(parts[0][:, :3], errors[0]), 0.0)
    found *= np.quantile(errors[0] / np.sqrt(np.maximum(parts[0] @ found, 1e-6)), COVERED) ** 2
    if len(levels) > 1:
        found[3] = _noise_share(np.concatenate(parts[1:]), np.concatenate(errors[1:]), found)
    return tuple(float(v) for v in found)


def _noise_share(table: NDArray[np.float64], error: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the weight of the noise with which as many errors of noisy images are covered as of clean ones."""
    missing = np.maximum(error**2 - table @ found, 0.0) / np.maximum(table[:, 3], 1e-9)
    return float(np.quantile(missing, COVERED))


def _fitted(table: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit squared errors by terms with positive weights; large ones count less, so that few arteries do not decide."""
    scale = np.maximum(table.mean(axis=0), 1e-9)
    weight = np.ones(len(error))
    found = np.zeros(table.shape[1])
    for _ in range(3):
        found = nnls((table / scale) * weight[:, None], error**2 * weight)[0] / scale
        weight = 1.0 / np.maximum(table @ found, 0.05 * float((error**2).mean()) + 1e-9)
    return found


def scored(
    weights: QtmWeights, cubes: Cubes, *, seed: int = 0, device: Any = None, progress: ProgressCallback | None = None
) -> list[Row]:
    """Score a network beside kinetic models and the linear regression on the same cubes.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    cubes : Cubes
        Cubes that were not trained on.
    seed : int
        Of the noise.
    device : torch.device, optional
        Where.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    list of Row
        For each noise of `NOISES` and each method.
    """
    rows = []
    for number, noise in enumerate(NOISES):
        tell = part_of(progress, number / len(NOISES), (number + 1) / len(NOISES))
        seen = estimators.with_noise(cubes.density, noise, seed)
        flow, _ = estimators.network(weights, seen, noise, device=device, progress=part_of(tell, 0.0, 0.5))
        rows.append(_row(estimators.NETWORK, noise, flow, cubes))
        rows.append(_row(estimators.REGRESSION, noise, estimators.regression(weights, seen, noise), cubes))
        for step, name in enumerate(estimators.KINETIC):
            share = 0.5 + 0.5 * step / len(estimators.KINETIC)
            tell(share, f"Scores: {name}")
            rows.append(_row(name, noise, estimators.kinetic(name, seen, cubes.protocol, noise), cubes))
    return rows


def _row(method: str, noise: float, flow: NDArray[np.float32], cubes: Cubes) -> Row:
    found = estimators.scores_of(flow, cubes.flow)
    return Row(method, noise, found.nrmse, found.bias, found.correlation)


def provenance(facts: Facts, rows: Sequence[Row]) -> Mapping[str, Any]:
    """Return the facts of a training as plain values, for the file of the weights."""
    plain = {key: value for key, value in asdict(facts).items() if key != "plan"}
    return plain | {"plan": asdict(facts.plan), "distance": facts.distance(), "scores": [asdict(row) for row in rows]}


def card(weights: QtmWeights, facts: Facts, rows: Sequence[Row]) -> str:
    """Return a model card.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    facts : Facts
        How it was trained.
    rows : sequence of Row
        Its scores.

    Returns
    -------
    str
        Markdown.
    """
    plan, how = facts.plan, facts.plan.augmentation
    changes = f"noise 0 to {how.noise:g} S_ref ({100 * how.clean:.0f} % of cubes clean), half-spaces blanked in "
    changes += f"{100 * how.blank:.0f} %, gain within {100 * how.gain:.0f} %, large arteries through {100 * how.arteries:.0f} %, "
    changes += f"larger voxels in {100 * how.coarse:.0f} %, mirrored: {'yes' if how.mirror else 'no'}"
    brains = f"; pieces of simulated brains {facts.brains} ({100 * plan.pieces:.0f} % of the steps)" if facts.brains else ""
    kept = f"; size of errors learned on simulated brain {facts.kept_brain}" if facts.kept_brain else ""
    count = sum(int(np.size(value)) for value in weights.tensors.values())
    table = [
        ("Protocol", f"{weights.protocol.words()}, T1 of blood {weights.protocol.t1_blood_s:g} s, (P)CASL at 3 T"),
        ("Input", f"label density lambda dM / (2 alpha M0), scale {weights.scale}, S_ref {S_REF:g}; voxels of 2 x 2 x 4 mm"),
        ("Output", f"perfusion over {Q_REF:g} mL/100 g/min"),
        ("Network", f"3D U-Net, base {weights.base}, attention at the bottom, {count} numbers, stored with 16 bits"),
        ("Trained on", facts.trained + brains),
        ("Scored on", facts.unseen + kept),
        ("Preset", f"{plan.preset}; {plan.optimizer}, rate {plan.rate:g} to {plan.rate_end:g}, batch {plan.batch}"),
        ("Loss", f"mean absolute error + {plan.smoothness:g} x mean absolute gradient"),
        ("Augmentation", changes),
        ("Epochs", f"{facts.epochs} ({facts.steps} steps)"),
        ("Seed", str(plan.seed)),
        ("Time", f"{time_words(facts.seconds)} on {facts.machine}"),
    ]
    lines = ["# QTMnet", "", "Research use only. Made with:", "", f"    {facts.command}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in table]
    lines += [
        "",
        "## Distance from the published training",
        "",
        facts.distance(),
        "",
        "## Scores on cubes that were not trained on",
        "",
    ]
    lines += ["| noise, S_ref | method | NRMSE, % | bias, mL/100 g/min | correlation |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.noise:g} | {estimators.TITLES[row.method]} | {row.nrmse_percent:.2f} | {row.bias:+.2f} | {row.correlation:.4f} |"
        for row in rows
    ]
    lines += ["", "## Limits", "", LIMITS, ""]
    return "\n".join(lines)


LIMITS = (
    "Trained on artificial vessels only: laminar flow without pulsation, one direction of exchange at most, one T1 of blood, "
    "arteries and veins that do not know of each other, no crushers. Only the protocol above. The neighborhood that the network "
    "looks at can smooth small lesions. Not a medical device."
)
