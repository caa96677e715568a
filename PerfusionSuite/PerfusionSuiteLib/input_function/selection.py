# SPDX-License-Identifier: Apache-2.0
"""The automatic choice of an arterial input function."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, part_of
from ..core.values import InputFunction
from ..prepare.calm import calm_region
from . import arterial, cluster, hierarchical
from . import arterial_criteria as criteria
from .arterial import Choice
from .pool import Pool, build_pool, check_inputs
from .quality import baseline_shift, describe, judge_aif, require_bolus, saturated_fraction, warning, with_findings

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "score": "Scored candidates, connected groups (default; CT and DSC)",
        "cluster": "k-means on curve shapes (Mouridsen 2006)",
        "hierarchical": "Repeated splitting within one slice (Peruzzo 2011, DSC)",
    }
)
"""Names of the methods and what they are."""

THICK_SLICE_MM = 4.0
FULL_SHARE, TALL_SHARE, WIDER_SHARE = 0.5, 0.2, 0.3
LOOSE_OVER_NOISE = 4.0


def select_aif(concentration: NDArray[Any], times_s: ArrayLike, **options: Any) -> InputFunction:
    """Choose arterial voxels and return their mean curve, unscaled.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, baseline at zero, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    **options
        Those of `aif_candidates`, whose errors it raises.

    Returns
    -------
    InputFunction
        The first candidate.
    """
    return aif_candidates(concentration, times_s, **options)[0]


def aif_candidates(
    concentration: NDArray[Any],
    times_s: ArrayLike,
    *,
    mask: NDArray[Any],
    affine: ArrayLike,
    baseline: NDArray[Any] | None = None,
    exclude: NDArray[Any] | None = None,
    method: str = "score",
    tissue_curve: ArrayLike | None = None,
    progress: ProgressCallback | None = None,
    unit: str = "HU",
) -> list[InputFunction]:
    """Choose arterial voxels in several places and return their mean curves, unscaled, the best first.

    Voxels are chosen on a copy of the curves that is nearly free of noise; the curve is the mean of the measured data, lifted
    to start at zero where contrast had arrived within its baseline frames (``quality["baseline_shift"]``).
    The result depends on the input alone: there is no random start.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, baseline at zero, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.
    baseline : ndarray, shape (I, J, K), HU, optional
        Unenhanced CT: keeps the choice clear of bone and calcification. Leave out for MR.
    exclude : ndarray of bool, shape (I, J, K), optional
        Voxels that must not be chosen.
    method : {"score", "cluster", "hierarchical"}
        How to choose.
    tissue_curve : array-like, shape (T,), optional
        Mean curve of brain tissue; by default from ordinary voxels of the mask.
    progress : callable, optional
        Progress and cancelling.
    unit : {"HU", "1/s"}
        Unit of the concentration.

    Returns
    -------
    list of InputFunction
        With `quality`, and flags such as ``aif_weak``, ``aif_late``, ``aif_coverage_short``. One unless the method is ``score``.

    Raises
    ------
    InvalidInputError
        If the mask is empty, nothing enhances, no artery is found, or the method is unknown.
    TimingError
        If the times are unusable, fewer than 10, or span less than 20 s.
    """
    if method not in METHODS:
        msg = f"There is no method '{method}' to choose an arterial input. Use one of: {', '.join(METHODS)}."
        raise InvalidInputError(msg)
    data, times, inside, matrix = check_inputs(concentration, times_s, mask, affine)
    _check_extras(data, baseline, exclude, tissue_curve)
    tissue = None if tissue_curve is None else np.asarray(tissue_curve, np.float64)
    calm = None if baseline is None else calm_region(baseline, inside, matrix)
    pool = build_pool(data, times, inside, tissue_curve=tissue, calm=calm, progress=part_of(progress, 0.0, 0.8))
    choice = _choose(pool, inside, matrix, baseline, exclude, method)
    part_of(progress, 0.8, 1.0)(0.5, "reading the arterial curve")
    if choice is None:
        msg = (
            f"No artery was found among {pool.index.size} enhancing voxels. Mark an artery by hand, "
            "give a curve from a file, or check the timing and the brain mask."
        )
        raise InvalidInputError(msg)
    found = [_measured(pool, choice, unit)]
    for index in choice.others:
        with contextlib.suppress(InvalidInputError):  # another place without a usable bolus is none
            found.append(_measured(pool, replace(choice, index=index), unit))
    return found


def _check_extras(
    data: NDArray[Any], baseline: NDArray[Any] | None, exclude: NDArray[Any] | None, tissue_curve: ArrayLike | None
) -> None:
    for name, extra in (("baseline", baseline), ("region to exclude", exclude)):
        if extra is not None and np.shape(extra) != data.shape[:3]:
            msg = f"The {name} has shape {np.shape(extra)} but the scan has {data.shape[:3]}. Resample it to the scan."
            raise InvalidInputError(msg)
    if tissue_curve is not None and np.shape(tissue_curve) != (data.shape[3],):
        msg = f"The tissue curve has shape {np.shape(tissue_curve)}, expected ({data.shape[3]},). Give one value per frame."
        raise InvalidInputError(msg)


def _choose(
    pool: Pool,
    mask: BoolArray,
    affine: FloatArray,
    baseline: NDArray[Any] | None,
    exclude: NDArray[Any] | None,
    method: str,
) -> Choice | None:
    clear = criteria.guarded(pool, mask, affine, baseline, exclude)
    permitted = np.ones(pool.index.size, bool)
    if exclude is not None:
        permitted = ~np.asarray(exclude, bool).reshape(-1)[pool.index]
    if method == "cluster":
        return cluster.search(pool, clear & criteria.shaped_like_arteries(pool), int(mask.sum()))
    if method == "hierarchical":
        return hierarchical.search(pool, permitted, mask, affine)
    return _by_score(pool, clear, permitted, affine, baseline)


def _by_score(
    pool: Pool, clear: BoolArray, permitted: BoolArray, affine: FloatArray, baseline: NDArray[Any] | None
) -> Choice | None:
    """Search among the voxels with most blood first, then in wider pools, which are marked as such."""
    smallest = 2 if voxel_sizes(affine).max() >= THICK_SLICE_MM else 3
    shaped = criteria.shaped_like_arteries(pool) & clear
    blood = criteria.blood_part(pool)
    full, fuller = shaped & (blood >= criteria.LEAST_BLOOD), shaped & (blood >= criteria.MUCH_BLOOD)
    apart = ~arterial.beside_veins(pool, full, 2 * smallest)
    tall = shaped & (pool.features.peak >= np.quantile(pool.features.peak, 2.0 / 3.0))
    calm = pool.motion_share <= criteria.CALM_SHARE
    tiers = [(fuller & apart & calm, FULL_SHARE), (full & apart & calm, FULL_SHARE)] if not calm.all() else []
    tiers += [(fuller & apart, FULL_SHARE), (full & apart, FULL_SHARE), (full, FULL_SHARE), (tall, TALL_SHARE)]
    for allowed, share in tiers:
        choice = arterial.search(pool, allowed, baseline, smallest, share)
        if choice is not None and not _unconvincing(pool, choice):
            return choice
    loose = criteria.early_and_tall(pool) & (pool.features.peak > LOOSE_OVER_NOISE * pool.noise_sd)
    for allowed in (shaped, loose & clear, criteria.shaped_like_arteries(pool) & permitted, loose & permitted):
        other = arterial.search(pool, allowed, baseline, 2, WIDER_SHARE)
        if other is not None and (choice is None or not _unconvincing(pool, other)):
            return replace(other, wider=True)
    return choice


def _unconvincing(pool: Pool, choice: Choice) -> bool:
    curve = pool.data[choice.index].mean(axis=0)
    ttp = float(pool.times_s[int(curve.argmax())])
    return ttp > pool.tissue_ttp_s - 1.0 or float(curve.max()) < 3.0 * pool.noise_sd


def _measured(pool: Pool, choice: Choice, unit: str) -> InputFunction:
    curves = pool.data[choice.index]
    values = curves.mean(axis=0, dtype=np.float64)
    shift = baseline_shift(values, pool.times_s, pool.noise_sd / float(np.sqrt(choice.index.size)))
    values = values - shift
    require_bolus(values, pool.times_s, "aif")
    quality = describe(
        pool.times_s,
        values,
        voxels=choice.index.size,
        tissue_ttp_s=pool.tissue_ttp_s,
        saturated_fraction=saturated_fraction(curves, unit),
    )
    quality["baseline_shift"] = shift
    quality |= arterial.doubts(pool, choice.index)
    quality["noise_sd"] = pool.noise_sd
    quality["nonfinite_voxels"] = float(pool.nonfinite)
    curve = InputFunction(pool.times_s, values, pool.voxels(choice.index), "aif", choice.score, quality=quality)
    findings = judge_aif(quality, pool.times_s, unit)
    if choice.wider and not any(f.code == "aif_weak" for f in findings):
        findings = (
            warning(
                "aif_weak",
                f"The artery was found by a second, wider search; it peaks at {quality['peak']:.3g} {unit}.",
                "Check its place on the image.",
            ),
            *findings,
        )
    return with_findings(curve, *findings)
