# SPDX-License-Identifier: Apache-2.0
"""From a region on a picture of a map to voxels of the patient, orientation-safe (ct-perfusion-auto 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, canonical_orientation, check_affine, voxel_sizes, voxel_volume_ml
from .midline import check_mask
from .picture_color import YELLOW, ColorRange, Drawing, drawn_region
from .picture_files import RgbImage

ORIENTATIONS = ("axial", "coronal", "sagittal")
"""Radiological: the patient's right (sagittal: anterior) on the left, anterior (else superior) at the top."""

FLIPS = ("horizontal", "vertical")
_REMOVED = {"axial": 2, "coronal": 1, "sagittal": 0}
_UNEQUAL = 0.05
ONE_SIDE = 0.2
"""A region with more than this part on either side of the brain is no region of one side."""


@dataclass(frozen=True, slots=True)
class PicturePlane:
    """How a picture lies on a map.

    Parameters
    ----------
    orientation : {"axial", "coronal", "sagittal"}
        Which way the map was projected.
    flips : tuple of str
        ``horizontal`` when the patient's left (sagittal: posterior) is on the left, ``vertical`` when it is upside down.
    crop : tuple of float, optional, pixels
        Left, top, right and bottom edge of the map's field of view on the picture; beyond the picture where it shows a part
        only. By default the picture shows exactly the field of view.
    """

    orientation: str = "axial"
    flips: tuple[str, ...] = ()
    crop: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.orientation not in ORIENTATIONS or not set(self.flips) <= set(FLIPS):
            msg = (
                f"Orientation '{self.orientation}' with flips {', '.join(self.flips) or 'none'} is unknown. "
                f"Use one of {', '.join(ORIENTATIONS)}, and horizontal or vertical."
            )
            raise InvalidInputError(msg)
        if self.crop is not None and not (self.crop[2] - self.crop[0] >= 1.0 and self.crop[3] - self.crop[1] >= 1.0):
            msg = f"The crop box {self.crop} is empty. Give left, top, right and bottom in pixels of the picture."
            raise InvalidInputError(msg)


@dataclass(frozen=True, slots=True)
class PictureRegion:
    """A region and everything it came from.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The region on the grid of the map.
    flat : ndarray of bool, shape (rows, columns)
        The region on the map's plane, radiological, before brain and slab limited it.
    drawing : Drawing
        What was found on the picture.
    right_share : float
        Part of the region to the right of the middle of the brain, 0 to 1.
    volume_ml : float, mL
        Volume of the region.
    findings : tuple of QualityFinding
        What was odd.
    """

    mask: BoolArray
    flat: BoolArray
    drawing: Drawing
    right_share: float
    volume_ml: float
    findings: tuple[QualityFinding, ...] = ()


