# SPDX-License-Identifier: Apache-2.0
"""The bolus: enhancement at the feeding artery and in the sagittal sinus on a 0.1 s axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import signal, special

from ..core.geometry import FloatArray
from .draws import lognormal, stream

STEP_S = 0.1


@dataclass(frozen=True)
class Bolus:
    """True vascular curves of a patient.

    Parameters
    ----------
    times_s : ndarray, shape (F,), s
        From 0 in steps of 0.1 s.
    aif, vof : ndarray, shape (F,), HU
        Enhancement of pure blood at the feeding artery and at the torcula.
    early_dispersion, late_dispersion : float
        Share of an arrival delay that is spread (a gamma kernel) rather than a pure shift, for short
        delays and behind an occlusion.
    dispersion_shape : float
        Shape of that kernel.
    parameters : dict
        What was drawn.
    """

    times_s: FloatArray
    aif: FloatArray
    vof: FloatArray
    early_dispersion: float
    late_dispersion: float
    dispersion_shape: float
    parameters: dict[str, Any]

    def dispersed_share(self, delay_s: Any) -> FloatArray:
        """Return the share of a delay that is dispersion; grows behind an occlusion."""
        late = 1.0 / (1.0 + np.exp(-(np.asarray(delay_s, float) - 3.5) / 0.6))
        share: FloatArray = self.early_dispersion + (self.late_dispersion - self.early_dispersion) * late
        return share

    def arriving(self, delays_s: FloatArray) -> FloatArray:
        """Return the arterial curve after vessels of mean transit `delays_s`.

        Parameters
        ----------
        delays_s : ndarray, shape (D,), s
            Mean arrival after the feeding artery; shift and dispersion together.

        Returns
        -------
        ndarray, shape (D, F), HU
            Curves of the same area.
        """
        curves = np.empty((len(delays_s), self.times_s.size))
        for n, delay in enumerate(delays_s):
            spread = float(self.dispersed_share(delay)) * max(float(delay), 0.0)
            curves[n] = dispersed(self.times_s, self.aif, float(delay) - spread, spread, self.dispersion_shape)
        return curves


def gamma_cells(times_s: FloatArray, mean_s: float, shape: float) -> FloatArray:
    """Return exact integrals of a gamma density over the cells of width 0.1 s centred on the times."""
    edges = np.maximum(np.append(times_s - 0.5 * STEP_S, times_s[-1] + 0.5 * STEP_S), 0.0)
    cells: FloatArray = np.diff(special.gammainc(shape, shape * edges / mean_s))
    return cells


def dispersed(times_s: FloatArray, curve: FloatArray, shift_s: float, spread_s: float, shape: float) -> FloatArray:
    """Delay a curve by a shift and by a gamma kernel of mean `spread_s`.

    Parameters
    ----------
    times_s : ndarray, shape (F,), s
        Steps of 0.1 s.
    curve : ndarray, shape (F,)
        What to delay; zero before it starts.
    shift_s, spread_s : float, s
        Pure shift (may be negative) and mean of the kernel.
    shape : float
        Shape of the kernel.

    Returns
    -------
    ndarray, shape (F,)
        Delayed curve.
    """
    moved: FloatArray = np.interp(times_s - shift_s, times_s, curve, left=0.0)
    if spread_s < 0.02:
        return moved
    spread: FloatArray = signal.fftconvolve(moved, gamma_cells(times_s, spread_s, shape))[: times_s.size]
    spread[times_s < shift_s + times_s[np.argmax(curve != 0)]] = 0.0  # the transform's rounding
    return spread


def first_pass(times_s: FloatArray, start_s: float, rise_s: float, width_s: float) -> FloatArray:
    """Return a gamma variate of peak 1 that peaks `rise_s` after its start with full width `width_s` at half maximum."""
    power = max((2.355 * rise_s / width_s) ** 2, 1.1)
    x = np.maximum(times_s - start_s, 0.0) / rise_s
    curve: FloatArray = np.where(x > 0, np.exp(power * (np.log(np.maximum(x, 1e-12)) + 1.0 - x)), 0.0)
    return curve


def draw_bolus(seed: int, duration_s: float) -> Bolus:
    """Draw the vascular curves of a patient.

    Parameters
    ----------
    seed : int
        The patient.
    duration_s : float, s
        Length of the scan; the curves reach a little further. It has no influence on the draws.

    Returns
    -------
    Bolus
        Curves.
    """
    rng = stream(seed, "bolus")
    drawn = {
        "start_s": rng.uniform(3.0, 12.0), "rise_s": rng.uniform(4.0, 8.0), "width_s": rng.uniform(6.0, 14.0),
        "peak_hu": lognormal(rng, 245.0, 0.34, 110.0, 480.0), "recirculation": rng.uniform(0.15, 0.30),
        "recirculation_after_s": rng.uniform(12.0, 20.0), "tail": rng.uniform(0.07, 0.22),
        "tail_decay_s": rng.uniform(80.0, 200.0),
        "brain_transit_s": lognormal(rng, 6.5, 0.42, 3.0, 15.0), "transit_shape": rng.uniform(2.5, 6.0),
        "vof_scale": rng.uniform(0.92, 1.0), "early_dispersion": rng.uniform(0.05, 0.3),
        "late_dispersion": rng.uniform(0.25, 0.5),
        "dispersion_shape": rng.uniform(1.5, 3.0),
    }  # fmt: skip
    drawn["width_s"] = min(drawn["width_s"], 1.9 * drawn["rise_s"] + 2.0)
    times = np.linspace(0.0, STEP_S * np.ceil((duration_s + 5.0) / STEP_S), int(np.ceil((duration_s + 5.0) / STEP_S)) + 1)
    first = first_pass(times, drawn["start_s"], drawn["rise_s"], drawn["width_s"])
    again = dispersed(times, first, 0.55 * drawn["recirculation_after_s"], 0.45 * drawn["recirculation_after_s"], 5.0)
    again *= drawn["recirculation"] / max(again.max(), 1e-6)
    leaving = np.exp(-times / drawn["tail_decay_s"])
    tail = signal.fftconvolve(first, leaving)[: times.size]
    tail = dispersed(times, tail, 6.0, 6.0, 2.0)
    tail *= drawn["tail"] / (first.sum() * 1.0)
    aif = drawn["peak_hu"] * (first + again + tail)
    shift = 0.35 * drawn["brain_transit_s"]
    vof = drawn["vof_scale"] * dispersed(times, aif, shift, drawn["brain_transit_s"] - shift, drawn["transit_shape"])
    return Bolus(times, aif, vof, drawn["early_dispersion"], drawn["late_dispersion"], drawn["dispersion_shape"], drawn)
