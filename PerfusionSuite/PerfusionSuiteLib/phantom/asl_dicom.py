# SPDX-License-Identifier: Apache-2.0
"""Write a digital ASL patient as DICOM in the manner of three makers or with the standard's own macro."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..core.asl import AslSeries
from ..core.errors import InvalidInputError
from ..core.files import write_json
from ..core.progress import ProgressCallback, no_progress
from ..core.series import Acquisition, PerfusionSeries
from .asl_bids import bids_fields
from .asl_csa import protocol_header
from .dicom_encoding import save_image
from .dicom_multiframe import enhanced_image
from .dicom_plan import Place, Plan, ds_number, item, plan_of
from .dicom_vendors import classic_image
from .export import stored_pixels

ASL_VENDORS = ("generic", "enhanced", "ge", "siemens", "philips")
"""Manners of writing an ASL scan, see `write_asl_dicom`."""

_CONTRAST = {"pcasl": "PSEUDOCONTINUOUS", "casl": "CONTINUOUS", "pasl": "PULSED"}
_CONTEXT = {"control": "CONTROL", "label": "LABEL", "m0scan": "M_ZERO_SCAN"}
_READOUT_S = 0.45
_M0_SERIES = 1


@dataclass(frozen=True, slots=True)
class _Part:
    """Volumes that share a DICOM series."""

    scan: PerfusionSeries
    kinds: tuple[str, ...]
    delays_s: tuple[float, ...]
    series: int


def write_asl_dicom(
    series: AslSeries,
    folder: str | Path,
    *,
    vendor: str = "generic",
    seed: int = 0,
    shuffle: bool = True,
    sidecar: bool = True,
    progress: ProgressCallback | None = None,
) -> list[Path]:
    """Write an ASL scan as DICOM files.

    Parameters
    ----------
    series : AslSeries
        The scan.
    folder : path-like
        Where to write; made when missing.
    vendor : {"generic", "enhanced", "ge", "siemens", "philips"}
        ``generic``: images in order, all about labeling in the sidecar. ``enhanced``: multi-frame with the ASL macro, which
        has no post-label delay but for PASL. ``ge``: difference images and M0 with private labeling times, InversionTime as
        delay. ``siemens``: types in comments, times in the protocol. ``philips``: private label types, TriggerTime as delay,
        private scale slope.
    seed : int
        Makes UIDs and the invented patient.
    shuffle : bool
        Whether the order of files says nothing about time or place.
    sidecar : bool
        Write what the maker's headers do not say to ``asl.json`` in the folder.
    progress : callable, optional
        Called between files.

    Returns
    -------
    list of Path
        The DICOM files.

    Raises
    ------
    InvalidInputError
        If the vendor is unknown, or does not deliver such volumes.
    """
    if vendor not in ASL_VENDORS:
        msg = f"The vendor '{vendor}' is unknown for ASL. Choose one of: {', '.join(ASL_VENDORS)}."
        raise InvalidInputError(msg)
    if vendor == "ge" and "control" in series.volume_types:
        msg = "GE delivers difference images, not controls and labels. Choose the content 'deltam' or another vendor."
        raise InvalidInputError(msg)
    if vendor == "philips" and not set(series.volume_types) <= {"control", "label"}:
        msg = "Philips marks controls and labels only; M0 is a series of its own. Choose the content 'pairs' and a separate M0."
        raise InvalidInputError(msg)
    parts = _parts(series)
    jobs: list[tuple[_Part, Plan, list[Place]]] = []
    for part in parts:
        plan = _plan(part, vendor, seed)
        every = [Place(0, t, k, part.series) for t in range(len(part.kinds)) for k in range(part.scan.shape[2])]
        jobs += [(part, plan, every)] if vendor == "enhanced" else [(part, plan, [place]) for place in every]
    order = np.arange(len(jobs))
    if shuffle:
        np.random.default_rng([seed, 21]).shuffle(order)
    written, report = [], progress or no_progress
    for number, n in enumerate(order):
        path = Path(folder) / f"IM{number + 1:05d}.dcm"
        _write(series, *jobs[n], path)
        written.append(path)
        if number % 64 == 0:
            report(number / len(jobs), "Writing DICOM")
    missing = _unsaid(series, vendor)
    if sidecar and missing:
        write_json(Path(folder) / "asl.json", missing)
    report(1.0, "Writing DICOM")
    return written


def _parts(series: AslSeries) -> list[_Part]:
    """The scan, and its M0 as a series of its own."""
    readout = np.nan_to_num(series.post_label_delays_s) + np.nan_to_num(series.label_durations_s) * (series.labeling != "pasl")
    starts = np.concatenate([[0.0], np.cumsum(readout + _READOUT_S)[:-1]])
    details = {"field_strength_t": series.field_strength_t} if series.field_strength_t is not None else {}
    repetition = series.acquisition.repetition_time_s or float(np.max(readout)) + _READOUT_S
    slice_times = None if series.slice_delays_s is None else starts[None, :] + np.asarray(series.slice_delays_s)[:, None]
    acquisition = Acquisition("phantom", slice_times, False, "", series.acquisition.echo_times_s or (0.014,), repetition, details)
    scan = PerfusionSeries(series.data, series.affine, starts, "dsc", acquisition)
    parts = [_Part(scan, series.volume_types, tuple(float(d) for d in series.post_label_delays_s), 0)]
    if series.m0 is not None:
        own = replace(acquisition, repetition_time_s=series.m0_repetition_s, slice_times_s=None)
        m0 = PerfusionSeries(series.m0[..., None], series.affine, np.zeros(1), "dsc", own)
        parts.append(_Part(m0, ("m0scan",), (float("nan"),), _M0_SERIES))
    return parts


def _plan(part: _Part, vendor: str, seed: int) -> Plan:
    """Scaling of a DICOM series: M0 and ASL differ in it, and differences may be negative."""
    plan = plan_of([part.scan], vendor, seed)
    low, high = float(np.nanmin(part.scan.data)), float(np.nanmax(part.scan.data))
    low = min(np.floor(low), 0.0)
    slope = max((high - low) / 65535.0, 1e-6)
    return replace(plan, slope=float(f"{slope:.8g}"), intercept=float(low))


def _write(series: AslSeries, part: _Part, plan: Plan, places: list[Place], path: Path) -> None:
    pixels: list[NDArray[np.uint16]] = [stored_pixels(part.scan, plan, place.k, place.frame) for place in places]
    if plan.vendor == "enhanced":
        image = enhanced_image(plan, places)
        image.SeriesInstanceUID = plan.uid("series", part.series) if part.series else plan.uid("series")
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = plan.uid("multi-frame", part.series)
        _add_macros(image, series, part, places)
    else:
        image = classic_image(plan, places[0])
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = plan.uid("asl", part.series, *_place(places[0]))
        image.ImageType = ["ORIGINAL", "PRIMARY", "ASL", "NONE"]
        image.RepetitionTime = ds_number(1000.0 * _repetition(series, part, places[0]))
        _MAKERS[plan.vendor](image, series, part, plan, places[0])
    image.SeriesDescription = "M0" if part.series == _M0_SERIES else "ASL"
    save_image(image, pixels, path, "explicit")


def _repetition(series: AslSeries, part: _Part, place: Place) -> float:
    """Repetition time of one volume, s; that of M0 is its own."""
    usual = part.scan.acquisition.repetition_time_s or 0.0
    return (series.m0_repetition_s or usual) if part.kinds[place.frame] == "m0scan" else usual


def _place(place: Place) -> tuple[int, int]:
    return place.frame, place.k


def _add_macros(image: Dataset, series: AslSeries, part: _Part, places: list[Place]) -> None:
    """The standard's macro in every frame; inversion times of pulsed labeling beside it."""
    image.MRAcquisitionType = "3D" if series.slice_delays_s is None else "2D"
    for place, group in zip(places, image.PerFrameFunctionalGroupsSequence, strict=True):
        kind = part.kinds[place.frame]
        macro = item(ASLCrusherFlag="NO", ArterialSpinLabelingContrast=_CONTRAST[series.labeling])
        if kind in _CONTEXT:
            macro.ASLContext = _CONTEXT[kind]
        duration = float(np.nanmax(series.label_durations_s))
        if series.labeling == "pasl":
            macro.ASLBolusCutoffFlag = "YES"
            timing = item(ASLBolusCutoffTechnique="QUIPSSII", ASLBolusCutoffDelayTime=round(1000.0 * duration))
            macro.ASLBolusCutoffTimingSequence = [timing]
            if np.isfinite(part.delays_s[place.frame]):
                group.MRModifierSequence = [item(InversionTimes=1000.0 * part.delays_s[place.frame])]
        else:
            macro.ASLBolusCutoffFlag = "NO"
            macro.ASLPulseTrainDuration = round(1000.0 * duration)
        group.MRArterialSpinLabelingSequence = [macro]
        repetition = ds_number(1000.0 * _repetition(series, part, place))
        group.MRTimingAndRelatedParametersSequence = [item(RepetitionTime=repetition)]


