# SPDX-License-Identifier: Apache-2.0
"""Lesions of finished maps as results: everything of a study but the scan itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.findings import QualityFinding
from ..core.geometry import BoolArray
from ..core.maps import PerfusionMaps
from ..core.values import InputFunction, LesionMasks, Metrics, Study, TissueMasks


@dataclass(frozen=True, slots=True)
class MapStudy:
    """What was found in finished maps; its fields are called as those of `Study`.

    Parameters
    ----------
    case_id : str
        Name of the case.
    maps : PerfusionMaps
        With the relative maps that were made.
    lesions : LesionMasks
        Lesions.
    metrics : Metrics
        Numbers.
    masks : TissueMasks
        Those that were read, or what the lesions rest on.
    aif, vof : InputFunction or None
        Curves, when they were given.
    made : tuple of str
        Keys of the maps that are new.
    modality : str
        Of the scan.
    settings : mapping
        Settings.
    findings : tuple of QualityFinding
        What was odd.
    """

    case_id: str
    maps: PerfusionMaps
    lesions: LesionMasks
    metrics: Metrics
    masks: TissueMasks
    aif: InputFunction | None = None
    vof: InputFunction | None = None
    made: tuple[str, ...] = ("rcbf", "rcbv")
    modality: str = "ctp"
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[QualityFinding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


AnyStudy = Study | MapStudy


def case_id_of(study: AnyStudy) -> str:
    """Return the name of the case.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    str
        Its name.
    """
    return study.series.source.case_id if isinstance(study, Study) else study.case_id


def modality_of(study: AnyStudy) -> str:
    """Return the kind of scan.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    str
        ``ctp``, ``dsc`` or ``asl``.
    """
    return study.series.modality if isinstance(study, Study) else study.modality


def curve_unit_of(study: AnyStudy) -> str:
    """Return the unit of the vascular curves.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    str
        ``HU`` or ``1/s``.
    """
    if isinstance(study, Study):
        return study.concentration.unit
    return "HU" if study.modality == "ctp" else "1/s"


def masks_of(lesions: LesionMasks, known: TissueMasks | None) -> TissueMasks:
    """Return tissue masks of finished maps.

    Parameters
    ----------
    lesions : LesionMasks
        Segmented from them.
    known : TissueMasks or None
        Masks of an earlier run.

    Returns
    -------
    TissueMasks
        Those, or brain and vessels as the segmentation saw them.
    """
    if known is not None:
        return known
    brain: BoolArray = lesions.extra.get("brain", lesions.tissue)
    none = brain & False
    vessel = lesions.extra.get("vessel", none)
    return TissueMasks(brain, none, vessel, none)