def region_from_picture(
    picture: RgbImage,
    brain: NDArray[Any],
    affine: FloatArray,
    *,
    plane: PicturePlane | None = None,
    colors: ColorRange = YELLOW,
    shade: tuple[int, int, int] | None = None,
    one_shade: bool = True,
    slab_mm: tuple[float, float] | None = None,
) -> PictureRegion:
    """Turn a region drawn on a picture of a map into voxels.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        RGB.
    brain : ndarray of bool, shape (I, J, K)
        The region stays inside of it.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    plane : PicturePlane, optional
        How the picture lies on the map; by default an axial, radiological picture of exactly the field of view.
    colors : ColorRange
        The color of the drawing.
    shade, one_shade
        See `drawn_region`.
    slab_mm : tuple of float, optional, mm
        Lowest and highest coordinate along the projection (superior for axial, anterior for coronal, right for sagittal).

    Returns
    -------
    PictureRegion
        The region.

    Raises
    ------
    InvalidInputError
        If nothing or too much is drawn, the picture has another shape than the map, or the region misses the brain.
    """
    plane, affine = plane or PicturePlane(), check_affine(affine)
    if np.ndim(brain) != 3:
        msg = f"The brain mask has {np.ndim(brain)} dimensions instead of 3. Give a mask on the grid of the map."
        raise InvalidInputError(msg)
    inside = check_mask("brain mask", brain, (np.shape(brain)[0], np.shape(brain)[1], np.shape(brain)[2]))
    _check_proportions(picture.shape[:2], inside.shape, affine, plane)
    drawing = drawn_region(picture, colors, shade=shade, one_shade=one_shade)
    flat = on_plane(drawing.region, inside.shape, affine, plane)
    mask = inside & through(flat, inside.shape, affine, plane.orientation)
    if slab_mm is not None:
        mask &= within_slab(inside.shape, affine, plane.orientation, slab_mm)
    if not mask.any():
        msg = (
            f"The drawing ({int(drawing.region.sum())} pixels) does not meet the brain. "
            "Check orientation, flips, crop box and slab with the proof or the live overlay."
        )
        raise InvalidInputError(msg)
    lost = 1.0 - float((flat & _shadow(inside, affine, plane.orientation)).sum()) / float(flat.sum())
    findings = list(drawing.findings)
    if lost > 0.5:
        message = f"{100 * lost:.0f} % of the drawing lie outside of the brain."
        findings.append(QualityFinding("drawing_outside_brain", "warning", message, "Check orientation, flips and crop box."))
    volume, right = round(int(mask.sum()) * voxel_volume_ml(affine), 4), _right_share(mask, inside, affine)
    if ONE_SIDE < right < 1.0 - ONE_SIDE:
        message = f"The region lies on both sides of the brain ({100 * right:.0f} % on the right), but it stands for one side."
        advice = "Look at the proof: colors of the map may have been taken for the line. Draw with another color, or pick it."
        findings.append(QualityFinding("region_on_both_sides", "warning", message, advice))
    return PictureRegion(mask, flat, drawing, right, volume, tuple(findings))


def plane_shape(shape: tuple[int, ...], affine: FloatArray, orientation: str) -> tuple[int, int]:
    """Return rows and columns of a map seen along an axis of the body.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    orientation : str
        One of `ORIENTATIONS`.

    Returns
    -------
    tuple of int
        Rows and columns.
    """
    across, along = _kept(affine, orientation)
    return shape[along], shape[across]


def plane_size_mm(shape: tuple[int, ...], affine: FloatArray, orientation: str) -> tuple[float, float]:
    """Return width and height of a map seen along an axis of the body.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    orientation : str
        One of `ORIENTATIONS`.

    Returns
    -------
    tuple of float, mm
        Width and height.
    """
    across, along = _kept(affine, orientation)
    sizes = voxel_sizes(affine)
    return float(shape[across] * sizes[across]), float(shape[along] * sizes[along])


def _kept(affine: FloatArray, orientation: str) -> tuple[int, int]:
    """Voxel axes that run along the columns' direction (left to right) and the rows' direction (top to bottom)."""
    axes = list(canonical_orientation(affine)[0])
    del axes[_REMOVED[orientation]]
    return axes[0], axes[1]


def _check_proportions(size: tuple[int, ...], shape: tuple[int, ...], affine: FloatArray, plane: PicturePlane) -> None:
    """Refuse a picture that cannot show the whole field of view; a crop box is the user's word."""
    if plane.crop is not None:
        return
    rows, columns = plane_shape(shape, affine, plane.orientation)
    width, height = plane_size_mm(shape, affine, plane.orientation)
    shown = size[1] / size[0]
    fitting = (columns / rows, width / height)
    if min(abs(shown / ratio - 1.0) for ratio in fitting) > _UNEQUAL:
        msg = (
            f"The picture has {size[1]} x {size[0]} pixels, but the {plane.orientation} field of view measures "
            f"{width:.0f} x {height:.0f} mm ({columns} x {rows} voxels). "
            "Give the crop box of the field of view on the picture (left, top, right, bottom)."
        )
        raise InvalidInputError(msg)


def on_plane(region: BoolArray, shape: tuple[int, ...], affine: FloatArray, plane: PicturePlane) -> BoolArray:
    """Resample a region of a picture to the plane of a map: a voxel counts when most of its area is drawn.

    Parameters
    ----------
    region : ndarray of bool, shape (rows, columns)
        On the picture.
    shape : tuple of int
        (I, J, K) of the map.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    plane : PicturePlane
        How the picture lies on the map.

    Returns
    -------
    ndarray of bool
        On the map's plane, radiological: rows from anterior (superior) down, columns from the patient's right (anterior) on.
    """
    left, top, right, bottom = plane.crop or (0.0, 0.0, float(region.shape[1]), float(region.shape[0]))
    rows, columns = plane_shape(shape, affine, plane.orientation)
    down, along = _overlaps(rows, top, bottom, region.shape[0]), _overlaps(columns, left, right, region.shape[1])
    flat: BoolArray = down @ region.astype(np.float64) @ along.T > 0.5 + 1e-9
    if "horizontal" in plane.flips:
        flat = flat[:, ::-1]
    return flat[::-1] if "vertical" in plane.flips else flat


