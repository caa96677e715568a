# SPDX-License-Identifier: Apache-2.0
"""One spatial fit from curves to maps. Needs PyTorch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import voxel_sizes
from ..core.memory import give_back_freed
from ..core.progress import ProgressCallback, part_of
from ..deconvolution.codes import QualityCode
from ..deconvolution.maps import spread
from .border_voxels import REACH, unmixed
from .devices import choose_device, with_fallback
from .mesh import Mesh
from .pooled_transit import Curves, pooled_transit
from .raster_field import White, make_field, mixed
from .request import FitRequest, Fitted
from .residue_words import tell_residues
from .response_table import shape_of
from .spatial import Plan
from .spatial_data import EARLY_SD_S, SpatialData, read_scan
from .spatial_solver import Prior, Quadratic, SpatialProblem, minimise
from .spatial_spread import Averaged, misfit_over_noise, own_inverse, standard_deviations
from .spatial_start import Dictionary

Tensor = Any

LEAST_VOLUME = 1e-4
"""Share of tissue; where hardly more blood is found, nothing enhances."""

EMPTY_LOG_VOLUME = math.log(2.0 * LEAST_VOLUME)
MOST_ROWS, LEAST_ROWS = 1 << 22, 1 << 16


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
    return with_fallback(
        lambda device, rows: _run_on(request, plan, device, rows), choose_device(request.device), MOST_ROWS, request.watch,
        smallest=LEAST_ROWS,
    )  # fmt: skip


def _run_on(request: FitRequest, plan: Plan, device: Any, rows: int) -> Fitted:
    """Fit on a device, with at most so many voxels at once on a GPU."""
    data = read_scan(request, plan, device, part_of(request.progress, 0.0, 0.4), rows)
    tell_family(request, data)
    give_back_freed()
    history: dict[str, list[float]] = {"step": [], "seconds": [], "loss": [], "data": [], "smoothness": []}
    if not data.tissues:
        found = _explained(request, plan, data, history, part_of(request.progress, 0.4, 1.0))
        return _fitted(request, plan, data, found, None, history)
    gray, white = (
        _explained(
            request, plan, replace(data, manifold=tissue.manifold, family=tissue.family), history,
            part_of(request.progress, 0.4 + 0.3 * n, 0.7 + 0.3 * n),
        )
        for n, tissue in enumerate(data.tissues)
    )  # fmt: skip
    return _fitted(request, plan, data, gray, white, history)


@dataclass(frozen=True, slots=True)
class Explained:
    """What a fit with one kind of residue found.

    Parameters
    ----------
    family : str
        The residue.
    theta : tensor, shape (3, N)
        Parameters of the voxels with finite curves.
    columns : dict of ndarray, shape (N,)
        Maps in physical units.
    """

    family: str
    theta: Tensor
    columns: dict[str, NDArray[np.float32]]


def _explained(
    request: FitRequest, plan: Plan, data: SpatialData, history: dict[str, list[float]], tell: ProgressCallback
) -> Explained:
    """Fit with one kind of residue; losses of the first fit alone are recorded and shown, for two do not make one curve."""
    prior = Prior(
        plan.smoothness, plan.scales, plan.typical_mtt_s, plan.mtt_spread, EARLY_SD_S, plan.outliers, LEAST_VOLUME
    )  # fmt: skip
    task = SpatialProblem(data.manifold, data.mesh, data.few, data.variance, prior, data.relaxed)
    tell(0.0, "Start")
    began, first = time.perf_counter(), not history["step"]

    def look(step: int, model: Quadratic, theta: Tensor) -> None:
        parts = {"loss": model.objective, "data": model.misfit, "smoothness": model.objective - model.misfit}
        if first:
            for name, value in {"step": step, "seconds": time.perf_counter() - began, **parts}.items():
                history[name].append(float(value))
            request.watch.loss(step, plan.outer, parts)
        request.watch.preview(lambda: _preview(request, task, theta, data.finite))
        tell(0.15 + 0.75 * step / plan.outer, "Spatial fit")

    theta, model = minimise(task, dictionary_start(task), plan.outer, plan.inner, look)
    inverse = own_inverse(task, model, tied=not plan.average)
    del model
    give_back_freed()
    averaged = Averaged(misfit_over_noise(task, theta, plan.model_factor), data.noise_sd) if plan.average else None
    single = shared(request, data, plan, task.mesh.gather(theta)) if plan.average else task.mesh.gather(theta)
    found = parted(request, data, plan, single) if plan.borders else single
    return Explained(data.family, found, _columns(task, theta, found, inverse, (request.factor, averaged, plan.artery_error)))


def _fitted(
    request: FitRequest, plan: Plan, data: SpatialData, found: Explained, white: Explained | None, history: Any
) -> Fitted:
    """Maps and field of one explanation, or of those of gray and of white matter."""

    def placed(values: Any) -> NDArray[np.float32]:
        return _placed(np.asarray(values, np.float32), data.finite)

    def parameters(one: Explained) -> NDArray[np.float32]:
        return np.stack([placed(row) for row in one.theta.cpu().numpy()], axis=1)

    columns, second = found.columns, None
    if white is not None:
        share = data.tissues[0].share.cpu().numpy()
        columns = _mixed(found.columns, white.columns, share)
        second = White(parameters(white), white.family, placed(share))
    maps = {name: spread(request.problem, placed(values)) for name, values in columns.items()}
    codes = quality_codes(data, found.theta)
    if white is not None:  # a voxel that is empty to one of them has no mixture
        codes = np.where(codes == QualityCode.OK, quality_codes(data, white.theta), codes)
    maps["quality"] = spread(request.problem, codes, QualityCode.OUTSIDE_MASK)
    field = make_field(
        "spatial", request, parameters(found), family=found.family, dispersion=plan.dispersion, white=second,
        extra={name: placed(columns[name]) for name in ("cbf_sd", "tmax_sd")},
        settings=facts_of(data), history={name: np.array(values) for name, values in history.items()},
    )  # fmt: skip
    shapes = [shape_of(tissue.family) for tissue in data.tissues]
    maps["shape"] = np.asarray(shapes or data.manifold.table.shape)
    return Fitted(maps, field)


def _mixed(
    gray: dict[str, NDArray[np.float32]], white: dict[str, NDArray[np.float32]], share: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Maps of voxels of both tissues; the errors of both explanations are alike and not independent."""
    found = {name: share * gray[name] + (1.0 - share) * white[name] for name in gray}
    first, second = ({"flow": one["cbf"], "mtt": one["mtt"], "delay": one["delay"]} for one in (gray, white))
    whole = mixed(first, second, share)
    return found | {"mtt": whole["mtt"], "tmax": whole["delay"] + 0.5 * whole["mtt"]}


