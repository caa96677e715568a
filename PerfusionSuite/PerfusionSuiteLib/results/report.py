# SPDX-License-Identifier: Apache-2.0
"""The report of one case: one HTML file with everything in it, for reading and printing."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.files import write_text
from ..core.findings import QualityFinding
from .layout import PICTURES
from .map_study import AnyStudy, case_id_of, modality_of
from .privacy import without_identifiers
from .references import references_of
from .regions import region_table
from .report_indices import follow_up_rows, hemisphere_rows, index_rows, note_of, slice_chart
from .report_tables import acquisition_rows, curve_heads, curve_table, scale_words, trial_rows, volume_tables
from .template import rendered
from .thresholds import core_words, hypoperfusion_words

_CAPTIONS: Mapping[str, tuple[str, str]] = {
    "core_penumbra_mip": (
        "Core and penumbra",
        "Core (red) over penumbra (green), projected over the gray image in three planes.",
    ),
    "tmax_mip": ("Tmax", "Maximum of Tmax within tissue, projected in three planes."),
    "follow_up": (
        "Follow-up",
        "Hypoperfusion that resolved (blue), persists (orange) and is new (magenta), over the baseline of the first scan.",
    ),
    "venous_transit": (
        "Venous transit",
        "Tmax near the mid-sagittal plane, vessels included, with the sagittal sinus (white) and the torcula (cyan).",
    ),
    "maps_montage": ("Perfusion maps", "CBF, CBV, MTT, Tmax and lesions on slices spread over the brain, with fixed scales."),
    "regions": (
        "Regions",
        "Regions within gray matter, white matter and fluid: observed and fitted mean curve of each.",
    ),
    "aif_vof": ("Arterial and venous curves", "Enhancement over time of artery, vein and tissue, and where the vessels lie."),
    "motion": ("Head motion", "Translation and rotation of the head in each frame."),
}
_REFERENCE_CAPTION = (
    "Reference curve",
    "Mean curve of the brain's tissue, the input of this method. It is not an artery.",
)
_READING_ORDER = ("core_penumbra_mip", "tmax_mip", "maps_montage", "regions", "follow_up", "aif_vof", "venous_transit", "motion")
_MODALITIES = {"ctp": "CT perfusion", "dsc": "DSC perfusion MRI", "asl": "ASL perfusion MRI"}
_SEVERITIES = {"error": "Error", "warning": "Warning", "info": "Note"}


def write_report(
    path: Path, study: AnyStudy, numbers: Mapping[str, Any], findings: Sequence[QualityFinding], images: Mapping[str, Path]
) -> Path:
    """Write the report as one self-contained HTML file.

    Parameters
    ----------
    path : Path
        The file.
    study : Study or MapStudy
        The run.
    numbers : mapping
        Content of ``metrics.json``.
    findings : sequence of QualityFinding
        All findings.
    images : mapping of str to Path
        Pictures to embed, by name; may be empty.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    MissingPackageError
        If jinja2 is not installed.
    """
    trials = trial_rows(numbers)
    text = rendered(
        "report.html.j2",
        case_id=without_identifiers(case_id_of(study)),
        modality=_MODALITIES.get(modality_of(study), "Perfusion"),
        side=_side(study),
        cards=_cards(numbers, study.lesions.thresholds),
        more=index_rows(numbers),
        hemispheres=hemisphere_rows(numbers),
        slices=slice_chart(numbers),
        follow_up=follow_up_rows(numbers),
        findings=finding_rows(findings),
        pictures=_embedded(images, reference=study.aif is not None and study.aif.kind == "reference"),
        volumes=volume_tables(study, numbers),
        trials=trials,
        curves=curve_table(study),
        curve_heads=curve_heads(study),
        regions=region_table(study),
        scale=scale_words(numbers),
        acquisition=acquisition_rows(study, numbers),
        references=references_of(study, with_trials=bool(trials)),
        lesion_found=bool(study.lesions.hypoperfusion.any()),
    )
    return write_text(path, text)


def _side(study: AnyStudy) -> str:
    return {"left": "left hemisphere", "right": "right hemisphere", "bilateral": "both hemispheres"}.get(study.lesions.side, "")


def _cards(numbers: Mapping[str, Any], thresholds: Mapping[str, Any]) -> list[dict[str, str]]:
    """Headline numbers; a missing one says why."""
    core, total = numbers.get("infarct_core_volume_ml"), numbers.get("hypoperfusion_volume_ml")
    severe, base = thresholds.get("severe_tmax_s", 10.0), thresholds.get("tmax_s", 6.0)
    mismatch = numbers.get("mismatch_volume_ml")
    if mismatch is None and core is not None and total is not None:
        mismatch = total - core
    rows = (
        ("Core", "infarct_core_volume_ml", core, "mL", 1, core_words(thresholds), "core"),
        ("Hypoperfusion", "hypoperfusion_volume_ml", total, "mL", 1, hypoperfusion_words(thresholds), "hypoperfusion"),
        ("Penumbra", "penumbra_volume_ml", numbers.get("penumbra_volume_ml"), "mL", 1, "hypoperfusion without core", "penumbra"),
        ("Mismatch volume", "mismatch_volume_ml", mismatch, "mL", 1, "hypoperfusion minus core", ""),
        ("Mismatch ratio", "mismatch_ratio", numbers.get("mismatch_ratio"), "", 2, "hypoperfusion / core", ""),
        ("HIR", "hir", numbers.get("hir"), "", 2, f"volume of Tmax > {severe:g} s / Tmax > {base:g} s", ""),
    )
    return [
        {
            "label": label,
            "value": f"{value:.{digits}f}" if value is not None else "not available",
            "unit": unit if value is not None else "",
            "note": caption if value is not None else (note_of(numbers, key) or caption),
            "tone": tone,
            "missing": "yes" if value is None else "",
        }
        for label, key, value, unit, digits, caption, tone in rows
    ]


def finding_rows(findings: Sequence[QualityFinding]) -> list[dict[str, str]]:
    """Return findings as a report lists them, the gravest first.

    Parameters
    ----------
    findings : sequence of QualityFinding
        All findings.

    Returns
    -------
    list of dict
        ``severity``, ``label``, ``message``, ``advice`` and ``code``, free of identifiers.
    """
    order = {"error": 0, "warning": 1, "info": 2}
    return [
        {
            "severity": finding.severity,
            "label": _SEVERITIES[finding.severity],
            "message": without_identifiers(finding.message),
            "advice": without_identifiers(finding.advice),
            "code": finding.code,
        }
        for finding in sorted(findings, key=lambda item: order[item.severity])
    ]


def _embedded(images: Mapping[str, Path], *, reference: bool) -> list[dict[str, str]]:
    known = [name for name in _READING_ORDER if name in PICTURES and name in images]
    captions = {**_CAPTIONS, **({"aif_vof": _REFERENCE_CAPTION} if reference else {})}
    return [
        {
            "title": captions[name][0],
            "alt": captions[name][1],
            "uri": "data:image/png;base64," + base64.b64encode(images[name].read_bytes()).decode("ascii"),
        }
        for name in known
    ]
