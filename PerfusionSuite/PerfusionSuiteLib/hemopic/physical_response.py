# SPDX-License-Identifier: Apache-2.0
"""Tissue curves of a unit of blood volume: what an input becomes after an arrival, vessels that spread it, and a transit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special
from scipy.interpolate import CubicSpline

from ..core.geometry import FloatArray
from ..deconvolution.timegrid import TAIL_DECAY_S
from .physical_families import Residue

STEP_S = 0.1
"""Knots of the input; between them it is linear and the convolution exact."""

VESSEL_SHAPE = 2.0
"""Shape of the gamma kernel by which vessels spread a bolus: between a plug (large) and a well-mixed pool (1)."""

SPREAD_STEP_S = 0.25
"""Grid of spreads on which inputs are computed; in between they are interpolated."""


@dataclass(frozen=True, slots=True)
class Input:
    """The curve that goes in, on a fine axis.

    Parameters
    ----------
    start_s : float, s
        First knot.
    values : ndarray, shape (F,)
        Values at knots of step `STEP_S`; zero before the first.
    """

    start_s: float
    values: FloatArray

    @property
    def knots_s(self) -> FloatArray:
        """Times of the knots."""
        return self.start_s + STEP_S * np.linspace(0.0, self.values.size - 1.0, self.values.size)

    @property
    def area(self) -> float:
        """Area of the curve, in its unit times s."""
        return float(self.values.sum() * STEP_S)


def make_input(times_s: FloatArray, curve: FloatArray, beyond_s: float) -> Input:
    """Bring a sampled curve to the fine axis.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times; they need not be uniform.
    curve : ndarray, shape (T,)
        The curve; a natural cubic spline between the frames, since straight lines between frames would widen it.
    beyond_s : float, s
        How long it is continued behind the last frame, decaying.

    Returns
    -------
    Input
        The curve.
    """
    start, end = float(times_s[0]), float(times_s[-1])
    count = int(np.ceil((end + beyond_s - start) / STEP_S)) + 2
    fine = start + STEP_S * np.linspace(0.0, count - 1.0, count)
    inside = CubicSpline(times_s, curve, bc_type="natural")(np.minimum(fine, end))
    values: FloatArray = inside * np.exp(-np.maximum(fine - end, 0.0) / TAIL_DECAY_S)
    values[0] = 0.0  # nothing before the scan
    return Input(start, values)


class Response:
    """Curves of one family for one input.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    source : Input
        What goes in.
    residue : Residue
        Family.
    dispersion : float
        Share of a positive delay that is spread by the vessels rather than pure shift.
    """

    def __init__(self, times_s: FloatArray, source: Input, residue: Residue, dispersion: float = 0.0) -> None:
        self.times_s = np.asarray(times_s, np.float64)
        self.source, self.residue, self.dispersion = source, residue, float(dispersion)
        self.centre_share = residue.centre
        self._size = fft.next_fast_len(2 * source.values.size + 4, real=True)
        self._bends: dict[int, NDArray[np.complex128]] = {}

    @property
    def name(self) -> str:
        """Family and dispersion in words, such as ``gamma:2 0.25``."""
        return f"{self.residue.name} {self.dispersion:g}"

    def curves(self, delay_s: FloatArray, mtt_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return curves of unit blood volume for one transit time, and their slopes.

        Parameters
        ----------
        delay_s : ndarray, shape (n,), s
            Mean arrivals after the input.
        mtt_s : float, s
            Mean transit time.

        Returns
        -------
        curve, by_delay, by_log_mtt : ndarray, shape (n, T)
            The curves, and their derivatives by the delay at fixed MTT and by ln MTT at fixed delay.
        """
        delay = np.asarray(delay_s, np.float64)
        spread = self.dispersion * np.maximum(delay, 0.0)
        at = spread / SPREAD_STEP_S
        low = at.astype(int)
        signals = self._signals(mtt_s, int(low.max()) + 2 if self.dispersion > 0.0 else 1)
        since = (self.times_s - (delay - spread)[:, None] - self.source.start_s) / STEP_S
        near = self._sample(signals, low, since)
        if self.dispersion <= 0.0:
            return near[0], -near[1], near[2]
        far = self._sample(signals, low + 1, since)
        part, late = (at - low)[:, None], (delay > 0.0)[:, None]
        mixed = near * (1.0 - part) + far * part
        widened = (far[0] - near[0]) * (self.dispersion / SPREAD_STEP_S)
        by_delay = np.where(late, widened - mixed[1] * (1.0 - self.dispersion), -mixed[1])
        return mixed[0], by_delay, mixed[2]

    def _signals(self, mtt_s: float, spreads: int) -> FloatArray:
        """Curve, slope and derivative by ln MTT at the knots for inputs spread more and more, shape (spreads, 3, knots)."""
        count = self.source.values.size
        since = STEP_S * np.linspace(0.0, count - 1.0, count)
        x = since / mtt_s
        once, twice = self.residue.once(x), mtt_s * self.residue.twice(x)
        kernels = fft.rfft(np.stack([twice, once, twice - since * once]), self._size, axis=1)
        bends = np.stack([self._bent(node) for node in range(spreads)])
        found: FloatArray = fft.irfft(bends[:, None] * kernels, self._size, axis=2)[:, :, :count]
        return found

    def _bent(self, node: int) -> NDArray[np.complex128]:
        """Spectrum of the changes of slope of the input behind vessels with a gamma kernel."""
        if node not in self._bends:
            values = self._spread(node * SPREAD_STEP_S)
            slopes = np.append(np.diff(np.diff(values), prepend=0.0), 0.0) / STEP_S
            self._bends[node] = fft.rfft(slopes, self._size)
        return self._bends[node]

    def _spread(self, mean_s: float) -> FloatArray:
        """Input behind vessels with a gamma kernel of mean `mean_s`."""
        values = self.source.values
        if mean_s <= 0.0:
            return values
        edges = np.maximum((np.linspace(0.0, values.size, values.size + 1) - 0.5) * STEP_S, 0.0)
        kernel = np.diff(special.gammainc(VESSEL_SHAPE, VESSEL_SHAPE * edges / mean_s))
        found: FloatArray = fft.irfft(fft.rfft(values, self._size) * fft.rfft(kernel, self._size), self._size)[: values.size]
        found[0] = 0.0
        return found

    def _sample(self, signals: FloatArray, node: NDArray[np.int64], since: FloatArray) -> FloatArray:
        """Interpolate at times counted in knots, shape (3, n, T): the curve by cubics through values and slopes."""
        count = signals.shape[2]
        inside = np.clip(since, 0.0, count - 1.001)
        low = inside.astype(int)
        part = inside - low
        flat = (np.minimum(node, signals.shape[0] - 1) * count)[:, None] + low
        rows = np.ascontiguousarray(signals.transpose(1, 0, 2)).reshape(3, -1)
        a, b = rows[:, flat], rows[:, flat + 1]
        found: FloatArray = a * (1.0 - part) + b * part
        q = part * (1.0 - part)
        rise = b[0] - a[0]
        found[0] += q * ((1.0 - part) * (STEP_S * a[1] - rise) + part * (rise - STEP_S * b[1]))
        return np.where(since < 0.0, 0.0, found)
