# SPDX-License-Identifier: Apache-2.0
"""Where the chain of CT perfusion loses, and what no method of its kind can reach: parts of it are replaced by the truth.

    python Testing/benchmarks/chain_ceiling.py [--patients 4] [--noise 4] [--residue box exponential] [--seeds 201 202]
        [--seeds-of COMMIT] [--method bayes] [--variants chain everything] [--rows FILE.csv]

Prints a line per patient and variant, then medians by class of residue as `chain_accuracy.py` makes them. Parts: ``noise``
(none), ``motion`` (a still head), ``artery`` (the true curve at the ICA, given as a user would), ``residue`` (the true family),
``masks`` (tissue is what is scored), ``reference`` (true side and normal tissue) and ``neighbors``: voxels within 9 mm, also of
the slices next to theirs, are averaged by the likeness of their noise-free curves, which no real filter knows.
``everything`` leaves only the noise. ``oracle`` leaves what averaging by known curves leaves of it, ``all, no noise`` nothing,
and both are fitted voxel by voxel with `bayes`; ``all, by method`` is the noise-free scan fitted by the method itself.
``best_...`` are Dice with the thresholds that suit the patient best, chosen with knowledge of the truth. ``maps`` segments the
true maps with our thresholds and rules. About 2.5 minutes of a core per patient and residue with `bayes`, 4 with `spatial`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from chain_accuracy import GRID, residue_class, score
from figure_seeds import commit_id, figure_seeds

from PerfusionSuiteLib import lesion, phantom, pipeline, prepare
from PerfusionSuiteLib.core import InputFunction, PerfusionMaps, TissueMasks, no_progress
from PerfusionSuiteLib.core.geometry import voxel_sizes, voxel_volume_ml
from PerfusionSuiteLib.evaluation import dice, seen_truth
from PerfusionSuiteLib.evaluation.row_file import append_rows, code_fingerprint, read_rows, refuse_other_code
from PerfusionSuiteLib.lesion import segmentation
from PerfusionSuiteLib.lesion.clusters import without_small_clusters
from PerfusionSuiteLib.lesion.normal_timing import normal_timing
from PerfusionSuiteLib.lesion.reference import Reference
from PerfusionSuiteLib.prepare.neighbors import distance_mm, weighted_average, window

SEEN = ("masks", "reference")
FIT = ("motion", "artery", "residue")
VARIANTS: dict[str, tuple[str, ...]] = {
    "chain": (),
    "noise": ("noise",),
    "motion": ("motion",),
    "artery": ("artery",),
    "residue": ("residue",),
    "masks": ("masks",),
    "reference": ("reference",),
    "motion+artery": ("motion", "artery"),
    "...+residue": FIT,
    "...+masks": (*FIT, "masks"),
    "everything": (*FIT, *SEEN),
    "oracle": (*FIT, *SEEN, "neighbors", "voxels"),
    "all, no noise": (*FIT, *SEEN, "noise", "voxels"),
    "all, by method": (*FIT, *SEEN, "noise"),
    "maps": ("maps",),
}
RESIDUES: dict[tuple[str, str], dict[str, Any]] = {
    ("bayes", "box"): {"shapes": [float("inf")]},
    ("bayes", "exponential"): {"shapes": [1.0]},
    ("spatial", "box"): {"family": "box"},
    ("spatial", "exponential"): {"family": "exponential"},
}
"""How a method is told the residue; gamma and mixed residues are left to the method."""

RADIUS_MM, SLICES, WIDTH = 9.0, 1, 1.5
"""The oracle's neighborhood, and the squared distance of noise-free curves, in units of the noise variance of a frame, at which
the weight is 1/e."""

TMAX_TRIED_S = np.arange(-2.0, 2.01, 0.25)
RCBF_TRIED = np.arange(0.5, 1.55, 0.05)
COLUMNS = (
    "tmax_dice", "best_tmax", "tmax_off_s", "core_dice", "best_core", "core_factor", "hypo_ml", "true_hypo_ml", "core_ml",
    "true_core_ml", "cbf_bias_%", "cbf_r", "tmax_r", "s",
)  # fmt: skip
KEYS = ("commit", "code", "drawn", "noise", "recipe", "method", "seed", "variant", "site", "residue", "motion_mm")


@dataclass
class Patient:
    """A digital patient, scanned as each variant needs it."""

    seed: int
    drawn: str
    noise_hu: float
    recipe: str
    method: str

    def scan(self, **changes: Any) -> tuple[Any, Any]:
        """Return series and truth."""
        residue = None if self.drawn == "drawn" else self.drawn
        asked = {"noise_hu": self.noise_hu, "recipe": self.recipe, "residue": residue, **GRID, **changes}
        return phantom.ctp(seed=self.seed, **asked)

    @cached_property
    def given(self) -> tuple[Any, Any]:
        """The scan of the figure."""
        return self.scan()

    @cached_property
    def still(self) -> tuple[Any, Any]:
        """The same head without movement."""
        return self.given if not self.given[1].parameters["motion"]["farthest_mm"] else self.scan(motion="none")

    @cached_property
    def silent(self) -> tuple[Any, Any]:
        """The head without movement and noise."""
        return self.scan(motion="none", noise_hu=0.0)

    @cached_property
    def silent_moving(self) -> tuple[Any, Any]:
        """The head without noise."""
        return self.silent if self.still is self.given else self.scan(noise_hu=0.0)

    @cached_property
    def seen(self) -> Any:
        """The truth of the moving head at the place where the chain sees it."""
        _, motion = prepare.correct_motion(prepare.common_times(self.given[0]))
        return seen_truth(argparse.Namespace(motion=motion), self.given[1])

    def of(self, parts: Sequence[str]) -> tuple[Any, Any]:
        """Return series and truth for a variant."""
        if "motion" in parts:
            return self.silent if "noise" in parts else self.still
        return self.silent_moving if "noise" in parts else self.given


def study_of(patient: Patient, parts: Sequence[str]) -> tuple[Any, Any]:
    """Run the chain with some parts replaced by the truth; return the study and the truth as it sees it."""
    series, truth = patient.of(parts)
    known = truth if "motion" in parts or "noise" in parts else patient.seen
    method = "bayes" if "voxels" in parts else patient.method
    settings: dict[str, Any] = {"method": method, "motion_correction": "motion" not in parts}
    if "residue" in parts:
        settings["method_options"] = RESIDUES.get((method, residue_class(truth)), {})
    if {"motion", "noise"} <= set(parts):
        settings["noise_reduction"] = "none"
    inputs = pipeline.UserInputs(aif=InputFunction(truth.times_s, truth.aif, origin="file") if "artery" in parts else None)
    averaged = mock.Mock(side_effect=by_known_curves(patient) if "neighbors" in parts else None)
    with ExitStack() as stack:
        if "masks" in parts:
            stack.enter_context(mock.patch.object(prepare, "tissue_masks", lambda *_, **__: masks_of(known)))
        if "reference" in parts:
            stack.enter_context(mock.patch.object(segmentation, "normal_reference", reference_of(known)))
        if "neighbors" in parts:
            stack.enter_context(mock.patch.object(prepare, "smoothed_curves", averaged))
        study = pipeline.run(series, pipeline.Settings(**settings), inputs=inputs)
    if "neighbors" in parts and not averaged.called:
        msg = "The chain no longer smooths by prepare.smoothed_curves, so there was no oracle. Correct this script."
        raise RuntimeError(msg)
    return study, seen_truth(study, truth)


def masks_of(truth: Any) -> TissueMasks:
    """Return masks that leave exactly the scored voxels."""
    brain, vessel, bone = (truth.masks[name] for name in ("brain", "vessel", "bone"))
    return TissueMasks(brain, brain & ~truth.masks["scored"] & ~vessel & ~bone, vessel & brain, bone & brain)


def reference_of(truth: Any) -> Callable[..., Reference]:
    """Return a function that knows the side and the normal tissue."""

    def known(maps: PerfusionMaps, tissue: Any, *_: Any, **__: Any) -> Reference:
        normal = truth.masks["scored"] & tissue & (truth.maps["tmax"] <= 4.0) & np.isfinite(maps["tmax"].values)
        if truth.side in ("left", "right"):
            distance = lesion.side_distance(tissue.shape, truth.affine, truth.midplane)
            normal &= (distance > 0) == (truth.side == "left")
        return Reference(normal, truth.side, "mask", {})

    return known


def by_known_curves(patient: Patient) -> Callable[..., Any]:
    """Return a noise reduction that weighs neighbors by their noise-free curves."""

    def averaged(concentration: Any, *, exclude: Any, **_: Any) -> Any:
        series, truth = patient.silent
        known = prepare.ct_concentration(series, masks_of(truth)).data
        mask, spacing = concentration.mask & ~exclude, voxel_sizes(concentration.affine)
        sigma = prepare.noise_sd(concentration.data[mask], concentration.baseline_frames)
        plane = [(0, 0, 0), *window(RADIUS_MM, spacing)]
        near = {offset: float(np.exp(-0.5 * (distance_mm(offset, spacing) / (0.75 * RADIUS_MM)) ** 2)) for offset in plane}
        around = [
            ((i, j, k), weight)
            for k in range(-SLICES, SLICES + 1)
            for (i, j, _), weight in near.items()
            if (i, j, k) != (0, 0, 0)
        ]
        features = known[mask] / np.float32(sigma * np.sqrt(WIDTH))
        curves = concentration.data[concentration.mask]
        curves[mask[concentration.mask]] = weighted_average(
            concentration.data[mask], features, mask, around, lambda distance: np.exp(-distance), no_progress
        )
        return curves

    return averaged


def of_true_maps(patient: Patient) -> tuple[Any, Any]:
    """Segment the true maps with the masks and rules of a study."""
    series, truth = patient.still
    study = pipeline.run(series, pipeline.Settings(motion_correction=False, noise_reduction="none", method="csvd"))
    inside = np.isfinite(study.maps["tmax"].values)
    known = {key: np.where(inside, np.nan_to_num(truth.maps[key]), np.nan).astype(np.float32) for key in ("tmax", "cbf", "cbv")}
    maps = PerfusionMaps.from_arrays({**known, "baseline": study.concentration.baseline}, study.maps.affine)
    maps, lesions = lesion.segment(maps, masks=study.masks, baseline=study.concentration.baseline, method="")
    return replace(study, maps=maps, lesions=lesions, settings={**study.settings, "method": ""}), truth


def best_thresholds(study: Any, truth: Any) -> dict[str, float]:
    """Return the best Dice of any threshold, and which it is."""
    scored, preset = truth.masks["scored"], lesion.find_preset("ct-perfusion-auto")
    method, ml = study.settings["method"], voxel_volume_ml(study.maps.affine)
    tissue, maps = study.lesions.tissue, study.maps
    hypo, core = truth.masks["hypoperfusion"] & scored, truth.masks["core"] & scored
    normal = normal_timing(maps, tissue, study.lesions.midplane)
    tried = []
    for shift in TMAX_TRIED_S:
        late = segmentation.hypoperfused_tissue(maps, preset, tissue, preset.offset(method) + shift, normal)
        late = without_small_clusters(late, ml, preset.min_cluster_ml)
        tried.append((dice(late & scored, hypo), shift))
    low = []
    for factor in RCBF_TRIED:
        dead = segmentation.core_tissue(maps, preset, tissue, study.lesions.hypoperfusion, preset.flow_factor(method) * factor)
        low.append((dice(dead & scored, core), factor))
    (tmax, shift), (flow, factor) = max(tried), max(low)
    return {"best_tmax": tmax, "tmax_off_s": shift, "best_core": flow, "core_factor": factor}


def row_of(patient: Patient, variant: str) -> dict[str, Any]:
    """Return a line of the table."""
    start = time.perf_counter()
    parts = VARIANTS[variant]
    study, truth = of_true_maps(patient) if "maps" in parts else study_of(patient, parts)
    found = {**score(study, truth, time.perf_counter() - start), **best_thresholds(study, truth)}
    return {
        "commit": commit_id(), "code": code_fingerprint(), "drawn": patient.drawn, "noise": f"{patient.noise_hu:g}",
        "recipe": patient.recipe, "method": patient.method, "seed": patient.seed, "variant": variant,
        "site": str(truth.parameters["lesion"]["site"]), "residue": residue_class(truth),
        "motion_mm": float(truth.parameters["motion"]["farthest_mm"]), **{name: found[name] for name in COLUMNS},
    }  # fmt: skip


def known_rows(path: Path | None) -> list[dict[str, Any]]:
    """Read what an earlier run wrote down."""
    if path is None:
        return []
    rows = read_rows(path, (*KEYS, *COLUMNS))
    refuse_other_code(rows, path, any_code=False)
    return [{**row, **{name: float(row[name] or "nan") for name in COLUMNS}, "seed": int(row["seed"])} for row in rows]


def medians(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return medians, those of a Dice over lesions of at least 10 mL and cores of at least 5 mL."""
    result = {}
    for name in COLUMNS:
        of_core = name.startswith(("core_", "best_core")) and not name.endswith("_ml")
        of_tmax = name in ("tmax_dice", "best_tmax", "tmax_off_s")
        kept = [
            row[name]
            for row in rows
            if not (of_tmax and row["true_hypo_ml"] < 10.0) and not (of_core and row["true_core_ml"] < 5.0)
        ]
        result[name] = float(np.nanmedian(kept)) if kept else float("nan")
    return result


