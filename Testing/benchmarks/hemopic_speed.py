# SPDX-License-Identifier: Apache-2.0
"""Time and memory of HemoPIC's physical mode on a scan of 256 x 256 x 24 voxels and 60 frames.

Usage: python hemopic_speed.py [--engine numpy|torch] [--device auto|cpu|cuda]

The brain fills an ellipsoid of two fifths of the volume, with tissue of several transit times and delays, noise, and a late
quarter. Wanted: at most 30 s on 2 cores, and a peak of less than twice the series beyond what the program holds before.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from hemopic_object import CONTRAST, artery, tissue

from PerfusionSuiteLib import hemopic

SHAPE, FRAMES, INTERVAL_S, NOISE = (256, 256, 24), 60, 1.5, 0.7


def peak_mb() -> float:
    """Largest memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="numpy", choices=("numpy", "torch"))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    times = INTERVAL_S * np.arange(FRAMES)
    grid = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in SHAPE), indexing="ij")
    mask = sum(g**2 / r**2 for g, r in zip(grid, (0.85, 0.95, 1.15), strict=True)) < 1.0
    kinds = np.array([[4.0, 4.0, 1.0], [3.8, 4.5, 1.5], [2.2, 5.0, 2.0], [2.0, 5.5, 2.5], [3.0, 10.0, 4.0], [1.8, 12.0, 6.0]])
    curves = np.stack([CONTRAST * tissue(times, *kind, 1.0) for kind in kinds]).astype(np.float32)
    stripes = (np.floor(20.0 * grid[0]) + np.floor(20.0 * grid[1])).astype(int) % 4
    kind = np.where((grid[0] > 0.2) & (grid[1] > 0.0), 4 + stripes % 2, stripes)
    del grid
    data = np.zeros((*SHAPE, FRAMES), np.float32)
    for k in range(SHAPE[2]):
        here = mask[:, :, k]
        noise = NOISE * rng.standard_normal((int(here.sum()), FRAMES), np.float32)
        data[:, :, k][here] = curves[kind[:, :, k][here]] + noise
    affine = np.diag([0.9, 0.9, 5.0, 1.0])
    for name, aif in (("without an artery", None), ("with an artery", CONTRAST * artery(times))):
        before, start, used = peak_mb(), time.perf_counter(), time.process_time()
        maps, regions = hemopic.fit(
            data, times, mask=mask, affine=affine, aif=aif, settings={"engine": options.engine}, device=options.device
        )
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        series = data.nbytes / 2**20
        found = np.isfinite(maps["cbf"]).sum() / mask.sum()
        print(
            f"{name}: {mask.sum()} voxels, {len(regions.rows)} regions, {found:.1%} with values: {seconds:.1f} s ({cpu:.1f} s of "
            f"processor), peak {peak_mb():.0f} MB, {(peak_mb() - before) / series:.2f} times the series ({series:.0f} MB) beyond "
            f"the {before:.0f} MB before",
            flush=True,
        )


if __name__ == "__main__":
    main()
