# SPDX-License-Identifier: Apache-2.0
"""Memory of large arrays: volumes whose empty parts take none, that can wait in a file, and freed blocks that go back.

Curves are wanted of the brain alone, a third of a scan, but where they are is best told by their place in a volume. Operating
systems hand out memory page by page when it is first written to, so a volume may be as large as the scan and take a third.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE_BYTES = 1 << 20
"""Arrays from this size on get memory of their own."""

_PAGES_AT_ONCE = 4096
_CAN_RELEASE = hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux"
"""Elsewhere the advice may be ignored, and pages would keep what they hold."""


_MAP_FIXED = 0x10
_ARENAS = -8
"""Names of choices of mmap(2) and mallopt(3) that Python has none for."""


class _Pages(mmap.mmap):
    """Memory of this module, as opposed to that of a file; `aside` when it waits in one."""

    aside = False


def sparse_zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Make an array of zeros whose untouched parts take no memory.

    Parameters
    ----------
    shape : tuple of int
        Its shape.

    Returns
    -------
    ndarray of float32
        Zeros. Where the system allows, `release_zeros` can give parts back that became zero again.

    Notes
    -----
    Arrays of NumPy ask for pages of 2 MB where there are such, and a brain touches nearly all of them.
    """
    size = 4 * int(np.prod(shape))
    if not _CAN_RELEASE or size < LARGE_BYTES:
        return np.zeros(shape, np.float32)
    pages = _Pages(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, np.float32).reshape(shape)


def release_zeros(values: NDArray[np.float32]) -> None:
    """Give back the memory of those parts of an array that hold nothing but zeros; its values stay as they are.

    Parameters
    ----------
    values : ndarray of float32
        Any array. Only memory from `sparse_zeros` can be given back; nothing happens to other arrays.
    """
    pages = _mapping_of(values)
    if pages is None or pages.aside or not values.flags.c_contiguous:  # pages of a file would come back with what is in the file
        return
    begin = values.ctypes.data - np.frombuffer(pages, np.uint8).ctypes.data
    first, last = -(-begin // mmap.PAGESIZE), (begin + values.nbytes) // mmap.PAGESIZE
    for low, high in _runs(pages, first, last, empty=True):
        pages.madvise(mmap.MADV_DONTNEED, low * mmap.PAGESIZE, (high - low) * mmap.PAGESIZE)


def set_aside(values: NDArray[Any]) -> None:
    """Let an array wait in a file while others need the memory; it stays what it is and comes back, page by page, when used.

    Parameters
    ----------
    values : ndarray
        Any array. Only memory from `sparse_zeros` can be set aside, as a whole; nothing happens to other arrays.

    Notes
    -----
    The file has no name and goes with the array. Where there is no room for it, the array stays where it is.
    """
    pages = _mapping_of(values)
    if pages is None:
        return
    if leave_aside(values):
        return
    base = np.frombuffer(pages, np.uint8)
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.truncate(base.nbytes)
            for low, high in _runs(pages, 0, base.nbytes // mmap.PAGESIZE, empty=False):
                _write(file.fileno(), base[low * mmap.PAGESIZE : high * mmap.PAGESIZE], low * mmap.PAGESIZE)
            rest = base.nbytes // mmap.PAGESIZE * mmap.PAGESIZE
            _write(file.fileno(), base[rest:], rest)
            _lay_over(base, file.fileno())
    except OSError:
        return
    pages.aside = True


def leave_aside(values: NDArray[Any]) -> bool:
    """Give back what came from the file of an array that was set aside, since it was used.

    Parameters
    ----------
    values : ndarray
        Any array.

    Returns
    -------
    bool
        Whether it waits in a file now; not when it never did, or was changed.
    """
    pages = _mapping_of(values)
    if pages is None or not pages.aside or not _is_as_in_file(np.frombuffer(pages, np.uint8).ctypes.data):
        return False
    pages.madvise(mmap.MADV_DONTNEED)
    return True


def _write(file: int, part: NDArray[np.uint8], at: int) -> None:
    """Write all of a part at a place of a file."""
    done = 0
    while done < part.nbytes:
        done += os.pwrite(file, part[done:].data, at + done)


def _lay_over(base: NDArray[np.uint8], file: int) -> None:
    """Put a private copy of a file where an array lies: what is read comes from it, what is written stays in memory."""
    place = ctypes.CDLL(None, use_errno=True).mmap
    place.restype = ctypes.c_void_p
    place.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    address = base.ctypes.data
    if place(address, base.nbytes, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED, file, 0) != address:
        raise OSError(ctypes.get_errno(), "mmap")


def _is_as_in_file(address: int) -> bool:
    """Whether nothing was written to memory that lies over a file: it has no pages of its own then."""
    head = f"{address:x}-"
    with Path("/proc/self/smaps").open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(head):
                break
        return next((line.split()[1] == "0" for line in lines if line.startswith("Anonymous:")), False)


def _runs(pages: _Pages, first: int, last: int, *, empty: bool) -> Iterator[tuple[int, int]]:
    """Find runs of pages that hold nothing but zeros, or of those that hold more."""
    base = np.frombuffer(pages, np.uint8)
    for start in range(first, last, _PAGES_AT_ONCE):
        stop = min(start + _PAGES_AT_ONCE, last)
        words = base[start * mmap.PAGESIZE : stop * mmap.PAGESIZE].view(np.uint64).reshape(stop - start, -1)
        wanted = np.concatenate([[False], words.any(axis=1) != empty, [False]])
        for low, high in np.flatnonzero(wanted[1:] != wanted[:-1]).reshape(-1, 2).tolist():
            yield start + low, start + high


def _mapping_of(values: Any) -> _Pages | None:
    """The pages that an array lies in, if they are ours."""
    while isinstance(values, np.ndarray):
        values = values.base
    if isinstance(values, memoryview):
        values = values.obj
    return values if isinstance(values, _Pages) else None


def give_back_freed() -> None:
    """Give memory that was freed back to the system; called between the steps of a run.

    Notes
    -----
    The C library of Linux keeps freed blocks of up to 32 MB for later and the holes between those that are still used: without
    this a run peaks half a scan higher. To have blocks of that size come and go instead takes a fit a third longer. Elsewhere
    nothing is done.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """malloc_trim(3), where the C library has it."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


def share_one_heap() -> None:
    """Let all threads of this program take memory from one heap; called once, when a program begins.

    Notes
    -----
    The C library of Linux gives each thread a heap of its own, and what one has freed the others cannot use: a run with two
    threads peaks a quarter of a scan higher than with one. Blocks are asked for so seldom that threads do not wait.
    """
    if sys.platform.startswith("linux"):
        choose = getattr(ctypes.CDLL(None), "mallopt", None)
        if choose is not None:
            choose(_ARENAS, 1)
