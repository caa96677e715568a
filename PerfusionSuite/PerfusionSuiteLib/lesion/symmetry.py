# SPDX-License-Identifier: Apache-2.0
"""The search for the plane about which an image is most like its mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from ..core.geometry import BoolArray, FloatArray, axis_codes, voxel_sizes

_MIN_OVERLAP = 0.4
_OUTSIDE_PENALTY = 0.5
_SEARCH_DEG = 35.0
_STEPS_MM = (8.0, 4.0)
_SMOOTHING_MM = 2.0
_LIGHT_MM = 2.0
_MAX_POINTS = 15000

_BONE = 0.9
_NEAR_PLANE_MM = 35.0
_DETAIL_MM = (1.5, 12.0)
_DETAIL_PART = 0.13
_MAX_CHANGE = np.array([12.0, 15.0, 12.0])
_MIN_DETAIL_POINTS = 2000

MIN_DETAIL_CORRELATION = 0.3
"""Ventricles and sulci of the two hemispheres that are less alike than this do not define a plane."""


def most_symmetric_plane(
    image: NDArray[np.float32], head: BoolArray, affine: FloatArray, window: tuple[float, float]
) -> tuple[FloatArray, float, float | None]:
    """Find the plane of symmetry: first by the outline of the head, then by what lies in the brain.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        From `light_image`.
    head : ndarray of bool, shape (I, J, K)
        Where to compare.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    window : tuple of float
        Range of the image.

    Returns
    -------
    plane : ndarray, shape (4,), mm
        Unit normal to the patient's right, then the offset.
    correlation : float
        Of the head with its mirror image on the coarse grid, where noise does not count.
    inner : float or None
        Correlation of the contrast inside of the brain; None when the plane rests on the outline only.
    """
    center = affine[:3, :3] @ np.argwhere(head).mean(axis=0) + affine[:3, 3]
    coarse = _on_grid(image, head, affine, center, _STEPS_MM[0])
    best = _refined(coarse, _coarse_starts(coarse), _STEPS_MM[0])
    for step_mm in _STEPS_MM[1:]:
        best = _refined(_on_grid(image, head, affine, center, step_mm), [best], step_mm)
    detail = _inside_brain(image, affine, center, _plane(best, center), window)
    if detail is not None:
        shifts = np.array(np.meshgrid((-4.0, 0.0, 4.0), (-6.0, 0.0, 6.0), (-6.0, -3.0, 0.0, 3.0, 6.0))).reshape(3, -1).T
        starts = [best + shift for shift in shifts]
        start = max(starts, key=detail)
        finer = _refined(detail, [start], 4.0)
        likeness = detail.correlation(finer)[0]
        if likeness >= MIN_DETAIL_CORRELATION and (np.abs(finer - best) <= _MAX_CHANGE).all():
            return _plane(finer, center), coarse.correlation(finer)[0], likeness
    return _plane(best, center), coarse.correlation(best)[0], None


def light_image(
    volume: NDArray[Any], affine: FloatArray, window: tuple[float, float]
) -> tuple[NDArray[np.float32], FloatArray, tuple[slice, ...]]:
    """Clip, smooth against noise, and thin out to about 2 mm.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
        The image.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    window : tuple of float
        Values outside are clipped.

    Returns
    -------
    image : ndarray
        The light image.
    affine : ndarray, shape (4, 4), mm
        Its voxels to RAS.
    stride : tuple of slice
        Which voxels of the volume it took.
    """
    sizes = voxel_sizes(affine)
    steps = np.maximum(np.floor(_LIGHT_MM / sizes).astype(int), 1)
    clipped = np.clip(np.nan_to_num(np.asarray(volume, np.float32), nan=window[0]), *window)
    stride = tuple(slice(None, None, int(step)) for step in steps)
    return _smooth(clipped, _SMOOTHING_MM / sizes)[stride], affine @ np.diag([*steps.astype(float), 1.0]), stride


def largest_object(mask: BoolArray) -> BoolArray:
    """Return the largest 6-connected object of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The mask.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The object; an empty mask stays empty.
    """
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    biggest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    result: BoolArray = labels == biggest
    return result


def reflection(plane: FloatArray) -> FloatArray:
    """Return the reflection about a plane.

    Parameters
    ----------
    plane : ndarray, shape (4,), mm
        Unit normal, then the offset.

    Returns
    -------
    ndarray, shape (4, 4), mm
        RAS to RAS.
    """
    matrix = np.eye(4)
    matrix[:3, :3] -= 2.0 * np.outer(plane[:3], plane[:3])
    matrix[:3, 3] = 2.0 * plane[3] * plane[:3]
    return matrix


class _Symmetry:
    """Correlation of an image with its reflection on some of its voxels, as a function of (turn, tilt, shift)."""

    def __init__(self, image: NDArray[np.float32], index: NDArray[np.int64], affine: FloatArray, center: FloatArray) -> None:
        index = index[:: max(len(index) // _MAX_POINTS, 1)].T
        self.image, self.affine, self.center = image, affine, center
        self.index = index.astype(np.float32)
        self.here = image[tuple(index)].astype(np.float64)
        self.to_voxel = np.linalg.inv(affine)
        self.last = (np.array(image.shape, np.float32) - 0.49)[:, None]

    def __call__(self, parameters: FloatArray) -> float:
        """Return what is maximized: without the second term a steep plane would turn the asymmetric parts out of a thin slab."""
        correlation, overlap = self.correlation(parameters)
        return correlation - _OUTSIDE_PENALTY * (1.0 - overlap)

    def correlation(self, parameters: FloatArray) -> tuple[float, float]:
        """Return the correlation and the part of the voxels whose mirror point lies in the image."""
        voxel = self.to_voxel @ reflection(_plane(parameters, self.center)) @ self.affine
        # einsum and not a matrix product: on so few points the threads of a busy machine's BLAS only cost time
        places = np.einsum("ij,jn->in", voxel[:3, :3].astype(np.float32), self.index) + voxel[:3, 3:].astype(np.float32)
        both = ((places > -0.51) & (places < self.last)).all(axis=0)
        overlap = float(both.mean())
        if overlap < _MIN_OVERLAP:
            return -1.0, overlap
        there = ndimage.map_coordinates(self.image, places[:, both], order=1, mode="nearest", output=np.float64)
        a, b = self.here[both], there
        a, b = a - a.mean(), b - b.mean()
        power = float(np.sqrt(np.einsum("n,n", a, a) * np.einsum("n,n", b, b)))
        return (float(np.einsum("n,n", a, b)) / power if power > 0 else -1.0), overlap


def _smooth(image: NDArray[np.float32], sigma: FloatArray) -> NDArray[np.float32]:
    """Gaussian smoothing that leaves thick slices alone."""
    result: NDArray[np.float32] = ndimage.gaussian_filter(image, np.where(sigma < 0.4, 0.0, sigma), truncate=3.0)
    return result


def _on_grid(image: NDArray[np.float32], head: BoolArray, affine: FloatArray, center: FloatArray, step_mm: float) -> _Symmetry:
    """The whole head on a grid of a given step."""
    sizes = voxel_sizes(affine)
    extra_mm = np.sqrt(max((0.4 * step_mm) ** 2 - _SMOOTHING_MM**2, 0.0))
    stride = np.maximum(np.round(step_mm / sizes).astype(int), 1)
    near = ndimage.binary_dilation(head[tuple(slice(None, None, s) for s in stride)])
    return _Symmetry(_smooth(image, extra_mm / sizes), np.argwhere(near) * stride, affine, center)


def _inside_brain(
    image: NDArray[np.float32], affine: FloatArray, center: FloatArray, plane: FloatArray, window: tuple[float, float]
) -> _Symmetry | None:
    """Local contrast inside of the skull and near the plane; None when the image shows no brain."""
    sizes = voxel_sizes(affine)
    span = window[1] - window[0]
    in_plane = np.array([0.0 if code in "IS" else 1.0 for code in axis_codes(affine)])
    soft = (image > window[0] + 0.01 * span) & (image < window[0] + _BONE * span)
    reach = np.ones([1 + 2 * round(2.0 / size) if flat else 1 for size, flat in zip(sizes, in_plane, strict=True)], bool)
    brain = largest_object(ndimage.binary_erosion(soft, reach))
    mask = brain.astype(np.float32)
    levels = [
        _smooth(image * mask, in_plane * mm / sizes) / np.maximum(_smooth(mask, in_plane * mm / sizes), 1e-3) for mm in _DETAIL_MM
    ]
    detail = np.where(brain, np.clip(levels[0] - levels[1], -_DETAIL_PART * span, _DETAIL_PART * span), 0.0).astype(np.float32)
    to_plane = plane[:3] @ affine[:3, :3]
    i, j, k = (np.arange(n) * step for n, step in zip(image.shape, to_plane, strict=True))
    distance = i[:, None, None] + j[None, :, None] + k[None, None, :] + (plane[:3] @ affine[:3, 3] - plane[3])
    index = np.argwhere(brain & (np.abs(distance) < _NEAR_PLANE_MM))
    return _Symmetry(detail, index, affine, center) if len(index) >= _MIN_DETAIL_POINTS else None


def _normal(parameters: FloatArray) -> FloatArray:
    """Unit normal from turn (about S) and tilt (about A) in degrees."""
    turn, tilt = np.radians(parameters[:2])
    return np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])


def _plane(parameters: FloatArray, center: FloatArray) -> FloatArray:
    normal = _normal(parameters)
    return np.array([*normal, parameters[2] + normal @ center])


def _coarse_starts(symmetry: _Symmetry) -> list[FloatArray]:
    turns, tilts = np.linspace(-32, 32, 9), np.linspace(-24, 24, 5)
    grid = [np.array([turn, tilt, shift]) for turn in turns for tilt in tilts for shift in (-8.0, 0.0, 8.0)]
    scores = [symmetry(p) for p in grid]
    return [grid[at] for at in np.argsort(scores)[-3:]]


def _refined(symmetry: _Symmetry, starts: Sequence[FloatArray], step_mm: float) -> FloatArray:
    bounds = ((-_SEARCH_DEG, _SEARCH_DEG), (-_SEARCH_DEG, _SEARCH_DEG), (-30.0, 30.0))
    found = []
    for start in starts:
        start = np.clip(start, *np.array(bounds).T)
        simplex = np.vstack([start, *(start + step_mm * np.eye(3) * [0.8, 0.8, 0.5])])
        options = {"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-6, "maxfev": 150}
        result = optimize.minimize(lambda p: -symmetry(p), start, method="Nelder-Mead", bounds=bounds, options=options)
        found.append((float(-result.fun), np.asarray(result.x)))
    return max(found, key=lambda item: item[0])[1]
