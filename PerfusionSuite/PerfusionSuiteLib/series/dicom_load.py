# SPDX-License-Identifier: Apache-2.0
"""Pixels of a stack, each file decoded once and straight into its place of the 4D array."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.memory import sparse_zeros
from ..core.progress import ProgressCallback
from .dicom_frames import FrameTable
from .dicom_headers import ImageHeader
from .dicom_pixels import FrameReader
from .dicom_stack import Stack

_MAX_THREADS = 8


def load_pixels(stack: Stack, table: FrameTable, progress: ProgressCallback) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read all images of a table.

    Parameters
    ----------
    stack : Stack
        Images on one grid.
    table : FrameTable
        Which image is which slice of which frame.
    progress : callable
        Called between files or slices.

    Returns
    -------
    data : ndarray of float32, shape (I, J, K, T)
        Rescaled values; 0 where an image could not be decoded.
    good : ndarray of bool, shape (K, T)
        Which images could be decoded.

    Notes
    -----
    Beside the array itself only one slice of all frames (or one file) is held per thread.
    """
    first = stack.images[int(table.image[0, 0])]
    slices, frames = table.image.shape
    data = sparse_zeros((first.columns, first.rows, slices, frames))
    good = np.zeros((slices, frames), np.bool_)
    images = [[stack.images[n] for n in row] for row in table.image]
    if _must_be_decoded_whole(images):
        _by_file(images, data, good, progress)
    else:
        _by_slice(images, data, good, progress)
    return data, good


def _must_be_decoded_whole(images: list[list[ImageHeader]]) -> bool:
    """Whether a file holds several slices that cannot be read one by one without decoding it anew."""
    some = images[0][0]
    packed = some.pixels.offset < 0 and some.pixels.frames > 1
    several = len({image.pixels.path for image in images[0]}) > 1
    return some.tile is not None or (packed and several)


def _by_slice(
    images: list[list[ImageHeader]], data: NDArray[np.float32], good: NDArray[np.bool_], progress: ProgressCallback
) -> None:
    """Collect a slice of all frames in a block, since time is the fastest axis of the array."""
    reader = FrameReader()

    def load(k: int) -> None:
        block = np.zeros((len(images[k]), data.shape[1], data.shape[0]), np.float32)
        for t, image in enumerate(images[k]):
            stored = reader.stored(image)
            if stored is not None:
                block[t] = rescaled(stored, image)
                good[k, t] = True
        data[:, :, k] = block.transpose(2, 1, 0)

    _in_threads(load, len(images), progress)


def _by_file(
    images: list[list[ImageHeader]], data: NDArray[np.float32], good: NDArray[np.bool_], progress: ProgressCallback
) -> None:
    places: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for k, row in enumerate(images):
        for t, image in enumerate(row):
            places[image.pixels.path].append((k, t))
    jobs = list(places.values())

    def load(number: int) -> None:
        reader = FrameReader()
        for k, t in jobs[number]:
            stored = reader.stored(images[k][t])
            if stored is not None:
                data[:, :, k, t] = rescaled(stored, images[k][t]).T
                good[k, t] = True

    _in_threads(load, len(jobs), progress)


def rescaled(stored: NDArray[Any], image: ImageHeader) -> NDArray[np.float64]:
    """Turn stored numbers into HU or signal, exactly.

    Parameters
    ----------
    stored : ndarray, shape (rows, columns)
        As in the file.
    image : ImageHeader
        With slope and intercept.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        slope x stored + intercept.
    """
    values: NDArray[np.float64] = stored * np.float64(image.slope) + image.intercept
    return values


def _in_threads(work: Callable[[int], None], count: int, progress: ProgressCallback) -> None:
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(work, n) for n in range(count)]
        try:
            for number, job in enumerate(jobs):
                job.result()
                progress((number + 1) / count, "Reading pixels")
        finally:
            for job in jobs:
                job.cancel()
