# SPDX-License-Identifier: Apache-2.0
"""Every threshold can be entered, is checked, acts, and is written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InvalidInputError, LesionMasks, PerfusionMaps, Provenance
from PerfusionSuiteLib.lesion import EDITABLE, PRESETS, edited_preset, thresholds_from_json, thresholds_from_words

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
PLANE = (1.0, 0.0, 0.0, 39.0)


def steps(method: str = "") -> PerfusionMaps:
    """Tmax, delay, CBF and CBV that grow along x; the patient's right is large x."""
    x = np.broadcast_to(np.arange(40.0)[:, None, None], (40, 20, 6))
    arrays = {
        "tmax": np.where(x >= 20, 2.0, 12.0 - 0.5 * x),
        "delay": np.where(x >= 20, 0.5, 9.0 - 0.4 * x),
        "cbf": np.where(x >= 20, 50.0, 5.0 + 2.0 * x),
        "cbv": np.where(x >= 20, 4.0, 1.0 + 0.15 * x),
    }
    return PerfusionMaps.from_arrays(arrays, AFFINE, provenance=Provenance(method))


def columns(mask: np.ndarray) -> int:
    """How many columns (x) a mask covers."""
    return int(mask[:, 5, 2].sum())


def segmented(preset: str, method: str = "", **thresholds: object) -> LesionMasks:
    edited = edited_preset(preset, {"min_cluster_ml": 0, "thin_mm": 0, **thresholds})
    return lesion.segment(steps(method), preset=edited, midplane=PLANE)[1]


@pytest.mark.parametrize(
    ("preset", "hypoperfusion", "core"),
    [
        ("ct-perfusion-auto", 12, 5),  # Tmax > 6: x < 12; CBF < 15: x < 5
        ("neuroflow", 13, 8),  # Tmax >= 6: x <= 12; CBF <= 19: x <= 7
        ("rapid-like", 12, 5),
        ("syngo-like", 11, 2),  # CBF < 27: x < 11; CBV < 1.2: x < 4/3
        ("mistar-like", 15, 5),  # delay > 3: x < 15
    ],
)
def test_each_preset_means_what_it_says(preset: str, hypoperfusion: int, core: int) -> None:
    found = segmented(preset)
    assert (columns(found.hypoperfusion), columns(found.core)) == (hypoperfusion, core)


def test_core_may_lie_outside_of_hypoperfusion_only_where_the_preset_says_so() -> None:
    low = {"tmax_s": 11.0}  # x < 2
    assert columns(segmented("ct-perfusion-auto", **low).core) == 2
    assert columns(segmented("rapid-like", **low).core) == 5


@pytest.mark.parametrize(
    ("preset", "threshold", "hypoperfusion", "core"),
    [
        ("ct-perfusion-auto", {"tmax_s": 8}, 8, 5),
        ("ct-perfusion-auto", {"rcbf_percent": 38}, 12, 7),
        ("ct-perfusion-auto", {"strict": False}, 13, 6),
        ("syngo-like", {"hypoperfusion_cbf": 21.0}, 8, 2),
        ("syngo-like", {"core_cbv": 2.05}, 11, 7),
        ("mistar-like", {"delay_s": 5.0}, 10, 5),
        ("ct-perfusion-auto", {"reference_statistic": "median"}, 12, 5),
    ],
)
def test_an_entered_threshold_acts_and_is_written_down(preset: str, threshold: dict, hypoperfusion: int, core: int) -> None:
    found = segmented(preset, **threshold)
    assert (columns(found.hypoperfusion), columns(found.core)) == (hypoperfusion, core)
    ((name, value),) = threshold.items()
    assert found.thresholds[name] == value
    assert name in found.thresholds["edited"]


def test_what_was_not_entered_is_not_called_edited() -> None:
    assert lesion.segment(steps(), midplane=PLANE)[1].thresholds["edited"] == []


def test_the_offset_and_the_factor_of_a_method_can_be_entered() -> None:
    assert columns(segmented("ct-perfusion-auto", "osvd", tmax_offset_s=1.0, rcbf_factor=1.0).hypoperfusion) == 10
    by_method = segmented("ct-perfusion-auto", "osvd", tmax_offset_s={"osvd": 2.0, "csvd": 9.0})
    assert columns(by_method.hypoperfusion) == 8
    assert by_method.thresholds["tmax_applied_s"] == 8.0


