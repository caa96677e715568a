# SPDX-License-Identifier: Apache-2.0
"""Vascular curves from voxels that the user chose: a list, a mask, or a click that grows to the best neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import FloatArray, check_affine, voxel_sizes
from ..core.series import check_times
from ..core.values import InputFunction
from .features import curve_features, median_of_three
from .neighbors import connected_to, offsets_within
from .quality import describe, judge_aif, judge_vof, require_bolus, saturated_fraction, with_findings

CLICK_RADIUS_MM = 5.0
CLICK_LEVEL = 0.6
CLICK_TIME_S = 2.0
CLICK_MOST = 15


def from_voxels(
    concentration: NDArray[Any],
    times_s: ArrayLike,
    voxels: ArrayLike,
    kind: str = "aif",
    *,
    tissue_curve: ArrayLike | None = None,
    unit: str = "HU",
    origin: str = "manual",
) -> InputFunction:
    """Return the mean curve of listed voxels.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    voxels : array-like of int, shape (n, 3)
        Voxel indices.
    kind : {"aif", "vof"}
        What the curve is.
    tissue_curve : array-like, shape (T,), optional
        Mean curve of tissue, for the check that an artery peaks before it.
    unit : {"HU", "1/s"}
        Unit of the concentration.
    origin : str
        Noted in the result.

    Returns
    -------
    InputFunction
        Unscaled, with quality numbers and findings.

    Raises
    ------
    InvalidInputError
        If there is no voxel, one lies outside the scan, values are missing, or there is no bolus.
    """
    data, times = _series(concentration, times_s, kind)
    place = np.asarray(voxels, np.int64)
    if place.ndim != 2 or place.shape[1:] != (3,) or place.shape[0] == 0:
        msg = f"Voxels for the {kind.upper()} must be a list of (i, j, k), not of shape {place.shape}. Choose at least one."
        raise InvalidInputError(msg)
    if ((place < 0) | (place >= np.array(data.shape[:3]))).any():
        msg = f"A voxel for the {kind.upper()} lies outside the scan of {data.shape[:3]} voxels. Choose voxels inside."
        raise InvalidInputError(msg)
    place = np.unique(place, axis=0)
    curves = data[place[:, 0], place[:, 1], place[:, 2]]
    values = curves.mean(axis=0, dtype=np.float64)
    require_bolus(values, times, kind)
    tissue_ttp = float("nan") if tissue_curve is None else float(times[int(np.argmax(np.asarray(tissue_curve)))])
    clipped = saturated_fraction(curves, unit)
    quality = describe(times, values, voxels=place.shape[0], tissue_ttp_s=tissue_ttp, saturated_fraction=clipped)
    findings = judge_aif(quality, times, unit) if kind == "aif" else judge_vof(quality)
    return with_findings(InputFunction(times, values, place, kind, origin=origin, quality=quality), *findings)


def from_mask(
    concentration: NDArray[Any],
    times_s: ArrayLike,
    mask: NDArray[Any],
    kind: str = "aif",
    *,
    tissue_curve: ArrayLike | None = None,
    unit: str = "HU",
) -> InputFunction:
    """Return the mean curve within a mask.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    mask : ndarray of bool, shape (I, J, K)
        The vessel.
    kind : {"aif", "vof"}
        What the curve is.
    tissue_curve : array-like, shape (T,), optional
        Mean curve of tissue.
    unit : {"HU", "1/s"}
        Unit of the concentration.

    Returns
    -------
    InputFunction
        Unscaled, with quality numbers and findings.

    Raises
    ------
    GridMismatchError
        If the mask has another shape.
    InvalidInputError
        If the mask is empty or there is no bolus.
    """
    inside = np.asarray(mask, bool)
    if inside.shape != np.shape(concentration)[:3]:
        msg = (
            f"The mask has {inside.shape} voxels but the scan has {np.shape(concentration)[:3]}. Resample it to the scan's grid."
        )
        raise GridMismatchError(msg)
    if not inside.any():
        msg = f"The mask for the {kind.upper()} is empty. Mark at least one voxel."
        raise InvalidInputError(msg)
    return from_voxels(concentration, times_s, np.argwhere(inside), kind, tissue_curve=tissue_curve, unit=unit, origin="mask")


def from_click(
    concentration: NDArray[Any],
    times_s: ArrayLike,
    point_ijk: ArrayLike,
    *,
    affine: ArrayLike,
    mask: NDArray[Any] | None = None,
    kind: str = "aif",
    radius_mm: float = CLICK_RADIUS_MM,
    tissue_curve: ArrayLike | None = None,
    unit: str = "HU",
) -> InputFunction:
    """Grow from a click to the best connected voxels nearby and return their mean curve.

    The best voxel within the radius is the tallest for a vein and, for an artery, the one with the best balance of height,
    early arrival and narrow width; voxels that touch it, are at least 60 % as tall and peak within 2 s belong to it.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    point_ijk : array-like, shape (3,)
        Clicked voxel; rounded.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.
    mask : ndarray of bool, shape (I, J, K), optional
        Where to stay.
    kind : {"aif", "vof"}
        What the curve is.
    radius_mm : float, mm
        How far to look.
    tissue_curve : array-like, shape (T,), optional
        Mean curve of tissue.
    unit : {"HU", "1/s"}
        Unit of the concentration.

    Returns
    -------
    InputFunction
        Unscaled, with quality numbers and findings.

    Raises
    ------
    InvalidInputError
        If the click lies outside the scan or no voxel near it enhances.
    """
    data, times = _series(concentration, times_s, kind)
    matrix = check_affine(affine)
    point = np.rint(np.asarray(point_ijk, float)).astype(np.int64)
    if point.shape != (3,) or ((point < 0) | (point >= np.array(data.shape[:3]))).any():
        msg = f"The clicked voxel {point.tolist()} lies outside the scan of {data.shape[:3]} voxels. Click inside."
        raise InvalidInputError(msg)
    near = point + offsets_within(matrix, max(radius_mm, float(voxel_sizes(matrix).min())))
    near = near[((near >= 0) & (near < np.array(data.shape[:3]))).all(axis=1)]
    if mask is not None:
        near = near[np.asarray(mask, bool)[near[:, 0], near[:, 1], near[:, 2]]]
    curves = median_of_three(data[near[:, 0], near[:, 1], near[:, 2]].astype(np.float64))
    near, curves = near[np.isfinite(curves).all(1)], curves[np.isfinite(curves).all(1)]
    if near.shape[0] == 0 or float(curves.max()) <= 0:
        msg = f"No voxel within {radius_mm:g} mm of {point.tolist()} enhances. Click on a vessel."
        raise InvalidInputError(msg)
    chosen = _grow(near, curves, times, data.shape[:3], kind)
    return from_voxels(data, times, chosen, kind, tissue_curve=tissue_curve, unit=unit)


def from_points(
    concentration: NDArray[Any],
    times_s: ArrayLike,
    points_mm: ArrayLike,
    *,
    affine: ArrayLike,
    mask: NDArray[Any],
    kind: str = "aif",
    tissue_curve: ArrayLike | None = None,
    unit: str = "HU",
) -> InputFunction:
    """Return the curve of a vessel that points were placed on.

    A single point grows to the best connected voxels near it (`from_click`); several stand for the voxels that hold them.

    Parameters
    ----------
    concentration : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement or delta R2*, not smoothed.
    times_s : array-like, shape (T,), s
        Frame times.
    points_mm : array-like, shape (n, 3), mm
        RAS positions.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.
    mask : ndarray of bool, shape (I, J, K)
        Where there are curves.
    kind : {"aif", "vof"}
        What the curve is.
    tissue_curve : array-like, shape (T,), optional
        Mean curve of tissue.
    unit : {"HU", "1/s"}
        Unit of the concentration.

    Returns
    -------
    InputFunction
        Unscaled, with quality numbers and findings.

    Raises
    ------
    InvalidInputError
        If a point lies outside the scan or where there are no curves, or there is no bolus.
    """
    points = np.asarray(points_mm, float)
    if points.ndim != 2 or points.shape[1:] != (3,) or not points.size or not np.isfinite(points).all():
        msg = f"Points for the {kind.upper()} must be RAS positions in mm, one row each, not of shape {points.shape}. Give some."
        raise InvalidInputError(msg)
    inverse = np.linalg.inv(check_affine(affine))
    voxels = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    about: dict[str, Any] = {"kind": kind, "tissue_curve": tissue_curve, "unit": unit}
    if len(voxels) == 1:
        return from_click(concentration, times_s, voxels[0], affine=affine, mask=mask, **about)
    inside = ((voxels >= 0) & (voxels < np.array(mask.shape))).all(axis=1)
    inside[inside] = mask[tuple(voxels[inside].T)]
    if not inside.all():
        msg = (
            f"{int((~inside).sum())} of {len(voxels)} points for the {kind.upper()} lie outside the scan, or where there are no "
            "curves: in air or bone. Place them on a vessel."
        )
        raise InvalidInputError(msg)
    return from_voxels(concentration, times_s, voxels, **about)


def _grow(near: NDArray[np.int64], curves: FloatArray, times: FloatArray, shape: tuple[int, ...], kind: str) -> NDArray[np.int64]:
    f = curve_features(curves, times)
    tall = f.peak >= CLICK_LEVEL * f.peak.max()
    merit = f.peak / f.peak.max()
    if kind == "aif":
        merit = merit - 0.1 * (f.bat_s - f.bat_s.min()) - 0.03 * f.fwhm_s
    seed = int(np.argmax(np.where(tall, merit, -np.inf)))
    same = (f.peak >= CLICK_LEVEL * f.peak[seed]) & (np.abs(f.ttp_s - f.ttp_s[seed]) <= CLICK_TIME_S + 1e-6)
    same[seed] = True
    flat = np.ravel_multi_index(tuple(near.T), shape)
    order = np.argsort(flat[same], kind="stable")
    group = connected_to(int(flat[seed]), flat[same][order], (shape[0], shape[1], shape[2]))
    rank = np.argsort(-f.peak[np.isin(flat, group)], kind="stable")
    members = near[np.isin(flat, group)][rank]
    result: NDArray[np.int64] = members[:CLICK_MOST]
    return result


def _series(concentration: NDArray[Any], times_s: ArrayLike, kind: str) -> tuple[NDArray[Any], FloatArray]:
    if kind not in {"aif", "vof"}:
        msg = f"A vascular curve is an 'aif' or a 'vof', not '{kind}'. Use one of the two."
        raise InvalidInputError(msg)
    data = np.asarray(concentration)
    if data.ndim != 4:
        msg = f"The concentration must have 4 dimensions (I, J, K, time), not {data.ndim}. Give the whole dynamic series."
        raise InvalidInputError(msg)
    return data, check_times(times_s, data.shape[3])
