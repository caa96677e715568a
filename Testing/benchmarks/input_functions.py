# SPDX-License-Identifier: Apache-2.0
"""How well the arterial curve is found and scaled in digital patients, and whether its flags tell when it was not.

    python Testing/benchmarks/input_functions.py [--patients 20] [--noise 4] [--recipe typical] [--seeds 31 32] [--full-size]

Prints one line per patient and then medians, 95 % points and shares. Figure seeds come from the commit (see figure_seeds.py);
``--development`` takes 1, 2, 3 ... and ``--seeds`` the given ones. Each noise in ``--noise`` makes all patients anew. The small
grid is 128x128x8 at 1.75x1.75x10 mm, ``--full-size`` 192x192x12 at 1.15x1.15x8 mm; frames every second.

Errors are relative to the true curve at the feeding artery: ``rms`` is the norm of the difference over the norm of the truth,
``area`` the error of the area. The difference has parts that no choice of voxels can remove: blood comes later where it can be
measured (``delay_s``; ``rms_moved`` is the error after moving the truth by it), and a patient's sinus carries 0.92 to 1 times the
area of the artery, so that ``area_of_sinus`` compares with that. ``shape`` is the error after moving and the best scale, ``tail``
that of the part after the first pass beside the first pass, as it is used and (``tail_measured``) before tissue mended it.

``--ceiling`` shows instead the best that any choice could reach, with knowledge of the truth: of all voxels with an artery
fraction of at least 0.2 and no vein, in a scan of the same patient without noise and motion, the smallest error by a single
voxel. ``best_%`` has the best scale, ``moved_%`` is moved in time as well, ``sinus_%`` is scaled as a perfect sinus would scale
it; ``earliest_s`` is how late the best of the earliest twentieth of them is, and ``late_s`` the median of all.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import fitting, phantom, pipeline
from PerfusionSuiteLib.arterial_input import as_tissue_shows, chosen_curves, scaled
from PerfusionSuiteLib.core import no_progress
from PerfusionSuiteLib.preparation import Clock, prepare_ctp, without_remaining_motion

COLUMNS = ("voxels", "artery_min", "vein_max", "rms_%", "rms_moved_%", "shape_%", "delay_s", "area_%", "area_of_sinus_%",
           "tail_%", "tail_measured_%", "scale", "true_peak", "peak_hu", "vein_tail", "s")  # fmt: skip
LEAST_ARTERY, MOST_VEIN = 0.2, 0.02
CLOSE = 5.0
BAD = {
    "voxels": lambda row: row["artery_min"] < LEAST_ARTERY or row["vein_max"] > MOST_VEIN,
    "area": lambda row: abs(row["area_of_sinus_%"]) > 15.0,
    "shape": lambda row: row["shape_%"] > 10.0,
    "delay": lambda row: row["delay_s"] > 1.0,
}
"""What counts as a bad result."""


def curve_errors(values: np.ndarray, times_s: np.ndarray, truth: Any) -> dict[str, float]:
    """Return the errors of a scaled arterial curve in percent and its delay in s."""

    def true(delay_s: float) -> np.ndarray:
        return np.interp(times_s - delay_s, truth.fine_times_s, truth.fine_aif, left=0.0)

    def error(one: np.ndarray, other: np.ndarray) -> float:
        return 100.0 * float(np.linalg.norm(one - other) / np.linalg.norm(other))

    delays = np.linspace(-1.0, 4.0, 101)
    shapes = [error(values * (values @ true(d)) / (values @ values), true(d)) for d in delays]
    delay = float(delays[int(np.argmin(shapes))])
    area = float(np.trapezoid(values, times_s) / np.trapezoid(true(0.0), times_s))
    sinus = float(truth.parameters["bolus"]["vof_scale"])
    return {
        "rms_%": error(values, true(0.0)),
        "rms_moved_%": error(values, true(delay)),
        "shape_%": min(shapes),
        "delay_s": delay,
        "area_%": 100.0 * (area - 1.0),
        "area_of_sinus_%": 100.0 * (float(np.trapezoid(values, times_s) / np.trapezoid(true(delay), times_s)) / sinus - 1.0),
        "true_peak": float(truth.fine_aif.max()),
    }


def tail_error(values: np.ndarray, times_s: np.ndarray, truth: Any, delay_s: float) -> float:
    """Return by how much the later part is too high beside the first pass, in percent; NaN where a curve has none."""
    true = np.interp(times_s - delay_s, truth.fine_times_s, truth.fine_aif, left=0.0)
    later = fitting.later_part(times_s, values) == 1.0
    if not later.any():
        return float("nan")
    return 100.0 * float(values[later].sum() / values[~later].sum() * true[~later].sum() / true[later].sum() - 1.0)


def ceiling(seed: int, recipe: str, shape: Any, spacing: Any) -> dict[str, float]:
    """Return the least errors that any arterial voxel of a patient has, in percent, and how late arteries are."""
    scan = {"recipe": recipe, "shape": shape, "spacing_mm": spacing, "interval_s": 1.0, "noise_hu": 0.0, "motion": "none"}
    series, truth = phantom.ctp(seed=seed, **scan)
    arterial = (truth.fractions["artery"] >= LEAST_ARTERY) & (truth.fractions["vein"] <= MOST_VEIN)
    curves = np.asarray(series.data)[arterial].astype(np.float64)
    curves -= curves[:, :3].mean(axis=1, keepdims=True)
    times = series.times_s

    def true(delay_s: float) -> np.ndarray:
        return np.interp(times - delay_s, truth.fine_times_s, truth.fine_aif, left=0.0)

    def errors(delay_s: float) -> np.ndarray:
        """Of each curve at the scale that fits best, which leaves the sine of its angle to the truth."""
        cosine = curves @ true(delay_s) / np.maximum(np.linalg.norm(curves, axis=1) * np.linalg.norm(true(delay_s)), 1e-9)
        return 100.0 * np.sqrt(np.maximum(1.0 - cosine**2, 0.0))

    delays = np.linspace(-0.5, 4.0, 91)
    moved = np.stack([errors(d) for d in delays])
    late = delays[moved.argmin(axis=0)]
    sinus = float(truth.parameters["bolus"]["vof_scale"]) * float(np.trapezoid(true(0.0), times))
    scaled = curves * (sinus / np.maximum(np.trapezoid(curves, times, axis=1), 1e-9))[:, None]
    by_sinus = 100.0 * np.linalg.norm(scaled - true(0.0), axis=1) / np.linalg.norm(true(0.0))
    usable = moved.min(axis=0) <= 2.0 * CLOSE
    return {
        "arterial": float(len(curves)),
        "best_%": float(errors(0.0).min()),
        "moved_%": float(moved.min()),
        "sinus_%": float(by_sinus.min()),
        "earliest_s": float(np.quantile(late[usable], 0.05)),
        "late_s": float(np.median(late[usable])),
        "sinus": float(truth.parameters["bolus"]["vof_scale"]),
    }


def print_ceiling(seeds: list[int], recipe: str, shape: Any, spacing: Any) -> None:
    """Print what the best voxels reach, one line per patient, and whether that is the goal."""
    rows = []
    for seed in seeds:
        rows.append(ceiling(seed, recipe, shape, spacing))
        if len(rows) == 1:
            print(f"{'seed':>11s}" + "".join(f"{name:>12s}" for name in rows[0]))
        print(f"{seed:11d}" + "".join(f"{value:12.2f}" for value in rows[-1].values()), flush=True)
    middle = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    print(f"{'median':>11s}" + "".join(f"{value:12.2f}" for value in middle.values()))
    for name in ("best_%", "moved_%", "sinus_%"):
        within = sum(row[name] <= CLOSE for row in rows)
        print(f"  {name}: within {CLOSE:g} % in {within} of {len(rows)} patients")


def measure(series: Any, truth: Any) -> dict[str, Any]:
    """Return the columns and the flags of one patient."""
    settings, inputs, clock = pipeline.Settings(), pipeline.UserInputs(), Clock()
    found = prepare_ctp(series, settings, inputs, (False, True), clock, no_progress)
    start = time.perf_counter()
    measured, vof = chosen_curves(found, settings, inputs, clock, no_progress)
    found = without_remaining_motion(found, scaled(measured, vof, settings, inputs), clock, no_progress)
    aif = scaled(as_tissue_shows(measured, found, settings, inputs, clock), vof, settings, inputs)
    c = found.concentration
    seconds = time.perf_counter() - start
    at = tuple(aif.voxels.T)
    errors = curve_errors(aif.values, c.times_s, truth)
    return {
        **errors,
        "tail_%": tail_error(aif.values, c.times_s, truth, errors["delay_s"]),
        "tail_measured_%": tail_error(measured.values, c.times_s, truth, errors["delay_s"]),
        "voxels": len(aif.voxels),
        "artery_min": float(truth.fractions["artery"][at].min()),
        "artery_mean": float(truth.fractions["artery"][at].mean()),
        "vein_max": float(truth.fractions["vein"][at].max()),
        "scale": aif.scale,
        "peak_hu": float(measured.values.max()),
        "vein_tail": float("nan") if vof is None else vof.quality["tail"],
        "s": seconds,
        "flags": sorted({*aif.flags, *(() if vof is None else vof.flags), *(f.code for f in c.findings)}),
        "moved": truth.parameters["motion"]["kind"] != "none",
    }


def print_summary(name: str, rows: list[dict[str, Any]]) -> None:
    """Print medians, 95 % points and shares of a group."""
    if not rows:
        return
    good = [row for row in rows if not BAD["voxels"](row)]
    least = [row for row in rows if row["artery_min"] >= LEAST_ARTERY]
    text = f"{name:28s} n {len(rows):4d}  arterial and no vein {len(good):4d}  (arterial {len(least):4d})"
    for column in ("rms_%", "rms_moved_%", "shape_%", "area_%", "area_of_sinus_%", "tail_%", "tail_measured_%", "delay_s"):
        values = np.abs([row[column] for row in rows])
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        within = "" if column == "delay_s" else f" within 5 %: {(values <= CLOSE).mean():.0%}"
        text += f" | {column} {np.median(values):.1f} ({np.quantile(values, 0.95):.1f}){within}"
    print(text)


def print_flags(rows: list[dict[str, Any]]) -> None:
    """Print for each flag and each kind of bad result how often both come together."""
    print("\nflag and bad result: patients flagged, precision (bad of flagged), recall (flagged of bad)")
    flags = sorted({flag for row in rows for flag in row["flags"]})
    for kind, test in {**BAD, "any": lambda row: any(bad(row) for bad in BAD.values())}.items():
        bad = [test(row) for row in rows]
        print(f"  bad {kind}: {sum(bad)} of {len(rows)}")
        for flag in [*flags, "any flag of the artery"]:
            said = [flag in row["flags"] or (flag.startswith("any") and _speaks(row)) for row in rows]
            both = sum(b and s for b, s in zip(bad, said, strict=True))
            precision = f"{both / sum(said):.0%}" if sum(said) else "-"
            recall = f"{both / sum(bad):.0%}" if sum(bad) else "-"
            print(f"    {flag:28s} flagged {sum(said):4d}  precision {precision:>5s}  recall {recall:>5s}")


def _speaks(row: dict[str, Any]) -> bool:
    return any(flag.startswith("aif_") or flag in {"absolute_values_unreliable", "vof_missing"} for flag in row["flags"])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--noise", type=float, nargs="+", default=[4.0])
    parser.add_argument("--recipe", default="typical")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--ceiling", action="store_true", help="the best that any choice of voxels could reach")
    options = parser.parse_args()
    given = list(range(1, options.patients + 1)) if options.development else options.seeds
    seeds = given or figure_seeds(options.patients)
    shape, spacing = ((192, 192, 12), (1.15, 1.15, 8.0)) if options.full_size else ((128, 128, 8), (1.75, 1.75, 10.0))
    print(f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  noise {options.noise} HU  grid {shape} {spacing} mm")
    if options.ceiling:
        print_ceiling(seeds, options.recipe, shape, spacing)
        return
    print(f"{'seed':>11s} {'noise':>5s} {'site':12s}" + "".join(f"{name:>16s}" for name in COLUMNS) + "  flags", flush=True)
    rows: list[dict[str, Any]] = []
    for noise in options.noise:
        for seed in seeds:
            series, truth = phantom.ctp(
                seed=seed, recipe=options.recipe, noise_hu=noise, shape=shape, spacing_mm=spacing, interval_s=1.0
            )
            row = {**measure(series, truth), "noise": noise}
            rows.append(row)
            numbers = "".join(f"{row[name]:16.2f}" for name in COLUMNS)
            print(
                f"{seed:11d} {noise:5.1f} {truth.parameters['lesion']['site']:12s}{numbers}  {' '.join(row['flags'])}", flush=True
            )
    print("\nmedian (95 % point) of absolute errors")
    print_summary("all", rows)
    print_summary("still head", [row for row in rows if not row["moved"]])
    print_summary("head moved", [row for row in rows if row["moved"]])
    print_summary("peak below 40 HU", [row for row in rows if row["peak_hu"] < 40.0])
    print_summary("artery fraction below 0.4", [row for row in rows if row["artery_mean"] < 0.4])
    print_summary("vein truncated (tail > 30 %)", [row for row in rows if row["vein_tail"] > 0.3])
    print_summary("vein not truncated", [row for row in rows if not row["vein_tail"] > 0.3])
    for noise in options.noise if len(options.noise) > 1 else []:
        print_summary(f"noise {noise:g} HU", [row for row in rows if row["noise"] == noise])
    print_flags(rows)


if __name__ == "__main__":
    main()
