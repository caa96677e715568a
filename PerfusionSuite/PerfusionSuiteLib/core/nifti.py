# SPDX-License-Identifier: Apache-2.0
"""NIfTI files, written and read byte by byte: the one codec of the package.

Own code rather than an imaging library for three reasons: a sheared grid (gantry tilt) keeps its true affine,
a full disk is noticed, and equal volumes give equal files (no times, no names in the header).
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.spatial.transform import Rotation

from .errors import InvalidInputError
from .files import written_beside
from .geometry import FloatArray, check_affine, voxel_sizes

_FIELDS: list[tuple[Any, ...]] = [
    ("sizeof_hdr", "i4"), ("data_type", "S10"), ("db_name", "S18"), ("extents", "i4"), ("session_error", "i2"),
    ("regular", "S1"), ("dim_info", "u1"), ("dim", "i2", (8,)), ("intent_p", "f4", (3,)), ("intent_code", "i2"),
    ("datatype", "i2"), ("bitpix", "i2"), ("slice_start", "i2"), ("pixdim", "f4", (8,)), ("vox_offset", "f4"),
    ("scl_slope", "f4"), ("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "u1"), ("xyzt_units", "u1"),
    ("cal_max", "f4"), ("cal_min", "f4"), ("slice_duration", "f4"), ("toffset", "f4"), ("glmax", "i4"), ("glmin", "i4"),
    ("descrip", "S80"), ("aux_file", "S24"), ("qform_code", "i2"), ("sform_code", "i2"), ("quatern", "f4", (3,)),
    ("qoffset", "f4", (3,)), ("srow", "f4", (3, 4)), ("intent_name", "S16"), ("magic", "S4"),
]  # fmt: skip
_FIELDS_2: list[tuple[Any, ...]] = [
    ("sizeof_hdr", "i4"), ("magic", "S8"), ("datatype", "i2"), ("bitpix", "i2"), ("dim", "i8", (8,)), ("intent_p", "f8", (3,)),
    ("pixdim", "f8", (8,)), ("vox_offset", "i8"), ("scl_slope", "f8"), ("scl_inter", "f8"), ("cal_max", "f8"), ("cal_min", "f8"),
    ("slice_duration", "f8"), ("toffset", "f8"), ("slice_start", "i8"), ("slice_end", "i8"), ("descrip", "S80"),
    ("aux_file", "S24"), ("qform_code", "i4"), ("sform_code", "i4"), ("quatern", "f8", (3,)), ("qoffset", "f8", (3,)),
    ("srow", "f8", (3, 4)), ("slice_code", "i4"), ("xyzt_units", "i4"), ("intent_code", "i4"), ("intent_name", "S16"),
    ("dim_info", "u1"), ("unused", "S15"),
]  # fmt: skip
HEADER = np.dtype(_FIELDS).newbyteorder("<")
"""Fields of a NIfTI-1 header."""
_LAYOUTS = {348: HEADER, 540: np.dtype(_FIELDS_2).newbyteorder("<")}
TYPE_CODES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512, "uint32": 768}
_TYPES = {**{code: name for name, code in TYPE_CODES.items()}, 1024: "int64", 1280: "uint64"}
DATA_OFFSET = 352
_MILLIMETERS = 2
_SECONDS = 8
_TIME_UNITS = {8: 1.0, 16: 1e-3, 24: 1e-6}
_SPACE_UNITS = {1: 1000.0, 2: 1.0, 3: 1e-3}
_SCANNER_ANATOMICAL = 1


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What a NIfTI file says about itself.

    Parameters
    ----------
    shape : tuple of int
        Array shape, trailing axes of length one removed down to three.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS: the sform where present, else the qform, else the voxel sizes alone.
    placed : bool
        False when neither sform nor qform is given, so that the orientation is unknown.
    interval_s : float, s, or None
        Step of the fourth axis, only when the header names its unit.
    kind : dtype
        Of the stored numbers, with byte order.
    offset : int
        Bytes before them.
    packed : bool
        Whether the file is compressed.
    slope, intercept : float
        Stored number to value; 1 and 0 when they are values already.
    """

    shape: tuple[int, ...]
    affine: FloatArray
    placed: bool
    interval_s: float | None
    kind: np.dtype[Any]
    offset: int
    packed: bool
    slope: float
    intercept: float


