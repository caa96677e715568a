# SPDX-License-Identifier: Apache-2.0
"""One spatial fit from curves to maps. Needs PyTorch."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.geometry import voxel_sizes
from ..core.progress import no_progress
from ..deconvolution.codes import QualityCode
from ..deconvolution.maps import spread
from .manifold import Manifold
from .mesh import Mesh
from .raster_field import make_field
from .request import FitRequest, Fitted
from .response_table import ResponseTable
from .spatial import Plan
from .spatial_solver import Prior, Quadratic, SpatialProblem, minimise
from .spatial_spread import standard_deviations
from .spatial_start import Dictionary

Tensor = Any

BLOCK_ROWS = 65536
START_PASSES = 1
EARLY_SD_S = 0.5
LEAST_VOLUME = 1e-4


def run(request: FitRequest, plan: Plan) -> Fitted:
    """Fit a scan.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid.
    plan : Plan
        Checked settings.

    Returns
    -------
    Fitted
        Maps and field.
    """
    tell = request.progress or no_progress
    tell(0.0, "Response table")
    problem = request.problem
    device = torch.device("cpu")
    family = "box" if plan.family == "auto" else plan.family
    table = ResponseTable(problem.times_s, problem.aif, family, plan.dispersion)
    manifold = Manifold(table, plan.rank, plan.frame_weights, plan.earliest_delay_s, device=device)
    few, rest, finite = _compressed(request, manifold)
    tell(0.1, "Noise")
    mask = request.mask
    mask[mask] = finite
    mesh = Mesh(mask, voxel_sizes(np.asarray(request.affine)), device)
    few, rest = few[finite], rest[finite]
    variance = float(rest.double().sum() / max(rest.numel() * (manifold.freedom - manifold.rank), 1))
    if plan.noise_sd is not None:
        variance = plan.noise_sd**2
    variance = max(variance, (1e-4 * float(problem.aif.max())) ** 2 * 1e-2)
    spread_variance = torch.full((few.shape[0],), variance, dtype=torch.float32, device=device)
    prior = Prior(
        plan.smoothness, plan.scales, plan.typical_mtt_s, plan.mtt_spread, EARLY_SD_S, plan.outliers, LEAST_VOLUME
    )  # fmt: skip
    task = SpatialProblem(manifold, mesh, few, spread_variance, prior)
    tell(0.12, "Start")
    theta = _start(task)
    history: dict[str, list[float]] = {"step": [], "seconds": [], "loss": [], "data": [], "smoothness": []}
    began = time.perf_counter()

    def look(step: int, model: Quadratic, theta: Tensor) -> None:
        parts = {"loss": model.objective, "data": model.misfit, "smoothness": model.objective - model.misfit}
        for name, value in {"step": step, "seconds": time.perf_counter() - began, **parts}.items():
            history[name].append(float(value))
        request.watch.loss(step, plan.outer, parts)
        request.watch.preview(lambda: _preview(request, task, theta, finite))
        tell(0.25 + 0.7 * step / plan.outer, "Spatial fit")

    theta, model = minimise(task, theta, plan.outer, plan.inner, look)
    columns, theta = _columns(task, theta, model, request.factor)
    maps = {name: spread(problem, _placed(values, finite)) for name, values in columns.items()}
    code = np.where(finite, QualityCode.OK, QualityCode.NOT_FINITE).astype(np.uint8)
    maps["quality"] = spread(problem, code, QualityCode.OUTSIDE_MASK)
    parameters = np.stack([_placed(row, finite) for row in theta.cpu().numpy()], axis=1)
    field = make_field(
        "spatial", request, parameters, family=family, dispersion=plan.dispersion,
        extra={name: _placed(columns[name], finite) for name in ("cbf_sd", "tmax_sd")},
        settings={"noise_sd": math.sqrt(variance)}, history={name: np.array(values) for name, values in history.items()},
    )  # fmt: skip
    return Fitted(maps, field)


def _compressed(request: FitRequest, manifold: Manifold) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
    """Project all curves, block by block."""
    problem = request.problem
    few = torch.empty((problem.count, manifold.rank), dtype=torch.float32, device=manifold.device)
    rest = torch.empty(problem.count, dtype=torch.float32, device=manifold.device)
    finite = np.ones(problem.count, bool)
    for start in range(0, problem.count, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, problem.count)
        curves = torch.from_numpy(problem.curves(start, stop)).to(manifold.device)
        few[start:stop], rest[start:stop] = manifold.compress(curves)
        finite[start:stop] = torch.isfinite(few[start:stop]).all(dim=1).cpu().numpy()
    return few, rest, finite


def _start(task: SpatialProblem) -> Tensor:
    """Parameters on the line from lightly smoothed curves."""
    mesh, manifold, prior = task.mesh, task.manifold, task.prior
    smooth = mesh.gather(mesh.mean_of_neighbors(mesh.scatter(task.few.T.contiguous()), START_PASSES)).T.contiguous()
    dictionary = Dictionary(manifold, prior.typical_mtt_s, prior.mtt_spread, prior.early_sd_s)
    theta, _ = dictionary.means(smooth, 0.3 * task.variance)
    theta[0] = theta[0].clamp_min(prior.least_volume).log()
    return mesh.scatter(manifold.bounded(theta, prior.least_volume))


def _columns(
    task: SpatialProblem, line: Tensor, model: Quadratic, factor: float
) -> tuple[dict[str, NDArray[np.float32]], Tensor]:
    """Maps of the voxels of the mesh in physical units."""
    theta = task.mesh.gather(line)
    mtt = theta[2].exp()
    delay = theta[1] - task.manifold.centre_share * mtt
    cbf = (theta[0] - theta[2]).exp() * factor
    found = {"cbf": cbf, "cbv": theta[0].exp() * (factor / 60.0), "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt}
    found.update(standard_deviations(task, line, model, cbf))
    return {name: values.float().cpu().numpy() for name, values in found.items()}, theta


def _placed(values: NDArray[np.float32], finite: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values of the finite curves among those of all curves, NaN elsewhere."""
    if finite.all():
        return values
    full = np.full(finite.size, np.nan, np.float32)
    full[finite] = values
    return full


def _preview(
    request: FitRequest, task: SpatialProblem, line: Tensor, finite: NDArray[np.bool_]
) -> dict[str, NDArray[np.float32]]:
    theta = task.mesh.gather(line)
    mtt = theta[2].exp()
    found = {
        "cbf": (theta[0] - theta[2]).exp() * request.factor,
        "tmax": theta[1] + (0.5 - task.manifold.centre_share) * mtt,
    }
    return {name: spread(request.problem, _placed(values.cpu().numpy(), finite)) for name, values in found.items()}
