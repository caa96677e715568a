# SPDX-License-Identifier: Apache-2.0
"""ASL scans in DICOM: which images make up which volume, and what their headers say in the words of BIDS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback
from .asl_dicom_tags import siemens_protocol
from .asl_fields import HOW_TO_GIVE
from .asl_m0 import m0_on_grid
from .asl_reading import RawAsl
from .candidates import SeriesCandidate
from .dicom_frames import FrameTable
from .dicom_geometry import grid_of
from .dicom_headers import ImageHeader
from .dicom_load import load_pixels
from .dicom_reference import references_of
from .dicom_stack import Stack, stack_of
from .dicom_stacks import grid_key
from .notes import Notes

_BIDS_LABELING = {"pcasl": "PCASL", "casl": "CASL", "pasl": "PASL"}
_RANK = {"m0scan": 0, "control": 1, "label": 2, "deltam": 3}
_SAME_S = 1e-3


@dataclass(frozen=True, slots=True)
class AslStack:
    """Images of one ASL scan, sorted into slices and volumes.

    Parameters
    ----------
    stack : Stack
        All images.
    image : ndarray of int, shape (K, V)
        Index of the image of each slice and volume.
    m0 : AslStack or None
        A separate M0 scan of the same session.
    """

    stack: Stack
    image: NDArray[np.int64]
    m0: AslStack | None = None

    def first(self) -> list[ImageHeader]:
        """Return the headers of the first slice of each volume."""
        return [self.stack.images[n] for n in self.image[0]]


def is_asl_image(header: ImageHeader) -> bool:
    """Say whether an image belongs to an ASL scan.

    Parameters
    ----------
    header : ImageHeader
        An image.

    Returns
    -------
    bool
        True when the header names a kind of labeling, a label type, or ASL as its image type.
    """
    named = any(key in header.asl for key in ("labeling", "context"))
    return header.modality == "MR" and (named or any("ASL" in word.split("_") for word in header.image_type))


def split_asl(headers: Sequence[ImageHeader], *, everything: bool) -> tuple[list[ImageHeader], list[ImageHeader]]:
    """Part ASL images from others; an M0 scan goes with the ASL scan of its study.

    Parameters
    ----------
    headers : sequence of ImageHeader
        All images of a folder.
    everything : bool
        Take all MR images for ASL, because the user says so and none says it itself.

    Returns
    -------
    asl, others : list of ImageHeader
        The two parts.
    """
    found = [header for header in headers if is_asl_image(header)]
    if not found and everything:
        found = [header for header in headers if header.modality == "MR"]
    studies = {header.study_uid for header in found}
    chosen = {id(header) for header in found}
    found += [h for h in headers if id(h) not in chosen and h.study_uid in studies and h.asl.get("comment") == "m0scan"]
    chosen = {id(header) for header in found}
    return found, [header for header in headers if id(header) not in chosen]


def asl_dicom_candidates(headers: Sequence[ImageHeader], first_index: int) -> list[SeriesCandidate]:
    """List the ASL scans that images make up.

    Parameters
    ----------
    headers : sequence of ImageHeader
        ASL images.
    first_index : int
        Number of the first candidate.

    Returns
    -------
    list of SeriesCandidate
        One per scan; its content is an `AslStack`, or None when it cannot be used.
    """
    groups: dict[tuple[Any, ...], list[ImageHeader]] = defaultdict(list)
    for header in headers:
        groups[(header.series_uid, *grid_key(header)[:8])].append(header)
    members = _joined(list(groups.values()))
    references = [group for group in members if all(_kind(header) == "m0scan" for header in group)]
    scans = [group for group in members if not all(_kind(header) == "m0scan" for header in group)]
    candidates: list[SeriesCandidate] = []
    for group in scans or references:
        usable, content, reason = _stacked(group, references if scans else [])
        candidates.append(_candidate(group, content, reason if not usable else "", first_index + len(candidates)))
    return candidates


def _joined(groups: list[list[ImageHeader]]) -> list[list[ImageHeader]]:
    """Series of difference images on one grid are one scan: some scanners write a series for each delay."""
    joined: dict[tuple[Any, ...], list[ImageHeader]] = {}
    result = []
    for group in groups:
        kinds = {_kind(header) for header in group}
        if kinds != {"deltam"}:
            result.append(group)
            continue
        key = grid_key(group[0])[:8]
        if key in joined:
            joined[key] += group
        else:
            joined[key] = group
            result.append(group)
    return result


def _kind(header: ImageHeader) -> str:
    """Type of the volume of an image; empty when nothing says it. Siemens' comments are more reliable than its macro."""
    comment, context = header.asl.get("comment"), header.asl.get("context")
    if comment is not None and (context is None or header.manufacturer.upper().startswith("SIEMENS")):
        return str(comment)
    return str(context or "")


