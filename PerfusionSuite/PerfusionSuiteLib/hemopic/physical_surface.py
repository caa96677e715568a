# SPDX-License-Identifier: Apache-2.0
"""The surface on which the curves of tissue lie, over centre time and transit time, told in few numbers instead of all frames.

Curves are ``volume * g(centre time, ln MTT)`` plus a free constant. Curves and surface are centred over time, which removes the
constant, and projected on the leading directions of the surface, which removes the time axis. Centre time = delay + MTT times the
family's centre share; it and ln MTT are nearly orthogonal, while delay and transit time trade off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .physical_arrays import Array, Arrays
from .physical_response import Response

MTT_RANGE_S = (1.0, 30.0)
DELAY_RANGE_S = (-6.0, 16.0)
CENTRE_STEP_S = 0.15
MTT_NODES = 44
RANK = 10
_ROWS = 16384


@dataclass(frozen=True, slots=True)
class Nodes:
    """Responses of one family on a grid.

    Parameters
    ----------
    response : Response
        What was tabulated.
    centre_share : float
        First moment of the family's residue over its transit time.
    centres, log_mtts : ndarray
        Nodes in s and ln s.
    values : ndarray, shape (3, centres, log_mtts, T)
        Curve of unit volume, its derivative by centre time at fixed MTT, and by ln MTT at fixed centre time.
    """

    response: Response
    centre_share: float
    centres: FloatArray
    log_mtts: FloatArray
    values: FloatArray


def tabulate(response: Response, delays_s: tuple[float, float] = DELAY_RANGE_S) -> Nodes:
    """Compute the responses of a family on all nodes.

    Parameters
    ----------
    response : Response
        Input and family.
    delays_s : tuple of float, s
        Range of delays.

    Returns
    -------
    Nodes
        The responses.
    """
    share = response.centre_share
    low = delays_s[0] + share * MTT_RANGE_S[0]
    high = delays_s[1] + share * 12.0
    centres = np.linspace(low, high, int(np.ceil((high - low) / CENTRE_STEP_S)) + 1)
    log_mtts = np.linspace(math.log(MTT_RANGE_S[0]), math.log(MTT_RANGE_S[1]), MTT_NODES)
    values = np.empty((3, centres.size, MTT_NODES, response.times_s.size))
    for m, log_mtt in enumerate(log_mtts):
        mtt = math.exp(log_mtt)
        curve, by_delay, by_log_mtt = response.curves(centres - share * mtt, mtt)
        values[:, :, m] = curve, by_delay, by_log_mtt - share * mtt * by_delay
    return Nodes(response, share, centres, log_mtts, values)


class Frames:
    """Weights of the frames, and what centres curves with them.

    Parameters
    ----------
    weights : ndarray, shape (T,)
        Inverse variances up to a factor; 0 excludes a frame.
    """

    def __init__(self, weights: FloatArray) -> None:
        self.weights = np.asarray(weights, np.float64) / np.mean(weights)
        self.root = np.sqrt(self.weights)
        self.share = self.weights / self.weights.sum()
        self.centring = self.root[:, None] * (np.eye(self.weights.size) - self.share)
        self.freedom = int((self.weights > 0).sum()) - 1


class Surface:
    """The projected table, and the look-up.

    Parameters
    ----------
    nodes : Nodes
        Responses.
    frames : Frames
        Weights of the frames.
    arrays : Arrays
        Library that computes.
    rank : int, optional
        Directions kept; None for all, which is exact.
    basis : ndarray, shape (T, rank), optional
        Directions found before, to be shared between families.
    """

    def __init__(
        self, nodes: Nodes, frames: Frames, arrays: Arrays, rank: int | None = RANK, basis: FloatArray | None = None
    ) -> None:
        self.nodes, self.frames, self.arrays = nodes, frames, arrays
        self.centre_share = nodes.centre_share
        self.centre_range = (float(nodes.centres[0]), float(nodes.centres[-1]))
        self.log_mtt_range = (float(nodes.log_mtts[0]), float(nodes.log_mtts[-1]))
        self.delay_range = (self.centre_range[0] - self.centre_share * MTT_RANGE_S[0], self.centre_range[1])
        self.basis = find_basis([nodes], frames, rank) if basis is None else basis
        self.rank = self.basis.shape[1]
        self.projector = frames.centring.T @ self.basis
        few = (nodes.values @ self.projector).astype(np.float32)
        self.few = few[0]
        self._flat = arrays.put(few.transpose(1, 2, 0, 3).reshape(-1, 3 * self.rank))
        self._projector = arrays.put(self.projector)

    def compress(self, curves: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Project curves.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Enhancement.

        Returns
        -------
        few : ndarray, shape (n, rank)
            The curves in the directions of the surface.
        rest : ndarray, shape (n,)
            Sum of squares of what is left of the weighted, centred curves.
        """
        project, share = self.projector.astype(np.float32), self.frames.share.astype(np.float32)
        root = self.frames.root.astype(np.float32)
        few, rest = np.empty((len(curves), self.rank), np.float32), np.empty(len(curves), np.float32)
        for start in range(0, len(curves), _ROWS):  # in parts, which keeps the working copies small
            here = slice(start, start + _ROWS)
            part = curves[here]
            few[here] = part @ project
            weighted = (part - (part @ share)[:, None]) * root
            rest[here] = np.einsum("nt,nt->n", weighted, weighted) - np.einsum("nr,nr->n", few[here], few[here])
        return few, np.maximum(rest, 0.0)

    def look(self, centre: Array, log_mtt: Array) -> Array:
        """Interpolate the surface and its two slopes.

        Parameters
        ----------
        centre, log_mtt : array, shape (n,)
            Centre time in s, and ln of the mean transit time in s.

        Returns
        -------
        array, shape (n, 3 * rank)
            Curve of unit volume, its derivative by centre time, and by ln MTT at fixed centre time.
        """
        xp, many, mtts = self.arrays, self.nodes.centres.size, self.nodes.log_mtts.size
        a = (centre - self.centre_range[0]) * ((many - 1) / (self.centre_range[1] - self.centre_range[0]))
        b = (log_mtt - self.log_mtt_range[0]) * ((mtts - 1) / (self.log_mtt_range[1] - self.log_mtt_range[0]))
        a, b = xp.clip(a, 0.0, many - 1.001), xp.clip(b, 0.0, mtts - 1.001)
        i, j = xp.floor(a), xp.floor(b)
        fa, fb = a - i, b - j
        first = xp.whole(i) * mtts + xp.whole(j)
        rows = xp.stack([first, first + 1, first + mtts, first + (mtts + 1)])
        shares = xp.stack([(1 - fa) * (1 - fb), (1 - fa) * fb, fa * (1 - fb), fa * fb])
        return xp.mixed(self._flat, rows, shares)

    def bounded(self, centre: Array, log_mtt: Array) -> tuple[Array, Array]:
        """Bring parameters into the range of the table."""
        xp = self.arrays
        low, high = self.log_mtt_range
        log_mtt = xp.clip(log_mtt, low + 0.01, high - 0.01)
        earliest = xp.exp(log_mtt) * self.centre_share + self.delay_range[0]
        return xp.clip(centre, earliest, self.centre_range[1] - 0.05), log_mtt


def find_basis(nodes: list[Nodes], frames: Frames, rank: int | None) -> FloatArray:
    """Find the directions that tell the responses of one or several families.

    Parameters
    ----------
    nodes : list of Nodes
        Responses.
    frames : Frames
        Weights of the frames.
    rank : int or None
        Directions to keep; None for all there are.

    Returns
    -------
    ndarray, shape (T, rank)
        Orthonormal directions of weighted, centred curves.
    """
    gram = np.zeros((frames.root.size, frames.root.size))
    for part in nodes:
        flat = part.values[0].reshape(-1, frames.root.size) @ frames.centring.T
        gram += flat.T @ flat
    _, vectors = np.linalg.eigh(gram)
    kept = frames.freedom if rank is None else min(rank, max(frames.freedom // 2, 3))  # the others tell the noise
    return np.ascontiguousarray(vectors[:, ::-1][:, :kept])
