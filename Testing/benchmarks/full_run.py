# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the main job on a full-size scan: DICOM to report, motion correction included.

    python Testing/benchmarks/full_run.py [--seed 8] [--motion drift] [--dicom FOLDER]

Makes 256 x 256 x 32 voxels and 45 frames as DICOM in a temporary folder (or takes a folder), runs ``perfusion-suite run`` on it
as a process of its own, and prints seconds and peak resident memory of every stage, and of the whole beside the goals.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.phantom.motion import KINDS

SHAPE, FRAMES = (256, 256, 32), 45
SERIES_BYTES = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2] * FRAMES
GOALS = {"run": 90.0, "reading": 15.0, "memory": 3.0}
SAMPLE_S = 0.01
START = "start of Python"
END = "clean-up and exit"


@dataclass
class Watch:
    """Seconds and peak memory of a process by stage."""

    process: subprocess.Popen[str]
    stage: str = START
    seconds: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    highest: int = 0

    def sample(self) -> None:
        """Read resident memory until the process ends."""
        page, before = os.sysconf("SC_PAGE_SIZE"), time.perf_counter()
        with contextlib.suppress(OSError, IndexError):
            while self.process.returncode is None:
                resident = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * page
                # Of this program alone: the figure of wait4 counts what its parent held when it was started.
                status = Path(f"/proc/{self.process.pid}/status").read_text().partition("VmHWM:")[2]
                self.highest = max(self.highest, int(status.split()[0]) * 1024) if status else self.highest
                now, stage = time.perf_counter(), self.stage
                self.seconds[stage] = self.seconds.get(stage, 0.0) + now - before
                self.peak[stage] = max(self.peak.get(stage, 0), resident)
                before = now
                time.sleep(SAMPLE_S)


def watched(command: list[str]) -> tuple[Watch, float, float, int]:
    """Run a command that prints JSON events; return stages, seconds, seconds of processor time and peak memory in bytes."""
    start = time.perf_counter()
    watch = Watch(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    sampler = threading.Thread(target=watch.sample, daemon=True)
    sampler.start()
    assert watch.process.stdout is not None
    for line in watch.process.stdout:
        watch.stage = json.loads(line).get("stage", watch.stage)
        if json.loads(line).get("event") == "finished":
            watch.stage = END
    _, status, usage = os.wait4(watch.process.pid, 0)  # the resources of this one process
    watch.process.returncode = os.waitstatus_to_exitcode(status)
    sampler.join()
    return watch, time.perf_counter() - start, usage.ru_utime + usage.ru_stime, watch.highest


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--motion", choices=KINDS, help="how the head moves (default: drawn from the seed)")
    parser.add_argument("--motion-mm", type=float, help="how far (default: drawn)")
    parser.add_argument("--dicom", type=Path, help="use this folder instead, with a scan of the same size")
    parser.add_argument("more", nargs="*", help="further arguments of 'perfusion-suite run', after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dicom = options.dicom or Path(folder) / "dicom"
        if options.dicom is None:
            scan, _ = phantom.ctp(
                seed=options.seed, shape=SHAPE, spacing_mm=(0.9, 0.9, 5.0), interval_s=1.0, frames=FRAMES, noise_hu=4.0,
                motion=options.motion, motion_mm=options.motion_mm,
            )  # fmt: skip
            phantom.write_dicom(scan, dicom, seed=options.seed)
            del scan
        words = ["run", str(dicom), str(Path(folder) / "out"), "--json-events", *options.more]
        watch, seconds, cpu, peak = watched([sys.executable, "-m", "PerfusionSuiteLib.cli", *words])
    if watch.process.returncode:
        print(f"The run failed with status {watch.process.returncode}.", file=sys.stderr)
        return 1
    scan_name = options.dicom or f"seed {options.seed}"
    print(f"{(*SHAPE, FRAMES)}, {scan_name}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}, {cpu:.1f} s of processor time")
    print(f"{'stage':28s} {'seconds':>8s} {'peak MiB':>9s} {'x series':>9s}")
    for stage, most in watch.peak.items():
        print(f"{stage:28s} {watch.seconds[stage]:8.1f} {most / 2**20:9.0f} {most / SERIES_BYTES:9.2f}")
    reading = sum(watch.seconds.get(stage, 0.0) for stage in ("Reading headers", "Reading pixels", "Reading file"))
    figures = (("run", seconds, "s"), ("reading", reading, "s"), ("memory", peak / SERIES_BYTES, "x the float32 series"))
    for name, value, unit in figures:
        print(f"{name:8s} {value:6.1f} {unit}  goal {GOALS[name]:g}: {'reached' if value <= GOALS[name] else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
