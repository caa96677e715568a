# SPDX-License-Identifier: Apache-2.0
"""Siemens MR mosaics of a phantom: all slices of a frame in one picture, its layout in private elements."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .dicom_plan import Place, Plan, da, ds_number, ds_numbers, shared_header, tm
from .dicom_vendors import set_sequence

_CHECK = 77


def mosaic_image(plan: Plan, place: Place) -> Dataset:
    """Make the header of the mosaic of one frame.

    Parameters
    ----------
    plan : Plan
        What all images share.
    place : Place
        Echo and frame.

    Returns
    -------
    Dataset
        Header without pixels.

    Raises
    ------
    InvalidInputError
        If the slices are sheared, which a mosaic cannot say.
    """
    columns, rows, slices, _ = plan.shape
    step = plan.lps[:3, 2]
    if float(np.linalg.norm(step)) - plan.slice_step > 1e-3 * plan.slice_step:
        msg = "A mosaic cannot hold slices that are stacked obliquely. Choose the vendor 'siemens'."
        raise InvalidInputError(msg)
    side = int(np.ceil(np.sqrt(slices)))
    parts = ("mosaic", place.frame, place.echo)
    image = shared_header(plan, MRImageStorage, plan.uid(*parts), place.series, ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    image.Columns, image.Rows = columns * side, rows * side
    image.InstanceNumber = place.frame * len(plan.echo_times_s) + place.echo + 1
    image.ImageOrientationPatient, image.PixelSpacing = plan.orientation, plan.pixel_spacing
    outwards = 0.5 * (side - 1) * (columns * plan.lps[:3, 0] + rows * plan.lps[:3, 1])
    image.ImagePositionPatient = ds_numbers(plan.position(0) - outwards)
    image.SliceThickness = image.SpacingBetweenSlices = ds_number(plan.slice_step)
    image.RescaleIntercept, image.RescaleSlope = ds_number(plan.intercept), ds_number(plan.slope)
    set_sequence(image, plan, place.echo)
    first = float(plan.slice_times_s[:, place.frame].min())
    clock = plan.clock(first)
    image.AcquisitionDate, image.AcquisitionTime = da(clock), tm(clock)
    image.ContentDate, image.ContentTime = image.AcquisitionDate, image.AcquisitionTime
    image.AcquisitionNumber = place.frame + 1
    delays = 1e3 * (plan.slice_times_s[:, place.frame] - first)
    private = image.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    private.add_new(0x0A, "US", slices)
    private.add_new(0x29, "FD", [float(value) for value in delays])
    normal = step / np.linalg.norm(step)
    csa = csa_header(slices, (rows, columns), normal, delays)
    image.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa)
    return image


def tiled(slices: list[NDArray[np.uint16]]) -> NDArray[np.uint16]:
    """Put slices side by side, row by row.

    Parameters
    ----------
    slices : list of ndarray of uint16, shape (rows, columns)
        Stored values.

    Returns
    -------
    ndarray of uint16
        ceil(sqrt(n)) slices per row and column; unused places are 0.
    """
    side = int(np.ceil(np.sqrt(len(slices))))
    rows, columns = slices[0].shape
    picture = np.zeros((side * rows, side * columns), np.uint16)
    for n, values in enumerate(slices):
        row, column = (n // side) * rows, (n % side) * columns
        picture[row : row + rows, column : column + columns] = values
    return picture


def csa_header(slices: int, matrix: tuple[int, int], normal: FloatArray, delays_ms: FloatArray) -> bytes:
    """Make the private list of named values (second form).

    Parameters
    ----------
    slices : int
        Number of slices in the mosaic.
    matrix : tuple of int
        Rows and columns of a slice.
    normal : ndarray, shape (3,)
        Direction from slice to slice in LPS.
    delays_ms : ndarray, shape (slices,), ms
        Time of each slice after the first.

    Returns
    -------
    bytes
        As the scanner stores it.
    """
    entries = [
        _entry("NumberOfImagesInMosaic", b"US", [str(slices)]),
        _entry("AcquisitionMatrixText", b"SH", [f"{matrix[0]}*{matrix[1]}"]),
        _entry("SliceNormalVector", b"FD", [f"{value:.8f}" for value in normal]),
        _entry("MosaicRefAcqTimes", b"FD", [f"{value:.8f}" for value in delays_ms]),
    ]
    return b"SV10\x04\x03\x02\x01" + struct.pack("<II", len(entries), _CHECK) + b"".join(entries)


def _entry(name: str, kind: bytes, items: list[str]) -> bytes:
    head = name.encode().ljust(64, b"\0") + struct.pack("<i", len(items)) + kind.ljust(4, b"\0")
    body = head + struct.pack("<iii", 0, len(items), _CHECK)
    for text in items:
        content = text.encode() + b"\0"
        size = len(content)
        body += struct.pack("<iiii", size, size, _CHECK, size) + content.ljust(-(-size // 4) * 4, b"\0")
    return body
