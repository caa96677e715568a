# SPDX-License-Identifier: Apache-2.0
"""Write a series as scanners do (DICOM) or as research data sets do (NIfTI with a BIDS sidecar)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1

from ..core.errors import InvalidInputError
from ..core.files import write_json, written_beside
from ..core.nifti import write_volume
from ..core.progress import ProgressCallback, no_progress
from ..core.series import PerfusionSeries
from .dicom_vendors import VENDORS, Plan, classic_image, enhanced_image, plan_of
from .jpeg import jpeg_lossless

__all__ = ["VENDORS", "write_dicom", "write_nifti"]

_UNIFORM_S = 1e-4


def write_dicom(
    series: PerfusionSeries,
    folder: str | Path,
    *,
    vendor: str = "generic",
    seed: int = 0,
    shuffle: bool = True,
    compress: bool = False,
    progress: ProgressCallback | None = None,
) -> list[Path]:
    """Write a series as a folder of DICOM files in the manner of a scanner.

    Parameters
    ----------
    series : PerfusionSeries
        CT perfusion (values are rounded to whole HU and stored with a rescale intercept of -1024) or DSC MR.
        Slice times in ``acquisition.slice_times_s`` are written as they are; without them all slices of a frame share its time.
    folder : path-like
        Where to write; made when missing.
    vendor : {"generic", "siemens", "ge", "philips", "canon"}
        ``generic``: AcquisitionTime per frame. ``siemens``: AcquisitionDateTime. ``ge``: cine, one AcquisitionTime for all and a
        private mid-scan time (0019,1024). ``philips``: ContentTime and TemporalPositionIdentifier. ``canon``: one enhanced
        multi-frame file.
    seed : int
        Makes UIDs and the invented patient ("PHANTOM-<seed>"); equal seeds give equal files.
    shuffle : bool
        Whether the order of files (and of frames in a multi-frame file) says nothing about time or place.
    compress : bool
        Whether pixels are stored as JPEG-lossless.
    progress : callable, optional
        Called between files.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InvalidInputError
        If the vendor is unknown, the modality has no DICOM form here, or the folder cannot be written to.

    Notes
    -----
    DICOM has no left-handed stacks: when the slice axis of `series` runs against the normal of its rows and columns, a reader
    that sorts along the normal returns the slices in opposite order, with the affine that belongs to it.
    """
    if vendor not in VENDORS:
        msg = f"The vendor '{vendor}' is unknown. Choose one of: {', '.join(VENDORS)}."
        raise InvalidInputError(msg)
    report = progress or no_progress
    plan = plan_of(series, vendor, seed, compress=compress)
    frames, slices = series.times_s.size, series.shape[2]
    order = np.arange(frames * slices)
    if shuffle:
        np.random.default_rng([seed, 20]).shuffle(order)
    if vendor == "canon":
        return [_write_enhanced(series, plan, Path(folder), order)]
    written = []
    for number, place in enumerate(order):
        frame, k = divmod(int(place), slices)
        pixels = stored_pixels(series, plan, k, frame)
        path = Path(folder) / f"IM{number + 1:05d}.dcm"
        _save(classic_image(plan, k, frame), [pixels], path, plan)
        written.append(path)
        if number % 64 == 0:
            report(number / order.size, "Writing DICOM")
    report(1.0, "Writing DICOM")
    return written


def stored_pixels(series: PerfusionSeries, plan: Plan, k: int, frame: int) -> NDArray[np.uint16]:
    """Return one image as it is stored: rows by columns, whole numbers, rescaling undone.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.
    plan : Plan
        Its DICOM plan with slope and intercept.
    k, frame : int
        Slice and frame.

    Returns
    -------
    ndarray of uint16, shape (J, I)
        Stored values.
    """
    values = np.nan_to_num(series.data[:, :, k, frame].astype(np.float64), nan=plan.intercept)
    stored = np.clip(np.rint((values - plan.intercept) / plan.slope), 0, 2**plan.bits - 1)
    return np.ascontiguousarray(stored.T.astype(np.uint16))


def _write_enhanced(series: PerfusionSeries, plan: Plan, folder: Path, order: NDArray[np.int64]) -> Path:
    slices = series.shape[2]
    places = [(int(place) % slices, int(place) // slices) for place in order]
    pixels = [stored_pixels(series, plan, k, frame) for k, frame in places]
    path = folder / "IM00001.dcm"
    _save(enhanced_image(plan, places), pixels, path, plan)
    return path


def _save(image: Dataset, pixels: list[NDArray[np.uint16]], path: Path, plan: Plan) -> None:
    if plan.compress:
        image.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        image.PixelData = encapsulate([jpeg_lossless(item) for item in pixels])
    else:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.PixelData = b"".join(item.astype("<u2").tobytes() for item in pixels)
    image["PixelData"].VR = "OB" if plan.compress else "OW"
    with written_beside(path) as temporary:
        image.save_as(temporary, enforce_file_format=True)


def write_nifti(series: PerfusionSeries, path: str | Path) -> Path:
    """Write a series as 4D NIfTI with a BIDS sidecar that holds the frame times.

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
    whole = bool(np.array_equal(series.data, np.rint(series.data))) and float(np.abs(series.data).max()) < 32767
    write_volume(
        target,
        series.data,
        series.affine,
        dtype=np.int16 if whole else np.float32,
        description="Perfusion Suite phantom",
        unit="HU" if series.modality == "ctp" else "",
        interval_s=series.interval_s if uniform else None,
    )
    write_json(target.with_name(f"{stem}.json"), _sidecar(series))
    return target


def _sidecar(series: PerfusionSeries) -> dict[str, object]:
    sidecar: dict[str, object] = {
        "Modality": "CT" if series.modality == "ctp" else "MR",
        "VolumeTiming": [round(float(t - series.times_s[0]), 6) for t in series.times_s],
        "Manufacturer": series.acquisition.manufacturer or "Perfusion Suite phantom",
    }
    if series.acquisition.echo_times_s:
        sidecar["EchoTime"] = series.acquisition.echo_times_s[0]
    if series.acquisition.slice_times_s is not None:
        # BIDS has no field for slice times that differ between frames, so this one is ours.
        sidecar["SliceVolumeTiming"] = np.round(series.acquisition.slice_times_s - series.times_s[0], 6)
    return sidecar
