# SPDX-License-Identifier: Apache-2.0
"""What became of the hypoperfused tissue at follow-up (ct-perfusion-auto 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError
from ..core.findings import QualityFinding
from ..core.geometry import LPS_TO_RAS, BoolArray, FloatArray, voxel_sizes, voxel_volume_ml
from ..core.values import LesionMasks
from .clusters import without_small_clusters
from .midline import check_mask
from .presets import preset_of

_WINDOW_HU = (0.0, 90.0)
_STILL_MM = 0.3
_POOR_MATCH, _SMALL_OVERLAP_PERCENT = 0.7, 60.0

REGIONS = ("resolved", "persistent", "new")
"""Parts of the hypoperfused tissue of two scans: only first, in both, only later."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """How two scans of a patient compare.

    Parameters
    ----------
    numbers : dict
        ``prr_percent`` (100 (first - later) / first; negative when it grew; None without hypoperfusion at first),
        ``first_ml later_ml resolved_ml persistent_ml new_ml``, ``later_core_ml``, ``moved_mm moved_deg``,
        ``common_brain_percent``, ``likeness``.
    masks : dict of str to ndarray of bool, shape (I, J, K)
        `REGIONS`, on the grid of the first scan.
    findings : tuple of QualityFinding
        What was odd.
    """

    numbers: dict[str, Any]
    masks: dict[str, BoolArray]
    findings: tuple[QualityFinding, ...] = ()


def follow_up_change(
    lesions: LesionMasks, later: LesionMasks, *, image: NDArray[Any] | None, later_image: NDArray[Any] | None
) -> FollowUp:
    """Compare hypoperfusion of two scans of a patient.

    The follow-up is rigidly registered to the first scan; both are compared where both scans show brain.

    Parameters
    ----------
    lesions, later : LesionMasks
        Of the first scan and of the follow-up, segmented with the same preset.
    image, later_image : ndarray, shape (I, J, K), HU, or None
        Baseline images on the grids of the two. Without one, scans on the same grid are taken to lie on each other.

    Returns
    -------
    FollowUp
        Numbers, regions and findings.

    Raises
    ------
    GridMismatchError
        If an image does not fit its masks, or there is none and the grids differ.
    """
    motion, likeness = _registered(lesions, later, image, later_image)
    to_later = np.linalg.inv(later.affine) @ motion @ lesions.affine
    shape = lesions.tissue.shape
    covered = _moved(later.extra.get("brain", later.tissue), to_later, shape)
    brain = lesions.extra.get("brain", lesions.tissue)
    common = brain & covered
    voxel_ml = voxel_volume_ml(lesions.affine)
    min_ml = preset_of(lesions.thresholds).min_cluster_ml
    before = without_small_clusters(lesions.hypoperfusion & common, voxel_ml, min_ml)
    after = without_small_clusters(_moved(later.hypoperfusion, to_later, shape) & common, voxel_ml, min_ml)
    parts = dict(zip(REGIONS, (before & ~after, before & after, after & ~before), strict=True))
    volumes = {"first_ml": before, "later_ml": after, **{f"{name}_ml": mask for name, mask in parts.items()}}
    ml = {name: round(int(mask.sum()) * voxel_ml, 4) for name, mask in volumes.items()}
    angle = np.degrees(np.arccos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1)))
    center = lesions.affine[:3, :3] @ np.argwhere(brain).mean(axis=0) + lesions.affine[:3, 3] if brain.any() else np.zeros(3)
    overlap = round(100.0 * int(common.sum()) / max(int(brain.sum()), 1), 2)
    numbers = {
        "prr_percent": 100.0 * (ml["first_ml"] - ml["later_ml"]) / ml["first_ml"] if ml["first_ml"] else None,
        **ml,
        "later_core_ml": round(int(later.core.sum()) * voxel_volume_ml(later.affine), 4),
        "moved_mm": round(float(np.linalg.norm(motion[:3, :3] @ center + motion[:3, 3] - center)), 3),
        "moved_deg": round(float(angle), 3),
        "common_brain_percent": overlap,
        "likeness": None if likeness is None else round(likeness, 4),
    }
    return FollowUp(numbers, parts, _findings(likeness, overlap))


def _registered(
    lesions: LesionMasks, later: LesionMasks, image: NDArray[Any] | None, later_image: NDArray[Any] | None
) -> tuple[FloatArray, float | None]:
    if image is None or later_image is None:
        same = lesions.tissue.shape == later.tissue.shape and np.allclose(lesions.affine, later.affine, atol=0.05)
        if not same:
            msg = (
                "The follow-up lies on another grid and has no baseline image to register it by. Give the baseline of both scans."
            )
            raise GridMismatchError(msg)
        return np.eye(4), None
    check_mask("first image", image, lesions.tissue.shape)
    check_mask("follow-up image", later_image, later.tissue.shape)
    return rigid_motion(image, lesions.affine, later_image, later.affine)


def _findings(likeness: float | None, overlap: float) -> tuple[QualityFinding, ...]:
    found = []
    if likeness is None:
        text = "The follow-up was taken to lie on the first scan, because there is no baseline image to register it by."
        found.append(QualityFinding("follow_up_not_registered", "warning", text, "Register the maps first if the head moved."))
    elif likeness < _POOR_MATCH:
        text = f"After registration the baseline images of the two scans correlate by {likeness:.2f} only."
        advice = "Compare the two scans by eye; resolved, persistent and new volumes may be wrong."
        found.append(QualityFinding("follow_up_misaligned", "warning", text, advice))
    if overlap < _SMALL_OVERLAP_PERCENT:
        text = f"The follow-up shows {overlap:.0f} % of the brain of the first scan; only that part is compared."
        found.append(QualityFinding("follow_up_partial", "warning", text, "Volumes outside of it are not known."))
    return tuple(found)


def rigid_motion(
    image: NDArray[Any], affine: FloatArray, later_image: NDArray[Any], later_affine: FloatArray
) -> tuple[FloatArray, float]:
    """Register a later scan of a head to an earlier one.

    Parameters
    ----------
    image, later_image : ndarray, shape (I, J, K), HU
        Baseline images.
    affine, later_affine : ndarray, shape (4, 4), mm
        Voxel to RAS of each.

    Returns
    -------
    motion : ndarray, shape (4, 4), mm
        Takes a point of the first scan to the same anatomy in the later one, in RAS.
    likeness : float
        Correlation of the registered images.
    """
    fixed, moving = _image(image, affine), _image(later_image, later_affine)
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 0.01, 200, relaxationFactor=0.7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetInitialTransform(start, inPlace=True)
    method.SetNumberOfThreads(1)  # sums of several threads differ from run to run
    method.Execute(fixed, moving)
    origin = np.array(start.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.eye(4)
    lps[:3, 3] = origin
    lps[:3, :3] = np.column_stack([np.array(start.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)])
    motion: FloatArray = LPS_TO_RAS @ lps @ LPS_TO_RAS
    return motion, float(np.sqrt(max(-method.GetMetricValue(), 0.0)))  # the metric is the negative square of the correlation


def _image(values: NDArray[Any], affine: FloatArray) -> sitk.Image:
    """A light image for registration: about 3 mm in plane, clipped so that air and bone are flat."""
    stride = np.maximum(np.round(3.0 / voxel_sizes(affine)).astype(int), 1)
    clipped = np.clip(np.nan_to_num(np.asarray(values, np.float32), nan=_WINDOW_HU[0]), *_WINDOW_HU)
    sigma = np.where(stride > 1, 0.4 * stride, 0.0)
    light = ndimage.gaussian_filter(clipped, sigma)[tuple(slice(None, None, s) for s in stride)]
    lps = LPS_TO_RAS @ affine
    spacing = voxel_sizes(affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(light.transpose(2, 1, 0)))
    image.SetSpacing((spacing * stride).tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def _moved(mask: BoolArray, to_later: FloatArray, shape: tuple[int, ...]) -> BoolArray:
    """Resample a mask of the later scan; identical grids without motion give it back unchanged."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    if mask.shape == tuple(shape) and np.abs(((to_later - np.eye(4)) @ corners)[:3]).max() < _STILL_MM:
        return mask
    moved = ndimage.affine_transform(mask.astype(np.float32), to_later[:3, :3], to_later[:3, 3], shape, order=1)
    result: BoolArray = moved > 0.5
    return result
