# SPDX-License-Identifier: Apache-2.0
"""How often the 68 % intervals of flow and Tmax hold the truth of digital patients, the automatic artery included.

    python Testing/benchmarks/interval_coverage.py [--patients 4] [--methods bayes spatial] [--modality ctp] [--noise 4] [--small]

One line per patient and method: share of the scored voxels whose truth lies within one standard error, the median error, and
whether the artery was doubted; then medians over patients (goal 60 to 76 %). Figure seeds come from the commit (figure_seeds.py);
``--seeds`` takes the given ones. ``--small`` makes scans of 96 x 96 x 6 voxels, for a quick look.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.evaluation import seen_truth
from PerfusionSuiteLib.evaluation.neural_scores import coverage
from PerfusionSuiteLib.fitting.artery_error import DOUBTS

KEYS = ("cbf", "tmax")
GOAL_PERCENT = (60.0, 76.0)


def patient(options: argparse.Namespace, seed: int) -> tuple[Any, Any]:
    """Return a digital patient and its truth."""
    small: dict[str, Any] = {"shape": (96, 96, 6), "spacing_mm": (2.2, 2.2, 10.0)}
    if options.modality == "dsc":
        return phantom.dsc(seed=seed, **(small if options.small else {"shape": (96, 96, 10), "spacing_mm": (2.3, 2.3, 7.0)}))
    usual: dict[str, Any] = {"shape": (128, 128, 10), "spacing_mm": (1.7, 1.7, 9.0)}
    return phantom.ctp(seed=seed, noise_hu=options.noise, interval_s=1.0, **(small if options.small else usual))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--methods", nargs="+", default=["bayes", "spatial"])
    parser.add_argument("--modality", choices=("ctp", "dsc"), default="ctp")
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    seeds = options.seeds or figure_seeds(options.patients)
    print(f"commit {commit_id()}  {options.modality}  seeds {' '.join(map(str, seeds))}", flush=True)
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in seeds:
        series, truth = patient(options, seed)
        for method in options.methods:
            study = pipeline.run(series, pipeline.Settings(method=method))
            seen = seen_truth(study, truth)
            scored = seen.masks["scored"] & study.masks.brain
            words = []
            for key in KEYS:
                values, spread, known = study.maps[key].values, study.maps[f"{key}_sd"].values, seen.maps[key]
                held = coverage(values, spread, known, scored)[68]
                shares[method, key].append(held)
                words.append(f"{key} {held:3.0f} % (median error {float(np.nanmedian((values - known)[scored])):+.2f})")
            doubted = "artery doubted" if DOUBTS & {finding.code for finding in study.aif.findings} else ""
            print(f"{seed:11d}  {method:8s}  {'  '.join(words)}  {doubted}", flush=True)
    for (method, key), found in shares.items():
        middle = float(np.median(found))
        goal = f"goal {GOAL_PERCENT[0]:.0f} to {GOAL_PERCENT[1]:.0f} %"
        verdict = "reached" if GOAL_PERCENT[0] <= middle <= GOAL_PERCENT[1] else "missed"
        text = f"68 % intervals hold the truth, median over {len(found)} patients: {middle:.0f} %"
        print(f"{method:8s} {key:5s} {text} ({goal}, {verdict})")


if __name__ == "__main__":
    main()
