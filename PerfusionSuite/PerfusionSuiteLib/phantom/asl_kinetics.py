# SPDX-License-Identifier: Apache-2.0
"""Labeled blood in tissue and in arteries, in closed form, and what background suppression leaves of still tissue.

The truth of the digital ASL patients: written apart from the models in ``asl`` and never shared with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ..core.geometry import FloatArray

PULSE_EFFICIENCY = 0.95
"""What one background-suppression pulse leaves of a magnetization that it inverts."""

_NULLED_T1_S = (0.85, 1.35, 2.1)
_LEFT = 0.12
_EARLIEST_S, _LATEST_S = 0.02, 0.02
_NODES = ((0.0, 2.0 / 3.0), (np.sqrt(3.0), 1.0 / 6.0), (-np.sqrt(3.0), 1.0 / 6.0))


def tissue_label(
    flow: NDArray[Any],
    arrival_s: NDArray[Any],
    t1_tissue_s: float,
    t1_blood_s: float,
    partition: float,
    *,
    pulsed: bool,
    bolus_s: float,
    after_s: NDArray[Any] | float,
    dispersion: float = 0.0,
) -> NDArray[np.float32]:
    """Return the difference of control and label in tissue, over twice the inversion times the equilibrium of blood.

    Parameters
    ----------
    flow : ndarray, shape (n,), mL/100 g/min
        Perfusion.
    arrival_s : ndarray, shape (n,), s
        Arterial transit time.
    t1_tissue_s, t1_blood_s : float, s
        Longitudinal relaxation.
    partition : float, mL/g
        Partition coefficient of water.
    pulsed : bool
        PASL: all blood is labeled at once. Otherwise it is labeled as it flows by.
    bolus_s : float, s
        Labeling duration, or the length of the pulsed bolus.
    after_s : float or ndarray, shape (n,), s
        Time since the start of labeling.
    dispersion : float
        Spread of arrival, standard deviation over mean; moments up to the fifth are those of a normal distribution.

    Returns
    -------
    ndarray of float32, shape (n,)
        Relative difference.

    Notes
    -----
    Solution of ``dM/dt = f c(t) - M (1/T1 + f/lambda)`` (Buxton 1998) for blood of concentration ``c``: within the bolus it is
    ``exp(-arrival/T1b)`` for continuous and ``exp(-t/T1b)`` for pulsed labeling.
    """
    per_s = np.asarray(flow, np.float64) / 6000.0
    loss = 1.0 / t1_tissue_s + per_s / partition
    total = np.zeros(per_s.shape)
    for shift, weight in _NODES if dispersion > 0 else ((0.0, 1.0),):
        arrival = np.maximum(np.asarray(arrival_s, np.float64) * (1.0 + shift * dispersion), 0.02)
        last = np.minimum(np.asarray(after_s) - arrival, bolus_s)  # length of the bolus that is there
        inside = np.maximum(last, 0.0)
        since_end = np.maximum(np.asarray(after_s) - arrival - bolus_s, 0.0)
        if pulsed:
            rate = loss - 1.0 / t1_blood_s
            rate = np.where(np.abs(rate) < 1e-9, 1e-9, rate)
            grown = -np.expm1(-rate * inside) / rate * np.exp(-(arrival + inside) / t1_blood_s)
        else:
            grown = -np.expm1(-loss * inside) / loss * np.exp(-arrival / t1_blood_s)
        total += weight * per_s * grown * np.exp(-loss * since_end)
    return total.astype(np.float32)


def artery_label(
    arrival_s: NDArray[Any], t1_blood_s: float, *, pulsed: bool, bolus_s: float, after_s: NDArray[Any] | float
) -> NDArray[np.float32]:
    """Return the difference within an artery, over twice the inversion times the equilibrium of blood.

    Parameters
    ----------
    arrival_s : ndarray, shape (n,), s
        When the bolus begins to pass.
    t1_blood_s : float, s
        Longitudinal relaxation of blood.
    pulsed, bolus_s, after_s
        See `tissue_label`.

    Returns
    -------
    ndarray of float32, shape (n,)
        Share of the magnetization that is still inverted.
    """
    since = np.asarray(after_s) - arrival_s
    there = (since >= 0.0) & (since < bolus_s)
    age = after_s if pulsed else arrival_s
    return np.where(there, np.exp(-np.asarray(age) / t1_blood_s), 0.0).astype(np.float32)


def suppression_times(pulses: int, readout_s: float) -> FloatArray:
    """Choose when background-suppression pulses come so that little is left of still tissue, all of it positive.

    Parameters
    ----------
    pulses : int
        Number of inversion pulses after a saturation at the start.
    readout_s : float, s
        Time of the picture after that start.

    Returns
    -------
    ndarray, shape (pulses,), s
        Increasing times.
    """
    if not pulses:
        return np.zeros(0)

    def left(at: FloatArray) -> FloatArray:
        rest = still_signal(np.array(_NULLED_T1_S), np.sort(at), readout_s)
        return np.asarray(np.where(rest < 0.5 * _LEFT, 5.0, 1.0) * (rest - _LEFT))

    lowest, highest = _EARLIEST_S, readout_s - _LATEST_S
    best: tuple[float, FloatArray] = (np.inf, np.zeros(0))
    for number in range(12):
        start = np.sort(np.random.default_rng([pulses, number]).uniform(lowest, highest, pulses))
        found = optimize.least_squares(left, start, bounds=(lowest, highest))
        if found.cost < best[0]:
            best = (float(found.cost), np.sort(found.x))
    return best[1]


def still_signal(t1_s: NDArray[Any] | float, pulse_times_s: FloatArray, readout_s: NDArray[Any] | float) -> FloatArray:
    """Return the longitudinal magnetization of still tissue at the picture, relative to rest.

    Parameters
    ----------
    t1_s : float or ndarray, s
        Longitudinal relaxation time.
    pulse_times_s : ndarray, shape (P,), s
        Inversion pulses after a saturation at time 0.
    readout_s : float or ndarray, s
        Time of the picture.

    Returns
    -------
    ndarray
        Between -1 and 1.
    """
    t1 = np.asarray(t1_s, np.float64)
    state, now = np.zeros(t1.shape), 0.0
    for pulse in pulse_times_s:
        state = 1.0 - (1.0 - state) * np.exp(-(pulse - now) / t1)
        state, now = -PULSE_EFFICIENCY * state, float(pulse)
    rest: FloatArray = 1.0 - (1.0 - state) * np.exp(-(np.asarray(readout_s) - now) / t1)
    return rest
