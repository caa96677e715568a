# SPDX-License-Identifier: Apache-2.0
"""How far the whole chain is from the truth of digital patients.

    python Testing/benchmarks/chain_accuracy.py [--patients 4] [--noise 4] [--residue box exponential] [--methods csvd nlr]
        [--seeds 31 32] [--rows FILE.csv]

Prints one line per patient and method, then medians by class of residue. Figure seeds come from the commit (see
figure_seeds.py); ``--seeds-of`` takes those of another commit, ``--development`` takes 1, 2, 3 ... and ``--seeds`` the given ones
instead. With ``--rows`` every patient is written down at once, and a run that was stopped goes on where it was (with the seeds
of the commit that it began at, and only with the same code).

Dice is given on the scored voxels (less than 20 % vessel, bone and fluid, not late by nature) and on all voxels, at the place
where the study sees the head. Medians of the Tmax Dice are over lesions of at least 10 mL, of the core Dice over cores of at
least 5 mL; the false core is the largest in a patient without any. ``cbf_68`` and ``tmax_68`` are shares of scored voxels whose
truth lies within one standard deviation. ``--core-network`` also draws the core with the preset of that name: ``core_net`` is
its Dice, ``net_ml`` its volume.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import lesion, phantom, pipeline
from PerfusionSuiteLib.evaluation import dice, seen_truth
from PerfusionSuiteLib.evaluation.row_file import append_rows, code_fingerprint, read_rows, refuse_other_code

COLUMNS = (
    "tmax_dice",
    "tmax_all",
    "core_dice",
    "core_all",
    "core_net",
    "hypo_ml",
    "true_hypo_ml",
    "core_ml",
    "net_ml",
    "true_core_ml",
    "cbf_bias_%",
    "cbf_r",
    "tmax_r",
    "aif_err_%",
    "cbf_68_%",
    "tmax_68_%",
    "s",
)
KEYS = ("commit", "code", "drawn", "noise", "recipe", "options", "seed", "method", "site", "residue", "motion_mm", "findings")
GRID: dict[str, Any] = {"shape": (192, 192, 12), "spacing_mm": (1.15, 1.15, 8.0), "interval_s": 1.0}


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
        "core_net": float("nan"),
        "core_ml": lesions.core.sum() * ml,
        "net_ml": float("nan"),
        "true_core_ml": truth.masks["core"].sum() * ml,
        "cbf_bias_%": 100 * float(np.nanmedian((cbf / truth.maps["cbf"])[normal & both]) - 1),
        "cbf_r": float(np.corrcoef(cbf[both], truth.maps["cbf"][both])[0, 1]),
        "tmax_r": float(np.corrcoef(tmax[both], truth.maps["tmax"][both])[0, 1]),
        "aif_err_%": 100 * (area / true_area - 1),
        "cbf_68_%": covered(study, truth, "cbf", both),
        "tmax_68_%": covered(study, truth, "tmax", both),
        "s": seconds,
    }


def of_network(study: Any, truth: Any, weights: str) -> dict[str, float]:
    """Return the columns of the core that a network draws in the same maps."""
    preset = lesion.edited_preset("core-network", {"core_network": weights})
    _, found = lesion.segment(
        study.maps,
        masks=study.masks,
        preset=preset,
        baseline=study.concentration.baseline,
        vof=study.vof,
        midplane=study.lesions.midplane,
    )
    counted = truth.masks["scored"]
    ml = abs(np.linalg.det(study.maps.affine[:3, :3])) / 1000.0
    return {"core_net": dice(found.core & counted, truth.masks["core"] & counted), "net_ml": found.core.sum() * ml}


def covered(study: Any, truth: Any, key: str, where: np.ndarray) -> float:
    """Return the percentage of voxels whose truth lies within one standard deviation; NaN without intervals."""
    if f"{key}_sd" not in study.maps:
        return float("nan")
    apart = np.abs(study.maps[key].values - truth.maps[key])[where]
    return 100 * float(np.mean(apart <= study.maps[f"{key}_sd"].values[where]))


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


def false_core_ml(rows: Sequence[dict[str, Any]]) -> str:
    """Say how large the core is where there is none."""
    found = [row["core_ml"] for row in rows if row["true_core_ml"] == 0]
    largest = f", worst {max(found):.1f} mL, {sum(ml <= 1.0 for ml in found)} with at most 1 mL" if found else ""
    return f"{len(found)} patients without core{largest}"


def by_motion(rows: Sequence[dict[str, Any]]) -> str:
    """Say how well lesions of still and of moved heads were found, and how far flow is off."""
    parts = []
    for name, some in (
        ("still", [row for row in rows if not row["motion_mm"]]),
        ("moved", [row for row in rows if row["motion_mm"]]),
    ):
        if some:
            found = medians(some)
            parts.append(f"{len(some)} {name}: Tmax {found['tmax_dice']:.2f}, core {found['core_dice']:.2f}")
    off = [abs(row["cbf_bias_%"]) for row in rows]
    return "; ".join(parts) + f"; flow off by {np.mean(off):.0f} % in the mean, at most {max(off):.0f} %"


def analyze(seed: int, drawn: str, method: str, options: argparse.Namespace, scan: tuple[Any, Any]) -> dict[str, Any]:
    """Run the chain on one scan; return a row."""
    series, truth = scan
    start = time.perf_counter()
    settings = pipeline.Settings(
        method=method, noise_reduction=options.noise_reduction, motion_correction=not options.no_motion_correction
    )
    study = pipeline.run(series, settings)
    seen = seen_truth(study, truth)
    return {
        **score(study, seen, time.perf_counter() - start),
        **(of_network(study, seen, options.core_network) if options.core_network else {}),
        **labels(drawn, options),
        "seed": seed,
        "method": method,
        "site": str(truth.parameters["lesion"]["site"]),
        "residue": residue_class(truth),
        "motion_mm": float(truth.parameters["motion"]["farthest_mm"]),
        "findings": " ".join(dict.fromkeys(f.code for f in study.findings if f.severity != "info")),
    }


def labels(drawn: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a row was made with."""
    motion = "uncorrected" if options.no_motion_correction else "corrected"
    return {
        "commit": commit_id(), "code": code_fingerprint(), "drawn": drawn, "noise": f"{options.noise:g}",
        "recipe": options.recipe, "options": f"{options.noise_reduction} {motion}{' network' if options.core_network else ''}",
    }  # fmt: skip


