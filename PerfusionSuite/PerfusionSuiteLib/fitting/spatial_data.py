# SPDX-License-Identifier: Apache-2.0
"""What our own fits look at: the curves of a scan in the few numbers of a manifold, averaged over alike neighbors.

Needs PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import voxel_sizes
from ..core.memory import give_back_freed
from ..core.progress import ProgressCallback, part_of
from ..prepare.gray_matter import gray_share
from .alike import Averages, Averaging
from .manifold import LATEST_CENTRE_S, Frames, Manifold, find_basis, tabulate
from .mesh import Mesh
from .request import FitRequest
from .residue_choice import FAMILIES, Evidence, choose_family
from .response_table import ResponseTable
from .spatial import Plan

Tensor = Any

BLOCK_ROWS = 65536
EARLY_SD_S = 1.0
LEAST_NOISE = 1e-5
"""Noise that is always reckoned with, as a share of the peak of the arterial input."""

TRUSTED_SHARE = 0.4
"""A static image guides when its noise is at most this share of the difference that counts as an edge."""


@dataclass(frozen=True, slots=True)
class Tissue:
    """A kind of tissue with a residue of its own.

    Parameters
    ----------
    family : str
        Its residue.
    manifold : Manifold
        The surface of that.
    share : tensor, shape (N,)
        How much of each voxel is of this kind.
    """

    family: str
    manifold: Manifold
    share: Tensor


@dataclass(frozen=True, slots=True)
class SpatialData:
    """A scan, ready to be fitted.

    Parameters
    ----------
    manifold : Manifold
        Surface of the family that was chosen.
    mesh : Mesh
        Voxels with finite curves, and their neighbors.
    few : tensor, shape (N, rank)
        Curves in the basis of the manifold, averaged over alike neighbors when the plan says so.
    variance : tensor, shape (N,)
        Noise variance of one of these numbers.
    noise_sd : float
        Noise of a sample of a curve, as measured.
    finite : ndarray of bool, shape (M,)
        Which of the curves of the request take part.
    evidence : Evidence or None
        What speaks for the family, when it was chosen.
    family : str
        Its name.
    relaxed : tensor, shape (3, size), optional
        Factor of the edges of blood volume, below 1 where the static image has an edge.
    tissues : tuple of Tissue
        Gray and white matter, when each was found to have a residue of its own.
    """

    manifold: Manifold
    mesh: Mesh
    few: Tensor
    variance: Tensor
    noise_sd: float
    finite: NDArray[np.bool_]
    evidence: Evidence | None
    family: str
    relaxed: Tensor | None
    tissues: tuple[Tissue, ...] = ()


def read_scan(
    request: FitRequest, plan: Plan, device: Any, progress: ProgressCallback, gpu_rows: int | None = None
) -> SpatialData:
    """Bring a scan into the form that our own fits work on.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid.
    plan : Plan
        Checked settings.
    device : torch.device
        Where to compute.
    progress : callable
        Called between parts; may raise to stop.
    gpu_rows : int, optional
        Most curves that a GPU is given at once.

    Returns
    -------
    SpatialData
        Curves, noise, family and neighbors.
    """
    progress(0.0, "Response table")
    names = FAMILIES if plan.family == "auto" else (plan.family,)
    manifolds, of_family = _manifolds(request, plan, names, device, gpu_rows)
    few, noise, rest, mean, finite = _compressed(request, manifolds[0], part_of(progress, 0.05, 0.25))
    give_back_freed()
    if not finite.any():
        msg = "None of the curves in the mask is complete (all have missing or infinite samples). Check the series and the mask."
        raise InvalidInputError(msg)
    mask = request.mask
    mask[mask] = finite
    variance = _noise_variance(rest, manifolds[0], request, plan)
    spacing = voxel_sizes(np.asarray(request.affine))
    guide = _trusted_guide(request, plan, math.sqrt(variance / manifolds[0].freedom))
    averages = Averages(few, torch.full_like(rest, variance))
    if plan.average:
        averaging = Averaging(mask, spacing, device, guide, plan.guide_hu, gpu_rows)
        averages = _averaged(averaging, few, noise, plan, variance, part_of(progress, 0.25, 0.9))
    evidence, gray, family = None, None, names[0]
    if len(names) > 1:
        progress(0.9, "Choosing the residue")
        priors = (plan.typical_mtt_s, plan.mtt_spread, EARLY_SD_S)
        gray = _gray(request, mask, spacing, mean, finite) if plan.tissues else None
        evidence = choose_family(names, manifolds, averages.few, averages.variance, priors, gray)
        family = evidence.family
    mesh = Mesh(mask, spacing, device)
    progress(1.0, "Choosing the residue")
    return SpatialData(
        of_family(family), mesh, averages.few, averages.variance, math.sqrt(variance), finite, evidence, family,
        None if guide is None else relaxed_edges(mesh, guide, plan.guide_hu),
        () if evidence is None or evidence.tissues is None or gray is None else tuple(
            Tissue(kind, of_family(kind), torch.from_numpy(share).to(device))
            for kind, share in zip(evidence.tissues, (gray, 1.0 - gray), strict=True)
        ),
    )  # fmt: skip


def _manifolds(
    request: FitRequest, plan: Plan, names: tuple[str, ...], device: Any, gpu_rows: int | None
) -> tuple[list[Manifold], Callable[[str], Manifold]]:
    """Surfaces of families in one basis, so that curves are projected only once, and what makes one of any family in it."""
    problem = request.problem
    frames = Frames(problem.times_s.size, plan.frame_weights)

    def tabulated(name: str) -> tuple[ResponseTable, Any]:
        table = ResponseTable(problem.times_s, problem.aif, name, plan.dispersion)
        return table, tabulate(table, frames, plan.earliest_delay_s, LATEST_CENTRE_S)

    tables = {name: tabulated(name) for name in names}
    basis = find_basis([surface for _, surface in tables.values()], frames, plan.rank)

    @cache
    def of_family(name: str) -> Manifold:
        table, surface = tables.get(name) or tabulated(name)
        return Manifold(
            table, surface=surface, basis=basis, rank=plan.rank, frame_weights=plan.frame_weights,
            earliest_delay_s=plan.earliest_delay_s, device=device, gpu_rows=gpu_rows,
        )  # fmt: skip

    return [of_family(name) for name in names], of_family


def _compressed(
    request: FitRequest, manifold: Manifold, progress: ProgressCallback
) -> tuple[Tensor, Tensor, Tensor, NDArray[np.float32], NDArray[np.bool_]]:
    """Project all curves, block by block; of the finite ones return numbers, noise, remaining squares and means in time."""
    problem = request.problem
    parts: list[tuple[Tensor, ...]] = []
    finite, mean = np.ones(problem.count, bool), np.empty(problem.count, np.float32)
    for start in range(0, problem.count, BLOCK_ROWS):
        progress(start / problem.count, "Compressing the curves")
        stop = min(start + BLOCK_ROWS, problem.count)
        curves = problem.curves(start, stop)
        mean[start:stop] = curves.mean(axis=1)
        few, rest, noise = manifold.compress(torch.from_numpy(curves).to(manifold.device))
        good = torch.isfinite(few).all(dim=1)
        finite[start:stop] = good.cpu().numpy()
        parts.append((few, noise, rest) if bool(good.all()) else (few[good], noise[good], rest[good]))
    few, noise, rest = (torch.cat(column) for column in zip(*parts, strict=True))
    return few, noise, rest, mean[finite], finite


def _gray(
    request: FitRequest,
    mask: NDArray[np.bool_],
    spacing: NDArray[Any],
    mean: NDArray[np.float32],
    finite: NDArray[np.bool_],
) -> NDArray[np.float32] | None:
    """Share of gray matter: given, or by the static image without what contrast adds to it."""
    if request.gray is not None:
        return request.gray[finite]
    if request.guide is None:
        return None
    plain = np.array(request.guide, np.float32)
    plain[mask] -= mean
    return gray_share(plain, mask, spacing)


def _noise_variance(rest: Tensor, manifold: Manifold, request: FitRequest, plan: Plan) -> float:
    """Noise variance of a sample: given, or what the manifold leaves of a typical curve."""
    if plan.noise_sd is not None:
        return plan.noise_sd**2
    measured = float(rest.median()) / max(manifold.freedom - manifold.rank, 1) if rest.numel() else 0.0
    return max(measured, (LEAST_NOISE * float(request.problem.aif.max())) ** 2)


def _averaged(
    averaging: Averaging, few: Tensor, noise: Tensor, plan: Plan, variance: float, progress: ProgressCallback
) -> Averages:
    """Average alike neighbors; the variance that is left counts more, for averaging mixes tissues."""

    def tell(share: float) -> None:
        progress(share, "Averaging alike neighbors")

    found = averaging.run(few, noise, variance, tell)
    return replace(found, variance=(plan.model_factor * found.variance).clamp_max(variance))


def _trusted_guide(request: FitRequest, plan: Plan, guide_sd: float) -> NDArray[np.float32] | None:
    """The static image, when it is wanted and can be trusted."""
    guide = request.guide
    if plan.guide == "off" or guide is None:
        return None
    if not np.isfinite(guide[request.mask]).all():
        request.watch.note("guide_not_finite", "The static image has missing values and was not used as a guide.")
        return None
    if plan.guide == "auto" and guide_sd > TRUSTED_SHARE * plan.guide_hu:
        request.watch.note(
            "guide_noisy",
            f"The static image has noise of {guide_sd:.2g} HU and was not used as a guide.",
            "Set the option guide to 'on' to use it nevertheless.",
            "info",
            noise=guide_sd,
        )
        return None
    return guide


def relaxed_edges(mesh: Mesh, guide: Any, guide_hu: float) -> Tensor:
    """Return how much the smoothness of blood volume counts between neighbors.

    Parameters
    ----------
    mesh : Mesh
        Voxels.
    guide : ndarray, shape (I, J, K), HU
        Static image.
    guide_hu : float, HU
        Difference at which it counts half.

    Returns
    -------
    tensor, shape (3, size)
        Between 0 and 1, by axis.
    """
    line = mesh.on_line(guide)[None]
    factor = torch.ones((3, mesh.size), dtype=torch.float32, device=mesh.device)
    for axis, step in enumerate(mesh.steps):
        factor[axis, :-step] = 1.0 / (1.0 + (mesh.differences(line, axis)[0] / guide_hu).square())
    return factor
