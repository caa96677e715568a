# SPDX-License-Identifier: Apache-2.0
"""Write a digital ASL patient as a BIDS data set of one subject."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..core.asl import AslSeries
from ..core.files import write_json, write_text
from ..core.nifti import write_volume

_MAKER = "Perfusion Suite phantom"


def bids_fields(series: AslSeries) -> dict[str, Any]:
    """Return the BIDS fields of an ASL scan.

    Parameters
    ----------
    series : AslSeries
        The scan.

    Returns
    -------
    dict
        Content of ``*_asl.json``.
    """
    delays = np.nan_to_num(series.post_label_delays_s)
    fields: dict[str, Any] = {
        "Manufacturer": series.acquisition.manufacturer or _MAKER,
        "ArterialSpinLabelingType": series.labeling.upper(),
        "PostLabelingDelay": _one_or_all(delays, series),
        "MRAcquisitionType": "3D" if series.slice_delays_s is None else "2D",
        "BackgroundSuppression": bool(series.background_suppression_pulses),
        "M0Type": _m0_type(series),
    }
    if series.background_suppression_pulses:
        fields["BackgroundSuppressionNumberPulses"] = series.background_suppression_pulses
    durations = np.nan_to_num(series.label_durations_s)
    if series.labeling == "pasl":
        fields |= {"BolusCutOffFlag": True, "BolusCutOffDelayTime": float(durations.max()), "BolusCutOffTechnique": "QUIPSSII"}
    else:
        fields["LabelingDuration"] = _one_or_all(durations, series)
    optional = {
        "MagneticFieldStrength": series.field_strength_t, "LabelingEfficiency": series.labeling_efficiency,
        "M0Estimate": series.m0_value,
        "SliceTiming": None if series.slice_delays_s is None else np.round(series.slice_delays_s, 6),
        "EchoTime": series.acquisition.echo_times_s[0] if series.acquisition.echo_times_s else None,
        "RepetitionTimePreparation": series.acquisition.repetition_time_s,
    }  # fmt: skip
    details = series.acquisition.details
    optional |= {
        "VascularCrushing": details.get("vascular_crushing"),
        "VascularCrushingVENC": details.get("vascular_crushing_venc_cm_per_s"),
    }
    fields |= {name: value for name, value in optional.items() if value is not None}
    if "m0scan" in series.volume_types and series.m0_repetition_s is not None:
        usual = series.acquisition.repetition_time_s or float(np.max(delays + durations)) + 0.5
        fields["RepetitionTimePreparation"] = [
            series.m0_repetition_s if kind == "m0scan" else round(usual, 6) for kind in series.volume_types
        ]
    return fields


def _one_or_all(values: Any, series: AslSeries) -> Any:
    """One number when all labeled volumes share it, else one for each volume, 0 for M0."""
    labeled = np.unique(np.round(values[np.isfinite(series.post_label_delays_s)], 6))
    return float(labeled[0]) if labeled.size == 1 and "m0scan" not in series.volume_types else np.round(values, 6)


def _m0_type(series: AslSeries) -> str:
    if series.m0 is not None:
        return "Separate"
    if "m0scan" in series.volume_types:
        return "Included"
    return "Absent" if series.m0_value is None else "Estimate"


def write_asl_bids(series: AslSeries, folder: str | Path, *, subject: str) -> Path:
    """Write an ASL scan as BIDS.

    Parameters
    ----------
    series : AslSeries
        The scan.
    folder : path-like
        Root of the data set.
    subject : str
        Label of the subject, letters and digits.

    Returns
    -------
    Path
        The folder of the subject, which can be read or analyzed.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to.
    """
    root = Path(folder)
    perf = root / f"sub-{subject}" / "perf"
    stem = f"sub-{subject}"
    description = {"Name": "Digital ASL patient", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    write_json(root / "dataset_description.json", description)
    factor = np.where(series.of_type("deltam"), np.float32(series.scaling), np.float32(1.0))  # BIDS allows no factors
    write_volume(perf / f"{stem}_asl.nii.gz", series.data / factor, series.affine, description=_MAKER)
    write_json(perf / f"{stem}_asl.json", bids_fields(series))
    write_text(perf / f"{stem}_aslcontext.tsv", "\n".join(["volume_type", *series.volume_types]) + "\n")
    if series.m0 is not None:
        write_volume(perf / f"{stem}_m0scan.nii.gz", series.m0, series.affine, description=_MAKER)
        fields: dict[str, Any] = {
            "Manufacturer": series.acquisition.manufacturer or _MAKER, "IntendedFor": f"bids::{stem}/perf/{stem}_asl.nii.gz",
        }  # fmt: skip
        if series.m0_repetition_s is not None:
            fields["RepetitionTimePreparation"] = series.m0_repetition_s
        write_json(perf / f"{stem}_m0scan.json", fields)
    return root / stem
