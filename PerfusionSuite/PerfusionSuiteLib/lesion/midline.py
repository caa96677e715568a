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
from scipy import ndimage

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, check_affine
from .symmetry import largest_object, light_image, most_symmetric_plane, reflection

MIN_CORRELATION = 0.8
_ASYMMETRIC = 0.55
MAX_TILT_DEG, LARGEST_TILT_DEG = 25.0, 40.0
"""By the outline of the head alone; and when the inside of the brain confirms the plane."""

_WINDOW_HU = (0.0, 90.0)


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
    its reflection: a search over turn and tilt on an 8 mm grid, then refinement at 4 mm. Skulls are
    less symmetric than brains, so the plane is then refined on the contrast inside of the brain near it
    (ventricles, fissure, sulci). All this happens in patient space: flipped, rotated and oblique images
    give the same plane.

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
    image, affine, stride = light_image(volume, affine, window)
    head = largest_object(image > window[0] + 0.2 * (window[1] - window[0])) if head is None else np.asarray(head, bool)[stride]
    if not head.any():
        msg = f"No head was found for the mid-sagittal plane in a volume of {np.shape(volume)} voxels. Give a mask or the plane."
        raise InvalidInputError(msg)
    plane, score, inner = most_symmetric_plane(image, head, affine, window)
    tilt = float(np.degrees(np.arccos(np.clip(plane[0], -1, 1))))
    if (inner is not None and tilt <= LARGEST_TILT_DEG) or (score >= MIN_CORRELATION and tilt <= MAX_TILT_DEG):
        findings = (() if score >= _ASYMMETRIC else (_asymmetric(score),)) + (() if tilt <= MAX_TILT_DEG else (_tilted(tilt),))
        return Midplane(plane, score, tilt, findings)
    centre = affine[:3, :3] @ np.argwhere(head).mean(axis=0) + affine[:3, 3]
    fallback = np.array([1.0, 0.0, 0.0, centre[0]])
    finding = QualityFinding(
        "midline_uncertain",
        "warning",
        f"The head correlates with its mirror image by {score:.2f} at a tilt of {tilt:.0f} degrees, so the mid-sagittal plane "
        "was put through the center of the head.",
        "Check the plane and set it by hand if it misses the falx.",
    )
    return Midplane(fallback, score, 0.0, (finding,))


def _asymmetric(score: float) -> QualityFinding:
    return QualityFinding(
        "asymmetric_head",
        "warning",
        f"The head is not symmetric (correlation with its mirror image {score:.2f}), so the mid-sagittal plane rests on the "
        "inside of the brain alone.",
        "Check the plane and set it by hand if it misses the falx.",
    )


def _tilted(tilt_deg: float) -> QualityFinding:
    return QualityFinding(
        "head_tilted",
        "warning",
        f"The head lies tilted or turned by {tilt_deg:.0f} degrees; the mid-sagittal plane follows it.",
        "Check the plane; slices of the two sides show different levels.",
    )


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
    voxel = np.linalg.inv(affine) @ reflection(plane) @ affine
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
