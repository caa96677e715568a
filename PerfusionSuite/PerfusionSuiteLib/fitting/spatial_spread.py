# SPDX-License-Identifier: Apache-2.0
"""Standard deviations of a spatial fit: the inverse of each voxel's own block of data and smoothness. Needs PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from .spatial_solver import Quadratic, SpatialProblem, lower_inverse

Tensor = Any

CALIBRATION = {"cbf": 1.12, "cbf guided": 0.93, "mtt": 1.1, "delay": 0.75, "tmax": 0.9}
"""What the own spreads of the blocks are multiplied with where averaging mixes tissues: 68 % of the intervals hold the truth."""

USUAL_MISFIT = 3.0
"""Misfit over noise that mixed tissues lead to; where curves miss their model by more, spreads grow. From analytic brains with
seeds below 100, 2 and 4 HU, all families."""

ARTERY_SCALE, ARTERY_S = 0.05, 0.15
"""The arterial input is never known better than to this share and this time, which no curve of tissue can tell."""

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


def standard_deviations(
    task: SpatialProblem, line: Tensor, model: Quadratic, cbf: Tensor, misfit: float | None
) -> dict[str, Tensor]:
    """Propagate the covariance of the parameters.

    Parameters
    ----------
    task : SpatialProblem
        The scan.
    line : tensor, shape (3, size)
        Parameters.
    model : Quadratic
        Around them.
    cbf : tensor, shape (N,), mL/100 g/min
        Flow.
    misfit : float or None
        From `misfit_over_noise` when alike neighbors were averaged.

    Returns
    -------
    dict of tensor, shape (N,)
        ``cbf_sd``, ``mtt_sd``, ``delay_sd``, ``tmax_sd``.
    """
    mesh, share = task.mesh, task.manifold.centre_share
    inverse = mesh.gather(lower_inverse(model.blocks, model.ties))
    mtt = mesh.gather(line)[2].exp()
    flow = _length(inverse, 1.0, 0.0, -1.0)
    own = {
        "cbf": cbf * flow,
        "mtt": mtt * _length(inverse, 0.0, 0.0, 1.0),
        "delay": _length(inverse, 0.0, 1.0, -share * mtt),
        "tmax": _length(inverse, 0.0, 1.0, (0.5 - share) * mtt),
    }
    if misfit is not None:
        more = max(1.0, misfit / USUAL_MISFIT) ** 0.5
        guided = CALIBRATION["cbf guided"] / CALIBRATION["cbf"] if task.relaxed is not None else 1.0
        own = {name: values * (more * CALIBRATION[name]) for name, values in own.items()}
        own["cbf"] = own["cbf"] * guided
    of_artery = {"cbf": cbf * ARTERY_SCALE, "mtt": 0.0 * mtt, "delay": ARTERY_S + 0.0 * mtt, "tmax": ARTERY_S + 0.0 * mtt}
    return {f"{name}_sd": (values.square() + of_artery[name].square()).sqrt() for name, values in own.items()}


def _length(inverse: Tensor, volume: float, centre: float, transit: Any) -> Tensor:
    """Standard deviation of a linear combination of the parameters: the length of the inverse factor times its weights."""
    a, b, c, d, e, f = inverse
    first = a * volume
    second = b * volume + c * centre
    third = d * volume + e * centre + f * transit
    return torch.sqrt(first.square() + second.square() + third.square())
