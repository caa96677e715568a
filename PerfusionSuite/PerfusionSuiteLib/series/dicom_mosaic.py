# SPDX-License-Identifier: Apache-2.0
"""Siemens MR mosaics: one picture per time point with all slices side by side becomes one `ImageHeader` per slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from .dicom_headers import ImageHeader, Tile, orientation_of
from .dicom_private import mosaic_layout

_CLOCKS = ("acquisition_datetime", "acquisition_time")


def slice_headers(dataset: Dataset, mosaic: ImageHeader) -> list[ImageHeader]:
    """Split the header of a mosaic into one per slice.

    Parameters
    ----------
    dataset : Dataset
        The file.
    mosaic : ImageHeader
        Its header.

    Returns
    -------
    list of ImageHeader
        One per slice, with its own part of the picture, its place and its time; the mosaic itself when the file does not
        say how it is laid out.

    Notes
    -----
    A mosaic of n slices has ceil(sqrt(n)) slices per row. Its position is that of the corner that a single slice of the
    mosaic's full size would have around the same center, so the corner of the slices lies half the difference inwards.
    """
    count, normal, times = mosaic_layout(dataset)
    directions = orientation_of(mosaic)
    if count < 1 or directions is None or mosaic.position is None or mosaic.spacing is None:
        return [mosaic]
    side = int(np.ceil(np.sqrt(count)))
    rows, columns = mosaic.pixels.rows // side, mosaic.pixels.columns // side
    if rows < 1 or columns < 1:
        return [mosaic]
    step = next((v for v in (mosaic.slice_spacing, mosaic.thickness) if np.isfinite(v) and v > 0), 1.0)
    corner = np.array(mosaic.position) + 0.5 * (
        directions[0] * mosaic.spacing[1] * (mosaic.pixels.columns - columns)
        + directions[1] * mosaic.spacing[0] * (mosaic.pixels.rows - rows)
    )
    along = directions[2] if normal is None else normal
    headers = []
    for k in range(count):
        late = float(times[k]) if times.size else 0.0
        headers.append(
            replace(
                mosaic,
                sop_uid=f"{mosaic.sop_uid}#{k}",
                tile=Tile((k // side) * rows, (k % side) * columns, rows, columns),
                position=tuple(float(x) for x in corner + k * step * along),
                clocks={name: value + late if name in _CLOCKS else value for name, value in mosaic.clocks.items()},
                details=dict(mosaic.details),
            )
        )
    return headers
