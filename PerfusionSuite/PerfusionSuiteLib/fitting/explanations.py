# SPDX-License-Identifier: Apache-2.0
"""A dictionary of explanations of a curve, each weighed by its probability."""

from __future__ import annotations

import numpy as np

from ..deconvolution.problem import Curves
from .transit_atoms import TransitAtoms

TYPICAL_MTT_S = 6.0
COMPONENTS = 12


def energies(curves: Curves) -> Curves:
    """Return the sums of squares of curves without their means.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Curves.

    Returns
    -------
    ndarray, shape (n,)
        Sums.
    """
    centered = curves - curves.mean(axis=1, keepdims=True)
    return np.asarray(np.einsum("nt,nt->n", centered, centered))


class Explanations:
    """The dictionary in a few numbers per curve, and the weighing of its atoms.

    Parameters
    ----------
    atoms : TransitAtoms
        Curves of one shape.
    mtt_spread : float
        Prior standard deviation of ln MTT.
    shape : float
        Of the atoms' transit-time distribution: 1 is an exponential residue, infinity a box.

    Notes
    -----
    Curves and atoms are centered in time, so that an unknown baseline needs no parameter. For Gaussian noise of variance v and a
    flat prior of the blood volume the evidence of an atom g for a curve c is ``exp((c.g)^2 / (2 v |g|^2)) / |g|`` times the
    prior of its transit time.
    """

    def __init__(self, atoms: TransitAtoms, mtt_spread: float, shape: float) -> None:
        self.shape = shape
        centered = atoms.curves - atoms.curves.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centered, axis=1)
        seen = length > 1e-3 * length.max()  # what arrives after the scan leaves no curve
        centered, delay, mtt = centered[seen], atoms.delay_s[seen], atoms.mtt_s[seen]
        _, vectors = np.linalg.eigh(centered.T @ centered)
        basis = vectors[:, ::-1][:, :COMPONENTS]
        few = centered @ basis
        norm = np.linalg.norm(few, axis=1)
        rate, tmax = 1.0 / (norm * mtt), delay + 0.5 * mtt
        prior = -0.5 * (np.log(mtt / TYPICAL_MTT_S) / mtt_spread) ** 2 - np.log(norm)
        self.basis = np.ascontiguousarray(basis, dtype=np.float32)
        self.unit = np.ascontiguousarray((few / norm[:, None]).T, dtype=np.float32)
        self.prior = (prior - prior.max()).astype(np.float32)
        self.times = np.stack([delay, tmax, tmax**2, np.ones_like(mtt)], axis=1).astype(np.float32)
        self.amounts = np.stack([1.0 / norm, rate], axis=1).astype(np.float32)
        self.squares = (rate**2).astype(np.float32)

    def scores(self, curves: Curves, variance: Curves) -> tuple[Curves, Curves]:
        """Weigh every atom for every curve.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.
        variance : ndarray, shape (n,)
            Noise variance.

        Returns
        -------
        score, along : ndarray, shape (n, A)
            Log evidence of each atom, and the length of each curve along it.
        """
        few = (curves - curves.mean(axis=1, keepdims=True)) @ self.basis
        along = np.maximum(few @ self.unit, 0.0)
        score = along * along
        score *= (np.float32(0.5) / variance)[:, None]
        score += self.prior
        return score, along

    def misfits(self, curves: Curves, variance: Curves) -> Curves:
        """Say what the most probable atom leaves of each curve.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.
        variance : ndarray, shape (n,)
            Noise variance.

        Returns
        -------
        ndarray, shape (n,)
            Sum of squares.
        """
        score, along = self.scores(curves, variance)
        best = score.argmax(axis=1)[:, None]
        left: Curves = energies(curves) - np.take_along_axis(along, best, axis=1)[:, 0] ** 2
        return left

    def means(self, curves: Curves, variance: Curves) -> dict[str, Curves]:
        """Return posterior means.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.
        variance : ndarray, shape (n,)
            Noise variance.

        Returns
        -------
        dict of ndarray, shape (n,)
            ``delay``, ``tmax``, ``tmax_sd`` in s, ``volume`` (share of blood), ``flow``, ``flow_sd`` in 1/s.
        """
        score, along = self.scores(curves, variance)
        score -= score.max(axis=1, keepdims=True)
        weight = np.exp(score, out=score)
        sums = weight @ self.times
        total = sums[:, 3]
        delay, tmax, tmax_square = (sums[:, n] / total for n in range(3))
        weight *= along
        volume, flow = (weight @ self.amounts / total[:, None]).T
        weight *= along
        flow_square = weight @ self.squares / total
        return {
            "delay": delay,
            "tmax": tmax,
            "tmax_sd": np.sqrt(np.maximum(tmax_square - tmax**2, 0.0)),
            "volume": volume,
            "flow": flow,
            "flow_sd": np.sqrt(np.maximum(flow_square - flow**2, 0.0)),
        }
