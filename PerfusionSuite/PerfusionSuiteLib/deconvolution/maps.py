# SPDX-License-Identifier: Apache-2.0
"""From what was read off the residues to maps in physical units, with a reason wherever there is no value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from .codes import QualityCode
from .engine import RawMaps
from .problem import Problem

LOWEST_FLOW = 1e-3
"""Transit times are not computed below this fraction of the median flow."""


def check_constants(density: float, hematocrit_factor: float) -> None:
    """Refuse constants that make no sense.

    Parameters
    ----------
    density : float, g/mL
        Tissue density.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.

    Raises
    ------
    InvalidInputError
        If one is not a positive number.
    """
    for name, value in (("density", density), ("hematocrit_factor", hematocrit_factor)):
        if not (np.isfinite(value) and value > 0):
            msg = f"{name} must be a positive number, not {value!r}. The defaults are 1.05 g/mL and 0.733."
            raise InvalidInputError(msg)


def spread(problem: Problem, values: NDArray[Any], empty: float = np.nan) -> NDArray[Any]:
    """Put the values of the computed voxels into maps.

    Parameters
    ----------
    problem : Problem
        Shape and mask.
    values : ndarray, shape (M, ...)
        One row per computed voxel.
    empty : float
        Value elsewhere.

    Returns
    -------
    ndarray, shape (..., ...)
        In the spatial shape of the input.
    """
    if problem.index is None:
        return values.reshape((*problem.shape, *values.shape[1:]))
    full = np.full((problem.flat.shape[0], *values.shape[1:]), empty, values.dtype)
    full[problem.index] = values
    return full.reshape((*problem.shape, *values.shape[1:]))


def make_maps(problem: Problem, raw: RawMaps, factor: float) -> dict[str, NDArray[Any]]:
    """Scale to physical units and mark what has no value.

    Parameters
    ----------
    problem : Problem
        Shape, mask and area of the AIF.
    raw : RawMaps
        Result of `engine.run`; its arrays are scaled in place.
    factor : float, mL s / 100 g / min
        From `core.constants.flow_factor`.

    Returns
    -------
    dict of ndarray
        ``cbf cbv mtt tmax delay quality``, as `deconvolve` documents them.
    """
    finite = np.isfinite(raw.area)
    rises = raw.height > 0
    cbf, cbv = raw.height, raw.area
    cbf *= np.float32(factor)
    cbv *= np.float32(factor / 60.0 / problem.aif_area)
    good = finite & rises
    floor = LOWEST_FLOW * float(np.median(cbf[good])) if good.any() else 0.0
    usable = good & (cbf > floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        mtt = np.where(usable, np.float32(60.0) * cbv / cbf, np.float32(np.nan))
    for values in (cbf, raw.tmax_s, raw.delay_s):
        values[~good] = np.nan
    cbv[~finite] = np.nan
    quality = np.where(usable, QualityCode.OK, QualityCode.LOW_FLOW).astype(np.uint8)
    quality[~rises] = QualityCode.NO_ENHANCEMENT
    quality[~finite] = QualityCode.NOT_FINITE
    maps = {"cbf": cbf, "cbv": cbv, "mtt": mtt, "tmax": raw.tmax_s, "delay": raw.delay_s}
    result = {key: spread(problem, values) for key, values in maps.items()}
    result["quality"] = spread(problem, quality, QualityCode.OUTSIDE_MASK)
    return result
