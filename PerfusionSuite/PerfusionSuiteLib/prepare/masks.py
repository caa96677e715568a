# SPDX-License-Identifier: Apache-2.0
"""What each voxel is made of: brain, cerebrospinal fluid, large vessels, bone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.series import PerfusionSeries
from ..core.values import TissueMasks
from .arrival import frames_before_contrast, quick_arterial_curve
from .hounsfield import baseline_image, check_ct
from .skull import brain_findings, drop_partial_ends, find_bone, find_brain, find_head, grow, smooth_in_plane
from .slices import cut_off_finding, given_mask_finding

CSF_HU = 12.0
CSF_AREA_HU = 20.0
"""Above this baseline a voxel without enhancement is dead tissue rather than fluid."""

CSF_AREA_SHARE = 0.1
VESSEL_AREA_RATIO = 2.5
VESSEL_PEAK_RATIO = 5.0
VESSEL_NOISE_RATIO = 4.0
VESSEL_MAX_HU = 95.0
BONE_REACH_MM, SINUS_AREA_RATIO = 2.0, 5.0
SINUS_REACH_MM = 3.0


@dataclass(frozen=True, slots=True)
class _Enhancement:
    """Summaries of the curves within a region, in its voxel order (HU)."""

    area: NDArray[np.float32]
    peak: NDArray[np.float32]
    noise: float


def tissue_masks(series: PerfusionSeries, *, brain: BoolArray | None = None) -> TissueMasks:
    """Find brain, cerebrospinal fluid, large vessels and bone in a CT perfusion scan.

    Parameters
    ----------
    series : PerfusionSeries
        CT perfusion in HU, motion-corrected.
    brain : ndarray of bool, shape (I, J, K), optional
        A user's brain mask; it is used as it is.

    Returns
    -------
    TissueMasks
        Vessels include large ones at the edge of the brain mask, such as the sagittal sinus.

    Raises
    ------
    InvalidInputError
        If the series is not CT in HU, or no brain is found.
    GridMismatchError
        If the user's mask has another shape.
    """
    check_ct(series)
    spacing = voxel_sizes(series.affine)
    frames = max(1, frames_before_contrast(quick_arterial_curve(series.data, series.times_s), series.times_s))
    baseline = baseline_image(series, frames)
    smooth = smooth_in_plane(baseline, 1.0, spacing)
    head = find_head(smooth, spacing)
    bone = find_bone(smooth, head)
    findings: tuple[QualityFinding, ...] = ()
    if brain is None:
        mask, left_out = drop_partial_ends(find_brain(smooth, head, bone, series.affine))
        findings = (*brain_findings(mask, left_out, spacing), *cut_off_finding(mask, series.affine))
    else:
        mask = _user_mask(brain, series)
        bone = bone & ~mask
        findings = given_mask_finding(mask, baseline) if mask.any() else ()
    if not mask.any():
        msg = "No brain was found in the series. Give a brain mask or check that the scan covers the head and is in HU."
        raise InvalidInputError(msg)
    region = grow(mask, SINUS_REACH_MM, spacing) & ~bone & head if brain is None else mask
    enhancement = _summarise(series, region, frames, spacing)
    beside_bone = grow(bone, BONE_REACH_MM, spacing)
    vessel = np.zeros_like(mask)
    vessel[region] = _is_vessel(enhancement, mask[region], beside_bone[region])
    vessel &= baseline < VESSEL_MAX_HU
    vessel = _without_specks(vessel)
    csf = _find_csf(baseline, mask, region, enhancement, spacing) & ~vessel
    return TissueMasks(mask, csf, vessel, bone, findings)


def _user_mask(brain: BoolArray, series: PerfusionSeries) -> BoolArray:
    """A user's mask as booleans on the grid of the scan."""
    mask = np.asarray(brain) > 0
    if mask.shape != series.shape:
        msg = f"The brain mask has {mask.shape} voxels but the scan has {series.shape}. Resample it to the scan's grid."
        raise GridMismatchError(msg)
    return mask


def _summarise(series: PerfusionSeries, region: BoolArray, frames: int, spacing: FloatArray) -> _Enhancement:
    """Mean and peak enhancement after slight smoothing, slice by slice."""
    area, peak = np.zeros(region.shape, np.float32), np.zeros(region.shape, np.float32)
    sigma = (1.0 / spacing[0], 1.0 / spacing[1], 0.0)
    differences: list[NDArray[np.float32]] = []
    for k in np.flatnonzero(region.any(axis=(0, 1))):
        inside = region[:, :, k]
        weight = np.maximum(ndimage.gaussian_filter(inside.astype(np.float32), sigma[:2], truncate=3.0), 1e-3)
        curves = np.where(inside[..., None], np.nan_to_num(series.data[:, :, k], nan=0.0), 0.0).astype(np.float32)
        curves = ndimage.gaussian_filter(curves, sigma, truncate=3.0)[inside] / weight[inside][:, None]
        curves -= curves[:, :frames].mean(axis=1, keepdims=True)
        area[:, :, k][inside] = curves.mean(axis=1)
        running = (curves[:, :-2] + curves[:, 1:-1] + curves[:, 2:]) / 3.0
        peak[:, :, k][inside] = running.max(axis=1)
        differences.append(np.diff(curves, 2, axis=1).ravel()[::7])
    spread = np.concatenate(differences)
    noise = 1.4826 * float(np.median(np.abs(spread - np.median(spread)))) / np.sqrt(6.0)
    return _Enhancement(area[region], peak[region], noise)


def _is_vessel(enhancement: _Enhancement, in_brain: BoolArray, beside_bone: BoolArray) -> BoolArray:
    """Curves with far more contrast than tissue can have."""
    area, peak = float(np.median(enhancement.area[in_brain])), float(np.median(enhancement.peak[in_brain]))
    large = enhancement.area > max(VESSEL_AREA_RATIO * area, 0.0)
    tall = enhancement.peak > VESSEL_PEAK_RATIO * max(peak, 0.0)
    significant = enhancement.peak > max(2.0 * peak, VESSEL_NOISE_RATIO * enhancement.noise)
    sure = enhancement.area > SINUS_AREA_RATIO * area  # beside bone a movement of the head looks like a little contrast
    vessel: BoolArray = (large | tall) & significant & (~beside_bone | (tall & sure))
    return vessel


def _without_specks(vessel: BoolArray) -> BoolArray:
    """Drop single voxels, which are more often noise than vessels."""
    labels, count = ndimage.label(vessel, np.ones((3, 3, 3)))
    if not count:
        return vessel
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: BoolArray = sizes[labels] >= 2
    return kept


def _find_csf(
    baseline: NDArray[np.float32], brain: BoolArray, region: BoolArray, enhancement: _Enhancement, spacing: FloatArray
) -> BoolArray:
    """Fluid: low density, or hardly any enhancement at a density that living tissue does not have."""
    weight = smooth_in_plane(brain.astype(np.float32), 1.5, spacing)
    density = smooth_in_plane(np.where(brain, baseline, 0.0).astype(np.float32), 1.5, spacing) / np.maximum(weight, 1e-3)
    area = np.zeros(brain.shape, np.float32)
    area[region] = enhancement.area
    typical = float(np.median(area[brain]))
    fluid = (density < CSF_HU) | ((density < CSF_AREA_HU) & (area < CSF_AREA_SHARE * typical))
    fluid &= brain
    cross = ndimage.generate_binary_structure(2, 1)
    return np.stack([ndimage.binary_opening(fluid[:, :, k], cross) for k in range(fluid.shape[2])], axis=2)
