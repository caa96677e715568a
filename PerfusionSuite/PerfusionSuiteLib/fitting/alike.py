# SPDX-License-Identifier: Apache-2.0
"""Average of voxels whose responses are alike, in the few numbers of the manifold instead of all frames.

Needs PyTorch. The same idea as `prepare.similarity`, judged twice: first by lightly smoothed responses, then by what the first
look left, in the neighboring slices too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..core.geometry import BoolArray, FloatArray
from .mesh import Mesh
from .row_blocks import for_rows

Tensor = Any
Offset = tuple[int, int, int]

FIRST_MM, SECOND_MM, SHARPNESS, SPREAD = 6.0, 5.5, 0.7, 1.5
SIGMA_SHARE = 0.75
MOST_NEIGHBORS = 110
SMOOTHING_MM = 1.25
STRIDE = (9, 1)
CPU_ROWS, GPU_ROWS = 8192, 1 << 22

SCATTER, GUIDED_SCATTER = 0.08, 0.025
"""Share by which amounts of blood scatter within what is taken for alike: without and with a static image to tell tissues."""


@dataclass(frozen=True, slots=True)
class Averages:
    """What the averaging left.

    Parameters
    ----------
    few : tensor, shape (N, rank)
        Averaged responses.
    variance : tensor, shape (N,)
        Noise variance of one of these numbers.
    """

    few: Tensor
    variance: Tensor


def window(radius_mm: float, spacing_mm: FloatArray, slices: int) -> tuple[list[Offset], int]:
    """Return the neighbors to visit, and the stride at which they are taken in plane.

    Parameters
    ----------
    radius_mm : float, mm
        In-plane radius.
    spacing_mm : ndarray, shape (3,), mm
        Voxel size.
    slices : int
        Slices above and below.

    Returns
    -------
    offsets : list of tuple
        Without the voxel itself.
    stride : int
        Above 1 on fine grids, so that no more than `MOST_NEIGHBORS` of a slice are visited.
    """
    reach = [max(1, int(radius_mm / float(step))) for step in spacing_mm[:2]]
    stride = 1
    while True:
        found = [
            (i, j, k)
            for k in range(-slices, slices + 1)
            for i in range(-reach[0], reach[0] + 1)
            for j in range(-reach[1], reach[1] + 1)
            if math.hypot(i * spacing_mm[0], j * spacing_mm[1]) <= radius_mm and i % stride == 0 and j % stride == 0
        ]
        if len(found) <= MOST_NEIGHBORS * (2 * slices + 1) or stride >= STRIDE[min(slices, 1)]:
            return [o for o in found if o != (0, 0, 0)], stride
        stride += 1


class Averaging:
    """The raster on which alike voxels are averaged.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    spacing_mm : ndarray, shape (3,), mm
        Voxel size.
    device : torch.device
        Where to compute.
    guide : ndarray, shape (I, J, K), optional
        Static image.
    guide_hu : float
        Difference in it at which the weight falls to exp(-1/2).
    gpu_rows : int, optional
        Most voxels that a GPU is given at once.
    """

    def __init__(
        self,
        mask: BoolArray,
        spacing_mm: FloatArray,
        device: Any,
        guide: Any = None,
        guide_hu: float = 2.5,
        gpu_rows: int | None = None,
    ) -> None:
        self.first, self.first_stride = window(FIRST_MM, spacing_mm, 0)
        self.second, self.second_stride = window(SECOND_MM, spacing_mm, 1 if mask.shape[2] > 1 else 0)
        reach = np.abs(np.array([(0, 0, 0), *self.first, *self.second])).max(axis=0)
        self.mesh = Mesh(mask, spacing_mm, device, (int(reach[0]), int(reach[1]), max(1, int(reach[2]))))
        self.spacing_mm, self.guide_hu, self.gpu_rows = spacing_mm, guide_hu, gpu_rows or GPU_ROWS
        self.passes = max(1, round(2.0 * (SMOOTHING_MM / float(min(spacing_mm[:2]))) ** 2))
        self.guide = None if guide is None else self.mesh.on_line(guide)[None]
        ones = torch.ones((1, self.mesh.index.numel()), dtype=torch.float32, device=self.mesh.device)
        self.inside = self.mesh.scatter(ones)

    def run(self, few: Tensor, noise: Tensor, variance: float, tell: Callable[[float], None]) -> Averages:
        """Average twice.

        Parameters
        ----------
        few : tensor, shape (N, rank)
            Responses.
        noise : tensor, shape (N, channels)
            Numbers that hold nothing but noise of the same kind.
        variance : float
            Noise variance of one number.
        tell : callable
            Progress from 0 to 1; may raise to stop.

        Returns
        -------
        Averages
            Averaged responses and their noise.
        """
        mesh, rank = self.mesh, few.shape[1]
        raw = mesh.scatter(torch.cat([few, noise], dim=1).T.contiguous())
        smooth = mesh.mean_of_neighbors(raw, self.passes)
        left = max(float(mesh.gather(smooth)[rank:].square().mean()), 1e-4 * variance)
        tell(0.05)
        scale, excess = 0.5 / left, SHARPNESS / math.sqrt(2.0 * rank)
        data = raw[:rank] if self.first_stride == 1 else mesh.mean_of_neighbors(raw[:rank], 1)

        def first(distance: Tensor) -> Tensor:
            return distance.mul_(scale).sub_(rank).clamp_min_(0.0).mul_(-excess)

        found, _ = self._average(smooth[:rank], data, self.first, FIRST_MM, first, lambda f: tell(0.05 + 0.35 * f))
        del smooth

        def second(distance: Tensor) -> Tensor:
            return distance.mul_(-1.0 / (SPREAD * variance))

        data = raw if self.second_stride == 1 else mesh.mean_of_neighbors(raw, 1)
        del raw
        found, shares = self._average(found, data, self.second, SECOND_MM, second, lambda f: tell(0.4 + 0.6 * f))
        values = mesh.gather(found)
        shares = mesh.gather(shares)[0]
        level = max(float(values[rank:].square().mean() / shares.mean()), variance)  # correlation between neighbors adds to it
        return Averages(self._with_own_amount(values[:rank].T.contiguous(), few, variance), shares * level)

    def _with_own_amount(self, found: Tensor, few: Tensor, variance: float) -> Tensor:
        """Scale averages towards what each voxel's own response says of the amount of blood, as far as noise lets it say so."""
        square = found.square().sum(dim=1).clamp_min(1e-30)
        off = (found * few).sum(dim=1) / square - 1.0
        known = (SCATTER if self.guide is None else GUIDED_SCATTER) ** 2 * square
        return found * (1.0 + off * known / (known + variance))[:, None]

    def _average(
        self, features: Tensor, data: Tensor, offsets: list[Offset], radius_mm: float, likeness: Callable[[Tensor], Tensor],
        tell: Callable[[float], None],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Weighted means on the line, and the sum of squared weights over the squared sum."""
        mesh = self.mesh
        steps = [(i * mesh.shape[1] + j) * mesh.shape[2] + k for i, j, k in offsets]
        far = [math.hypot(i * self.spacing_mm[0], j * self.spacing_mm[1]) / (SIGMA_SHARE * radius_mm) for i, j, _ in offsets]
        result, shares = torch.zeros_like(data), torch.zeros_like(self.inside)
        edge = max((abs(step) for step in steps), default=0)  # voxels wider than the radius have no neighbors in plane

        def work(block: slice) -> None:
            if not bool(self.inside[:, block].any()):
                return
            like, values, inside = (_with_margin(line, block, edge) for line in (features, data, self.inside))
            guide = None if self.guide is None else _with_margin(self.guide, block, edge)
            here = slice(edge, edge + block.stop - block.start)
            own = like[:, here]
            total = values[:, here].clone()
            weights, squares = torch.ones_like(inside[:, here]), torch.ones_like(inside[:, here])
            for step, distance in zip(steps, far, strict=True):
                there = slice(here.start + step, here.stop + step)
                weight = likeness((like[:, there] - own).square_().sum(dim=0, keepdim=True)).sub_(0.5 * distance * distance)
                if guide is not None:
                    weight.sub_(((guide[:, there] - guide[:, here]) / self.guide_hu).square_().mul_(0.5))
                weight.exp_().mul_(inside[:, there])
                total.addcmul_(weight, values[:, there])
                weights.add_(weight)
                squares.addcmul_(weight, weight)
            result[:, block] = total.div_(weights).mul_(inside[:, here])
            shares[:, block] = squares.div_(weights.square_())

        rows = CPU_ROWS if mesh.device.type == "cpu" else self.gpu_rows
        for_rows(mesh.size, rows, mesh.device, work, tell)
        return result, shares


def _with_margin(line: Tensor, block: slice, edge: int) -> Tensor:
    """Part of a line from `edge` before to `edge` after a block; zeros beyond its ends, the only place where it is copied."""
    low, high, size = block.start - edge, block.stop + edge, line.shape[1]
    part = line[:, max(low, 0) : min(high, size)]
    return part if low >= 0 and high <= size else torch.nn.functional.pad(part, (max(-low, 0), max(high - size, 0)))
