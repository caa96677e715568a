# SPDX-License-Identifier: Apache-2.0
"""How far the whole chain is from the truth of digital patients.

    python Testing/benchmarks/chain_accuracy.py [--patients 4] [--noise 4] [--residue box] [--methods csvd nlr] [--seeds 31 32]

Prints one line per patient and method, then medians by class of residue. Figure seeds come from the commit (see
figure_seeds.py); ``--development`` takes 1, 2, 3 ... and ``--seeds`` the given ones instead. Dice is given on the scored voxels
(less than 20 % vessel, bone and fluid, not late by nature) and on all voxels, at the place where the study sees the head.
Medians of the Tmax Dice are over lesions of at least 10 mL, of the core Dice over cores of at least 5 mL.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.evaluation import dice, seen_truth

COLUMNS = (
    "tmax_dice",
    "tmax_all",
    "core_dice",
    "core_all",
    "hypo_ml",
    "true_hypo_ml",
    "core_ml",
    "true_core_ml",
    "cbf_bias_%",
    "cbf_r",
    "tmax_r",
    "aif_err_%",
    "s",
)


def score(study: Any, truth: Any, seconds: float) -> dict[str, float]:
    """Return the columns of the table for one study."""
    counted = truth.masks["scored"]
    scored = counted & study.masks.brain
    normal = scored & ~truth.masks["hypoperfusion"]
    cbf, tmax = study.maps["cbf"].values, study.maps["tmax"].values
    both = scored & np.isfinite(cbf) & np.isfinite(tmax) & np.isfinite(truth.maps["cbf"])
    ml = abs(np.linalg.det(study.maps.affine[:3, :3])) / 1000.0
    lesions = study.lesions
    area = np.trapezoid(study.aif.values, study.aif.times_s)
    true_area = np.trapezoid(np.interp(study.aif.times_s, truth.times_s, truth.aif), study.aif.times_s)
    return {
        "tmax_dice": dice(lesions.hypoperfusion & counted, truth.masks["hypoperfusion"] & counted),
        "tmax_all": dice(lesions.hypoperfusion, truth.masks["hypoperfusion"]),
        "core_dice": dice(lesions.core & counted, truth.masks["core"] & counted),
        "core_all": dice(lesions.core, truth.masks["core"]),
        "hypo_ml": lesions.hypoperfusion.sum() * ml,
        "true_hypo_ml": truth.masks["hypoperfusion"].sum() * ml,
        "core_ml": lesions.core.sum() * ml,
        "true_core_ml": truth.masks["core"].sum() * ml,
        "cbf_bias_%": 100 * float(np.nanmedian((cbf / truth.maps["cbf"])[normal & both]) - 1),
        "cbf_r": float(np.corrcoef(cbf[both], truth.maps["cbf"][both])[0, 1]),
        "tmax_r": float(np.corrcoef(tmax[both], truth.maps["tmax"][both])[0, 1]),
        "aif_err_%": 100 * (area / true_area - 1),
        "s": seconds,
    }


def residue_class(truth: Any) -> str:
    """Return the family of a patient's residues: its name where all tissues share it, without the shape, else ``mixed``."""
    families = {str(name).partition(":")[0] for name in truth.parameters["residue"].values()}
    return families.pop() if len(set(truth.parameters["residue"].values())) == 1 else "mixed"


def medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians of a group of patients, each Dice over those whose lesion is large enough to be judged."""
    result = {}
    for name in COLUMNS:
        least, of = {"tmax": (10.0, "true_hypo_ml"), "core": (5.0, "true_core_ml")}.get(name.partition("_")[0], (0.0, ""))
        kept = [row[name] for row in rows if not (of and name != "core_ml") or row[of] >= least]
        result[name] = float(np.nanmedian(kept)) if kept else float("nan")
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--residue", default=None)
    parser.add_argument("--recipe", default="typical")
    parser.add_argument("--methods", nargs="+", default=[pipeline.DEFAULT_METHOD], choices=list(pipeline.methods()))
    parser.add_argument("--noise-reduction", default="auto")
    parser.add_argument("--no-motion-correction", action="store_true")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+")
    options = parser.parse_args()
    given = list(range(1, options.patients + 1)) if options.development else options.seeds
    seeds = given or figure_seeds(options.patients)
    drawn = options.residue or "drawn"
    print(f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  noise {options.noise:g} HU  residue {drawn}")
    print(f"{'seed':>11s} {'site':12s} {'residue':12s} {'method':11s}" + "".join(f"{name:>13s}" for name in COLUMNS), flush=True)
    rows: dict[str, list[dict[str, Any]]] = {method: [] for method in options.methods}
    for seed in seeds:
        series, truth = phantom.ctp(
            seed=seed, recipe=options.recipe, noise_hu=options.noise, residue=options.residue,
            shape=(192, 192, 12), spacing_mm=(1.15, 1.15, 8.0), interval_s=1.0,
        )  # fmt: skip
        for method in options.methods:
            start = time.perf_counter()
            settings = pipeline.Settings(
                method=method, noise_reduction=options.noise_reduction, motion_correction=not options.no_motion_correction
            )
            study = pipeline.run(series, settings)
            row = score(study, seen_truth(study, truth), time.perf_counter() - start)
            rows[method].append({**row, "residue": residue_class(truth)})
            site = str(truth.parameters["lesion"]["site"])
            print(
                f"{seed:11d} {site:12s} {residue_class(truth):12s} {method:11s}"
                + "".join(f"{row[name]:13.2f}" for name in COLUMNS),
                flush=True,
            )
    for method, found in rows.items():
        for family in (*sorted({row["residue"] for row in found}), "all"):
            numbers = medians([row for row in found if family in (row["residue"], "all")])
            line = "".join(f"{numbers[name]:13.2f}" for name in COLUMNS)
            print(f"{'median':>11s} {'':12s} {family:12s} {method:11s}" + line, flush=True)


if __name__ == "__main__":
    main()