def write_volume(
    path: str | Path,
    values: ArrayLike,
    affine: ArrayLike,
    *,
    dtype: DTypeLike = np.float32,
    description: str = "",
    unit: str = "",
    display_range: tuple[float, float] | None = None,
    interval_s: float | None = None,
) -> Path:
    """Write a volume as NIfTI-1 (``.nii`` or ``.nii.gz``), atomically.

    Parameters
    ----------
    path : path-like
        The file; compressed when the name ends in ``.gz``.
    values : array-like, shape (I, J, K) or (I, J, K, T)
        The numbers; NaN is allowed for float types.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS. It is stored exactly in the sform; the qform is filled too unless the grid is sheared,
        which a qform cannot express.
    dtype : dtype
        Type in the file.
    description : str
        Up to 79 characters; never an identifier of a patient.
    unit : str
        Unit of the numbers, up to 15 characters (header field ``intent_name``).
    display_range : tuple of float, optional
        Window that viewers start with (``cal_min``, ``cal_max``).
    interval_s : float, s, optional
        Step of the fourth axis, when it is uniform in time.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If the affine is unusable, the type is unsupported or the file cannot be written.
    """
    array = np.asarray(values)
    stored = np.dtype(dtype)
    if stored.name not in TYPE_CODES or array.ndim not in {3, 4}:
        msg = (
            f"A NIfTI volume of type {stored.name} and shape {array.shape} cannot be written. Give 3 or 4 dimensions of numbers."
        )
        raise InvalidInputError(msg)
    header = _new_header(array.shape, stored, check_affine(affine))
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header["intent_name"] = unit.encode("ascii", "replace")[:15]
    if display_range is not None:
        header["cal_min"], header["cal_max"] = display_range
    if interval_s is not None:
        header["pixdim"][4], header["xyzt_units"] = interval_s, _MILLIMETERS + _SECONDS
    return write_stored(path, header, np.asarray(array, stored.newbyteorder("<")))


def write_stored(path: str | Path, header: NDArray[Any], content: NDArray[Any]) -> Path:
    """Write numbers behind a NIfTI-1 header that describes them, atomically.

    Parameters
    ----------
    path : path-like
        The file; compressed when the name ends in ``.gz``.
    header : ndarray of dtype `HEADER`, shape ()
        The header.
    content : ndarray
        Little-endian numbers of the header's type and shape.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If the file cannot be written.
    """
    head = header.tobytes() + b"\0" * (DATA_OFFSET - HEADER.itemsize)
    with written_beside(path) as temporary, temporary.open("wb") as raw:
        if str(path).endswith(".gz"):
            # Without a name and a time in it, equal volumes give equal files.
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=4, mtime=0) as packed:
                _write_body(cast(BinaryIO, packed), head, content)
        else:
            _write_body(raw, head, content)
    return Path(path)


def _write_body(stream: BinaryIO, header: bytes, content: NDArray[Any]) -> None:
    stream.write(header)
    # Written from where it lies: a copy as bytes would need the memory of the scan once more.
    stream.write(np.asfortranarray(content).T.data.cast("B"))


def _new_header(shape: tuple[int, ...], stored: np.dtype[Any], affine: FloatArray) -> NDArray[Any]:
    sizes = voxel_sizes(affine)
    header = np.zeros((), HEADER)
    header["sizeof_hdr"], header["regular"], header["magic"] = 348, b"r", b"n+1"
    header["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    header["datatype"], header["bitpix"] = TYPE_CODES[stored.name], stored.itemsize * 8
    header["vox_offset"], header["scl_slope"], header["xyzt_units"] = DATA_OFFSET, 1.0, _MILLIMETERS
    header["sform_code"], header["srow"] = _SCANNER_ANATOMICAL, affine[:3]
    header["pixdim"] = [1.0, *sizes, 1.0, 1.0, 1.0, 1.0]
    rotation = affine[:3, :3] / sizes
    if np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-4):
        handed = float(np.sign(np.linalg.det(rotation)))
        x, y, z, w = Rotation.from_matrix(rotation * [1.0, 1.0, handed]).as_quat()
        header["quatern"] = np.array([x, y, z]) * (1.0 if w >= 0 else -1.0)
        header["pixdim"][0] = handed
        header["qform_code"], header["qoffset"] = _SCANNER_ANATOMICAL, affine[:3, 3]
    return header


def read_header(path: str | Path) -> NiftiHeader:
    """Read only the header of a NIfTI file.

    Parameters
    ----------
    path : path-like
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    NiftiHeader
        Shape, place and time step.

    Raises
    ------
    InvalidInputError
        If the file is missing, damaged or not NIfTI.
    """
    return _describe(*raw_fields(path))


def raw_fields(path: str | Path) -> tuple[NDArray[Any], bool]:
    """Read the fields of a NIfTI header as they are stored.

    Parameters
    ----------
    path : path-like
        A ``.nii`` or ``.nii.gz`` file (NIfTI-1 or NIfTI-2).

    Returns
    -------
    header : ndarray, shape ()
        The fields under their names in the standard.
    packed : bool
        Whether the file is compressed.

    Raises
    ------
    InvalidInputError
        If the file is missing, damaged or not NIfTI.
    """
    name = Path(path).name
    try:
        with Path(path).open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        if packed:
            with gzip.open(path) as unpacked:
                content = unpacked.read(544)
        else:
            with Path(path).open("rb") as stream:
                content = stream.read(544)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(name, error) from error
    return _parse_header(content, name), packed


