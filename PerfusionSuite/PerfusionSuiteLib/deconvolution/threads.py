# SPDX-License-Identifier: Apache-2.0
"""One level of threads only: either our own, with a single-threaded matrix product, or those of the matrix product.

Both at once wait for each other (measured on two cores: 2 to 3 times slower). numpy has no function for this, so the one of the
OpenBLAS library that numpy brings along is called directly; with another library our own threads are left out instead.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_PREFIXES = ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads")
_FOLDERS = ("../numpy.libs", ".libs", ".dylibs")
_lock = Lock()
_users = 0
_before = 1


class _Blas:
    """The two functions of the library that matter here."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.get = getattr(library, name.format("get"))
        self.set = getattr(library, name.format("set"))


@cache
def _find_blas() -> _Blas | None:
    """Return numpy's own OpenBLAS, which is loaded already, or None."""
    home = Path(np.__file__).parent
    for path in sorted(file for folder in _FOLDERS for file in (home / folder).glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in _PREFIXES:
            if hasattr(library, name.format("set")) and hasattr(library, name.format("get")):
                return _Blas(library, name)
    return None


def allowed_cores() -> int:
    """Return the number of cores this process may use, at most what OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit) if limit.isdigit() and int(limit) > 0 else cores))


@contextmanager
def own_threads() -> Iterator[int]:
    """Make the matrix product single-threaded for a while.

    Yields
    ------
    int
        Number of threads to start: one per core, at most sixteen; 1 when the matrix product cannot be told.
    """
    global _users, _before
    blas = _find_blas()
    if blas is None:
        yield 1
        return
    with _lock:
        if _users == 0:
            _before = int(blas.get())
            blas.set(1)
        _users += 1
    try:
        yield min(16, allowed_cores())
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                blas.set(_before)
