# SPDX-License-Identifier: Apache-2.0
"""From the response to a never-ending bolus to the pictures of a protocol."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ...core.errors import InvalidInputError
from ...core.geometry import FloatArray

_SAME_S = 1e-4
_CHUNK = 50_000


def signal(
    response: NDArray[np.floating], times_s: FloatArray, label_duration_s: float, delays_s: tuple[float, ...] | FloatArray
) -> NDArray[np.float32]:
    """Return the label density that a protocol measures.

    Parameters
    ----------
    response : ndarray, shape (..., T), mL/g
        Under a bolus that starts at time 0 and never ends.
    times_s : ndarray, shape (T,), s
        When it was taken.
    label_duration_s : float, s
        Length of the bolus.
    delays_s : sequence of float, s
        Post-label delays.

    Returns
    -------
    ndarray, shape (..., D), mL/g
        ``H(LD + PLD) - H(PLD)``.

    Raises
    ------
    InvalidInputError
        If a time lies beyond the response.

    Notes
    -----
    Decay counts from the moment of labeling, so that the system does not change with time and superposition is exact.
    Times that are not stored are interpolated by monotone cubics.
    """
    delays = np.atleast_1d(np.asarray(delays_s, float))
    wanted = np.concatenate([delays + label_duration_s, delays])
    if wanted.min() < 0 or wanted.max() > times_s[-1] + _SAME_S:
        msg = f"A picture at {wanted.max():g} s is beyond the simulated {times_s[-1]:g} s. Choose shorter delays or labeling."
        raise InvalidInputError(msg)
    values = response_at(response, times_s, wanted)
    return np.asarray(values[..., : delays.size] - values[..., delays.size :], np.float32)


def response_at(response: NDArray[np.floating], times_s: FloatArray, wanted_s: FloatArray) -> NDArray[np.floating]:
    """Return a response at other times: as stored where they are among those, else by monotone cubics from 0 at time 0.

    Parameters
    ----------
    response : ndarray, shape (..., T), mL/g
        Under a bolus that starts at time 0 and never ends.
    times_s : ndarray, shape (T,), s
        When it was taken.
    wanted_s : ndarray, shape (W,), s
        From 0 to the last of them.

    Returns
    -------
    ndarray, shape (..., W), mL/g
        The response.
    """
    place = np.abs(times_s[None] - wanted_s[:, None]).argmin(axis=1)
    if np.all(np.abs(times_s[place] - wanted_s) < _SAME_S):
        return np.asarray(response[..., place])
    flat = response.reshape(-1, response.shape[-1])
    held = np.flatnonzero(flat[:, -1] > 0)  # a response never falls: the rest is empty
    knots = np.concatenate([[0.0], times_s])
    values = np.zeros((flat.shape[0], wanted_s.size), np.float32)
    for rows in np.array_split(held, 1 + held.size // _CHUNK):
        whole = np.concatenate([np.zeros((rows.size, 1)), flat[rows]], axis=1)
        values[rows] = PchipInterpolator(knots, whole, axis=1)(wanted_s)
    return values.reshape(*response.shape[:-1], wanted_s.size)