def read_volume(path: str | Path) -> tuple[NDArray[Any], FloatArray]:
    """Read a NIfTI volume with its true affine, sheared grids included.

    Parameters
    ----------
    path : path-like
        A ``.nii`` or ``.nii.gz`` file (NIfTI-1 or NIfTI-2).

    Returns
    -------
    values : ndarray, shape (I, J, K) or (I, J, K, T)
        In the type of the file, or float32 when the header rescales them.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS: the sform where present, else the qform, else the voxel sizes alone.

    Raises
    ------
    InvalidInputError
        If the file is missing, damaged or not NIfTI.
    """
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(name, error) from error
    header = _parse_header(content, name)
    described = _describe(header)
    kind, start, count = described.kind, described.offset, int(np.prod(described.shape))
    if len(content) < start + count * kind.itemsize:
        msg = f"'{name}' ends early: {len(content)} of {start + count * kind.itemsize} bytes. Copy or make the file again."
        raise InvalidInputError(msg)
    values = np.frombuffer(content, kind, count, start).reshape(described.shape, order="F")
    values = values.astype(kind.newbyteorder("="))
    if (described.slope, described.intercept) != (1.0, 0.0):
        values = (values * np.float64(described.slope) + described.intercept).astype(np.float32)
    return values, described.affine


def _unreadable(name: str, error: BaseException) -> InvalidInputError:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidInputError(f"'{name}' cannot be read ({reason}). Check that the file exists and is complete.")


def _parse_header(content: bytes, name: str) -> NDArray[Any]:
    for size, layout in _LAYOUTS.items():
        for order in "<>":
            if len(content) < layout.itemsize:
                continue
            header = np.frombuffer(content, layout.newbyteorder(cast(Any, order)), 1)[0]
            if header["sizeof_hdr"] == size and int(header["datatype"]) in _TYPES and 1 <= header["dim"][0] <= 7:
                _check_layout(header, size, name)
                return cast(NDArray[Any], header)
    msg = f"'{name}' is not a NIfTI volume of a numeric type. Convert it to .nii or .nii.gz."
    raise InvalidInputError(msg)


def _check_layout(header: NDArray[Any], size: int, name: str) -> None:
    """Refuse headers that would let numbers be read from the wrong place."""
    sizes = header["dim"][1 : 1 + int(header["dim"][0])]
    if float(header["vox_offset"]) < size or (sizes < 1).any():
        msg = (
            f"The NIfTI header of '{name}' contradicts itself (size {' x '.join(str(n) for n in sizes)}, numbers from byte "
            f"{float(header['vox_offset']):g}). Convert the scan again."
        )
        raise InvalidInputError(msg)


def _describe(header: NDArray[Any], packed: bool = False) -> NiftiHeader:
    units = int(header["xyzt_units"])
    shape = [int(n) for n in header["dim"][1 : 1 + int(header["dim"][0])]]
    shape += [1] * (3 - len(shape))
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    placed = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    step = float(header["pixdim"][4]) * _TIME_UNITS.get(units & 0x38, 0.0)
    affine = np.diag([*[_SPACE_UNITS.get(units & 0x07, 1.0)] * 3, 1.0]) @ _affine_of(header)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or not np.isfinite(intercept) or slope == 0.0:
        # A slope of 0 (or NaN, as some writers leave it) means that the numbers are stored as they are.
        slope, intercept = 1.0, 0.0
    return NiftiHeader(
        tuple(shape),
        check_affine(affine),
        placed,
        step if step > 0 and np.isfinite(step) else None,
        np.dtype(_TYPES[int(header["datatype"])]).newbyteorder(header.dtype["dim"].base.byteorder),
        int(header["vox_offset"]),
        packed,
        slope,
        intercept,
    )


def _affine_of(header: NDArray[Any]) -> FloatArray:
    affine = np.eye(4)
    pixdim = header["pixdim"].astype(float)
    if header["sform_code"] > 0:
        affine[:3] = header["srow"]
    elif header["qform_code"] > 0:
        vector = header["quatern"].astype(float)
        scalar = np.sqrt(max(0.0, 1.0 - float(vector @ vector)))
        rotation = Rotation.from_quat([*vector, scalar]).as_matrix()
        affine[:3, :3] = rotation * pixdim[1:4] * [1.0, 1.0, -1.0 if pixdim[0] < 0 else 1.0]
        affine[:3, 3] = header["qoffset"]
    else:
        affine[:3, :3] = np.diag(pixdim[1:4])
    return affine
