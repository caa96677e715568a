# SPDX-License-Identifier: Apache-2.0
"""Voxels that a border runs through: their curve is the sum of two tissues, which no single transit time explains.

Needs PyTorch. Where tissue on opposite sides of a voxel fills at different times, its curve is explained a second time, by the
curves of both sides with two free amounts of blood. Flow, volume and delay of the parts add up, so the mixture has the flow that
the voxel truly has; a single residue stretched over both fillings has too little.
"""

from __future__ import annotations

from typing import Any

import torch

from .manifold import Manifold
from .mesh import Mesh
from .row_blocks import for_rows

Tensor = Any
Offset = tuple[int, int, int]

REACH = 3
"""Voxels between a border voxel and the tissue of its side: nearer ones are mixed themselves, by averaging if not by anatomy."""

OFFSETS: tuple[Offset, ...] = (
    (2, 0, 0), (0, 2, 0), (2, 2, 0), (2, -2, 0), (3, 0, 0), (0, 3, 0), (3, 3, 0), (3, -3, 0), (0, 0, 1),
)  # fmt: skip
"""Ways to one side; the other side lies the same way back."""

LEAST_DIFFERENCE_S = 0.8
"""Sides whose centre times differ by less are one tissue."""

ODDS = 1.0
"""Of one mixture against a single tissue before looking at the curve, for each of the nine pairs. Chosen on development crops of
the analytic brain."""

USUAL_MISFIT, MODEL_ERROR = 2.7, 0.01
"""Squared misfit of a good explanation over the noise that averaging leaves, and share of a curve that it misses besides."""

LARGEST_EVIDENCE = 30.0
LEAST_ENERGY = 1e-4
"""Of a curve of unit volume, relative to the largest: what arrives after the scan tells nothing."""

CPU_ROWS, GPU_ROWS = 8192, 262144


def unmixed(mesh: Mesh, manifold: Manifold, few: Tensor, noise: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Explain voxels between two tissues by both of them.

    Parameters
    ----------
    mesh : Mesh
        Voxels, padded by at least `REACH`, `REACH` and 1.
    manifold : Manifold
        Surface of the residue.
    few : tensor, shape (N, rank)
        Projected curves.
    noise : tensor, shape (N,)
        Noise variance of one of these numbers, without any factor.
    theta : tensor, shape (3, N)
        ln CBV, centre time, ln MTT of single tissues.

    Returns
    -------
    theta : tensor, shape (3, N)
        The same for the sum of what both explanations say, each by its probability: summed volume, summed flow (as volume over
        transit time), and delay weighted by flow.
    share : tensor, shape (N,)
        Probability that the voxel is a mixture.
    """
    rank, volume = manifold.rank, theta[0].exp()
    unit = torch.empty_like(few)
    count = theta.shape[1]

    def look(here: slice) -> None:
        unit[here] = manifold.look(theta[1, here], theta[2, here])[:, :rank]

    rows = manifold.rows(CPU_ROWS, GPU_ROWS)
    for_rows(count, rows, theta.device, look)
    number = torch.full((mesh.size,), -1, dtype=torch.int64, device=theta.device)
    number[mesh.index] = torch.arange(count, device=theta.device)
    energy = unit.square().sum(1)
    told = energy > LEAST_ENERGY * energy.max()
    per_volume = (-theta[2]).exp()
    delay = theta[1] - manifold.centre_share / per_volume
    sums = torch.stack([volume * per_volume, volume, delay * volume * per_volume])
    total = torch.ones(count, dtype=few.dtype, device=theta.device)

    def work(here: slice) -> None:
        variance = USUAL_MISFIT * noise[here] + MODEL_ERROR**2 * few[here].square().mean(1)
        alone = (few[here] - unit[here] * volume[here, None]).square().sum(1)
        for offset in OFFSETS:
            row, one, other = _sides(mesh, number, here, offset, told, theta[1])
            if not row.numel():
                continue
            amounts, misfit = two_tissues(few[here][row], unit[one], unit[other], energy[one], energy[other])
            evidence = (0.5 * (alone[row] - misfit) / variance[row]).clamp(-LARGEST_EVIDENCE, LARGEST_EVIDENCE)
            weight = ODDS * evidence.exp()
            flows = amounts * torch.stack([per_volume[one], per_volume[other]])
            late = flows[0] * delay[one] + flows[1] * delay[other]
            at = row + here.start
            sums[:, at] += weight * torch.stack([flows.sum(0), amounts.sum(0), late])
            total[at] += weight

    for_rows(count, rows, theta.device, work)
    flow, blood, late = sums / total
    transit = blood / flow
    mixed = torch.stack([blood.log(), late / flow + manifold.centre_share * transit, transit.log()])
    return mixed, 1.0 - 1.0 / total


def _sides(
    mesh: Mesh, number: Tensor, here: slice, offset: Offset, told: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of a block whose sides differ, and the numbers of the voxels on both sides."""
    step = sum(go * stride for go, stride in zip(offset, mesh.steps, strict=True))
    place = mesh.index[here]
    one, other = (_at(number, place + way * step) for way in (1, -1))
    both = (one >= 0) & (other >= 0)
    one, other = one.clamp_min(0), other.clamp_min(0)
    both &= told[one] & told[other] & ((centre[one] - centre[other]).abs() > LEAST_DIFFERENCE_S)
    row = torch.nonzero(both)[:, 0]
    return row, one[row], other[row]


def _at(number: Tensor, place: Tensor) -> Tensor:
    """Numbers of voxels at places on the line, -1 beyond its ends."""
    inside = (place >= 0) & (place < number.numel())
    return torch.where(inside, number[place.clamp(0, number.numel() - 1)], torch.full_like(place, -1))


def two_tissues(few: Tensor, one: Tensor, other: Tensor, energy: Tensor, other_energy: Tensor) -> tuple[Tensor, Tensor]:
    """Find the amounts of two tissues in curves.

    Parameters
    ----------
    few : tensor, shape (n, rank)
        Projected curves.
    one, other : tensor, shape (n, rank)
        Curves of unit volume of both tissues.
    energy, other_energy : tensor, shape (n,)
        Their sums of squares.

    Returns
    -------
    amounts : tensor, shape (2, n)
        Non-negative least squares.
    misfit : tensor, shape (n,)
        Sum of squares of what is left.
    """
    along, beside = (one * few).sum(1), (other * few).sum(1)
    shared = (one * other).sum(1)
    determinant = (energy * other_energy - shared.square()).clamp_min(1e-6 * energy * other_energy)
    first = (other_energy * along - shared * beside) / determinant
    second = (energy * beside - shared * along) / determinant
    # With two unknowns the constrained minimum lies on the side of the negative one.
    only_first, only_second = (along / energy).clamp_min(0.0), (beside / other_energy).clamp_min(0.0)
    without_first, without_second = first < 0, (second < 0) & (first >= 0)
    amounts = torch.stack([
        torch.where(without_first, torch.zeros_like(first), torch.where(without_second, only_first, first)),
        torch.where(without_first, only_second, torch.where(without_second, torch.zeros_like(second), second)),
    ])  # fmt: skip
    left = few - amounts[0, :, None] * one - amounts[1, :, None] * other
    return amounts, left.square().sum(1)
