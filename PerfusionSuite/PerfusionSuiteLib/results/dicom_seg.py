# SPDX-License-Identifier: Apache-2.0
"""Core, penumbra and hypoperfusion as one DICOM Segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from .. import __version__
from ..core.colors import LESION_COLORS
from ..core.values import LesionMasks
from .dicom_maps import SCHEME, code_item, name_own_codes, pixel_measures
from .dicom_source import MAKER, DicomSource, plane_positions, refer, slices_of

if TYPE_CHECKING:
    import highdicom

SEGMENTS: Mapping[str, tuple[str, Code, Code | None]] = {
    "core": ("Infarct core", Code("55641003", "SCT", "Infarct"), None),
    "penumbra": ("Penumbra", Code("52674009", "SCT", "Ischemia"), Code("penumbra", SCHEME, "Ischemic penumbra")),
    "hypoperfusion": (
        "Hypoperfusion",
        Code("52674009", "SCT", "Ischemia"),
        Code("hypoperfusion", SCHEME, "Critically hypoperfused tissue"),
    ),
}
"""Segments in order: label, property type and what tells it from others of that type."""

ASL_SEGMENTS: Mapping[str, tuple[str, Code, Code | None]] = {
    "hypoperfusion": ("Low flow", Code("low_flow", SCHEME, "Blood flow low against the other side"), None),
}
"""The same of an ASL scan, whose low flow is no threshold of ischemia."""

CATEGORY = Code("49755003", "SCT", "Morphologically Altered Structure")
BRAIN = Code("12738006", "SCT", "Brain")
_DERIVATION = Code("113076", "DCM", "Segmentation")
_FAMILY = {
    "CT": Code("126301", "DCM", "Perfusion analysis by IV Iodinated Contrast CT technique"),
    "MR": Code("126303", "DCM", "Perfusion analysis by Susceptibility MR technique"),
    "asl": Code("126302", "DCM", "Perfusion analysis by Arterial Spin Labeling MR technique"),
}


def segmentation(lesions: LesionMasks, source: DicomSource, number: int) -> highdicom.seg.Segmentation:
    """Make the segmentation object.

    Parameters
    ----------
    lesions : LesionMasks
        The lesions.
    source : DicomSource
        What they were made from, on the same grid.
    number : int
        Number of its series.

    Returns
    -------
    highdicom.seg.Segmentation
        A binary object with three segments that may overlap (one of an ASL scan); slices without lesion have no frame.
    """
    import highdicom as hd

    segments, of_asl = segments_of(source), source.technique == "asl"
    masks = np.stack([np.asarray(getattr(lesions, name), bool) for name in segments], axis=-1)
    frames = np.ascontiguousarray(masks.transpose(2, 1, 0, 3).astype(np.uint8))
    dataset = hd.seg.Segmentation(
        source_images=[source.header],
        pixel_array=frames,
        segmentation_type="BINARY",
        segment_descriptions=[_description(n + 1, key, lesions, source) for n, key in enumerate(segments)],
        series_instance_uid=generate_uid(),
        series_number=number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        pixel_measures=pixel_measures(source),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", list(source.header.ImageOrientationPatient)),
        plane_positions=[hd.PlanePositionSequence("PATIENT", place) for place in plane_positions(source)],
        omit_empty_frames=bool(masks.any()),
        content_label="LESIONS",
        content_description=f"{'Low flow' if of_asl else 'Infarct core, penumbra and hypoperfusion'}, research use only",
        series_description=f"{'Low flow' if of_asl else 'Core and penumbra'} (research use only)",
        **MAKER,
    )
    dataset.BodyPartExamined = "BRAIN"
    name_own_codes(dataset)
    refer(dataset, source, slices_of(dataset, source), code_item(_DERIVATION))
    return dataset


def _description(number: int, key: str, lesions: LesionMasks, source: DicomSource) -> Any:
    import highdicom as hd

    label, kind, modifier = segments_of(source)[key]
    by_hand = set(lesions.thresholds.get("edited_by_hand") or ())
    algorithm = hd.AlgorithmIdentificationSequence(
        name="Perfusion Suite", family=family_of(source), version=__version__,
        parameters={name[:60]: str(value) for name, value in applied(lesions).items()},
    )  # fmt: skip
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=CATEGORY,
        segmented_property_type=kind,
        algorithm_type="SEMIAUTOMATIC" if key in by_hand or (key == "penumbra" and by_hand) else "AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=generate_uid(),
        tracking_id=label,
        anatomic_regions=[BRAIN],
    )
    if modifier is not None:
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [code_item(modifier)]
    item.RecommendedDisplayCIELabValue = cielab(LESION_COLORS[key])
    return item


def segments_of(source: DicomSource) -> Mapping[str, tuple[str, Code, Code | None]]:
    """Return the segments that belong to a kind of scan.

    Parameters
    ----------
    source : DicomSource
        Its technique decides.

    Returns
    -------
    mapping
        `SEGMENTS` or `ASL_SEGMENTS`.
    """
    return ASL_SEGMENTS if source.technique == "asl" else SEGMENTS


def family_of(source: DicomSource) -> Code:
    """Return the code of the kind of analysis.

    Parameters
    ----------
    source : DicomSource
        Its technique decides, or else its modality.

    Returns
    -------
    Code
        DICOM code.
    """
    return _FAMILY.get(source.technique) or _FAMILY.get(source.modality, _FAMILY["CT"])


def applied(lesions: LesionMasks) -> dict[str, Any]:
    """Return the thresholds that made the lesions, as few words as a header has room for.

    Parameters
    ----------
    lesions : LesionMasks
        The lesions.

    Returns
    -------
    dict
        Names and plain values.
    """
    names = (
        "preset", "method", "hypoperfusion_rule", "tmax_s", "tmax_offset_s", "tmax_applied_s", "late_by_s", "smooth_mm",
        "delay_s", "hypoperfusion_cbf", "core_rule", "core_region", "rcbf_percent", "rcbf_factor", "rcbf_applied_percent",
        "core_cbv", "core_adc", "core_probability", "core_network", "strict", "min_cluster_ml", "reference_region",
        "reference_statistic", "reference_tmax_s", "reference_offset_s", "midplane_from", "low_flow_percent", "fwhm_mm",
    )  # fmt: skip
    found = {name: lesions.thresholds[name] for name in names if lesions.thresholds.get(name) not in (None, "")}
    if lesions.thresholds.get("edited_by_hand"):
        found["edited_by_hand"] = ", ".join(lesions.thresholds["edited_by_hand"])
    rules = {
        "tmax": ("tmax_s", "tmax_offset_s", "tmax_applied_s", "late_by_s", "smooth_mm"),
        "delay": ("delay_s",),
        "cbf": ("hypoperfusion_cbf",),
    }
    cores = {
        "rcbf": ("rcbf_percent", "rcbf_factor", "rcbf_applied_percent"),
        "cbv": ("core_cbv",),
        "adc": ("core_adc",),
        "network": ("core_probability", "core_network"),
    }
    unused = {name for rule, all_of in rules.items() if rule != found.get("hypoperfusion_rule") for name in all_of}
    unused |= {name for rule, all_of in cores.items() if rule != found.get("core_rule") for name in all_of}
    return {name: value for name, value in found.items() if name not in unused}


def cielab(rgb: tuple[float, float, float]) -> list[int]:
    """Return a color as DICOM stores it: CIELab under D50, scaled to 16 bits (PS3.3 C.10.7.1.1).

    Parameters
    ----------
    rgb : tuple of float
        sRGB, 0 to 1.

    Returns
    -------
    list of int
        L*, a*, b*.
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    # sRGB to XYZ adapted to D50 (Bradford), relative to the white point.
    matrix = np.array([[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]])
    xyz = matrix @ linear / np.array([0.96422, 1.0, 0.82521])
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, a, b = 116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])
    return [round(lightness * 65535 / 100), round((a + 128) * 65535 / 255), round((b + 128) * 65535 / 255)]
