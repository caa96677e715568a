# SPDX-License-Identifier: Apache-2.0
"""4D NRRD: sequences and multi-volumes of 3D Slicer, with their frame times.

Own parser, since imaging libraries drop the kind of each axis and the key/value pairs that hold the times.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError, TimingError
from ..core.geometry import LPS_TO_RAS, FloatArray, check_affine
from ..core.series import Acquisition, check_times
from .candidates import SeriesCandidate
from .dicom import Scan
from .nifti import why_not
from .notes import GIVE_INTERVAL, Notes

_TYPES = {
    "char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32", "uint": "uint32",
    "longlong": "int64", "float": "float32", "double": "float64",
}  # fmt: skip
_SPACES = {
    "left-posterior-superior": LPS_TO_RAS, "lps": LPS_TO_RAS, "right-anterior-superior": np.eye(4), "ras": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]), "las": np.diag([-1.0, 1.0, 1.0, 1.0]),
}  # fmt: skip
_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "min": 60.0}
_LONGEST_STEP_S = 100.0
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
    if len(sizes) < 3 or _type_of(fields) is None:
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
    """The axis of the frames, told by its kind or by its missing direction."""
    if count != 4:
        return None
    directions, kinds = _split_directions(fields.get("space directions", "")), fields.get("kinds", "").lower().split()
    for axis, direction in enumerate(directions):
        if direction is None:
            return axis
    for axis, kind in enumerate(kinds):
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
        A sequence (``axis 0 index values``) or a multi-volume (``MultiVolume.FrameLabels``) of 3D Slicer, or any 4D NRRD.
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
    source, times = _times(header, interval_s, notes)
    stored = _data(path, header).reshape(header.sizes, order="F")
    axis = 3 if header.time_axis is None else header.time_axis
    data = np.ascontiguousarray(np.moveaxis(stored, axis, 3), np.float32)
    notes.decide(f"Frame times come from {source}.")
    acquisition = Acquisition(time_source=source)
    return Scan(data, _affine(header), times, "", rescaled=True, acquisition=acquisition, dicom={})


def _times(header: NrrdHeader, interval_s: float | None, notes: Notes) -> tuple[str, FloatArray]:
    frames = header.shape[3]
    labels = header.pairs.get("MultiVolume.FrameLabels", "").replace(",", " ").split()
    if labels:
        unit = header.pairs.get("MultiVolume.FrameIdentifyingDICOMTagUnits", "")
        return _listed("MultiVolume.FrameLabels", labels, unit, frames, interval_s)
    for axis in dict.fromkeys((header.time_axis or 0, 0)):
        values = unquote(header.pairs.get(f"axis {axis} index values", "")).split()
        if values:
            return _listed(f"axis {axis} index values", values, _axis_unit(header, axis), frames, interval_s)
    if interval_s is None:
        msg = f"The NRRD file holds no frame times (index values). {GIVE_INTERVAL}"
        raise TimingError(msg)
    return f"the given interval of {interval_s:g} s", np.linspace(0.0, (frames - 1) * interval_s, frames)


def _axis_unit(header: NrrdHeader, axis: int) -> str:
    quoted = header.fields.get("units", "").split('"')[1::2]
    return quoted[axis] if axis < len(quoted) else header.pairs.get(f"axis {axis} index unit", "")


def _listed(name: str, words: list[str], unit: str, frames: int, interval_s: float | None) -> tuple[str, FloatArray]:
    try:
        values = check_times([float(word) for word in words], frames)
    except ValueError as error:
        if isinstance(error, TimingError):
            raise
        msg = f"'{name}' of the NRRD file holds something that is no number. {GIVE_INTERVAL}"
        raise TimingError(msg) from error
    factor = _UNITS.get(unit.strip().lower())
    if factor is None:
        if interval_s is None:
            named = f"the unit '{unit}'" if unit else "no unit"
            msg = f"'{name}' of the NRRD file has {named} and may only count frames. {GIVE_INTERVAL}"
            raise TimingError(msg)
        return f"the given interval of {interval_s:g} s", np.linspace(0.0, (frames - 1) * interval_s, frames)
    times = (values - values[0]) * factor
    if frames > 1 and float(np.median(np.diff(times))) > _LONGEST_STEP_S:
        msg = (
            f"'{name}' gives {np.median(np.diff(times)):g} s between frames, so the unit '{unit}' seems wrong. Correct the file."
        )
        raise TimingError(msg)
    return f"{name} of the NRRD file (unit {unit.strip()})", times


def _data(path: Path, header: NrrdHeader) -> NDArray[Any]:
    fields = header.fields
    separate = fields.get("data file") or fields.get("datafile")
    place = path if separate is None else path.parent / Path(separate).name
    encoding = fields.get("encoding", "raw").lower()
    kind = np.dtype(_type_of(fields)).newbyteorder(">" if fields.get("endian", "little").lower() == "big" else "<")
    count = int(np.prod(header.sizes))
    try:
        content = place.read_bytes()[header.offset if separate is None else 0 :]
        if encoding in {"gzip", "gz"}:
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"The data of '{path.name}' cannot be read ({error}). Save the file again."
        raise InvalidInputError(msg) from error
    if encoding not in {"gzip", "gz", "raw"}:
        msg = f"The NRRD encoding '{encoding}' is not supported. Save the file as raw or gzip."
        raise InvalidInputError(msg)
    if len(content) < count * kind.itemsize:
        msg = f"'{path.name}' ends early: {len(content)} of {count * kind.itemsize} bytes of data. Save the file again."
        raise InvalidInputError(msg)
    return np.frombuffer(content, kind, count)


def _affine(header: NrrdHeader) -> FloatArray:
    directions = [item for item in _split_directions(header.fields.get("space directions", "")) if item is not None]
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
