# SPDX-License-Identifier: Apache-2.0
"""A dictionary of tissue curves over arrival and transit time, for methods that weigh many explanations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special
from scipy.interpolate import CubicSpline

from ..core.geometry import FloatArray
from ..deconvolution.timegrid import TAIL_DECAY_S

STEP_S = 0.1
DISPERSION_SHAPE = 2.0
"""Shape of the gamma kernel by which vessels spread a bolus: between a plug (large) and a well-mixed pool (1)."""


@dataclass(frozen=True, slots=True)
class TransitAtoms:
    """Tissue curves for a unit of blood volume, and what they stand for.

    Parameters
    ----------
    curves : ndarray, shape (A, T)
        Arterial input spread by the vessels and averaged over the transit times.
    delay_s, mtt_s : ndarray, shape (A,), s
        Mean arrival after the arterial input, and mean transit time.
    """

    curves: FloatArray
    delay_s: FloatArray
    mtt_s: FloatArray


def transit_atoms(
    times_s: FloatArray,
    aif: FloatArray,
    *,
    delays_s: FloatArray,
    mtts_s: FloatArray,
    shape: float,
    dispersion: float,
) -> TransitAtoms:
    """Tabulate the curves of tissue that an arterial input leads to.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times; they need not be uniform.
    aif : ndarray, shape (T,)
        Arterial input, interpolated by a natural cubic spline; zero before the scan.
    delays_s, mtts_s : ndarray, s
        Grid of mean arrival and mean transit times.
    shape : float
        Of the gamma-distributed transit times: 1 is an exponential residue, infinity a box.
    dispersion : float
        Share of a positive delay that is spread by the vessels rather than pure shift.

    Returns
    -------
    TransitAtoms
        ``len(delays_s) * len(mtts_s)`` curves.

    References
    ----------
    Gamma-distributed transit times: Mouridsen et al., NeuroImage 33:570 (2006). Vascular operator: Calamante et al., Magn Reson
    Med 44:466 (2000).
    """
    start = float(times_s[0])
    count = int(np.ceil((times_s[-1] - start) / STEP_S)) + 2
    fine = start + STEP_S * np.linspace(0, count - 1, count)
    after = np.maximum(fine - times_s[-1], 0.0)
    arterial = CubicSpline(times_s, aif, bc_type="natural")(np.minimum(fine, times_s[-1])) * np.exp(-after / TAIL_DECAY_S)
    lead = max(0.0, -float(delays_s.min())) + STEP_S
    size = fft.next_fast_len(2 * count + int(np.ceil((lead + delays_s.max()) / STEP_S)) + 2, real=True)
    omega = 2.0 * np.pi * fft.rfftfreq(size, STEP_S)
    spectrum = fft.rfft(arterial, size) * STEP_S
    vessels = np.stack([_vessel(omega, float(delay), dispersion, lead) for delay in delays_s]) * spectrum
    at = (times_s - start + lead) / STEP_S
    low = np.minimum(at.astype(int), size - 2)
    rest = at - low
    curves = np.empty((len(delays_s), len(mtts_s), times_s.size))
    for m, mtt in enumerate(mtts_s):
        signal = fft.irfft(vessels * fft.rfft(_residue_cells(count, float(mtt), shape), size), size, axis=1) / mtt
        curves[:, m] = signal[:, low] * (1.0 - rest) + signal[:, low + 1] * rest
    delay, mtt_s = np.meshgrid(delays_s, mtts_s, indexing="ij")
    return TransitAtoms(curves.reshape(-1, times_s.size), delay.ravel(), mtt_s.ravel())


def _vessel(omega: FloatArray, delay: float, dispersion: float, lead: float) -> NDArray[np.complex128]:
    """Transfer function of the vessels: a shift and a gamma kernel that share the mean arrival."""
    spread = dispersion * max(delay, 0.0)
    shifted: NDArray[np.complex128] = np.exp(-1j * omega * (delay - spread + lead))
    if spread > 0:
        shifted = shifted * (1.0 + 1j * omega * spread / DISPERSION_SHAPE) ** -DISPERSION_SHAPE
    return shifted


def _residue_cells(count: int, mtt: float, shape: float) -> FloatArray:
    """Means of the residue over cells of the fine grid centered on its points; the first one is half a cell, as time starts."""
    edges = np.maximum((np.linspace(0, count, count + 1) - 0.5) * STEP_S, 0.0)
    if np.isinf(shape):
        total = np.minimum(edges, mtt)
    else:
        scaled = shape * edges / mtt
        total = edges * special.gammaincc(shape, scaled) + mtt * special.gammainc(shape + 1.0, scaled)
    cells: FloatArray = np.diff(total) / STEP_S
    return cells


TYPICAL = {"mtt_s": 6.0, "ln_mtt_sd": 0.6, "delay_s": 2.0, "delay_sd_s": 4.0, "volume": 0.04}
"""What tissue is like, ill or well: transit time, arrival and share of blood."""

KINDS = ((1.0, 0.0), (2.0, 0.25), (float("inf"), 0.0))
"""Shapes of its residue, with the share of a delay that vessels spread: which of them a scan has is not known yet."""


def expected_moments(times_s: FloatArray, aif: FloatArray) -> FloatArray:
    """Return the second moments of the curves that tissue can have.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    aif : ndarray, shape (T,)
        Arterial input.

    Returns
    -------
    ndarray, shape (T, T)
        In the squared unit of `aif`.
    """
    delays, mtts = np.linspace(-3.0, 16.0, 39), np.geomspace(1.5, 26.0, 15)
    moments = np.zeros((times_s.size, times_s.size))
    for shape, dispersion in KINDS:
        atoms = transit_atoms(times_s, aif, delays_s=delays, mtts_s=mtts, shape=shape, dispersion=dispersion)
        weight = np.exp(
            -0.5 * (np.log(atoms.mtt_s / TYPICAL["mtt_s"]) / TYPICAL["ln_mtt_sd"]) ** 2
            - 0.5 * ((atoms.delay_s - TYPICAL["delay_s"]) / TYPICAL["delay_sd_s"]) ** 2
        )
        weighted = atoms.curves * (TYPICAL["volume"] ** 2 * weight / weight.sum())[:, None]
        moments += weighted.T @ atoms.curves / len(KINDS)
    return moments
