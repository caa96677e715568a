# SPDX-License-Identifier: Apache-2.0
"""What the report says beside the headline numbers: what each index rests on, where the lesion lies, the follow-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.core import Metrics, Study
from PerfusionSuiteLib.results.pictures import draw
from PerfusionSuiteLib.results.pictures.content import scene_of
from PerfusionSuiteLib.results.report_indices import follow_up_rows, hemisphere_rows, index_rows, slice_chart

FOLLOW_UP = {
    "prr_percent": 52.4, "first_ml": 140.66, "later_ml": 66.8, "resolved_ml": 82.8, "persistent_ml": 57.9, "new_ml": 8.9,
    "later_core_ml": 5.5, "moved_mm": 3.2, "moved_deg": 1.5, "common_brain_percent": 98.0, "likeness": 0.987,
}  # fmt: skip


def row(numbers: dict, label: str) -> dict[str, str]:
    return next(entry for entry in index_rows(numbers) if entry["label"] == label)


def test_a_missing_index_says_why_and_a_present_one_on_what_it_rests() -> None:
    missing = row(
        {"conventional_cbv_index": None, "notes": {"conventional_cbv_index": "It needs regions."}}, "Conventional CBV index"
    )
    assert missing["value"] == "not available"
    assert missing["note"] == "It needs regions."
    facts = {"hypoperfusion_cbv": 3.6, "contralateral_cbv": 4.0, "contralateral_voxels": 250, "contralateral_from": "mirror"}
    present = row({"corrected_cbv_index": 0.9, "cbv_index": facts}, "Corrected CBV index")
    assert (present["value"], present["note"]) == ("0.900", "3.60 / 4.00; 250 voxels of mirrored cortex with normal timing")


def test_the_delay_stands_beside_what_is_usual_and_is_not_called_prolonged() -> None:
    numbers = {"aif_vof_delay_s": 8.0, "aif_vof_delay_percentiles_s": {"p5": 4.0, "p50": 6.4, "p95": 9.4}}
    entry = row(numbers, "AIF to VOF peak delay")
    assert "median 6.4 s" in entry["note"]
    assert "prolonged" not in (entry["value"] + entry["note"]).lower()


def test_venous_transit_names_its_threshold_on_the_map_and_on_its_own_scale() -> None:
    pvt = {"status": "both", "threshold_s": 9.25, "tmax_threshold_s": 10.0, "sss_tmax_s": 11.0, "sss_voxels": 40,
           "torcula_tmax_s": None, "torcula_voxels": 0, "regions_from": {"sss": "mask"},
           "reasons": {"torcula": "the slab is too thin"}}  # fmt: skip
    assert "10 s (9.25 s on this map)" in row({"pvt": pvt}, "Prolonged venous transit")["note"]
    assert row({"pvt": pvt}, "Tmax in the superior sagittal sinus")["note"] == "median of 40 voxels of the region that was given"
    assert row({"pvt": pvt}, "Tmax at the torcula")["note"] == "The slab is too thin."


def test_hemispheres_are_named_as_the_patient_has_them() -> None:
    halves = {side: {"hypoperfusion_ml": ml, "core_ml": 1.0, "penumbra_ml": 1.0, "tissue_ml": 500.0} for side, ml in
              (("left", 3.0), ("right", 99.0))}  # fmt: skip
    assert hemisphere_rows({"hemispheres": halves})[0] == {"label": "Hypoperfusion", "right": "99.0", "left": "3.0"}
    assert hemisphere_rows({}) == []


@pytest.mark.parametrize("count", [6, 100])
def test_slices_run_from_the_top_down_and_fit_on_half_a_page(count: int) -> None:
    rows = [
        {"slice": k, "position_mm": -20.0 + k, "core_cm2": 1.0 if k == count - 1 else 0.0, "penumbra_cm2": 2.0}
        for k in range(count)
    ]
    chart = slice_chart({"slice_statistics": rows})
    assert chart is not None
    assert len(chart["rows"]) <= 25
    assert chart["rows"][0]["core"] > 0.0 == chart["rows"][-1]["core"]  # the top slice holds the core
    assert max(entry["core"] + entry["penumbra"] for entry in chart["rows"]) <= chart["width"] + 0.1


def test_no_chart_is_drawn_of_a_healthy_brain() -> None:
    assert slice_chart({"slice_statistics": [{"position_mm": 0.0, "core_cm2": 0.0, "penumbra_cm2": 0.0}]}) is None


def test_the_follow_up_is_part_of_the_report(a_study: Study, tmp_path: Path) -> None:
    assert dict(follow_up_rows({"follow_up": FOLLOW_UP}))["Change (PRR)"] == "52 %"
    core, all_of_it = a_study.lesions.core, a_study.lesions.hypoperfusion
    extra = {"resolved": all_of_it & ~core, "persistent": core, "new": np.zeros_like(core), "sss": core}
    values = {**a_study.metrics.values, "follow_up": FOLLOW_UP, "prr_percent": 52.4}
    study = replace(a_study, lesions=replace(a_study.lesions, extra=extra), metrics=Metrics(values))
    results.write(study, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "140.7 mL" in page
    assert "Persistent" in page
    written = {path.name for path in tmp_path.rglob("*")}
    assert {"resolved.nii.gz", "persistent.nii.gz", "new.nii.gz", "follow_up.png", "venous_transit.png"} <= written


def test_each_line_of_sight_of_the_follow_up_shows_what_it_meets_most_of(a_study: Study) -> None:
    """A single new voxel in front of much resolved tissue must not paint it all."""
    resolved = a_study.lesions.hypoperfusion
    new = np.zeros_like(resolved)
    new[tuple(np.argwhere(resolved)[0])] = True
    extra = {"resolved": resolved & ~new, "persistent": np.zeros_like(new), "new": new}
    figure = draw(scene_of(replace(a_study, lesions=replace(a_study.lesions, extra=extra))), "follow_up")
    axial = figure.axes[0]
    shown = [int((np.asarray(image.get_array())[..., 3] > 0).sum()) for image in axial.images[1:]]
    assert shown == [int(resolved.any(axis=2).sum()), 0, 0]
