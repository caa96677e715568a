# SPDX-License-Identifier: Apache-2.0
"""Headers of DICOM images: only the tags that are needed, one `ImageHeader` per stored frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from ..core.geometry import FloatArray
from .asl_dicom_tags import asl_of
from .dicom_clock import seconds_of_date, seconds_of_datetime, seconds_of_time
from .dicom_private import private_clocks

PLACED_BY_LOCATION = "placed_by_slice_location"
"""Key in `ImageHeader.details` of images without a position."""


@dataclass(slots=True)
class PixelLayout:
    """How the pixels of a file are stored.

    Parameters
    ----------
    path : Path
        The file.
    transfer_syntax : str
        UID of the encoding.
    rows, columns, samples, bits_allocated, bits_stored : int
        As in the header.
    signed : bool
        Whether stored values have a sign.
    offset : int
        Where uncompressed pixels begin, -1 when they must be decoded.
    length : int
        Bytes of pixels, 0 when undefined.
    frames : int
        Number of stored frames.
    """

    path: Path
    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    offset: int
    length: int
    frames: int


@dataclass(frozen=True, slots=True)
class Tile:
    """The part of a picture that is one slice.

    Parameters
    ----------
    row, column : int
        First row and column.
    rows, columns : int
        Size.
    """

    row: int
    column: int
    rows: int
    columns: int


@dataclass(slots=True)
class ImageHeader:
    """One image: where it lies, when it was taken, how it is stored.

    Parameters
    ----------
    pixels : PixelLayout
        Shared by all frames of a file.
    frame : int
        Index within the file.
    tile : Tile or None
        Part of the picture, of a mosaic.
    sop_uid, series_uid, study_uid, frame_of_reference_uid : str
        Identifiers of the objects.
    modality, photometric : str
        As in the header.
    image_type : tuple of str
        As in the header.
    position : tuple of float or None, mm
        Center of the first pixel in LPS.
    orientation : tuple of float or None
        Directions of a row and of a column in LPS.
    spacing : tuple of float or None, mm
        Between rows and between columns.
    thickness, slice_spacing : float, mm
        NaN when absent.
    slope, intercept : float
        Rescaling of stored values.
    rescaled : bool
        Whether the header says how to rescale.
    kernel : str
        Reconstruction kernel.
    echo_time_ms, repetition_time_ms : float
        NaN for CT.
    echo : int
        Number of the echo; -1 when absent.
    instance, acquisition : int
        Numbers; -1 when absent.
    temporal_resolution_s : float
        NaN when absent.
    manufacturer : str
        As in the header.
    clocks : dict of str to float, s
        Whatever tells the time of this image, by the name of its source.
    details : dict
        Further technical values.
    asl : dict
        What an MR image says about arterial spin labeling, see `asl_dicom_tags.asl_of`.
    """

    pixels: PixelLayout
    frame: int = 0
    tile: Tile | None = None
    sop_uid: str = ""
    series_uid: str = ""
    study_uid: str = ""
    frame_of_reference_uid: str = ""
    modality: str = ""
    photometric: str = "MONOCHROME2"
    image_type: tuple[str, ...] = ()
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    spacing: tuple[float, ...] | None = None
    thickness: float = float("nan")
    slice_spacing: float = float("nan")
    slope: float = 1.0
    intercept: float = 0.0
    rescaled: bool = False
    kernel: str = ""
    echo_time_ms: float = float("nan")
    repetition_time_ms: float = float("nan")
    echo: int = -1
    instance: int = -1
    acquisition: int = -1
    temporal_resolution_s: float = float("nan")
    manufacturer: str = ""
    clocks: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    asl: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        """Columns of the slice."""
        return self.pixels.columns if self.tile is None else self.tile.columns

    @property
    def rows(self) -> int:
        """Rows of the slice."""
        return self.pixels.rows if self.tile is None else self.tile.rows


def classic_header(dataset: Dataset, layout: PixelLayout) -> ImageHeader:
    """Read what the top level of a data set says about its image.

    Parameters
    ----------
    dataset : Dataset
        The file.
    layout : PixelLayout
        Its pixels.

    Returns
    -------
    ImageHeader
        For a multi-frame file, the values that all frames share.
    """
    header = ImageHeader(layout)
    header.sop_uid, header.series_uid = text(dataset, "SOPInstanceUID"), text(dataset, "SeriesInstanceUID")
    header.study_uid, header.frame_of_reference_uid = text(dataset, "StudyInstanceUID"), text(dataset, "FrameOfReferenceUID")
    header.modality, header.photometric = text(dataset, "Modality"), text(dataset, "PhotometricInterpretation") or "MONOCHROME2"
    header.image_type = tuple(str(item).upper() for item in (dataset.get("ImageType") or []))
    header.position, header.orientation = (
        floats(dataset, "ImagePositionPatient", 3),
        floats(dataset, "ImageOrientationPatient", 6),
    )
    if header.position is None:
        _place_by_slice_location(header, dataset)
    header.spacing = floats(dataset, "PixelSpacing", 2)
    header.thickness, header.slice_spacing = number(dataset, "SliceThickness"), number(dataset, "SpacingBetweenSlices")
    header.kernel, header.manufacturer = text(dataset, "ConvolutionKernel"), text(dataset, "Manufacturer")
    header.echo_time_ms, header.repetition_time_ms = number(dataset, "EchoTime"), number(dataset, "RepetitionTime")
    header.echo = whole(dataset, "EchoNumbers")
    header.instance, header.acquisition = whole(dataset, "InstanceNumber"), whole(dataset, "AcquisitionNumber")
    header.temporal_resolution_s = number(dataset, "TemporalResolution") / 1000.0
    set_rescale(header, dataset)
    _set_clocks(header, dataset)
    for name, key in (("KVP", "kvp"), ("MagneticFieldStrength", "field_strength_t"), ("FlipAngle", "flip_angle_deg")):
        value = number(dataset, name)
        if value == value:
            header.details[key] = value
    model = text(dataset, "ManufacturerModelName")
    if model:
        header.details["model"] = model
    if header.modality == "MR":
        header.asl = asl_of(dataset)
    return header


def _place_by_slice_location(header: ImageHeader, dataset: Dataset) -> None:
    """Put an image whose position was removed where its slice location says along the normal."""
    directions, location = orientation_of(header), number(dataset, "SliceLocation")
    if directions is not None and location == location:
        header.position = tuple(float(x) for x in directions[2] * location)
        header.details[PLACED_BY_LOCATION] = True


def set_rescale(header: ImageHeader, item: Dataset) -> None:
    """Take slope and intercept from a data set that has them.

    Parameters
    ----------
    header : ImageHeader
        Gets the values.
    item : Dataset
        Top level or functional group.
    """
    slope, intercept = number(item, "RescaleSlope"), number(item, "RescaleIntercept")
    if slope == slope and intercept == intercept and slope != 0.0:
        header.slope, header.intercept, header.rescaled = slope, intercept, True


def _set_clocks(header: ImageHeader, dataset: Dataset) -> None:
    clocks = {
        "acquisition_datetime": seconds_of_datetime(dataset.get("AcquisitionDateTime", "")),
        "acquisition_time": seconds_of_date(dataset.get("AcquisitionDate", ""))
        + seconds_of_time(dataset.get("AcquisitionTime", "")),
        "content_time": seconds_of_date(dataset.get("ContentDate", "")) + seconds_of_time(dataset.get("ContentTime", "")),
        "trigger_time": number(dataset, "TriggerTime") / 1000.0,
        "temporal_position": number(dataset, "TemporalPositionIdentifier"),
        **private_clocks(dataset),
    }
    header.clocks = {name: value for name, value in clocks.items() if value == value}


def text(item: Dataset, name: str) -> str:
    """Return a value as text, empty when absent; of several values the first.

    Parameters
    ----------
    item : Dataset
        Where to look.
    name : str
        Keyword of the element.

    Returns
    -------
    str
        The text.
    """
    value = item.get(name)
    if isinstance(value, pydicom.multival.MultiValue):
        value = value[0] if len(value) else None
    return "" if value is None else str(value).strip("\0 ")


def number(item: Dataset, name: str) -> float:
    """Return a value as a number, NaN when absent or unreadable.

    Parameters
    ----------
    item : Dataset
        Where to look.
    name : str
        Keyword of the element.

    Returns
    -------
    float
        The number.
    """
    try:
        return float(text(item, name) or "nan")
    except ValueError:
        return float("nan")


def whole(item: Dataset, name: str) -> int:
    """Return a whole number, -1 when absent or unreadable.

    Parameters
    ----------
    item : Dataset
        Where to look.
    name : str
        Keyword of the element.

    Returns
    -------
    int
        The number.
    """
    value = number(item, name)
    return int(value) if value == value else -1


def floats(item: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    """Return a fixed number of values, None when they are absent or unreadable.

    Parameters
    ----------
    item : Dataset
        Where to look.
    name : str
        Keyword of the element.
    count : int
        How many values are needed.

    Returns
    -------
    tuple of float or None
        The values.
    """
    try:
        values = tuple(float(value) for value in (item.get(name) or ()))
    except (ValueError, TypeError):
        return None
    return values if len(values) == count and all(abs(value) < 1e6 for value in values) else None


def orientation_of(header: ImageHeader) -> FloatArray | None:
    """Return unit directions of rows, columns and their normal.

    Parameters
    ----------
    header : ImageHeader
        An image.

    Returns
    -------
    ndarray, shape (3, 3), or None
        One direction per row in LPS; None when absent or not perpendicular.
    """
    if header.orientation is None:
        return None
    row, column = np.array(header.orientation[:3]), np.array(header.orientation[3:])
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if min(lengths) < 0.5 or abs(float(row @ column)) > 0.01 * lengths[0] * lengths[1]:
        return None
    row, column = row / lengths[0], column / lengths[1]
    return np.stack([row, column, np.cross(row, column)])
