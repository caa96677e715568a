# SPDX-License-Identifier: Apache-2.0
"""Nonlinear regression of a box-shaped residue, voxel by voxel, with standard errors.

The box is a model: where the true residue decays from the start, the fitted transit time is long and the flow low.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..deconvolution.box import DELAY_RANGE_S, MTT_RANGE_S, BoxRegression
from ..deconvolution.codes import QualityCode
from ..deconvolution.engine import for_blocks
from ..deconvolution.levels import noise_sd
from ..deconvolution.maps import spread
from .request import FitRequest, Fitted

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"mtt_range_s": MTT_RANGE_S, "delay_range_s": DELAY_RANGE_S, "noise_sd": None, "mtt_spread": 0.5}
)
"""Bounds in s. Noise of a sample in the unit of the curves, which `fit_error` is relative to (None: estimated from them).
Standard deviation of ln MTT among tissues around ln 5 s (None: plain least squares): a prior (compare Mouridsen et al.,
NeuroImage 33:570, 2006) that keeps flow from running away where noise leaves the transit time open, and that draws long
transit times a little towards 5 s there."""

BLOCK_VOXELS = 8192
"""Larger than for deconvolution: the steps are many short operations, between which threads wait for each other."""

UNEXPLAINED = 0.8
"""A fit that leaves more than this share of a curve's sum of squares says nothing about the curve."""

_NAMES = ("cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd", "mtt_sd", "delay_sd", "fit_error")


def _range(value: Any, name: str) -> tuple[float, float]:
    try:
        low, high = (float(edge) for edge in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (np.isfinite([low, high]).all() and low < high) or (name == "mtt_range_s" and low <= 0):
        msg = f"{name} must be two increasing times in seconds, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return low, high


def _positive(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not (np.isfinite(number) and number > 0):
        msg = f"{name} must be a positive number or None, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return number


def fit(request: FitRequest) -> Fitted:
    """Fit flow, transit time and delay of a box residue in every voxel.

    Parameters
    ----------
    request : FitRequest
        Curves and settings (see `OPTIONS`).

    Returns
    -------
    Fitted
        Maps as `fitting.fit` documents them. Parameters at a bound, and fits that explain less than a fifth of the curve, are
        NaN with a reason code.

    References
    ----------
    Bennink et al., J Med Imaging 3:026003 (2016).
    """
    problem, settings = request.problem, request.settings
    mtt_range, delay_range = (_range(settings[name], name) for name in ("mtt_range_s", "delay_range_s"))
    given, mtt_spread = (_positive(settings[name], name) for name in ("noise_sd", "mtt_spread"))
    sigma = np.float32(noise_sd(problem.sample(2000)) if given is None else given)
    pull = 0.0 if mtt_spread is None else float((sigma / mtt_spread) ** 2)
    box = BoxRegression(problem.times_s, problem.aif, mtt_range, delay_range, pull)
    freedom = np.float32(problem.times_s.size - 3)
    values = {name: np.empty(problem.count, np.float32) for name in _NAMES}
    quality = np.zeros(problem.count, np.uint8)

    def work(start: int, stop: int) -> None:
        result = box.fit(problem.curves(start, stop))
        mtt, delay = result.end_s - result.start_s, result.start_s
        cbf = result.flow * np.float32(request.factor)
        variance = result.misfit / freedom
        block = (
            cbf, cbf * mtt / np.float32(60), mtt, delay, delay + np.float32(0.5) * mtt,
            np.sqrt(variance * result.flow_variance) * np.float32(request.factor), np.sqrt(variance * result.mtt_variance),
            np.sqrt(variance * result.start_variance), np.sqrt(variance) / sigma if sigma > 0 else np.full_like(cbf, np.nan),
        )  # fmt: skip
        edge = np.float32(1e-3)
        code = np.full(stop - start, QualityCode.OK, np.uint8)
        code[(mtt < mtt_range[0] + edge) | (mtt > mtt_range[1] - edge)] = QualityCode.AT_BOUND
        code[(delay < delay_range[0] + edge) | (delay > delay_range[1] - edge)] = QualityCode.AT_BOUND
        code[result.misfit > UNEXPLAINED * result.power] = QualityCode.POOR_FIT
        code[~(result.flow > 0)] = QualityCode.NO_ENHANCEMENT
        code[~np.isfinite(result.power)] = QualityCode.NOT_FINITE
        for name, numbers in zip(_NAMES, block, strict=True):
            values[name][start:stop] = np.where(code == QualityCode.OK, numbers, np.float32(np.nan))
        quality[start:stop] = code

    for_blocks(problem.count, work, request.progress, "Voxel fit", BLOCK_VOXELS)
    maps = {name: spread(problem, array) for name, array in values.items()}
    maps["quality"] = spread(problem, quality, QualityCode.OUTSIDE_MASK)
    return Fitted(maps)
