# SPDX-License-Identifier: Apache-2.0
"""Write a series as scanners do: DICOM files in the manner of several makers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.progress import ProgressCallback, no_progress
from ..core.series import PerfusionSeries
from ..series.write_nifti import write_nifti
from .dicom_encoding import ENCODINGS, save_image
from .dicom_mosaic import mosaic_image, tiled
from .dicom_multiframe import enhanced_image
from .dicom_plan import MULTIFRAME, VENDORS, Place, Plan, plan_of
from .dicom_split import SPLITS, series_numbers
from .dicom_troubles import TROUBLES, trouble_folder
from .dicom_vendors import classic_image

__all__ = ["ENCODINGS", "SPLITS", "TROUBLES", "VENDORS", "write_dicom", "write_nifti"]


def write_dicom(
    series: PerfusionSeries,
    folder: str | Path,
    *,
    vendor: str = "generic",
    seed: int = 0,
    shuffle: bool = True,
    compress: bool = False,
    encoding: str | None = None,
    split: str | None = None,
    further_echoes: Sequence[PerfusionSeries] = (),
    troubles: Iterable[str] = (),
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
    vendor : {"generic", "siemens", "siemens-mosaic", "ge", "philips", "philips-enhanced", "canon", "enhanced"}
        ``generic``: AcquisitionTime per frame. ``siemens``: AcquisitionDateTime. ``siemens-mosaic``: MR, all slices of a frame in
        one picture. ``ge``: one AcquisitionTime for all, with a private mid-scan time (0019,1024) in CT (cine) and TriggerTime
        in MR. ``philips``: ContentTime and TemporalPositionIdentifier in CT, private dynamic time (2005,10A0) in MR.
        ``canon``: CT, volume times, a series per phase. ``enhanced``: one multi-frame file with FrameAcquisitionDateTime.
        ``philips-enhanced``: one multi-frame file with TemporalPositionTimeOffset (CT) or private times (MR).
    seed : int
        Makes UIDs and the invented patient ("PHANTOM-<seed>"); equal seeds give equal files.
    shuffle : bool
        Whether the order of files (and of frames in a multi-frame file) says nothing about time or place.
    compress : bool
        Whether pixels are stored as JPEG-lossless, when no encoding is given.
    encoding : {"explicit", "implicit", "big-endian", "deflated", "jpeg-lossless", "rle"}, optional
        How files are encoded.
    split : {"none", "phases", "slabs", "frames"}, optional
        What starts a new DICOM series; by default phases for ``canon``, else nothing.
    further_echoes : sequence of PerfusionSeries
        Later echoes of an MR scan, kept in the same DICOM series.
    troubles : iterable of str
        What happens to the files afterwards, see `dicom_troubles.TROUBLES`: losses, copies, other files, removed headers.
    progress : callable, optional
        Called between files.

    Returns
    -------
    list of Path
        The files, as they were before any trouble.

    Raises
    ------
    InvalidInputError
        If the vendor or encoding is unknown, the modality has no DICOM form here, or the folder cannot be written to.

    Notes
    -----
    DICOM has no left-handed stacks: when the slice axis of `series` runs against the normal of its rows and columns, a reader
    that sorts along the normal returns the slices in opposite order, with the affine that belongs to it.
    """
    encoding = encoding or ("jpeg-lossless" if compress else "explicit")
    if vendor not in VENDORS:
        msg = f"The vendor '{vendor}' is unknown. Choose one of: {', '.join(VENDORS)}."
        raise InvalidInputError(msg)
    if encoding not in ENCODINGS:
        msg = f"The encoding '{encoding}' is unknown. Choose one of: {', '.join(ENCODINGS)}."
        raise InvalidInputError(msg)
    echoes = (series, *further_echoes)
    plan = plan_of(echoes, vendor, seed)
    groups = _groups(plan, len(echoes), split or ("phases" if vendor == "canon" else "none"))
    order = np.arange(len(groups[0]) if vendor in MULTIFRAME else len(groups))
    if shuffle:
        np.random.default_rng([seed, 20]).shuffle(order)
    if vendor in MULTIFRAME:
        groups = [[groups[0][n] for n in order]]
    else:
        groups = [groups[n] for n in order]
    report = progress or no_progress
    written = []
    for number, group in enumerate(groups):
        path = Path(folder) / f"IM{number + 1:05d}.dcm"
        _write_group(echoes, plan, group, path, encoding)
        written.append(path)
        if number % 64 == 0:
            report(number / len(groups), "Writing DICOM")
    trouble_folder(folder, troubles)
    report(1.0, "Writing DICOM")
    return written


def _groups(plan: Plan, echoes: int, split: str) -> list[list[Place]]:
    """Images that share a file: all, the slices of a frame, or one."""
    numbers = series_numbers(split, plan.slice_times_s, plan.frame_times_s)
    slices, frames = numbers.shape
    if (plan.vendor in MULTIFRAME and split != "none") or (plan.vendor == "siemens-mosaic" and split == "slabs"):
        msg = f"The vendor '{plan.vendor}' keeps a scan in one series. Leave the split out, or choose another vendor."
        raise InvalidInputError(msg)
    every = [Place(e, t, k, int(numbers[k, t])) for t in range(frames) for k in range(slices) for e in range(echoes)]
    if plan.vendor in MULTIFRAME:
        return [every]
    if plan.vendor != "siemens-mosaic":
        return [[place] for place in every]
    return [[place for place in every if (place.frame, place.echo) == (t, e)] for t in range(frames) for e in range(echoes)]


def _write_group(echoes: Sequence[PerfusionSeries], plan: Plan, group: list[Place], path: Path, encoding: str) -> None:
    pixels = [stored_pixels(echoes[place.echo], plan, place.k, place.frame) for place in group]
    if plan.vendor in MULTIFRAME:
        save_image(enhanced_image(plan, group), pixels, path, encoding)
    elif plan.vendor == "siemens-mosaic":
        save_image(mosaic_image(plan, group[0]), [tiled(pixels)], path, encoding)
    else:
        save_image(classic_image(plan, group[0]), pixels, path, encoding)


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
