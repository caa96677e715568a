# SPDX-License-Identifier: Apache-2.0
"""Print all figures, one after the other; each is a script of this folder that can be run alone.

python Testing/benchmarks/run_all.py [--quick]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

FIGURES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("phantom_checks.py", ("--seeds", "10"), ("--seeds", "3")),
    ("deconvolution_speed.py", ("--curves", "2097152"), ("--curves", "300000")),
    ("full_run.py", (), ()),
    ("chain_accuracy.py", ("--patients", "6"), ("--patients", "2")),
)
"""Script, arguments of a full run, arguments of a quick one."""


def main() -> int:
    """Run every benchmark and say which failed to run."""
    parser = argparse.ArgumentParser(description="Print all figures.")
    parser.add_argument("--quick", action="store_true", help="smaller samples")
    quick = parser.parse_args().quick
    failed = []
    for script, full, small in FIGURES:
        arguments = small if quick else full
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        start = time.perf_counter()
        code = subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode
        print(f"-- {time.perf_counter() - start:.0f} s", flush=True)
        if code:
            failed.append(script)
    if failed:
        print(f"Did not finish: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
