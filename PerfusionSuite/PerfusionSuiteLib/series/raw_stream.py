# SPDX-License-Identifier: Apache-2.0
"""Stored numbers of a 4D file, packed or not, go straight into the 4D array: no second copy of the scan is held."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.memory import sparse_zeros

_PART_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class StoredNumbers:
    """Where and how a file keeps its numbers.

    Parameters
    ----------
    path : Path
        The file with the numbers.
    offset : int
        Bytes before them (before unpacking when only the numbers are packed).
    packed : {"none", "all", "numbers"}
        ``all``: the whole file is gzip. ``numbers``: what follows the offset is.
    kind : dtype
        With byte order.
    sizes : tuple of int
        Length of each of the four axes, fastest first.
    time_axis : int
        Which of them is time.
    slope, intercept : float
        Stored number to value.
    """

    path: Path
    offset: int
    packed: str
    kind: np.dtype[Any]
    sizes: tuple[int, ...]
    time_axis: int
    slope: float = 1.0
    intercept: float = 0.0


def read_numbers(stored: StoredNumbers, name: str) -> NDArray[np.float32]:
    """Read the numbers of a file.

    Parameters
    ----------
    stored : StoredNumbers
        Where they are.
    name : str
        What the file is called in an error.

    Returns
    -------
    ndarray of float32, shape (I, J, K, T)
        Values, time last.

    Raises
    ------
    InvalidInputError
        If the file ends early.
    OSError, EOFError, zlib.error
        If it cannot be read or unpacked.
    """
    spatial = [size for axis, size in enumerate(stored.sizes) if axis != stored.time_axis]
    data = sparse_zeros((*spatial, stored.sizes[stored.time_axis]))
    as_stored = np.moveaxis(data, 3, stored.time_axis)
    layer = int(np.prod(stored.sizes[:-1]))
    step = max(1, _PART_BYTES // (layer * stored.kind.itemsize))
    plain = (stored.slope, stored.intercept) == (1.0, 0.0)
    with _opened(stored) as stream:
        for start in range(0, stored.sizes[-1], step):
            stop = min(start + step, stored.sizes[-1])
            wanted = (stop - start) * layer * stored.kind.itemsize
            content = stream.read(wanted)
            if len(content) < wanted:
                total = layer * stored.sizes[-1] * stored.kind.itemsize
                found = start * layer * stored.kind.itemsize + len(content)
                msg = f"'{name}' ends early: {found} of {total} bytes of data. Copy or make the file again."
                raise InvalidInputError(msg)
            part = np.frombuffer(content, stored.kind).reshape((*stored.sizes[:-1], stop - start), order="F")
            as_stored[..., start:stop] = part if plain else part * np.float64(stored.slope) + stored.intercept
    return data


def _opened(stored: StoredNumbers) -> BinaryIO:
    if stored.packed == "all":
        stream = cast(BinaryIO, gzip.GzipFile(stored.path))
        stream.read(stored.offset)
        return stream
    raw = stored.path.open("rb")
    raw.seek(stored.offset)
    return raw if stored.packed == "none" else cast(BinaryIO, _Unpacked(raw))


class _Unpacked(gzip.GzipFile):
    """Unpacks the rest of an open file and closes it in the end."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._raw_file = raw

    def close(self) -> None:
        """Close both."""
        super().close()
        self._raw_file.close()
