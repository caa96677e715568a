# SPDX-License-Identifier: Apache-2.0
"""The run in words: what was decided, with which settings, what was odd, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..core.findings import QualityFinding
from ..core.geometry import voxel_sizes
from ..core.values import Study
from .map_study import AnyStudy, case_id_of
from .privacy import without_identifiers
from .tables import flatten


def run_log(study: AnyStudy, findings: Sequence[QualityFinding]) -> str:
    """Return the text of ``log.txt``; it holds no path and no identifier.

    Parameters
    ----------
    study : Study or MapStudy
        The run.
    findings : sequence of QualityFinding
        All findings, those of writing included.

    Returns
    -------
    str
        Lines of text.
    """
    lines = [
        f"Perfusion Suite {__version__}. Research software, not for clinical use.",
        f"Case: {without_identifiers(case_id_of(study))}",
        *_scan_lines(study),
        *_section(
            "Settings", [f"{key} = {_shown(value)}" for key, value in flatten(without_identifiers(study.settings)).items()]
        ),
        *_section("Findings", [_finding_line(finding) for finding in findings]),
        *_section("Seconds", [f"{step:<24s}{seconds:9.2f}" for step, seconds in study.seconds.items()]),
    ]
    if study.seconds:
        lines.append(f"{'total':<24s}{sum(study.seconds.values()):9.2f}")
    return "\n".join(lines) + "\n"


def _scan_lines(study: AnyStudy) -> list[str]:
    voxel = " x ".join(f"{size:.3g}" for size in voxel_sizes(study.maps.affine))
    shape = " x ".join(str(n) for n in study.maps.shape)
    if not isinstance(study, Study):
        return [f"Maps: {', '.join(study.maps)}; {shape} voxels of {voxel} mm"]
    series = study.series
    return [
        f"Scan: {series.modality.upper()}, {shape} voxels of {voxel} mm, {series.times_s.size} frames, "
        f"{series.times_s[0]:g} to {series.times_s[-1]:g} s, interval {series.interval_s:.3g} s, "
        f"times from: {without_identifiers(series.acquisition.time_source)}",
        *_section("Decisions", [f"- {without_identifiers(text)}" for text in series.source.decisions]),
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, "-" * len(title), *(lines or ["(none)"])]


def _shown(value: Any) -> str:
    return "(default)" if value is None else str(value)


def _finding_line(finding: QualityFinding) -> str:
    text = f"[{finding.severity}] {finding.code}: {without_identifiers(finding.message)}"
    return f"{text} {without_identifiers(finding.advice)}".rstrip()