def test_the_ratio_of_intensities_follows_its_thresholds_even_off_the_reported_levels() -> None:
    maps, found = lesion.segment(
        steps(), preset=edited_preset("ct-perfusion-auto", {"min_cluster_ml": 0, "thin_mm": 0, "tmax_s": 5, "severe_tmax_s": 9}),
        midplane=PLANE,
    )  # fmt: skip
    numbers = lesion.metrics(maps, found).values
    assert numbers["hir"] == pytest.approx(6 / 14)  # Tmax > 9: x < 6; Tmax > 5: x < 14
    assert numbers["volumes_voxels"]["tmax_gt_5"] == 14 * 20 * 6


def test_absolute_thresholds_that_nobody_entered_are_warned_about() -> None:
    def severity(**entered: float) -> str:
        return next(f.severity for f in segmented("syngo-like", **entered).findings if f.code == "absolute_thresholds")

    assert severity() == "warning"
    assert severity(core_cbv=2.0) == "warning"
    assert severity(hypoperfusion_cbf=30.0, core_cbv=2.0) == "info"


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"tmx_s": 5}, "There is no threshold 'tmx_s'"),
        ({"name": "x"}, "There is no threshold 'name'"),
        ({"tmax_s": "late"}, "a number is expected"),
        ({"tmax_s": True}, "a number is expected"),
        ({"tmax_s": float("nan")}, "a number is expected"),
        ({"strict": 1}, "true or false"),
        ({"tmax_levels_s": ["a"]}, "list of numbers"),
        ({"cortex_percentiles": [40]}, "two percentiles"),
        ({"core_rule": "mtt"}, "not a choice"),
        ({"tmax_s": -1}, "must be above 0"),
        ({"rcbf_factor": {"osvd": "x"}}, "a number is expected"),
    ],
)
def test_a_wrong_threshold_is_refused_with_its_name(thresholds: dict, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        edited_preset("ct-perfusion-auto", thresholds)


def test_every_field_of_a_preset_can_be_entered_as_json_gives_it_back() -> None:
    for preset in PRESETS.values():
        facts = json.loads(json.dumps({key: value for key, value in preset.as_dict().items() if key in EDITABLE}))
        assert set(facts) == set(EDITABLE) - {"tmax_offset_s", "rcbf_factor"}
        assert replace(edited_preset("ct-perfusion-auto", facts), name=preset.name) == preset


def test_thresholds_are_read_as_they_are_typed() -> None:
    words = ["tmax_s=5", "strict=false", "core_region=anywhere", "tmax_levels_s=4,6,8"]
    expected = {"tmax_s": 5.0, "strict": False, "core_region": "anywhere", "tmax_levels_s": [4.0, 6.0, 8.0]}
    assert thresholds_from_words(words) == expected
    assert edited_preset("neuroflow", expected) == replace(
        PRESETS["neuroflow"], tmax_s=5.0, strict=False, core_region="anywhere", tmax_levels_s=(4.0, 6.0, 8.0)
    )
    with pytest.raises(InvalidInputError, match="NAME=VALUE"):
        thresholds_from_words(["tmax_s"])


def test_thresholds_of_another_case_can_be_taken_from_its_metrics(tmp_path: Path) -> None:
    maps, found = lesion.segment(
        steps("osvd"), preset=edited_preset("neuroflow", {"tmax_s": 7, "cbv_levels_percent": [50]}), midplane=PLANE
    )
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(lesion.metrics(maps, found).values))
    again = edited_preset("ct-perfusion-auto", thresholds_from_json(path))
    assert replace(again, name="neuroflow") == edited_preset("neuroflow", {"tmax_s": 7, "cbv_levels_percent": [50]})
    assert again.offset("nlr") == PRESETS["neuroflow"].offset("nlr")  # the offset belongs to the method of the maps
    path.write_text("[1]")
    with pytest.raises(InvalidInputError, match="no JSON object"):
        thresholds_from_json(path)


@pytest.mark.parametrize("file", ["/data/nets/mine.safetensors", "seed 1,2.safetensors", "0.5", "true"])
def test_a_file_is_taken_as_it_is_called(file: str) -> None:
    assert thresholds_from_words([f"core_network={file}"]) == {"core_network": file}
    assert edited_preset("core-network", thresholds_from_words([f" core_network = {file} "])).core_network == file
