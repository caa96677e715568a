# SPDX-License-Identifier: Apache-2.0
"""An ASL run in words."""

from __future__ import annotations

from collections.abc import Sequence

from .. import __version__
from ..core.asl import AslStudy
from ..core.findings import QualityFinding
from ..core.geometry import voxel_sizes
from .privacy import without_identifiers
from .tables import flatten


def asl_log(study: AslStudy, findings: Sequence[QualityFinding]) -> str:
    """Return the text of ``log.txt``; it holds no path and no identifier.

    Parameters
    ----------
    study : AslStudy
        The run.
    findings : sequence of QualityFinding
        All findings, those of writing included.

    Returns
    -------
    str
        Lines of text.
    """
    voxel = " x ".join(f"{size:.3g}" for size in voxel_sizes(study.maps.affine))
    shape = " x ".join(str(n) for n in study.maps.shape)
    delays = ", ".join(f"{delay:g}" for delay in study.difference.post_label_delays_s)
    lines = [
        f"Perfusion Suite {__version__}. Research software, not for clinical use.",
        f"Case: {without_identifiers(study.series.source.case_id)}",
        f"Scan: ASL ({study.series.labeling.upper()}), {shape} voxels of {voxel} mm, {len(study.series.volume_types)} volumes, "
        f"delays {delays} s",
        *_section("Decisions", [f"- {without_identifiers(text)}" for text in study.series.source.decisions]),
        *_section("Settings", [f"{key} = {_shown(value)}" for key, value in _settings(study).items()]),
        *_section("Findings", [_finding(finding) for finding in findings]),
        *_section("Seconds", [f"{step:<24s}{seconds:9.2f}" for step, seconds in study.seconds.items()]),
        f"{'total':<24s}{sum(study.seconds.values()):9.2f}",
    ]
    return "\n".join(lines) + "\n"


def _settings(study: AslStudy) -> dict[str, object]:
    return flatten(without_identifiers(study.settings))


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, "-" * len(title), *(lines or ["(none)"])]


def _shown(value: object) -> str:
    return "(default)" if value is None else str(value)


def _finding(finding: QualityFinding) -> str:
    text = f"[{finding.severity}] {finding.code}: {without_identifiers(finding.message)}"
    return f"{text} {without_identifiers(finding.advice)}".rstrip()
