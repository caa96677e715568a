# SPDX-License-Identifier: Apache-2.0
"""Curves of tissue with a unit of blood volume: what an arterial input becomes after an arrival and a range of transit times."""

from __future__ import annotations

import numpy as np
from scipy import fft, special
from scipy.interpolate import CubicSpline, PchipInterpolator

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..deconvolution.timegrid import TAIL_DECAY_S

STEP_S = 0.05
VESSEL_SHAPE = 2.0
"""Shape of the gamma kernel by which vessels spread a bolus: between a plug (large) and a well-mixed pool (1)."""

DELAY_STEP_S = 0.25
"""Grid of delays on which vessels that spread the bolus are computed; in between cubic splines."""


def shape_of(family: str) -> float:
    """Return the shape of a family's transit times.

    Parameters
    ----------
    family : str
        ``box``, ``exponential`` or ``gamma:K`` with K of at least 1.

    Returns
    -------
    float
        Infinity for the box.

    Raises
    ------
    InvalidInputError
        If there is no such family.
    """
    if family == "box":
        return float("inf")
    if family == "exponential":
        return 1.0
    kind, _, number = str(family).partition(":")
    try:
        shape = float(number) if kind == "gamma" else 0.0
    except ValueError:
        shape = 0.0
    if not 1.0 <= shape < 1000.0:
        msg = f"There is no residue family '{family}'. Choose box, exponential, or gamma:K with K of at least 1."
        raise InvalidInputError(msg)
    return shape


def family_of(shape: float) -> str:
    """Return the family of a shape, as `shape_of` reads it.

    Parameters
    ----------
    shape : float
        1 or more; infinity for the box.

    Returns
    -------
    str
        Its name.
    """
    return "box" if np.isinf(shape) else "exponential" if shape == 1.0 else f"gamma:{shape:g}"


def centre_share(shape: float) -> float:
    """Return the first moment of a residue function as a share of the mean transit time: 1/2 for a box, 1 for an exponential.

    Parameters
    ----------
    shape : float
        Of the transit times; infinity for a box.

    Returns
    -------
    float
        ``(1 + 1 / shape) / 2``.
    """
    return 0.5 * (1.0 + 1.0 / shape)


