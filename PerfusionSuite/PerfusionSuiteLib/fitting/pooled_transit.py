# SPDX-License-Identifier: Apache-2.0
"""Transit times pooled over alike tissue up to 14 mm away. Needs PyTorch.

A transit time changes the curve of normal tissue little, so a voxel and its nearest neighbors hardly tell it, and what they get
wrong is wrong in flow. It changes slowly within one kind of tissue; blood volume and centre time are told well and say what is of
one kind. Voxels that a border runs through, or whose curve no transit time explains, do not take part in the average: mixtures
look slow, and their neighbors would become so too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ..core.geometry import BoolArray, FloatArray
from .border_voxels import REACH, USUAL_MISFIT, unmixed
from .manifold import Manifold
from .mesh import Mesh
from .row_blocks import for_rows

Tensor = Any
Offset = tuple[int, int, int]

RADIUS_MM, SIGMA_MM = 14.0, 8.4
STRIDE_MM, SLICE_MM = 2.7, 5.0
"""Neighbors are visited this far apart in plane and across slices: noise of voxels next to each other is alike anyway."""

SLICES = 2
ACROSS = 0.5
"""A way across slices counts half: noise of slices is independent, and there are few of them."""

UNIT = (0.6, 1.2, 0.4)
"""Differences of ln CBV, centre time (s) and ln MTT at which the weight falls to exp(-1/2)."""

LARGEST_MOVE = 0.5
"""Of ln MTT in one pass: the surface is curved."""

PASSES = 2

SCATTER = 0.12
"""Of ln MTT within one kind of tissue. What a voxel's own curve tells better than this it keeps: without noise, everything."""

LEAST_TRUST = 1e-3
CPU_ROWS, GPU_ROWS = 65536, 262144
"""Rows per block: four hundred neighbors a block cost more in calls than in memory when blocks are small."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What is to be explained.

    Parameters
    ----------
    manifold : Manifold
        Surface of the residue.
    few : tensor, shape (N, rank)
        Projected curves.
    noise : tensor, shape (N,)
        Noise variance of one of these numbers, without any factor.
    doubt : tensor, shape (N,)
        The same with what averaging mixed: how much a curve by itself is to be doubted.
    """

    manifold: Manifold
    few: Tensor
    noise: Tensor
    doubt: Tensor


def neighbors(spacing_mm: FloatArray) -> list[tuple[Offset, float]]:
    """Return the neighbors to visit with the logarithm of their weight.

    Parameters
    ----------
    spacing_mm : ndarray, shape (3,), mm
        Voxel size.

    Returns
    -------
    list of (offset, float)
        The voxel itself included.
    """
    wanted = (STRIDE_MM, STRIDE_MM, SLICE_MM)
    stride = [max(1, round(step / float(size))) for step, size in zip(wanted, spacing_mm, strict=True)]
    reach = [int(RADIUS_MM / (stride[axis] * float(spacing_mm[axis]))) for axis in (0, 1)]
    found = []
    for k in range(-SLICES, SLICES + 1):
        for i in range(-reach[0], reach[0] + 1):
            for j in range(-reach[1], reach[1] + 1):
                offset = (i * stride[0], j * stride[1], k * stride[2])
                x, y, z = (go * float(size) for go, size in zip(offset, spacing_mm, strict=True))
                if math.hypot(x, y) <= RADIUS_MM:
                    found.append((offset, -0.5 * (x * x + y * y + (ACROSS * z) ** 2) / SIGMA_MM**2))
    return found


def pooled_transit(curves: Curves, mask: BoolArray, spacing_mm: FloatArray, theta: Tensor) -> Tensor:
    """Replace transit times by averages over alike tissue.

    Parameters
    ----------
    curves : Curves
        Curves of the voxels and their surface.
    mask : ndarray of bool, shape (I, J, K)
        Their places.
    spacing_mm : ndarray, shape (3,), mm
        Voxel size.
    theta : tensor, shape (3, N)
        ln CBV, centre time, ln MTT.

    Returns
    -------
    tensor, shape (3, N)
        The same with other transit times.

    Notes
    -----
    What is averaged is where a Gauss-Newton step of each voxel would lead, weighted by how well its curve tells the transit time:
    the average is the common step of all of them.
    """
    around = neighbors(spacing_mm)
    widest = [max(max(abs(offset[axis]) for offset, _ in around), least) for axis, least in enumerate((REACH, REACH, 1))]
    mesh = Mesh(mask, spacing_mm, theta.device, (widest[0], widest[1], widest[2]))
    own, theta = theta[2], theta.clone()
    for _ in range(PASSES):
        aim, weight, told = _aims(curves, mesh, theta)
        theta[2] = _average(mesh, around, theta, aim, weight, curves.manifold)
    alone = SCATTER**2 * told / curves.doubt
    theta[2] += (own - theta[2]) * (alone / (1.0 + alone))
    return theta


def _aims(curves: Curves, mesh: Mesh, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where every voxel would go by itself, how much that counts, and how much its curve changes with ln MTT (squared)."""
    manifold = curves.manifold
    single = 1.0 - unmixed(mesh, manifold, curves.few, curves.noise, theta)[1]
    aim, weight, change = (torch.empty_like(single) for _ in range(3))
    usual = USUAL_MISFIT * max(manifold.rank - 3, 1)

    def work(here: slice) -> None:
        blocks, slope, misfit = manifold.explain(curves.few[here], theta[:, here])
        told = blocks[5].clamp_min(1e-20)
        aim[here] = theta[2, here] + (slope[2] / told).clamp(-LARGEST_MOVE, LARGEST_MOVE)
        trust = single[here] * (1.0 - misfit / (usual * curves.noise[here])).clamp_max(0.0).exp()
        weight[here], change[here] = told * trust.clamp_min(LEAST_TRUST), told

    for_rows(theta.shape[1], manifold.rows(CPU_ROWS, GPU_ROWS), theta.device, work)
    return aim, weight, change


def _average(
    mesh: Mesh, around: list[tuple[Offset, float]], theta: Tensor, aim: Tensor, weight: Tensor, manifold: Manifold
) -> Tensor:
    """Weighted averages of the aims of alike voxels."""
    unit = torch.tensor(UNIT, device=theta.device)[:, None] * math.sqrt(2.0)
    steps = [sum(go * step for go, step in zip(offset, mesh.steps, strict=True)) for offset, _ in around]
    edge = max(abs(step) for step in steps)

    def padded(values: Tensor) -> Tensor:
        return torch.nn.functional.pad(mesh.scatter(values), (edge, edge))

    middle = aim.mean()  # kept apart, so that sums in float32 lose nothing
    features = padded(theta / unit)
    parts = padded(torch.stack([weight, weight * (aim - middle)]))
    result = torch.zeros(mesh.size, dtype=theta.dtype, device=theta.device)

    def work(block: slice) -> None:
        here = slice(block.start + edge, block.stop + edge)
        if not bool(parts[0, here].any()):
            return
        own, total = features[:, here], torch.zeros((2, block.stop - block.start), dtype=theta.dtype, device=theta.device)
        for step, (_, far) in zip(steps, around, strict=True):
            there = slice(here.start + step, here.stop + step)
            likeness = (features[:, there] - own).square_().sum(dim=0).neg_().add_(far).exp_()
            total.addcmul_(likeness, parts[:, there])
        result[block] = total[1] / total[0].clamp_min(1e-30)

    for_rows(mesh.size, manifold.rows(CPU_ROWS, GPU_ROWS), theta.device, work)
    return result[mesh.index] + middle
