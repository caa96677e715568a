# SPDX-License-Identifier: Apache-2.0
"""Head motion on digital patients: are the poses found, and is the flow map that of the same patient lying still?

    python Testing/benchmarks/motion.py [--patients 2] [--mm 4] [--scans standard thick slab slow noisy] [--kinds drift nod jerks]

For each patient and kind of motion the default chain runs on three scans with the same noise: the patient moving, without and
with correction, and lying still where the head was in the frame that motion correction refers to. Printed are

* ``mm``, ``deg``: how far brain points still move between frames after the estimated motion is undone (root mean square of all
  points and frames, and the worst frame), and how far they moved before;
* ``r_moved``, ``r_corrected``: correlation of CBF with the still scan in its tissue
  (voxels with at most 20 % vessel, bone and fluid), before and after correction,
  and ``rmse`` of the same in mL/100 g/min; ``r_capped`` is ``r_corrected`` with flow above 150 mL/100 g/min, which is that of
  vessels, taken for 150;
* ``t_still``, ``t_moved``, ``t_corrected``: correlation of CBF with the truth;
* ``s``: seconds of motion correction.

The row ``none`` is a head that lies still: ``moved`` is without correction, ``corrected`` with correction forced upon it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
from figure_seeds import commit_id, figure_seeds
from scipy import ndimage
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib import phantom, pipeline, prepare
from PerfusionSuiteLib.core import MotionReport, PerfusionSeries
from PerfusionSuiteLib.phantom.motion import KINDS, SURFACE_MM

SCANS: dict[str, dict[str, Any]] = {
    "standard": {"shape": (160, 160, 16), "spacing_mm": (1.4, 1.4, 5.0), "interval_s": 1.0, "frames": 45, "noise_hu": 4.0},
    "thick": {"shape": (160, 160, 12), "spacing_mm": (1.4, 1.4, 10.0), "interval_s": 1.0, "frames": 45, "noise_hu": 4.0},
    "slab": {"shape": (160, 160, 8), "spacing_mm": (1.4, 1.4, 5.0), "interval_s": 1.0, "frames": 45, "noise_hu": 4.0},
    "slow": {"shape": (160, 160, 16), "spacing_mm": (1.4, 1.4, 5.0), "interval_s": 2.0, "frames": 28, "noise_hu": 4.0},
    "noisy": {"shape": (160, 160, 16), "spacing_mm": (1.4, 1.4, 5.0), "interval_s": 1.0, "frames": 45, "noise_hu": 8.0},
}
COLUMNS = (
    "mm_before", "mm", "mm_worst", "deg_worst", "dropped", "r_moved", "r_corrected", "r_capped", "rmse_moved", "rmse", "t_still",
    "t_moved", "t_corrected", "s",
)  # fmt: skip
VESSEL_FLOW = 150.0
CORRELATION, LOSS = 0.85, 0.01
"""Goals: after correction of a drift of 4 mm, and for a still head."""


def estimated(report: MotionReport) -> np.ndarray:
    """Return the estimated transforms (T, 4, 4) from the reference to each frame."""
    turns = Rotation.from_rotvec(np.radians(report.rotation_deg)).as_matrix()
    matrices = np.tile(np.eye(4), (len(turns), 1, 1))
    matrices[:, :3, :3] = turns
    matrices[:, :3, 3] = report.center_mm + report.translation_mm - turns @ report.center_mm
    return matrices


def motion_left(transforms: np.ndarray, kept: list[int]) -> tuple[float, float, float]:
    """Return how far brain points move between frames: RMS and worst frame in mm, worst rotation in degrees."""
    moving = transforms[kept]
    places = SURFACE_MM @ moving[:, :3, :3].transpose(0, 2, 1) + moving[:, None, :3, 3]
    apart = np.sqrt(((places - np.median(places, axis=0)) ** 2).sum(axis=2).mean(axis=1))
    turns = Rotation.from_matrix(moving[:, :3, :3])
    angles = np.degrees((turns * turns.mean().inv()).magnitude())
    return float(np.sqrt(np.mean(apart**2))), float(apart.max()), float(angles.max())


def lying_still(seed: int, scan: dict[str, Any], pose: np.ndarray) -> PerfusionSeries:
    """Return the patient's scan with the head at one place in all frames, and the same noise."""

    def constant(_seed: int, _recipe: str, _kind: Any, times_s: np.ndarray, *_more: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return np.tile(pose, (times_s.size, 1, 1)), {"kind": "constant"}

    with mock.patch.object(sys.modules["PerfusionSuiteLib.phantom.ctp"], "draw_motion", constant):
        return phantom.ctp(seed=seed, **scan)[0]


def at_pose(values: np.ndarray, affine: np.ndarray, pose: np.ndarray, order: int) -> np.ndarray:
    """Return a volume of the still head (first frame) as it looks with the head at a pose."""
    index = np.linalg.inv(affine) @ np.linalg.inv(pose) @ affine
    return ndimage.affine_transform(
        values, index[:3, :3], index[:3, 3], order=order, mode="constant", cval=np.nan if order else 0
    )


def compare(cbf: np.ndarray, other: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """Return correlation and root-mean-square difference where both have values."""
    both = where & np.isfinite(cbf) & np.isfinite(other)
    difference = cbf[both] - other[both]
    return float(np.corrcoef(cbf[both], other[both])[0, 1]), float(np.sqrt(np.mean(difference**2)))


@dataclass(frozen=True, slots=True)
class Run:
    """What is looked at of a run of the default chain."""

    cbf: np.ndarray
    tissue: np.ndarray
    motion: MotionReport | None
    seconds: float


def run(series: PerfusionSeries, *, correct: bool, forced: bool = False) -> Run:
    """Run the default chain; `forced` corrects even a head that lies still."""
    correction = partial(prepare.correct_motion, skip_if_still=not forced)
    with mock.patch.object(prepare, "correct_motion", correction):  # as `preparation` calls it
        study = pipeline.run(series, pipeline.Settings(motion_correction=correct))
    return Run(study.maps["cbf"].values, study.lesions.tissue, study.motion, study.seconds.get("motion", 0.0))


def measure(seed: int, kind: str, size_mm: float, scan: dict[str, Any]) -> dict[str, float]:
    """Run one patient; return the columns of the table."""
    series, truth = phantom.ctp(seed=seed, motion=kind, motion_mm=size_mm, **scan)
    moved, corrected = run(series, correct=False), run(series, correct=True, forced=kind == "none")
    report = corrected.motion
    kept = [t for t in range(series.times_s.size) if t not in report.dropped]
    sizes = np.linalg.norm(report.translation_mm, axis=1) + np.linalg.norm(report.rotation_deg, axis=1)
    pose = truth.frame_transforms[int(np.argmin(sizes))] if report.applied else np.eye(4)
    still = run(lying_still(seed, scan, pose), correct=False)
    where = at_pose(truth.masks["scored"].astype(np.float32), series.affine, pose, 0) > 0
    where &= still.tissue
    true = at_pose(truth.maps["cbf"], series.affine, pose, 1)
    undone = np.linalg.inv(estimated(report)) @ truth.frame_transforms
    before, _, _ = motion_left(truth.frame_transforms, list(range(len(truth.frame_transforms))))
    left, worst, turned = motion_left(undone, kept)
    (r_moved, rmse_moved), (r_corrected, rmse) = compare(moved.cbf, still.cbf, where), compare(corrected.cbf, still.cbf, where)
    to_truth = [compare(found.cbf, true, where)[0] for found in (still, moved, corrected)]
    figures = (
        before,
        left,
        worst,
        turned,
        len(report.dropped),
        r_moved,
        r_corrected,
        compare(np.minimum(corrected.cbf, VESSEL_FLOW), np.minimum(still.cbf, VESSEL_FLOW), where)[0],
        rmse_moved,
        rmse,
        *to_truth,
        corrected.seconds,
    )
    return dict(zip(COLUMNS, figures, strict=True))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=2)
    parser.add_argument("--mm", type=float, default=4.0, help="how far the brain moves at most")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--scans", nargs="+", default=["standard"], choices=list(SCANS))
    parser.add_argument("--development", action="store_true", help="seeds 1, 2, ... instead of the commit's")
    parser.add_argument("--seeds", type=int, nargs="+")
    options = parser.parse_args()
    given = list(range(1, options.patients + 1)) if options.development else options.seeds
    seeds = given or figure_seeds(options.patients)
    print(f"commit {commit_id()}  seeds {seeds}  motion {options.mm:g} mm, recipe typical")
    print(f"{'scan':9s} {'kind':6s} {'seed':>11s}" + "".join(f"{name:>12s}" for name in COLUMNS), flush=True)
    missed = 0
    for name in options.scans:
        for kind in options.kinds:
            rows = []
            for seed in seeds:
                rows.append(measure(seed, kind, options.mm, {"recipe": "typical", **SCANS[name]}))
                print(f"{name:9s} {kind:6s} {seed:11d}" + "".join(f"{rows[-1][c]:12.3f}" for c in COLUMNS), flush=True)
            middle = {column: float(np.median([row[column] for row in rows])) for column in COLUMNS}
            print(f"{name:9s} {kind:6s} {'median':>11s}" + "".join(f"{middle[c]:12.3f}" for c in COLUMNS), flush=True)
            loss = middle["t_still"] - middle["t_corrected"]
            reached = loss <= LOSS if kind == "none" else middle["r_corrected"] >= CORRELATION
            missed += not reached
            what = f"median loss of correlation with the truth {loss:.3f}, goal {LOSS:g}"
            if kind != "none":
                found = [row["r_corrected"] for row in rows]
                alone = sum(value >= CORRELATION for value in found)
                what = f"median CBF correlation with the still head {middle['r_corrected']:.3f}, goal {CORRELATION:g} "
                what += f"({min(found):.3f}-{max(found):.3f}, {alone} of {len(found)} meet it; without {middle['r_moved']:.3f})"
            print(f"  {name} {kind}: {what}: {'reached' if reached else 'missed'}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
