# SPDX-License-Identifier: Apache-2.0
"""4D NRRD: sequences and multi-volumes of 3D Slicer, with their frame times.

Own parser, since imaging libraries drop the kind of each axis and the key/value pairs that hold the times.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import LPS_TO_RAS, FloatArray, check_affine
from ..core.series import Acquisition
from .candidates import SeriesCandidate
from .dicom import Scan
from .nifti import why_not
from .notes import Notes
from .nrrd_times import GIVEN, TimeFields, nrrd_times
from .raw_stream import StoredNumbers, read_numbers

_TYPES = {
    "char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32", "uint": "uint32",
    "longlong": "int64", "float": "float32", "double": "float64",
}  # fmt: skip
_SPACES = {
    "left-posterior-superior": LPS_TO_RAS, "lps": LPS_TO_RAS, "right-anterior-superior": np.eye(4), "ras": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]), "las": np.diag([-1.0, 1.0, 1.0, 1.0]),
}  # fmt: skip
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class NrrdHeader:
    """Header of a NRRD file.

    Parameters
    ----------
    fields : dict of str to str
        ``field: value`` lines, names in lower case.
    pairs : dict of str to str
        ``key:=value`` lines.
    offset : int
        Where data of the same file begin.
    sizes : tuple of int
        Length of each axis, fastest first.
    time_axis : int or None
        The axis without a direction in space.
    """

    fields: dict[str, str]
    pairs: dict[str, str]
    offset: int
    sizes: tuple[int, ...]
    time_axis: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape with time last."""
        if self.time_axis is None:
            return self.sizes
        return (*(n for axis, n in enumerate(self.sizes) if axis != self.time_axis), self.sizes[self.time_axis])


