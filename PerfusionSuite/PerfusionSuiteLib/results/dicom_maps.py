# SPDX-License-Identifier: Apache-2.0
"""Maps as DICOM Parametric Maps: float values with their quantity and UCUM unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from ..core.maps import PerfusionMap
from ..core.quantities import RELATIVE
from .dicom_source import MAKER, DicomSource, plane_positions, refer, slice_step, slices_of

if TYPE_CHECKING:
    import highdicom

SCHEME = "99PERFSUITE"
"""Designator of the few codes that no standard has."""

QUANTITY_CODES: Mapping[str, Code] = {
    "cbf": Code("113055", "DCM", "Regional Cerebral Blood Flow"),
    "cbv": Code("113056", "DCM", "Regional Cerebral Blood Volume"),
    "mtt": Code("113052", "DCM", "Mean Transit Time"),
    "tmax": Code("113084", "DCM", "Tmax"),
    "ttp": Code("113069", "DCM", "Time To Peak"),
    "delay": Code("126371", "DCM", "Bolus Arrival Time"),
    "rcbf": Code("126397", "DCM", "Relative Regional Blood Flow"),
    "rcbv": Code("126398", "DCM", "Relative Regional Blood Volume"),
    "att": Code("att", SCHEME, "Arterial transit time"),
    "abv": Code("abv", SCHEME, "Arterial blood volume"),
    "cbf_gm": Code("cbf_gm", SCHEME, "Cerebral blood flow of pure gray matter"),
    "cbf_wm": Code("cbf_wm", SCHEME, "Cerebral blood flow of pure white matter"),
    "cbf_later": Code("cbf_later", SCHEME, "Cerebral blood flow of the follow-up"),
    "core_probability": Code("core_probability", SCHEME, "Probability of infarct core"),
    "rcbf_mirror": Code("rcbf_mirror", SCHEME, "Cerebral blood flow relative to the other side"),
}
"""Maps that are exported, with the codes of their quantities (DICOM PS3.16 CID 218 and 4108), our own where there is none."""

PERFUSION_ANALYSIS = Code("129104", "DCM", "Perfusion image analysis")
_RELATIVE_CODES: Mapping[str, Code] = {key: QUANTITY_CODES[f"r{key}"] for key in ("cbf", "cbv")}
_UCUM_VOLUME: Mapping[str, str] = {
    "mL/100mL/min": "mL/(100.mL.min)", "mL/100mL": "mL/(100.mL)", "mL/100g/min": "mL/(100.g.min)", RELATIVE: "1",
}  # fmt: skip


def parametric_map(item: PerfusionMap, source: DicomSource, number: int) -> highdicom.pm.ParametricMap:
    """Make the Parametric Map of a quantity.

    Parameters
    ----------
    item : PerfusionMap
        The map; NaN stays NaN, which no reader can mistake for a value, as a padding value could be.
    source : DicomSource
        What it was made from, on the same grid.
    number : int
        Number of its series.

    Returns
    -------
    highdicom.pm.ParametricMap
        A float object, one frame per slice.
    """
    import highdicom as hd

    quantity = item.quantity
    known = np.isfinite(item.values)
    low, high = (float(item.values[known].min()), float(item.values[known].max())) if known.any() else (0.0, 1.0)
    frames = item.values.astype(np.float32).transpose(2, 1, 0)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=quantity.symbol[:16],
        lut_explanation=f"{quantity.name} ({item.unit})"[:64],
        unit=hd.sr.CodedConcept(_ucum(item), "UCUM", item.unit),
        value_range=(low, high if high > low else low + 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=hd.sr.CodedConcept.from_code(_code(item)),
    )
    window = quantity.display_range
    dataset = hd.pm.ParametricMap(
        source_images=[source.header],
        pixel_array=np.ascontiguousarray(frames),
        series_instance_uid=generate_uid(),
        series_number=number,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=(window[0] + window[1]) / 2.0, window_width=float(window[1] - window[0]))
        ],
        pixel_measures=pixel_measures(source),
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", list(source.header.ImageOrientationPatient)),
        plane_positions=[hd.PlanePositionSequence("PATIENT", place) for place in plane_positions(source)],
        content_label=quantity.key.upper(),
        content_description=f"{quantity.name}, research use only"[:64],
        series_description=f"{quantity.symbol} ({item.unit})"[:64],
        **MAKER,
    )
    dataset.BodyPartExamined = "BRAIN"
    if QUANTITY_CODES[quantity.key].scheme_designator == SCHEME:
        name_own_codes(dataset)
    refer(dataset, source, slices_of(dataset, source), code_item(PERFUSION_ANALYSIS))
    return dataset


def _code(item: PerfusionMap) -> Code:
    """Code of a quantity; flow and volume on a scale of their own are other quantities than absolute ones."""
    key = item.quantity.key
    return _RELATIVE_CODES.get(key, QUANTITY_CODES[key]) if item.unit == RELATIVE else QUANTITY_CODES[key]


def _ucum(item: PerfusionMap) -> str:
    """UCUM code of a map's unit, which differs from that of its quantity when the density was set to 1."""
    return item.quantity.ucum if item.unit == item.quantity.unit else _UCUM_VOLUME.get(item.unit, item.unit)


def pixel_measures(source: DicomSource) -> Any:
    """Return spacing and thickness.

    Parameters
    ----------
    source : DicomSource
        The grid.

    Returns
    -------
    highdicom.PixelMeasuresSequence
        In mm.
    """
    import highdicom as hd

    step = slice_step(source.affine)
    return hd.PixelMeasuresSequence(
        pixel_spacing=[float(v) for v in source.header.PixelSpacing], slice_thickness=step, spacing_between_slices=step
    )


def name_own_codes(dataset: Dataset) -> None:
    """Say whose the codes are that no standard has.

    Parameters
    ----------
    dataset : Dataset
        An object with codes of `SCHEME`; changed.
    """
    item = Dataset()
    item.CodingSchemeDesignator, item.CodingSchemeName = SCHEME, "Perfusion Suite codes"
    item.CodingSchemeResponsibleOrganization = MAKER["manufacturer"]
    dataset.CodingSchemeIdentificationSequence = [item]


def code_item(code: Code) -> Dataset:
    """Return a code as the item of a sequence.

    Parameters
    ----------
    code : Code
        The code.

    Returns
    -------
    Dataset
        The item.
    """
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