def _stacked(group: list[ImageHeader], references: list[list[ImageHeader]]) -> tuple[bool, AslStack | None, str]:
    """Sort a scan into slices and volumes; say why that cannot be done."""
    try:
        scan = _volumes(group)
    except InvalidInputError as error:
        return False, None, str(error)
    has_m0 = any(_kind(header) == "m0scan" for header in group)
    for reference in references if not has_m0 else []:
        if reference[0].study_uid == group[0].study_uid:
            try:
                return True, replace(scan, m0=_volumes(reference)), ""
            except InvalidInputError:
                continue
    return True, scan, ""


def _volumes(group: list[ImageHeader]) -> AslStack:
    stack = stack_of(group)
    counts = np.bincount(stack.slice_of)
    if np.ptp(counts):
        msg = f"slices have {counts.min()} to {counts.max()} images, so that volumes are incomplete; export the series again"
        raise InvalidInputError(msg)
    table = np.empty((counts.size, int(counts[0])), np.int64)
    for k in range(counts.size):
        table[k] = sorted(np.flatnonzero(stack.slice_of == k), key=lambda n: _order(stack.images[n]))
    for volume in table.T:
        facts = {(_kind(stack.images[n]), _delay(stack.images[n])) for n in volume}
        if len(facts) > 1:
            msg = "slices of one volume have different label types or delays; export the series again"
            raise InvalidInputError(msg)
    return AslStack(stack, table)


def _delay(header: ImageHeader) -> float:
    return round(float(header.asl.get("delay_s", -1.0)), 4)


def _order(header: ImageHeader) -> tuple[float, ...]:
    """Order of volumes at one slice: as the scanner counts them, else by time, kind, delay."""
    clock = next((header.clocks[c] for c in ("frame_acquisition_datetime", "acquisition_datetime", "acquisition_time")
                  if c in header.clocks), 0.0)  # fmt: skip
    return (
        float(header.clocks.get("temporal_position", -1.0)), float(header.acquisition), round(clock, 3),
        float(header.asl.get("phase", 0)), float(_RANK.get(_kind(header), 9)), _delay(header), float(header.instance),
    )  # fmt: skip


def _candidate(group: list[ImageHeader], content: AslStack | None, reason: str, index: int) -> SeriesCandidate:
    image = group[0]
    slices = 0 if content is None else content.image.shape[0]
    volumes = 0 if content is None else content.image.shape[1]
    words = ["ASL"]
    labeling = next((header.asl["labeling"] for header in group if "labeling" in header.asl), None)
    if labeling is not None:
        words.append(_BIDS_LABELING[labeling])
    if content is not None and content.m0 is not None:
        words.append("with M0 scan")
    uids = tuple(dict.fromkeys(header.series_uid for header in group))
    return SeriesCandidate(
        index, "dicom", " ".join(words), "MR", volumes, slices, (image.columns, image.rows), not reason, reason, uids,
        content=content, asl=True,
    )  # fmt: skip


