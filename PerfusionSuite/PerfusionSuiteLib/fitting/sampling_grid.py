# SPDX-License-Identifier: Apache-2.0
"""The grid that a field is sampled on: its own, one of another resolution over the same field of view, or any given one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.fields import FittedField
from ..core.geometry import FloatArray, check_affine, voxel_sizes

MOST_VOXELS = 400_000_000
"""A grid beyond this is a slip of the spacing; eight maps of it would take 13 GB."""


def sampling_grid(
    field: FittedField, *, affine: Any = None, shape: tuple[int, int, int] | None = None, spacing_mm: Any = None
) -> tuple[FloatArray, tuple[int, int, int]]:
    """Return the affine and shape of a grid.

    Parameters
    ----------
    field : FittedField
        Whose raster and field of view are meant where nothing else is given.
    affine : array-like, shape (4, 4), mm, optional
        Voxel to RAS of a grid of its own; needs `shape`.
    shape : tuple of int, optional
        Number of voxels; without an affine the field of view is divided into so many.
    spacing_mm : float or three floats, mm, optional
        Voxel size; the same field of view is covered, to within half a voxel.

    Returns
    -------
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    shape : tuple of int
        Number of voxels.

    Raises
    ------
    InvalidInputError
        If the choices contradict each other or make no sense.
    """
    if affine is not None:
        if shape is None or spacing_mm is not None:
            msg = "A grid is given by affine and shape together, or by spacing_mm alone. Correct the call."
            raise InvalidInputError(msg)
        return check_affine(affine), _checked_shape(shape)
    if shape is not None and spacing_mm is not None:
        msg = "Give either the shape or the spacing of the new grid, not both."
        raise InvalidInputError(msg)
    old = check_affine(field.affine)
    if shape is None and spacing_mm is None:
        return old, field.shape
    sizes, extent = voxel_sizes(old), voxel_sizes(old) * field.shape
    if shape is None:
        wanted = _checked_spacing(spacing_mm)
        shape = _checked_shape(tuple(int(n) for n in np.maximum(np.rint(extent / wanted), 1)))
        step = wanted / sizes
    else:
        shape = _checked_shape(shape)
        step = np.array(field.shape) / np.array(shape)
    # The middle of the field of view stays where it is.
    first = (np.array(field.shape) - 1) / 2 - step * (np.array(shape) - 1) / 2
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = np.diag(step), first
    return old @ change, shape


def _checked_shape(shape: Any) -> tuple[int, int, int]:
    numbers = tuple(int(n) for n in shape)
    if len(numbers) != 3 or min(numbers) < 1 or np.prod([float(n) for n in numbers]) > MOST_VOXELS:
        msg = f"A grid of {' x '.join(map(str, numbers))} voxels cannot be sampled. Choose three numbers and a coarser spacing."
        raise InvalidInputError(msg)
    return numbers


def _checked_spacing(spacing_mm: Any) -> FloatArray:
    try:
        spacing = np.broadcast_to(np.asarray(spacing_mm, np.float64), (3,))
    except (TypeError, ValueError):
        spacing = np.full(3, np.nan)
    if not (np.isfinite(spacing).all() and (spacing > 0.01).all()):
        msg = f"The spacing must be one or three positive numbers in mm, not {spacing_mm!r}. Correct it."
        raise InvalidInputError(msg)
    return spacing
