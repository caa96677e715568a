# SPDX-License-Identifier: Apache-2.0
"""Settings that are decided from the scan itself: how much noise it has, how much to regularize, whether to extend tails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .problem import Problem

TAIL_LIMIT = 0.1
"""Curves that end above this fraction of their peak count as truncated."""

NOISE_SHARE = 0.15
"""Noise of the residue that the rule of `noise_limited` allows, as a fraction of the median maximum.

Chosen from 0.05 to 0.2 on simulated CTP curves (box, linear, exponential; 0.25 to 2 HU) and on the public OSIPI DSC curves
together; smaller values over-smooth noisy CTP, larger ones let noise through."""

CHI_SQUARE_MEDIAN = 0.4549
"""Median of a squared standard normal number; 20 is the sum of squares of the weights of a third difference."""

AUTO_LEVELS = np.arange(0.02, 0.41, 0.02)


def noise_sd(curves: FloatArray) -> float:
    """Estimate the noise of one sample from what no smooth curve contains.

    Parameters
    ----------
    curves : ndarray, shape (V, T)
        Curves of tissue.

    Returns
    -------
    float
        Standard deviation from third differences (a polynomial of second degree leaves none): median over the voxels, then
        over the frames, so that neither vessels nor the passage of the bolus count.
    """
    if curves.shape[0] == 0:
        return 0.0
    square = np.diff(curves, 3, axis=1) ** 2
    return float(np.sqrt(np.median(np.median(square, axis=0)) / (CHI_SQUARE_MEDIAN * 20.0)))


def fraction(value: Any, name: str) -> float:
    """Return a setting that must lie between 0 and 1.

    Parameters
    ----------
    value : Any
        The setting.
    name : str
        Its name.

    Returns
    -------
    float
        The value.

    Raises
    ------
    InvalidInputError
        If it is not a number between 0 and 1.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0.0 < number < 1.0:
        msg = f"{name} must be a number between 0 and 1, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return number


def noise_limited(problem: Problem, levels: FloatArray, operator: Callable[[float], FloatArray]) -> float:
    """Return the weakest regularization that the noise of the scan allows: one rule for every method and modality.

    Parameters
    ----------
    problem : Problem
        The scan; noise and height are medians over its voxels.
    levels : ndarray
        Regularization levels, weakest first.
    operator : callable
        Makes the operator of a level, shape (T, W).

    Returns
    -------
    float
        The first level at which the noise of the residue is at most `NOISE_SHARE` of the median maximum; the last one if none.
    """
    curves = problem.sample(2000)
    sigma = noise_sd(curves)
    for level in levels[:-1]:
        matrix = operator(float(level))
        spread = sigma * float(np.sqrt((matrix**2).sum(axis=0).mean()))
        height = float(np.median((curves @ matrix).max(axis=1))) if curves.size else 0.0
        if spread <= NOISE_SHARE * height:
            return float(level)
    return float(levels[-1])


def truncation_level(value: Any, problem: Problem, operator: Callable[[float], FloatArray]) -> float:
    """Return the truncation to use.

    Parameters
    ----------
    value : float or "auto"
        The setting.
    problem : Problem
        The scan, for "auto".
    operator : callable
        Makes the operator of a level, shape (T, W).

    Returns
    -------
    float
        The given level; for "auto" that of `noise_limited`.
    """
    if isinstance(value, str) and value == "auto":
        return noise_limited(problem, AUTO_LEVELS, operator)
    return fraction(value, "truncation")


def needs_tail(value: Any, problem: Problem) -> bool:
    """Decide whether curves are continued behind their last sample.

    Parameters
    ----------
    value : bool or "auto"
        The setting.
    problem : Problem
        The scan, for "auto".

    Returns
    -------
    bool
        For "auto": True when the AIF or the mean tissue curve ends above a tenth of its peak.

    Raises
    ------
    InvalidInputError
        If the setting is something else.
    """
    if isinstance(value, bool):
        return value
    if value != "auto":
        msg = f'extend_tail must be True, False or "auto", not {value!r}. Correct the setting.'
        raise InvalidInputError(msg)
    curves = problem.sample(2000)
    tissue = curves.mean(axis=0) if curves.size else np.zeros_like(problem.aif)
    return any(curve.max() > 0 and curve[-3:].mean() > TAIL_LIMIT * curve.max() for curve in (problem.aif, tissue))
