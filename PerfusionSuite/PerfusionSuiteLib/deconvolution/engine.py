# SPDX-License-Identifier: Apache-2.0
"""Run a prepared method over all voxels: cache-sized blocks, shared by threads, never a whole residue array in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.progress import ProgressCallback, no_progress
from .problem import Problem
from .residues import ResidueEstimator, find_peaks
from .threads import own_threads

BLOCK_VOXELS = 4096
"""Voxels per block: their curves and residues stay in the second-level cache."""

BLOCKS_PER_REPORT = 16
"""Blocks of one thread between two progress reports (about 0.1 s)."""


@dataclass(frozen=True, slots=True)
class RawMaps:
    """What is read off the residues, one value per voxel of the mask.

    Parameters
    ----------
    height : ndarray, shape (M,), 1/s
        Maximum of the residue.
    tmax_s, delay_s : ndarray, shape (M,), s
        Time of the maximum, arrival.
    area : ndarray, shape (M,)
        Area of the tissue curve; not finite exactly where the curve has a sample that is not.
    residue : ndarray, shape (M, W), 1/s, optional
        The residues, on request.
    """

    height: NDArray[np.float32]
    tmax_s: NDArray[np.float32]
    delay_s: NDArray[np.float32]
    area: NDArray[np.float32]
    residue: NDArray[np.float32] | None


def for_blocks(
    count: int, work: Callable[[int, int], None], progress: ProgressCallback | None, stage: str, block: int = BLOCK_VOXELS
) -> None:
    """Call ``work(start, stop)`` for all blocks of `count` voxels, on several threads.

    Parameters
    ----------
    count : int
        Number of voxels.
    work : callable
        Writes its results itself; blocks do not overlap.
    progress : callable or None
        Called on the calling thread between groups of blocks; what it raises stops the run.
    stage : str
        Name of the work for `progress`.
    block : int
        Voxels per block.
    """
    report = progress or no_progress

    def some_blocks(first: int, span: int) -> None:
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            for start in range(first, min(first + span, count), block):
                work(start, min(start + block, count))

    report(0.0, stage)
    with own_threads() as workers, ThreadPoolExecutor(workers) as pool:
        span = block * min(BLOCKS_PER_REPORT, max(1, count // (8 * block * workers)))
        waiting = {pool.submit(some_blocks, first, span) for first in range(0, count, span)}
        total = len(waiting)
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for task in done:
                    task.result()
                report(1.0 - len(waiting) / total, stage)
        finally:
            for task in waiting:
                task.cancel()


def run(problem: Problem, estimator: ResidueEstimator, *, residue: bool, progress: ProgressCallback | None) -> RawMaps:
    """Estimate the residue of every voxel and keep what maps are made of.

    Parameters
    ----------
    problem : Problem
        Curves and time grid.
    estimator : ResidueEstimator
        A prepared method.
    residue : bool
        Also keep the residues (memory: W floats per voxel).
    progress : callable or None
        Progress and cancelling.

    Returns
    -------
    RawMaps
        One value per voxel of the mask.
    """
    lags = estimator.lags_s
    step, first = np.float32(lags[1] - lags[0]), np.float32(lags[0])
    weights = problem.area_weights.astype(np.float32)
    height, tmax, delay, area = (np.empty(problem.count, np.float32) for _ in range(4))
    kept = np.empty((problem.count, lags.size), np.float32) if residue else None

    def work(start: int, stop: int) -> None:
        here = slice(start, stop)
        curves = problem.curves(start, stop)
        area[here] = curves @ weights
        block = estimator(curves)
        peaks = find_peaks(block.k)
        shift = np.float32(0) if block.shift_s is None else block.shift_s
        height[here] = peaks.height
        tmax[here] = peaks.position * step + first + shift
        delay[here] = peaks.half_rise * step + first + shift if block.delay_s is None else block.delay_s
        if kept is not None:
            kept[here] = block.k.T

    for_blocks(problem.count, work, progress, "Deconvolution")
    return RawMaps(height, tmax, delay, area, kept)