class ResponseTable:
    """The arterial input, its running integral, and the curves that follow from them.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times, increasing; they need not be uniform.
    aif : ndarray, shape (T,)
        Arterial input: monotone cubic interpolant between the frames, zero before the first, decaying exponentially after the
        last one.
    family : str
        See `shape_of`.
    dispersion : float
        Share of a positive delay that is spread by the vessels rather than pure shift.

    Notes
    -----
    With S the running integral of the arterial input A, a box residue gives ``C(t) = F [S(t - d) - S(t - d - m)]`` exactly
    (neural-fields.md section 1); no derivative of noisy data is needed. Other residues are integrated numerically.
    """

    def __init__(self, times_s: FloatArray, aif: FloatArray, family: str = "box", dispersion: float = 0.0) -> None:
        self.times_s = np.asarray(times_s, np.float64)
        self.family, self.shape, self.dispersion = family, shape_of(family), float(dispersion)
        self.centre_share = centre_share(self.shape)
        self._start, self._end = float(self.times_s[0]), float(self.times_s[-1])
        self._last = float(aif[-1])
        with np.errstate(over="ignore"):  # harmonic means of slopes that are almost zero
            self._artery = PchipInterpolator(self.times_s, np.asarray(aif, np.float64))
        self._integral = self._artery.antiderivative()
        self._whole = float(self._integral(self._end) - self._integral(self._start))

    def artery(self, times_s: FloatArray) -> FloatArray:
        """Return the arterial input at any time."""
        inside = np.clip(times_s, self._start, self._end)
        after = np.exp(-np.maximum(times_s - self._end, 0.0) / TAIL_DECAY_S)
        values: FloatArray = np.where(times_s < self._start, 0.0, self._artery(inside) * after)
        return values

    def integral(self, times_s: FloatArray) -> FloatArray:
        """Return the running integral of the arterial input at any time."""
        inside = np.clip(times_s, self._start, self._end)
        after = 1.0 - np.exp(-np.maximum(times_s - self._end, 0.0) / TAIL_DECAY_S)
        values: FloatArray = self._integral(inside) - self._integral(self._start) + self._last * TAIL_DECAY_S * after
        return values

    def curves(self, delay_s: FloatArray, mtt_s: float) -> FloatArray:
        """Return curves per unit of blood volume for one transit time.

        Parameters
        ----------
        delay_s : ndarray, shape (n,), s
            Mean arrivals after the arterial input.
        mtt_s : float, s
            Mean transit time.

        Returns
        -------
        ndarray, shape (n, T)
            Arterial input averaged over the residue; multiply by blood volume (share of tissue) for enhancement.
        """
        delay_s = np.asarray(delay_s, np.float64)
        if self.dispersion > 0.0:
            return self._dispersed(delay_s, mtt_s)
        since = self.times_s - delay_s[:, None]
        if np.isinf(self.shape):
            curves: FloatArray = (self.integral(since) - self.integral(since - mtt_s)) / mtt_s
            return curves
        grid, signal = self._fine(delay_s, mtt_s)
        curves = CubicSpline(grid, signal)(np.clip(since, grid[0], grid[-1]))
        return np.where(since < grid[0], 0.0, curves)

    def _fine(self, delay_s: FloatArray, mtt_s: float) -> tuple[FloatArray, FloatArray]:
        """Curve of unit blood volume without delay on a fine axis."""
        length = self._end - self._start + max(0.0, -float(delay_s.min())) + STEP_S
        count = int(np.ceil(length / STEP_S)) + 2
        grid = self._start + STEP_S * np.linspace(-1, count - 2, count)
        size = fft.next_fast_len(2 * count, real=True)
        spectrum = fft.rfft(self.artery(grid), size) * fft.rfft(self._residue(count, mtt_s), size)
        return grid, fft.irfft(spectrum, size)[:count]

    def _residue(self, count: int, mtt_s: float) -> FloatArray:
        """Share of the residue's area that lies in each cell of the fine axis; the first is half a cell, as time starts."""
        edges = np.maximum((np.linspace(0, count, count + 1) - 0.5) * STEP_S, 0.0)
        if np.isinf(self.shape):
            total = np.minimum(edges, mtt_s)
        else:
            scaled = self.shape * edges / mtt_s
            total = edges * special.gammaincc(self.shape, scaled) + mtt_s * special.gammainc(self.shape + 1.0, scaled)
        cells: FloatArray = np.diff(total) / mtt_s
        return cells

    def _dispersed(self, delay_s: FloatArray, mtt_s: float) -> FloatArray:
        """Curves behind vessels that spread the bolus, from a grid of delays."""
        low, high = float(delay_s.min()), float(delay_s.max())
        nodes = np.linspace(low, high, max(4, int(np.ceil((high - low) / DELAY_STEP_S)) + 1))
        lead = max(0.0, -low) + STEP_S
        count = int(np.ceil((self._end - self._start + lead) / STEP_S)) + 2
        grid = self._start + STEP_S * np.linspace(0, count - 1, count)
        size = fft.next_fast_len(2 * count + int(np.ceil((lead + max(high, 0.0)) / STEP_S)) + 2, real=True)
        omega = 2.0 * np.pi * fft.rfftfreq(size, STEP_S)
        spread = self.dispersion * np.maximum(nodes, 0.0)[:, None]
        vessel = (
            np.exp(-1j * omega * (nodes[:, None] - spread + lead)) * (1.0 + 1j * omega * spread / VESSEL_SHAPE) ** -VESSEL_SHAPE
        )
        spectrum = fft.rfft(self.artery(grid), size) * fft.rfft(self._residue(count, mtt_s), size)
        signal = fft.irfft(vessel * spectrum, size, axis=1)
        at = (self.times_s - self._start + lead) / STEP_S
        before = np.minimum(at.astype(int), size - 2)
        rest = at - before
        sampled = signal[:, before] * (1.0 - rest) + signal[:, before + 1] * rest
        curves: FloatArray = CubicSpline(nodes, sampled, axis=0)(delay_s)
        return curves
