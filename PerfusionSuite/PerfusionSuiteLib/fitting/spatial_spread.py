# SPDX-License-Identifier: Apache-2.0
"""Standard deviations of a spatial fit: noise, tissues mixed by averaging, and the arterial input. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from .artery_error import EXACT
from .mesh import Mesh
from .spatial_solver import Quadratic, SpatialProblem, lower_inverse

Tensor = Any

VOLUME = 0.54
"""Share of a single voxel's error of blood volume that averaging leaves in flow. It does not shrink with the number of voxels
averaged: the noisier a scan, the more unlike the volumes that are taken for alike."""

GUIDED = 0.7
"""Factor of this where edges of the static image keep tissues apart."""

LIKENESS = 0.034
"""What transit times pooled over alike tissue are off, as a share of flow."""

SINGLE: Mapping[str, float] = MappingProxyType({"mtt": 0.1, "delay": 0.094})
"""Share of a single voxel's error that pooling leaves in transit time and delay."""

AVERAGED = 0.61
"""Share of what curves as they were averaged (and their mixtures, by `model_factor`) leave open about Tmax."""

ROUGHNESS: Mapping[str, float] = MappingProxyType({"cbf": 0.43, "mtt": 2.3, "delay": 1.64, "tmax": 0.84})
"""What the scatter of a map among the nearest voxels is multiplied with: near edges averaging mixes tissues. All were read
off an analytic brain (seed 11, 2 and 4 HU, box and exponential residues), cut to the lesion and in whole slices, so that 68 %
intervals hold the truth in normal tissue, penumbra and core of each of them."""

USUAL_MISFIT = 3.0
"""Misfit over noise that mixed tissues lead to; where curves miss their model by more, spreads grow."""

LEAST_FLOW = 1.0
"""mL/100 g/min; scatter is that of the logarithm of flow, which ends here."""

BLOCK_ROWS = 8192
SAMPLE = 20000


