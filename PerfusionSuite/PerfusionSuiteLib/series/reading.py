# SPDX-License-Identifier: Apache-2.0
"""Read a perfusion or ASL scan from whatever is at a path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, overload

import numpy as np

from ..core.asl import AslSeries
from ..core.errors import InvalidInputError, TimingError
from ..core.geometry import BoolArray
from ..core.progress import ProgressCallback, part_of
from ..core.series import Modality, PerfusionSeries, Source, check_enough_times
from .asl_bids import is_asl_name
from .asl_dicom import read_asl_dicom, sidecar_of_folder
from .asl_reading import AslOptions, asl_nifti_candidate, assembled, read_asl_nifti, read_options
from .bids_choice import chosen_scan
from .candidates import SeriesCandidate, choose, same_scan_other_echo
from .case_name import case_name
from .dicom import Scan, dicom_candidates, read_dicom
from .discover import FoundFiles, find_files, media_folder
from .frame_files import frame_candidates, read_frames
from .intensities import fill_missing, looks_like_ct, to_hounsfield
from .nifti import nifti_candidate, read_nifti
from .notes import Notes
from .nrrd import nrrd_candidate, read_nrrd

NO_BOLUS = "arterial spin labeling has no bolus; choose the modality asl"
"""Why an ASL scan cannot be read as a dynamic contrast series."""

_BY_DICOM: dict[str, Modality] = {"CT": "ctp", "MR": "dsc"}


def scan(path: str | Path) -> list[SeriesCandidate]:
    """List the series at a path, usable or not.

    Parameters
    ----------
    path : path-like
        A folder or a file.

    Returns
    -------
    list of SeriesCandidate
        With the reason for each that cannot be used.

    Raises
    ------
    InvalidInputError
        If the path does not exist or holds no images at all.
    """
    return _candidates(media_folder(Path(path), Notes()), Notes(), None)


@overload
def read(
    path: str | Path,
    *,
    modality: Literal["ctp", "dsc"],
    interval_s: float | None = ...,
    select: int | str | None = ...,
    case_id: str | None = ...,
    asl_options: AslOptions | str | Path | None = ...,
    bids: Mapping[str, str | None] | None = ...,
    progress: ProgressCallback | None = ...,
) -> PerfusionSeries: ...
@overload
def read(
    path: str | Path,
    *,
    modality: Literal["asl"],
    interval_s: float | None = ...,
    select: int | str | None = ...,
    case_id: str | None = ...,
    asl_options: AslOptions | str | Path | None = ...,
    bids: Mapping[str, str | None] | None = ...,
    progress: ProgressCallback | None = ...,
) -> AslSeries: ...
@overload
def read(
    path: str | Path,
    *,
    modality: str = ...,
    interval_s: float | None = ...,
    select: int | str | None = ...,
    case_id: str | None = ...,
    asl_options: AslOptions | str | Path | None = ...,
    bids: Mapping[str, str | None] | None = ...,
    progress: ProgressCallback | None = ...,
) -> PerfusionSeries | AslSeries: ...
def read(
    path: str | Path,
    *,
    modality: str = "auto",
    interval_s: float | None = None,
    select: int | str | None = None,
    case_id: str | None = None,
    asl_options: AslOptions | str | Path | None = None,
    bids: Mapping[str, str | None] | None = None,
    progress: ProgressCallback | None = None,
) -> PerfusionSeries | AslSeries:
    """Read a CT perfusion, DSC MR or ASL scan.

    Parameters
    ----------
    path : path-like
        A folder with DICOM files (any names, any order, other files among them) or its DICOMDIR, a 4D NIfTI with a JSON sidecar,
        a 4D NRRD, a folder with one of these, or a folder with one numbered 3D file per frame. For ASL a DICOM folder, a BIDS
        subject, its perf folder or ``*_asl.nii.gz``.
    modality : {"auto", "ctp", "dsc", "asl"}
        ``auto`` takes it from the DICOM header, the JSON sidecar, or the air peak near -1000 HU; ASL is read when there is no
        series with a bolus.
    interval_s : float, s, optional
        Time between frames; used only when the files hold no times.
    select : int or str, optional
        Index of `scan` or SeriesInstanceUID; by default the usable series with the most slices x frames.
    case_id : str, optional
        De-identified name; by default the name of the folder or file, unless that holds a name or number of the patient.
    asl_options : mapping or path-like, optional
        What an ASL scan does not say itself, by BIDS names, or a JSON file with it; by default ``asl.json`` in a DICOM folder or
        the folder's name with ``.json`` beside it.
    bids : mapping, optional
        ``subject``, ``session`` and ``run`` of the ASL scan that is meant in a BIDS tree that holds several.
    progress : callable, optional
        Called between files and slices.

    Returns
    -------
    PerfusionSeries or AslSeries
        Data in HU (CT) or signal (MR), times from the first frame on. ``source.decisions`` says what was decided,
        ``source.findings`` what was odd, ``acquisition.time_source`` where the times come from.

    Raises
    ------
    InvalidInputError
        If there is no usable series, or its values cannot be used.
    TimingError
        If frame times are missing, too few or inconsistent.
    """
    place, notes = _checked(path, modality, interval_s)
    wishes_of_bids = {key: value for key, value in (bids or {}).items() if value is not None}
    if select is None and (modality == "asl" or wishes_of_bids):
        place = chosen_scan(place, wishes_of_bids)
    found = _candidates(place, notes, part_of(progress, 0.0, 0.4), as_asl=modality == "asl")
    chosen = choose(_for_modality(found, modality, select, notes), select, notes)
    if select is None and chosen.asl and chosen.kind == "nifti":
        chosen_scan(place, {})  # patients are never guessed
    wishes = _Wishes(place, modality, interval_s, case_id)
    rest = part_of(progress, 0.4, 0.98)
    scan_read = _asl_series(chosen, wishes, asl_options, notes, rest) if chosen.asl else _series(chosen, wishes, notes, rest)
    if progress is not None:
        progress(1.0, "Series read")
    return scan_read


def with_bolus(scan_read: PerfusionSeries | AslSeries) -> PerfusionSeries:
    """Return a scan that must have a bolus, or say that it has none.

    Parameters
    ----------
    scan_read : PerfusionSeries or AslSeries
        What `read` returned.

    Returns
    -------
    PerfusionSeries
        The same object.

    Raises
    ------
    InvalidInputError
        If it is an ASL scan.
    """
    if isinstance(scan_read, AslSeries):
        msg = "This is an ASL scan, which has no bolus. Analyze it with 'run --modality asl', or choose a CT or DSC-MRI series."
        raise InvalidInputError(msg)
    return scan_read


def _for_modality(found: list[SeriesCandidate], modality: str, select: int | str | None, notes: Notes) -> list[SeriesCandidate]:
    """Mark candidates of other kinds as not usable."""
    if modality == "asl":
        return [item if item.asl else replace(item, usable=False, reason=item.reason or "no ASL scan") for item in found]
    dynamic = [replace(item, usable=False, reason=NO_BOLUS) if item.asl else item for item in found]
    if modality != "auto":
        return dynamic
    if select is not None or not any(item.usable for item in dynamic):
        return found
    labeled = [item for item in found if item.asl and item.usable]
    if labeled:
        message = f"An ASL scan is here too (series {labeled[0].index}) and was not read."
        notes.find("asl_beside", "info", message, "Read it with the modality asl.")
    return dynamic


def read_echoes(
    path: str | Path,
    *,
    interval_s: float | None = None,
    select: int | str | None = None,
    case_id: str | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[PerfusionSeries, ...]:
    """Read all echoes of a DSC MR scan that holds several.

    Parameters
    ----------
    path, interval_s, select, case_id, progress
        See `read`; `select` may name any of the echoes.

    Returns
    -------
    tuple of PerfusionSeries
        One per echo, the shortest echo time first; a single one when the scan has no other. All have the same grid and frames.

    Raises
    ------
    InvalidInputError, TimingError
        See `read`.
    """
    place, notes = _checked(path, "auto", interval_s)
    candidates = _for_modality(_candidates(place, notes, part_of(progress, 0.0, 0.4)), "dsc", select, notes)
    found = len(notes.findings)
    chosen = choose(candidates, select, notes)
    members = [item for item in candidates if item.usable and same_scan_other_echo(item, chosen)]
    if len(members) > 1:
        del notes.findings[found:]  # all echoes are read, so there was no choice among them
        notes.decide(f"All {len(members)} echoes of the scan were read: {', '.join(item.description for item in members)}.")
    wishes = _Wishes(place, "auto", interval_s, case_id)
    result = []
    for number, member in enumerate(members):
        part = part_of(progress, 0.4 + 0.6 * number / len(members), 0.4 + 0.6 * (number + 1) / len(members))
        own = Notes(list(notes.decisions), list(notes.findings))
        result.append(_series(member, wishes, own, part))
    return tuple(sorted(result, key=lambda item: item.acquisition.echo_times_s))


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the caller asked for."""

    place: Path
    modality: str
    interval_s: float | None
    case_id: str | None