def line(row: dict[str, Any]) -> str:
    """Return a line of text."""
    head = f"{row['seed']:>11} {row['site']:12s} {row['residue']:12s} {row['variant']:14s}"
    return head + "".join(f"{row[name]:13.2f}" for name in COLUMNS)


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--recipe", default="typical")
    parser.add_argument("--residue", nargs="+", default=["box", "exponential"], help="or drawn; each patient is made with each")
    parser.add_argument("--method", default=pipeline.default_method("ctp"), choices=list(pipeline.methods()))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--seeds-of", metavar="COMMIT")
    parser.add_argument("--rows", metavar="FILE", type=Path, help="table that grows with each line; a stopped run goes on")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = parsed()
    rows = known_rows(options.rows)
    seeds = options.seeds or figure_seeds(options.patients, options.seeds_of or (rows[0]["commit"] if rows else None))
    print(f"commit {commit_id()}  seeds {seeds}  recipe {options.recipe}  noise {options.noise:g} HU  method {options.method}")
    print(f"{'seed':>11s} {'site':12s} {'residue':12s} {'variant':14s}" + "".join(f"{name:>13s}" for name in COLUMNS), flush=True)
    used = []
    for seed, drawn in [(seed, drawn) for seed in seeds for drawn in options.residue]:
        patient = Patient(seed, drawn, options.noise, options.recipe, options.method)
        same = {"seed": seed, "drawn": drawn, "noise": f"{options.noise:g}", "recipe": options.recipe, "method": options.method}
        here = {row["variant"]: row for row in rows if all(row[name] == value for name, value in same.items())}
        for variant in options.variants:
            if variant not in here:
                here[variant] = row_of(patient, variant)
                if options.rows is not None:
                    append_rows(options.rows, [here[variant]], (*KEYS, *COLUMNS))
            print(line(here[variant]), flush=True)
            used.append(here[variant])
    for family in sorted({row["residue"] for row in used}):
        for variant in options.variants:
            group = [row for row in used if (row["residue"], row["variant"]) == (family, variant)]
            print(line({"seed": "median", "site": f"of {len(group)}", "residue": family, "variant": variant, **medians(group)}))


if __name__ == "__main__":
    main()