def _generic(image: Dataset, series: AslSeries, part: _Part, plan: Plan, place: Place) -> None:
    image.MRAcquisitionType = "3D" if series.slice_delays_s is None else "2D"


def _ge(image: Dataset, series: AslSeries, part: _Part, plan: Plan, place: Place) -> None:
    _generic(image, series, part, plan, place)
    proton = part.kinds[place.frame] == "m0scan"
    del image.TriggerTime
    block = image.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0xA3, "CS", "CONTINUOUS" if proton else "PSEUDOCONTINUOUS")
    block.add_new(0xA4, "LO", "3D continuous ASL technique" if proton else "3D pulsed continuous ASL technique")
    block.add_new(0xA5, "IS", str(round(1000.0 * float(np.nanmax(series.label_durations_s)))))
    image.private_block(0x0027, "GEMS_IMAG_01", create=True).add_new(0x62, "SL", max(round(series.scaling / 32.0), 1))
    if not proton:
        image.InversionTime = ds_number(1000.0 * part.delays_s[place.frame])


def _siemens(image: Dataset, series: AslSeries, part: _Part, plan: Plan, place: Place) -> None:
    _generic(image, series, part, plan, place)
    words = {"control": "CONTROL", "label": "LABEL", "m0scan": "M0_SCAN", "deltam": "perfusion weighted"}
    image.ImageComments = words[part.kinds[place.frame]]
    image.SequenceName = "*tgse_pasl" if series.labeling == "pasl" else "*tgse3d1"
    image.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x20, "OB", protocol_header(series))


