# SPDX-License-Identifier: Apache-2.0
"""How a volume is laid on paper: radiological convention, crop to the brain, true proportions.

Axial and coronal pictures have the patient's right on the left; sagittal pictures have anterior on the left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import BoolArray, FloatArray, canonical_orientation, voxel_sizes

PLANES = ("axial", "coronal", "sagittal")
LETTERS = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""Directions at the left, right, top and bottom edge of each plane."""

_AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
_REMOVED = {"axial": 2, "coronal": 1, "sagittal": 0}


@dataclass(frozen=True, slots=True)
class View:
    """A grid turned to right, anterior, superior and cropped to what shall be seen.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS of the original grid.
    shape : tuple of int
        Spatial shape of the original grid.
    box : tuple of slice
        Part of the turned grid that is shown.
    """

    affine: FloatArray
    shape: tuple[int, int, int]
    box: tuple[slice, slice, slice]

    @property
    def sizes_mm(self) -> FloatArray:
        """Voxel spacing towards right, anterior and superior."""
        sizes: FloatArray = voxel_sizes(self.affine)[list(canonical_orientation(self.affine)[0])]
        return sizes

    @property
    def extent_mm(self) -> FloatArray:
        """Size of the shown part towards right, anterior and superior."""
        return np.array([part.stop - part.start for part in self.box]) * self.sizes_mm

    def turn(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn and crop a volume.

        Parameters
        ----------
        values : ndarray, shape (I, J, K)
            On the original grid.

        Returns
        -------
        ndarray, shape (R, A, S)
            A view of the same numbers.
        """
        return _turned(values, self.affine)[self.box]

    def slice_mm(self, index: int) -> float:
        """Return the height of an axial slice.

        Parameters
        ----------
        index : int
            Slice of the turned and cropped volume.

        Returns
        -------
        float, mm
            Superior coordinate at the middle of the whole slice, as in ``slice_statistics`` of the metrics.
        """
        axes, flips = canonical_orientation(self.affine)
        voxel = np.array([*((n - 1) / 2.0 for n in self.shape), 1.0])
        at = self.box[2].start + index
        voxel[axes[2]] = self.shape[axes[2]] - 1 - at if flips[2] else at
        return float((self.affine @ voxel)[2])


def _turned(values: NDArray[Any], affine: FloatArray) -> NDArray[Any]:
    axes, flips = canonical_orientation(affine)
    return np.transpose(values, axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def view_of(brain: BoolArray, affine: FloatArray, margin_mm: float = 4.0) -> View:
    """Return the view that shows the brain with a margin, or everything when there is no brain.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        What shall be seen.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    margin_mm : float, mm
        Space around it within a slice.

    Returns
    -------
    View
        The view.
    """
    turned = _turned(brain, affine)
    sizes = voxel_sizes(affine)[list(canonical_orientation(affine)[0])]
    box = []
    for axis in range(3):
        at = np.flatnonzero(turned.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = round(margin_mm / sizes[axis]) if axis < 2 else 0
        low, high = (int(at[0]) - margin, int(at[-1]) + 1 + margin) if at.size else (0, turned.shape[axis])
        box.append(slice(max(low, 0), min(high, turned.shape[axis])))
    return View(affine, (brain.shape[0], brain.shape[1], brain.shape[2]), (box[0], box[1], box[2]))


def position_words(view: View, index: int) -> str:
    """Write the height of an axial slice.

    Parameters
    ----------
    view : View
        The view.
    index : int
        Slice of the turned and cropped volume.

    Returns
    -------
    str
        For example ``S 12 mm`` above and ``I 6 mm`` below the origin of the patient's coordinates.
    """
    height = round(view.slice_mm(index))
    return f"{'S' if height >= 0 else 'I'} {abs(height)} mm"


def projected(turned: NDArray[Any], plane: str) -> NDArray[Any]:
    """Project a turned volume by its maximum, as an image with row 0 at the top.

    Parameters
    ----------
    turned : ndarray, shape (R, A, S)
        Numbers (NaN is ignored) or a mask.
    plane : {"axial", "coronal", "sagittal"}
        What is looked at.

    Returns
    -------
    ndarray, shape (rows, columns)
        The picture in radiological convention.
    """
    axis = _REMOVED[plane]
    flat = np.logical_or.reduce(turned, axis=axis) if turned.dtype == bool else np.fmax.reduce(turned, axis=axis)
    return as_picture(np.asarray(flat))


def summed(turned: NDArray[Any], plane: str) -> NDArray[Any]:
    """Count the voxels of a turned mask along each line of sight.

    Parameters
    ----------
    turned : ndarray of bool, shape (R, A, S)
        The mask.
    plane : {"axial", "coronal", "sagittal"}
        What is looked at.

    Returns
    -------
    ndarray of int, shape (rows, columns)
        The picture in radiological convention.
    """
    return as_picture(turned.sum(axis=_REMOVED[plane]))


def as_picture(flat: NDArray[Any]) -> NDArray[Any]:
    """Turn a 2D part of a turned volume into an image with row 0 at the top.

    Parameters
    ----------
    flat : ndarray, shape (n, m)
        First axis to the right (or anterior), second to anterior (or superior).

    Returns
    -------
    ndarray, shape (m, n)
        The picture in radiological convention: both axes run from their far end.
    """
    return flat[::-1, ::-1].T


def picture_mm(view: View, plane: str) -> tuple[float, float]:
    """Return width and height of a picture.

    Parameters
    ----------
    view : View
        The view.
    plane : {"axial", "coronal", "sagittal"}
        What is looked at.

    Returns
    -------
    tuple of float, mm
        Width and height.
    """
    across, up = _AXES[plane]
    return float(view.extent_mm[across]), float(view.extent_mm[up])


def spread_slices(brain: BoolArray, lesion: BoolArray, count: int) -> list[int]:
    """Choose slices spread over the brain; the one with the largest lesion is among them.

    Parameters
    ----------
    brain, lesion : ndarray of bool, shape (R, A, S)
        Turned masks.
    count : int
        Most slices to choose.

    Returns
    -------
    list of int
        Increasing slice numbers.
    """
    area = brain.sum(axis=(0, 1))
    useful = np.flatnonzero(area > 0.15 * area.max()) if area.any() else np.arange(brain.shape[2])
    chosen = useful[np.unique(np.linspace(0, useful.size - 1, min(count, useful.size)).round().astype(int))]
    sizes = lesion.sum(axis=(0, 1))
    if sizes.any() and int(sizes.argmax()) not in chosen:
        chosen[np.abs(chosen - int(sizes.argmax())).argmin()] = int(sizes.argmax())
    return sorted({int(at) for at in chosen})
