# SPDX-License-Identifier: Apache-2.0
"""What DICOM headers say about arterial spin labeling: the standard's macro and private elements of three makers.

Facts used (no code of others): DICOM PS3.3 C.8.13.5.14; the notes of dcm2niix on GE (0043,10A3 to 10A5, 0018,0082, 0027,1062),
Philips (2005,1429; 2005,100E; TriggerTime) and Siemens (protocol ``sAsl``, ``alTI``; image comments).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from .asl_fields import LABELING_NAMES
from .siemens_csa import csa_values

GE_CONTRAST, GE_TECHNIQUE, GE_LABEL_MS = Tag(0x0043, 0x10A3), Tag(0x0043, 0x10A4), Tag(0x0043, 0x10A5)
GE_EXCITATIONS = Tag(0x0027, 0x1062)
PHILIPS_LABEL, PHILIPS_SCALE, PHILIPS_PHASE = Tag(0x2005, 0x1429), Tag(0x2005, 0x100E), Tag(0x2001, 0x1008)
CSA_SERIES = Tag(0x0029, 0x1020)
XA_PROTOCOLS = (Tag(0x0021, 0x1019), Tag(0x0021, 0x1101))

ASL_TAGS: tuple[Any, ...] = (
    "ArterialSpinLabelingContrast", "MRArterialSpinLabelingSequence", "ImageComments", "InversionTime", "MRAcquisitionType",
    "NumberOfAverages", "SeriesDescription",
    *(Tag(group, 0x0010) for group in (0x0027, 0x2001)),
    GE_CONTRAST, GE_TECHNIQUE, GE_LABEL_MS, GE_EXCITATIONS, PHILIPS_LABEL, PHILIPS_SCALE, PHILIPS_PHASE,
)  # fmt: skip
"""Small elements that are read of every file; private ones with the elements that say who reserved them."""

_CONTEXTS = {
    "LABEL": "label", "CONTROL": "control", "M_ZERO_SCAN": "m0scan", "M0_SCAN": "m0scan", "M0SCAN": "m0scan", "L": "label",
    "C": "control",
}  # fmt: skip
_COMMENT = re.compile(r"\b(CONTROL|LABEL|M0(?:_?SCAN)?)\b")
_PROTOCOL_LINE = re.compile(r"^\s*([A-Za-z][\w.\[\]]*)\s*=\s*(\S+)", re.MULTILINE)
_PROTON = re.compile(r"(^|[^A-Z0-9])(M0|MZERO|M_ZERO|PROTON)([^A-Z0-9]|$)")


def asl_of(item: Dataset) -> dict[str, Any]:
    """Return what a header or functional group says about labeling.

    Parameters
    ----------
    item : Dataset
        Top level of a file, or a functional group of an enhanced one.

    Returns
    -------
    dict
        Some of ``labeling``, ``context`` (control, label, m0scan, deltam), ``comment`` (the same, from free text, which counts
        only beside other evidence), ``delay_s``, ``label_s``, ``cut_s``, ``cut_flag``, ``technique``, ``crushed``,
        ``averages``, ``scale``, ``phase``, ``readout``. Free text itself never leaves this function.
    """
    found: dict[str, Any] = {}
    maker = str(item.get("Manufacturer", "")).upper()
    contrast = LABELING_NAMES.get(_text(item, "ArterialSpinLabelingContrast").upper())
    if contrast is not None:
        found["labeling"] = contrast
    for macro in item.get("MRArterialSpinLabelingSequence") or ():
        found |= _macro(macro)
    for modifier in item.get("MRModifierSequence") or ():
        times = modifier.get("InversionTimes")
        if times is not None:
            found["delay_s"] = float(np.ravel(times)[0]) / 1000.0
    readout = _text(item, "MRAcquisitionType").upper()
    if readout in {"2D", "3D"}:
        found["readout"] = readout
    found |= _comment(item)
    found |= _ge(item) if not maker or maker.startswith("GE") else {}
    found |= _philips(item) if not maker or maker.startswith("PHILIPS") else {}
    return found


def _text(item: Dataset, name: str | BaseTag) -> str:
    if name not in item:
        return ""
    value = item[name].value
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return "" if value is None else str(value).strip("\0 ")


def _number(item: Dataset, name: str | BaseTag) -> float | None:
    try:
        return float(_text(item, name))
    except ValueError:
        return None


def _macro(macro: Dataset) -> dict[str, Any]:
    """The item of the standard's sequence (0018,9251)."""
    found: dict[str, Any] = {}
    context = _CONTEXTS.get(_text(macro, "ASLContext").upper())
    if context is not None:
        found["context"] = context
    duration = _number(macro, "ASLPulseTrainDuration")
    if duration is not None and duration > 0:
        found["label_s"] = duration / 1000.0
    contrast = LABELING_NAMES.get(_text(macro, "ArterialSpinLabelingContrast").upper())
    if contrast is not None:
        found["labeling"] = contrast
    crushed = _text(macro, "ASLCrusherFlag").upper()
    if crushed in {"YES", "NO"}:
        found["crushed"] = crushed == "YES"
    flag = _text(macro, "ASLBolusCutoffFlag").upper()
    if flag in {"YES", "NO"}:
        found["cut_flag"] = flag == "YES"
    for timing in macro.get("ASLBolusCutoffTimingSequence") or ():
        cut = _number(timing, "ASLBolusCutoffDelayTime")
        if cut is not None:
            found["cut_s"] = cut / 1000.0
        technique = _text(timing, "ASLBolusCutoffTechnique")
        if technique:
            found["technique"] = technique
    return found


