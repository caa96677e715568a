# SPDX-License-Identifier: Apache-2.0
"""The general kinetic model of ASL: what a unit of flow contributes to a difference image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.geometry import FloatArray
from .relaxation import PARTITION_ML_PER_G

FLOW_UNIT = 6000.0
"""mL/100 g/min in one mL/g/s."""


def unit_response(
    arrival_s: ArrayLike,
    post_label_delay_s: ArrayLike,
    label_duration_s: ArrayLike,
    *,
    labeling: str = "pcasl",
    t1_blood_s: float = 1.65,
    rate_per_s: ArrayLike = 1.0 / 1.33,
) -> FloatArray:
    """Return the label density in tissue for a flow of 1 mL/g/s; all arguments broadcast.

    Label decays with T1 of blood until it arrives, then with T1' of the tissue that it exchanges with at once.

    Parameters
    ----------
    arrival_s : array-like, s
        Arterial transit time (ATT): from the labeling plane to the voxel.
    post_label_delay_s : array-like, s
        From the end of labeling ((P)CASL), or from the labeling pulse (PASL), to the picture; with the delay of the slice.
    label_duration_s : array-like, s
        Duration of labeling ((P)CASL), or of the bolus that the saturation of QUIPSS II or Q2TIPS cuts off (PASL).
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    t1_blood_s : float, s
        T1 of arterial blood.
    rate_per_s : array-like, 1/s
        ``1 / T1' = 1 / T1t + CBF / lambda``.

    Returns
    -------
    ndarray, s
        ``lambda * dM / (2 alpha M0)`` per flow; 0 before the label arrives.

    Notes
    -----
    (P)CASL, with t = label duration + post-label delay:
    ``T1' exp(-ATT/T1b) (1 - exp(-min(t-ATT, LD)/T1')) exp(-max(0, t-ATT-LD)/T1')``.
    PASL, with t = TI: the integral of ``exp(-u/T1b) exp(-(t-u)/T1')`` over arrivals u from ATT to ``min(t, ATT+bolus)``.

    References
    ----------
    Buxton et al., Magn Reson Med 40:383 (1998), equations 3 and 5; qtmnet section 14.
    """
    arrival, delay, duration, rate = (
        np.asarray(a, np.float64) for a in (arrival_s, post_label_delay_s, label_duration_s, rate_per_s)
    )
    if labeling == "pasl":
        inside = np.clip(delay - arrival, 0.0, duration)
        difference = rate - 1.0 / t1_blood_s
        # expm1(k x) / k stays exact where the two relaxation times are equal
        small = np.abs(difference * inside) < 1e-8
        growth = np.where(small, inside, np.expm1(difference * inside) / np.where(difference == 0.0, 1.0, difference))
        waited = np.maximum(delay - arrival, 0.0)
        return np.asarray(np.exp(-arrival / t1_blood_s) * np.exp(-waited * rate) * growth, np.float64)
    since = delay + duration - arrival
    filled = -np.expm1(-np.clip(since, 0.0, duration) * rate)
    left = np.exp(-np.maximum(since - duration, 0.0) * rate)
    return np.asarray(np.exp(-arrival / t1_blood_s) * filled * left / rate, np.float64)


def arterial_response(
    arrival_s: ArrayLike,
    post_label_delay_s: ArrayLike,
    label_duration_s: ArrayLike,
    *,
    labeling: str = "pcasl",
    t1_blood_s: float = 1.65,
) -> FloatArray:
    """Return the label density of an arterial blood volume of 1 mL/g that passes on to other voxels.

    Parameters
    ----------
    arrival_s : array-like, s
        Arterial bolus arrival time.
    post_label_delay_s, label_duration_s : array-like, s
        See `unit_response`.
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    t1_blood_s : float, s
        T1 of arterial blood.

    Returns
    -------
    ndarray
        Decay of the label while it is in the artery, 0 before and after; no dispersion.

    References
    ----------
    Chappell et al., Magn Reson Med 63:1357 (2010), equation 3.
    """
    arrival, delay, duration = (np.asarray(a, np.float64) for a in (arrival_s, post_label_delay_s, label_duration_s))
    time, age = (delay, delay) if labeling == "pasl" else (delay + duration, arrival)
    inside = (time >= arrival) & (time < arrival + duration)
    return np.where(inside, np.exp(-age / t1_blood_s), 0.0)


def tissue_rate(t1_tissue_s: ArrayLike, flow: ArrayLike = 0.0, *, partition: float = PARTITION_ML_PER_G) -> FloatArray:
    """Return ``1 / T1' = 1 / T1t + CBF / lambda``.

    Parameters
    ----------
    t1_tissue_s : array-like, s
        T1 of tissue.
    flow : array-like, mL/100 g/min
        Perfusion, whose venous outflow carries label away.
    partition : float, mL/g
        Brain-blood partition coefficient.

    Returns
    -------
    ndarray, 1/s
        The rate.
    """
    return np.asarray(1.0 / np.asarray(t1_tissue_s, np.float64) + np.asarray(flow, np.float64) / (FLOW_UNIT * partition))


def label_density(
    flow: ArrayLike,
    arrival_s: ArrayLike,
    post_label_delay_s: ArrayLike,
    label_duration_s: ArrayLike,
    *,
    labeling: str = "pcasl",
    t1_blood_s: float = 1.65,
    t1_tissue_s: ArrayLike = 1.33,
    partition: float = PARTITION_ML_PER_G,
) -> FloatArray:
    """Return the label density that the general kinetic model predicts; all arguments broadcast.

    Parameters
    ----------
    flow : array-like, mL/100 g/min
        Perfusion.
    arrival_s, post_label_delay_s, label_duration_s, labeling, t1_blood_s
        See `unit_response`.
    t1_tissue_s : array-like, s
        T1 of tissue.
    partition : float, mL/g
        Brain-blood partition coefficient.

    Returns
    -------
    ndarray, mL/g
        ``S = lambda * dM / (2 alpha M0)``.
    """
    rate = tissue_rate(t1_tissue_s, flow, partition=partition)
    response = unit_response(
        arrival_s, post_label_delay_s, label_duration_s, labeling=labeling, t1_blood_s=t1_blood_s, rate_per_s=rate
    )
    return np.asarray(np.asarray(flow, np.float64) / FLOW_UNIT * response)


def scaled_density(
    delta_m: NDArray[Any], m0: NDArray[Any] | float, efficiency: float, *, partition: float = PARTITION_ML_PER_G
) -> NDArray[Any]:
    """Return the label density of measured difference images.

    Parameters
    ----------
    delta_m : ndarray, signal
        Control minus label.
    m0 : ndarray or float, signal
        Calibrated signal of fully relaxed tissue, broadcast against `delta_m`.
    efficiency : float
        Labeling efficiency with the loss by background suppression.
    partition : float, mL/g
        Brain-blood partition coefficient.

    Returns
    -------
    ndarray, mL/g
        ``S = lambda * dM / (2 alpha M0)`` (qtmnet section 2).
    """
    result: NDArray[Any] = delta_m * (partition / (2.0 * efficiency)) / m0
    return result
