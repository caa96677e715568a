# SPDX-License-Identifier: Apache-2.0
"""What a neural fit minimizes: the objective of the spatial fit, for parameters that a network gives. Needs PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.geometry import BoolArray, voxel_sizes
from ..core.progress import ProgressCallback
from .manifold import Manifold
from .mesh import Mesh
from .request import FitRequest
from .response_table import ResponseTable
from .spatial import Plan
from .spatial_run import EARLY_SD_S, LEAST_VOLUME
from .spatial_solver import Prior, SpatialProblem
from .spatial_spread import standard_deviations

Tensor = Any

BLOCK_ROWS = 65536
LARGEST_LOG_VOLUME = 0.7
LATEST_MARGIN_S = 0.1
LOG_MTT_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Objective:
    """The objective of one scan.

    Parameters
    ----------
    task : SpatialProblem
        Data, smoothness and priors.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that are fitted.
    finite : ndarray of bool, shape (M,)
        Which of the requested curves those are.
    family : str
        Residue.
    noise_sd : float
        Noise of a sample.
    factor : float, mL s / 100 g / min
        From the request.
    """

    task: SpatialProblem
    mask: BoolArray
    finite: NDArray[np.bool_]
    family: str
    noise_sd: float
    factor: float

    def bounded(self, theta: Tensor) -> Tensor:
        """Bring parameters of shape (3, N) into the range of the surface, in place."""
        return self.task.manifold.bounded(theta, LEAST_VOLUME)

    def slope(self, theta: Tensor) -> tuple[Tensor, float, float]:
        """Return the negative gradient at parameters of shape (3, N), the objective, and its part that is data."""
        model = self.task.quadratic(self.task.mesh.scatter(theta))
        return self.task.mesh.gather(model.slope), model.objective, model.misfit

    def deviations(self, theta: Tensor) -> dict[str, NDArray[np.float32]]:
        """Return standard deviations of the maps at parameters of shape (3, N), by quantity, shape (N,)."""
        line = self.task.mesh.scatter(theta)
        cbf = (theta[0] - theta[2]).exp() * self.factor
        found = standard_deviations(self.task, line, self.task.quadratic(line), cbf)
        return {name: values.float().cpu().numpy() for name, values in found.items()}

    def bounds(self) -> dict[str, Any]:
        """Return the range of the parameters as plain values."""
        manifold = self.task.manifold
        low, high = manifold.log_mtt_range
        return {
            "log_volume": [math.log(LEAST_VOLUME), LARGEST_LOG_VOLUME],
            "log_mtt": [low + LOG_MTT_MARGIN, high - LOG_MTT_MARGIN],
            "earliest_delay_s": manifold.earliest_delay_s,
            "latest_center_s": manifold.centre_range[1] - LATEST_MARGIN_S,
        }

    def placed(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put values of the fitted voxels among those of all requested curves, NaN elsewhere."""
        full = np.full((self.finite.size, *values.shape[1:]), np.nan, np.float32)
        full[self.finite] = values
        return full


def prepare(request: FitRequest, plan: Plan, model_error: float, device: Any, progress: ProgressCallback) -> Objective:
    """Build the objective of a scan.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid.
    plan : Plan
        Settings of the objective.
    model_error : float
        Share of a curve that the model may miss.
    device : torch.device
        Where it computes.
    progress : callable
        Called between parts.

    Returns
    -------
    Objective
        Ready to be minimized.
    """
    problem = request.problem
    progress(0.0, "Response table")
    family = "box" if plan.family == "auto" else plan.family
    manifold = Manifold(
        ResponseTable(problem.times_s, problem.aif, family, plan.dispersion), plan.rank, plan.frame_weights,
        plan.earliest_delay_s, device=device,
    )  # fmt: skip
    progress(0.4, "Compressing the curves")
    few, rest, finite = _compressed(request, manifold)
    mask = request.mask
    mask[mask] = finite
    few, rest = few[finite], rest[finite]
    variance = float(rest.double().sum() / max(rest.numel() * (manifold.freedom - manifold.rank), 1))
    if plan.noise_sd is not None:
        variance = plan.noise_sd**2
    variance = max(variance, (1e-5 * float(problem.aif.max())) ** 2)
    prior = Prior(plan.smoothness, plan.scales, plan.typical_mtt_s, plan.mtt_spread, EARLY_SD_S, plan.outliers, LEAST_VOLUME)
    mesh = Mesh(mask, voxel_sizes(np.asarray(request.affine)), device)
    each = variance + model_error**2 * few.square().mean(dim=1)
    return Objective(
        SpatialProblem(manifold, mesh, few, each, prior), mask, finite, family, math.sqrt(variance), request.factor
    )  # fmt: skip


def _compressed(request: FitRequest, manifold: Manifold) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
    """Project all curves, block by block; return them, the squares of what is left, and which of them are finite."""
    problem = request.problem
    few = torch.empty((problem.count, manifold.rank), dtype=torch.float32, device=manifold.device)
    rest = torch.empty(problem.count, dtype=torch.float32, device=manifold.device)
    for start in range(0, problem.count, BLOCK_ROWS):
        here = slice(start, min(start + BLOCK_ROWS, problem.count))
        found = manifold.compress(torch.from_numpy(problem.curves(here.start, here.stop)).to(manifold.device))
        few[here], rest[here] = found[0], found[1]
    return few, rest, torch.isfinite(few).all(dim=1).cpu().numpy()
