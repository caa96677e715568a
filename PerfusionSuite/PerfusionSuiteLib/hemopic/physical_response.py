# SPDX-License-Identifier: Apache-2.0
"""Tissue curves of a unit of blood volume: what an input becomes after an arrival, vessels that spread it, and a transit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, special
from scipy.interpolate import CubicHermiteSpline, CubicSpline

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
        if self.dispersion <= 0.0:
            return self._shifted(self.source.values, delay, mtt_s)
        spread = self.dispersion * np.maximum(delay, 0.0)
        nodes = np.arange(0.0, spread.max() + 2.0 * SPREAD_STEP_S, SPREAD_STEP_S)
        at = spread / SPREAD_STEP_S
        low = np.minimum(at.astype(int), nodes.size - 2)
        result = tuple(np.empty((delay.size, self.times_s.size)) for _ in range(3))
        for node in np.unique(low):
            here = low == node
            ends = [self._shifted(self._spread(float(nodes[n])), delay[here] - spread[here], mtt_s) for n in (node, node + 1)]
            part = (at[here] - node)[:, None]
            slope = (ends[1][0] - ends[0][0]) / SPREAD_STEP_S
            late = (delay[here] > 0)[:, None]
            result[0][here] = ends[0][0] * (1.0 - part) + ends[1][0] * part
            pure = ends[0][1] * (1.0 - part) + ends[1][1] * part
            result[1][here] = pure * np.where(late, 1.0 - self.dispersion, 1.0) + slope * np.where(late, self.dispersion, 0.0)
            result[2][here] = ends[0][2] * (1.0 - part) + ends[1][2] * part
        return result[0], result[1], result[2]

    def _spread(self, mean_s: float) -> FloatArray:
        """Input behind vessels with a gamma kernel of mean `mean_s`."""
        values = self.source.values
        if mean_s <= 0.0:
            return values
        edges = np.maximum((np.linspace(0.0, values.size, values.size + 1) - 0.5) * STEP_S, 0.0)
        kernel = np.diff(special.gammainc(VESSEL_SHAPE, VESSEL_SHAPE * edges / mean_s))
        found: FloatArray = fft.irfft(fft.rfft(values, self._size) * fft.rfft(kernel, self._size), self._size)[: values.size]
        return found

    def _shifted(self, values: FloatArray, delay: FloatArray, mtt_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Exact curves at the knots, then a Hermite interpolant through values and slopes."""
        count = values.size
        since = STEP_S * np.linspace(0.0, count - 1.0, count)
        bends = np.append(np.diff(np.diff(values), prepend=0.0), 0.0) / STEP_S
        x = since / mtt_s
        once, twice = self.residue.once(x), mtt_s * self.residue.twice(x)
        kernels = np.stack([twice, once, twice - since * once])
        found = fft.irfft(fft.rfft(kernels, self._size, axis=1) * fft.rfft(bends, self._size), self._size, axis=1)[:, :count]
        knots = self.source.start_s + since
        curve = CubicHermiteSpline(knots, found[0], found[1])
        log_mtt = CubicSpline(knots, found[2])
        at = self.times_s - delay[:, None]
        seen = at >= knots[0]
        inside = np.clip(at, knots[0], knots[-1])
        return (
            np.where(seen, curve(inside), 0.0),
            np.where(seen, -curve(inside, 1), 0.0),
            np.where(seen, log_mtt(inside), 0.0),
        )
