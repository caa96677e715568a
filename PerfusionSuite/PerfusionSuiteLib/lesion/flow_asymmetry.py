# SPDX-License-Identifier: Apache-2.0
"""Tissue with less flow than its mirror point: low flow in maps that have no arrival time to go by, such as ASL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes, voxel_volume_ml
from ..core.values import LesionMasks
from .clusters import without_small_clusters, without_thin_parts
from .midline import check_midplane, estimate_midplane, mirror, side_distance

LOW_FLOW_PERCENT = 66.0
"""Wintermark et al., Ann Neurol 51:417 (2002): ischemic tissue has a flow reduced by more than 34 % against the other side
(CT perfusion). ASL has no validated limit of its own; late arrival alone can lower its flow."""

FWHM_MM = 8.0
"""The two sides are never alike voxel by voxel; what is compared is flow smoothed so much."""

MIN_CLUSTER_ML = 3.0
THIN_MM = 4.0
_MIDPLANE_MM = 6.0
_LEAST_REFERENCE = 0.5
"""Part of the brain's median flow that the mirror point must reach, so that fluid is not compared with fluid."""
_CERTAIN = 2.0
"""Standard errors of the difference that a voxel must exceed, where the standard error is known."""
_BOTH_ML, _BOTH_SHARE = 10.0, 1.0 / 3.0


@dataclass(frozen=True, slots=True)
class FlowAsymmetry:
    """Flow against the other side.

    Parameters
    ----------
    percent : ndarray, shape (I, J, K), %
        Smoothed flow relative to the mirror point, NaN where there is nothing to compare with.
    lesions : LesionMasks
        Low flow as ``hypoperfusion``, its mirror image as ``reference``; core and penumbra are empty.
    """

    percent: NDArray[np.float32]
    lesions: LesionMasks


def low_flow(
    flow: NDArray[Any],
    tissue: BoolArray,
    affine: FloatArray,
    *,
    image: NDArray[Any] | None = None,
    standard_error: NDArray[Any] | None = None,
    percent: float = LOW_FLOW_PERCENT,
    midplane: Any | None = None,
    side: str | None = None,
) -> FlowAsymmetry:
    """Find tissue whose flow is low against the other side.

    Parameters
    ----------
    flow : ndarray, shape (I, J, K)
        Flow in any unit.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    image : ndarray, shape (I, J, K), optional
        Anatomical image for the mid-sagittal plane; by default the outline of the tissue.
    standard_error : ndarray, shape (I, J, K), optional
        Of the flow; differences that noise explains are left out.
    percent : float, %
        Flow below this part of the mirror point is low.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane, when it is known.
    side : {"left", "right", "bilateral"}, optional
        Affected side, when it is known; otherwise the side with more low flow.

    Returns
    -------
    FlowAsymmetry
        Relative flow and masks. Low flow on the other side is left out and told: it is what high flow on the affected side
        looks like.

    Raises
    ------
    InvalidInputError
        If the limit is no percentage or there is no tissue.
    """
    if not 0.0 < percent < 100.0:
        msg = f"Low flow below {percent:g} % of the other side cannot be meant. Give a limit between 0 and 100 %."
        raise InvalidInputError(msg)
    usable = tissue & np.isfinite(flow)
    if not usable.any():
        msg = "No tissue has a flow, so the two sides cannot be compared. Check the brain mask and the scan."
        raise InvalidInputError(msg)
    plane, findings, origin = _plane(image, tissue, affine, midplane)
    amount, weight = _smoothed(flow, usable, affine)
    smooth = amount / np.maximum(weight, 1e-3)
    there = _mirrored(weight, affine, plane)
    other = _mirrored(amount, affine, plane) / np.maximum(there, 1e-3)
    known = usable & (there > 0.5)
    known &= other >= _LEAST_REFERENCE * float(np.median(smooth[usable]))
    relative = np.where(known, 100.0 * smooth / np.where(known, other, 1.0), np.nan).astype(np.float32)
    distance = side_distance(tissue.shape, affine, plane)
    low = known & (np.nan_to_num(relative, nan=100.0) < percent) & (np.abs(distance) > _MIDPLANE_MM)
    if standard_error is not None:
        low &= (other - smooth) > _CERTAIN * _smoothed_error(standard_error, usable, affine)
    low = without_small_clusters(without_thin_parts(low, affine, THIN_MM), voxel_volume_ml(affine), MIN_CLUSTER_ML)
    chosen, told = _one_side(low, distance, side, voxel_volume_ml(affine))
    kept = {"left": low & (distance < 0), "right": low & (distance > 0)}.get(chosen, low)
    reference = mirror(kept, affine, plane) & usable
    none = np.zeros(tissue.shape, bool)
    thresholds = {
        "rule": "flow_asymmetry", "low_flow_percent": float(percent), "fwhm_mm": FWHM_MM, "min_cluster_ml": MIN_CLUSTER_ML,
        "thin_mm": THIN_MM, "midplane_from": origin, "side_from": "manual" if side else "low flow",
    }  # fmt: skip
    lesions = LesionMasks(
        kept, none, none, tissue, reference, affine, chosen, plane, thresholds=thresholds, findings=(*findings, *told)
    )
    return FlowAsymmetry(relative, lesions)