def known_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Read what an earlier run wrote down."""
    if options.rows is None:
        return []
    rows = read_rows(options.rows, (*KEYS, *COLUMNS))
    refuse_other_code(rows, options.rows, any_code=False)
    numbers = (*COLUMNS, "motion_mm")
    return [{**row, **{name: float(row[name] or "nan") for name in numbers}, "seed": int(row["seed"])} for row in rows]


def chosen_seeds(options: argparse.Namespace, known: Sequence[dict[str, Any]]) -> list[int]:
    """Return the seeds: given ones, or those of the commit that the run began at."""
    if options.seeds or options.development:
        return options.seeds or list(range(1, options.patients + 1))
    return figure_seeds(options.patients, options.seeds_of or (known[0]["commit"] if known else None))


def shown(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    head = f"{row['seed']:>11} {row['site']:12s} {row['residue']:12s} {row['method']:11s}"
    return head + "".join(f"{row[name]:13.2f}" for name in COLUMNS) + f"  {row.get('findings', '')}"


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--residue", nargs="+", default=["drawn"], help="one or several; each patient is made with each")
    parser.add_argument("--recipe", default="typical")
    parser.add_argument("--methods", nargs="+", default=[pipeline.default_method("ctp")], choices=list(pipeline.methods()))
    parser.add_argument("--noise-reduction", default="auto")
    parser.add_argument(
        "--core-network", metavar="FILE", nargs="?", const="core", help="also score a network (default: the shipped)"
    )
    parser.add_argument("--no-motion-correction", action="store_true")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--seeds-of", metavar="COMMIT", help="its id, hashed as it is written here: a short id gives other seeds")
    parser.add_argument("--rows", metavar="FILE", type=Path, help="table that grows with each patient; a stopped run goes on")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = parsed()
    rows = known_rows(options)
    seeds = chosen_seeds(options, rows)
    print(
        f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  noise {options.noise:g} HU  "
        f"residue {' '.join(options.residue)}"
    )
    print(f"{'seed':>11s} {'site':12s} {'residue':12s} {'method':11s}" + "".join(f"{name:>13s}" for name in COLUMNS), flush=True)
    wanted = [(seed, drawn) for seed in seeds for drawn in options.residue]
    used = []
    for seed, drawn in wanted:
        same = {**labels(drawn, options), "seed": seed}
        del same["commit"]  # texts change without numbers; the code's fingerprint decides
        here = [row for row in rows if all(str(row[name]) == str(value) for name, value in same.items())]
        missing = [method for method in options.methods if method not in {row["method"] for row in here}]
        if missing:
            residue = None if drawn == "drawn" else drawn
            scan = phantom.ctp(seed=seed, recipe=options.recipe, noise_hu=options.noise, residue=residue, **GRID)
        for method in missing:
            here.append(analyze(seed, drawn, method, options, scan))
            if options.rows is not None:
                append_rows(options.rows, here[-1:], (*KEYS, *COLUMNS))
        for row in here:
            print(shown(row), flush=True)
        used += [row for row in here if row["method"] in options.methods]
    for method in options.methods:
        found = [row for row in used if row["method"] == method]
        for family in (*sorted({row["residue"] for row in found}), "all"):
            group = [row for row in found if family in (row["residue"], "all")]
            print(shown({"seed": "median", "site": "", "residue": family, "method": method, **medians(group)}))
            print(f"{'':11s} {family}, {method}: {len(group)} patients; {false_core_ml(group)}", flush=True)
            print(f"{'':11s} {by_motion(group)}", flush=True)


if __name__ == "__main__":
    main()