def read_nrrd_header(path: Path) -> NrrdHeader:
    """Parse the header of a NRRD file.

    Parameters
    ----------
    path : Path
        ``.nrrd``, ``.seq.nrrd`` or ``.nhdr``.

    Returns
    -------
    NrrdHeader
        Fields, pairs and axes.

    Raises
    ------
    InvalidInputError
        If it is no NRRD file.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(_HEADER_BYTES)
    except OSError as error:
        msg = f"'{path.name}' cannot be read ({error.strerror}). Check the path and the permissions."
        raise InvalidInputError(msg) from error
    ends = [place + len(mark) for mark in (b"\n\n", b"\r\n\r\n") if (place := start.find(mark)) >= 0]
    offset = min(ends, default=len(start))
    lines = start[:offset].decode("utf-8", "replace").splitlines()
    if not lines or not lines[0].startswith("NRRD"):
        msg = f"'{path.name}' is no NRRD file. Save it again from 3D Slicer."
        raise InvalidInputError(msg)
    fields, pairs = {}, {}
    for line in lines[1:]:
        if line.startswith("#"):
            continue
        key, mark, value = line.partition(":=")
        if mark:
            pairs[key.strip()] = value.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
    sizes = tuple(int(word) for word in fields.get("sizes", "").split() if word.isdigit())
    if len(sizes) < 3 or 0 in sizes or _type_of(fields) is None:
        msg = f"'{path.name}' does not hold an image of at least three axes. Choose the 4D sequence."
        raise InvalidInputError(msg)
    return NrrdHeader(fields, pairs, offset, sizes, _time_axis(fields, len(sizes)))


def _type_of(fields: dict[str, str]) -> str | None:
    """Name of the numpy type; NRRD allows several spellings of each."""
    words = fields.get("type", "").lower().replace("unsigned ", "u").replace("signed ", "").split()
    word = "".join(words).removesuffix("_t")
    if word in _TYPES.values():
        return word
    return _TYPES.get(word) or _TYPES.get(word.removesuffix("int"))


def _time_axis(fields: dict[str, str], count: int) -> int | None:
    """The axis of the frames, told by its missing direction or by its kind."""
    if count != 4:
        return None
    for axis, direction in enumerate(_split_directions(fields.get("space directions", ""))):
        if direction is None or not any(abs(value) > 0 for value in direction):
            return axis
    for axis, kind in enumerate(fields.get("kinds", "").lower().split()):
        if kind in {"list", "vector", "time", "none"}:
            return axis
    return 3


def _split_directions(text: str) -> list[list[float] | None]:
    result: list[list[float] | None] = []
    for part in text.replace("(", " (").replace(")", ") ").split("("):
        words = part.replace(")", " ").split()
        numbers: list[float] = []
        for word in words:
            if word.lower() == "none":
                result += [numbers] if numbers else []
                numbers = []
                result.append(None)
            else:
                numbers += [float(value) for value in word.split(",") if value]
        result += [numbers] if numbers else []
    return result


def nrrd_candidate(path: Path, index: int) -> SeriesCandidate:
    """Describe a NRRD file by its header.

    Parameters
    ----------
    path : Path
        The file.
    index : int
        Its number.

    Returns
    -------
    SeriesCandidate
        Not usable when it is damaged, 3D or too short.
    """
    try:
        shape = read_nrrd_header(path).shape
    except (InvalidInputError, ValueError) as error:
        return SeriesCandidate(index, "nrrd", "NRRD", "", 0, 0, (0, 0), usable=False, reason=str(error), paths=(path,))
    reason = why_not(shape)
    frames = shape[3] if len(shape) == 4 else 1
    size = (shape[0], shape[1])
    return SeriesCandidate(index, "nrrd", "NRRD", "", frames, shape[2], size, usable=not reason, reason=reason, paths=(path,))


def read_nrrd(path: Path, *, interval_s: float | None, notes: Notes) -> Scan:
    """Read a 4D NRRD file.

    Parameters
    ----------
    path : Path
        A sequence (``axis 3 index values``) or a multi-volume (``MultiVolume.FrameLabels``) of 3D Slicer, or any 4D NRRD.
    interval_s : float, s, optional
        Time between frames when the file does not say it.
    notes : Notes
        Gets decisions and findings.

    Returns
    -------
    Scan
        Data, grid and times.

    Raises
    ------
    InvalidInputError
        If the file is damaged, its encoding is not supported or no frame times are known.
    """
    header = read_nrrd_header(path)
    axis = 3 if header.time_axis is None else header.time_axis
    fields = TimeFields(
        header.pairs, tuple(_axis_unit(header, n) for n in range(4)), axis, _axis_step(header, axis), header.shape[3]
    )
    source, times = nrrd_times(fields, interval_s)
    data = _data(path, header, header.sizes, axis)
    notes.decide(f"Frame times come from {source}.")
    if times.size > 1 and not source.startswith(GIVEN):
        notes.other_interval("the NRRD file says", float(np.median(np.diff(times))), interval_s)
    slice_times = _slice_times(header, notes)
    echo, repetition, flip = (
        _number(header.pairs.get(f"MultiVolume.DICOM.{name}", "")) for name in ("EchoTime", "RepetitionTime", "FlipAngle")
    )
    modality = header.pairs.get("PerfusionSuite.Modality", "MR" if echo == echo else "")
    acquisition = Acquisition(
        time_source=source,
        slice_times_s=slice_times,
        shuttle=slice_times is not None and modality == "CT",
        echo_times_s=(echo / 1000.0,) if echo == echo else (),
        repetition_time_s=repetition / 1000.0 if repetition == repetition else None,
        details={"flip_angle_deg": flip} if flip == flip else {},
    )
    if "space" not in header.fields:
        message = "The NRRD file does not name its space; left, posterior, superior was taken, as most programs do."
        notes.find(
            "unknown_orientation", "warning", message, "Check the side in the pictures, or save the scan again from 3D Slicer."
        )
    return Scan(data, _affine(header), times, modality, rescaled=True, acquisition=acquisition, dicom={})


def read_nrrd_frame(path: Path) -> tuple[NDArray[np.float32], FloatArray]:
    """Read a 3D NRRD file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    values : ndarray of float32, shape (I, J, K)
        Values.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Raises
    ------
    InvalidInputError
        If it is damaged or its encoding is not supported.
    """
    header = read_nrrd_header(path)
    return _data(path, header, (*header.sizes, 1), 3)[..., 0], _affine(header)


def _axis_unit(header: NrrdHeader, axis: int) -> str:
    quoted = header.fields.get("units", "").split('"')[1::2]
    named = quoted[axis] if axis < len(quoted) else ""
    return named or header.pairs.get(f"axis {axis} index unit", "")


def _axis_step(header: NrrdHeader, axis: int) -> float:
    words = header.fields.get("spacings", "").split()
    return _number(words[axis]) if axis < len(words) else float("nan")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _slice_times(header: NrrdHeader, notes: Notes) -> FloatArray | None:
    """Times of our own export, one row per slice."""
    words = header.pairs.get("PerfusionSuite.SliceTimes", "").split()
    if not words:
        return None
    times = np.array([_number(word) for word in words])
    if times.size != header.shape[2] * header.shape[3] or not np.isfinite(times).all():
        msg = f"'PerfusionSuite.SliceTimes' holds {times.size} times, expected one per slice and frame. Write the file again."
        raise InvalidInputError(msg)
    notes.decide("Slices keep their own times (PerfusionSuite.SliceTimes of the NRRD file).")
    return times.reshape(header.shape[2], header.shape[3])


def _data(path: Path, header: NrrdHeader, sizes: tuple[int, ...], axis: int) -> NDArray[np.float32]:
    fields = header.fields
    separate = fields.get("data file") or fields.get("datafile")
    skipped = [fields.get(name, "0") for name in ("line skip", "lineskip", "byte skip", "byteskip")]
    if any(number not in ("", "0") for number in skipped) or (separate and separate.split()[0].upper() == "LIST"):
        msg = f"The data of '{path.name}' lie in several files, or behind something to skip. Save it as one file from 3D Slicer."
        raise InvalidInputError(msg)
    place = path if separate is None else path.parent / Path(separate).name
    encoding = fields.get("encoding", "raw").lower()
    if encoding not in {"gzip", "gz", "raw"}:
        msg = f"The NRRD encoding '{encoding}' is not supported. Save the file as raw or gzip."
        raise InvalidInputError(msg)
    kind = np.dtype(_type_of(fields)).newbyteorder(">" if fields.get("endian", "little").lower() == "big" else "<")
    packed = "none" if encoding == "raw" else "numbers"
    offset = header.offset if separate is None else 0
    try:
        return read_numbers(StoredNumbers(place, offset, packed, kind, sizes, axis), path.name)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"The data of '{path.name}' cannot be read ({error}). Save the file again."
        raise InvalidInputError(msg) from error


def _affine(header: NrrdHeader) -> FloatArray:
    every = _split_directions(header.fields.get("space directions", ""))
    # Some programs give the time axis a direction of zeros or NaN instead of none.
    directions = [item for axis, item in enumerate(every) if item is not None and axis != header.time_axis]
    origin = [item for item in _split_directions(header.fields.get("space origin", "")) if item is not None]
    space = header.fields.get("space", "").lower()
    if space not in _SPACES and "space dimension" not in header.fields:
        msg = f"The NRRD file uses the space '{space}', which does not say how the head lies. Save it from 3D Slicer."
        raise InvalidInputError(msg)
    if len(directions) < 3 or any(len(item) < 3 for item in directions):
        msg = "The NRRD file does not give the directions of its three spatial axes. Save it from 3D Slicer."
        raise InvalidInputError(msg)
    affine = np.eye(4)
    affine[:3, :3] = np.array([item[:3] for item in directions[:3]]).T
    affine[:3, 3] = origin[0][:3] if origin and len(origin[0]) >= 3 else 0.0
    # Without a named space ITK means left, posterior, superior.
    return check_affine(_SPACES.get(space, LPS_TO_RAS) @ affine)