def _plane(
    image: NDArray[Any] | None, tissue: BoolArray, affine: FloatArray, midplane: Any | None
) -> tuple[FloatArray, tuple[QualityFinding, ...], str]:
    """The plane, what is odd about it, and where it comes from."""
    if midplane is not None:
        return check_midplane(midplane), (), "manual"
    if image is None:
        found = estimate_midplane(tissue.astype(np.float32), affine, head=tissue, window=(0.0, 1.0))
        return found.plane, found.findings, "outline"
    inside = np.nan_to_num(np.asarray(image, np.float32)[tissue])
    top = max(float(np.percentile(inside, 99.0)), 1e-6)
    found = estimate_midplane(np.where(tissue, np.nan_to_num(image), 0.0), affine, head=tissue, window=(0.0, top))
    return found.plane, found.findings, "image"


def _sigma(affine: FloatArray) -> FloatArray:
    """Standard deviation of the smoothing in voxels; thick slices stay by themselves."""
    sigma = FWHM_MM / 2.355 / voxel_sizes(affine)
    return np.where(sigma < 0.4, 0.0, sigma)


def _smoothed(flow: NDArray[Any], usable: BoolArray, affine: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flow of usable voxels summed up by the kernel, and how much of the kernel they fill."""
    sigma = _sigma(affine)
    weight = ndimage.gaussian_filter(usable.astype(np.float32), sigma)
    return ndimage.gaussian_filter(np.where(usable, flow, 0.0).astype(np.float32), sigma), weight


def _mirrored(values: NDArray[np.float32], affine: FloatArray, plane: FloatArray) -> NDArray[np.float32]:
    """Values at the mirror points, 0 outside; the outermost slices reach half a slice further, as slices do."""
    wider = affine.copy()
    wider[:3, 3] -= affine[:3, :3].sum(axis=1)
    found = mirror(np.pad(values, 1, mode="edge"), wider, plane)[1:-1, 1:-1, 1:-1]
    result: NDArray[np.float32] = np.nan_to_num(found).astype(np.float32)
    return result


def _smoothed_error(error: NDArray[Any], usable: BoolArray, affine: FloatArray) -> NDArray[np.float32]:
    """Standard error of the difference of two smoothed voxels, noise being independent between voxels."""
    sigma = _sigma(affine)
    total, weight = _smoothed(np.where(np.isfinite(error), error, 0.0) ** 2, usable, affine)
    variance = total / np.maximum(weight, 1e-3)
    share = float(np.prod([1.0 if s == 0.0 else min(1.0, 1.0 / (2.0 * np.sqrt(np.pi) * s)) for s in sigma]))
    result: NDArray[np.float32] = np.sqrt(2.0 * share * variance).astype(np.float32)
    return result


def _one_side(
    low: BoolArray, distance: NDArray[Any], told: str | None, voxel_ml: float
) -> tuple[str, tuple[QualityFinding, ...]]:
    """The affected side, and a sentence when the other side has low flow, too."""
    volumes = {"left": float((low & (distance < 0)).sum()) * voxel_ml, "right": float((low & (distance > 0)).sum()) * voxel_ml}
    if told is not None:
        return told, ()
    larger = max(volumes, key=lambda name: volumes[name])
    if volumes[larger] <= 0.0:
        return "none", ()
    smaller = min(volumes.values())
    if smaller < max(_BOTH_ML, _BOTH_SHARE * volumes[larger]):
        return larger, ()
    text = (
        f"Flow is low against the other side in {volumes['left']:.1f} mL of the left and {volumes['right']:.1f} mL of the right "
        f"hemisphere; the {larger} side was taken as the affected one."
    )
    advice = "High flow on one side makes the other look low: compare both sides, and give the affected side if it is known."
    return larger, (QualityFinding("both_sides", "warning", text, advice),)
