# SPDX-License-Identifier: Apache-2.0
"""The mid-sagittal plane of a head, and mirroring about it.

A plane is ``n . x = d`` in RAS mm, stored as (n_r, n_a, n_s, d) with the unit normal pointing to the
patient's right. It is the reflection under which the head looks most like itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, check_affine, voxel_sizes

MIN_CORRELATION = 0.8
MAX_TILT_DEG = 25.0
_WINDOW_HU = (0.0, 90.0)
_MIN_OVERLAP = 0.5
_SEARCH_DEG = 40.0
_STEPS_MM = (8.0, 4.0, 2.5)
_SMOOTHING_MM = 2.0
_LIGHT_MM = 2.0
_MAX_POINTS = 15000


@dataclass(frozen=True, slots=True)
class Midplane:
    """An estimated mid-sagittal plane.

    Parameters
    ----------
    plane : ndarray, shape (4,), mm
        Unit normal to the patient's right, then the offset.
    correlation : float
        Of the head with its mirror image.
    tilt_deg : float, degrees
        Angle between the normal and the left-right axis of the scanner.
    findings : tuple of QualityFinding
        Raised when the estimate is not to be trusted.
    """

    plane: FloatArray
    correlation: float
    tilt_deg: float
    findings: tuple[QualityFinding, ...] = ()


def estimate_midplane(
    volume: NDArray[Any], affine: FloatArray, *, head: BoolArray | None = None, window: tuple[float, float] = _WINDOW_HU
) -> Midplane:
    """Find the plane about which a head is most symmetric.

    The three parameters of the plane are optimized directly for the correlation of the image with
    its reflection: a search over turn and tilt on an 8 mm grid, then refinement at 4 and 2.5 mm.
    The grid lies in patient space, so flipped, rotated and oblique images give the same plane.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K), HU
        Baseline CT; any head-like image or mask with a matching `window`.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    head : ndarray of bool, shape (I, J, K), optional
        Where to compare; by default the largest object above the lower end of the window.
    window : tuple of float
        Values outside are clipped: air and bone then count by their outline only.

    Returns
    -------
    Midplane
        The plane; the plane through the center of the head with the scanner's left-right axis as
        its normal, and a finding, when the head is not symmetric enough.

    Raises
    ------
    InvalidInputError
        If there is no head in the volume.
    """
    affine = check_affine(affine)
    if head is not None:
        check_mask("head mask", head, np.shape(volume))
    image, affine, stride = _light_image(volume, affine, window)
    head = _largest_object(image > window[0] + 0.2 * (window[1] - window[0])) if head is None else np.asarray(head, bool)[stride]
    if not head.any():
        msg = f"No head was found for the mid-sagittal plane in a volume of {np.shape(volume)} voxels. Give a mask or the plane."
        raise InvalidInputError(msg)
    centre = affine[:3, :3] @ np.array([axis.mean() for axis in np.nonzero(head)]) + affine[:3, 3]
    coarse = _Symmetry(image, head, affine, centre, _STEPS_MM[0])
    best = _refined(coarse, _coarse_starts(coarse), _STEPS_MM[0])
    for step_mm in _STEPS_MM[1:]:
        best = _refined(_Symmetry(image, head, affine, centre, step_mm), [best], step_mm)
    score = coarse(best)  # on the coarse grid, where noise does not count
    plane = _plane(best, centre)
    tilt = float(np.degrees(np.arccos(np.clip(plane[0], -1, 1))))
    if score >= MIN_CORRELATION and tilt <= MAX_TILT_DEG:
        return Midplane(plane, score, tilt)
    fallback = np.array([1.0, 0.0, 0.0, centre[0]])
    finding = QualityFinding(
        "midline_uncertain",
        "warning",
        f"The head correlates with its mirror image by {score:.2f} at a tilt of {tilt:.0f} degrees, so the mid-sagittal plane "
        "was put through the center of the head.",
        "Check the plane and set it by hand if it misses the falx.",
    )
    return Midplane(fallback, score, 0.0, (finding,))


def side_distance(shape: tuple[int, ...], affine: FloatArray, midplane: FloatArray) -> NDArray[np.float32]:
    """Return the signed distance of every voxel from the plane.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    midplane : ndarray, shape (4,), mm
        The plane.

    Returns
    -------
    ndarray, shape (I, J, K), mm
        Positive on the patient's right.
    """
    plane = check_midplane(midplane)
    row = plane[:3] @ np.asarray(affine, float)[:3, :3]
    offset = plane[:3] @ np.asarray(affine, float)[:3, 3] - plane[3]
    i, j, k = (np.arange(n) * r for n, r in zip(shape[:3], row, strict=True))
    distance: NDArray[np.float32] = (i[:, None, None] + j[None, :, None] + k[None, None, :] + offset).astype(np.float32)
    return distance


def mirror(values: NDArray[Any], affine: FloatArray, midplane: FloatArray) -> NDArray[Any]:
    """Reflect an image about the mid-sagittal plane.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        A mask (nearest voxel) or a map (linear; NaN where the mirrored place is outside or NaN).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    midplane : ndarray, shape (4,), mm
        The plane.

    Returns
    -------
    ndarray, shape (I, J, K)
        At each voxel the value of its mirror point.
    """
    plane, affine = check_midplane(midplane), np.asarray(affine, float)
    voxel = np.linalg.inv(affine) @ _reflection(plane) @ affine
    if values.dtype == bool:
        mask: NDArray[Any] = ndimage.affine_transform(values.astype(np.uint8), voxel[:3, :3], voxel[:3, 3], order=0, cval=0) > 0
        return mask
    data = values.astype(np.float32)
    flipped: NDArray[Any] = ndimage.affine_transform(data, voxel[:3, :3], voxel[:3, 3], order=1, cval=np.nan, output=np.float32)
    return flipped


def check_midplane(midplane: Any) -> FloatArray:
    """Return a plane with a unit normal that points to the patient's right.

    Parameters
    ----------
    midplane : array-like, shape (4,), mm
        Normal of any length and sign, then the offset.

    Returns
    -------
    ndarray, shape (4,)
        The same plane, normalized.

    Raises
    ------
    InvalidInputError
        If it is not a plane that separates left from right.
    """
    plane = np.asarray(midplane, float).ravel()
    length = float(np.linalg.norm(plane[:3])) if plane.size == 4 else 0.0
    if not np.isfinite(plane).all() or length < 1e-6 or abs(plane[0]) < 0.3 * length:
        msg = f"The plane {np.round(plane, 3).tolist()} does not separate left from right. Give (nR, nA, nS, d) in RAS mm."
        raise InvalidInputError(msg)
    normalized: FloatArray = plane / (length * np.sign(plane[0]))
    return normalized


def check_mask(name: str, mask: Any, shape: tuple[int, ...]) -> BoolArray:
    """Return a mask as bool when it fits the maps.

    Parameters
    ----------
    name : str
        What it is called in the message.
    mask : array-like, shape (I, J, K)
        The mask.
    shape : tuple of int
        Shape of the maps.

    Returns
    -------
    ndarray of bool
        The mask.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """
    array = np.asarray(mask)
    if array.shape != tuple(shape):
        msg = f"The {name} has {array.shape} voxels but the maps have {tuple(shape)}. Resample it to the maps."
        raise GridMismatchError(msg)
    result: BoolArray = array.astype(bool)
    return result


def _light_image(
    volume: NDArray[Any], affine: FloatArray, window: tuple[float, float]
) -> tuple[NDArray[np.float32], FloatArray, tuple[slice, ...]]:
    """Clip, smooth against noise, and thin out to about 2 mm."""
    sizes = voxel_sizes(affine)
    steps = np.maximum(np.floor(_LIGHT_MM / sizes).astype(int), 1)
    clipped = np.clip(np.nan_to_num(np.asarray(volume, np.float32), nan=window[0]), *window)
    stride = tuple(slice(None, None, int(step)) for step in steps)
    return _smooth(clipped, _SMOOTHING_MM / sizes)[stride], affine @ np.diag([*steps.astype(float), 1.0]), stride


def _smooth(image: NDArray[np.float32], sigma: FloatArray) -> NDArray[np.float32]:
    """Gaussian smoothing that leaves thick slices alone."""
    result: NDArray[np.float32] = ndimage.gaussian_filter(image, np.where(sigma < 0.4, 0.0, sigma), truncate=3.0)
    return result


class _Symmetry:
    """Correlation of an image with its reflection, on points of a patient-space grid inside the head."""

    def __init__(self, image: NDArray[np.float32], head: BoolArray, affine: FloatArray, centre: FloatArray, step_mm: float):
        sizes = voxel_sizes(affine)
        extra_mm = np.sqrt(max((0.4 * step_mm) ** 2 - _SMOOTHING_MM**2, 0.0))
        self.image = _smooth(image, extra_mm / sizes)
        stride = np.maximum(np.round(step_mm / sizes).astype(int), 1)
        near = ndimage.binary_dilation(head[tuple(slice(None, None, s) for s in stride)])
        index = np.argwhere(near) * stride
        index = index[:: max(len(index) // _MAX_POINTS, 1)].T
        self.index = index.astype(np.float32)
        self.here = self.image[tuple(index)].astype(np.float64)
        self.affine, self.to_voxel, self.centre = affine, np.linalg.inv(affine), centre
        self.last = (np.array(image.shape, np.float32) - 0.49)[:, None]

    def __call__(self, parameters: FloatArray) -> float:
        voxel = self.to_voxel @ _reflection(_plane(parameters, self.centre)) @ self.affine
        # einsum and not a matrix product: on so few points the threads of a busy machine's BLAS only cost time
        places = np.einsum("ij,jn->in", voxel[:3, :3].astype(np.float32), self.index) + voxel[:3, 3:].astype(np.float32)
        both = ((places > -0.51) & (places < self.last)).all(axis=0)
        if both.mean() < _MIN_OVERLAP:
            return -1.0
        there = ndimage.map_coordinates(self.image, places[:, both], order=1, mode="nearest", output=np.float64)
        a, b = self.here[both], there
        a, b = a - a.mean(), b - b.mean()
        power = float(np.sqrt(np.einsum("n,n", a, a) * np.einsum("n,n", b, b)))
        return float(np.einsum("n,n", a, b)) / power if power > 0 else -1.0


def _reflection(plane: FloatArray) -> FloatArray:
    """The reflection about a plane as a 4x4 matrix in RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] -= 2.0 * np.outer(plane[:3], plane[:3])
    matrix[:3, 3] = 2.0 * plane[3] * plane[:3]
    return matrix