def _checked(path: str | Path, modality: str, interval_s: float | None) -> tuple[Path, Notes]:
    if modality not in {"auto", "ctp", "dsc", "asl"}:
        msg = f"Modality '{modality}' cannot be read. Choose auto, ctp, dsc or asl."
        raise InvalidInputError(msg)
    if interval_s is not None and not (np.isfinite(interval_s) and 0.0 < interval_s <= 100.0):
        msg = f"An interval of {interval_s:g} s between frames is not possible. Give it in seconds, for example 1.5."
        raise TimingError(msg)
    notes = Notes()
    return media_folder(Path(path), notes), notes


def _series(chosen: SeriesCandidate, wishes: _Wishes, notes: Notes, progress: ProgressCallback) -> PerfusionSeries:
    """Read one candidate and judge its values."""
    found = _read_candidate(chosen, wishes.interval_s, notes, progress)
    kind = _modality(found, wishes.modality)
    keep = fill_missing(found.data, kind, notes)
    if not keep.all():
        found = _only_frames(found, keep)
    if kind == "ctp":
        to_hounsfield(found.data, notes, rescaled=found.rescaled)
    check_enough_times(found.times_s)
    dicom_file = chosen.content.images[0].pixels.path if chosen.kind == "dicom" else None
    nifti_file = chosen.paths[0] if chosen.kind == "nifti" else None
    name = wishes.case_id or case_name(wishes.place, dicom_file, notes, nifti_file)
    source = Source(chosen.kind, name, tuple(notes.decisions), tuple(notes.findings), found.dicom)
    shuttle = found.acquisition.slice_times_s is not None and kind == "ctp"
    acquisition = replace(found.acquisition, shuttle=shuttle)
    return PerfusionSeries(found.data, found.affine, found.times_s, kind, acquisition, source)


