# SPDX-License-Identifier: Apache-2.0
"""Label that only passes through: the arterial compartment that may lie over the tissue of a voxel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.geometry import FloatArray
from .kinetic import arterial_response

_STEP_S = 0.02
_WORTH = 6.0
"""Squared noise that the two parameters more must explain: about a log likelihood ratio of 3."""
_CHUNK = 4096


class Arterial(NamedTuple):
    """Arterial blood volume in mL/g, its arrival in s (NaN without), and its part of the curves."""

    volume: FloatArray
    arrival: FloatArray
    part: FloatArray


def arterial_patterns(
    post_label_delays_s: FloatArray, label_durations_s: FloatArray, *, labeling: str, t1_blood_s: float, latest_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the different courses that an artery can have at the delays of a scan.

    An artery holds label or not, so all arrival times between two changes of that give the same course up to a factor, which
    cannot be told from the volume. The middle of the range stands for it.

    Parameters
    ----------
    post_label_delays_s, label_durations_s : ndarray, shape (D,), s
        The delays.
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    t1_blood_s : float, s
        T1 of arterial blood.
    latest_s : float, s
        Latest arrival.

    Returns
    -------
    arrivals : ndarray, shape (P,), s
        One arrival time for each course.
    courses : ndarray, shape (P, D)
        Response of a unit of volume at that arrival.
    """
    times = np.arange(_STEP_S / 2, latest_s, _STEP_S)
    responses = arterial_response(
        times[:, None], post_label_delays_s, label_durations_s, labeling=labeling, t1_blood_s=t1_blood_s
    )
    seen = responses > 0
    names, member = np.unique(seen, axis=0, return_inverse=True)
    middles = [float(times[member.ravel() == at].mean()) for at in range(len(names))]
    keep = [at for at in range(len(names)) if names[at].any()]
    arrivals = np.array([middles[at] for at in keep])
    courses = arterial_response(
        arrivals[:, None], post_label_delays_s, label_durations_s, labeling=labeling, t1_blood_s=t1_blood_s
    )
    return arrivals, courses


def fit_arteries(
    curves: FloatArray, responses: FloatArray, noise: FloatArray, penalty: FloatArray, arrivals_s: FloatArray, courses: FloatArray
) -> Arterial:
    """Find the arterial part of curves where there is evidence for one.

    Parameters
    ----------
    curves : ndarray, shape (N, D)
        Label densities, each delay divided by its relative noise.
    responses : ndarray, shape (A, D)
        Response of tissue at each arrival time, divided alike.
    noise : ndarray, shape (N,)
        Standard error of the curves.
    penalty : ndarray, shape (A,)
        What speaks against an arrival time in tissue, in squared noise.
    arrivals_s : ndarray, shape (P,), s
        Arrival of each arterial course.
    courses : ndarray, shape (P, D)
        The courses, divided alike.

    Returns
    -------
    Arterial
        Volume 0 where the tissue alone explains the curve as well.

    Notes
    -----
    At every pair of an arterial course and an arrival time in tissue, volume and flow are the two unknowns of a least-squares
    problem with both not negative, which is solved in closed form.
    """
    size = curves.shape[0]
    volume, arrival, part = np.zeros(size), np.full(size, np.nan), np.zeros_like(curves)
    power = np.maximum(np.einsum("ad,ad->a", responses, responses), 1e-12)
    for start in range(0, size, _CHUNK):
        here = slice(start, min(start + _CHUNK, size))
        y, variance = curves[here], np.maximum(noise[here], 1e-12)[:, None] ** 2
        tissue = y @ responses.T
        plain = (np.maximum(tissue, 0.0) ** 2 / power - variance * penalty).max(axis=1)
        best, best_volume, best_course = plain + _WORTH * variance[:, 0], np.zeros(len(y)), np.full(len(y), -1)
        for at, course in enumerate(courses):
            gain, amount = _with_course(y @ course, tissue, power, responses @ course, float(course @ course))
            gain = gain - variance * penalty
            top = gain.argmax(axis=1)
            rows = np.arange(len(y))
            better = (gain[rows, top] > best) & (amount[rows, top] > 0)
            best = np.where(better, gain[rows, top], best)
            best_volume = np.where(better, amount[rows, top], best_volume)
            best_course = np.where(better, at, best_course)
        found = best_course >= 0
        volume[here] = best_volume
        arrival[here] = np.where(found, arrivals_s[best_course], np.nan)
        part[here] = best_volume[:, None] * np.where(found[:, None], courses[best_course], 0.0)
    return Arterial(volume, arrival, part)


def _with_course(
    artery: FloatArray, tissue: FloatArray, power: FloatArray, cross: FloatArray, own: float
) -> tuple[FloatArray, FloatArray]:
    """Reduction of the sum of squares, and the arterial volume, at every arrival time in tissue."""
    determinant = np.maximum(power * own - cross**2, 1e-12 * power * own)
    amount = (artery[:, None] * power - cross * tissue) / determinant
    flow = (tissue * own - cross * artery[:, None]) / determinant
    alone = np.maximum(artery, 0.0)[:, None] / own
    amount = np.where(flow < 0, alone, np.maximum(amount, 0.0))
    flow = np.where(amount <= 0, np.maximum(tissue, 0.0) / power, np.maximum(flow, 0.0))
    gain = flow * (2 * tissue - flow * power - 2 * amount * cross) + amount * (2 * artery[:, None] - amount * own)
    return gain, amount
