# SPDX-License-Identifier: Apache-2.0
"""Pictures (PNG, JPEG, TIFF, BMP) as plain RGB arrays and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.files import written_beside

RgbImage = NDArray[np.uint8]


def read_picture(path: str | Path) -> RgbImage:
    """Read a picture.

    Parameters
    ----------
    path : path-like
        PNG, JPEG, TIFF or BMP; gray, color, with transparency (shown on black) or 16 bits per channel.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
        Red, green, blue.

    Raises
    ------
    InvalidInputError
        If the file is missing or no picture.
    """
    name = Path(path).name
    if not Path(path).is_file():
        msg = f"The picture '{name}' does not exist. Check the spelling of the path."
        raise InvalidInputError(msg)
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        msg = f"'{name}' cannot be read as a picture. Save it as PNG or JPEG."
        raise InvalidInputError(msg) from error
    return as_rgb(values, name)


def as_rgb(values: NDArray[Any], name: str = "The picture") -> RgbImage:
    """Bring an array of gray or color values to 8-bit RGB.

    Parameters
    ----------
    values : ndarray, shape (rows, columns) or (rows, columns, 1 to 4)
        Whole numbers of 8 or 16 bits, or fractions between 0 and 1.
    name : str
        What it is called in a message.

    Returns
    -------
    ndarray of uint8, shape (rows, columns, 3)
        Red, green, blue.

    Raises
    ------
    InvalidInputError
        If it is not a single picture.
    """
    values = values[0] if values.ndim == 4 and values.shape[0] == 1 else values
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in {1, 2, 3, 4} or 0 in values.shape:
        msg = f"{name} has shape {values.shape}, which is not one picture. Give a PNG or JPEG with one picture."
        raise InvalidInputError(msg)
    largest = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    if largest != 255.0:
        values = np.clip(np.rint(values.astype(np.float64) * (255.0 / largest)), 0, 255).astype(np.uint8)
    colors = values[..., :3] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, axis=2)
    if values.shape[2] in {2, 4}:
        opacity = values[..., -1:].astype(np.float64) / 255.0
        colors = np.rint(colors * opacity).astype(np.uint8)
    return np.ascontiguousarray(colors, np.uint8)


def write_mask_picture(path: str | Path, mask: NDArray[Any]) -> Path:
    """Write a mask as a black and white PNG, atomically.

    Parameters
    ----------
    path : path-like
        The file.
    mask : ndarray of bool, shape (rows, columns)
        White where set.

    Returns
    -------
    Path
        The file.
    """
    with written_beside(path) as temporary:
        sitk.WriteImage(sitk.GetImageFromArray(np.where(mask, 255, 0).astype(np.uint8)), str(temporary))
    return Path(path)
