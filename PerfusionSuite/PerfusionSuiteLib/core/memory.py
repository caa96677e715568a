# SPDX-License-Identifier: Apache-2.0
"""Memory of large arrays: volumes whose empty parts take none, and freed blocks that go back to the system.

Curves are wanted of the brain alone, a third of a scan, but where they are is best told by their place in a volume. Operating
systems hand out memory page by page when it is first written to, so a volume may be as large as the scan and take a third.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE_BYTES = 1 << 20
"""Arrays from this size on get memory of their own."""

_PAGES_AT_ONCE = 4096
_CAN_RELEASE = hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux"
"""Elsewhere the advice may be ignored, and pages would keep what they hold."""

_ARENAS = -8
"""How mallopt(3) calls the number of heaps, which Python has no name for."""


class _Pages(mmap.mmap):
    """Memory of this module, as opposed to that of a file."""


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
    if pages is None or not values.flags.c_contiguous:
        return
    base = np.frombuffer(pages, np.uint8)
    begin = values.ctypes.data - base.ctypes.data
    first, last = -(-begin // mmap.PAGESIZE), (begin + values.nbytes) // mmap.PAGESIZE
    for start in range(first, last, _PAGES_AT_ONCE):
        stop = min(start + _PAGES_AT_ONCE, last)
        words = base[start * mmap.PAGESIZE : stop * mmap.PAGESIZE].view(np.uint64).reshape(stop - start, -1)
        empty = np.concatenate([[False], ~words.any(axis=1), [False]])
        for low, high in np.flatnonzero(empty[1:] != empty[:-1]).reshape(-1, 2).tolist():
            pages.madvise(mmap.MADV_DONTNEED, (start + low) * mmap.PAGESIZE, (high - low) * mmap.PAGESIZE)


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
