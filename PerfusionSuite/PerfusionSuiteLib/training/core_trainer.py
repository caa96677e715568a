# SPDX-License-Identifier: Apache-2.0
"""Train a network of the infarct core: from cases to weights. Needs PyTorch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..core.errors import InvalidInputError
from ..core.progress import ProgressCallback, part_of
from ..evaluation import dice
from ..fitting.checkpoint import Checkpoint, fingerprint
from ..lesion import find_preset
from ..lesion.core_unet import CoreNetwork
from ..lesion.core_weights import CoreWeights
from .core_batches import Windows
from .core_cases import CoreCase
from .core_plan import Plan
from .epochs import Steps, go_on, whole_or_undone
from .training_state import named, restore, state_arrays

COLUMNS = ("epoch", "seconds", "rate", "loss", "dice")
"""Of the record: Dice on the kept cases, NaN in epochs that are not scored."""

SCORED_EVERY, RUNNING, CLIP = 5, 10, 1.0
LEAST_RATE_SHARE = 1e-3
PROBABILITY = find_preset("core-network").core_probability


@dataclass(slots=True)
class State:
    """Where a training is."""

    network: CoreNetwork
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    seconds: float = 0.0
    record: list[tuple[float, ...]] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None


class Trainer:
    """Trains one network.

    Parameters
    ----------
    trained, kept : sequence of CoreCase
        To learn from, and to score epochs on (may be empty).
    plan : Plan
        How.
    device : torch.device
        Where.
    folder : Path, optional
        Where checkpoints are kept; a training that was interrupted goes on from one.
    """

    def __init__(
        self, trained: Sequence[CoreCase], kept: Sequence[CoreCase], plan: Plan, device: Any, folder: Path | None = None
    ) -> None:
        plan.check()
        _check_cases([*trained, *kept], plan)
        if not trained:
            msg = "There is no case to learn from. Ask for digital patients (--simulated) or give own cases (--cohort)."
            raise InvalidInputError(msg)
        if plan.select and not kept:
            msg = "Choosing the best epoch needs a kept case. Raise the share that is kept back (--held-out)."
            raise InvalidInputError(msg)
        self.plan, self.device = plan, device
        self._windows = Windows(trained, plan, device)
        self._kept = list(kept)
        self._methods = tuple(sorted({str(case.facts["method"]) for case in trained if case.facts.get("method")}))
        self._modality = _modality_of([*trained, *kept])
        names = {"trained": [case.name for case in trained], "kept": [case.name for case in kept]}
        truth = {case.name: case.core for case in trained}
        self._keeper = Checkpoint(folder, "core", fingerprint(truth, {**replace(plan, minutes=None).plain(), **names}))
        torch.manual_seed(plan.seed)
        network = CoreNetwork(len(plan.inputs)).to(device)
        self.state = State(network, torch.optim.Adam(network.parameters(), plan.rate))
        self._best_mean = -math.inf
        self._steps = Steps(self.state.network, self.state.optimizer)
        self._resume()

    def run(self, progress: ProgressCallback | None = None, told: Callable[[str], None] | None = None) -> CoreWeights:
        """Train to the end of epochs or time.

        Parameters
        ----------
        progress : callable, optional
            Progress and cancelling.
        told : callable, optional
            Takes a line after each scored epoch.

        Returns
        -------
        CoreWeights
            After the last step, or of the best epoch where the plan says so.

        Raises
        ------
        CancelledError
            If progress says so; a checkpoint was kept then.
        NumericalError
            If the loss ran away.
        """
        tell, say = part_of(progress, 0.0, 1.0), told or (lambda line: None)
        go_on(lambda: self.share(0) >= 1.0, lambda: self._epoch(tell), self.keep, say)
        return self.weights()

    def weights(self) -> CoreWeights:
        """Return what was learned so far."""
        found = self.state.best if self.plan.select and self.state.best is not None else self.state.network.state_dict()
        tensors = {name: value.detach().float().cpu().numpy() for name, value in found.items()}
        return CoreWeights(tensors, self.plan.inputs, self.plan.voxel_mm, self.plan.window, self._methods, self._modality)

    def share(self, step: int, more_s: float = 0.0) -> float:
        """Return what is done, of epochs or of time."""
        epochs = (self.state.epoch + step / len(self._windows)) / self.plan.epochs
        limit = self.plan.minutes
        return epochs if limit is None else max(epochs, (self.state.seconds + more_s) / (60.0 * limit))

    def rate(self, share: float) -> float:
        """Return the learning rate where a share of the training is done."""
        plan, share = self.plan, min(share, 1.0)
        if share < plan.warm_up:
            return plan.rate * (0.04 + 0.96 * share / plan.warm_up)
        left = (share - plan.warm_up) / (1.0 - plan.warm_up)
        return plan.rate * (LEAST_RATE_SHARE + (1.0 - LEAST_RATE_SHARE) * 0.5 * (1.0 + math.cos(math.pi * left)))

    def _epoch(self, tell: ProgressCallback) -> str:
        """See a window of every case; an epoch that is interrupted is done again."""
        state, plan = self.state, self.plan
        began, losses = time.perf_counter(), []
        order = np.random.default_rng([plan.seed, state.epoch]).permutation(len(self._windows))
        draw = torch.Generator().manual_seed(1_000_003 * plan.seed + state.epoch)
        state.network.train()
        rate = plan.rate
        with whole_or_undone(state.network, state.optimizer):
            for step, number in enumerate(order):
                share = self.share(step, time.perf_counter() - began)
                if share >= 1.0 and step:
                    break
                rate = self.rate(share)
                tell(min(share, 1.0), f"Core network, epoch {state.epoch + 1}")
                losses.append(self._step(int(number), draw, rate))
        state.epoch += 1
        state.seconds += time.perf_counter() - began
        scored = bool(self._kept) and (plan.select or state.epoch % SCORED_EVERY == 0 or self.share(0) >= 1.0)
        found = self._score() if scored else float("nan")
        state.record.append((state.epoch, state.seconds, rate, float(np.nanmean(losses)), found))
        if plan.select:
            self._select()
        words = "" if np.isnan(found) else f"  kept cases: Dice {found:.3f}"
        return f"epoch {state.epoch}  loss {np.nanmean(losses):.4f}  {state.seconds:.0f} s{words}"

    def _step(self, number: int, draw: torch.Generator, rate: float) -> float:
        state, plan = self.state, self.plan
        image, core = self._windows.make(number, draw)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.half):
            logits = state.network(image)
        loss = objective(logits.float(), core)
        return self._steps.take(loss, rate, CLIP, state.epoch + 1)

    def _score(self) -> float:
        """Return the mean Dice on the kept cases."""
        now = {name: value.float().cpu().numpy() for name, value in self.state.network.state_dict().items()}
        weights = replace(self.weights(), tensors=now)
        found = [dice(core_found(weights, case, str(self.device)) & case.scored, case.core & case.scored) for case in self._kept]
        return float(np.mean(found))

    def _select(self) -> None:
        """Keep the weights when the running mean of Dice is the best so far."""
        mean = self._running_mean(len(self.state.record))
        if mean >= self._best_mean:
            self._best_mean = mean
            self.state.best = {name: value.clone() for name, value in self.state.network.state_dict().items()}

    def _running_mean(self, epochs: int) -> float:
        """Mean Dice of the last few of so many epochs."""
        return float(np.nanmean([row[4] for row in self.state.record[max(0, epochs - RUNNING) : epochs]]))

    def keep(self) -> None:
        """Write a checkpoint."""
        state = self.state
        tensors = state_arrays(state.network, state.optimizer)
        tensors |= {f"best/{name}": value.cpu().numpy() for name, value in (state.best or {}).items()}
        tensors["record"] = np.array(state.record, np.float64).reshape(-1, len(COLUMNS))
        self._keeper.save(tensors, {"epoch": state.epoch, "seconds": state.seconds})

    def _resume(self) -> None:
        kept = self._keeper.load()
        if kept is None:
            return
        tensors, facts = kept
        state = self.state
        restore(state.network, state.optimizer, tensors)
        state.best = named(tensors, "best/") or None
        state.epoch, state.seconds = int(facts["epoch"]), float(facts["seconds"])
        state.record = [tuple(float(v) for v in row) for row in tensors["record"]]
        if self.plan.select:
            self._best_mean = max((self._running_mean(n + 1) for n in range(len(state.record))), default=-math.inf)

    def forget(self) -> None:
        """Remove the checkpoint."""
        self._keeper.clear()


def objective(logits: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
    """Return the published loss: Dice and cross entropy, weights 1 and 1.

    Parameters
    ----------
    logits : Tensor, shape (N, 2, I, J, K)
        Of background and core.
    core : Tensor of int, shape (N, I, J, K)
        1 for core.

    Returns
    -------
    Tensor
        A number. Without any core in sight, Dice asks for none to be found.
    """
    found, truth = logits.softmax(1)[:, 1], core.to(logits.dtype)
    both, total = (found * truth).sum((1, 2, 3)), (found + truth).sum((1, 2, 3))
    loss: torch.Tensor = (1.0 - (2.0 * both + 1.0) / (total + 1.0)).mean() + functional.cross_entropy(logits, core)
    return loss


def core_found(weights: CoreWeights, case: CoreCase, device: str = "auto") -> Any:
    """Return the core that a network draws in a case, where one may lie.

    Parameters
    ----------
    weights : CoreWeights
        The network.
    case : CoreCase
        With its inputs.
    device : str
        See `fitting.devices.choose_device`.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The core.
    """
    order = [case.inputs.index(name) for name in weights.inputs]
    found = weights.probability(np.asarray(case.image[order], np.float32), case.affine, device)
    return (found > PROBABILITY) & case.allowed


def _check_cases(cases: Sequence[CoreCase], plan: Plan) -> None:
    for case in cases:
        missing = [name for name in plan.inputs if name not in case.inputs]
        if missing:
            msg = f"The case '{case.name}' has no {missing[0]}, which the network shall see. Leave it out or choose other inputs."
            raise InvalidInputError(msg)


def _modality_of(cases: Sequence[CoreCase]) -> str:
    """The kind of scan that all cases come from; empty when some do not say so."""
    found = {str(case.facts.get("modality") or ("ctp" if "seed" in case.facts else "")) for case in cases}
    if {"ctp", "dsc"} <= found:
        msg = "Some of the cases are CT perfusion and some DSC-MRI, whose maps differ. Train a network for each kind."
        raise InvalidInputError(msg)
    return found.pop() if len(found) == 1 else ""
