# SPDX-License-Identifier: Apache-2.0
"""What neural fields and the spatial fit are measured against, frozen; and the search that chose these settings.

    python Testing/benchmarks/neural_comparators.py [--tune similarity|gaussian] [--seeds 101 102] [--trials 80]

SVD behind the time-similarity filter, and behind an in-plane Gaussian; each tuned once for flow and once for Tmax on development
crops of the analytic brain (box residues, 2 and 4 HU together, seeds 101 and 102, with knowledge of the truth). Without
``--tune`` the frozen settings are printed with their errors on those crops.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from PerfusionSuiteLib import phantom, prepare
from PerfusionSuiteLib.evaluation.neural_estimate import Estimator, estimate
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition, FieldScan, make_scan

NOISE_HU = (2.0, 4.0)
TRUNCATIONS = (0.015, 0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.3, 0.35)
OSCILLATIONS = (0.06, 0.1)
SIGMAS_MM, FEW_TRUNCATIONS = (1.0, 1.8, 2.7, 4.0), (0.08, 0.16)
FILTERS = {
    "radius_mm": (6.0, 9.0, 13.0, 18.0), "sharpness": (0.2, 0.35, 0.6, 1.0, 1.5), "refine_mm": (5.0, 7.0, 10.0, 14.0, 20.0),
    "refine_spread": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), "refine_slices": (0, 1, 2, 3),
}  # fmt: skip
KEYS = ("cbf", "tmax")

CSVD_FOR_CBF, CSVD_FOR_TMAX = "SVD tuned for CBF", "SVD tuned for Tmax"
GAUSSIAN_FOR_CBF, GAUSSIAN_FOR_TMAX = "Gaussian + SVD for CBF", "Gaussian + SVD for Tmax"

COMPARATORS = (
    Estimator(
        CSVD_FOR_CBF, "csvd", "similarity",
        {"radius_mm": 9.0, "sharpness": 1.0, "refine_mm": 14.0, "refine_spread": 8.0, "refine_slices": 3}, {"truncation": 0.03},
    ),
    Estimator(
        CSVD_FOR_TMAX, "csvd", "similarity",
        {"radius_mm": 9.0, "sharpness": 0.2, "refine_mm": 5.0, "refine_spread": 1.0, "refine_slices": 3}, {"truncation": 0.3},
    ),
    Estimator(GAUSSIAN_FOR_CBF, "csvd", "gaussian", {"sigma_mm": 1.0}, {"truncation": 0.08}),
    Estimator(GAUSSIAN_FOR_TMAX, "csvd", "gaussian", {"sigma_mm": 1.8}, {"truncation": 0.16}),
)  # fmt: skip
"""Found by ``--tune similarity`` (the first two) and ``--tune gaussian`` (best of eight settings)."""


def scans(seeds: list[int], noises: tuple[float, ...] = NOISE_HU) -> Iterator[FieldScan]:
    """Make the crops that settings are chosen on."""
    for seed, noise in product(seeds, noises):
        series, truth = phantom.brain(seed=seed, noise_hu=noise, residue="box", crop=True)
        yield make_scan(series, truth, FieldCondition("crop", "box", noise))


def candidates(kind: str, trials: int) -> Iterator[tuple[str, dict[str, Any], list[Estimator]]]:
    """Yield a filter with its options and the methods that are tried behind it."""
    if kind == "gaussian":
        for sigma in SIGMAS_MM:
            yield "gaussian", {"sigma_mm": sigma}, behind("gaussian", {"sigma_mm": sigma}, FEW_TRUNCATIONS, ())
        return
    rng = np.random.default_rng(0)
    tried = [{key: float(rng.choice(values)) for key, values in FILTERS.items()} for _ in range(trials)]
    for options in ({}, *tried):  # the defaults of the product take part
        whole = {key: int(value) if key == "refine_slices" else value for key, value in options.items()}
        yield "similarity", whole, behind("similarity", whole, TRUNCATIONS, OSCILLATIONS)


def behind(
    reduction: str, options: dict[str, Any], truncations: tuple[float, ...], oscillations: tuple[float, ...]
) -> list[Estimator]:
    """Return csvd and osvd behind a filter, in every strength."""
    found = [Estimator(f"csvd {level:g}", "csvd", reduction, options, {"truncation": level}) for level in truncations]
    return found + [Estimator(f"osvd {level:g}", "osvd", reduction, options, {"oi_max": level}) for level in oscillations]


def errors(how: Estimator, scan: FieldScan) -> dict[str, float]:
    """Return the root-mean-square errors of flow and Tmax."""
    maps, where = estimate(how, scan).maps, scan.masks["scored"]
    return {key: float(np.sqrt(np.nanmean((maps[key][where] - scan.truth[key][where]) ** 2))) for key in KEYS}


def tune(kind: str, seeds: list[int], trials: int) -> None:
    """Print the best settings for flow and for Tmax."""
    material, best = list(scans(seeds)), dict.fromkeys(KEYS, (np.inf, ""))
    for reduction, options, methods in candidates(kind, trials):
        filtered = [once_filtered(reduction, options, scan) for scan in material]
        for how in methods:
            bare = Estimator(how.name, how.method, "none", {}, how.options)
            found = [errors(bare, scan) for scan in filtered]
            for key in KEYS:
                value = float(np.mean([numbers[key] for numbers in found]))
                if value < best[key][0]:
                    best[key] = value, f"{how.method} {dict(how.options)} behind {reduction} {options}"
                    print(f"{key:5s} {value:6.3f}  {best[key][1]}", flush=True)
    print("All have been tried; the last line of each is the best.")


def once_filtered(reduction: str, options: dict[str, Any], scan: FieldScan) -> FieldScan:
    """Return the scan with filtered curves, so that every strength of a method need not filter again."""
    concentration = prepare.reduce_noise(scan.concentration, method=reduction, **options)
    return replace(scan, concentration=concentration)


def main() -> None:
    """Tune, or print the frozen settings with their errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", choices=("similarity", "gaussian"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102])
    parser.add_argument("--trials", type=int, default=80)
    options = parser.parse_args()
    if options.tune:
        tune(options.tune, options.seeds, options.trials)
        return
    for how in COMPARATORS:
        found = [errors(how, scan) for scan in scans(options.seeds)]
        numbers = "  ".join(f"{key} {np.mean([row[key] for row in found]):.3f}" for key in KEYS)
        print(
            f"{how.name:24s} {numbers}  {how.method} {dict(how.options)} behind {how.noise_reduction} {dict(how.noise_options)}"
        )


if __name__ == "__main__":
    main()
