# SPDX-License-Identifier: Apache-2.0
"""Responses of capillaries and tissue to blood that comes through an artery, tabulated over arrival and time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ...core.geometry import FloatArray
from .laminar import capillary_outflow, capillary_residue, flux_concentration

LONGEST_ARRIVAL_S, ARRIVALS = 12.0, 161
TRANSITS_S = np.geomspace(0.1, 20.0, 24)
TISSUE_T1_S = np.linspace(0.7, 1.75, 8)
_FINE_S, _EVERY, LAST_S = 0.0125, 2, 6.0
STEP_S = _FINE_S * _EVERY


@dataclass(frozen=True)
class CapillaryTable:
    """Per unit of flow into the capillary, for a bolus that enters the root at time 0 and never ends.

    Parameters
    ----------
    arrival_s : ndarray, shape (A,), s
        Plug-flow delays of the arteriole, spaced as squares.
    time_s : ndarray, shape (T,), s
        0 to 6 s in equal steps.
    amount : ndarray, shape (A, B, T), s
        Label held: by capillaries of the transit times `TRANSITS_S`, then by tissue of the relaxation times `TISSUE_T1_S`.
    outflow : ndarray, shape (A, 24, T)
        Concentration that leaves capillaries.
    """

    arrival_s: FloatArray
    time_s: FloatArray
    amount: NDArray[np.float32]
    outflow: NDArray[np.float32]

    def cells(self, arrival: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the table interval of each arrival and the share of its upper end, shapes (n,)."""
        clipped = np.clip(arrival, 0.0, 0.999999 * LONGEST_ARRIVAL_S)
        cell = np.asarray(np.sqrt(clipped / LONGEST_ARRIVAL_S) * (ARRIVALS - 1), np.int64)
        low, high = self.arrival_s[cell], self.arrival_s[cell + 1]
        return cell, (clipped - low) / (high - low)


@lru_cache(maxsize=1)
def capillary_table() -> CapillaryTable:
    """Make the table, once per process (about half a second).

    Returns
    -------
    CapillaryTable
        Do not write into its arrays.
    """
    arrival = LONGEST_ARRIVAL_S * np.linspace(0.0, 1.0, ARRIVALS) ** 2
    steps = round(LAST_S / _FINE_S)
    edges = _FINE_S * np.arange(steps + 1)
    middle = edges[:-1] + 0.5 * _FINE_S
    inflow = fft.rfft(flux_concentration(arrival[:, None], middle[None]), 2 * steps, axis=1)

    def response(kernel: FloatArray) -> NDArray[np.float32]:
        """Sum kernel shares over each step times the inflow half a step off, exact at the ends of steps."""
        full = fft.irfft(inflow * fft.rfft(kernel, 2 * steps), 2 * steps, axis=1)[:, :steps]
        whole = np.concatenate([np.zeros((ARRIVALS, 1)), full], axis=1)
        return np.asarray(whole[:, ::_EVERY], np.float32)

    held = [_FINE_S * capillary_residue(middle, float(transit)) for transit in TRANSITS_S]
    held += [_FINE_S * np.exp(-middle / relaxation) for relaxation in TISSUE_T1_S]
    left = [capillary_outflow(edges, float(transit)) for transit in TRANSITS_S]
    amount = np.stack([response(kernel) for kernel in held], axis=1)
    outflow = np.stack([response(kernel) for kernel in left], axis=1)
    return CapillaryTable(arrival, edges[::_EVERY], np.ascontiguousarray(amount), np.ascontiguousarray(outflow))


def transit_weights(transit: FloatArray) -> tuple[NDArray[np.int32], FloatArray]:
    """Split a transit time between two tabulated ones, linearly in its logarithm.

    Parameters
    ----------
    transit : ndarray, shape (n,), s
        Transit times.

    Returns
    -------
    ndarray of int, shape (n,)
        The lower one.
    ndarray, shape (n,)
        Share of the upper one.
    """
    last = TRANSITS_S.size - 1
    place = np.log(transit / float(TRANSITS_S[0])) * (last / float(np.log(TRANSITS_S[-1] / TRANSITS_S[0])))
    place = np.clip(place, 0.0, last - 1e-4)
    low = place.astype(np.int32)
    return low, place - low


def relaxation_weights(t1_tissue: FloatArray) -> FloatArray:
    """Return the shares of the tabulated relaxation times that interpolate a tissue's one linearly.

    Parameters
    ----------
    t1_tissue : ndarray, shape (n,), s
        Relaxation times.

    Returns
    -------
    ndarray, shape (n, 8)
        Shares that sum to 1.
    """
    step = TISSUE_T1_S[1] - TISSUE_T1_S[0]
    distance = np.abs(t1_tissue[:, None] - TISSUE_T1_S) / step
    share = np.maximum(0.0, 1.0 - distance)
    return np.asarray(share / share.sum(axis=1, keepdims=True))
