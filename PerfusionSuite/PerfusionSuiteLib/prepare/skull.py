# SPDX-License-Identifier: Apache-2.0
"""Bone and the inside of the skull on an unenhanced CT image, slice by slice, with open vertex and skull base."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from .in_plane import disk, grow, holes_filled, largest_component, shrink

BONE_HU = 160.0
SOFT_HU = (-30.0, 110.0)
"""Everything intracranial that is not calcified lies between these on a smoothed image."""

HEAD_HU = -300.0
MIN_AREA_CM2, MAX_AREA_CM2 = 30.0, 250.0
CLOSED_AREA_CM2 = 8.0
END_DROP = 0.6
RIM_MM, CUT_MM = 2.5, 4.0
CONTINUED_SHARE = 0.8


def find_bone(smooth: NDArray[np.float32], head: BoolArray) -> BoolArray:
    """Threshold bone inside the head.

    Parameters
    ----------
    smooth : ndarray, shape (I, J, K), HU
        Unenhanced image after a 1 mm Gaussian.
    head : ndarray of bool, shape (I, J, K)
        The head without its holder.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Bone, teeth, calcification and metal.
    """
    return (smooth > BONE_HU) & head


def find_head(smooth: NDArray[np.float32], spacing_mm: FloatArray) -> BoolArray:
    """Separate the head from air and from the head holder.

    Parameters
    ----------
    smooth : ndarray, shape (I, J, K), HU
        Unenhanced image after a 1 mm Gaussian.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The largest solid body, holes filled.
    """
    solid = smooth > HEAD_HU
    element = disk(4.0, spacing_mm)
    core = np.zeros_like(solid)
    for k in range(solid.shape[2]):
        filled = ndimage.binary_fill_holes(solid[:, :, k])
        core[:, :, k] = ndimage.binary_opening(filled, element)  # a holder is a thin shell, a head is not
    core = largest_component(core)
    return grow(core, 4.0, spacing_mm) & holes_filled(solid)


def find_brain(
    smooth: NDArray[np.float32], head: BoolArray, bone: BoolArray, affine: FloatArray, outside: BoolArray | None = None
) -> BoolArray:
    """Find the inside of the skull.

    Parameters
    ----------
    smooth : ndarray, shape (I, J, K), HU
        Unenhanced image after a 1 mm Gaussian.
    head, bone : ndarray of bool, shape (I, J, K)
        The head and its bone.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    outside : ndarray of bool, shape (I, J, K), optional
        Voxels outside of the scan's field of view.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Brain with cerebrospinal fluid, empty when there is none.

    Notes
    -----
    A slice with a closed ring of bone is simply filled; where the field of view cuts the head off, its border closes the ring.
    Where the ring is open (skull base, sutures, a craniotomy) soft tissue is opened with a disk and the part that continues the
    neighboring slice with more brain is kept.
    """
    spacing = voxel_sizes(affine)
    soft = head & ~bone & (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])
    pixel_cm2 = float(spacing[0] * spacing[1]) / 100.0
    inside = np.zeros_like(head)
    closed = np.zeros(head.shape[2], bool)
    for k in range(head.shape[2]):
        cut = None if outside is None else outside[:, :, k]
        interior = _ring_interior(bone[:, :, k], head[:, :, k], cut, spacing)
        interior = ndimage.binary_opening(interior & soft[:, :, k], disk(2.0, spacing))
        closed[k] = interior.sum() * pixel_cm2 >= CLOSED_AREA_CM2
        if closed[k]:
            inside[:, :, k] = interior
    if closed.any():
        _fill_open_slices(inside, closed, soft, bone, spacing)
        _complete_base(inside, soft, bone, affine)
    else:
        inside = _without_skull(soft, bone, spacing)
    inside = largest_component(inside)
    return _tidy(inside, smooth, bone, spacing)


def up_to_bone(
    brain: BoolArray, baseline: NDArray[np.float32], head: BoolArray, bone: BoolArray, spacing_mm: FloatArray
) -> BoolArray:
    """Extend a brain mask across the rim where smoothing mixed brain with bone.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        Brain found on the smoothed image.
    baseline : ndarray, shape (I, J, K), HU
        Unenhanced image before smoothing.
    head, bone : ndarray of bool, shape (I, J, K)
        From the smoothed image.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask with soft voxels that lie between it and bone; it does not grow through bone, nor where there is none.
    """
    soft = (baseline > SOFT_HU[0]) & (baseline < BONE_HU) & head
    allowed = soft & grow(bone, RIM_MM, spacing_mm)
    steps = max(1, round(RIM_MM / float(spacing_mm[:2].mean())))
    cross = ndimage.generate_binary_structure(2, 1)[:, :, None]
    extended: BoolArray = ndimage.binary_dilation(brain, cross, iterations=steps, mask=allowed) | brain
    return extended


def _ring_interior(bone: BoolArray, head: BoolArray, outside: BoolArray | None, spacing: FloatArray) -> BoolArray:
    """What a closed ring of bone encloses in one slice, small gaps and the border of the field of view bridged."""
    pad = 12
    beyond = np.pad(np.zeros_like(bone) if outside is None else outside, pad, constant_values=True)
    cut = beyond & ndimage.binary_dilation(np.pad(head, pad), disk(CUT_MM, spacing))
    if outside is not None:
        cut &= ~np.pad(head, pad)
    ring = ndimage.binary_closing(np.pad(bone, pad) | cut, disk(3.0, spacing))
    filled = ndimage.binary_fill_holes(ring)[pad:-pad, pad:-pad]
    interior: BoolArray = filled & ~bone
    return interior


def _fill_open_slices(inside: BoolArray, closed: BoolArray, soft: BoolArray, bone: BoolArray, spacing: FloatArray) -> None:
    """Complete slices without a closed ring from their largest completed neighbor, in place."""
    done = closed.copy()
    while not done.all():
        areas = np.where(done, inside.sum(axis=(0, 1)), -1)
        beside = np.maximum(np.append(-1, areas[:-1]), np.append(areas[1:], -1))
        k = int(np.where(done, -1, beside).argmax())
        done[k] = True
        neighbor = inside[:, :, max((n for n in (k - 1, k + 1) if 0 <= n < closed.size and areas[n] == beside[k]), default=k)]
        inside[:, :, k] = _continued(neighbor, soft[:, :, k] & ~bone[:, :, k], spacing)


def _complete_base(inside: BoolArray, soft: BoolArray, bone: BoolArray, affine: FloatArray) -> None:
    """Add parts of the brain that bone separates, and whose own ring of bone is open, below the widest slice, in place."""
    spacing = voxel_sizes(affine)
    area = inside.sum(axis=(0, 1))
    step = -1 if affine[2, 2] > 0 else 1
    for k in range(int(area.argmax()) + step, -1 if step < 0 else area.size, step):
        above = inside[:, :, k - step]
        if inside[:, :, k].sum() < (1.0 - END_DROP / 2.0) * above.sum():
            inside[:, :, k] |= _continued(above, soft[:, :, k] & ~bone[:, :, k], spacing)


def _continued(neighbor: BoolArray, soft: BoolArray, spacing: FloatArray) -> BoolArray:
    """Soft tissue of a slice that continues the brain of its neighbor."""
    if not neighbor.any():
        return np.zeros_like(neighbor)
    allowed = ndimage.binary_dilation(neighbor, disk(4.0, spacing))
    labels, count = ndimage.label(ndimage.binary_opening(soft & allowed, disk(5.0, spacing)))
    overlap = np.bincount(labels[neighbor], minlength=count + 1)
    found = overlap >= CONTINUED_SHARE * np.bincount(labels.ravel(), minlength=count + 1)
    overlap[0] = found[0] = 0
    found[int(overlap.argmax())] = overlap.any()  # at the skull base bone divides the brain into several parts
    result: BoolArray = found[labels]
    return result


def _without_skull(soft: BoolArray, bone: BoolArray, spacing: FloatArray) -> BoolArray:
    """Brain of an image without a closed skull: the largest solid piece of soft tissue."""
    opened = np.zeros_like(soft)
    for k in range(soft.shape[2]):
        radius = 6.0 if bone[:, :, k].any() else 2.0
        opened[:, :, k] = ndimage.binary_opening(soft[:, :, k], disk(radius, spacing))
    return opened


def _tidy(inside: BoolArray, smooth: NDArray[np.float32], bone: BoolArray, spacing: FloatArray) -> BoolArray:
    """Close, fill, and take back what lies on bone."""
    element = disk(5.0, spacing)
    pad = 2 + max(element.shape) // 2
    result = np.zeros_like(inside)
    for k in range(inside.shape[2]):
        padded = ndimage.binary_closing(np.pad(inside[:, :, k], pad), element)
        result[:, :, k] = ndimage.binary_fill_holes(padded)[pad:-pad, pad:-pad]
    enclosed_bone = bone & ~shrink(grow(bone, 1.0, spacing), 1.0, spacing)
    return result & (~bone | enclosed_bone) & (smooth > -200.0)


def drop_partial_ends(brain: BoolArray, spacing_mm: FloatArray | None = None) -> tuple[BoolArray, tuple[int, ...]]:
    """Leave out end slices that hold only the tip of the brain.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        Brain mask.
    spacing_mm : ndarray, shape (3,), mm, optional
        Voxel spacing; with it, slices with at least 30 cm² of brain stay.

    Returns
    -------
    brain : ndarray of bool, shape (I, J, K)
        The mask without them.
    left_out : tuple of int
        Slices whose area is more than 60 % smaller than that of their neighbor towards the middle.
    """
    enough = np.inf if spacing_mm is None else 100.0 * MIN_AREA_CM2 / float(spacing_mm[0] * spacing_mm[1])
    area = brain.sum(axis=(0, 1)).astype(float)
    kept = brain.copy()
    left_out: list[int] = []
    widest = int(area.argmax())
    for k, neighbor in ((0, 1), (brain.shape[2] - 1, brain.shape[2] - 2)):
        used = np.flatnonzero(area)
        if used.size < 3:
            break
        end = int(used[0] if k == 0 else used[-1])
        inner = end + (neighbor - k)
        if end != widest and area[end] < min((1.0 - END_DROP) * area[inner], enough):
            kept[:, :, end] = False
            left_out.append(end)
    return kept, tuple(sorted(left_out))


def brain_findings(brain: BoolArray, left_out: tuple[int, ...], spacing_mm: FloatArray) -> tuple[QualityFinding, ...]:
    """Judge whether a brain mask can be one.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        Brain mask.
    left_out : tuple of int
        Slices that were left out.
    spacing_mm : ndarray, shape (3,), mm
        Voxel spacing.

    Returns
    -------
    tuple of QualityFinding
        ``mask_implausible`` and ``mask_slices_left_out`` where they apply.
    """
    area = brain.sum(axis=(0, 1)) * float(spacing_mm[0] * spacing_mm[1]) / 100.0
    covered = area[area > 0]
    mean = float(covered.mean()) if covered.size else 0.0
    findings = []
    if not MIN_AREA_CM2 <= mean <= MAX_AREA_CM2:
        findings.append(
            QualityFinding(
                "mask_implausible",
                "warning",
                f"The brain mask covers {mean:.0f} cm² per slice; {MIN_AREA_CM2:.0f} to {MAX_AREA_CM2:.0f} cm² are usual.",
                "Look at the brain mask and give a corrected one.",
            )
        )
    if left_out:
        slices = ", ".join(str(k + 1) for k in left_out)
        findings.append(
            QualityFinding("mask_slices_left_out", "info", f"Slice(s) {slices} hold only the tip of the brain and were left out.")
        )
    return tuple(findings)
