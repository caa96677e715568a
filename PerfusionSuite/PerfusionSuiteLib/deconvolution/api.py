# SPDX-License-Identifier: Apache-2.0
"""`deconvolve`: from concentration curves and an arterial input to perfusion maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR, flow_factor
from ..core.errors import InvalidInputError
from ..core.progress import ProgressCallback
from .codes import QualityCode
from .engine import RawMaps, run
from .problem import Problem, make_problem
from .registry import find_method

LOWEST_FLOW = 1e-3
"""Transit times are not computed below this fraction of the median flow."""


def deconvolve(
    concentration: Any,
    aif: Any,
    times_s: Any,
    *,
    method: str = "osvd",
    mask: Any = None,
    density: float = BRAIN_DENSITY_G_PER_ML,
    hematocrit_factor: float = HEMATOCRIT_FACTOR,
    residue: bool = False,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> dict[str, NDArray[Any]]:
    """Compute perfusion maps by deconvolution.

    Parameters
    ----------
    concentration : array-like, shape (..., T)
        Tissue curves, time last. Non-uniform frame times are resampled inside.
    aif : array-like, shape (T,)
        Arterial input in the unit of `concentration`.
    times_s : array-like, shape (T,), s
        Frame times.
    method : str
        A key of `METHODS`.
    mask : array-like of bool, shape (...), optional
        Voxels to compute; all by default.
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.
    residue : bool
        Also return the flow-scaled residues.
    progress : callable, optional
        Called with the finished fraction; may raise to cancel.
    **options
        Settings of the method; see `METHODS[method].options`.

    Returns
    -------
    dict of ndarray, shape (...)
        ``cbf`` in mL/100 g/min: maximum of the residue. ``cbv`` in mL/100 g: ratio of the areas, negative ones kept.
        ``mtt`` in s: their ratio. ``tmax`` in s: time of the maximum. ``delay`` in s: where the residue rises through half its
        maximum, or the fitted arrival for delay-corrected methods. All float32, NaN where not computed. ``quality``: uint8
        `QualityCode`. On request ``residue`` of shape (..., W) in 1/s, and ``residue_times_s`` of shape (W,) (for
        delay-corrected methods counted from the voxel's own arrival).

    Raises
    ------
    InvalidInputError
        If curve, AIF, times, mask, method or an option cannot be used.

    References
    ----------
    Østergaard et al., MRM 36:715 (1996); Wu et al., MRM 50:164 (2003); Calamante et al., MRM 50:1237 (2003). OSIPI CAPLEX
    G.MI1.003, Q.PH1.001, Q.PH1.003, Q.PH1.006.
    """
    check_constants(density, hematocrit_factor)
    chosen = find_method(method)
    settings = chosen.complete(options)
    problem = make_problem(concentration, aif, times_s, mask)
    estimator = chosen.prepare(problem, settings)
    raw = run(problem, estimator, residue=residue, progress=progress)
    maps = _maps(problem, raw, flow_factor(density, hematocrit_factor))
    if raw.residue is not None:
        maps["residue"] = spread(problem, raw.residue)
        maps["residue_times_s"] = np.asarray(estimator.lags_s, np.float64)
    return maps


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
        return values.reshape(*problem.shape, *values.shape[1:])
    full = np.full((problem.flat.shape[0], *values.shape[1:]), empty, values.dtype)
    full[problem.index] = values
    return full.reshape(*problem.shape, *values.shape[1:])


def _maps(problem: Problem, raw: RawMaps, factor: float) -> dict[str, NDArray[Any]]:
    """Scale to physical units and mark what has no value, in place where possible."""
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
