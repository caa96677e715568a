# SPDX-License-Identifier: Apache-2.0
"""Findings: what the user should know about a scan or a result, as data rather than as log lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One observation about the quality of data or results.

    Parameters
    ----------
    code : str
        Stable identifier in snake_case, for example ``truncated_venous``.
    severity : {"info", "warning", "error"}
        ``error`` means that a result must not be used.
    message : str
        One sentence with the numbers it rests on; never an identifier of a patient.
    advice : str
        What the user can do about it.
    """

    code: str
    severity: Severity
    message: str
    advice: str = ""
