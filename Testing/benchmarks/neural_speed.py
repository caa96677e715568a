# SPDX-License-Identifier: Apache-2.0
"""Time and memory of fits on a full-size scan, 256 x 256 x 32 x 45, each in a process of its own.

    OMP_NUM_THREADS=2 python Testing/benchmarks/neural_speed.py resppinn@500 resppinn@5000 resppinn@500:points spatial neural
        neural@20:start neural:start [--shape 256 256 32] [--frames 45] [--device cpu] [--share 1.0]

A word is METHOD[@STEPS][:points|:start]; ``:points`` fits random samples instead of whole curves, ``:start`` begins from the
learned weights that come with the software. The mask is an ellipsoid of a third of the raster, as a head's is. With ``--share
0.1`` only a tenth of the steps is run and the time of all of them is extrapolated from the times that the fit recorded; the table
says so. Goals of issue 5 on 2 CPU cores: spatial 20 s and 2 GB, neural 180 s and 60 s from the learned start, resppinn@500 45 s,
resppinn@5000 360 s. Time is that of the clock, on a quiet machine; CPU is that of all threads together, which other programs
hardly change.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

GOALS_S = {
    "spatial": 20.0, "neural": 180.0, "neural@20:start": 60.0, "neural:start": 60.0, "resppinn@500": 45.0, "resppinn@5000": 360.0
}  # fmt: skip
INTERVAL_S = 1.5
NOISE_HU = 3.0


def make_scan(shape: tuple[int, int, int], frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (concentration, aif, times, mask): boxes whose flow and delay vary over an ellipsoid."""
    times = INTERVAL_S * np.linspace(0, frames - 1, frames)
    fine = np.linspace(-20.0, times[-1], 4000)
    x = np.maximum(fine - 8.0, 0.0) / 4.5
    artery = 400.0 * (x * np.exp(1.0 - x)) ** 3
    area = np.concatenate([[0.0], np.cumsum(0.5 * (artery[1:] + artery[:-1]) * np.diff(fine))])
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    mask = (grid**2).sum(0) < 0.72
    flow, mtt = 0.008 + 0.005 * np.sin(5 * grid[0][mask]), 5.0 + 2.0 * np.cos(4 * grid[1][mask])
    delay = 2.0 + 1.5 * np.sin(3 * grid[2][mask])
    data = np.zeros((*shape, frames), np.float32)
    rng = np.random.default_rng(0)
    for number, moment in enumerate(times):
        curve = flow * (np.interp(moment - delay, fine, area) - np.interp(moment - delay - mtt, fine, area))
        data[mask, number] = curve + rng.normal(0.0, NOISE_HU, curve.size)
    return data, np.interp(times, fine, artery), times, mask


def measure(word: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one fit in this process; return seconds, those of all its threads together, and GB."""
    from PerfusionSuiteLib.fitting import fit

    method, steps, kind = split(word)
    data, aif, times, mask = make_scan(tuple(options.shape), options.frames)
    settings: dict[str, object] = {}
    if steps:
        settings["steps"] = max(1, round(steps * options.share))
    if kind == "points":
        settings["batch_of"] = "points"
    if kind == "start":
        settings["start"] = method
    affine = np.diag([0.91, 0.91, 5.0, 1.0])
    start, cpu = time.perf_counter(), time.process_time()
    _, field = fit(data, aif, times, method=method, mask=mask, affine=affine, device=options.device, settings=settings)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    stepping = float(field.history["seconds"][-1]) if field is not None and "seconds" in field.history else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole = seconds - stepping + stepping / options.share if steps else seconds
    return {"seconds": whole, "cpu": cpu * whole / seconds, "gb": peak / 1e6}


def split(word: str) -> tuple[str, int, str]:
    """Return method, steps (0: the method's own) and what is said behind the colon."""
    name, _, kind = word.partition(":")
    method, _, steps = name.partition("@")
    return method, int(steps or 0), kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="METHOD[@STEPS][:points|:start]")
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 256, 32])
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.words[0], options)))
        return
    print(f"{' x '.join(map(str, options.shape))} x {options.frames}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads, "
          f"load {os.getloadavg()[0]:.1f}, device {options.device}")  # fmt: skip
    for word in options.words:
        rest = [
            *map(
                str, ("--shape", *options.shape, "--frames", options.frames, "--device", options.device, "--share", options.share)
            )
        ]
        done = subprocess.run([sys.executable, __file__, word, "--child", *rest], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{word:22s} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        goal = GOALS_S.get(word)
        verdict = "" if goal is None else f"  goal {goal:g} s: {'reached' if found['seconds'] <= goal else 'MISSED'}"
        extrapolated = f" (from {100 * options.share:g} % of the steps)" if options.share < 1 and split(word)[1] else ""
        print(
            f"{word:22s} {found['seconds']:8.1f} s, CPU {found['cpu']:.1f} s{extrapolated}  peak {found['gb']:.2f} GB{verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
