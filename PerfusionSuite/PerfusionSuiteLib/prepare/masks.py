# SPDX-License-Identifier: Apache-2.0
"""What each voxel is made of: brain, cerebrospinal fluid, large vessels, bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.series import PerfusionSeries
from ..core.values import TissueMasks
from .arrival import frames_before_contrast, quick_arterial_curve
from .hounsfield import AIR_HU, baseline_image, check_ct
from .in_plane import grow, smooth_in_plane
from .skull import brain_findings, drop_partial_ends, find_bone, find_brain, find_head, up_to_bone
from .slices import cut_off_finding, given_mask_finding

TISSUE_SHARE = 0.45
"""A voxel whose density says that less than this part of it is tissue is fluid."""

FLUID_HU = (0.0, 10.0)
"""Where the density of fluid can lie."""

FLUID_QUANTILE, LEAST_TISSUE_HU = 0.005, 20.0
DENSITY_MM, AREA_MM = 0.7, 1.0

VESSEL_RATIO = 2.5
"""Blood enhances some 20 to 25 times as much as tissue: from 7 % of a voxel on, vessels would color their neighbors."""

BONY_RATIO = 6.0
"""Beside bone a movement of the head looks like contrast."""

MIXED_HU = 65.0
"""Voxels at the rim that are denser hold so much bone that every movement of the head drowns their contrast."""

VESSEL_SPREADS = 3.0
VESSEL_MAX_HU = 95.0
BONE_REACH_MM, SINUS_REACH_MM = 2.0, 3.0


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
    mask, bone, head, findings = _inside_skull(series, baseline, brain)
    if not mask.any():
        msg = "No brain was found in the series. Give a brain mask or check that the scan covers the head and is in HU."
        raise InvalidInputError(msg)
    region = grow(mask, SINUS_REACH_MM, spacing) & ~bone & head if brain is None else mask
    density = _without_noise(baseline, mask & ~bone, DENSITY_MM, spacing)
    csf = mask & ~bone & (density < _fluid_limit(density[mask & ~bone]))
    area = _without_noise(_mean_enhancement(series, baseline), region, AREA_MM, spacing)
    vessel = _find_vessels(area, mask & ~bone & ~csf, region, grow(bone, BONE_REACH_MM, spacing))
    vessel = _without_specks(vessel & (baseline < VESSEL_MAX_HU))
    return TissueMasks(mask, csf & ~vessel, vessel, bone, findings)


def _inside_skull(
    series: PerfusionSeries, baseline: NDArray[np.float32], brain: BoolArray | None
) -> tuple[BoolArray, BoolArray, BoolArray, tuple[QualityFinding, ...]]:
    """Brain, bone and head, and what was odd about them."""
    spacing = voxel_sizes(series.affine)
    smooth = smooth_in_plane(baseline, 1.0, spacing)
    head = find_head(smooth, spacing)
    bone = find_bone(smooth, head)
    if brain is not None:
        mask = _user_mask(brain, series)
        return mask, bone & ~mask, head, given_mask_finding(mask, baseline) if mask.any() else ()
    mask, left_out = drop_partial_ends(find_brain(smooth, head, bone, series.affine, baseline <= AIR_HU), spacing)
    mask = up_to_bone(mask, baseline, head, bone, spacing)
    findings = (*brain_findings(mask, left_out, spacing), *cut_off_finding(mask, series.affine))
    bony = mask & (baseline > MIXED_HU) & grow(bone, BONE_REACH_MM, spacing)
    return mask, find_bone(baseline, head) | (bone & ~mask) | bony, head, findings


def _user_mask(brain: BoolArray, series: PerfusionSeries) -> BoolArray:
    """A user's mask as booleans on the grid of the scan."""
    mask = np.asarray(brain) > 0
    if mask.shape != series.shape:
        msg = f"The brain mask has {mask.shape} voxels but the scan has {series.shape}. Resample it to the scan's grid."
        raise GridMismatchError(msg)
    return mask


def _without_noise(image: NDArray[np.float32], inside: BoolArray, sigma_mm: float, spacing: FloatArray) -> NDArray[np.float32]:
    """Smooth an image inside of a mask, without what lies around it; outside it stays as it is."""
    weight = smooth_in_plane(inside.astype(np.float32), sigma_mm, spacing)
    total = smooth_in_plane(np.where(inside, image, 0.0).astype(np.float32), sigma_mm, spacing)
    result: NDArray[np.float32] = np.where(inside, total / np.maximum(weight, 1e-3), image)
    return result


def _fluid_limit(density: NDArray[np.float32]) -> float:
    """Density (HU) below which a voxel is fluid, between the patient's own fluid and tissue."""
    if not density.size:
        return -np.inf
    fluid = float(np.clip(np.quantile(density, FLUID_QUANTILE), *FLUID_HU))
    solid = density[density > LEAST_TISSUE_HU]
    tissue = float(np.median(solid)) if solid.size else LEAST_TISSUE_HU
    return fluid + TISSUE_SHARE * (tissue - fluid)


def _mean_enhancement(series: PerfusionSeries, baseline: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean enhancement (HU) over time; 0 outside of the scan and where a frame is missing."""
    weights = np.gradient(series.times_s)
    weights = (weights / weights.sum()).astype(np.float32)
    area = np.empty(series.shape, np.float32)
    for k in range(series.shape[2]):
        area[:, :, k] = series.data[:, :, k] @ weights
    area -= baseline
    area[~np.isfinite(area) | (baseline <= AIR_HU)] = 0.0
    return area


def _find_vessels(area: NDArray[np.float32], tissue: BoolArray, region: BoolArray, beside_bone: BoolArray) -> BoolArray:
    """Voxels with far more contrast than tissue has."""
    values = area[tissue] if tissue.any() else area[region]
    typical = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - typical)))
    vessel = region & (area > max(VESSEL_RATIO * typical, typical + VESSEL_SPREADS * spread))
    vessel &= ~beside_bone | (area > BONY_RATIO * typical)
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
