# SPDX-License-Identifier: Apache-2.0
"""A simulated brain as files: an ASL data set, its truth, its vessels as surfaces, the label on its way as a sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.asl import AslSeries
from ...core.files import write_json
from ...core.nifti import write_volume
from ...core.progress import ProgressCallback, part_of
from ..asl_bids import write_asl_bids
from .polydata import tubes, write_vtp
from .whole_brain import VesselBrain

FRAME_S, LAST_FRAME_S = 0.25, 4.5


def write_brain(
    brain: VesselBrain, scan: AslSeries, folder: str | Path, *, subject: str, progress: ProgressCallback | None = None
) -> None:
    """Write a simulated brain.

    Parameters
    ----------
    brain : VesselBrain
        What `brain` made.
    scan : AslSeries
        What `brain_scan` made of it.
    folder : path-like
        Gets a BIDS subject, ``truth/``, ``vessels/arteries.vtp`` and ``veins.vtp``, ``tracer/propagation.nii.gz``.
    subject : str
        BIDS label.
    progress : callable, optional
        Progress.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to.
    """
    report, root = part_of(progress, 0.0, 1.0), Path(folder)
    report(0.0, "Writing the scan")
    write_asl_bids(scan, root, subject=subject)
    report(0.4, "Writing truth")
    _write_truth(brain, root / "truth")
    report(0.6, "Writing vessels")
    arrival = brain.entry_s + brain.arteries.arrival(brain.shear)
    arteries = tubes(
        brain.arteries, brain.to_ras, brain.shear, {"arrival_s": arrival, "flow_ml_per_min": 0.06 * brain.arteries.flow}
    )
    write_vtp(root / "vessels" / "arteries.vtp", arteries)
    veins = tubes(brain.veins, brain.to_ras, 0.5 * brain.shear, {"flow_ml_per_min": 0.06 * brain.veins.flow})
    write_vtp(root / "vessels" / "veins.vtp", veins)
    report(0.8, "Writing the label on its way")
    times = FRAME_S * np.arange(1, round(LAST_FRAME_S / FRAME_S) + 1)
    pictures = 1000.0 * brain.propagation(times)
    target = root / "tracer" / "propagation.nii.gz"
    write_volume(target, pictures, brain.affine, unit="uL/g", description="Label density", interval_s=FRAME_S)
    facts = {"FrameTimesStart": times, "Units": "uL/g", "LabelingDuration": brain.label_duration_s}
    write_json(target.with_name("propagation.json"), facts)


def _write_truth(brain: VesselBrain, target: Path) -> None:
    """Write maps under the names of the other ASL patients; flow and label are means over a voxel's volume."""
    none = np.isfinite(brain.arrival_s)
    maps: dict[str, tuple[Any, str]] = {
        "cbf": (np.where(none, brain.perfusion, np.nan), "mL/100g/min"), "att": (brain.arrival_s, "s"),
        "label_density": (1000.0 * brain.delta_s, "uL/g"), "fraction_gm": (brain.gray, ""), "fraction_wm": (brain.white, ""),
        "fraction_csf": (brain.fluid, ""), "fraction_lesion": (brain.lesion, ""),
    }  # fmt: skip
    for name, (values, unit) in maps.items():
        write_volume(target / f"{name}.nii.gz", values, brain.affine, unit=unit)
    write_volume(target / "mask_scored.nii.gz", brain.mask, brain.affine, dtype=np.uint8)
    units = {name: unit for name, (_, unit) in maps.items() if unit}
    facts = {"affine": brain.affine, "units": units, "parameters": brain.parameters}
    timing = {"post_label_delays_s": brain.post_label_delays_s, "label_duration_s": brain.label_duration_s}
    write_json(target / "truth.json", facts | timing)
