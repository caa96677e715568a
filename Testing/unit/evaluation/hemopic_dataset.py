# SPDX-License-Identifier: Apache-2.0
"""A dataset of small made-up DSC patients in the published layout, with fits of the published mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core.files import write_json
from PerfusionSuiteLib.core.nifti import write_volume
from PerfusionSuiteLib.hemopic.compat_regions import masked_curves
from PerfusionSuiteLib.hemopic.compat_run import CompatChoices, CompatFit, run_compat
from PerfusionSuiteLib.results.tables import write_rows

SHAPE = (40, 46, 12)
AFFINE = np.array([[-4.0, 0, 0, 78.0], [0, -4.0, 0, 90.0], [0, 0, 6.0, -30.0], [0, 0, 0, 1]])  # i to the left, j to posterior
FRAMES, INTERVAL_S = 30, 1.5
TRANSIT_S = {1: 5.0, 2: 6.0, 3: 8.0, 4: 5.5}
FLOW = {1: 60.0, 2: 25.0, 3: 10.0, 4: 45.0}


def labels() -> np.ndarray:
    """Grey matter around white matter around fluid, and a brain stem below."""
    i, j, k = np.indices(SHAPE)
    r = np.sqrt(((i - 19.5) / 18.0) ** 2 + ((j - 22.5) / 21.0) ** 2 + ((k - 5.5) / 6.5) ** 2)
    found = np.where(r < 0.2, 3, np.where(r < 0.78, 2, np.where(r < 1.0, 1, 0))).astype(np.uint8)
    found[(r < 1.0) & (k == 0) & (np.hypot(i - 19.5, j - 24.0) < 8.0)] = 4
    return found


def patient(seed: int) -> dict[str, Any]:
    """Maps, lesion and tracer curves: the lesion lies in the patient's left half (large i), less flow, later."""
    rng = np.random.default_rng(seed)
    tissue = labels()
    i, j, k = np.indices(SHAPE)
    lesion = (np.sqrt(((i - 29.0) / 6.0) ** 2 + ((j - 20.0 - seed % 3) / 7.0) ** 2 + ((k - 6.0) / 4.0) ** 2) < 1.0) & (tissue > 0)
    flow = np.zeros(SHAPE)
    transit = np.zeros(SHAPE)
    for label, value in FLOW.items():
        flow[tissue == label], transit[tissue == label] = value, TRANSIT_S[label]
    flow *= np.where(lesion, 0.45, 1.0) * rng.uniform(0.85, 1.15, SHAPE)
    transit *= np.where(lesion, 1.9, 1.0) * rng.uniform(0.95, 1.05, SHAPE)
    volume = flow * transit / 60.0
    times = np.arange(FRAMES) * INTERVAL_S
    late = np.where(lesion, 3.0, 0.0)
    x = np.maximum(times - 12.0 - late[..., None], 0.0) / (1.2 * np.maximum(transit, 1.0)[..., None])
    curves = 6.0 * volume[..., None] * x**2 * np.exp(2.0 * (1.0 - x)) + rng.normal(0.0, 0.4, (*SHAPE, FRAMES))
    return {
        "cbf": flow.astype(np.float32), "cbv": volume.astype(np.float32), "mtt": transit.astype(np.float32),
        "tmax": (late + transit / 2.0).astype(np.float32), "lesion": lesion, "labels": tissue,
        "curves": np.where((tissue > 0)[..., None], curves, 0.0).astype(np.float32),
    }  # fmt: skip


def write_data(folder: Path, made: dict[str, Any]) -> None:
    """Write what the published evaluation reads from a dataset."""
    for key, name in (("cbf", "MR_rCBF"), ("cbv", "MR_rCBV"), ("mtt", "MR_MTT"), ("tmax", "MR_Tmax")):
        write_volume(folder / f"{name}.nii.gz", made[key], AFFINE)
    write_volume(folder / "OT.nii.gz", made["lesion"], AFFINE, dtype=np.uint8)
    write_volume(folder / "hemopic_seg4" / "seg4_label_ref24.nii.gz", made["labels"], AFFINE, dtype=np.uint8)
    write_volume(folder / "CTC_from_MR_4DPWI.nii", made["curves"], AFFINE, interval_s=INTERVAL_S)


def fitted(made: dict[str, Any]) -> CompatFit:
    """Fit a patient in the published mode with few regions."""
    curves = masked_curves(made["curves"], INTERVAL_S, made["labels"])
    maps = {key: made[key] for key in ("cbf", "cbv", "mtt")}
    return run_compat(curves, made["labels"], maps, CompatChoices(k_gm=2, k_wm=2), affine=AFFINE)


def write_fit(folder: Path, fit: CompatFit, number: int) -> None:
    """Write a fit under the published names."""
    for key in ("cbf", "cbv", "mtt"):
        write_volume(folder / f"HemoPIC_{key.upper()}.nii.gz", fit.maps[key], AFFINE)
    write_volume(folder / "roi_labels_seg4_within_kmeans.nii.gz", fit.regions.labels, AFFINE, dtype=np.int32)
    write_rows(folder / "roi_fit_summary.csv", fit.regions.rows)
    write_json(folder / "run_info_core.json", {"patient": number, **fit.record})


def write_dataset(root: Path, numbers: tuple[int, ...] = (1, 2)) -> tuple[Path, Path]:
    """Write several patients; return the folders of the fits and of the data."""
    for number in numbers:
        made = patient(number)
        write_data(root / "data" / f"training_{number}", made)
        write_fit(root / "fits" / f"training_{number}", fitted(made), number)
    return root / "fits", root / "data"
