# SPDX-License-Identifier: Apache-2.0
"""How well the analytic crop could be known at best: voxels averaged with those that are alike in truth, then fitted one by one.

    python Testing/benchmarks/neural_ceiling.py [--anatomies 2] [--noise 2 4] [--development]

Neighbors within 9 mm (three slices) or 14 mm (seven) are weighted by the distance of their noise-free curves, which no real
filter knows; the right family (box) is given, and of several widths the best one for each map is taken with knowledge of the
truth. The noise-free scan is fitted voxel by voxel: what is left are voxels that hold two tissues, where the rim of the lesion
or of its core runs through.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from figure_seeds import commit_id, figure_seeds
from neural_comparators import KEYS

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import no_progress
from PerfusionSuiteLib.core.geometry import voxel_sizes
from PerfusionSuiteLib.evaluation.neural_estimate import Estimator, estimate
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition, FieldScan, make_scan
from PerfusionSuiteLib.prepare.neighbors import distance_mm, weighted_average, window

AREAS = ((9.0, 1), (14.0, 3))
"""Radius in mm, and slices above and below."""

WIDTHS_HU2 = (5.0, 13.0, 45.0, 135.0)
"""Squared distances of noise-free curves, summed over frames, at which the weight is 1/e."""

MASKS = {"all voxels": "scored", "without rims": "uniform"}
BOX_FIT = Estimator("box", "nlr", "none")


def main() -> None:
    """Print errors of the oracle and of the noise-free fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomies", type=int, default=2)
    parser.add_argument("--noise", type=float, nargs="+", default=[2.0, 4.0])
    parser.add_argument("--development", action="store_true")
    options = parser.parse_args()
    seeds = list(range(11, 11 + options.anatomies)) if options.development else figure_seeds(options.anatomies)
    print(f"commit {commit_id()}  seeds {' '.join(map(str, seeds))}", flush=True)
    clean = {seed: crop(seed, 0.0) for seed in seeds}
    show("noise-free, every voxel for itself", [[errors(scan)] for scan in clean.values()])
    for noise in options.noise:
        found = [list(oracle(crop(seed, noise), clean[seed])) for seed in seeds]
        show(f"{noise:g} HU, neighbors by noise-free curves", found)


def crop(seed: int, noise_hu: float) -> FieldScan:
    """Make a crop with box residues."""
    series, truth = phantom.brain(seed=seed, noise_hu=noise_hu, residue="box", crop=True)
    return make_scan(series, truth, FieldCondition("crop", "box", noise_hu))


def oracle(scan: FieldScan, clean: FieldScan) -> Iterator[dict[tuple[str, str], float]]:
    """Yield errors after averaging by the noise-free curves, for each area and width."""
    spacing, mask = voxel_sizes(scan.concentration.affine), scan.concentration.mask
    noisy, known = scan.concentration.data[mask], clean.concentration.data[mask]
    for radius, slices in AREAS:
        plane = [(0, 0, 0), *window(radius, spacing)]
        nearness = {offset: float(np.exp(-0.5 * (distance_mm(offset, spacing) / (0.75 * radius)) ** 2)) for offset in plane}
        around = [
            ((i, j, k), near)
            for k in range(-slices, slices + 1)
            for (i, j, _), near in nearness.items()
            if (i, j, k) != (0, 0, 0)
        ]
        for width in WIDTHS_HU2:
            averaged = weighted_average(noisy, known / np.float32(np.sqrt(width)), mask, around, likeness, no_progress)
            data = np.zeros_like(scan.concentration.data)
            data[mask] = averaged
            yield errors(replace(scan, concentration=replace(scan.concentration, data=data)))


def likeness(distance: np.ndarray) -> np.ndarray:
    """Weight by squared distance."""
    return np.asarray(np.exp(-distance))


def errors(scan: FieldScan) -> dict[tuple[str, str], float]:
    """Return root-mean-square errors of a box fit in every voxel."""
    maps, found = estimate(BOX_FIT, scan).maps, {}
    for region, name in MASKS.items():
        where = scan.masks[name]
        for key in KEYS:
            found[region, key] = float(np.sqrt(np.nanmean((maps[key][where] - scan.truth[key][where]) ** 2)))
    return found


def show(what: str, found: list[list[dict[tuple[str, str], float]]]) -> None:
    """Print the best setting of each anatomy, averaged over anatomies."""
    for region in MASKS:
        numbers = "  ".join(f"{key} {np.mean([min(row[region, key] for row in rows) for rows in found]):.2f}" for key in KEYS)
        print(f"{what:44s} {region:14s} RMSE {numbers}", flush=True)


if __name__ == "__main__":
    main()
