# SPDX-License-Identifier: Apache-2.0
"""Write a series as 4D NIfTI with a BIDS sidecar that holds its times."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.errors import InvalidInputError
from ..core.files import write_json
from ..core.nifti import write_volume
from ..core.series import PerfusionSeries

_UNIFORM_S = 1e-4
_MAKER = "Perfusion Suite phantom"

DETAILS = {"FlipAngle": "flip_angle_deg", "MagneticFieldStrength": "field_strength_t"}
"""BIDS fields and their names in `Acquisition.details`."""


def write_nifti(series: PerfusionSeries, path: str | Path) -> Path:
    """Write a series as 4D NIfTI with a BIDS sidecar that holds the frame times and where they came from.

    Parameters
    ----------
    series : PerfusionSeries
        The scan. Whole numbers that fit are stored as 16-bit integers, others as 32-bit floats.
    path : path-like
        ``.nii`` or ``.nii.gz``; the sidecar gets the same name with ``.json``.

    Returns
    -------
    Path
        The NIfTI file.

    Raises
    ------
    InvalidInputError
        If the name has another suffix or the file cannot be written.
    """
    target = Path(path)
    stem = next((target.name.removesuffix(end) for end in (".nii.gz", ".nii") if target.name.endswith(end)), None)
    if stem is None:
        msg = f"'{target.name}' is no name for a NIfTI file. Let it end in .nii or .nii.gz."
        raise InvalidInputError(msg)
    steps = np.diff(series.times_s)
    uniform = steps.size > 0 and float(np.ptp(steps)) < _UNIFORM_S
    write_volume(
        target,
        series.data,
        series.affine,
        dtype=np.int16 if fits_int16(series) else np.float32,
        description=_MAKER if series.source.kind == "phantom" else "Perfusion Suite",
        unit="HU" if series.modality == "ctp" else "",
        interval_s=series.interval_s if uniform else None,
    )
    write_json(target.with_name(f"{stem}.json"), sidecar_of(series))
    return target


def fits_int16(series: PerfusionSeries) -> bool:
    """Say whether all values are whole numbers of 16 bits.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.

    Returns
    -------
    bool
        Judged slice by slice, so that no second copy of the scan is made.
    """
    parts = (series.data[:, :, k] for k in range(series.shape[2]))
    return all(bool(np.array_equal(part, np.rint(part))) and float(np.abs(part).max()) < 32767 for part in parts)


def sidecar_of(series: PerfusionSeries) -> dict[str, object]:
    """Return the BIDS fields of a series.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.

    Returns
    -------
    dict
        ``VolumeTiming`` always; ``SliceTiming`` when slices are late by the same time in every frame. BIDS has no fields for
        slice times that differ between frames nor for the origin of the times: ``SliceVolumeTiming`` and ``TimeSource`` are ours.
    """
    acquisition = series.acquisition
    sidecar: dict[str, object] = {
        "Modality": "CT" if series.modality == "ctp" else "MR",
        "VolumeTiming": [round(float(t - series.times_s[0]), 6) for t in series.times_s],
        "TimeSource": acquisition.time_source,
    }
    if acquisition.manufacturer or series.source.kind == "phantom":
        sidecar["Manufacturer"] = acquisition.manufacturer or _MAKER
    if acquisition.echo_times_s:
        sidecar["EchoTime"] = acquisition.echo_times_s[0]
    if acquisition.repetition_time_s is not None:
        # BIDS forbids RepetitionTime beside VolumeTiming; this is the time between excitations.
        sidecar["RepetitionTimeExcitation"] = acquisition.repetition_time_s
    for name, key in DETAILS.items():
        if key in acquisition.details:
            sidecar[name] = acquisition.details[key]
    if acquisition.slice_times_s is not None:
        times = np.asarray(acquisition.slice_times_s, np.float64) - series.times_s[0]
        late = times - times.min(axis=0)
        if float(np.ptp(late, axis=1).max()) < _UNIFORM_S and series.modality == "dsc":
            onset = times.min(axis=0)
            sidecar["VolumeTiming"] = [round(float(t - onset[0]), 6) for t in onset]
            sidecar["SliceTiming"] = [round(float(t), 6) for t in late[:, 0]]
        else:
            sidecar["SliceVolumeTiming"] = np.round(times, 6)
    return sidecar
