# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the main job on a full-size scan: DICOM to report, motion correction included.

    python Testing/benchmarks/full_run.py [--seed 8]

Makes 256 x 256 x 32 voxels and 45 frames as DICOM in a temporary folder, runs ``perfusion-suite run`` on it as a process
of its own, and prints seconds, the part of reading, and peak memory beside the goals.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PerfusionSuiteLib import phantom

SHAPE, FRAMES = (256, 256, 32), 45
GOALS = {"run": 90.0, "reading": 15.0, "memory": 3.0}


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=8)
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory() as folder:
        dicom, out, log = Path(folder) / "dicom", Path(folder) / "out", Path(folder) / "events.jsonl"
        scan, _ = phantom.ctp(seed=seed, shape=SHAPE, spacing_mm=(0.9, 0.9, 5.0), interval_s=1.0, frames=FRAMES, noise_hu=4.0)
        phantom.write_dicom(scan, dicom, seed=seed)
        command = [sys.executable, "-m", "PerfusionSuiteLib.cli", "run", str(dicom), str(out), "--json-events"]
        start = time.perf_counter()
        with log.open("w") as stream:
            process = subprocess.Popen(command, stdout=stream)
        _, status, usage = os.wait4(process.pid, 0)  # the resources of this one process
        seconds = time.perf_counter() - start
        if status:
            print(f"The run failed with status {status}.", file=sys.stderr)
            return 1
        events = [json.loads(line) for line in log.read_text().splitlines()]
    reading = next(event["seconds"] for event in events if event.get("stage") == "Series read")
    memory = usage.ru_maxrss * 1024 / (scan.data.size * 4)
    print(f"{scan.data.shape}, seed {seed}, peak memory {usage.ru_maxrss / 1024**2:.2f} GiB")
    for name, value, unit in (("run", seconds, "s"), ("reading", reading, "s"), ("memory", memory, "x the float32 series")):
        print(f"{name:8s} {value:6.1f} {unit}  goal {GOALS[name]:g}: {'reached' if value <= GOALS[name] else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
