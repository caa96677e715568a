# SPDX-License-Identifier: Apache-2.0
"""Cubes on disk: 64 per file, made in parallel, resumed where a run was stopped; each is a pure function of its seed."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.files import written_beside
from ...core.geometry import FloatArray
from ...core.progress import ProgressCallback, no_progress, part_of
from .acceleration import use_compiler
from .cube import make_cube
from .protocol import signal
from .values import VERSIONS, preset_named, response_times

PER_FILE = 64
_UNIT = 1000.0  # stored as microliters per gram, in the middle of the range of half precision


@dataclass(frozen=True, slots=True)
class CubeSet:
    """Cubes as a network or a kinetic model is given them.

    Parameters
    ----------
    signal : ndarray, shape (N, I, J, K, D), mL/g
        Label density at each delay.
    perfusion : ndarray, shape (N, I, J, K), mL/100 g/min
        The truth.
    arrival_s : ndarray, shape (N, I, J, K), s
        True mean arrival at the capillaries, NaN without tissue.
    seeds : ndarray of int, shape (N,)
        Of each cube.
    kinds : tuple of str
        Scene of each cube.
    facts : dict
        Version, preset and builder.
    """

    signal: NDArray[np.float32]
    perfusion: NDArray[np.float32]
    arrival_s: NDArray[np.float32]
    seeds: NDArray[np.int64]
    kinds: tuple[str, ...]
    facts: dict[str, Any]


def write_cubes(
    folder: str | Path,
    *,
    count: int,
    seed: int,
    preset: str = "default",
    workers: int = 1,
    builder: str = "auto",
    progress: ProgressCallback | None = None,
) -> int:
    """Make cubes and write them in files of 64; files that are there already are kept.

    Parameters
    ----------
    folder : path-like
        Where to.
    count : int
        How many cubes.
    seed : int
        Of the first one; cube i has seed + i.
    preset : {"default", "published"}
        Kind of cubes.
    workers : int
        Processes.
    builder : {"auto", "compiled", "rounds"}
        With numba or numpy; the trees differ, not their kind.
    progress : callable, optional
        Progress; may stop the run between cubes.

    Returns
    -------
    int
        Number of cubes that were made now.

    Raises
    ------
    InvalidInputError
        If the folder holds cubes of another kind, or numbers make no sense.
    """
    preset_named(preset)
    if count < 1 or workers < 1 or seed < 0:
        msg = f"{count} cubes from seed {seed} with {workers} workers cannot be made. Give positive numbers."
        raise InvalidInputError(msg)
    used = "compiled" if use_compiler(builder) else "rounds"
    facts = {"version": VERSIONS[used], "preset": preset, "builder": used}
    target = Path(folder)
    jobs = [(first, min(PER_FILE, seed + count - first)) for first in range(seed, seed + count, PER_FILE)]
    waiting = [job for job in jobs if not _is_there(target / _name(job[0]), facts, job[1])]
    report = no_progress if progress is None else progress
    done = count - sum(size for _, size in waiting)
    if workers == 1 or len(waiting) < 2:
        for first, size in waiting:
            _write_file(target, first, size, facts, part_of(report, done / count, (done + size) / count))
            done += size
    else:
        _write_in_parallel(target, waiting, facts, workers, (done, count), report)
    return sum(size for _, size in waiting)


def _write_in_parallel(
    target: Path,
    waiting: list[tuple[int, int]],
    facts: dict[str, Any],
    workers: int,
    state: tuple[int, int],
    report: ProgressCallback,
) -> None:
    done, count = state
    with _single_threaded(), ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_write_file, target, first, size, facts): size for first, size in waiting}
        try:
            for future in as_completed(running):
                future.result()
                done += running[future]
                report(done / count, f"{done} of {count} cubes")
        except BaseException:  # Ctrl-C as well as a cube that cannot be made: start no further files
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let processes that start now use one thread each: together they have all cores."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _name(first: int) -> str:
    return f"cubes-{first:08d}.npz"


def _is_there(path: Path, facts: dict[str, Any], size: int) -> bool:
    """Return whether a file holds enough cubes of the right kind."""
    if not path.exists():
        return False
    with np.load(path) as content:
        found, held = json.loads(str(content["facts"])), int(content["seeds"].size)
    if found != facts:
        msg = f"'{path.name}' holds cubes of {_words(found)}, not of {_words(facts)}. Choose another folder."
        raise InvalidInputError(msg)
    return held >= size


def _words(facts: dict[str, Any]) -> str:
    return f"preset {facts['preset']}, builder {facts['builder']}, version {facts['version']}"


def _write_file(target: Path, first: int, size: int, facts: dict[str, Any], progress: ProgressCallback = no_progress) -> None:
    times = response_times()
    cubes = []
    for i in range(size):
        progress(i / size, f"Cube {first + i}")
        cubes.append(make_cube(first + i, facts["preset"], builder=facts["builder"]))
    response = np.stack([cube.response for cube in cubes])
    steps = np.diff(response, axis=-1, prepend=0.0)  # of increments, half precision keeps differences of late times as exact
    with written_beside(target / _name(first)) as path:
        np.savez(
            path, increments=(_UNIT * steps).astype(np.float16), times_s=times,
            perfusion=np.stack([cube.perfusion for cube in cubes]),
            arrival_s=np.stack([cube.arrival_s for cube in cubes]).astype(np.float16),
            seeds=np.arange(first, first + size), kinds=np.array([cube.kind for cube in cubes]), facts=json.dumps(facts),
        )  # fmt: skip


def cube_files(folder: str | Path) -> list[Path]:
    """List the files of cubes in a folder, in the order of their seeds.

    Parameters
    ----------
    folder : path-like
        Where `write_cubes` wrote.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InvalidInputError
        If there are none.
    """
    found = sorted(Path(folder).glob("cubes-*.npz"))
    if not found:
        msg = f"There are no cubes in '{folder}'. Make some with 'perfusion-suite phantom asl-cubes'."
        raise InvalidInputError(msg)
    return found


def read_cubes(
    folder: str | Path,
    label_duration_s: float,
    delays_s: tuple[float, ...],
    *,
    limit: int | None = None,
    progress: ProgressCallback | None = None,
) -> CubeSet:
    """Read cubes as a protocol would measure them.

    Parameters
    ----------
    folder : path-like
        Where `write_cubes` wrote.
    label_duration_s : float, s
        Length of the bolus.
    delays_s : tuple of float, s
        Post-label delays.
    limit : int, optional
        Take only so many, from the lowest seeds on.
    progress : callable, optional
        Progress.

    Returns
    -------
    CubeSet
        Signals and truth.

    Raises
    ------
    InvalidInputError
        If there are none, or they are of different kinds.
    """
    files = cube_files(folder)
    parts: list[tuple[NDArray[Any], ...]] = []
    facts: dict[str, Any] | None = None
    held = 0
    for number, path in enumerate(files):
        if limit is not None and held >= limit:
            break
        (progress or no_progress)(number / len(files), f"Reading {path.name}")
        with np.load(path) as content:
            here = json.loads(str(content["facts"]))
            if facts is not None and here != facts:
                msg = f"'{path.name}' holds cubes of {_words(here)}, the files before of {_words(facts)}. Keep them apart."
                raise InvalidInputError(msg)
            facts = here
            parts.append(_content(content, label_duration_s, delays_s))
            held += parts[-1][3].size
    signals, perfusion, arrival, seeds, kinds = (np.concatenate(arrays)[:limit] for arrays in zip(*parts, strict=True))
    return CubeSet(signals, perfusion, arrival, seeds, tuple(kinds.tolist()), facts or {})


def _content(content: Any, label_duration_s: float, delays_s: tuple[float, ...]) -> tuple[NDArray[Any], ...]:
    response = np.cumsum(content["increments"], axis=-1, dtype=np.float32) / np.float32(_UNIT)
    times: FloatArray = content["times_s"]
    signals = signal(response, times, label_duration_s, delays_s)
    return signals, content["perfusion"], content["arrival_s"].astype(np.float32), content["seeds"], content["kinds"]