def quality_codes(data: SpatialData, theta: Tensor) -> NDArray[np.uint8]:
    """Reason codes of all curves of a request."""
    code = np.full(data.finite.size, QualityCode.NOT_FINITE, np.uint8)
    empty = (theta[0] < EMPTY_LOG_VOLUME).cpu().numpy()
    code[data.finite] = np.where(empty, QualityCode.NO_ENHANCEMENT, QualityCode.OK)
    return code


def facts_of(data: SpatialData) -> dict[str, Any]:
    """What a field remembers of the choices of a fit."""
    facts: dict[str, Any] = {"measured_noise_sd": data.noise_sd, "guided": data.relaxed is not None}
    if data.evidence is not None:
        facts["evidence_against"] = dict(data.evidence.against)
    return facts


def tell_family(request: FitRequest, data: SpatialData) -> None:
    """Say which residues were chosen and what others would leave."""
    if data.evidence is None:
        return
    families = (tissue.family for tissue in data.tissues) if data.tissues else (data.family,)
    tell_residues(request.watch, *families, against=data.evidence.against)


def dictionary_start(task: SpatialProblem) -> Tensor:
    """Parameters on the line: every voxel for itself."""
    mesh, manifold, prior = task.mesh, task.manifold, task.prior
    dictionary = Dictionary(manifold, prior.typical_mtt_s, prior.mtt_spread, prior.early_sd_s)
    theta, _ = dictionary.means(task.few, task.variance)
    theta[0] = theta[0].clamp_min(prior.least_volume).log()
    return mesh.scatter(manifold.bounded(theta, prior.least_volume))


def shared(request: FitRequest, data: SpatialData, plan: Plan, theta: Tensor) -> Tensor:
    """Parameters of shape (3, N) with transit times that alike tissue shares."""
    mask = request.mask
    mask[mask] = data.finite
    curves = Curves(data.manifold, data.few, data.variance / plan.model_factor, data.variance)
    return data.manifold.bounded(pooled_transit(curves, mask, voxel_sizes(np.asarray(request.affine)), theta), LEAST_VOLUME)


def parted(request: FitRequest, data: SpatialData, plan: Plan, theta: Tensor) -> Tensor:
    """Parameters of shape (3, N), where voxels that a border runs through are explained by the tissues of both sides."""
    mask = request.mask
    mask[mask] = data.finite
    mesh = Mesh(mask, voxel_sizes(np.asarray(request.affine)), theta.device, (REACH, REACH, 1))
    noise = data.variance / plan.model_factor if plan.average else data.variance
    return data.manifold.bounded(unmixed(mesh, data.manifold, data.few, noise, theta)[0], LEAST_VOLUME)


def _columns(
    task: SpatialProblem,
    line: Tensor,
    theta: Tensor,
    inverse: Tensor,
    known: tuple[float, Averaged | None, tuple[float, float]],
) -> dict[str, NDArray[np.float32]]:
    """Maps of the voxels of the mesh in physical units; known: factor of flow, what averaging left, the artery's error."""
    factor, averaged, artery = known
    mtt = theta[2].exp()
    delay = theta[1] - task.manifold.centre_share * mtt
    cbf = (theta[0] - theta[2]).exp() * factor
    found = {"cbf": cbf, "cbv": theta[0].exp() * (factor / 60.0), "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt}
    found.update(standard_deviations(task, line, inverse, found, averaged, artery))
    empty = theta[0] < EMPTY_LOG_VOLUME
    found = {name: values if name == "cbv" else values.masked_fill(empty, float("nan")) for name, values in found.items()}
    return {name: values.float().cpu().numpy() for name, values in found.items()}


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
