# SPDX-License-Identifier: Apache-2.0
"""How well a perfect estimator could score with our tissue masks, and what they let through.

    python Testing/benchmarks/mask_ceiling.py [--patients 4] [--seeds 31 32] [--noise 4] [--recipe typical] [--motion none]
        [--shape 192 192 12] [--spacing 1.15 1.15 8]

Prints one line per digital patient, then medians and extremes. The true maps are thresholded (Tmax > 6 s, flow below
30 % of normal tissue of the other side), the counted tissue of `lesion.tissue` and the cluster rule of
`lesion.segmentation` are applied, and the result is compared with the true lesion: on scored voxels (less than 20 %
vessel, bone and fluid each) and on all. White matter that is late by nature belongs to no true lesion and is left out
here; what a map shows in an old infarct or in a voxel with little tissue counts as false. Dice of lesions below 10 mL
and of cores below 5 mL is printed, but not summarized. Figure seeds come from the commit.

Columns: ``rule_...`` is the Dice of the true lesion after the cluster rule alone, which no mask can exceed by much;
``false_ml`` is counted although less than 25 % of it are tissue, of that ``vessel_ml`` mostly vessel and ``bone_ml``
more than 20 % bone; ``mixed_ml`` is counted with more than 20 % vessel, ``marked_ml`` marked as lesion outside of the
true one; ``-...`` is true lesion that is lost, by the first reason that applies; ``s`` the time that the masks took.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import phantom, prepare
from PerfusionSuiteLib.core.geometry import voxel_volume_ml
from PerfusionSuiteLib.core.maps import PerfusionMaps
from PerfusionSuiteLib.evaluation import dice, seen_truth
from PerfusionSuiteLib.lesion.clusters import without_small_clusters
from PerfusionSuiteLib.lesion.presets import find_preset
from PerfusionSuiteLib.lesion.tissue import CountedTissue, counted_tissue

LATE_S, DEAD_SHARE, NORMAL_S = 6.0, 0.30, 4.0
LEAST_TISSUE = 0.25
"""Voxels with less tissue belong to no true lesion."""

VESSEL_SHARE, MIN_CLUSTER_ML = 0.2, 1.0
LEAST_ML = {"tmax": 10.0, "core": 5.0}


def counted_of(masks: Any, concentration: Any, truth: Any) -> CountedTissue:
    """Return the counted tissue of the true Tmax and the measured volume of blood, known wherever the chain has curves."""
    tmax = np.where(concentration.mask, np.nan_to_num(truth.maps["tmax"]), np.nan).astype(np.float32)
    area = np.where(concentration.mask, concentration.data.mean(axis=-1), np.nan)  # blood volume on a scale of its own
    maps = PerfusionMaps.from_arrays({"tmax": tmax, "cbv": area}, concentration.affine)
    return counted_tissue(maps, find_preset("ct-perfusion-auto"), masks=masks)


def ceiling(masks: Any, counted: CountedTissue, truth: Any) -> dict[str, float]:
    """Return the columns of the table for one patient."""
    ml = voxel_volume_ml(truth.affine)
    true, core, scored = (truth.masks[name] for name in ("hypoperfusion", "core", "scored"))
    amount = sum(truth.fractions[name] for name in ("gm", "wm", "deep"))
    vessel, tissue = truth.fractions["artery"] + truth.fractions["vein"], counted.tissue
    false = ~true & (truth.masks["old_infarct"] | (amount <= LEAST_TISSUE)) & (np.nan_to_num(truth.maps["tmax"]) > LATE_S)
    found = without_small_clusters(tissue & (true | false), ml, MIN_CLUSTER_ML)
    low = truth.maps["cbf"] < DEAD_SHARE * _normal_flow(truth)
    dead = without_small_clusters(found & (core | (false & low)), ml, MIN_CLUSTER_ML)
    row = {
        "tmax_scored": dice(found & scored, true & scored),
        "tmax_all": dice(found, true),
        "core_scored": dice(dead & scored, core & scored),
        "core_all": dice(dead, core),
        "rule_tmax": dice(without_small_clusters(true, ml, MIN_CLUSTER_ML), true),
        "rule_core": dice(without_small_clusters(core, ml, MIN_CLUSTER_ML), core),
        "brain": dice(masks.brain, truth.masks["brain"]),
        "csf": dice(masks.csf, truth.masks["csf"]),
        "vessel": dice(masks.vessel, truth.masks["vessel"]),
        "hypo_ml": true.sum() * ml,
        "core_ml": core.sum() * ml,
    }
    nothing = tissue & (amount <= LEAST_TISSUE)
    row |= {
        "false_ml": nothing.sum() * ml,
        "vessel_ml": (nothing & (vessel > 0.5)).sum() * ml,
        "bone_ml": (nothing & (truth.fractions["bone"] > VESSEL_SHARE)).sum() * ml,
        "mixed_ml": (tissue & (vessel > VESSEL_SHARE)).sum() * ml,
        "marked_ml": (found & ~true).sum() * ml,
    }
    left = true.copy()
    for name, mask in _reasons(masks, counted).items():
        row[f"-{name}"] = (left & mask).sum() * ml
        left &= ~mask
    row["-cluster"] = (left & ~found).sum() * ml
    return row


def _normal_flow(truth: Any) -> float:
    normal = truth.masks["scored"] & (truth.maps["tmax"] <= NORMAL_S)
    if truth.side in ("left", "right"):
        index = np.indices(normal.shape).reshape(3, -1)
        signed = truth.midplane[:3] @ (truth.affine[:3, :3] @ index + truth.affine[:3, 3:]) - truth.midplane[3]
        normal &= ((signed > 0) == (truth.side == "left")).reshape(normal.shape)
    return float(truth.maps["cbf"][normal].mean()) if normal.any() else 0.0


def _reasons(masks: Any, counted: CountedTissue) -> dict[str, Any]:
    """Return where voxels are left out, the first reason first."""
    return {"outside": ~masks.brain, **counted.removed}


def prepared(seed: int, options: argparse.Namespace) -> tuple[Any, Any, Any, float]:
    """Return masks, concentration and truth of a digital patient, and the time that the masks took."""
    series, truth = phantom.ctp(
        seed=seed, recipe=options.recipe, noise_hu=options.noise, motion=options.motion, shape=tuple(options.shape),
        spacing_mm=tuple(options.spacing), interval_s=1.0,
    )  # fmt: skip
    series, motion = prepare.correct_motion(prepare.common_times(series))
    start = time.perf_counter()
    masks = prepare.tissue_masks(series)
    seconds = time.perf_counter() - start
    concentration = prepare.regular_times(prepare.ct_concentration(series, masks, overwrite=True))
    return masks, concentration, seen_truth(SimpleNamespace(motion=motion), truth), seconds


def summary(rows: list[dict[str, float]]) -> str:
    """Return medians and minima, each Dice of a lesion over those that are large enough to be judged."""
    lines = []
    for title, function in (("median", np.median), ("min", np.min), ("max", np.max)):
        cells = []
        for name in rows[0]:
            least = LEAST_ML.get(name.partition("_")[0], 0.0) if name.endswith(("_scored", "_all")) else 0.0
            volume = "core_ml" if name.startswith("core") else "hypo_ml"
            kept = [row[name] for row in rows if row[volume] >= least]
            cells.append(function(kept) if kept else float("nan"))
        lines.append(line(title, dict(zip(rows[0], cells, strict=True))))
    return "\n".join(lines)


def line(title: str, row: dict[str, float]) -> str:
    """Return one line of the table."""
    return f"{title:24s}" + "".join(f"{value:12.3f}" if abs(value) < 2 else f"{value:12.1f}" for value in row.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--noise", type=float, default=None, help="HU; by default the recipe's")
    parser.add_argument("--recipe", default="typical", choices=("clean", "typical", "hard"))
    parser.add_argument("--motion", default=None, choices=("none", "drift", "nod", "jerks"))
    parser.add_argument("--shape", type=int, nargs=3, default=(192, 192, 12))
    parser.add_argument("--spacing", type=float, nargs=3, default=(1.15, 1.15, 8.0))
    options = parser.parse_args()
    seeds = options.seeds or figure_seeds(options.patients)
    print(f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  noise {options.noise}  motion {options.motion}")
    rows: list[dict[str, float]] = []
    for seed in seeds:
        masks, concentration, truth, seconds = prepared(seed, options)
        row = ceiling(masks, counted_of(masks, concentration, truth), truth) | {"s": seconds}
        if not rows:
            print(f"{'':24s}" + "".join(f"{name:>12s}" for name in row))
        rows.append(row)
        print(line(f"{seed} {truth.parameters['lesion']['site']}", row), flush=True)
    print(summary(rows))


if __name__ == "__main__":
    main()
