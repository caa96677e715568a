# SPDX-License-Identifier: Apache-2.0
"""Pixels of one DICOM frame as stored numbers: read directly when uncompressed, decoded by GDCM otherwise."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, RLELossless, generate_uid

from .dicom_headers import ImageHeader, PixelLayout

_DECODE_ERRORS = (
    RuntimeError,
    ValueError,
    OSError,
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    EOFError,
    NotImplementedError,
)


class FrameReader:
    """Reads frames of many files; keeps what it last took apart: code streams of a multi-frame file, picture of a mosaic."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._streams: tuple[Path | None, list[bytes]] = (None, [])
        self._mosaic: tuple[Path | None, NDArray[Any] | None] = (None, None)

    def stored(self, header: ImageHeader) -> NDArray[Any] | None:
        """Return the stored values of one image.

        Parameters
        ----------
        header : ImageHeader
            Which image.

        Returns
        -------
        ndarray of int, shape (rows, columns), or None
            None when the file is cut off or its compression cannot be decoded.
        """
        tile = header.tile
        if tile is None:
            return self._picture(header)
        with self._lock:
            if self._mosaic[0] != header.pixels.path:
                self._mosaic = (header.pixels.path, self._picture(header))
            picture = self._mosaic[1]
        return None if picture is None else picture[tile.row : tile.row + tile.rows, tile.column : tile.column + tile.columns]

    def _picture(self, header: ImageHeader) -> NDArray[Any] | None:
        """Return the stored values of one frame of a file."""
        layout = header.pixels
        if layout.samples != 1 or layout.bits_allocated not in {8, 16, 32}:
            return None
        try:
            if layout.offset >= 0:
                values = _direct(layout, header.frame)
            elif layout.transfer_syntax == RLELossless:
                values = _by_pydicom(layout, self._code_stream(layout, header.frame))
            elif UID(layout.transfer_syntax).is_encapsulated:
                return _decoded(layout, self._code_stream(layout, header.frame))
            else:
                values = _raw(layout, self._code_stream(layout, header.frame))
        except _DECODE_ERRORS:
            return None
        return None if values is None else _used_bits(values, layout)

    def _code_stream(self, layout: PixelLayout, frame: int) -> bytes:
        if layout.frames == 1:  # files of one frame never meet the lock, so that threads do not wait for each other
            return _code_streams(layout)[0]
        with self._lock:
            if self._streams[0] != layout.path:
                self._streams = (layout.path, _code_streams(layout))
            return self._streams[1][frame]


def _code_streams(layout: PixelLayout) -> list[bytes]:
    """Bytes of each frame of a file, compressed or not."""
    content = pydicom.dcmread(layout.path, specific_tags=["PixelData"]).PixelData
    if UID(layout.transfer_syntax).is_encapsulated:
        return list(generate_frames(content, number_of_frames=layout.frames))
    size = layout.rows * layout.columns * layout.bits_allocated // 8
    return [content[n * size : (n + 1) * size] for n in range(layout.frames)]


def _kind(layout: PixelLayout) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}")


def _direct(layout: PixelLayout, frame: int) -> NDArray[Any] | None:
    kind, count = _kind(layout), layout.rows * layout.columns
    with layout.path.open("rb") as stream:
        stream.seek(layout.offset + frame * count * kind.itemsize)
        values = np.fromfile(stream, kind, count)
    if values.size < count or (frame + 1) * count * kind.itemsize > layout.length:
        return None
    return values.reshape(layout.rows, layout.columns)


def _used_bits(values: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Clear bits above those in use, where old scanners kept overlays."""
    spare = layout.bits_allocated - layout.bits_stored
    if spare <= 0:
        return values
    return (values << spare) >> spare


def _raw(layout: PixelLayout, content: bytes) -> NDArray[Any] | None:
    """Uncompressed pixels of a file whose offset is not known: big-endian or deflated as a whole."""
    big = layout.transfer_syntax == ExplicitVRBigEndian
    if big and layout.bits_allocated == 8:  # bytes lie swapped in pairs
        content = np.frombuffer(content, "<u2").byteswap().tobytes()
    kind = _kind(layout).newbyteorder(">" if big else "<")
    values = np.frombuffer(content, kind)
    if values.size != layout.rows * layout.columns:
        return None
    return values.astype(kind.newbyteorder("=")).reshape(layout.rows, layout.columns)


def _by_pydicom(layout: PixelLayout, stream: bytes) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pixel_array(_minimal(layout, stream), raw=True)


def _decoded(layout: PixelLayout, stream: bytes) -> NDArray[Any]:
    """Decode one frame by wrapping its code stream into a minimal file.

    Only so does GDCM return stored values: of the original it would apply one rescaling to all frames.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.dcm")
        _minimal(layout, stream).save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        values = sitk.GetArrayFromImage(reader.Execute())
    return np.asarray(values).reshape(layout.rows, layout.columns)


def _minimal(layout: PixelLayout, stream: bytes) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(layout.transfer_syntax)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = layout.rows, layout.columns
    image.BitsAllocated, image.BitsStored = layout.bits_allocated, layout.bits_stored
    image.HighBit, image.PixelRepresentation = layout.bits_stored - 1, int(layout.signed)
    image.PixelData = encapsulate([stream])
    image["PixelData"].VR = "OB"
    return image
