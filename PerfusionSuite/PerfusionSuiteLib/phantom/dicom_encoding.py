# SPDX-License-Identifier: Apache-2.0
"""Store the pixels of a DICOM phantom in one of the encodings that scanners and archives use."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from ..core.files import written_beside
from .jpeg import jpeg_lossless

ENCODINGS: dict[str, UID] = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "jpeg-lossless": JPEGLosslessSV1,
    "rle": RLELossless,
}
"""Transfer syntaxes by name."""


def save_image(image: Dataset, pixels: list[NDArray[np.uint16]], path: Path, encoding: str) -> None:
    """Write a DICOM file.

    Parameters
    ----------
    image : Dataset
        Header; gets the pixels.
    pixels : list of ndarray of uint16, shape (rows, columns)
        One picture per frame of the file.
    path : Path
        The file.
    encoding : str
        One of `ENCODINGS`.
    """
    syntax = ENCODINGS[encoding]
    image.file_meta.TransferSyntaxUID = syntax
    if syntax.is_encapsulated:
        encode = jpeg_lossless if encoding == "jpeg-lossless" else _rle
        image.PixelData = encapsulate([encode(picture) for picture in pixels])
    else:
        order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
        image.PixelData = b"".join(picture.astype(order).tobytes() for picture in pixels)
    image["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    with written_beside(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*retired.*")  # big-endian files still lie in archives
        image.save_as(temporary, enforce_file_format=True)


def _rle(picture: NDArray[np.uint16]) -> bytes:
    encoded: bytes = get_encoder(RLELossless).encode(
        picture.astype("<u2"),
        rows=picture.shape[0],
        columns=picture.shape[1],
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=16,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
    )
    return encoded
