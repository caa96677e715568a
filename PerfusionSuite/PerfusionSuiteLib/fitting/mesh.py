# SPDX-License-Identifier: Apache-2.0
"""Voxels of a mask on their raster, as one line in memory on which every neighbor is a constant step away.

Needs PyTorch. The raster is cut to the mask and padded behind each axis, so that steps never leave it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..core.geometry import BoolArray, FloatArray

Tensor = Any


class Mesh:
    """The voxels of a mask and the edges between neighbors.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    spacing_mm : ndarray, shape (3,), mm
        Voxel size.
    device : torch.device or str
        Where tensors lie.
    pad : tuple of int
        Empty voxels behind each axis: as far as steps shall reach.

    Attributes
    ----------
    size : int
        Length of the line.
    index : tensor of int, shape (N,)
        Place of every voxel of the mask on the line.
    steps : tuple of int
        Step to the next voxel along each axis.
    linked : tensor, shape (3, size)
        Weight of the edge from a voxel to the next one along each axis: 0 across the border of the mask, and smaller along an
        axis with wider spacing (the ratio of the spacings).
    """

    def __init__(
        self, mask: BoolArray, spacing_mm: FloatArray, device: Any = "cpu", pad: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        self.device = torch.device(device)
        where = np.nonzero(mask.any(axis=(1, 2))), np.nonzero(mask.any(axis=(0, 2))), np.nonzero(mask.any(axis=(0, 1)))
        self.box = tuple(slice(int(w[0][0]), int(w[0][-1]) + 1) for w in where)
        inner = mask[self.box]
        self.inner_shape = inner.shape
        self.shape = tuple(n + more for n, more in zip(inner.shape, pad, strict=True))
        padded = np.zeros(self.shape, bool)
        padded[: inner.shape[0], : inner.shape[1], : inner.shape[2]] = inner
        line = torch.from_numpy(padded.ravel()).to(self.device)
        self.size = int(line.numel())
        self.index = torch.nonzero(line)[:, 0]
        self.steps = (self.shape[1] * self.shape[2], self.shape[2], 1)
        finest = float(np.min(spacing_mm))
        self.linked = torch.zeros((3, self.size), dtype=torch.float32, device=self.device)
        for axis, step in enumerate(self.steps):
            both = line[: self.size - step] & line[step:]
            self.linked[axis, : self.size - step] = both.float() * (finest / float(spacing_mm[axis]))

    def on_line(self, volume: Any) -> Tensor:
        """Return a volume of the mask's shape as a line of float32, zeros in the padding."""
        cut = np.asarray(volume, np.float32)[self.box]
        padded = np.zeros(self.shape, np.float32)
        padded[: cut.shape[0], : cut.shape[1], : cut.shape[2]] = cut
        return torch.from_numpy(padded.ravel()).to(self.device)

    def scatter(self, values: Tensor) -> Tensor:
        """Return values of the voxels, shape (C, N), on the line, shape (C, size); zeros elsewhere."""
        line = torch.zeros((values.shape[0], self.size), dtype=values.dtype, device=self.device)
        line[:, self.index] = values
        return line

    def gather(self, line: Tensor) -> Tensor:
        """Return what a line of shape (C, size) holds at the voxels, shape (C, N)."""
        return line[:, self.index]

    def volume(self, line: Tensor, shape: tuple[int, int, int], empty: float = float("nan")) -> Any:
        """Return a line of shape (size,) as a volume, `empty` outside the mask."""
        full = np.full(shape, empty, np.float32)
        values = torch.full((self.size,), empty, dtype=torch.float32, device=self.device)
        values[self.index] = line[self.index].float()
        a, b, c = self.inner_shape
        full[self.box] = values.reshape(self.shape)[:a, :b, :c].cpu().numpy()
        return full

    def differences(self, line: Tensor, axis: int) -> Tensor:
        """Return next minus this along an axis, shape (C, size - step)."""
        step = self.steps[axis]
        return line[:, step:] - line[:, :-step]

    def mean_of_neighbors(self, line: Tensor, passes: int = 1) -> Tensor:
        """Average the values of the mask with their neighbors in the first two axes, (1, 2, 1) weights, `passes` times.

        Parameters
        ----------
        line : tensor, shape (C, size)
            Values, zero outside the mask.
        passes : int
            How often.

        Returns
        -------
        tensor, shape (C, size)
            Averages over the voxels of the mask alone; zero outside.
        """
        inside = self.scatter(torch.ones((1, self.index.numel()), dtype=torch.float32, device=self.device))
        weights = [inside / self._spread(inside, axis).clamp_min(1e-6) for axis in (0, 1)]
        for _ in range(passes):
            for axis in (0, 1):
                line = self._spread(line, axis) * weights[axis]
        return line

    def _spread(self, line: Tensor, axis: int) -> Tensor:
        step = self.steps[axis]
        out = 0.5 * line
        out[:, step:].add_(line[:, :-step], alpha=0.25)
        out[:, :-step].add_(line[:, step:], alpha=0.25)
        return out