def _overlaps(cells: int, start: float, stop: float, pixels: int) -> FloatArray:
    """Part of each cell that each pixel covers, shape (cells, pixels)."""
    edges = start + (stop - start) * np.arange(cells + 1) / cells
    pixel = np.arange(pixels)
    shared = np.minimum(edges[1:, None], pixel + 1.0) - np.maximum(edges[:-1, None], pixel)
    parts: FloatArray = np.maximum(shared, 0.0) / (edges[1] - edges[0])
    return parts


def through(flat: BoolArray, shape: tuple[int, ...], affine: FloatArray, orientation: str) -> BoolArray:
    """Carry a region of the plane through all slices.

    Parameters
    ----------
    flat : ndarray of bool
        On the plane, as `on_plane` returns it.
    shape : tuple of int
        (I, J, K).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    orientation : str
        One of `ORIENTATIONS`.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        On the grid.
    """
    axes, flips = canonical_orientation(affine)
    # Both directions of a radiological picture run against right, anterior and superior.
    turned = np.expand_dims(flat[::-1, ::-1].T, _REMOVED[orientation])
    turned = np.broadcast_to(turned, [shape[axis] for axis in axes])
    turned = turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return np.ascontiguousarray(np.transpose(turned, np.argsort(axes)))


def seen_from(values: NDArray[Any], affine: FloatArray, orientation: str) -> NDArray[Any]:
    """Return the maximum of a map along an axis of the body as a radiological picture, for a proof or an overlay.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        The map; NaN counts as nothing.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    orientation : str
        One of `ORIENTATIONS`.

    Returns
    -------
    ndarray, shape (rows, columns)
        On the plane, as `on_plane` returns a region.
    """
    axes, flips = canonical_orientation(affine)
    turned = np.transpose(values, axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    known = turned if turned.dtype == bool else np.where(np.isfinite(turned), turned, -np.inf)
    flat = known.max(axis=_REMOVED[orientation]).T[::-1, ::-1]
    return flat if flat.dtype == bool else np.where(np.isfinite(flat), flat, 0.0)


def _shadow(mask: BoolArray, affine: FloatArray, orientation: str) -> BoolArray:
    shadow: BoolArray = seen_from(mask, affine, orientation)
    return shadow


def within_slab(shape: tuple[int, ...], affine: FloatArray, orientation: str, slab_mm: tuple[float, float]) -> BoolArray:
    """Return the voxels whose centers lie between two coordinates of the patient.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    orientation : str
        One of `ORIENTATIONS`: axial limits superior, coronal anterior, sagittal right.
    slab_mm : tuple of float, mm
        Lowest and highest coordinate.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The slab.

    Raises
    ------
    InvalidInputError
        If no voxel lies in it.
    """
    low, high = sorted(slab_mm)
    row = affine[_REMOVED[orientation]]
    i, j, k = (np.arange(size) for size in shape)
    place = (row[0] * i)[:, None, None] + (row[1] * j)[:, None] + row[2] * k + row[3]
    slab: BoolArray = (place >= low - 1e-6) & (place <= high + 1e-6)
    if not slab.any():
        msg = (
            f"No slice lies between {low:g} and {high:g} mm; the map reaches from {place.min():.1f} to {place.max():.1f} mm. "
            "Correct the slab."
        )
        raise InvalidInputError(msg)
    return slab


def _right_share(mask: BoolArray, brain: BoolArray, affine: FloatArray) -> float:
    """Part of a region on the right of the brain's middle, voxel by voxel in patient space."""
    place = np.argwhere(mask) @ affine[0, :3] + affine[0, 3]
    middle = float((np.argwhere(brain) @ affine[0, :3]).mean() + affine[0, 3])
    return round(float((place > middle).mean()), 4)
