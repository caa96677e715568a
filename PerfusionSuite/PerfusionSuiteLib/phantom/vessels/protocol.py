# SPDX-License-Identifier: Apache-2.0
"""From the response to a never-ending bolus to the pictures of a protocol."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ...core.errors import InvalidInputError
from ...core.geometry import FloatArray

_SAME_S = 1e-4


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
    place = np.abs(times_s[None] - wanted[:, None]).argmin(axis=1)
    if np.all(np.abs(times_s[place] - wanted) < _SAME_S):
        values = response[..., place]
    else:
        start = np.zeros((*response.shape[:-1], 1))
        whole = np.concatenate([start, np.asarray(response, float)], axis=-1)
        values = PchipInterpolator(np.concatenate([[0.0], times_s]), whole, axis=-1)(wanted)
    return np.asarray(values[..., : delays.size] - values[..., delays.size :], np.float32)
