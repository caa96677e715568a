# SPDX-License-Identifier: Apache-2.0
"""The steps of a neural fit: losses, previews, checkpoints. Needs PyTorch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import CancelledError
from ..core.progress import ProgressCallback
from ..deconvolution.maps import spread
from .checkpoint import Checkpoint
from .lattice_network import Adam, LatticeNetwork
from .neural_objective import Objective
from .raster_field import flow_mtt_delay
from .request import FitRequest

Tensor = Any

KEEP_EVERY_S = 60.0
"""A checkpoint is written this often, beside the one when a fit is cancelled."""

_COLUMNS = ("step", "seconds", "loss", "data", "smoothness")


class Learner:
    """A network, its optimizer and the record of its losses.

    Parameters
    ----------
    objective : Objective
        What is minimized.
    network : LatticeNetwork
        What learns.
    optimizer : Adam
        How.
    steps : int
        How long.
    guidance : float
        Share of the steps in which every voxel counts alike and is drawn to its own best guess, less and less; 0 for none.
    """

    def __init__(self, objective: Objective, network: LatticeNetwork, optimizer: Adam, steps: int, guidance: float = 0.0) -> None:
        self.objective, self.network, self.optimizer, self.steps = objective, network, optimizer, steps
        self.guidance = guidance
        self._guess = objective.guess() if guidance > 0 else None
        self.history: dict[str, list[float]] = {name: [] for name in _COLUMNS}

    def theta(self) -> Tensor:
        """Return ln CBV, center and ln MTT of all voxels within their bounds, shape (3, N)."""
        with torch.no_grad():
            return self.objective.bounded(self.network.theta())

    def step(self) -> dict[str, float]:
        """Take one step.

        Returns
        -------
        dict of float
            ``loss`` before the step, and its parts ``data`` and ``smoothness``.
        """
        raw = self.network.theta()
        with torch.no_grad():
            theta = self.objective.bounded(raw.detach().clone())
            if self._guess is None:
                slope, loss, data = self.objective.slope(theta)
            else:
                share = max(0.0, 1.0 - self.optimizer.done / (self.guidance * self.steps))
                slope, loss, data = self.objective.guided_slope(theta, self._guess, share)
        raw.backward(-slope)
        self.optimizer.step()
        return {"loss": loss, "data": data, "smoothness": loss - data}

    def learn(self, request: FitRequest, checkpoint: Checkpoint, progress: ProgressCallback) -> None:
        """Take all steps that are left.

        Parameters
        ----------
        request : FitRequest
            Who looks on.
        checkpoint : Checkpoint
            Where the state is kept from time to time, and when the fit is cancelled.
        progress : callable
            May raise `CancelledError`.

        Raises
        ------
        CancelledError
            If somebody asked to stop; a fit of the same request goes on from there.
        """
        before = self.history["seconds"][-1] if self.history["seconds"] else 0.0
        began = kept = time.perf_counter()
        while self.optimizer.done < self.steps:
            done = self.optimizer.done
            try:
                progress(done / self.steps, "Neural field")
            except (CancelledError, KeyboardInterrupt):
                self._keep(checkpoint)
                raise
            parts = self.step()
            now = time.perf_counter()
            for name, value in {"step": done + 1, "seconds": before + now - began, **parts}.items():
                self.history[name].append(float(value))
            request.watch.loss(done + 1, self.steps, parts)
            request.watch.preview(lambda: self._preview(request))
            if now - kept > KEEP_EVERY_S:
                self._keep(checkpoint)
                kept = time.perf_counter()

    def record(self) -> dict[str, NDArray[np.float64]]:
        """Return the losses as arrays."""
        return {name: np.array(values) for name, values in self.history.items()}

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, when there is one.

        Parameters
        ----------
        checkpoint : Checkpoint
            Of the same request.
        """
        found = checkpoint.load()
        if found is None:
            return
        tensors, facts = found
        with torch.no_grad():
            for name, values in self.network.weights.items():
                values.copy_(torch.from_numpy(tensors[f"weights/{name}"]).reshape(values.shape))
        self.optimizer.restore(tensors, int(facts["done"]))
        self.history = {name: tensors[f"history/{name}"].tolist() for name in _COLUMNS}

    def _keep(self, checkpoint: Checkpoint) -> None:
        tensors: dict[str, NDArray[Any]] = {f"weights/{name}": values for name, values in self.network.arrays().items()}
        tensors |= {f"history/{name}": np.array(values, np.float64) for name, values in self.history.items()}
        checkpoint.save({**tensors, **self.optimizer.state()}, {"done": self.optimizer.done})

    def _preview(self, request: FitRequest) -> Mapping[str, NDArray[np.float32]]:
        found = flow_mtt_delay(self.theta().T.cpu().numpy(), self.objective.data.family)
        columns = {"cbf": found["flow"] * np.float32(request.factor), "tmax": found["delay"] + np.float32(0.5) * found["mtt"]}
        return {name: spread(request.problem, self.objective.placed(values)) for name, values in columns.items()}
