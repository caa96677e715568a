# SPDX-License-Identifier: Apache-2.0
"""Train QTMnet: from cubes of simulated vessels to weights that a scan is analyzed with. Needs PyTorch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..asl.qtm_network import QtmNetwork, VoxelRegression, estimate
from ..asl.qtm_weights import Q_REF, S_REF
from ..core.progress import ProgressCallback, no_progress, part_of
from ..evaluation.qtmnet_estimators import scores_of
from ..fitting.checkpoint import Checkpoint, fingerprint
from .epochs import Steps, go_on, whole_or_undone
from .qtmnet_batches import Augmentation, Batches
from .qtmnet_brains import PIECE, Brain, Pieces
from .qtmnet_data import Cubes
from .qtmnet_plan import Plan
from .training_state import restore, state_arrays

COLUMNS = ("epoch", "seconds", "rate", "loss", "nrmse_percent", "bias", "brain_nrmse_percent")
"""Of the record: the last three on what is kept back, without noise; NaN in epochs that are not scored."""

SCORED_EVERY, SCORED_BATCH = 5, 64

VOXEL_STEPS, VOXEL_BATCH, VOXEL_RATE = 3000, 2048, 3e-3
"""Of the regression that a training begins with: about a minute of a CPU."""


@dataclass(slots=True)
class State:
    """Where a training is."""

    network: QtmNetwork
    optimizer: torch.optim.Optimizer
    epoch: int = 0
    seconds: float = 0.0
    record: list[tuple[float, ...]] = field(default_factory=list)


class Trainer:
    """Trains one network.

    Parameters
    ----------
    trained, kept : Cubes
        To learn from, and to score epochs on.
    plan : Plan
        How.
    device : torch.device
        Where.
    brains : sequence of Brain
        To learn from piece by piece.
    kept_brain : Brain, optional
        To score epochs on.
    folder : Path, optional
        Where checkpoints are kept; a training that was interrupted goes on from one.
    progress : callable, optional
        Progress and cancelling of the regression that a training begins with.
    """

    def __init__(
        self,
        trained: Cubes,
        kept: Cubes,
        plan: Plan,
        device: Any,
        *,
        brains: Sequence[Brain] = (),
        kept_brain: Brain | None = None,
        folder: Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        plan.check()
        self.plan, self.device = plan, device
        self._protocol = trained.protocol
        options: dict[str, Any] = {"noise_channel": plan.noise_channel, "scale": plan.scale, "device": device}
        self._batches = Batches.of(trained, plan.augmentation, **options)
        self._scored = Batches.of(kept, Augmentation(mirror=False), **options)
        self._pieces = Pieces(brains, self._batches) if brains else None
        self._kept_brain = kept_brain
        facts = asdict(replace(plan, minutes=None)) | {"brains": [brain.name for brain in (*brains, *filter(None, [kept_brain]))]}
        mark = fingerprint({"seeds": trained.seeds, "kept": kept.seeds}, {**facts, "protocol": trained.protocol.words()})
        self._keeper = Checkpoint(folder, "qtmnet", mark)
        kept_state = self._keeper.load()
        self.state = self._fresh(regress=kept_state is None, progress=part_of(progress, 0.0, 1.0))
        self._steps = Steps(self.state.network, self.state.optimizer)
        if kept_state is not None:
            self._restore(*kept_state)

    @property
    def steps(self) -> int:
        """Steps of an epoch, which sees every cube once, and pieces of brains in between."""
        cubes = -(-len(self._batches.x) // self.plan.batch)
        return cubes if self._pieces is None else cubes + len(self._rests(cubes))

    def _rests(self, cubes: int) -> NDArray[Any]:
        """Return before which steps with cubes there are steps with pieces."""
        share = self.plan.pieces
        return np.sort(np.arange(round(cubes * share / (1.0 - share))) % cubes)

    def _fresh(self, *, regress: bool, progress: ProgressCallback) -> State:
        plan = self.plan
        torch.manual_seed(plan.seed)
        network = QtmNetwork(
            self._batches.x.shape[1], plan.base, noise_channel=plan.noise_channel, slope=plan.slope, regression=plan.regression
        )
        network = network.to(self.device)
        if network.regression is not None and regress:
            begin_with_regression(network.regression, self._batches, plan.seed, progress)
        if self.device.type == "cuda" or plan.half:
            network = network.to(memory_format=torch.channels_last_3d)
        if plan.optimizer == "adamw":
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=plan.decay)
        else:
            optimizer = torch.optim.SGD(network.parameters(), plan.rate, momentum=0.9)
        return State(network, optimizer)

    def run(self, progress: ProgressCallback | None = None, told: Callable[[str], None] | None = None) -> QtmNetwork:
        """Train to the end of epochs or time.

        Parameters
        ----------
        progress : callable, optional
            Progress and cancelling.
        told : callable, optional
            Takes a line after each scored epoch.

        Returns
        -------
        QtmNetwork
            After the last step; none is selected.

        Raises
        ------
        CancelledError
            If progress says so; a checkpoint was kept then.
        NumericalError
            If the loss ran away.
        """
        tell, say = part_of(progress, 0.0, 1.0), told or (lambda line: None)
        go_on(lambda: self.state.epoch >= self.plan.epochs or self.share(0) >= 1.0, lambda: self._epoch(tell), self.keep, say)
        return self.state.network

    def share(self, step: int, more_s: float = 0.0) -> float:
        """Return what is done, of epochs or of time."""
        epochs = (self.state.epoch + step / self.steps) / self.plan.epochs
        limit = self.plan.minutes
        return epochs if limit is None else max(epochs, (self.state.seconds + more_s) / (60.0 * limit))

    def _epoch(self, tell: ProgressCallback) -> str:
        """See every cube once; an epoch that is interrupted is done again."""
        state, plan = self.state, self.plan
        began, losses = time.perf_counter(), []
        groups = self._groups()
        draw = torch.Generator().manual_seed(1_000_003 * plan.seed + state.epoch)
        state.network.train()
        rate = plan.rate
        with whole_or_undone(state.network, state.optimizer):
            for step in range(self.steps):
                share = self.share(step, time.perf_counter() - began)
                rate = plan.rate_end + 0.5 * (plan.rate - plan.rate_end) * (1.0 + np.cos(np.pi * min(share, 1.0)))
                tell(min(share, 1.0), f"QTMnet, epoch {state.epoch + 1}")
                losses.append(self._step(groups[step], draw, rate))
        state.epoch += 1
        state.seconds += time.perf_counter() - began
        last = state.epoch >= plan.epochs or self.share(0) >= 1.0
        scored = last or state.epoch % SCORED_EVERY == 0
        nrmse, bias = self._score() if scored else (float("nan"), float("nan"))
        brain = self._score_brain() if scored else float("nan")
        state.record.append((state.epoch, state.seconds, rate, float(np.nanmean(losses)), nrmse, bias, brain))
        words = "" if np.isnan(nrmse) else f"  unseen cubes: NRMSE {nrmse:.2f} %, bias {bias:+.2f}"
        words += "" if np.isnan(brain) else f"; unseen brain: {brain:.2f} %"
        return f"epoch {state.epoch}  loss {np.nanmean(losses):.5f}  {state.seconds:.0f} s{words}"

    def _groups(self) -> list[NDArray[Any] | None]:
        """Return the cubes of each step, None for steps with pieces of brains."""
        order = np.random.default_rng([self.plan.seed, 2, self.state.epoch]).permutation(len(self._batches.x))
        batch = self.plan.batch
        groups: list[NDArray[Any] | None] = []
        cubes = -(-order.size // batch)
        pieces = np.bincount(self._rests(cubes), minlength=cubes) if self._pieces is not None else np.zeros(cubes, int)
        for number in range(cubes):
            groups += [None] * int(pieces[number])
            groups.append(order[number * batch : (number + 1) * batch])
        return groups

    def _step(self, numbers: NDArray[Any] | None, draw: torch.Generator, rate: float) -> float:
        state, plan = self.state, self.plan
        x, y = self._seen(numbers, draw)
        with self._precision():
            found = state.network(x)
        loss = objective(found.float(), y, plan.smoothness)
        return self._steps.take(loss, rate, plan.clip or float("inf"), state.epoch + 1)

    def _seen(self, numbers: NDArray[Any] | None, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Make a batch of cubes, or of pieces with about as many voxels."""
        if numbers is not None:
            return self._batches.make(numbers, draw)
        assert self._pieces is not None
        cubes = self.plan.batch * self._batches.y[0].numel()
        return self._pieces.make(max(1, round(cubes / math.prod(PIECE))), draw)

    def _precision(self) -> Any:
        return torch.autocast(self.device.type, torch.bfloat16) if self.plan.half else nullcontext()

    def _score(self) -> tuple[float, float]:
        """Return NRMSE (percent) and bias (mL/100 g/min) on the cubes that are kept back."""
        network, batches = self.state.network.eval(), self._scored
        squares = truth = bias = 0.0
        with torch.inference_mode():
            for start in range(0, len(batches.x), SCORED_BATCH):
                x, y = batches.x[start : start + SCORED_BATCH], batches.y[start : start + SCORED_BATCH]
                seen, factor = batches.scaled(x, torch.zeros((len(x), 1, 1, 1, 1), device=x.device))
                off = network(seen) * factor - y
                squares, truth = squares + float(off.square().sum()), truth + float(y.square().sum())
                bias += float(off.sum())
        return 100.0 * (squares / truth) ** 0.5, Q_REF * bias / batches.y.numel()

    def _score_brain(self) -> float:
        """Return NRMSE (percent) on the brain that is kept back; NaN without one."""
        brain = self._kept_brain
        if brain is None:
            return float("nan")
        network, options = self.state.network.eval(), {"dtype": torch.float32, "device": self.device}
        x = torch.as_tensor(brain.density[None] / np.float32(S_REF), **options)
        with torch.inference_mode():
            seen, factor = self._batches.scaled(x, torch.zeros((1, 1, 1, 1, 1), device=self.device))
            flow = Q_REF * (estimate(network, seen) * factor)[0, 0].clamp(min=0.0).cpu().numpy()
        return scores_of(flow, brain.flow, brain.mask).nrmse

    def keep(self) -> None:
        """Write a checkpoint."""
        state = self.state
        tensors = state_arrays(state.network, state.optimizer)
        tensors["record"] = np.array(state.record, np.float64).reshape(-1, len(COLUMNS))
        self._keeper.save(tensors, {"epoch": state.epoch, "seconds": state.seconds})

    def _restore(self, tensors: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        state = self.state
        restore(state.network, state.optimizer, tensors)
        state.epoch, state.seconds = int(facts["epoch"]), float(facts["seconds"])
        state.record = [tuple(float(v) for v in row) for row in tensors["record"]]

    def forget(self) -> None:
        """Remove the checkpoint."""
        self._keeper.clear()


def objective(found: torch.Tensor, truth: torch.Tensor, smoothness: float) -> torch.Tensor:
    """Return the published loss: mean absolute error, and a weight times the mean absolute gradient of the output.

    Parameters
    ----------
    found, truth : Tensor, shape (B, 1, I, J, K)
        Perfusion over its reference value.
    smoothness : float
        The weight.

    Returns
    -------
    Tensor
        A number.
    """
    loss = (found - truth).abs().mean()
    if smoothness:
        for axis in (2, 3, 4):
            loss = loss + smoothness * found.diff(dim=axis).abs().mean()
    return loss


def begin_with_regression(
    regression: VoxelRegression, batches: Batches, seed: int, progress: ProgressCallback = no_progress
) -> None:
    """Fit the part of a network that sees single voxels: the linear sum in closed form, the perceptron by Adam.

    Parameters
    ----------
    regression : VoxelRegression
        Changed in place.
    batches : Batches
        Cubes to learn from, with the noise to expect.
    seed : int
        Of the draws.
    progress : callable, optional
        Progress and cancelling.
    """
    delays = batches.x.shape[1]
    curves, flows = batches.x.movedim(1, 0).reshape(delays, -1), batches.y.reshape(-1)
    exact = curves.double()
    squares, vectors = torch.linalg.eigh(exact @ exact.T / exact.shape[1])
    squares, basis = squares.flip(0).clamp(min=1e-12), vectors.flip(1).T
    regression.basis.copy_(basis)
    regression.sizes.copy_(squares.sqrt())
    with torch.no_grad():
        regression.weights.copy_(basis @ (exact @ flows.double()) / exact.shape[1] / squares)
    draw = torch.Generator().manual_seed(7_000_003 * seed + 1)
    optimizer = torch.optim.Adam(regression.parameters(), VOXEL_RATE)
    for step in range(VOXEL_STEPS):
        progress(step / VOXEL_STEPS, "Regression of single voxels")
        optimizer.param_groups[0]["lr"] = 0.5 * VOXEL_RATE * (1.0 + np.cos(np.pi * step / VOXEL_STEPS))
        rows = torch.randint(flows.numel(), (VOXEL_BATCH,), generator=draw).to(curves.device)
        x, y = batches.voxels(curves[:, rows], flows[rows], draw)
        loss = (regression(x)[1] - y).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def knows_half(device: Any) -> bool:
    """Return whether bfloat16 is faster on a device.

    Parameters
    ----------
    device : torch.device
        Where.

    Returns
    -------
    bool
        Whether the processor has instructions for it.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known is not None and known())