def _asl_series(
    chosen: SeriesCandidate, wishes: _Wishes, options: AslOptions | str | Path | None, notes: Notes, progress: ProgressCallback
) -> AslSeries:
    """Read one ASL scan with what the user says about it."""
    dicom_file = chosen.content.stack.images[0].pixels.path if chosen.kind == "dicom" else None
    name = wishes.case_id or case_name(wishes.place, dicom_file, notes, chosen.paths[0] if chosen.kind == "nifti" else None)
    if name.startswith("sub-"):
        name = name.removesuffix("_asl")  # a file of a BIDS tree is called after its subject
    if chosen.kind == "nifti":
        progress(0.1, "Reading file")
        raw = read_asl_nifti(chosen.paths[0], notes)
    else:
        raw = read_asl_dicom(chosen, notes, progress)
        beside = sidecar_of_folder(wishes.place)
        if beside is not None:
            where = "in" if beside.parent == wishes.place.resolve() else "beside"  # its name may be that of the patient
            notes.decide(f"What the DICOM headers do not say was read from a JSON file {where} the folder.")
            raw.fields |= read_options(beside)
    return assembled(raw, read_options(options), notes, kind=chosen.kind, case_id=name)


def _candidates(place: Path, notes: Notes, progress: ProgressCallback | None, *, as_asl: bool = False) -> list[SeriesCandidate]:
    files = find_files(place)
    candidates = dicom_candidates(files.dicom, 0, notes, progress, as_asl=as_asl) if files.dicom else []
    for path in files.nifti:
        labeled = is_asl_name(path) or (as_asl and path == place)
        candidates.append((asl_nifti_candidate if labeled else nifti_candidate)(path, len(candidates)))
    for path in files.nrrd:
        candidates.append(nrrd_candidate(path, len(candidates)))
    candidates += frame_candidates(candidates, len(candidates))
    if not candidates:
        raise InvalidInputError(_nothing_found(place, files))
    return candidates


def _nothing_found(place: Path, files: FoundFiles) -> str:
    where = "The file" if place.is_file() else "The folder"
    others = "" if place.is_file() else f" ({files.other} other {'file' if files.other == 1 else 'files'})"
    if files.dicom:
        return (
            f"{where} '{place.name}' holds {len(files.dicom)} files that look like DICOM but none has a readable image. "
            "Copy or export the series again."
        )
    return f"{where} '{place.name}' holds no image series{others}. Choose a folder with DICOM files, a 4D NIfTI or a 4D NRRD."


def _read_candidate(chosen: SeriesCandidate, interval_s: float | None, notes: Notes, progress: ProgressCallback) -> Scan:
    if chosen.kind == "dicom":
        return read_dicom(chosen, interval_s=interval_s, notes=notes, progress=progress)
    progress(0.1, "Reading file")
    if len(chosen.paths) > 1:
        return read_frames(chosen.paths, kind=chosen.kind, interval_s=interval_s, notes=notes)
    reader = read_nifti if chosen.kind == "nifti" else read_nrrd
    return reader(chosen.paths[0], interval_s=interval_s, notes=notes)


def _modality(found: Scan, wanted: str) -> Modality:
    known = _BY_DICOM.get(found.dicom_modality)
    if wanted == "auto":
        if known is not None:
            return known
        if looks_like_ct(found.data):
            return "ctp"
        msg = "The file does not say whether it is CT or MR, and no air lies near -1000 HU. Give the modality (ctp or dsc)."
        raise InvalidInputError(msg)
    if known is not None and known != wanted:
        msg = f"Modality '{wanted}' was asked for, but the series is {found.dicom_modality}. Choose another series or '{known}'."
        raise InvalidInputError(msg)
    return cast(Modality, wanted)


def _only_frames(found: Scan, keep: BoolArray) -> Scan:
    times, slice_times = found.times_s[keep], found.acquisition.slice_times_s
    start = float(times[0])
    if slice_times is not None:
        slice_times = slice_times[:, keep] - start
    acquisition = replace(found.acquisition, slice_times_s=slice_times)
    return replace(found, data=found.data[..., keep], times_s=times - start, acquisition=acquisition)
