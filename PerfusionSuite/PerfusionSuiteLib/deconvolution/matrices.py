# SPDX-License-Identifier: Apache-2.0
"""The convolution with the arterial input as a matrix: causal (Toeplitz) and circulant, and what their inverses are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .timegrid import TAIL_DECAY_S

ComplexArray = NDArray[np.complex128]


def causal_matrix(aif: FloatArray, interval_s: float) -> FloatArray:
    """Return the lower-triangular matrix of a first-order convolution.

    Parameters
    ----------
    aif : ndarray, shape (N,)
        Arterial input on a uniform grid.
    interval_s : float, s
        Grid interval.

    Returns
    -------
    ndarray, shape (N, N), s
        ``tissue = matrix @ k`` with k in 1/s (OSIPI CAPLEX G.DI1.001).
    """
    matrix: FloatArray = toeplitz(interval_s * aif, np.zeros(aif.size))
    return matrix


def padding_matrix(count: int, interval_s: float, extend_tail: bool) -> FloatArray:
    """Return the matrix that doubles the length of a curve.

    Parameters
    ----------
    count : int
        Number of samples N.
    interval_s : float, s
        Grid interval.
    extend_tail : bool
        Continue with an exponential decay from the mean of the last three samples instead of with zeros.

    Returns
    -------
    ndarray, shape (N, 2 N)
        ``padded = curve @ matrix``.
    """
    matrix = np.eye(count, 2 * count)
    if extend_tail:
        decay = np.exp(-interval_s * np.arange(1, count + 1) / TAIL_DECAY_S)
        matrix[-3:, count:] += decay / 3.0
    return matrix


def circulant_spectrum(aif: FloatArray, interval_s: float, padding: FloatArray) -> ComplexArray:
    """Return the transfer function of the block-circulant convolution.

    The singular values of a circulant matrix are the moduli of this spectrum, its singular vectors the Fourier modes
    (Gall et al., MAGMA 23:187, 2010); so a mode and its conjugate are always kept or dropped together.

    Parameters
    ----------
    aif : ndarray, shape (N,)
        Arterial input on a uniform grid.
    interval_s : float, s
        Grid interval.
    padding : ndarray, shape (N, L)
        From `padding_matrix`.

    Returns
    -------
    ndarray of complex, shape (L // 2 + 1,), s
        Spectrum of the first column, with arterial weights 1/6, 4/6, 1/6 (OSIPI CAPLEX G.DI1.002, G.DI1.004).
    """
    padded = aif @ padding
    column = interval_s * (np.roll(padded, 1) + 4.0 * padded + np.roll(padded, -1)) / 6.0
    return np.fft.rfft(column)


def lag_indices(window_s: Any, interval_s: float, count: int, *, causal: bool) -> NDArray[np.int64]:
    """Return the lags, in grid intervals, that a residue may peak at.

    Parameters
    ----------
    window_s : pair of float, s
        First and last lag.
    interval_s : float, s
        Grid interval.
    count : int
        Number of samples N.
    causal : bool
        True for methods that cannot represent negative lags.

    Returns
    -------
    ndarray of int, shape (W,)
        Consecutive lags.

    Raises
    ------
    InvalidInputError
        If the window is not a pair of increasing numbers that contains the arrival of the AIF.
    """
    try:
        first_s, last_s = (float(value) for value in window_s)
    except (TypeError, ValueError) as error:
        msg = f"lag_window must be two times in seconds such as (-4, 20), not {window_s!r}. Correct the setting."
        raise InvalidInputError(msg) from error
    if not (first_s <= 0 < last_s):
        msg = f"lag_window must start at or before 0 and end after it, not {window_s!r}. Use for example (-4, 20)."
        raise InvalidInputError(msg)
    first = 0 if causal else max(int(np.floor(first_s / interval_s)), -(count // 2))
    last = min(int(np.ceil(last_s / interval_s)), count - 1)
    return np.arange(first, last + 1)
