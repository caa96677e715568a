# SPDX-License-Identifier: Apache-2.0
"""What the fields of BIDS say about an ASL scan, checked; DICOM headers are translated into the same names first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.asl import VOLUME_TYPES, LabelingType
from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .notes import Notes

LABELING_NAMES: Mapping[str, LabelingType] = {
    "PCASL": "pcasl", "CASL": "casl", "PASL": "pasl", "PSEUDOCONTINUOUS": "pcasl", "CONTINUOUS": "casl", "PULSED": "pasl",
}  # fmt: skip
"""Words for the kinds of labeling, of BIDS and of DICOM."""

HOW_TO_GIVE = "in the JSON sidecar, or in a JSON file given with --asl-options (asl_options= in Python)"
"""How a user says what the scan does not."""

M0_TYPES = ("Separate", "Included", "Estimate", "Absent")
_LONGEST_S = 20.0
_LATE_CUT = (
    "The bolus is cut off (BolusCutOffDelayTime) after the picture is taken (PostLabelingDelay, for PASL the inversion time). "
    "Correct one of the two; both are in seconds from the labeling pulse."
)
_LABELED = ("control", "label", "deltam", "cbf")


@dataclass(frozen=True, slots=True)
class AslFacts:
    """An ASL scan without its images; the fields are those of `AslSeries`.

    Parameters
    ----------
    volume_types, post_label_delays_s, label_durations_s, labeling, labeling_efficiency, background_suppression_pulses
        See `AslSeries`.
    suppressed : bool or None
        Whether the background was suppressed; None when the scan does not say it.
    field_strength_t, slice_delays_s, m0_value
        See `AslSeries`.
    m0_type : {"Separate", "Included", "Estimate", "Absent"} or None
        Where M0 is; None when the scan does not say it.
    repetition_s : float or None, s
        Time between labelings.
    """

    volume_types: tuple[str, ...]
    post_label_delays_s: FloatArray
    label_durations_s: FloatArray
    labeling: LabelingType
    labeling_efficiency: float | None
    background_suppression_pulses: int | None
    suppressed: bool | None
    field_strength_t: float | None
    slice_delays_s: FloatArray | None
    m0_value: float | None
    m0_type: str | None
    repetition_s: float | None


def facts_of(fields: Mapping[str, Any], volume_types: Sequence[str], slices: int, notes: Notes) -> AslFacts:
    """Read and check the fields of an ASL scan.

    Parameters
    ----------
    fields : mapping
        By their BIDS names, times in seconds.
    volume_types : sequence of str
        What each volume is, from aslcontext.tsv.
    slices : int
        Number of slices.
    notes : Notes
        Gets decisions and findings.

    Returns
    -------
    AslFacts
        What they say.

    Raises
    ------
    InvalidInputError
        If a field that quantification needs is missing, does not fit the volumes, or is in another unit.
    """
    kinds = tuple(str(kind) for kind in volume_types)
    _check_kinds(kinds)
    _check_readout(fields)
    labeling = _labeling(fields)
    delays = _per_volume(fields, "PostLabelingDelay", kinds)
    durations = _durations(fields, labeling, kinds, delays)
    if labeling == "pasl" and not np.isfinite(durations[np.isin(np.array(kinds), _LABELED)]).all():
        _tell_unknown_bolus(fields, notes)
    pulses, suppressed = _suppression(fields)
    m0_type = fields.get("M0Type")
    if m0_type is not None and m0_type not in M0_TYPES:
        msg = f"M0Type is '{m0_type}', which BIDS does not know. Use one of {', '.join(M0_TYPES)}."
        raise InvalidInputError(msg)
    value = _number(fields, "M0Estimate", low=0.0)
    if m0_type == "Estimate" and value is None:
        msg = f"M0Type is 'Estimate' but M0Estimate is missing. Give it {HOW_TO_GIVE}."
        raise InvalidInputError(msg)
    return AslFacts(
        kinds, delays, durations, labeling, _efficiency(fields), pulses, suppressed,
        _number(fields, "MagneticFieldStrength", low=0.1, high=20.0, unit=" T"), _slice_delays(fields, slices, notes), value,
        m0_type, _repetition(fields),
    )  # fmt: skip


def _check_kinds(kinds: tuple[str, ...]) -> None:
    unknown = sorted(set(kinds) - set(VOLUME_TYPES))
    if unknown:
        msg = f"aslcontext.tsv names volumes {', '.join(map(repr, unknown))}. Use {', '.join(VOLUME_TYPES)}."
        raise InvalidInputError(msg)
    if "deltam" in kinds or "cbf" in kinds or {"control", "label"} <= set(kinds):
        return
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    msg = f"The scan has no pair of control and label and no difference image ({counts}). Check aslcontext.tsv."
    raise InvalidInputError(msg)


def _labeling(fields: Mapping[str, Any]) -> LabelingType:
    value = fields.get("ArterialSpinLabelingType")
    if value is None:
        msg = f"The scan does not say how blood was labeled. Give ArterialSpinLabelingType (PCASL, CASL or PASL) {HOW_TO_GIVE}."
        raise InvalidInputError(msg)
    found = LABELING_NAMES.get(str(value).strip().upper())
    if found is None:
        msg = f"ArterialSpinLabelingType is '{value}', which cannot be quantified. Use PCASL, CASL or PASL."
        raise InvalidInputError(msg)
    return found


def _numbers(value: Any, name: str) -> FloatArray:
    items = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in items) or not items:
        msg = f"{name} holds something that is no number. Give seconds, for example 1.8."
        raise InvalidInputError(msg)
    return np.array(items, np.float64)


def _per_volume(fields: Mapping[str, Any], name: str, kinds: tuple[str, ...]) -> FloatArray:
    """One value for each volume, NaN for those without label."""
    value = fields.get(name)
    if value is None:
        msg = f"{name} is missing. Give it in seconds {HOW_TO_GIVE}."
        raise InvalidInputError(msg)
    numbers = _numbers(value, name)
    labeled = np.isin(np.array(kinds), _LABELED)
    if numbers.size == 1:
        numbers = np.full(len(kinds), numbers[0])
    elif numbers.size == labeled.sum() != len(kinds):  # some converters leave out M0 volumes
        numbers = _spread(numbers, labeled)
    elif numbers.size != len(kinds):
        msg = f"{name} has {numbers.size} entries but the scan has {len(kinds)} volumes. Give one number, or one for each volume."
        raise InvalidInputError(msg)
    used = numbers[labeled]
    if not np.isfinite(used).all() or (used < 0).any():
        first = int(np.flatnonzero(labeled)[~(np.isfinite(used) & (used >= 0))][0])
        msg = f"{name} of volume {first + 1} is no time. Give seconds of 0 or more."
        raise InvalidInputError(msg)
    if used.size and float(used.max()) > _LONGEST_S:
        msg = f"{name} of {used.max():g} s cannot be right; it seems to be in milliseconds. Divide by 1000: BIDS wants seconds."
        raise InvalidInputError(msg)
    return np.where(labeled, numbers, np.nan)


def _spread(numbers: FloatArray, labeled: Any) -> FloatArray:
    full = np.full(labeled.size, np.nan)
    full[labeled] = numbers
    return full


def _check_readout(fields: Mapping[str, Any]) -> None:
    """Refuse readouts that the models do not know."""
    if fields.get("LookLocker") is True:
        msg = (
            "The scan is read by Look-Locker pulses, which use up the label; no method here models that. Use its maker's program."
        )
        raise InvalidInputError(msg)
    echoes = fields.get("EchoTime")
    if isinstance(echoes, list) and len({round(float(echo), 5) for echo in echoes if isinstance(echo, int | float)}) > 1:
        msg = "The scan has several echo times, whose volumes must not be mixed. Give the volumes of the first echo alone."
        raise InvalidInputError(msg)


def _tell_unknown_bolus(fields: Mapping[str, Any], notes: Notes) -> None:
    """Say why the pulsed bolus has no length."""
    why = "the bolus was not cut off" if fields.get("BolusCutOffFlag") is False else "BolusCutOffDelayTime is missing"
    message = f"The length of the pulsed bolus is unknown, since {why}; perfusion cannot be quantified without it."
    notes.find("bolus_unknown", "warning", message, f"Give BolusCutOffFlag and BolusCutOffDelayTime {HOW_TO_GIVE}.")


def _durations(fields: Mapping[str, Any], labeling: LabelingType, kinds: tuple[str, ...], delays: FloatArray) -> FloatArray:
    """Labeling duration; of PASL the time at which the bolus is cut off, NaN where it is not known."""
    if labeling != "pasl":
        found = _per_volume(fields, "LabelingDuration", kinds)
        if (found[np.isfinite(found)] <= 0).any():
            msg = "LabelingDuration is 0 for volumes with label. Give it in seconds, for example 1.8."
            raise InvalidInputError(msg)
        return found
    cut = fields.get("BolusCutOffFlag")
    delay = fields.get("BolusCutOffDelayTime")
    if cut is False or delay is None:
        return np.full(len(kinds), np.nan)
    first = _numbers(delay, "BolusCutOffDelayTime")[:1].tolist()  # Q2TIPS gives the first and the last saturation
    found = _per_volume({"BolusCutOffDelayTime": first}, "BolusCutOffDelayTime", kinds)
    technique = "".join(letter for letter in str(fields.get("BolusCutOffTechnique", "")).upper() if letter.isalnum())
    if technique in ("QUIPSS", "QUIPSSI"):
        return _of_quipss_one(fields, found, delays)
    if (found >= delays)[np.isfinite(found)].any():
        raise InvalidInputError(_LATE_CUT)
    return found


def _of_quipss_one(fields: Mapping[str, Any], cut: FloatArray, delays: FloatArray) -> FloatArray:
    """QUIPSS I saturates the slices at the cut-off: label that is seen has come in between cut-off and picture (Wong et al., Magn
    Reson Med 39:702, 1998), so that this is the bolus; only one delay, the same for all slices, obeys that."""
    known = delays[np.isfinite(delays)]
    times = fields.get("SliceTiming")
    spread = isinstance(times, list) and len(times) > 1 and max(times) > min(times)
    if np.unique(np.round(known, 4)).size > 1 or spread:
        msg = (
            "QUIPSS (the first kind) saturates the slices rather than the label, which models allow with one inversion time for "
            "all slices only. Choose one inversion time, or write QUIPSSII as BolusCutOffTechnique if that is what was used."
        )
        raise InvalidInputError(msg)
    bolus = delays - cut
    if (bolus[np.isfinite(bolus)] <= 0).any():
        raise InvalidInputError(_LATE_CUT)
    return np.asarray(bolus)


def _number(fields: Mapping[str, Any], name: str, *, low: float, high: float = np.inf, unit: str = "") -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < float(value) <= high:
        msg = f"{name} is {value!r}{unit}, but it must be a number above {low:g}" + (
            f" and at most {high:g}." if high < np.inf else "."
        )
        raise InvalidInputError(msg)
    return float(value)


def _efficiency(fields: Mapping[str, Any]) -> float | None:
    value = _number(fields, "LabelingEfficiency", low=0.0)
    if value is not None and value > 1.0:
        msg = f"LabelingEfficiency is {value:g}, but it is a share between 0 and 1. Divide percent by 100."
        raise InvalidInputError(msg)
    return value


def _suppression(fields: Mapping[str, Any]) -> tuple[int | None, bool | None]:
    """Number of pulses and whether the background was suppressed, each None when unknown."""
    suppressed = fields.get("BackgroundSuppression")
    if suppressed is not None and not isinstance(suppressed, bool):
        msg = f"BackgroundSuppression is {suppressed!r}, but it must be true or false."
        raise InvalidInputError(msg)
    if suppressed is False:
        return 0, False
    count, times = fields.get("BackgroundSuppressionNumberPulses"), fields.get("BackgroundSuppressionPulseTime")
    if count is None and isinstance(times, list) and times:
        count = len(times)
    if count is None:
        return None, suppressed
    if isinstance(count, bool) or not isinstance(count, int | float) or count != int(count) or not 0 <= count <= 20:
        msg = f"BackgroundSuppressionNumberPulses is {count!r}, but it must be a whole number from 0 to 20."
        raise InvalidInputError(msg)
    return int(count), bool(count)


def _slice_delays(fields: Mapping[str, Any], slices: int, notes: Notes) -> FloatArray | None:
    """How much later than the first each slice is read; None for 3D readouts."""
    readout = str(fields.get("MRAcquisitionType", "")).upper()
    times = fields.get("SliceTiming")
    if readout == "3D":
        return None
    if not isinstance(times, list):
        if readout == "2D" and slices > 1:
            message = "The scan was read slice by slice but SliceTiming is missing, so that all slices got the first one's delay."
            notes.find("slice_timing_missing", "warning", message, f"Give SliceTiming {HOW_TO_GIVE}.")
        return None
    numbers = _numbers(times, "SliceTiming")
    if numbers.size != slices:
        msg = f"SliceTiming has {numbers.size} entries but the scan has {slices} slices. Give one time in seconds for each slice."
        raise InvalidInputError(msg)
    if not np.isfinite(numbers).all() or float(numbers.min()) < 0:
        msg = "SliceTiming holds something that is no time of 0 s or later. Give one time in seconds for each slice."
        raise InvalidInputError(msg)
    if float(numbers.max()) > _LONGEST_S:
        msg = f"SliceTiming reaches {numbers.max():g} s; it seems to be in milliseconds. Divide by 1000: BIDS wants seconds."
        raise InvalidInputError(msg)
    if str(fields.get("SliceEncodingDirection", "k")) == "k-":
        numbers = numbers[::-1]
    numbers = numbers - numbers.min()
    if float(np.ptp(numbers)) < 1e-4:
        return None
    notes.decide(f"Slices are read up to {np.ptp(numbers):.2f} s after the first (SliceTiming); their delays are longer by that.")
    return np.ascontiguousarray(numbers)


def _repetition(fields: Mapping[str, Any]) -> float | None:
    for name in ("RepetitionTimePreparation", "RepetitionTime"):
        value = fields.get(name)
        if value is not None:
            numbers = _numbers(value, name)
            usual = float(np.median(numbers))
            if usual > 100.0:
                msg = f"{name} of {usual:g} s seems to be in milliseconds. Divide by 1000: BIDS wants seconds."
                raise InvalidInputError(msg)
            return usual if usual > 0 else None
    return None
