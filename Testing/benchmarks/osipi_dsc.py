# SPDX-License-Identifier: Apache-2.0
"""Error of flow on the public OSIPI DSC curves, every method that takes single curves, with the settings it has for all scans.

    python Testing/benchmarks/osipi_dsc.py [--file ../shared/data/osipi_dsc/dsc_data.csv]

14 curves with known CBF, CNR 200, TR 1.243 s (OSIPI DCE-DSC-MRI CodeCollection, Apache-2.0), in mL/100 mL/min. Goals: 1.9 by the
best method, 2.6 by osvd.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from PerfusionSuiteLib.deconvolution import METHODS, deconvolve
from PerfusionSuiteLib.fitting import METHODS as MODELS
from PerfusionSuiteLib.fitting import fit

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "osipi_dsc" / "dsc_data.csv"
BEST_GOAL, OSVD_GOAL = 1.9, 2.6


def main() -> int:
    """Print mean and largest error of each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=FILE)
    path = parser.parse_args().file
    if not path.is_file():
        print(f"The curves are not at '{path}'. Get dsc_data.csv from the OSIPI CodeCollection and name it with --file.")
        return 0
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    tissue = np.array([np.array(row["C_tis"].split(), float) for row in rows])
    aif = np.array(rows[0]["C_aif"].split(), float)
    times = float(rows[0]["tr"]) * np.linspace(0, aif.size - 1, aif.size)
    truth = np.array([float(row["cbf"]) for row in rows])
    constants = {"density": 1.0, "hematocrit_factor": 1.0}
    errors = {}
    single = (name for name, model in MODELS.items() if not model.on_grid and "dsc" in model.modalities)
    for name in (*METHODS, *single):
        maps = (
            deconvolve(tissue, aif, times, method=name, **constants)
            if name in METHODS
            else fit(tissue, aif, times, method=name, **constants)[0]
        )
        error = np.abs(maps["cbf"] - truth)
        known = np.isfinite(error)
        errors[name] = float(error.mean()) if known.all() else np.inf
        left_out = "" if known.all() else f"  ({(~known).sum()} of {known.size} without a value: transit time at its bound)"
        print(f"{name:11s} mean {error[known].mean():5.2f}  largest {error[known].max():5.2f} mL/100 mL/min{left_out}")
    best = min(errors, key=lambda name: errors[name])
    for what, value, goal in (("best: " + best, errors[best], BEST_GOAL), ("osvd", errors["osvd"], OSVD_GOAL)):
        print(f"{what:18s} {value:5.2f}  goal {goal:g}: {'reached' if value <= goal else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
