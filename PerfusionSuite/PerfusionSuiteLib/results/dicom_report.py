# SPDX-License-Identifier: Apache-2.0
"""The numbers of a case as a DICOM structured report (TID 1500, Measurement Report)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from .. import __version__
from ..core.values import LesionMasks, Metrics
from .dicom_maps import SCHEME, name_own_codes
from .dicom_seg import BRAIN, applied, family_of, segments_of
from .dicom_source import MAKER, DicomSource

if TYPE_CHECKING:
    import highdicom

VOLUME = Code("118565006", "SCT", "Volume")
_ML, _S, _PERCENT, _RATIO = (
    Code("mL", "UCUM", "mL"), Code("s", "UCUM", "s"), Code("%", "UCUM", "percent"), Code("{ratio}", "UCUM", "ratio"),
)  # fmt: skip
_KEYS = {"core": "infarct_core_volume_ml", "penumbra": "penumbra_volume_ml", "hypoperfusion": "hypoperfusion_volume_ml"}

NUMBERS: Mapping[str, tuple[str, Code]] = {
    "mismatch_volume_ml": ("Mismatch volume", _ML),
    "mismatch_ratio": ("Mismatch ratio", _RATIO),
    "hir": ("Hypoperfusion intensity ratio", _RATIO),
    "penumbra_fraction_percent": ("Penumbra fraction", _PERCENT),
    "corrected_cbv_index": ("Corrected CBV index", _RATIO),
    "conventional_cbv_index": ("Conventional CBV index", _RATIO),
    "aif_vof_delay_s": ("Delay from arterial to venous peak", _S),
    "prr_percent": ("Penumbra rescue ratio", _PERCENT),
    "collateral_index_ml": ("Perfusion collateral index", _ML),
}
"""Numbers of the whole case, by their key in ``metrics.json``."""

ASL_NUMBERS: Mapping[str, tuple[str, Code]] = {
    "cbf_asymmetry_percent": ("Asymmetry of CBF, right minus left over their mean", _PERCENT),
    "gm_wm_cbf_ratio": ("CBF of gray over white matter", _RATIO),
    "spatial_variation_percent": ("Spatial coefficient of variation of CBF", _PERCENT),
}
"""The same of an ASL scan."""

_REGIONS = {
    "brain": "brain", "gm": "gray matter", "wm": "white matter", "left": "left hemisphere", "right": "right hemisphere",
    "low_flow": "low flow", "other_side": "mirror image of low flow",
}  # fmt: skip
_FLOW = Code("mL/(100.g.min)", "UCUM", "mL/100g/min")

_SIDES = {
    "left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right"),
    "bilateral": Code("51440002", "SCT", "Bilateral"),
}  # fmt: skip


def structured_report(
    metrics: Metrics,
    lesions: LesionMasks | None,
    source: DicomSource,
    segments: Dataset | None,
    maps: Sequence[Dataset],
    number: int,
) -> highdicom.sr.ComprehensiveSR:
    """Make the report.

    Parameters
    ----------
    metrics : Metrics
        The numbers; what is None is left out.
    lesions : LesionMasks or None
        Their thresholds.
    source : DicomSource
        What they were made from.
    segments : Dataset or None
        The segmentation that the volumes belong to.
    maps : sequence of Dataset
        The parametric maps.
    number : int
        Number of its series.

    Returns
    -------
    highdicom.sr.ComprehensiveSR
        The report, neither complete nor verified: a person has to read it first.
    """
    import highdicom as hd

    family = hd.sr.CodedConcept.from_code(family_of(source))
    groups = _case_groups(metrics, lesions, source)
    if lesions is not None and segments is not None:
        groups = [*_lesion_groups(metrics, lesions, source, segments, maps), *groups]
    content = hd.sr.MeasurementReport(
        observation_context=_observer(),
        procedure_reported=family,
        imaging_measurements=groups,
        title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    dataset = hd.sr.ComprehensiveSR(
        evidence=[*([] if segments is None else [segments]), *maps],
        content=content[0],
        series_instance_uid=generate_uid(),
        series_number=number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        series_description="Perfusion measurements (research use only)",
        **MAKER,
    )
    name_own_codes(dataset)
    return dataset


def _observer() -> Any:
    import highdicom as hd

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(), name="Perfusion Suite", manufacturer_name=MAKER["manufacturer"], model_name=__version__
    )
    observer_type = hd.sr.CodedConcept("121007", "DCM", "Device")
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(observer_type=observer_type, observer_identifying_attributes=device)
    )


def _algorithm(lesions: LesionMasks | None) -> Any:
    import highdicom as hd

    words = [] if lesions is None else [f"{name} = {value}" for name, value in applied(lesions).items()]
    return hd.sr.AlgorithmIdentification(name="Perfusion Suite", version=__version__, parameters=words or None)


def _lesion_groups(
    metrics: Metrics, lesions: LesionMasks, source: DicomSource, segments: Dataset, maps: Sequence[Dataset]
) -> list[Any]:
    """One group per segment: its volume and what it refers to."""
    import highdicom as hd

    series = source.images[0].series if source.images else str((maps or [segments])[0].SeriesInstanceUID)
    groups = []
    for n, (key, (label, kind, modifier)) in enumerate(segments_of(source).items()):
        value = metrics.values.get(_KEYS[key])
        if value is None:
            continue
        segment = segments.SegmentSequence[n]
        groups.append(
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier(uid=str(segment.TrackingUID), identifier=label),
                referenced_segment=hd.sr.ReferencedSegment(
                    sop_class_uid=str(segments.SOPClassUID),
                    sop_instance_uid=str(segments.SOPInstanceUID),
                    segment_number=n + 1,
                    source_series=hd.sr.SourceSeriesForSegmentation(series),
                ),
                finding_type=modifier or kind,
                algorithm_id=_algorithm(lesions),
                finding_sites=[hd.sr.FindingSite(BRAIN)],
                measurements=[hd.sr.Measurement(name=VOLUME, value=float(value), unit=_ML)],
            )
        )
    return groups


def _case_groups(metrics: Metrics, lesions: LesionMasks | None, source: DicomSource) -> list[Any]:
    """Ratios, delays and the volumes of all reported levels; the affected side and the quality flags."""
    import highdicom as hd

    values = metrics.values
    named = ASL_NUMBERS if source.technique == "asl" else NUMBERS
    numbers = [(_own(key, words), values.get(key), unit) for key, (words, unit) in named.items()]
    numbers += _of_regions(values.get("by_region") or {})
    numbers += [(_own(f"volume_{key}", _level_words(key)), value, _ML) for key, value in (values.get("volumes_ml") or {}).items()]
    measurements = [
        hd.sr.Measurement(name=name, value=float(value), unit=unit) for name, value, unit in numbers if value is not None
    ]
    affected = None if lesions is None else _SIDES.get(lesions.side)
    evaluations = [] if affected is None else [_evaluation(_own("affected_side", "Affected side"), affected)]
    flags = (values.get("quality") or {}).get("findings") or ()
    evaluations += [
        _evaluation(_own("quality_flag", "Quality flag"), _own(str(flag["code"]), str(flag["code"]).replace("_", " ")))
        for flag in flags
        if flag.get("severity") != "info"
    ]
    if not measurements and not evaluations:
        return []
    return [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=generate_uid(), identifier="Whole case"),
            finding_type=hd.sr.CodedConcept.from_code(family_of(source)),
            algorithm_id=_algorithm(lesions),
            measurements=measurements,
            qualitative_evaluations=evaluations or None,
        )
    ]


def _of_regions(regions: Mapping[str, Mapping[str, Any]]) -> list[tuple[Code, Any, Code]]:
    """Flow and arrival time of the regions of an ASL scan."""
    found = []
    for name, words in _REGIONS.items():
        facts = regions.get(name) or {}
        for key, quantity, unit in (("cbf", "CBF", _FLOW), ("att", "Arterial transit time", _S)):
            found.append((_own(f"{key}_{name}", f"{quantity}, {words}"), facts.get(key), unit))
    return found


def _evaluation(name: Code, value: Code) -> Any:
    import highdicom as hd

    return hd.sr.QualitativeEvaluation(name=name, value=value)


def _own(key: str, words: str) -> Code:
    """A code of our own scheme; DICOM allows 16 characters for the short value and 64 for the meaning."""
    return Code(key, SCHEME, words[:64])


def _level_words(key: str) -> str:
    """Words for a key such as ``tmax_gt_6`` or ``cbf_lt_30``."""
    quantity, relation, level = key.split("_", 2)
    names = {"tmax": "Tmax", "cbf": "relative CBF", "cbv": "relative CBV", "delay": "delay"}
    sign, unit = ("above", "s") if relation == "gt" else ("below", "%")
    return f"Volume with {names.get(quantity, quantity)} {sign} {level} {unit}"
