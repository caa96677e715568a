# SPDX-License-Identifier: Apache-2.0
"""From vessels to picture voxels: segments are cut in short pieces, each counted where its middle lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...core.geometry import BoolArray, FloatArray
from .values import Forest, Index

PIECE_MM = 0.5


@dataclass(frozen=True, slots=True)
class Grid:
    """Picture voxels as blocks of the domain's 1 mm voxels.

    Parameters
    ----------
    shape : tuple of int
        Of the domain, mm.
    block : tuple of int
        Of one picture voxel, mm; the domain is a multiple of it.
    """

    shape: tuple[int, int, int]
    block: tuple[int, int, int]

    @property
    def pictures(self) -> tuple[int, int, int]:
        """Shape of a picture."""
        return tuple(int(n) // b for n, b in zip(self.shape, self.block, strict=True))  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """Number of picture voxels."""
        return int(np.prod(self.pictures))

    @property
    def block_mm3(self) -> float:
        """Volume of a picture voxel."""
        return float(np.prod(self.block))

    def of_points(self, points: FloatArray) -> Index:
        """Return the picture voxel of positions in mm, shape (n,)."""
        cell = (points / np.array(self.block)).astype(np.int64)
        return np.asarray(np.ravel_multi_index(tuple(np.clip(cell, 0, np.array(self.pictures) - 1).T), self.pictures))

    def of_voxels(self, voxel: Index) -> Index:
        """Return the picture voxel of flat indices of the domain, shape (n,)."""
        cell = np.stack(np.unravel_index(voxel, self.shape), axis=1) // np.array(self.block)
        return np.asarray(np.ravel_multi_index(tuple(cell.T), self.pictures))

    def gather(self, where: Index, values: NDArray[np.floating]) -> FloatArray:
        """Add rows of values to picture voxels.

        Parameters
        ----------
        where : ndarray of int, shape (n,)
            Picture voxel of each row.
        values : ndarray, shape (n, T)
            What to add.

        Returns
        -------
        ndarray, shape (voxels, T)
            Sums.
        """
        adder = sparse.csr_matrix((np.ones(where.size), (where, np.arange(where.size))), shape=(self.size, where.size))
        return np.asarray(adder @ values)

    def average(self, volume: FloatArray | BoolArray | NDArray[np.float32]) -> FloatArray:
        """Average a volume of 1 mm voxels over picture voxels.

        Parameters
        ----------
        volume : ndarray, shape (I, J, K)
            On the domain.

        Returns
        -------
        ndarray
            On the pictures.
        """
        (a, b, c), (i, j, k) = self.pictures, self.block
        return np.asarray(volume.reshape(a, i, b, j, c, k).mean(axis=(1, 3, 5)))


@dataclass(frozen=True, slots=True)
class Pieces:
    """Short parts of segments.

    Parameters
    ----------
    segment : ndarray of int, shape (n,)
        Node that each belongs to.
    start, end : ndarray, shape (n,)
        Shares of the segment, 0 at the parent and 1 at the node.
    middle : ndarray, shape (n, 3), mm
        Where they are counted.
    """

    segment: Index
    start: FloatArray
    end: FloatArray
    middle: FloatArray


def cut(forest: Forest, nodes: Index | None = None) -> Pieces:
    """Cut segments in pieces of at most half a millimeter.

    Parameters
    ----------
    forest : Forest
        Vessels.
    nodes : ndarray of int, optional
        Only these.

    Returns
    -------
    Pieces
        In the order of the nodes; segments without length are left out.
    """
    chosen = np.arange(forest.parent.size) if nodes is None else nodes
    chosen = chosen[(forest.parent[chosen] >= 0) & (forest.length[chosen] > 1e-9)]
    count = np.ceil(forest.length[chosen] / PIECE_MM).astype(np.int64)
    owner = np.repeat(np.arange(chosen.size), count)
    rank = np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count)
    start, end = rank / count[owner], (rank + 1) / count[owner]
    segment = chosen[owner]
    from_, to = forest.position[forest.parent[segment]], forest.position[segment]
    return Pieces(segment, start, end, from_ + (0.5 * (start + end))[:, None] * (to - from_))