def _philips(image: Dataset, series: AslSeries, part: _Part, plan: Plan, place: Place) -> None:
    _generic(image, series, part, plan, place)
    kind, delay = part.kinds[place.frame], part.delays_s[place.frame]
    pairs = [n for n, other in enumerate(part.kinds) if other == kind and part.delays_s[n] == delay]
    phases = sorted({value for value in part.delays_s if np.isfinite(value)})
    image.TemporalPositionIdentifier = pairs.index(place.frame) + 1 if place.frame in pairs else 1
    image.AcquisitionNumber = 1
    image.InstanceNumber = int(np.random.default_rng([plan.seed, place.frame, place.k]).integers(1, 32000))  # says nothing
    block = image.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    # Display values are the scanner's own times rescale slope and scale slope; the former differs between series.
    shown = 0.6 if part.series == _M0_SERIES else 1.7
    block.add_new(0x0E, "FL", float(np.float32(1.0 / plan.slope)))
    image.RescaleSlope, image.RescaleIntercept = ds_number(shown), ds_number(shown * plan.intercept / plan.slope)
    if kind in {"control", "label"}:
        image.add_new((0x2005, 0x0014), "LO", "Philips MR Imaging DD 005")
        image.add_new((0x2005, 0x1429), "CS", kind.upper())
        image.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x08, "IS", str(phases.index(delay) + 1))
        image.TriggerTime = ds_number(1000.0 * delay)


_MAKERS: dict[str, Any] = {"generic": _generic, "ge": _ge, "siemens": _siemens, "philips": _philips}


def _unsaid(series: AslSeries, vendor: str) -> dict[str, Any]:
    """BIDS fields that the headers of a maker do not hold."""
    known = {
        "generic": (),
        "enhanced": (
            "LabelingDuration",
            "ArterialSpinLabelingType",
            "BolusCutOffDelayTime",
            "BolusCutOffFlag",
            "BolusCutOffTechnique",
        ),
        "ge": ("LabelingDuration", "ArterialSpinLabelingType", "PostLabelingDelay"),
        "siemens": (
            "LabelingDuration",
            "ArterialSpinLabelingType",
            "BolusCutOffDelayTime",
            "BolusCutOffFlag",
            "BolusCutOffTechnique",
        ),
        "philips": ("PostLabelingDelay",),
    }[vendor]
    everywhere: tuple[str, ...] = (
        "Manufacturer",
        "MagneticFieldStrength",
        "EchoTime",
        "SliceTiming",
        "MRAcquisitionType",
        "RepetitionTimePreparation",
    )
    single = series.delays_s.size == 1
    if vendor == "philips":  # no image has a clock of its own
        everywhere = tuple(name for name in everywhere if name != "SliceTiming")
    fields = {name: value for name, value in bids_fields(series).items() if name not in (*known, *everywhere)}
    if single and vendor == "siemens" and series.labeling != "casl":
        fields.pop("PostLabelingDelay", None)
    if vendor == "enhanced" and series.labeling == "pasl":
        fields.pop("PostLabelingDelay", None)
    if vendor == "generic" or (vendor != "ge" and "deltam" in series.volume_types):
        fields["ASLContext"] = list(series.volume_types)
    if vendor != "ge" and series.scaling != 1.0:
        fields["DifferenceScaling"] = series.scaling
    return fields
