# SPDX-License-Identifier: Apache-2.0
"""How well the analytic crop could be known at best: voxels averaged with those that are alike in truth, then fitted one by one.

    python Testing/benchmarks/neural_ceiling.py [--anatomies 2] [--noise 2 4] [--development] [--parameters]

Neighbors within 9 mm (three slices) or 14 mm (seven) are weighted by the distance of their noise-free curves, which no real
filter knows; the right family (box) is given, and of several widths the best one for each map is taken with knowledge of the
truth. ``--parameters`` prints a second oracle and the goals instead: every voxel is linearized at its true parameters, and Tmax
is averaged over neighbors within 8 or 12 mm (five slices) of the same true Tmax and blood volume, as a plane in space and in ln
CBV; beside it the fit of the product and the rivals. Where this oracle is below a goal, the goal is not shown to be out of
reach. The noise-free scan is fitted voxel by voxel: what is left are voxels that hold two tissues, where the rim of the lesion
or of its core runs through.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from figure_seeds import commit_id, figure_seeds
from neural_comparators import COMPARATORS, CSVD_FOR_CBF, CSVD_FOR_TMAX, KEYS

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import no_progress
from PerfusionSuiteLib.core.constants import flow_factor
from PerfusionSuiteLib.core.geometry import voxel_sizes
from PerfusionSuiteLib.evaluation.neural_estimate import Estimator, estimate, estimator
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition, FieldScan, make_scan
from PerfusionSuiteLib.fitting.manifold import Manifold
from PerfusionSuiteLib.fitting.response_table import ResponseTable
from PerfusionSuiteLib.prepare.neighbors import distance_mm, weighted_average, window

AREAS = ((9.0, 1), (14.0, 3))
"""Radius in mm, and slices above and below."""

WIDTHS_HU2 = (5.0, 13.0, 45.0, 135.0)
"""Squared distances of noise-free curves, summed over frames, at which the weight is 1/e."""

MASKS = {"all voxels": "scored", "without rims": "uniform"}

PLANES_MM, PLANE_SLICES, PLANE_PAD = (8.0, 12.0), 2, 20
PLANE_UNIT, PLANE_RIDGE = np.array([0.25, 0.3]), (4.0, 4.0, 4.0, 0.5)
"""Radii in mm and slices to either side; differences of true ln CBV and Tmax at which the weight is exp(-1/2); what keeps slopes
in mm and in ln CBV finite."""

BOX_FIT = Estimator("box", "nlr", "none")


def main() -> None:
    """Print errors of the oracle and of the noise-free fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomies", type=int, default=2)
    parser.add_argument("--noise", type=float, nargs="+", default=[2.0, 4.0])
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--parameters", action="store_true")
    options = parser.parse_args()
    seeds = list(range(11, 11 + options.anatomies)) if options.development else figure_seeds(options.anatomies)
    print(f"commit {commit_id()}  seeds {' '.join(map(str, seeds))}", flush=True)
    if options.parameters:
        for noise in options.noise:
            compare([crop(seed, noise) for seed in seeds], noise)
        return
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


def compare(scans: list[FieldScan], noise_hu: float) -> None:
    """Print the oracle that knows all parameters, the fits of the product and the rivals, with the goals that follow."""
    rows = {
        f"oracle by true parameters, {radius:g} mm": [known_parameters(scan, radius) for scan in scans] for radius in PLANES_MM
    }
    rivals = {how.name: how for how in COMPARATORS if how.name in (CSVD_FOR_CBF, CSVD_FOR_TMAX)}
    for name, how in ({name: estimator(name) for name in ("spatial", "spatial:guided")} | rivals).items():
        rows[name] = [estimate(how, scan).maps for scan in scans]
    means = {}
    for name, maps in rows.items():
        found = [scores(values, scan) for values, scan in zip(maps, scans, strict=True)]
        means[name] = {key: float(np.mean([row["all voxels", key] for row in found])) for key in KEYS if key in maps[0]}
        print(f"{noise_hu:g} HU, {name:32s} " + "  ".join(f"{key} {value:.2f}" for key, value in means[name].items()), flush=True)
    cbf, tmax = means[CSVD_FOR_CBF]["cbf"], means[CSVD_FOR_TMAX]["tmax"]
    print(f"{noise_hu:g} HU, goals: CBF {0.8 * cbf:.2f} unguided, {0.65 * cbf:.2f} guided; Tmax {0.6 * tmax:.2f}", flush=True)


