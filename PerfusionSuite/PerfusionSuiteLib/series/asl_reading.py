# SPDX-License-Identifier: Apache-2.0
"""From images and BIDS fields to an `AslSeries`, whatever format they came in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslSeries
from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.nifti import read_header, read_volume
from ..core.series import Acquisition, Source
from .asl_bids import asl_files
from .asl_encoding import decoded, is_encoded
from .asl_fields import HOW_TO_GIVE, AslFacts, facts_of
from .asl_m0 import m0_on_grid
from .asl_scaling import difference_scaling, philips_divisor
from .candidates import SeriesCandidate
from .notes import Notes

AslOptions = Mapping[str, Any]
CONTEXT = "ASLContext"
"""Field of ours that stands in for aslcontext.tsv: types as a list, or words with commas that repeat."""

M0_REPETITION = "M0RepetitionTime"
"""Field of ours for the repetition time of the M0 scan, in s."""


@dataclass(slots=True)
class RawAsl:
    """An ASL scan as a reader of one format hands it over.

    Parameters
    ----------
    data : ndarray of float32, shape (I, J, K, V)
        All volumes.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    fields : dict
        By BIDS names, times in seconds.
    volume_types : tuple of str
        What each volume is; empty when the files do not say.
    m0 : ndarray, shape (I, J, K), optional
        Separate M0 on the same grid.
    m0_fields : dict
        Fields of the M0 scan.
    dicom : dict
        For derived DICOM objects.
    """

    data: NDArray[np.float32]
    affine: FloatArray
    fields: dict[str, Any]
    volume_types: tuple[str, ...]
    m0: NDArray[np.float32] | None = None
    m0_fields: dict[str, Any] = field(default_factory=dict)
    dicom: dict[str, Any] = field(default_factory=dict)


def read_options(options: AslOptions | str | Path | None) -> dict[str, Any]:
    """Return what the user says about a scan.

    Parameters
    ----------
    options : mapping, path-like or None
        Fields by BIDS names, or a JSON file with them.

    Returns
    -------
    dict
        The fields; empty for None.

    Raises
    ------
    InvalidInputError
        If the file is missing or no JSON object.
    """
    if options is None:
        return {}
    if isinstance(options, Mapping):
        return dict(options)
    path = Path(options)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        msg = f"The ASL options '{path.name}' cannot be read ({error.strerror}). Check the path."
        raise InvalidInputError(msg) from error
    except ValueError as error:
        msg = f"The ASL options '{path.name}' are no valid JSON ({error}). Correct the file."
        raise InvalidInputError(msg) from error
    if not isinstance(content, dict):
        msg = f"The ASL options '{path.name}' must be one JSON object, such as {{\"PostLabelingDelay\": 1.8}}."
        raise InvalidInputError(msg)
    return content


def asl_nifti_candidate(path: Path, index: int) -> SeriesCandidate:
    """Describe an ASL NIfTI file by its header.

    Parameters
    ----------
    path : Path
        ``*_asl.nii.gz``.
    index : int
        Its number.

    Returns
    -------
    SeriesCandidate
        Not usable when the file is damaged.
    """
    try:
        shape = read_header(path).shape
        kinds = asl_files(path).volume_types
    except InvalidInputError as error:
        return SeriesCandidate(
            index, "nifti", "ASL NIfTI", "MR", 0, 0, (0, 0), usable=False, reason=str(error), paths=(path,), asl=True
        )
    volumes = shape[3] if len(shape) > 3 else 1
    listed = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    words = f"ASL NIfTI ({listed})" if kinds else "ASL NIfTI"
    reason = "" if len(shape) in {3, 4} else f"it has {len(shape)} dimensions instead of 4"
    return SeriesCandidate(
        index, "nifti", words, "MR", volumes, shape[2], (shape[0], shape[1]), not reason, reason, paths=(path,), asl=True
    )


def read_asl_nifti(path: Path, notes: Notes) -> RawAsl:
    """Read an ASL scan in BIDS.

    Parameters
    ----------
    path : Path
        ``*_asl.nii.gz``.
    notes : Notes
        Gets decisions and findings.

    Returns
    -------
    RawAsl
        Images and fields.

    Raises
    ------
    InvalidInputError
        If a file is damaged, or volumes and aslcontext.tsv do not fit.
    """
    files = asl_files(path)
    values, affine = read_volume(path)
    data = np.asarray(values, np.float32).reshape(*values.shape[:3], -1)
    if not read_header(path).placed:
        message = "The NIfTI file does not say how the head lies (neither qform nor sform); left and right may be exchanged."
        notes.find("unknown_orientation", "warning", message, "Check the side in the pictures, or convert the scan again.")
    found = RawAsl(data / np.float32(philips_divisor(files.fields)), affine, files.fields, files.volume_types)
    wanted = files.fields.get("M0Type")
    if files.m0 is None:
        if wanted == "Separate":
            message = "M0Type is 'Separate' but no M0 scan lies beside the ASL scan."  # names of files may be those of patients
            notes.find("m0_not_found", "warning", message, "Put it there under the same name, with m0scan instead of asl.")
        return found
    if wanted not in (None, "Separate"):
        notes.decide(f"The M0 scan beside the ASL scan was not used, since M0Type is '{wanted}'.")
        return found
    m0, m0_affine = read_volume(files.m0)
    m0 = np.asarray(m0, np.float32) / np.float32(philips_divisor(files.m0_fields))
    found.m0 = m0_on_grid(m0, m0_affine, (data.shape[0], data.shape[1], data.shape[2]), affine, notes)
    found.m0_fields = files.m0_fields
    return found


def assembled(raw: RawAsl, options: AslOptions, notes: Notes, *, kind: str, case_id: str) -> AslSeries:
    """Check a scan and put it together.

    Parameters
    ----------
    raw : RawAsl
        Images and fields.
    options : mapping
        What the user says; it wins over the files.
    notes : Notes
        Decisions and findings so far.
    kind : {"nifti", "dicom"}
        Format.
    case_id : str
        Name of the case.

    Returns
    -------
    AslSeries
        The scan.

    Raises
    ------
    InvalidInputError
        If something that quantification needs is missing or contradicts the images.
    """
    fields = {**raw.fields, **options}
    if options:
        notes.decide(f"Given by the user: {', '.join(sorted(options))}.")
    if "PostLabelingDelay" in fields:  # what the headers do not say has been given
        notes.findings[:] = [finding for finding in notes.findings if finding.code != "delay_order_unknown"]
    for finding in notes.findings:
        if finding.code == "delay_order_unknown":
            raise InvalidInputError(f"{finding.message} {finding.advice}")
    if is_encoded(fields):
        known = () if CONTEXT not in fields and not raw.volume_types else _volume_types(raw, options, raw.data.shape[3])
        data, kinds, fields = decoded(raw.data, known, fields, notes)
        raw = replace(raw, data=data, volume_types=kinds, fields={**raw.fields, **fields})
        options = {name: value for name, value in options.items() if name != CONTEXT}
    volumes = raw.data.shape[3]
    kinds = _volume_types(raw, options, volumes)
    facts = facts_of(fields, kinds, raw.data.shape[2], notes)
    data = _without_missing(raw.data, kinds, notes)
    repetition = _m0_repetition(raw, options, facts)
    _check_m0(facts, raw.m0, kinds, notes)
    scaling = difference_scaling(fields, data, kinds, raw.m0, notes)
    notes.decide(_summary(facts))
    return AslSeries(
        data, raw.affine, facts.volume_types, facts.post_label_delays_s, facts.label_durations_s, facts.labeling,
        m0=raw.m0,
        m0_value=facts.m0_value,
        m0_repetition_s=repetition,
        labeling_efficiency=facts.labeling_efficiency,
        background_suppression_pulses=facts.background_suppression_pulses,
        field_strength_t=facts.field_strength_t,
        scaling=scaling,
        slice_delays_s=facts.slice_delays_s,
        acquisition=_acquisition(fields, facts),
        source=Source(kind, case_id, tuple(notes.decisions), tuple(notes.findings), raw.dicom),
    )  # fmt: skip


def _volume_types(raw: RawAsl, options: AslOptions, volumes: int) -> tuple[str, ...]:
    """What each volume is: as the user says, as the files say."""
    context = options.get(CONTEXT, raw.fields.get(CONTEXT) if not raw.volume_types else None)
    if context is not None:
        words = [str(word).strip() for word in (context.split(",") if isinstance(context, str) else list(context))]
        if isinstance(context, str) and words and volumes % len(words) == 0:
            words *= volumes // len(words)
        kinds, source = tuple(words), CONTEXT
    else:
        kinds, source = raw.volume_types, "aslcontext.tsv" if not raw.dicom else "the DICOM headers"
    if not kinds:
        msg = (
            f"The scan does not say which of its {volumes} volumes are controls and labels (aslcontext.tsv is missing). "
            f'Give {CONTEXT}, such as "control,label", {HOW_TO_GIVE}.'
        )
        raise InvalidInputError(msg)
    if len(kinds) != volumes:
        msg = f"The scan has {volumes} volume{'s' * (volumes != 1)} but {source} names {len(kinds)}. Give one type for each."
        raise InvalidInputError(msg)
    return kinds


def _without_missing(data: NDArray[np.float32], kinds: tuple[str, ...], notes: Notes) -> NDArray[np.float32]:
    """Fill missing values, and refuse volumes that hold nothing. A voxel that lacks some volumes loses all that are subtracted:
    a control without its label would look like flow."""
    bad = ~np.isfinite(data)
    empty = [n for n in range(data.shape[3]) if bad[..., n].all() or not data[..., n][~bad[..., n]].any()]
    if empty:
        msg = f"Volume {empty[0] + 1} ({kinds[empty[0]]}) holds no signal. Convert or export the scan again."
        raise InvalidInputError(msg)
    if bad.any():
        message = (
            f"{100.0 * float(bad.mean()):.2g} % of all values are missing (NaN); their voxels were set to 0 and have no flow."
        )
        notes.find("missing_values", "warning", message, "Convert the scan again if these are in the brain.")
        subtracted = np.isin(np.array(kinds), ("control", "label", "deltam"))
        bad[..., subtracted] |= bad[..., subtracted].any(axis=3, keepdims=True)
        return np.where(bad, np.float32(0.0), data)
    return data


def _m0_repetition(raw: RawAsl, options: AslOptions, facts: AslFacts) -> float | None:
    """Repetition time of M0: given, of its own sidecar, or of the series that it is part of."""
    value = options.get(M0_REPETITION, raw.m0_fields.get("RepetitionTimePreparation", raw.m0_fields.get("RepetitionTime")))
    if value is None:
        value = raw.fields.get(M0_REPETITION)
    if value is None and "m0scan" in facts.volume_types:
        listed = raw.fields.get("RepetitionTimePreparation")
        value = listed[facts.volume_types.index("m0scan")] if isinstance(listed, list) and len(listed) > 1 else listed
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < float(value) <= 100.0:
        msg = f"The repetition time of the M0 scan is {value!r} s, which cannot be right. BIDS wants seconds, for example 6.0."
        raise InvalidInputError(msg)
    return float(value)


def _check_m0(facts: AslFacts, m0: NDArray[np.float32] | None, kinds: tuple[str, ...], notes: Notes) -> None:
    """Say where M0 comes from, or that M0Type promises one that is not there."""
    included = "m0scan" in kinds
    if facts.m0_type == "Included" and not included:
        msg = "M0Type is 'Included' but no volume is an m0scan. Correct aslcontext.tsv or M0Type."
        raise InvalidInputError(msg)
    if m0 is not None:
        notes.decide("M0 is a scan of its own.")
    elif included:
        notes.decide(f"M0 is in the series ({kinds.count('m0scan')} volumes).")
    elif facts.m0_value is not None:
        notes.decide(f"M0 is one number ({facts.m0_value:g}).")
    else:
        notes.decide("The scan has no M0.")


def _summary(facts: AslFacts) -> str:
    """One sentence on what will be quantified."""
    finite = facts.post_label_delays_s[np.isfinite(facts.post_label_delays_s)]
    delays = ", ".join(f"{delay:g}" for delay in np.unique(np.round(finite, 4)))
    durations = facts.label_durations_s[np.isfinite(facts.label_durations_s)]
    bolus = ", ".join(f"{value:g}" for value in np.unique(np.round(durations, 4))) or "unknown"
    counts = ", ".join(f"{facts.volume_types.count(kind)} {kind}" for kind in dict.fromkeys(facts.volume_types))
    word = "inversion times" if facts.labeling == "pasl" else "post-label delays"
    return f"{facts.labeling.upper()} with {word} of {delays} s and a bolus of {bolus} s; volumes: {counts}."


def _acquisition(fields: Mapping[str, Any], facts: AslFacts) -> Acquisition:
    details: dict[str, Any] = {}
    if facts.field_strength_t is not None:
        details["field_strength_t"] = facts.field_strength_t
    if facts.suppressed is not None:
        details["background_suppression"] = facts.suppressed
    if fields.get("MRAcquisitionType"):
        details["readout"] = str(fields["MRAcquisitionType"])
    if isinstance(fields.get("VascularCrushing"), bool):
        details["vascular_crushing"] = fields["VascularCrushing"]
    echo = fields.get("EchoTime")
    echoes = tuple(float(e) for e in (echo if isinstance(echo, list) else [echo]) if isinstance(e, int | float))
    return Acquisition("none (ASL)", None, False, str(fields.get("Manufacturer", "")), echoes[:1], facts.repetition_s, details)
