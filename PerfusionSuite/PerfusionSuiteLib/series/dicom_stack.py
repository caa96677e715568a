# SPDX-License-Identifier: Apache-2.0
"""A `Stack`: images on one grid, sorted into slices, at any number of times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .dicom_headers import ImageHeader, orientation_of


@dataclass(slots=True)
class Stack:
    """Images on one grid, at any number of times.

    Parameters
    ----------
    images : list of ImageHeader
        In no particular order.
    positions_mm : ndarray, shape (K,), mm
        Slice positions along the normal, increasing.
    slice_of : ndarray of int, shape (len(images),)
        Slice of each image.
    series : int
        Number of DICOM series that were joined.
    joined : tuple of str
        How: ``phases``, ``slabs``.
    """

    images: list[ImageHeader]
    positions_mm: FloatArray
    slice_of: NDArray[np.int64]
    series: int = 1
    joined: tuple[str, ...] = ()

    @property
    def uids(self) -> tuple[str, ...]:
        """SeriesInstanceUIDs."""
        return tuple(dict.fromkeys(image.series_uid for image in self.images))

    @property
    def frames(self) -> int:
        """Images at a typical position."""
        return int(np.median(np.bincount(self.slice_of))) if self.images else 0

    @property
    def derived(self) -> bool:
        """Whether the images were computed from others."""
        return "DERIVED" in self.images[0].image_type[:1]


def stack_of(images: list[ImageHeader], series: int = 1, joined: tuple[str, ...] = ()) -> Stack:
    """Sort images of one grid into slices.

    Parameters
    ----------
    images : list of ImageHeader
        With the same orientation.
    series : int
        Number of DICOM series they come from.
    joined : tuple of str
        How these were joined.

    Returns
    -------
    Stack
        Images closer together than a tenth of the slice step share a slice.
    """
    directions = orientation_of(images[0])
    if directions is None or any(image.position is None for image in images):
        return Stack(images, np.zeros(1), np.zeros(len(images), np.int64), series, joined)
    along = np.array([image.position for image in images]) @ directions[2]
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    real = steps[steps > 0.05]
    tolerance = max(0.05, 0.1 * float(np.median(real))) if real.size else 0.05
    slice_of = np.empty(len(images), np.int64)
    slice_of[order] = np.concatenate([[0], np.cumsum(steps > tolerance)])
    count = np.bincount(slice_of)
    return Stack(images, np.bincount(slice_of, along) / count, slice_of, series, joined)