def read_asl_dicom(candidate: SeriesCandidate, notes: Notes, progress: ProgressCallback) -> RawAsl:
    """Read the pixels of an ASL scan and translate its headers.

    Parameters
    ----------
    candidate : SeriesCandidate
        A usable one.
    notes : Notes
        Gets decisions and findings.
    progress : callable
        Called between slices.

    Returns
    -------
    RawAsl
        Images and fields.

    Raises
    ------
    InvalidInputError
        If pixels cannot be decoded.
    """
    scan: AslStack = candidate.content
    if len(candidate.uids) > 1:
        notes.decide(f"{len(candidate.uids)} series of difference images on the same slices were joined.")
    _undo_display_scaling(scan, notes)
    data, affine = _pixels(scan, notes, progress)
    first = [scan.stack.images[n] for n in scan.image[:, 0]]
    raw = RawAsl(data, affine, _fields(scan, notes), _kinds(scan), dicom=references_of(first, affine))
    if scan.m0 is not None:
        values, m0_affine = _pixels(scan.m0, notes, progress)
        raw.m0 = m0_on_grid(values, m0_affine, (data.shape[0], data.shape[1], data.shape[2]), affine, notes)
        repetition = scan.m0.stack.images[0].repetition_time_ms
        raw.m0_fields = {"RepetitionTimePreparation": repetition / 1000.0} if np.isfinite(repetition) else {}
    return raw


def _pixels(scan: AslStack, notes: Notes, progress: ProgressCallback) -> tuple[NDArray[np.float32], FloatArray]:
    affine = grid_of([scan.stack.images[n] for n in scan.image[:, 0]], notes)
    slices = np.arange(scan.image.shape[0])
    data, good = load_pixels(scan.stack, FrameTable(scan.image, slices, np.zeros(scan.image.shape)), progress)
    if not good.all():
        msg = f"The pixels of {int((~good).sum())} of {good.size} images cannot be decoded. Export the scan without compression."
        raise InvalidInputError(msg)
    return data, affine


def _undo_display_scaling(scan: AslStack, notes: Notes) -> None:
    """Philips rescales for display; the private scale slope leads back to values that compare between scans."""
    images = [*scan.stack.images, *(scan.m0.stack.images if scan.m0 is not None else [])]
    if not all("scale" in image.asl and image.slope > 0 for image in images):
        return
    for image in images:
        total = image.slope * image.asl["scale"]
        image.slope, image.intercept = image.slope / total, image.intercept / total
    notes.decide("Philips' private scale slope was used, so that M0 and ASL have one scale.")


def _kinds(scan: AslStack) -> tuple[str, ...]:
    kinds = tuple(_kind(header) for header in scan.first())
    return kinds if all(kinds) else ()


def _fields(scan: AslStack, notes: Notes) -> dict[str, Any]:
    """What the headers say, by BIDS names."""
    volumes, image = scan.first(), scan.first()[0]
    known = [header.asl for header in volumes]
    fields: dict[str, Any] = {"Manufacturer": image.manufacturer}
    protocol = _protocol(image) if image.manufacturer.upper().startswith("SIEMENS") else {}
    labeling = next((facts["labeling"] for facts in known if "labeling" in facts and facts.get("context") != "m0scan"), None)
    labeling = labeling or protocol.get("labeling")
    if labeling is not None:
        fields["ArterialSpinLabelingType"] = _BIDS_LABELING[labeling]
    if "field_strength_t" in image.details:
        fields["MagneticFieldStrength"] = float(image.details["field_strength_t"])
    repetitions = [header.repetition_time_ms / 1000.0 for header in volumes]
    if np.isfinite(repetitions).all():
        fields["RepetitionTimePreparation"] = repetitions
    if np.isfinite(image.echo_time_ms):
        fields["EchoTime"] = image.echo_time_ms / 1000.0
    for key, name in (("readout", "MRAcquisitionType"), ("averages", "NumberOfAverages"), ("crushed", "VascularCrushing")):
        values = [facts[key] for facts in known if key in facts]
        if values:
            fields[name] = values[0]
    _set_delays(fields, scan, protocol, notes)
    _set_bolus(fields, known, labeling, protocol)
    _set_slice_times(fields, scan)
    return fields


