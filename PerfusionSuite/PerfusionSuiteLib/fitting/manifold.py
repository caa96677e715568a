# SPDX-License-Identifier: Apache-2.0
"""The surface on which all curves of tissue lie: centre time by transit time, in a few numbers instead of all frames.

Needs PyTorch. A curve is ``CBV g(centre time, ln MTT)`` plus a free constant; curves and surface are centred over time, so that
the constant needs no parameter, and projected on the leading directions of the surface, so that the time axis disappears.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..core.geometry import FloatArray
from .response_table import ResponseTable

CENTRE_NODES, MTT_NODES = 256, 48
MTT_RANGE_S = (1.2, 26.0)
LATEST_CENTRE_S = 28.0
EARLIEST_DELAY_S = -3.0
NOISE_CHANNELS = 2
"""Directions in which no response has anything, kept to measure noise."""

Tensor = Any
"""torch.Tensor; PyTorch is not followed by the type checker."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Centred responses of one family on the nodes of the table.

    Parameters
    ----------
    table : ResponseTable
        Arterial input and family.
    centres, log_mtts : ndarray
        Nodes in s and ln s.
    values : ndarray, shape (centres, log_mtts, T)
        Responses, centred and weighted by frame.
    allowed : ndarray of bool, shape (centres, log_mtts)
        Nodes whose arrival is not too early.
    """

    table: ResponseTable
    centres: FloatArray
    log_mtts: FloatArray
    values: FloatArray
    allowed: Any


@dataclass(frozen=True, slots=True)
class Basis:
    """Directions in which curves are told.

    Parameters
    ----------
    kept : ndarray, shape (T, rank)
        Leading directions of the surfaces.
    quiet : ndarray, shape (T, NOISE_CHANNELS)
        Directions in which no response has anything.
    lost : float
        Root of the share of the surfaces' energy outside of `kept`.
    """

    kept: FloatArray
    quiet: FloatArray
    lost: float


class Frames:
    """Weights of the frames, and what centres curves with them.

    Parameters
    ----------
    count : int
        Number of frames.
    weights : ndarray, shape (count,), optional
        0 excludes a frame.
    """

    def __init__(self, count: int, weights: FloatArray | None = None) -> None:
        self.weights = np.ones(count) if weights is None else np.asarray(weights, np.float64)
        self.root = np.sqrt(self.weights)
        self.share = self.weights / self.weights.sum()
        self.centring = self.root[:, None] * (np.eye(count) - self.share)
        self.freedom = int((self.weights > 0).sum()) - 1


def tabulate(table: ResponseTable, frames: Frames, earliest_delay_s: float, latest_s: float) -> Surface:
    """Compute the responses of a family on all nodes.

    Parameters
    ----------
    table : ResponseTable
        Arterial input and family.
    frames : Frames
        Weights of the frames.
    earliest_delay_s, latest_s : float, s
        Earliest arrival and latest centre time.

    Returns
    -------
    Surface
        The responses.
    """
    centres = np.linspace(earliest_delay_s + table.centre_share * MTT_RANGE_S[0], latest_s, CENTRE_NODES)
    log_mtts = np.linspace(math.log(MTT_RANGE_S[0]), math.log(MTT_RANGE_S[1]), MTT_NODES)
    delay = centres[:, None] - table.centre_share * np.exp(log_mtts)
    values = np.stack([table.curves(delay[:, m], float(np.exp(log_mtts[m]))) for m in range(MTT_NODES)], axis=1)
    return Surface(table, centres, log_mtts, values @ frames.centring.T, delay >= earliest_delay_s - 1e-6)


def find_basis(surfaces: Sequence[Surface], frames: Frames, rank: int) -> Basis:
    """Find the directions that tell the responses of one or several families.

    Parameters
    ----------
    surfaces : sequence of Surface
        Families that shall be told.
    frames : Frames
        Weights of the frames.
    rank : int
        Directions to keep.

    Returns
    -------
    Basis
        The directions.
    """
    gram = sum(flat.T @ flat for flat in (surface.values[surface.allowed] for surface in surfaces))
    energy, vectors = np.linalg.eigh(gram)
    rank = min(rank, frames.freedom - 1)
    empty = vectors.shape[0] - frames.freedom  # the constant, and frames without weight
    lost = float(np.sqrt(max(energy[:-rank].sum(), 0.0) / energy.sum()))
    return Basis(vectors[:, ::-1][:, :rank].copy(), vectors[:, empty : empty + NOISE_CHANNELS].copy(), lost)


class Manifold:
    """A table of responses and their derivatives over centre time and the logarithm of the mean transit time.

    Parameters
    ----------
    table : ResponseTable
        Arterial input and family of residues.
    rank : int
        Directions kept; 8 in general, 12 to be exact.
    frame_weights : ndarray, shape (T,), optional
        Weights of the frames; 0 excludes one.
    earliest_delay_s : float, s
        Earliest arrival, negative when the arterial input was taken behind the feeding artery.
    latest_s : float, s
        Latest centre time.
    device : torch.device or str
        Where the table lies.
    surface, basis : Surface and Basis, optional
        Computed before, to be shared between families.
    gpu_rows : int, optional
        Most curves that a GPU is given at once, when its memory is short.

    Notes
    -----
    Parameters are ``theta = (ln CBV, centre time, ln MTT)``, nearly orthogonal, while flow and transit time trade off strongly.
    Centre time is delay + MTT (1 + 1/shape) / 2.
    """

    def __init__(
        self,
        table: ResponseTable,
        rank: int = 8,
        frame_weights: FloatArray | None = None,
        earliest_delay_s: float = EARLIEST_DELAY_S,
        latest_s: float = LATEST_CENTRE_S,
        device: Any = "cpu",
        surface: Surface | None = None,
        basis: Basis | None = None,
        gpu_rows: int | None = None,
    ) -> None:
        frames = Frames(table.times_s.size, frame_weights)
        surface = surface or tabulate(table, frames, earliest_delay_s, latest_s)
        basis = basis or find_basis([surface], frames, rank)
        self.table, self.rank, self.device = table, basis.kept.shape[1], torch.device(device)
        self.centre_share, self.earliest_delay_s = table.centre_share, earliest_delay_s
        self.freedom, self.lost, self._gpu_rows = frames.freedom, basis.lost, gpu_rows
        self.centres, self.log_mtts, self.allowed = surface.centres, surface.log_mtts, surface.allowed
        self.centre_range = (float(surface.centres[0]), float(surface.centres[-1]))
        self.log_mtt_range = (float(surface.log_mtts[0]), float(surface.log_mtts[-1]))
        few = surface.values @ basis.kept
        slopes = [np.gradient(few, nodes, axis=axis, edge_order=2) for axis, nodes in ((0, self.centres), (1, self.log_mtts))]
        self.flat = self._tensor(np.concatenate([few, *slopes], axis=2).reshape(-1, 3 * self.rank))
        self.projector = self._tensor(frames.centring.T @ basis.kept)
        self.quiet = self._tensor(frames.centring.T @ basis.quiet)
        self.frame_root, self.frame_share = self._tensor(frames.root), self._tensor(frames.share)

    def rows(self, cpu: int, gpu: int) -> int:
        """Return how many curves to compute at once: what stays in the cache of a core, or what fills a GPU."""
        return cpu if self.device.type == "cpu" else min(gpu, self._gpu_rows or gpu)

    def _tensor(self, values: FloatArray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def compress(self, curves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project curves.

        Parameters
        ----------
        curves : tensor, shape (n, T)
            Enhancement.

        Returns
        -------
        few : tensor, shape (n, rank)
            The curves in the directions of the surface.
        rest : tensor, shape (n,)
            Sum of squares of what is left of the centred curves.
        noise : tensor, shape (n, NOISE_CHANNELS)
            The curves in directions that hold noise alone.
        """
        few = curves @ self.projector
        weighted = curves * self.frame_root
        mean = curves @ self.frame_share
        total = weighted.square().sum(1) - mean.square() * (self.frame_root.square().sum())
        return few, (total - few.square().sum(1)).clamp_min(0.0), curves @ self.quiet

    def corners(self, centre: Tensor, log_mtt: Tensor) -> tuple[Tensor, Tensor]:
        """Return the four table rows around positions, and their weights, both of shape (n, 4)."""
        a = (centre - self.centre_range[0]) * ((CENTRE_NODES - 1) / (self.centre_range[1] - self.centre_range[0]))
        b = (log_mtt - self.log_mtt_range[0]) * ((MTT_NODES - 1) / (self.log_mtt_range[1] - self.log_mtt_range[0]))
        a, b = a.clamp(0, CENTRE_NODES - 1.001), b.clamp(0, MTT_NODES - 1.001)
        i, j = a.floor(), b.floor()
        fa, fb = a - i, b - j
        first = i.long() * MTT_NODES + j.long()
        rows = torch.stack([first, first + 1, first + MTT_NODES, first + MTT_NODES + 1], dim=1)
        share = torch.stack([(1 - fa) * (1 - fb), (1 - fa) * fb, fa * (1 - fb), fa * fb], dim=1)
        return rows, share

    def look(self, centre: Tensor, log_mtt: Tensor) -> Tensor:
        """Interpolate the surface and its two slopes.

        Parameters
        ----------
        centre, log_mtt : tensor, shape (n,)
            Centre time in s, and ln of the mean transit time in s.

        Returns
        -------
        tensor, shape (n, 3 * rank)
            Curve of unit blood volume, its derivative by centre time, and by ln MTT at fixed centre time and volume.
        """
        rows, share = self.corners(centre, log_mtt)
        return torch.nn.functional.embedding_bag(rows, self.flat, per_sample_weights=share, mode="sum")

    def explain(self, few: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compare curves with the surface and linearise it.

        Parameters
        ----------
        few : tensor, shape (n, rank)
            Projected curves.
        theta : tensor, shape (3, n)
            ln CBV, centre time, ln MTT.

        Returns
        -------
        blocks : tensor, shape (6, n)
            Normal matrix of the three parameters: 00, 10, 11, 20, 21, 22.
        descent : tensor, shape (3, n)
            Negative gradient of half the squared misfit.
        misfit : tensor, shape (n,)
            Sum of squared differences.
        """
        r = self.rank
        found = self.look(theta[1], theta[2]) * theta[0].exp()[:, None]
        model, by_centre, by_mtt = found[:, :r], found[:, r : 2 * r], found[:, 2 * r :]
        off = few - model
        slopes = (model, by_centre, by_mtt)
        blocks = torch.stack([(slopes[a] * slopes[b]).sum(1) for a, b in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))])
        descent = torch.stack([(slope * off).sum(1) for slope in slopes])
        return blocks, descent, off.square().sum(1)

    def bounded(self, theta: Tensor, least_volume: float) -> Tensor:
        """Bring parameters into the range of the table, in place.

        Parameters
        ----------
        theta : tensor, shape (3, n)
            ln CBV, centre time, ln MTT.
        least_volume : float
            Lower bound of the blood volume (share of tissue).

        Returns
        -------
        tensor, shape (3, n)
            The same tensor.
        """
        low, high = self.log_mtt_range
        theta[0].clamp_(math.log(least_volume), 0.7)
        theta[2].clamp_(low + 0.02, high - 0.02)
        earliest = theta[2].exp().mul_(self.centre_share).add_(self.earliest_delay_s)
        theta[1].copy_(torch.maximum(theta[1], earliest).clamp_max(self.centre_range[1] - 0.1))
        return theta
