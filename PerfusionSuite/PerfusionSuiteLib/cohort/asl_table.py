# SPDX-License-Identifier: Apache-2.0
"""One row per ASL case with the numbers that are read first, failed cases included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .batch import DONE, CaseState, states_in

COLUMNS = (
    "case_id", "state", "method", "gray_cbf", "white_cbf", "brain_cbf", "cbf_unit", "cbf_from", "gray_att_s", "brain_att_s",
    "cbf_asymmetry_percent", "gm_wm_cbf_ratio", "low_flow_ml", "low_flow_side", "spatial_variation_percent", "labeling",
    "delays_s", "m0", "warnings", "quality_findings", "seconds", "why_failed",
)  # fmt: skip
"""Columns of the table."""


def asl_rows(out: Path) -> list[dict[str, Any]]:
    """Gather the numbers of ASL cases.

    Parameters
    ----------
    out : Path
        Folder of results, one folder per case.

    Returns
    -------
    list of dict
        One row per case that is an ASL scan or has failed, by name; none where no case is an ASL scan.
    """
    states = states_in(out)
    folders = {path.name for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")} if out.is_dir() else set()
    rows = []
    numbers_of = {name: _numbers(out / name) for name in sorted(folders | set(states))}
    if not any(numbers.get("modality") == "asl" for numbers in numbers_of.values()):
        return []  # what failed may be anything
    for name, numbers in numbers_of.items():
        state = states.get(name)
        if state is not None and state.state != DONE:
            rows.append(_row(name, {}, state))
        elif numbers.get("modality") == "asl":
            rows.append(_row(name, numbers, state))
    return rows


def _numbers(folder: Path) -> dict[str, Any]:
    """Metrics of a case; empty when there are none that can be read."""
    for path in (folder / "metrics.json", *sorted(folder.rglob("*_desc-metrics_perf.json"))):
        with suppress(OSError, ValueError):
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return content
    return {}


def _row(name: str, numbers: Mapping[str, Any], state: CaseState | None) -> dict[str, Any]:
    regions, quality = numbers.get("by_region") or {}, numbers.get("quality") or {}
    brain = regions.get("brain") or {}
    flow = "cbf" if "cbf" in brain or not brain else "rcbf"
    found = quality.get("findings") or ()
    serious = [str(item["code"]) for item in found if item.get("severity") != "info"]
    acquisition = numbers.get("acquisition") or {}

    def of(region: str, key: str) -> Any:
        return (regions.get(region) or {}).get(key)

    return {
        "case_id": name,
        "state": DONE if state is None else state.state,
        "method": (numbers.get("method") or {}).get("name"),
        "gray_cbf": of("gm", flow),
        "white_cbf": of("wm", flow),
        "brain_cbf": of("brain", flow),
        "cbf_unit": (numbers.get("units") or {}).get(flow),
        "cbf_from": brain.get("from"),
        "gray_att_s": of("gm", "att"),
        "brain_att_s": of("brain", "att"),
        "cbf_asymmetry_percent": numbers.get("cbf_asymmetry_percent"),
        "gm_wm_cbf_ratio": numbers.get("gm_wm_cbf_ratio"),
        "low_flow_ml": numbers.get("hypoperfusion_volume_ml"),
        "low_flow_side": numbers.get("affected_side"),
        "spatial_variation_percent": numbers.get("spatial_variation_percent"),
        "labeling": acquisition.get("labeling"),
        "delays_s": " ".join(f"{value:g}" for value in acquisition.get("post_label_delays_s") or ()),
        "m0": acquisition.get("m0"),
        "warnings": len(serious) if numbers else None,
        "quality_findings": " ".join(dict.fromkeys(serious)),
        "seconds": None if state is None else state.seconds,
        "why_failed": "" if state is None else state.sentence,
    }