def _protocol(image: ImageHeader) -> dict[str, Any]:
    try:
        return siemens_protocol(pydicom.dcmread(image.pixels.path, stop_before_pixels=True, force=True))
    except (OSError, InvalidDicomError, ValueError):
        return {}


def _set_delays(fields: dict[str, Any], scan: AslStack, protocol: dict[str, Any], notes: Notes) -> None:
    """Post-label delays of the volumes, from their own headers or from the protocol when it has only one."""
    volumes = scan.first()
    labeled = [header for header in volumes if _kind(header) != "m0scan"]
    if labeled and all("delay_s" in header.asl for header in labeled):
        fields["PostLabelingDelay"] = [float(header.asl.get("delay_s", 0.0)) for header in volumes]
        if volumes[0].manufacturer.upper().startswith("PHILIPS"):
            message = "Post-label delays were taken from TriggerTime, where Philips keeps them."
            notes.find("delay_from_trigger", "info", message, "Check them against the protocol.")
        return
    delays = protocol.get("delays_s", [])
    distinct = sorted(set(delays))
    if len(distinct) == 1:
        fields["PostLabelingDelay"] = float(distinct[0])
        notes.decide(f"The post-label delay of {distinct[0]:g} s comes from the protocol in the Siemens header.")
    elif len(distinct) > 1:
        listed = ", ".join(f"{delay:g}" for delay in distinct)
        message = f"The protocol has delays of {listed} s, but the headers do not say which volume has which."
        advice = f"Give PostLabelingDelay with one entry for each volume {HOW_TO_GIVE}."
        notes.find("delay_order_unknown", "warning", message, advice)


def _set_bolus(fields: dict[str, Any], known: list[dict[str, Any]], labeling: str | None, protocol: dict[str, Any]) -> None:
    durations = [facts.get("label_s", protocol.get("label_s")) for facts in known]
    if labeling != "pasl" and all(value is not None for value in durations):
        fields["LabelingDuration"] = [float(value) for value in durations if value is not None]
    cut = next((facts["cut_s"] for facts in known if "cut_s" in facts), protocol.get("cut_s"))
    flag = next((facts["cut_flag"] for facts in known if "cut_flag" in facts), True if cut is not None else None)
    technique = next((facts["technique"] for facts in known if "technique" in facts), None)
    if flag is not None:
        fields["BolusCutOffFlag"] = bool(flag)
    if cut is not None:
        fields["BolusCutOffDelayTime"] = float(cut)
    if technique is not None:
        fields["BolusCutOffTechnique"] = technique


def _set_slice_times(fields: dict[str, Any], scan: AslStack) -> None:
    """Times of slices after the first, when their images have clocks of their own."""
    if fields.get("MRAcquisitionType") != "2D":
        return
    for clock in ("frame_acquisition_datetime", "acquisition_datetime", "acquisition_time"):
        if all(clock in image.clocks for image in scan.stack.images):
            times = np.array([[scan.stack.images[n].clocks[clock] for n in row] for row in scan.image])
            late = np.median(times - times.min(axis=0), axis=1)
            if float(np.ptp(late)) > _SAME_S:
                fields["SliceTiming"] = [round(float(value), 4) for value in late - late.min()]
            return


def sidecar_of_folder(place: Path) -> Path | None:
    """Return the JSON file that says what DICOM headers do not.

    Parameters
    ----------
    place : Path
        The folder that was read.

    Returns
    -------
    Path or None
        ``asl.json`` in it, a file of the folder's name with ``.json`` or ``_asl.json`` beside it, or ``asl.json`` beside it.
    """
    if not place.is_dir():
        return None
    resolved = place.resolve()
    choices = (
        resolved / "asl.json", resolved.with_name(f"{resolved.name}.json"), resolved.with_name(f"{resolved.name}_asl.json"),
        resolved.with_name("asl.json"),
    )  # fmt: skip
    return next((path for path in choices if path.is_file()), None)
