# SPDX-License-Identifier: Apache-2.0
"""Which DICOM images finished maps were made from, for objects that must refer to them: headers only, no pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray, voxel_sizes
from ..core.progress import ProgressCallback
from .dicom_files import read_headers
from .dicom_geometry import grid_of
from .dicom_headers import ImageHeader, orientation_of
from .dicom_stack import Stack
from .dicom_stacks import stacks_of
from .discover import find_files
from .notes import Notes

_SAME_PLACE = 0.05


def references_of(images: list[ImageHeader], affine: FloatArray) -> dict[str, Any]:
    """Describe the images of one volume for objects that are derived from them.

    Parameters
    ----------
    images : list of ImageHeader
        One per slice.
    affine : ndarray, shape (4, 4), mm
        Voxel (column, row, slice) to RAS.

    Returns
    -------
    dict
        ``files``, ``frame_numbers`` (from 1; 0 for a file that is one image), UIDs and the grid. It holds identifiers: it
        goes into DICOM objects and nowhere else.
    """
    image = images[0]
    return {
        "files": tuple(str(item.pixels.path) for item in images),
        "frame_numbers": tuple(item.frame + 1 if item.pixels.frames > 1 else 0 for item in images),
        "study_uid": image.study_uid,
        "series_uid": image.series_uid,
        "frame_of_reference_uid": image.frame_of_reference_uid,
        "affine": np.array(affine, float),
        "shape": (image.columns, image.rows, len(images)),
    }


def find_source(
    folder: str | Path, shape: tuple[int, int, int], affine: FloatArray, progress: ProgressCallback | None = None
) -> Mapping[str, Any]:
    """Find the series that maps were made from.

    Parameters
    ----------
    folder : path-like
        DICOM files of the study.
    shape : tuple of int
        (I, J, K) of the maps.
    affine : ndarray, shape (4, 4), mm
        Their voxel to RAS.
    progress : callable, optional
        Called between files.

    Returns
    -------
    mapping
        As `references_of` returns it: of the series on the grid of the maps, or else of the largest one that the maps overlap.

    Raises
    ------
    InvalidInputError
        If there are no DICOM images, or the maps lie elsewhere.
    """
    headers = read_headers(find_files(folder).dicom, progress).headers
    stacks = [stack for stack in stacks_of(headers) if _placed(stack)]
    if not stacks:
        msg = f"There are no DICOM images with positions in '{folder}'. Give the folder of the scan that the maps were made from."
        raise InvalidInputError(msg)
    volumes = [(_first_images(stack), stack) for stack in stacks]
    grids = [(images, grid_of(images, Notes()), stack) for images, stack in volumes]
    same = [item for item in grids if on_grid(references_of(item[0], item[1]), shape, affine)]
    near = same or [item for item in grids if _overlaps(item[0], item[1], shape, affine)]
    if not near:
        msg = f"The maps lie outside of all {len(grids)} series in '{folder}'. Give the folder of the scan they were made from."
        raise InvalidInputError(msg)
    # The dynamic series holds most images; maps and pictures of the same study lie beside it.
    images, grid, _ = max(near, key=lambda item: (item[0][0].modality in {"CT", "MR"}, len(item[2].images)))
    return references_of(images, grid)


def on_grid(source: Mapping[str, Any], shape: tuple[int, ...], affine: FloatArray) -> bool:
    """Say whether the images of a source lie where the slices of a volume do.

    Parameters
    ----------
    source : mapping
        As `references_of` returns it.
    shape : tuple of int
        (I, J, K).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    bool
        True when all corners are less than 5 % of a voxel apart.
    """
    if source.get("affine") is None or tuple(source["shape"]) != tuple(shape[:3]):
        return False
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape[:3]], [1], indexing="ij")).reshape(4, -1)
    apart = np.linalg.norm(((np.asarray(source["affine"]) - affine) @ corners)[:3], axis=0).max()
    return bool(apart < _SAME_PLACE * voxel_sizes(affine).min())


def _placed(stack: Stack) -> bool:
    image = stack.images[0]
    return (
        orientation_of(image) is not None
        and image.spacing is not None
        and all(item.position is not None for item in stack.images)
        and "LOCALIZER" not in image.image_type
    )


def _first_images(stack: Stack) -> list[ImageHeader]:
    """The earliest image of each slice."""
    order = sorted(range(len(stack.images)), key=lambda n: (stack.slice_of[n], _moment(stack.images[n])))
    first: dict[int, ImageHeader] = {}
    for n in order:
        first.setdefault(int(stack.slice_of[n]), stack.images[n])
    return [first[k] for k in sorted(first)]


def _moment(image: ImageHeader) -> tuple[float, int]:
    return min(image.clocks.values(), default=0.0), image.instance


def _overlaps(images: list[ImageHeader], grid: FloatArray, shape: tuple[int, ...], affine: FloatArray) -> bool:
    """Whether the middle of the maps lies within a series."""
    middle = np.linalg.inv(grid) @ affine @ np.array([*((np.array(shape[:3]) - 1) / 2.0), 1.0])
    size = np.array([images[0].columns, images[0].rows, len(images)])
    return bool(np.all(middle[:3] >= -0.5) and np.all(middle[:3] <= size - 0.5))
