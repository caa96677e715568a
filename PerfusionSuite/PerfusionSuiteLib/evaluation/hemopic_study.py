# SPDX-License-Identifier: Apache-2.0
"""Evaluation of fitted DSC patients: every patient is read once and measured by all parts that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..core.progress import ProgressCallback, no_progress
from . import (
    hemopic_contrasts,
    hemopic_discrimination,
    hemopic_physical,
    hemopic_reconstruction,
    hemopic_tau,
    hemopic_volume_check,
)
from .hemopic_case import Case, Definitions, duplicates, fingerprint, read_beside, read_case
from .hemopic_discrimination import Scores
from .hemopic_folders import DATA, CaseFiles
from .hemopic_mirror import Mirrored, mirrored_lesion
from .hemopic_reconstruction import Reconstruction
from .hemopic_slices import SliceChoices

PARTS = ("cvt", "summary", "curves", "tau", "slices", "roc")


@dataclass(frozen=True, slots=True)
class HemopicDesign:
    """What is evaluated, and how.

    Parameters
    ----------
    parts : tuple of str
        Of `PARTS`.
    definitions : {"corrected", "published"}
        The corrected ones of hemopic 10.6, or the published ones of 6.
    methods, metrics : tuple of str
        Only these sources and maps in lesion detection; all when empty.
    relative_mode : {"brain_median", "nonlesion_median"}
        What lesion scores are relative to.
    base : str
        Source that others are compared with.
    held_out : bool
        Fit regions again on even frames to judge them by odd ones (corrected definitions only).
    volumes : bool
        Write masks, relative values and scores of each patient as images.
    slice_index : int, optional
        Slice of the figures; by default the one with most lesion.
    display : SliceChoices
        Windows of the slice figures.
    """

    parts: tuple[str, ...] = PARTS
    definitions: Definitions = "corrected"
    methods: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    relative_mode: str = "brain_median"
    base: str = DATA
    held_out: bool = True
    volumes: bool = False
    slice_index: int | None = None
    display: SliceChoices = field(default_factory=SliceChoices)


@dataclass(slots=True)
class HemopicFindings:
    """What was measured so far.

    Parameters
    ----------
    points, rois, overlaps, times, metrics : list of dict
        Rows of the volume check, the time constants (also of lesions), transit times of regions of the physical mode, and lesion
        detection.
    contrasts : dict of str to list of dict
        Rows of the summary statistics by table.
    curves : list of Reconstruction
        Of each patient.
    pooled : dict
        Score and lesion of each patient's voxels, by source and map.
    mirrors : dict of str to Mirrored
        How each lesion was mirrored (without its mask).
    skipped : list of tuple of str
        Patient, part, reason.
    prints, copies : dict of str to str
        Fingerprints, and patients that are a copy of another one.
    patients : list of str
        Patients that could be read.
    """

    points: list[dict[str, Any]] = field(default_factory=list)
    contrasts: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"lesion": [], "gmwm": []})
    curves: list[Reconstruction] = field(default_factory=list)
    rois: list[dict[str, Any]] = field(default_factory=list)
    overlaps: list[dict[str, Any]] = field(default_factory=list)
    times: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    pooled: dict[tuple[str, str], list[tuple[NDArray[np.float32], BoolArray]]] = field(default_factory=dict)
    mirrors: dict[str, tuple[str, str]] = field(default_factory=dict)
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    prints: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    patients: list[str] = field(default_factory=list)


PatientWriter = Callable[[Case, Sequence[Scores], Sequence[Mapping[str, Any]]], object]
"""Writes what lesion detection found in one patient."""

SliceWriter = Callable[[Case], object]
"""Writes the slice figures of one patient."""


def run_hemopic(
    cases: Sequence[CaseFiles],
    design: HemopicDesign,
    *,
    write_patient: PatientWriter | None = None,
    write_slices: SliceWriter | None = None,
    progress: ProgressCallback | None = None,
) -> HemopicFindings:
    """Measure all patients.

    Parameters
    ----------
    cases : sequence of CaseFiles
        From `find_cases`.
    design : HemopicDesign
        What to measure.
    write_patient, write_slices : callable, optional
        Called with each patient while it is in memory.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    HemopicFindings
        Rows of all tables. A part that is not possible in a patient is skipped with its reason. Corrected: the second entry of
        one subject is not measured. Published: it is measured and told.
    """
    report, found = progress or no_progress, HemopicFindings()
    for at, files in enumerate(cases):
        report(at / len(cases), f"Patient {files.patient}")
        try:
            case = read_case(files, definitions=design.definitions)
        except InvalidInputError as error:
            found.skipped.append((files.patient, "all", str(error)))
            continue
        found.skipped += [(files.patient, "maps", note) for note in case.notes]
        found.patients.append(files.patient)
        found.prints[files.patient] = fingerprint(case)
        found.copies = duplicates(found.prints)
        if files.patient in found.copies:
            words = f"it is the same subject as patient {found.copies[files.patient]}"
            found.skipped.append((files.patient, "all" if design.definitions == "corrected" else "note", words))
            if design.definitions == "corrected":
                continue
        _measure(case, design, found, write_patient, write_slices)
    return found


def _measure(
    case: Case,
    design: HemopicDesign,
    found: HemopicFindings,
    write_patient: PatientWriter | None,
    write_slices: SliceWriter | None,
) -> None:
    opposite = _opposite(case, design, found)

    def detect() -> None:
        scores = hemopic_discrimination.scored_maps(
            case, design.definitions, methods=design.methods, metrics=design.metrics, relative_mode=design.relative_mode
        )
        rows = [hemopic_discrimination.metric_row(case, each, design.definitions) for each in scores]
        for each in scores:
            if each.detection is not None:
                part = (each.score.astype(np.float32), each.truth)
                found.pooled.setdefault((each.method, each.metric), []).append(part)
        found.metrics += rows
        if write_patient is not None:
            write_patient(case, scores, rows)

    def contrast() -> None:
        for name, rows in hemopic_contrasts.contrast_rows(case, opposite, design.definitions).items():
            found.contrasts[name] += rows

    parts: Mapping[str, Callable[[], object]] = {
        "cvt": lambda: found.points.extend(hemopic_volume_check.volume_points(case, design.definitions)),
        "summary": contrast,
        "curves": lambda: found.curves.append(_curves(case, design, opposite)),
        "tau": lambda: _tau(case, design, opposite, found),
        "slices": lambda: write_slices(case) if write_slices is not None else None,
        "roc": detect,
    }
    if case.lesion is None and "summary" in design.parts:
        found.skipped.append((case.patient, "summary", "there is no lesion mask, so only gray and white matter are compared"))
    for name in design.parts:
        try:
            parts[name]()
        except InvalidInputError as error:
            found.skipped.append((case.patient, name, str(error)))


def _opposite(case: Case, design: HemopicDesign, found: HemopicFindings) -> Mirrored | None:
    if case.lesion is None or not case.lesion.any() or not {"summary", "curves", "tau"} & set(design.parts):
        return None
    opposite = mirrored_lesion(case, design.definitions)
    found.mirrors[case.patient] = (opposite.how, opposite.note)
    return opposite


def _curves(case: Case, design: HemopicDesign, opposite: Mirrored | None) -> Reconstruction:
    rows, labels = hemopic_tau.read_regions(case.files.fit), _region_labels(case, design)
    held_out = design.held_out and design.definitions == "corrected"
    if hemopic_physical.is_physical(rows):
        return hemopic_physical.reconstruct_stored(case, rows, labels, design.definitions, opposite, held_out=held_out)
    data = hemopic_reconstruction.read_tracer(case, rows, labels)
    fitted = hemopic_reconstruction.published_curves(data)
    again = hemopic_reconstruction.held_out_curves(data) if held_out else None
    return hemopic_reconstruction.reconstruct(case, data, fitted, design.definitions, opposite=opposite, held_out=again)


def _tau(case: Case, design: HemopicDesign, opposite: Mirrored | None, found: HemopicFindings) -> None:
    rows = hemopic_tau.read_regions(case.files.fit)
    if hemopic_physical.is_physical(rows):
        found.times += hemopic_physical.time_rows(case, rows, _region_labels(case, design), opposite)
        return
    found.rois += hemopic_tau.tau_rows(case, rows, design.definitions)
    if case.lesion is not None:
        chosen = None if design.definitions == "published" else opposite
        labels = _region_labels(case, design)
        found.overlaps += hemopic_tau.overlap_rows(case, rows, labels, chosen, design.definitions)


def _region_labels(case: Case, design: HemopicDesign) -> NDArray[Any]:
    path = case.files.other.get("regions")
    if path is None:
        msg = f"Patient {case.patient} has no image of its regions (roi_labels_seg4_within_kmeans). Fit the patient again."
        raise InvalidInputError(msg)
    return read_beside(path, "regions", (case.shape, case.affine), design.definitions)
