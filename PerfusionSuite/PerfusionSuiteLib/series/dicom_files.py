# SPDX-License-Identifier: Apache-2.0
"""Read the headers of many DICOM files: only the tags that are needed, and where the pixels lie."""

from __future__ import annotations

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from ..core.progress import ProgressCallback, no_progress
from .asl_dicom_tags import ASL_TAGS
from .dicom_enhanced import frame_headers
from .dicom_headers import ImageHeader, PixelLayout, classic_header
from .dicom_mosaic import slice_headers
from .dicom_private import PRIVATE_TAGS

_NAMES = (
    "AcquisitionDate", "AcquisitionDateTime", "AcquisitionNumber", "AcquisitionTime", "BitsAllocated", "BitsStored",
    "Columns", "ContentDate", "ContentTime", "ConvolutionKernel", "EchoNumbers", "EchoTime", "FlipAngle", "FrameOfReferenceUID",
    "ImageOrientationPatient", "ImagePositionPatient", "ImageType", "InstanceNumber", "KVP", "MagneticFieldStrength",
    "Manufacturer", "ManufacturerModelName", "Modality", "NumberOfFrames", "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation", "PixelRepresentation", "PixelSpacing", "RepetitionTime", "RescaleIntercept", "RescaleSlope",
    "Rows", "SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "SeriesDate", "SeriesInstanceUID", "SeriesNumber",
    "SharedFunctionalGroupsSequence", "SliceLocation", "SliceThickness", "SpacingBetweenSlices", "StudyInstanceUID",
    "TemporalPositionIdentifier", "TemporalResolution", "TriggerTime",
)  # fmt: skip
_TAGS: list[Any] = [*_NAMES, *PRIVATE_TAGS, *ASL_TAGS]
_UNDEFINED = 0xFFFFFFFF
_LITTLE_ENDIAN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}
_READ_ERRORS = (
    struct.error,
    InvalidDicomError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class FoundHeaders:
    """What DICOM files hold.

    Parameters
    ----------
    headers : list of ImageHeader
        One per image.
    unreadable : list of Path
        Files that could not be parsed.
    without_image : int
        Number of other files: reports, DICOMDIR.
    """

    headers: list[ImageHeader]
    unreadable: list[Path]
    without_image: int


def read_headers(paths: tuple[Path, ...], progress: ProgressCallback | None = None) -> FoundHeaders:
    """Read the headers of many files.

    Parameters
    ----------
    paths : tuple of Path
        Files that look like DICOM.
    progress : callable, optional
        Called between blocks of files.

    Returns
    -------
    FoundHeaders
        Headers of images, and what is none.
    """
    report = progress or no_progress
    headers: list[ImageHeader] = []
    unreadable: list[Path] = []
    without_image = 0
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("ignore")  # odd values in a header are judged by their own checks
        for number, (path, found) in enumerate(zip(paths, pool.map(_read_file, paths), strict=True)):
            if found is None:
                unreadable.append(path)
            else:
                headers += found
                without_image += not found
            if number % 128 == 0:
                report(number / len(paths), "Reading headers")
    return FoundHeaders(headers, unreadable, without_image)


def _read_file(path: Path) -> list[ImageHeader] | None:
    try:
        with path.open("rb") as stream:
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            if "SOPClassUID" not in dataset or "Rows" not in dataset:
                # A damaged file and a report look alike here; only the former lacks a class.
                return [] if "SOPClassUID" in dataset or "MediaStorageSOPClassUID" in dataset.file_meta else None
            layout = _pixel_layout(dataset, stream, path)
        if "PerFrameFunctionalGroupsSequence" in dataset:
            return frame_headers(dataset, layout)
        header = classic_header(dataset, layout)
        return slice_headers(dataset, header) if "MOSAIC" in header.image_type else [header]
    except _READ_ERRORS:
        return None


def _pixel_layout(dataset: Dataset, stream: BinaryIO, path: Path) -> PixelLayout:
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) or "1.2.840.10008.1.2"
    offset, length = -1, 0
    if syntax in _LITTLE_ENDIAN:
        offset, length = _uncompressed_pixels(stream, explicit=syntax.endswith(".2.1"))
    return PixelLayout(
        path,
        syntax,
        int(dataset.Rows),
        int(dataset.Columns),
        int(dataset.get("SamplesPerPixel", 1)),
        int(dataset.get("BitsAllocated", 16)),
        int(dataset.get("BitsStored", dataset.get("BitsAllocated", 16))),
        bool(int(dataset.get("PixelRepresentation", 0))),
        offset,
        length,
        int(dataset.get("NumberOfFrames", 1) or 1),
    )


def _uncompressed_pixels(stream: BinaryIO, *, explicit: bool) -> tuple[int, int]:
    """Say where pixels begin, with the stream standing at their tag."""
    start = stream.read(12 if explicit else 8)
    if start[:4] != b"\xe0\x7f\x10\x00" or len(start) < 8:
        return -1, 0
    (length,) = struct.unpack("<I", start[-4:])
    return (-1, 0) if length == _UNDEFINED else (stream.tell(), length)
