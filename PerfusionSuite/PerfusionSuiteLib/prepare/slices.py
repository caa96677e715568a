# SPDX-License-Identifier: Apache-2.0
"""Slices that contrast does not reach, and heads that the images cut off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, axis_codes, voxel_sizes

UNENHANCED_SHARE = 0.15
"""A whole slice with less than this part of the usual enhancement is a failure of the scan, not of the circulation."""

MIN_VOXELS, MAX_VOXELS = 50, 4000
CUT_MM = 20.0
SOFT_HU = (-50.0, 150.0)
OUTSIDE_SHARE = 0.2
_SIDES = {"L": "left", "R": "right", "A": "front", "P": "back"}
_OTHER = {"L": "R", "R": "L", "A": "P", "P": "A"}


def without_unenhanced_slices(
    data: NDArray[np.float32], mask: BoolArray, brain: BoolArray
) -> tuple[BoolArray, tuple[QualityFinding, ...]]:
    """Leave out slices in which nothing enhances: taken for measured, they would look like one large infarct.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T), HU
        Enhancement; set to zero in the slices that are left out.
    mask : ndarray of bool, shape (I, J, K)
        Where it was computed.
    brain : ndarray of bool, shape (I, J, K)
        Brain.

    Returns
    -------
    mask : ndarray of bool, shape (I, J, K)
        The mask without these slices.
    findings : tuple of QualityFinding
        ``slices_without_contrast`` when there are any.
    """
    peaks = np.full(mask.shape[2], np.nan)
    for k in range(mask.shape[2]):
        region = (mask & brain)[:, :, k]
        if region.sum() >= MIN_VOXELS:
            curves = data[:, :, k][region]  # the median, because a moving skull is brighter than all contrast
            curve = np.median(curves[:: max(1, len(curves) // MAX_VOXELS)], axis=0)
            peaks[k] = np.convolve(curve, np.full(3, 1.0 / 3.0), mode="valid").max()
    if not np.isfinite(peaks).any() or np.nanmax(peaks) <= 0:
        return mask, ()
    usual = float(np.median(peaks[peaks >= 0.5 * np.nanmax(peaks)]))
    silent = np.flatnonzero(peaks < UNENHANCED_SHARE * usual)
    if not silent.size:
        return mask, ()
    kept = mask.copy()
    kept[:, :, silent] = False
    data[:, :, silent] = 0.0
    names = ", ".join(str(k + 1) for k in silent)
    text = (
        f"Slice(s) {names} of {mask.shape[2]} show less than {UNENHANCED_SHARE:.0%} of the usual enhancement and were left out: "
        "lesions there cannot be seen."
    )
    return kept, (QualityFinding("slices_without_contrast", "warning", text, "Check whether these slices were scanned in time."),)


def cut_off_finding(brain: BoolArray, affine: FloatArray) -> tuple[QualityFinding, ...]:
    """Say when the images end inside of the brain, so that sides cannot be compared everywhere.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        Brain mask.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    tuple of QualityFinding
        ``brain_cut_off`` when at least 20 mm of brain lie on an edge of a slice.
    """
    codes, spacing = axis_codes(affine), voxel_sizes(affine)
    cut = []
    for axis in (0, 1):
        for edge in (0, -1):
            length = float(brain.take(edge, axis=axis).sum(axis=0).max() * spacing[1 - axis])
            code = codes[axis] if edge == -1 else _OTHER.get(codes[axis], "")
            if length >= CUT_MM and code in _SIDES:
                cut.append(f"{_SIDES[code]} ({length:.0f} mm)")
    if not cut:
        return ()
    text = f"The images cut off the brain at the {' and the '.join(cut)}, so the sides cannot be compared everywhere."
    advice = "Check the plane between the sides and the reference, or choose a scan that shows the whole brain."
    return (QualityFinding("brain_cut_off", "warning", text, advice),)


def given_mask_finding(brain: BoolArray, baseline: NDArray[np.float32]) -> tuple[QualityFinding, ...]:
    """Say when a user's brain mask covers a lot of air and bone.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        The user's mask, not empty.
    baseline : ndarray, shape (I, J, K), HU
        Unenhanced image.

    Returns
    -------
    tuple of QualityFinding
        ``brain_mask_not_brain`` when more than 20 % of it have no density of soft tissue.
    """
    values = baseline[brain]
    outside = float(((values < SOFT_HU[0]) | (values > SOFT_HU[1])).mean())
    if outside <= OUTSIDE_SHARE:
        return ()
    text = f"{outside:.0%} of the given brain mask lie in air or bone, so volumes and the reference cannot be trusted."
    return (QualityFinding("brain_mask_not_brain", "error", text, "Draw the mask on the brain, or leave it out."),)
