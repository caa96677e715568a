# SPDX-License-Identifier: Apache-2.0
"""Volumes written behind the header of another file, and series read frame by frame without holding them whole."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .errors import InvalidInputError
from .geometry import BoolArray, FloatArray
from .nifti import DATA_OFFSET, HEADER, TYPE_CODES, NiftiHeader, raw_fields, read_header, write_stored

_TEXTS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")
_SECONDS = 8
_LARGEST_AXIS = 32767


@dataclass(frozen=True, slots=True)
class SourceHeader:
    """The header of a file that another one shall share.

    Parameters
    ----------
    fields : ndarray of dtype `nifti.HEADER`, shape ()
        As NIfTI-1.
    sizes : tuple of int
        Length of every axis, those of length one included.
    spacings : tuple of float
        One per axis as stored, without regard to units.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    """

    fields: NDArray[Any]
    sizes: tuple[int, ...]
    spacings: tuple[float, ...]
    affine: FloatArray


def source_header(path: str | Path) -> SourceHeader:
    """Read the header of a file that another one shall share.

    Parameters
    ----------
    path : path-like
        A NIfTI file.

    Returns
    -------
    SourceHeader
        The header.

    Raises
    ------
    InvalidInputError
        If the file is missing, damaged or not NIfTI.
    """
    stored, _ = raw_fields(path)
    fields = np.zeros((), HEADER)
    names = cast(tuple[str, ...], stored.dtype.names)
    for name in set(cast(tuple[str, ...], HEADER.names)) & set(names):
        fields[name] = stored[name]
    fields["sizeof_hdr"], fields["magic"], fields["regular"] = 348, b"n+1", b"r"
    for name in _TEXTS:  # free texts may name the patient
        fields[name] = b""
    count = int(stored["dim"][0])
    sizes = tuple(int(size) for size in stored["dim"][1 : 1 + count])
    spacings = tuple(float(step) for step in stored["pixdim"][1 : 1 + count])
    return SourceHeader(fields, sizes, spacings, read_header(path).affine)


def write_like(
    path: str | Path, values: ArrayLike, source: SourceHeader, *, dtype: DTypeLike, step_s: float | None = None
) -> Path:
    """Write a volume with the place, orientation codes and spacings of another file.

    Parameters
    ----------
    path : path-like
        The file, ``.nii`` or ``.nii.gz``.
    values : array-like, shape (I, J, K) or (I, J, K, T)
        The numbers.
    source : SourceHeader
        Header of a file on the same voxels.
    dtype : dtype
        Type in the file.
    step_s : float, s, optional
        Spacing of the fourth axis; by default the source's fourth spacing stays, whatever it meant there.

    Returns
    -------
    Path
        The file. Scaling, display range and free texts of the source are not taken over.

    Raises
    ------
    InvalidInputError
        If the numbers cannot be stored so or the file cannot be written.
    """
    array, stored = np.asarray(values), np.dtype(dtype)
    if stored.name not in TYPE_CODES or array.ndim not in {3, 4} or max(array.shape) > _LARGEST_AXIS:
        msg = (
            f"A NIfTI volume of type {stored.name} and shape {array.shape} cannot be written. Give 3 or 4 dimensions of numbers."
        )
        raise InvalidInputError(msg)
    header = source.fields.copy()
    header["dim"] = [array.ndim, *array.shape, *[1] * (7 - array.ndim)]
    header["datatype"], header["bitpix"] = TYPE_CODES[stored.name], stored.itemsize * 8
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = DATA_OFFSET, 1.0, 0.0
    header["cal_min"] = header["cal_max"] = 0.0
    if step_s is not None:
        header["pixdim"][4] = step_s
        header["xyzt_units"] = (int(header["xyzt_units"]) & 0x07) | _SECONDS
    return write_stored(path, header, np.asarray(array, stored.newbyteorder("<")))


def read_curves(path: str | Path, mask: BoolArray) -> NDArray[np.float32]:
    """Read the curves of some voxels of a series, one frame in memory at a time.

    Parameters
    ----------
    path : path-like
        A series with the axes (I, J, K, T) or (I, J, K, 1, T).
    mask : ndarray of bool, shape (I, J, K)
        The voxels.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Their curves, voxels in C order.

    Raises
    ------
    InvalidInputError
        If the file is damaged, has other axes or lies on other voxels than the mask.
    """
    header, sizes = read_header(path), source_header(path).sizes
    if len(sizes) == 5 and sizes[3] == 1:
        sizes = (*sizes[:3], sizes[4])
    name = Path(path).name
    if len(sizes) != 4:
        msg = f"'{name}' has the axes {sizes}; a series has (I, J, K, T) or (I, J, K, 1, T). Convert it."
        raise InvalidInputError(msg)
    if sizes[:3] != mask.shape:
        msg = f"'{name}' has {sizes[:3]} voxels but the labels have {mask.shape}. Resample one to the other."
        raise InvalidInputError(msg)
    curves = np.empty((int(np.count_nonzero(mask)), sizes[3]), np.float32)
    for index, frame in enumerate(_frames(Path(path), header, sizes)):
        curves[:, index] = frame[mask]
    return curves


def _frames(path: Path, header: NiftiHeader, sizes: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    voxels = int(np.prod(sizes[:3]))
    with gzip.open(path, "rb") if header.packed else path.open("rb") as stream:
        try:
            cast(BinaryIO, stream).seek(header.offset)
            for index in range(sizes[3]):
                content = cast(BinaryIO, stream).read(voxels * header.kind.itemsize)
                if len(content) < voxels * header.kind.itemsize:
                    msg = f"'{path.name}' ends after {index} of {sizes[3]} frames. Copy or make the file again."
                    raise InvalidInputError(msg)
                frame = np.frombuffer(content, header.kind).reshape(sizes[:3], order="F")
                yield frame if (header.slope, header.intercept) == (1.0, 0.0) else frame * header.slope + header.intercept
        except (OSError, EOFError, zlib.error) as error:
            msg = f"'{path.name}' cannot be read ({error}). Check that the file is complete."
            raise InvalidInputError(msg) from error
