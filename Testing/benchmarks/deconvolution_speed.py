# SPDX-License-Identifier: Apache-2.0
"""Time of every voxel method as a multiple of one float32 matrix product (curves by twice as many samples), in one run.

    python Testing/benchmarks/deconvolution_speed.py [--curves 300000] [--frames 45] [--repeats 3] [--only csvd osvd]

256 x 256 x 32 voxels are 2097152 curves. The product writes its result, as any use of it would. Goals: csvd 4, osvd 60, nlr 25.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from PerfusionSuiteLib.deconvolution import METHODS, deconvolve
from PerfusionSuiteLib.fitting import METHODS as MODELS
from PerfusionSuiteLib.fitting import fit
from PerfusionSuiteLib.phantom.tiles import tissue_curve

GOALS = {"csvd": 4.0, "osvd": 60.0, "nlr": 25.0}
INTERVAL_S = 1.5
NOISE_HU = 1.0


def make_curves(count: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (curves, aif, times): 300 different tissues, repeated, each with its own noise."""
    rng = np.random.default_rng(0)
    times = INTERVAL_S * np.linspace(0, frames - 1, frames)
    fine = np.linspace(0, times[-1] + 1, int((times[-1] + 1) * 100) + 1)
    x = np.maximum(fine - 8.0, 0.0) / 4.5
    aif = 400.0 * (x * np.exp(1.0 - x)) ** 3
    tissue = np.empty((300, frames))
    for curve in tissue:
        flow, mtt, delay = rng.uniform(8, 70), rng.uniform(2, 14), rng.uniform(0, 8)
        shape = ("box", "exponential", "gamma:3")[rng.integers(3)]
        curve[:] = flow / 6000.0 * np.interp(times - delay, fine, tissue_curve(shape, aif, mtt), left=0.0)
    curves = tissue[rng.integers(0, 300, count)].astype(np.float32)
    curves += np.float32(NOISE_HU) * rng.standard_normal(curves.shape, np.float32)
    return curves, np.interp(times, fine, aif), times


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Return the shortest time in s."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=300_000)
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument("--repeats", type=int, default=3)
    voxel_fits = [name for name, model in MODELS.items() if not model.on_grid]
    parser.add_argument("--only", nargs="*", default=[*METHODS, *voxel_fits])
    options = parser.parse_args()
    curves, aif, times = make_curves(options.curves, options.frames)
    operator = np.random.default_rng(1).standard_normal((options.frames, 2 * options.frames), np.float32)
    product = np.empty((options.curves, 2 * options.frames), np.float32)
    unit = best_of(options.repeats + 2, lambda: np.matmul(curves, operator, out=product))
    print(f"{options.curves} curves of {options.frames} frames, load {os.getloadavg()[0]:.1f}; sgemm {unit:.3f} s = 1")
    for name in options.only:
        if name in MODELS:
            seconds = best_of(options.repeats, lambda name=name: fit(curves, aif, times, method=name))
        else:
            seconds = best_of(options.repeats, lambda name=name: deconvolve(curves, aif, times, method=name))
        ratio, goal = seconds / unit, GOALS.get(name)
        verdict = "" if goal is None else f"  goal {goal:g}: {'reached' if ratio <= goal else 'MISSED'}"
        print(f"{name:11s} {seconds:7.3f} s  {ratio:6.1f}{verdict}", flush=True)


if __name__ == "__main__":
    main()
