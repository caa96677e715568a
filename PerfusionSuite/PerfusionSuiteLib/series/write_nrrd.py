# SPDX-License-Identifier: Apache-2.0
"""Write a series as the NRRD files that 3D Slicer reads: a volume sequence or a multi-volume."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from ..core.errors import InvalidInputError
from ..core.files import written_beside
from ..core.geometry import LPS_TO_RAS
from ..core.series import PerfusionSeries
from .write_nifti import fits_int16

FORMS = ("sequence", "multivolume")
"""Kinds of 4D NRRD."""

_EMPTY = '""'


def write_nrrd(series: PerfusionSeries, path: str | Path, *, form: str = "sequence") -> Path:
    """Write a series as NRRD with its frame times and where they came from.

    Parameters
    ----------
    series : PerfusionSeries
        The scan. Whole numbers that fit are stored as 16-bit integers, others as 32-bit floats.
    path : path-like
        ``.nrrd``; 3D Slicer takes ``.seq.nrrd`` for a sequence.
    form : {"sequence", "multivolume"}
        ``sequence``: times as index values in seconds. ``multivolume``: as frame labels in milliseconds, with the keys of
        3D Slicer's importer.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If the form or the ending of the name is unknown, or the file cannot be written.
    """
    target = Path(path)
    if form not in FORMS or not target.name.endswith(".nrrd"):
        msg = f"'{target.name}' cannot be written as '{form}'. Let the name end in .nrrd and choose one of: {', '.join(FORMS)}."
        raise InvalidInputError(msg)
    whole = fits_int16(series)
    header = [*_fields(series, "short" if whole else "float", first=form == "multivolume"), *_own_pairs(series)]
    header += _sequence_pairs(series) if form == "sequence" else _multivolume_pairs(series)
    with written_beside(target) as temporary, temporary.open("wb") as raw:
        raw.write(("\n".join(header) + "\n\n").encode())
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=4, mtime=0) as packed:
            for part in range(series.shape[2] if form == "multivolume" else series.times_s.size):
                # A multi-volume keeps the frames of a voxel together, a sequence the voxels of a frame.
                values = series.data[:, :, part].transpose(1, 0, 2) if form == "multivolume" else series.data[..., part].T
                packed.write(values.astype("<i2" if whole else "<f4").tobytes())
    return target


def _fields(series: PerfusionSeries, kind: str, *, first: bool) -> list[str]:
    lps = LPS_TO_RAS @ series.affine
    columns = ["(" + ",".join(f"{value:.10g}" for value in lps[:3, axis]) + ")" for axis in range(3)]
    sizes = [str(size) for size in series.shape]

    def ordered(spatial: list[str], time: str) -> str:
        return " ".join([time, *spatial] if first else [*spatial, time])

    return [
        "NRRD0005",
        f"type: {kind}",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {ordered(sizes, str(series.times_s.size))}",
        f"space directions: {ordered(columns, 'none')}",
        f"kinds: {ordered(['domain'] * 3, 'list')}",
        # Axes with a direction in space may have no unit of their own.
        f"labels: {ordered([_EMPTY] * 3, _quoted('time'))}",
        f"units: {ordered([_EMPTY] * 3, _quoted('ms' if first else 's'))}",
        f"space units: {' '.join([_quoted('mm')] * 3)}",
        "endian: little",
        "encoding: gzip",
        "space origin: (" + ",".join(f"{value:.10g}" for value in lps[:3, 3]) + ")",
    ]


def _quoted(text: str) -> str:
    return f'"{text}"'


def _own_pairs(series: PerfusionSeries) -> list[str]:
    pairs = [
        f"PerfusionSuite.Modality:={'CT' if series.modality == 'ctp' else 'MR'}",
        f"PerfusionSuite.TimeSource:={' '.join(series.acquisition.time_source.split())}",
    ]
    if series.acquisition.slice_times_s is not None:
        times = np.asarray(series.acquisition.slice_times_s, np.float64) - series.times_s[0]
        pairs.append("PerfusionSuite.SliceTimes:=" + " ".join(f"{value:.6f}" for value in times.ravel()))
    echoes, repetition = series.acquisition.echo_times_s, series.acquisition.repetition_time_s
    if echoes:
        pairs.append(f"MultiVolume.DICOM.EchoTime:={1e3 * echoes[0]:.6g}")
    if repetition is not None:
        pairs.append(f"MultiVolume.DICOM.RepetitionTime:={1e3 * repetition:.6g}")
    if "flip_angle_deg" in series.acquisition.details:
        pairs.append(f"MultiVolume.DICOM.FlipAngle:={float(series.acquisition.details['flip_angle_deg']):.6g}")
    return pairs


def _sequence_pairs(series: PerfusionSeries) -> list[str]:
    values = " ".join(f"{value:.6f}" for value in series.times_s - series.times_s[0])
    return ["DataNodeClassName:=vtkMRMLScalarVolumeNode", "axis 3 index type:=numeric", f"axis 3 index values:={values}"]


def _multivolume_pairs(series: PerfusionSeries) -> list[str]:
    labels = ",".join(f"{value:.3f}" for value in 1e3 * (series.times_s - series.times_s[0]))
    return [
        f"MultiVolume.FrameLabels:={labels}",
        "MultiVolume.FrameIdentifyingDICOMTagName:=AcquisitionTime",
        "MultiVolume.FrameIdentifyingDICOMTagUnits:=ms",
        f"MultiVolume.NumberOfFrames:={series.times_s.size}",
    ]