def known_parameters(scan: FieldScan, radius_mm: float) -> dict[str, np.ndarray]:
    """Average what each curve says about Tmax, linearized at the truth, over neighbors with the same truth."""
    mask, spacing = scan.concentration.mask, voxel_sizes(scan.concentration.affine)
    manifold = Manifold(ResponseTable(scan.concentration.times_s, scan.aif, "box", 0.0), rank=10)
    cbv, tmax, mtt = (np.nan_to_num(scan.truth[key][mask], nan=low) for key, low in (("cbv", 0.1), ("tmax", 2.0), ("mtt", 4.0)))
    true = np.stack([np.log(np.maximum(cbv, 1e-2) * 60.0 / flow_factor()), tmax, np.log(np.maximum(mtt, 1.3))])
    theta = manifold.bounded(torch.tensor(true, dtype=torch.float32), 1e-5)
    few = manifold.compress(torch.from_numpy(scan.concentration.data[mask]))[0]
    blocks, slope, _ = manifold.explain(few, theta)
    told = blocks[2].numpy()
    full = np.full(mask.shape, np.nan)
    full[mask] = planes(theta.numpy(), tmax + slope[1].numpy() / told, told / told.mean(), mask, spacing, radius_mm)
    return {"tmax": full}


def planes(
    true: np.ndarray, aims: np.ndarray, told: np.ndarray, mask: np.ndarray, spacing: np.ndarray, radius_mm: float
) -> np.ndarray:
    """Fit a plane in space and ln CBV to the aims around every voxel; return its values there."""
    area, slices = [(0, 0, 0), *window(radius_mm, spacing)], range(-PLANE_SLICES, PLANE_SLICES + 1)
    places, number = np.argwhere(mask), np.full(np.add(mask.shape, 2 * PLANE_PAD), -1)
    number[tuple((places + PLANE_PAD).T)] = np.arange(len(places))
    normal, right = np.zeros((len(places), 5, 5)), np.zeros((len(places), 5))
    for i, j, k in ((i, j, k) for i, j, _ in area for k in slices):
        other = number[tuple((places + PLANE_PAD + (i, j, k)).T)]
        here = np.flatnonzero(other >= 0)
        other = other[here]
        difference, way = true[:2, other] - true[:2, here], np.array([i, j, k]) * spacing
        far = np.hypot(np.hypot(way[0], way[1]), 0.5 * way[2]) / (0.6 * radius_mm)
        near = np.exp(-0.5 * far**2 - 0.5 * ((difference / PLANE_UNIT[:, None]) ** 2).sum(axis=0))
        basis = np.column_stack([np.ones(here.size), np.broadcast_to(way, (here.size, 3)), difference[0]])
        weight = (near * told[other])[:, None] * basis
        normal[here] += weight[:, :, None] * basis[:, None, :]
        right[here] += weight * aims[other][:, None]
    normal += np.diag([1e-9, *PLANE_RIDGE])
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0, 0])


def likeness(distance: np.ndarray) -> np.ndarray:
    """Weight by squared distance."""
    return np.asarray(np.exp(-distance))


def errors(scan: FieldScan) -> dict[tuple[str, str], float]:
    """Return root-mean-square errors of a box fit in every voxel."""
    return scores(estimate(BOX_FIT, scan).maps, scan)


def scores(maps: Mapping[str, np.ndarray], scan: FieldScan) -> dict[tuple[str, str], float]:
    """Return root-mean-square errors of maps."""
    found = {}
    for region, name in MASKS.items():
        where = scan.masks[name]
        for key in (key for key in KEYS if key in maps):
            found[region, key] = float(np.sqrt(np.nanmean((maps[key][where] - scan.truth[key][where]) ** 2)))
    return found


def show(what: str, found: list[list[dict[tuple[str, str], float]]]) -> None:
    """Print the best setting of each anatomy, averaged over anatomies."""
    for region in MASKS:
        numbers = "  ".join(f"{key} {np.mean([min(row[region, key] for row in rows) for rows in found]):.2f}" for key in KEYS)
        print(f"{what:44s} {region:14s} RMSE {numbers}", flush=True)


if __name__ == "__main__":
    main()