def _comment(item: Dataset) -> dict[str, Any]:
    """The type of a volume from free text of its header."""
    words = [_text(item, "ImageComments"), *(_text(part, "FrameComments") for part in item.get("FrameContentSequence") or ())]
    match = _COMMENT.search(" ".join(words).upper())
    if match:
        return {"comment": "m0scan" if match[1].startswith("M0") else match[1].lower()}
    return {"comment": "m0scan"} if _PROTON.search(_text(item, "SeriesDescription").upper()) else {}


def _ge(item: Dataset) -> dict[str, Any]:
    """General Electric: one difference image (pseudo-continuous) and one proton density image (continuous) per delay."""
    contrast, technique = _text(item, GE_CONTRAST).upper(), _text(item, GE_TECHNIQUE).lower()
    if contrast not in LABELING_NAMES:
        return {}
    found: dict[str, Any] = {"labeling": LABELING_NAMES[contrast]}
    proton = contrast == "CONTINUOUS" and "continuous" in technique and "pulsed" not in technique
    delay = _number(item, "InversionTime")
    found["context"] = "m0scan" if proton else "deltam"
    if delay is not None and delay > 0 and not proton:
        found["delay_s"] = delay / 1000.0
    duration = _number(item, GE_LABEL_MS)
    if duration is not None and duration > 0:
        found["label_s"] = duration / 1000.0
    averages = _number(item, GE_EXCITATIONS) or _number(item, "NumberOfAverages")
    if averages:
        found["averages"] = averages
    return found


def _philips(item: Dataset) -> dict[str, Any]:
    """Philips: a label type for each image, a phase for each delay, its time as TriggerTime, and a private scale."""
    found: dict[str, Any] = {}
    scale = _number(item, PHILIPS_SCALE)
    if scale is not None and scale > 0:
        found["scale"] = scale
    context = _CONTEXTS.get(_text(item, PHILIPS_LABEL).upper())
    if context is None:
        return found
    found["context"] = context
    phase, trigger = _number(item, PHILIPS_PHASE), _number(item, "TriggerTime")
    if phase is not None:
        found["phase"] = int(phase)
    if trigger is not None and trigger > 0:
        found["delay_s"] = trigger / 1000.0
    return found


def siemens_protocol(dataset: Dataset) -> dict[str, Any]:
    """Return what the protocol that Siemens keeps as text says about labeling.

    Parameters
    ----------
    dataset : Dataset
        A whole file.

    Returns
    -------
    dict
        Some of ``labeling``, ``label_s``, ``delays_s`` (list), ``cut_s``, and ``sequence`` with what they rest on.
    """
    text = _protocol_text(dataset)
    values = dict(_PROTOCOL_LINE.findall(text))
    found: dict[str, Any] = {}
    duration = _micro(values, "sAsl.ulLabelingDuration")
    delays = [_micro(values, f"sAsl.sPostLabelingDelay[{n}]") for n in range(64)]
    listed = [delay for delay in delays if delay]
    if duration:
        found |= {"labeling": "pcasl", "label_s": duration}
    if listed:
        found["delays_s"] = listed
    sequence = str(dataset.get("SequenceName", "")) + values.get("tSequenceFileName", "")
    if "tgse_pasl" in sequence.lower():  # its protocol keeps the bolus first and the inversion time third
        bolus, inversion = _micro(values, "alTI[0]"), _micro(values, "alTI[2]")
        found |= {"labeling": "pasl"} | ({"cut_s": bolus} if bolus else {}) | ({"delays_s": [inversion]} if inversion else {})
    return found


def _protocol_text(dataset: Dataset) -> str:
    values = csa_values(dataset[CSA_SERIES].value) if CSA_SERIES in dataset else {}
    texts = [text for name in ("MrPhoenixProtocol", "MrProtocol") for text in values.get(name, [])]
    for place in _datasets(dataset):
        texts += [_text(place, tag) for tag in XA_PROTOCOLS if tag in place]
    return next((text for text in texts if "ASCCONV" in text), "")


def _datasets(dataset: Dataset) -> list[Dataset]:
    """The top level and the shared groups with their private items."""
    places = [dataset, *(dataset.get("SharedFunctionalGroupsSequence") or ())]
    nested = [
        item for place in places for element in place if element.VR == "SQ" and element.tag.is_private for item in element.value
    ]
    return [*places, *nested]


def _micro(values: Mapping[str, str], name: str) -> float | None:
    """A time of the protocol, which is in microseconds."""
    try:
        return float(values[name]) / 1e6
    except (KeyError, ValueError):
        return None