def _normal(parameters: FloatArray) -> FloatArray:
    """Unit normal from turn (about S) and tilt (about A) in degrees."""
    turn, tilt = np.radians(parameters[:2])
    return np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])


def _plane(parameters: FloatArray, centre: FloatArray) -> FloatArray:
    normal = _normal(parameters)
    return np.array([*normal, parameters[2] + normal @ centre])


def _coarse_starts(symmetry: _Symmetry) -> list[FloatArray]:
    turns, tilts = np.linspace(-32, 32, 9), np.linspace(-24, 24, 5)
    grid = [np.array([turn, tilt, shift]) for turn in turns for tilt in tilts for shift in (-8.0, 0.0, 8.0)]
    scores = [symmetry(p) for p in grid]
    return [grid[at] for at in np.argsort(scores)[-3:]]


def _refined(symmetry: _Symmetry, starts: list[FloatArray], step_mm: float) -> FloatArray:
    bounds = ((-_SEARCH_DEG, _SEARCH_DEG), (-_SEARCH_DEG, _SEARCH_DEG), (-30.0, 30.0))
    found = []
    for start in starts:
        simplex = np.vstack([start, *(start + step_mm * np.eye(3) * [0.8, 0.8, 0.5])])
        options = {"initial_simplex": simplex, "xatol": 0.02, "fatol": 1e-6, "maxfev": 120}
        result = optimize.minimize(lambda p: -symmetry(p), start, method="Nelder-Mead", bounds=bounds, options=options)
        found.append((float(-result.fun), np.asarray(result.x)))
    return max(found, key=lambda item: item[0])[1]


def _largest_object(mask: BoolArray) -> BoolArray:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    biggest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    result: BoolArray = labels == biggest
    return result
