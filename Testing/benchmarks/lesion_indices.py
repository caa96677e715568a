# SPDX-License-Identifier: Apache-2.0
"""Volumes and collateral indices of digital patients beside their analytic truth.

    python Testing/benchmarks/lesion_indices.py [--patients 3] [--noise 4] [--method bayes] [--seeds 31 32] [--follow-up]

Each index is computed twice: by the whole chain from the noisy scan, and by its definition from what is true about the patient
(true maps, drawn lesions, true plane, true curves). Both use the same voxels only where the definition says so: the true values
rest on all voxels with at most 20 % vessel, bone and fluid, the found ones on what the program takes for tissue. ``--follow-up``
makes a second scan of each patient, with a smaller lesion and the head moved, for PRR. Figure seeds come from the commit (see
figure_seeds.py). Prints one table per patient and the median errors of all.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import lesion, phantom, pipeline
from PerfusionSuiteLib.core.geometry import voxel_volume_ml
from PerfusionSuiteLib.evaluation import seen_truth
from PerfusionSuiteLib.lesion.indices import peak_time

GRID: dict[str, Any] = {"shape": (160, 160, 14), "spacing_mm": (1.35, 1.35, 8.0), "interval_s": 1.0}
INDICES = {
    "hypoperfusion_volume_ml": "mL",
    "infarct_core_volume_ml": "mL",
    "penumbra_volume_ml": "mL",
    "mismatch_ratio": "",
    "penumbra_fraction_percent": "%",
    "hir": "",
    "corrected_cbv_index": "",
    "conventional_cbv_index": "",
    "rcbv_hypoperfusion_percent": "%",
    "collateral_index_ml": "mL",
    "aif_vof_delay_s": "s",
    "prr_percent": "%",
}
LEAST_ML = 10.0
"""Ratios of a lesion below this are noise, and left out of the medians."""


def true_indices(truth: Any, regions: dict[str, Any]) -> dict[str, float | None]:
    """Apply the definitions of ct-perfusion-auto 7, 8 and 15.4 to what is true about a patient."""
    ml = voxel_volume_ml(truth.affine)
    maps, scored = truth.maps, truth.masks["scored"]
    late, core = truth.masks["hypoperfusion"], truth.masks["core"]
    normal = scored & ~late & (maps["tmax"] <= 4.0)
    distance = lesion.side_distance(late.shape, truth.affine, truth.midplane)
    other = {"left": distance > 3, "right": distance < -3}.get(truth.side, np.ones_like(late))
    cortex = normal & within(maps["cbv"], scored, (40, 90)) & lesion.mirror(late, truth.affine, truth.midplane)
    delayed = scored & (maps["delay"] >= 2.0) & (maps["delay"] <= 6.0)
    reference = mean(maps["cbv"], normal & other)
    total, dead = late.sum() * ml, core.sum() * ml
    very_late = (late & scored & (maps["tmax"] > 10.0)).sum() / max((late & scored).sum(), 1)
    roi, contra = (mean(maps["cbv"], regions[name] & scored) if name in regions else None for name in ("roi", "contra"))
    return {
        "hypoperfusion_volume_ml": total,
        "infarct_core_volume_ml": dead,
        "penumbra_volume_ml": (late & ~core).sum() * ml,
        "mismatch_ratio": total / dead if dead else None,
        "penumbra_fraction_percent": 100.0 * (late & ~core).sum() / late.sum() if late.any() else None,
        "hir": very_late if late.any() else None,
        "corrected_cbv_index": ratio(mean(maps["cbv"], late & scored), mean(maps["cbv"], cortex)),
        "conventional_cbv_index": ratio(roi, contra),
        "rcbv_hypoperfusion_percent": ratio(mean(maps["cbv"], late & scored), reference, 100.0),
        "collateral_index_ml": ratio((mean(maps["cbv"], delayed) or 0.0) * delayed.sum() * ml, reference),
        "aif_vof_delay_s": peak_time(truth.fine_times_s, truth.fine_vof) - peak_time(truth.fine_times_s, truth.fine_aif),
    }


def mean(values: Any, mask: Any) -> float | None:
    """Return the mean of the numbers in a mask."""
    inside = values[mask & np.isfinite(values)]
    return float(inside.mean(dtype=float)) if inside.size >= 10 else None


def ratio(a: float | None, b: float | None, factor: float = 1.0) -> float | None:
    """Divide where both exist."""
    return factor * a / b if a is not None and b else None


def within(values: Any, mask: Any, percentiles: tuple[float, float]) -> Any:
    """Select values between percentiles of a mask."""
    low, high = np.nanpercentile(values[mask], percentiles)
    return (values >= low) & (values <= high)


def drawn_regions(truth: Any) -> dict[str, Any]:
    """Draw the cortical regions that a reader would draw: gray matter of the lesion, and its mirror image."""
    gray = truth.masks["scored"] & (truth.fractions["gm"] > 0.5)
    roi = truth.masks["hypoperfusion"] & gray
    contra = lesion.mirror(roi, truth.affine, truth.midplane) & gray & ~truth.masks["hypoperfusion"]
    return {"roi": roi, "contra": contra} if min(roi.sum(), contra.sum()) >= 50 else {}


def patient(seed: int, options: argparse.Namespace) -> tuple[str, dict[str, float | None], dict[str, Any]]:
    """Return the site, true and found indices of one patient."""
    scan, truth = phantom.ctp(seed=seed, noise_hu=options.noise, **GRID)
    settings = pipeline.Settings(method=options.method)
    later, later_ml = None, None
    if options.follow_up:
        site = smaller(str(truth.parameters["lesion"]["site"]))
        second, later_truth = phantom.ctp(seed=seed, site=site, noise_hu=options.noise, motion="none", **GRID)
        later = moved(second)
        later_ml = later_truth.masks["hypoperfusion"].sum() * voxel_volume_ml(later_truth.affine)
    plain = pipeline.run(scan, settings, inputs=pipeline.UserInputs(follow_up=later))
    seen = seen_truth(plain, truth)
    regions = drawn_regions(seen)
    found = dict(plain.metrics.values)
    if regions:  # the corrected index and relative maps stay automatic; the conventional one needs what a reader draws
        maps, lesions = lesion.segment(
            plain.maps, masks=plain.masks, roi_mask=regions["roi"], contra_mask=regions["contra"], method=options.method,
            midplane=plain.lesions.midplane,
        )  # fmt: skip
        found["conventional_cbv_index"] = lesion.metrics(maps, lesions).values["conventional_cbv_index"]
    true = true_indices(seen, regions)
    first = true["hypoperfusion_volume_ml"] or 0.0
    true["prr_percent"] = 100.0 * (first - later_ml) / first if later_ml is not None and first > 0 else None
    return str(truth.parameters["lesion"]["site"]), true, found


def smaller(site: str) -> str:
    """Return a lesion within the territory of another, as reperfusion leaves it."""
    return {"ica": "m1", "m1": "m2-superior", "m2-superior": "m3", "m2-inferior": "m3"}.get(site, "none")


def moved(scan: Any) -> Any:
    """Lay the same head elsewhere: the follow-up's affine is turned by 6 degrees and shifted by 9 mm."""
    from dataclasses import replace

    turn, angle = np.eye(4), np.radians(6.0)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = [6.0, -5.0, 4.0]
    return replace(scan, affine=turn @ scan.affine)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--method", default=pipeline.default_method("ctp"), choices=list(pipeline.methods()))
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--follow-up", action="store_true")
    options = parser.parse_args()
    seeds = options.seeds or figure_seeds(options.patients)
    print(f"commit {commit_id()}  seeds {seeds}  method {options.method}  noise {options.noise:g} HU")
    errors: dict[str, list[tuple[float, float]]] = {key: [] for key in INDICES}
    for seed in seeds:
        site, true, found = patient(seed, options)
        print(f"\nseed {seed}, {site}\n{'index':28s} {'unit':5s} {'truth':>10s} {'found':>10s} {'error':>10s}")
        for key, unit in INDICES.items():
            a, b = true.get(key), found.get(key)
            print(f"{key:28s} {unit:5s} {shown(a)} {shown(b)} {shown(None if a is None or b is None else b - a)}")
            large = (true["hypoperfusion_volume_ml"] or 0.0) >= LEAST_ML
            if a is not None and b is not None and (large or key.endswith("_ml") or key == "aif_vof_delay_s"):
                errors[key].append((a, b))
        pvt = found["pvt"]
        print(
            f"{'pvt':28s}       {pvt['status']}, Tmax {pvt['sss_tmax_s']} s (SSS), {pvt['torcula_tmax_s']} s (torcula)",
            flush=True,
        )
    print(f"\n{'median over patients':28s} {'unit':5s} {'bias':>10s} {'abs error':>10s} {'n':>4s}", end="")
    print(f"   ratios of lesions of at least {LEAST_ML:g} mL")
    for key, unit in INDICES.items():
        difference = np.array([b - a for a, b in errors[key]])
        if difference.size:
            bias, size = float(np.median(difference)), float(np.median(np.abs(difference)))
            print(f"{key:28s} {unit:5s} {shown(bias)} {shown(size)} {difference.size:4d}")


def shown(value: float | None) -> str:
    """Return a number in ten columns."""
    return f"{'-':>10s}" if value is None else f"{value:10.2f}"


if __name__ == "__main__":
    main()
