# SPDX-License-Identifier: Apache-2.0
"""How far the whole chain is from the truth of digital patients.

    python Testing/benchmarks/chain_accuracy.py [--patients 4] [--noise 4] [--residue box] [--methods osvd csvd nlr]

Prints one line per patient and method, and the medians. Figure seeds come from the commit (see figure_seeds.py);
``--development`` takes seeds below 1000 instead.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds
from PerfusionSuiteLib.evaluation import dice

from PerfusionSuiteLib import phantom, pipeline

COLUMNS = (
    "tmax_dice",
    "core_dice",
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
    scored = truth.masks["scored"] & study.masks.brain
    normal = scored & ~truth.masks["hypoperfusion"]
    cbf, tmax = study.maps["cbf"].values, study.maps["tmax"].values
    both = scored & np.isfinite(cbf) & np.isfinite(tmax) & np.isfinite(truth.maps["cbf"])
    ml = abs(np.linalg.det(study.maps.affine[:3, :3])) / 1000.0
    lesions = study.lesions
    area = np.trapezoid(study.aif.values, study.aif.times_s)
    true_area = np.trapezoid(np.interp(study.aif.times_s, truth.times_s, truth.aif), study.aif.times_s)
    return {
        "tmax_dice": dice(lesions.hypoperfusion, truth.masks["hypoperfusion"]),
        "core_dice": dice(lesions.core, truth.masks["core"]),
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--residue", default=None)
    parser.add_argument("--recipe", default="typical")
    parser.add_argument("--methods", nargs="+", default=["osvd", "csvd", "nlr"], choices=list(pipeline.methods()))
    parser.add_argument("--noise-reduction", default="similarity")
    parser.add_argument("--no-motion-correction", action="store_true")
    parser.add_argument("--development", action="store_true")
    options = parser.parse_args()
    seeds = list(range(1, options.patients + 1)) if options.development else figure_seeds(options.patients)
    print(
        f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  noise {options.noise:g} HU  residue {options.residue or 'drawn'}"
    )
    print(f"{'seed':>11s} {'site':12s} {'method':11s}" + "".join(f"{name:>13s}" for name in COLUMNS), flush=True)
    rows: dict[str, list[dict[str, float]]] = {method: [] for method in options.methods}
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
            row = score(pipeline.run(series, settings), truth, time.perf_counter() - start)
            rows[method].append(row)
            site = str(truth.parameters.get("site", ""))
            print(f"{seed:11d} {site:12s} {method:11s}" + "".join(f"{row[name]:13.2f}" for name in COLUMNS), flush=True)
    for method, found in rows.items():
        with_lesion = [row for row in found if row["true_hypo_ml"] >= 10]
        medians = {name: float(np.nanmedian([row[name] for row in (with_lesion or found)])) for name in COLUMNS}
        print(f"{'median':>11s} {'>= 10 mL':12s} {method:11s}" + "".join(f"{medians[name]:13.2f}" for name in COLUMNS))


if __name__ == "__main__":
    main()