def misfit_over_noise(task: SpatialProblem, line: Tensor, model_factor: float) -> float:
    """Return the squared misfit of a typical curve over what noise alone would leave.

    Parameters
    ----------
    task : SpatialProblem
        The scan; its variance is the noise times `model_factor`.
    line : tensor, shape (3, size)
        Parameters.
    model_factor : float
        See `spatial.OPTIONS`.

    Returns
    -------
    float
        1 when noise explains everything.
    """
    theta = task.mesh.gather(line)
    chosen = slice(None, None, max(1, theta.shape[1] // SAMPLE))
    few, variance, theta = task.few[chosen], task.variance[chosen], theta[:, chosen]
    parts = [
        task.manifold.explain(few[n : n + BLOCK_ROWS], theta[:, n : n + BLOCK_ROWS])[2]
        for n in range(0, few.shape[0], BLOCK_ROWS)
    ]
    ratio = torch.cat(parts) / variance * (model_factor / max(task.manifold.rank - 3, 1))
    return float(ratio.median())


def own_inverse(task: SpatialProblem, model: Quadratic, *, tied: bool) -> Tensor:
    """Return the inverse factors of the voxels' own blocks: all that is needed of a model in the end.

    Parameters
    ----------
    task : SpatialProblem
        The scan.
    model : Quadratic
        Around the parameters that minimize the objective.
    tied : bool
        Whether the smoothness holds a voxel to its neighbors. It does not tell more of a voxel that was averaged with them.

    Returns
    -------
    tensor, shape (6, N)
        See `spatial_solver.lower_inverse`.
    """
    return task.mesh.gather(lower_inverse(model.blocks, model.ties if tied else torch.zeros_like(model.ties)))


@dataclass(frozen=True, slots=True)
class Averaged:
    """What is known of curves that were averaged with alike neighbors.

    Parameters
    ----------
    misfit : float
        From `misfit_over_noise`.
    noise_sd : float
        Of a sample of a single voxel.
    """

    misfit: float
    noise_sd: float


def standard_deviations(
    task: SpatialProblem,
    line: Tensor,
    inverse: Tensor,
    maps: Mapping[str, Tensor],
    averaged: Averaged | None,
    artery: tuple[float, float] = EXACT,
) -> dict[str, Tensor]:
    """Put together what a fit cannot know: noise, tissues mixed by averaging, and the arterial input.

    Parameters
    ----------
    task : SpatialProblem
        The scan.
    line : tensor, shape (3, size)
        Parameters that minimize the objective.
    inverse : tensor, shape (6, N)
        Of the voxels' own blocks around them, see `own_inverse`: tied without averaging, untied with it.
    maps : mapping of str to tensor, shape (N,)
        ``cbf`` in mL/100 g/min, ``mtt``, ``delay`` and ``tmax`` in s.
    averaged : Averaged or None
        When alike neighbors were averaged; without averaging the blocks hold all there is.
    artery : tuple of float
        See `artery_error`.

    Returns
    -------
    dict of tensor, shape (N,)
        ``cbf_sd``, ``mtt_sd``, ``delay_sd``, ``tmax_sd``.
    """
    mesh, share = task.mesh, task.manifold.centre_share
    mtt, cbf = mesh.gather(line)[2].exp(), maps["cbf"]
    own = {
        "cbf": cbf * _length(inverse, 1.0, 0.0, -1.0),
        "mtt": mtt * _length(inverse, 0.0, 0.0, 1.0),
        "delay": _length(inverse, 0.0, 1.0, -share * mtt),
        "tmax": _length(inverse, 0.0, 1.0, (0.5 - share) * mtt),
    }
    if averaged is not None:
        own["cbf"] = cbf * inverse[0]  # of volume alone: transit times were pooled
        squares = _of_averages(task, own, maps, averaged)
    else:
        squares = {name: values.square() for name, values in own.items()}
    for name, values in (("cbf", cbf), ("mtt", maps["mtt"])):  # what an artery's shape lacks in flow it has in transit time
        squares[name] = squares[name] + (artery[0] * values).square()
    for name in ("delay", "tmax"):
        squares[name] = squares[name] + artery[1] ** 2
    return {f"{name}_sd": values.sqrt() for name, values in squares.items()}


def _of_averages(
    task: SpatialProblem, own: Mapping[str, Tensor], maps: Mapping[str, Tensor], averaged: Averaged
) -> dict[str, Tensor]:
    """Squared errors of maps of averaged curves, from the spreads that their own blocks give."""
    cbf = maps["cbf"]
    rough = _scatter(task.mesh, torch.stack([cbf.clamp_min(LEAST_FLOW).log(), *(maps[name] for name in own if name != "cbf")]))
    rough[0] *= cbf
    single = (averaged.noise_sd**2 / task.variance).clamp_min(1.0)
    volume = VOLUME if task.relaxed is None else GUIDED * VOLUME
    noise = {
        "cbf": volume**2 * single * own["cbf"].square() + (LIKENESS * cbf).square(),
        **{name: factor**2 * single * own[name].square() for name, factor in SINGLE.items()},
        "tmax": AVERAGED**2 * own["tmax"].square(),
    }
    more = max(1.0, averaged.misfit / USUAL_MISFIT)
    return {name: more * noise[name] + (ROUGHNESS[name] * rough[at]).square() for at, name in enumerate(own)}


def _scatter(mesh: Mesh, values: Tensor) -> Tensor:
    """Standard deviation of maps of shape (C, N) among each voxel and its nearest neighbors in the slice."""
    middle = values.mean(dim=1, keepdim=True)
    line = mesh.scatter(values - middle)
    mean, square = mesh.mean_of_neighbors(line), mesh.mean_of_neighbors(line.square())
    return mesh.gather((square - mean.square()).clamp_min(0.0).sqrt())


def _length(inverse: Tensor, volume: float, centre: float, transit: Any) -> Tensor:
    """Standard deviation of a linear combination of the parameters: the length of the inverse factor times its weights."""
    a, b, c, d, e, f = inverse
    first = a * volume
    second = b * volume + c * centre
    third = d * volume + e * centre + f * transit
    return torch.sqrt(first.square() + second.square() + third.square())
