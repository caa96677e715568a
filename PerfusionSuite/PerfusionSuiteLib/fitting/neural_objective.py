# SPDX-License-Identifier: Apache-2.0
"""What a neural fit minimizes: the objective of the spatial fit, for parameters that a network gives. Needs PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.geometry import BoolArray
from ..core.progress import ProgressCallback
from .request import FitRequest
from .spatial import Plan
from .spatial_data import EARLY_SD_S, SpatialData, read_scan
from .spatial_run import LEAST_VOLUME, dictionary_start
from .spatial_solver import LARGEST_STEP, Prior, Quadratic, SpatialProblem, down, lower_inverse, up
from .spatial_spread import Averaged, misfit_over_noise, own_inverse, standard_deviations

Tensor = Any

GUIDED_UNIT = (0.2, 1.0, 0.15)
"""Differences of ln CBV, center (s) and ln MTT that count alike in a guided step."""

LARGEST_LOG_VOLUME = 0.7
LATEST_MARGIN_S = 0.1
LOG_MTT_MARGIN = 0.02


@dataclass(frozen=True, slots=True)
class Objective:
    """The objective of one scan.

    Parameters
    ----------
    data : SpatialData
        Curves, neighbors and residue.
    task : SpatialProblem
        Data, smoothness and priors.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that are fitted.
    factor : float, mL s / 100 g / min
        From the request.
    model_factor : float or None
        Of the plan, when alike neighbors were averaged.
    artery : tuple of float
        How well the arterial input is known, see `artery_error`.
    """

    data: SpatialData
    task: SpatialProblem
    mask: BoolArray
    factor: float
    model_factor: float | None
    artery: tuple[float, float]

    def bounded(self, theta: Tensor) -> Tensor:
        """Bring parameters of shape (3, N) into the range of the surface, in place."""
        return self.task.manifold.bounded(theta, LEAST_VOLUME)

    def slope(self, theta: Tensor) -> tuple[Tensor, float, float]:
        """Return the negative gradient at parameters of shape (3, N), the objective, and its part that is data."""
        model = self.task.quadratic(self.task.mesh.scatter(theta))
        return self.task.mesh.gather(model.slope), model.objective, model.misfit

    def guess(self) -> Tensor:
        """Return what each voxel is by itself, from the dictionary of all responses, shape (3, N)."""
        return self.task.mesh.gather(dictionary_start(self.task))

    def guided_slope(self, theta: Tensor, guess: Tensor, share: float) -> tuple[Tensor, float, float]:
        """Return the direction of a guided step: every voxel counts alike.

        A lesion has little contrast, so in the gradient of the objective it hardly counts beside vessels and healthy tissue,
        and a short fit would leave it as the start says. Here each voxel asks for its own Gauss-Newton step, or for the way to
        its guess.

        Parameters
        ----------
        theta : tensor, shape (3, N)
            Parameters.
        guess : tensor, shape (3, N)
            From `guess`.
        share : float
            How much of the direction is the way to the guess.

        Returns
        -------
        direction : tensor, shape (3, N)
            Takes the place of the negative gradient.
        loss, data : float
            Objective, and its part that is data.
        """
        model = self.task.quadratic(self.task.mesh.scatter(theta))
        unit = torch.tensor(GUIDED_UNIT, dtype=theta.dtype, device=theta.device)[:, None]
        step = _own_steps(self.task, model)
        return ((1.0 - share) * step + share * (guess - theta)) / unit.square(), model.objective, model.misfit

    def deviations(self, theta: Tensor, whole: Tensor) -> dict[str, NDArray[np.float32]]:
        """Return standard deviations of the maps.

        Those of the spatial fit, and how far each voxel still is from its minimum: a short fit does not get there.

        Parameters
        ----------
        theta : tensor, shape (3, N)
            Parameters that the network gives.
        whole : tensor, shape (3, N)
            Those of the maps: voxels between two tissues are explained by both.

        Returns
        -------
        dict of ndarray, shape (N,)
            By quantity.
        """
        line = self.task.mesh.scatter(theta)
        share, mtt = self.task.manifold.centre_share, whole[2].exp()
        cbf, delay = (whole[0] - whole[2]).exp() * self.factor, whole[1] - share * mtt
        maps = {"cbf": cbf, "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt}
        task = _problem(self.data, self.data.variance, self.task.prior)
        averaged = None
        if self.model_factor is not None:
            averaged = Averaged(misfit_over_noise(task, line, self.model_factor), self.data.noise_sd)
        model = task.quadratic(line)
        inverse = own_inverse(task, model, tied=averaged is None)
        found = standard_deviations(task, line, inverse, maps, averaged, self.artery)
        volume, center, transit = _own_steps(task, model)
        if averaged is not None:
            transit = torch.zeros_like(transit)  # alike tissue shares it, so the map has left the network's behind
        left = {
            "cbf_sd": cbf * (volume - transit),
            "mtt_sd": mtt * transit,
            "delay_sd": center - share * mtt * transit,
            "tmax_sd": center + (0.5 - share) * mtt * transit,
        }
        found = {name: (values.square() + left[name].square()).sqrt() for name, values in found.items()}
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
        full = np.full((self.data.finite.size, *values.shape[1:]), np.nan, np.float32)
        full[self.data.finite] = values
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
    data = read_scan(request, plan, device, progress)
    mask = request.mask
    mask[mask] = data.finite
    variance = data.variance + model_error**2 * data.few.square().mean(dim=1)
    prior = Prior(plan.smoothness, plan.scales, plan.typical_mtt_s, plan.mtt_spread, EARLY_SD_S, plan.outliers, LEAST_VOLUME)
    return Objective(
        data,
        _problem(data, variance, prior),
        mask,
        request.factor,
        plan.model_factor if plan.average else None,
        plan.artery_error,
    )


def _own_steps(task: SpatialProblem, model: Quadratic) -> Tensor:
    """Gauss-Newton step that each voxel would take by itself, shape (3, N)."""
    inverse = lower_inverse(model.blocks, model.ties)
    own = down(inverse, model.slope, torch.empty_like(model.slope))
    step = task.mesh.gather(up(inverse, own, torch.empty_like(own)))
    largest = torch.tensor(LARGEST_STEP, dtype=step.dtype, device=step.device)[:, None]
    return torch.maximum(torch.minimum(step, largest), -largest)


def _problem(data: SpatialData, variance: Tensor, prior: Prior) -> SpatialProblem:
    return SpatialProblem(data.manifold, data.mesh, data.few, variance, prior, data.relaxed)
