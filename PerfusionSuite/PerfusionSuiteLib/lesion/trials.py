# SPDX-License-Identifier: Apache-2.0
"""Imaging criteria of published trials, with the numbers used. They describe a scan; they are no advice."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

NOT_ONE_ARTERY = ("both_sides", "bilateral")
"""Findings that say that lesions lie on both sides: the trials' volumes are those of one blocked artery."""


def trial_criteria(
    core_ml: float,
    hypoperfusion_ml: float,
    *,
    age_years: float | None = None,
    nihss: int | None = None,
    flags: Collection[str] = (),
) -> dict[str, Any]:
    """Compare volumes with the imaging criteria of DEFUSE 3, EXTEND and DAWN.

    Parameters
    ----------
    core_ml, hypoperfusion_ml : float, mL
        Volumes.
    age_years : float, years, optional
        Needed for DAWN only.
    nihss : int, optional
        NIH Stroke Scale, needed for DAWN only.
    flags : collection of str
        Codes of what was found about the lesions. With one of `NOT_ONE_ARTERY` no criterion is judged.

    Returns
    -------
    dict
        For each trial ``met`` (None when it cannot be said, with the ``reason``), the numbers used and the limits;
        ``met_by_numbers`` where the volumes alone would decide but lesions lie on both sides.

    Notes
    -----
    Albers et al., NEJM 378:708 (2018); Ma et al., NEJM 380:1795 (2019); Nogueira et al., NEJM 378:11 (2018).
    Without a core the ratio is unbounded and its criterion is met when there is any hypoperfusion.
    """
    mismatch = hypoperfusion_ml - core_ml
    ratio = hypoperfusion_ml / core_ml if core_ml > 0 else None
    used = {"core_ml": round(core_ml, 3), "mismatch_ml": round(mismatch, 3), "ratio": None if ratio is None else round(ratio, 4)}

    def at_least(limit: float) -> bool:
        return hypoperfusion_ml > 0 if ratio is None else ratio >= limit

    def more_than(limit: float) -> bool:
        return hypoperfusion_ml > 0 if ratio is None else ratio > limit

    criteria = {
        "DEFUSE 3": {
            "met": bool(core_ml < 70 and at_least(1.8) and mismatch >= 15),
            "limits": {"core_ml_below": 70, "ratio_at_least": 1.8, "mismatch_ml_at_least": 15},
            **used,
        },
        "EXTEND": {
            "met": bool(core_ml < 70 and more_than(1.2) and mismatch > 10),
            "limits": {"core_ml_below": 70, "ratio_above": 1.2, "mismatch_ml_above": 10},
            **used,
        },
        "DAWN": _dawn(core_ml, age_years, nihss),
    }
    return criteria if set(NOT_ONE_ARTERY).isdisjoint(flags) else {name: _open(found) for name, found in criteria.items()}


def _open(criterion: dict[str, Any]) -> dict[str, Any]:
    """Leave the judgment to the reader: volumes of both sides were added up."""
    met = criterion["met"]
    if met is None:
        return criterion
    reason = (
        "Hypoperfusion lies on both sides, so its volume need not be that of one blocked artery; "
        f"by the numbers alone the criterion would {'be met' if met else 'not be met'}."
    )
    return {**criterion, "met": None, "met_by_numbers": met, "reason": reason}


def _dawn(core_ml: float, age_years: float | None, nihss: int | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {"core_ml": round(core_ml, 3), "age_years": age_years, "nihss": nihss}
    if age_years is None or nihss is None:
        return {"met": None, "group": None, "limits": None, **numbers, "reason": "Age and NIHSS are needed."}
    if age_years >= 80:
        met, group, limits = nihss >= 10 and core_ml < 21, "A", {"nihss_at_least": 10, "core_ml_below": 21}
    elif nihss >= 20 and core_ml >= 31:
        met, group, limits = core_ml < 51, "C", {"nihss_at_least": 20, "core_ml_from": 31, "core_ml_below": 51}
    else:
        met, group, limits = nihss >= 10 and core_ml < 31, "B", {"nihss_at_least": 10, "core_ml_below": 31}
    return {"met": bool(met), "group": group, "limits": limits, **numbers}
