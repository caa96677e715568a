# SPDX-License-Identifier: Apache-2.0
"""JPEG-lossless pixels for test scans, encoded by the DICOM writer of SimpleITK."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.encaps import get_frame


def jpeg_lossless(pixels: NDArray[np.uint16]) -> bytes:
    """Encode one image losslessly (process 14, selection value 1).

    Parameters
    ----------
    pixels : ndarray of uint16, shape (rows, columns)
        Stored values.

    Returns
    -------
    bytes
        The code stream of one frame.
    """
    # The encoder only exists inside a file writer, so a file is written and taken apart again.
    image = sitk.GetImageFromArray(pixels[np.newaxis])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.dcm")
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(path))
        writer.Execute(image)
        return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
