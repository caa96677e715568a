# SPDX-License-Identifier: Apache-2.0
"""A folder with one 3D file per frame, as converters and 3D Slicer leave it: numbered files become one series."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError, TimingError
from ..core.geometry import FloatArray, check_same_grid
from ..core.memory import sparse_zeros
from ..core.series import MIN_FRAMES
from .candidates import SeriesCandidate
from .dicom import Scan
from .dicom_clock import seconds_of_time, unwrap_midnight
from .nifti import acquisition_of, read_nifti_frame
from .notes import GIVE_INTERVAL, Notes
from .nrrd import read_nrrd_frame
from .sidecar import read_sidecar

_DIGITS = re.compile(r"\d+")


def frame_candidates(single: list[SeriesCandidate], first_index: int) -> list[SeriesCandidate]:
    """Join 3D files of one folder whose names differ only in their numbers.

    Parameters
    ----------
    single : list of SeriesCandidate
        Candidates of single files; those of DICOM are left alone.
    first_index : int
        Number of the first new candidate.

    Returns
    -------
    list of SeriesCandidate
        One per set of at least 10 files of one size, their paths in the order of the numbers.
    """
    sets: dict[tuple[Any, ...], list[Path]] = defaultdict(list)
    for item in single:
        if item.kind != "dicom" and item.frames == 1 and item.slices > 0:
            path = item.paths[0]
            sets[item.kind, path.parent, _DIGITS.sub("#", path.name), item.matrix, item.slices].append(path)
    joined: list[SeriesCandidate] = []
    for (kind, _, _, matrix, slices), paths in sets.items():
        if len(paths) >= MIN_FRAMES:
            ordered = tuple(sorted(paths, key=_numbers_of))
            words = f"{'NIfTI' if kind == 'nifti' else 'NRRD'}, one file per frame"
            index = first_index + len(joined)
            joined.append(SeriesCandidate(index, kind, words, "", len(paths), slices, matrix, usable=True, paths=ordered))
    return joined


def _numbers_of(path: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in _DIGITS.findall(path.name))


def read_frames(paths: tuple[Path, ...], *, kind: str, interval_s: float | None, notes: Notes) -> Scan:
    """Read one 3D file per frame.

    Parameters
    ----------
    paths : tuple of Path
        In the order of time.
    kind : {"nifti", "nrrd"}
        Format.
    interval_s : float, s, optional
        Time between frames, when no sidecars say when each was taken.
    notes : Notes
        Gets decisions and findings.

    Returns
    -------
    Scan
        Data, grid and times.

    Raises
    ------
    InvalidInputError
        If a file is damaged or lies on another grid.
    TimingError
        If no times are known.
    """
    sidecar = read_sidecar(paths[0]) if kind == "nifti" else {}
    source, times = _times(paths, kind, interval_s)
    notes.other_interval(f"{source} say", float(np.median(np.diff(times))), interval_s)
    read = read_nifti_frame if kind == "nifti" else read_nrrd_frame
    first, affine = read(paths[0])
    data = sparse_zeros((*first.shape, len(paths)))
    for t, path in enumerate(paths):
        values, place = read(path)
        check_same_grid(f"'{path.name}'", values.shape, place, first.shape, affine)
        data[..., t] = values
    notes.decide(f"{len(paths)} files were taken as frames in the order of the numbers in their names.")
    notes.decide(f"Frame times come from {source}.")
    modality = str(sidecar.get("Modality", "")).upper()
    return Scan(data, affine, times, modality, rescaled=True, acquisition=acquisition_of(sidecar, source), dicom={})


def _times(paths: tuple[Path, ...], kind: str, interval_s: float | None) -> tuple[str, FloatArray]:
    if kind == "nifti":
        clocks = np.array([seconds_of_time(read_sidecar(path).get("AcquisitionTime", "")) for path in paths])
        if np.isfinite(clocks).all():
            times = unwrap_midnight(clocks)
            if (np.diff(times) <= 0).any():
                msg = "AcquisitionTime of the JSON sidecars does not increase with the numbers of the files. Rename the files."
                raise InvalidInputError(msg)
            return "AcquisitionTime of the JSON sidecars", np.round(times - times[0], 6)
    if interval_s is None:
        msg = f"The folder holds one file per frame but no frame times. {GIVE_INTERVAL}"
        raise TimingError(msg)
    return f"the given interval of {interval_s:g} s", np.linspace(0.0, (len(paths) - 1) * interval_s, len(paths))
