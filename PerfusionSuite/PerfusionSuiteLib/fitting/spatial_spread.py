# SPDX-License-Identifier: Apache-2.0
"""Standard deviations of a spatial fit: the inverse of each voxel's own block of data and smoothness. Needs PyTorch."""

from __future__ import annotations

from typing import Any

import torch

from .spatial_solver import Quadratic, SpatialProblem, lower_inverse

Tensor = Any


def standard_deviations(task: SpatialProblem, line: Tensor, model: Quadratic, cbf: Tensor) -> dict[str, Tensor]:
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

    Returns
    -------
    dict of tensor, shape (N,)
        ``cbf_sd``, ``mtt_sd``, ``delay_sd``, ``tmax_sd``.
    """
    mesh, share = task.mesh, task.manifold.centre_share
    inverse = mesh.gather(lower_inverse(model.blocks, model.ties))
    mtt = mesh.gather(line)[2].exp()
    flow = _length(inverse, 1.0, 0.0, -1.0)
    return {
        "cbf_sd": cbf * flow,
        "mtt_sd": mtt * _length(inverse, 0.0, 0.0, 1.0),
        "delay_sd": _length(inverse, 0.0, 1.0, -share * mtt),
        "tmax_sd": _length(inverse, 0.0, 1.0, (0.5 - share) * mtt),
    }


def _length(inverse: Tensor, volume: float, centre: float, transit: Any) -> Tensor:
    """Standard deviation of a linear combination of the parameters: the length of the inverse factor times its weights."""
    a, b, c, d, e, f = inverse
    first = a * volume
    second = b * volume + c * centre
    third = d * volume + e * centre + f * transit
    return torch.sqrt(first.square() + second.square() + third.square())
