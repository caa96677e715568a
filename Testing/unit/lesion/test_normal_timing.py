# SPDX-License-Identifier: Apache-2.0
"""White matter that is late by nature is no lesion, whatever side is ill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps
from PerfusionSuiteLib.lesion.normal_timing import normal_timing
from PerfusionSuiteLib.lesion.presets import preset_of
from PerfusionSuiteLib.lesion.preview import preview, preview_basis
from PerfusionSuiteLib.results.thresholds import hypoperfusion_words, is_standard

SHAPE = (60, 60, 4)
AFFINE = np.array([[-3.0, 0, 0, 88.5], [0, -3.0, 0, 88.5], [0, 0, 8.0, -12.0], [0, 0, 0, 1]])  # i grows to the left
PLANE = np.array((1.0, 0.0, 0.0, 0.0))
GRAY_S, WHITE_S, ILL_S = 3.5, 6.5, 11.0
VOXEL_ML = 0.072


def a_brain() -> tuple[PerfusionMaps, dict[str, np.ndarray]]:
    """Return maps of a brain whose healthy white matter is beyond 6 s, ill in the middle of its left half."""
    i, j, _ = np.indices(SHAPE)
    radius = np.hypot(i - 29.5, j - 29.5)
    brain, white = radius < 27, radius < 18
    ill = (np.abs(i - 42) < 8) & (np.abs(j - 30) < 8)
    rng = np.random.default_rng(1)
    tmax = np.where(ill, ILL_S, np.where(white, WHITE_S, GRAY_S)) + 0.2 * rng.normal(size=SHAPE)
    arrays = {
        "tmax": np.where(brain, tmax, np.nan),
        "cbf": np.where(brain, np.where(ill, 10.0, 50.0), np.nan),
        "cbv": np.where(brain, 3.0, np.nan),
        "baseline": np.where(brain, np.where(white, 29.0, 37.0), 1000.0) + rng.normal(size=SHAPE),
    }
    return PerfusionMaps.from_arrays(arrays, AFFINE), {"brain": brain, "white": white, "ill": ill & brain}


@pytest.fixture(scope="module")
def patient() -> tuple[PerfusionMaps, dict[str, np.ndarray]]:
    return a_brain()


def test_each_kind_of_tissue_has_the_timing_of_its_healthy_side(patient: Any) -> None:
    maps, where = patient
    normal = normal_timing(maps, where["brain"], PLANE).tmax
    radius = np.hypot(*(np.indices(SHAPE)[:2] - 29.5))
    assert np.median(normal[radius < 14]) == pytest.approx(WHITE_S, abs=0.3)
    assert np.median(normal[(radius > 21) & where["brain"]]) == pytest.approx(GRAY_S, abs=0.3)


def test_without_density_all_tissue_is_one_kind(patient: Any) -> None:
    maps, where = patient
    plain = PerfusionMaps.from_arrays({"tmax": maps["tmax"].values}, AFFINE)
    normal = normal_timing(plain, where["brain"], PLANE).tmax[where["brain"]]
    assert np.ptp(normal) == 0.0
    assert GRAY_S < normal[0] < WHITE_S
    by_mr = PerfusionMaps([replace(maps[key], unit="a.u." if key == "baseline" else "") for key in maps])
    lesions = lesion.segment(by_mr, midplane=PLANE)[1]
    assert list(lesions.thresholds["normal_tmax_s"]) == ["tissue"]
    assert "later than normal tissue (" in hypoperfusion_words(lesions.thresholds)
    assert "gray" not in hypoperfusion_words(lesions.thresholds)


def test_too_little_tissue_has_the_timing_of_what_there_is() -> None:
    values = np.full((4, 4, 1), 5.0)
    maps = PerfusionMaps.from_arrays({"tmax": values}, np.diag([1.0, 1.0, 5.0, 1.0]))
    assert (normal_timing(maps, np.ones((4, 4, 1), bool), np.array((1.0, 0, 0, 1.5))).tmax == 5.0).all()


def test_late_white_matter_is_no_lesion(patient: Any) -> None:
    maps, where = patient
    found = {}
    for name, preset in (("by kind", "ct-perfusion-auto"), ("by 6 s alone", "rapid-like")):
        found[name] = lesion.segment(maps, midplane=PLANE, preset=preset)
    ill = where["ill"]
    kind, plain = (found[name][1].hypoperfusion for name in found)
    assert kind[ill].mean() > 0.95
    assert kind[~ill].sum() * VOXEL_ML < 2.0
    assert plain[~ill].sum() * VOXEL_ML > 60.0
    assert found["by kind"][1].side == "left"


def test_volumes_of_levels_and_preview_follow_the_same_rule(patient: Any) -> None:
    maps, _ = patient
    found, lesions = lesion.segment(maps, midplane=PLANE, side="left")
    volumes = lesion.metrics(found, lesions).values["volumes_ml"]
    assert volumes["tmax_gt_6"] == pytest.approx(lesions.hypoperfusion.sum() * VOXEL_ML, abs=1e-3)
    assert volumes["tmax_gt_4"] > volumes["tmax_gt_6"] + 60.0
    basis = preview_basis(maps, midplane=PLANE, side="left")
    np.testing.assert_array_equal(preview(basis, lesion.find_preset("ct-perfusion-auto"))[0], lesions.hypoperfusion)


def test_illness_of_most_of_both_sides_is_still_seen(patient: Any) -> None:
    maps, where = patient
    late = np.where(np.abs(np.indices(SHAPE)[1] - 29.5) < 18, ILL_S, GRAY_S)
    both = maps.added(replace(maps["tmax"], values=np.where(where["brain"], late, np.nan).astype(np.float32)))
    _, lesions = lesion.segment(both, midplane=PLANE)
    assert lesions.side == "bilateral"
    assert lesions.hypoperfusion.sum() > 0.95 * (where["brain"] & (late > 6)).sum()


def test_slices_may_lie_along_any_axis(patient: Any) -> None:
    maps, _ = patient
    turned = np.array([AFFINE[:, 2], AFFINE[:, 0], AFFINE[:, 1], AFFINE[:, 3]]).T
    other = PerfusionMaps.from_arrays({key: maps[key].values.transpose(2, 0, 1) for key in maps}, turned)
    one, two = (lesion.segment(m, midplane=PLANE)[1] for m in (maps, other))
    np.testing.assert_array_equal(one.hypoperfusion, two.hypoperfusion.transpose(1, 2, 0))
    assert one.thresholds["normal_tmax_s"] == two.thresholds["normal_tmax_s"]


def test_what_earlier_versions_wrote_asks_for_no_lateness(patient: Any, tmp_path: Path) -> None:
    maps, _ = patient
    known = {**lesion.segment(maps, midplane=PLANE)[1].thresholds}
    assert is_standard(known)
    assert not is_standard({**known, "late_by_s": 5.0})
    assert preset_of(known).late_by_s == lesion.Preset().late_by_s > 0
    del known["late_by_s"]
    assert preset_of(known).late_by_s == 0.0
    assert is_standard(known)
    assert "later" not in hypoperfusion_words(known)
    record = tmp_path / "metrics.json"
    record.write_text(json.dumps({"schema": "perfusion-suite/metrics/1", "thresholds": known}), encoding="utf-8")
    assert lesion.edited_preset("ct-perfusion-auto", lesion.thresholds_from_json(record)).late_by_s == 0.0


@pytest.mark.parametrize("late_by", [-1.0, 11.0, float("nan")])
def test_impossible_lateness_is_refused(late_by: float) -> None:
    with pytest.raises(InvalidInputError, match="late_by_s"):
        lesion.Preset(late_by_s=late_by)
