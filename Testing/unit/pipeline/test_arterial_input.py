# SPDX-License-Identifier: Apache-2.0
"""Which artery is taken, and how its later part is mended, when tissue tells what it was fed with."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from PerfusionSuiteLib import fitting
from PerfusionSuiteLib.arterial_input import as_tissue_shows, chosen_curves
from PerfusionSuiteLib.core import InputFunction, no_progress
from PerfusionSuiteLib.fitting import later_part
from PerfusionSuiteLib.fitting.curve_model import CurveModel
from PerfusionSuiteLib.input_function.alike_arteries import SharedCourse
from PerfusionSuiteLib.preparation import Clock
from PerfusionSuiteLib.settings import Settings, UserInputs

TIMES = np.linspace(0.0, 55.0, 56)
SHAPE = (48, 48, 2)


def passage(start: float, width: float) -> np.ndarray:
    x = np.maximum(TIMES - start, 0.0) / width
    return np.asarray((x * np.exp(1.0 - x)) ** 3)


ARTERY = 300.0 * (passage(8.0, 4.5) + 0.3 * passage(20.0, 10.0))


@cache
def prepared(unit: str = "HU") -> Any:
    """A slab of tissue of one artery, with noise."""
    draw = np.random.default_rng(4)
    count = int(np.prod(SHAPE))
    model = CurveModel(TIMES, ARTERY, "gamma:3")
    flow, mtt = draw.uniform(20.0, 60.0, count) / 6000.0, 5.0 * np.exp(draw.normal(0.0, 0.3, count))
    curves = model.curves(flow, mtt, draw.uniform(0.0, 4.0, count), TIMES)
    data = (curves + draw.standard_normal(curves.shape)).reshape(*SHAPE, -1).astype(np.float32)
    none = np.zeros(SHAPE, bool)
    concentration = SimpleNamespace(
        data=data, mask=~none, times_s=TIMES, affine=np.diag([2.0, 2.0, 5.0, 1.0]), unit=unit, findings=(), baseline=None
    )
    masks = SimpleNamespace(csf=none, vessel=none, bone=none)
    return SimpleNamespace(concentration=concentration, masks=masks, avoid=none, density_image=None, courses=None)


def taken(
    monkeypatch: pytest.MonkeyPatch, *curves: np.ndarray, unit: str = "HU", apart: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> InputFunction:
    """The artery that is chosen when the search offers these curves, whose voxels are so far apart."""
    offered = [InputFunction(TIMES, curve, kind="aif", quality={"misfit": m}) for curve, m in zip(curves, apart, strict=False)]
    monkeypatch.setattr("PerfusionSuiteLib.input_function.aif_candidates", lambda *_, **__: offered)
    monkeypatch.setattr("PerfusionSuiteLib.input_function.select_vof", lambda *_, **__: None)
    return chosen_curves(prepared(unit), Settings(method="csvd"), UserInputs(), Clock(), no_progress)[0]


LOST = ARTERY * np.clip((30.0 - TIMES) / 18.0, 0.0, 1.0)
"""An artery that left its voxels as the head drifted."""


def test_an_artery_that_cannot_have_fed_the_tissue_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    found = taken(monkeypatch, 1.5 * LOST, 0.5 * ARTERY)
    np.testing.assert_allclose(found.values, 0.5 * ARTERY)
    assert "aif_by_tissue" in found.flags


def test_an_artery_that_gives_way_is_followed_by_the_next_and_not_by_a_vein(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tissue is explained by a later and wider curve as well, so the order of the search counts."""
    kernel = np.exp(-np.linspace(0.0, 20.0, 21) / 3.0)
    vein = np.interp(TIMES - 3.0, TIMES, np.convolve(ARTERY, kernel / kernel.sum())[: TIMES.size])
    np.testing.assert_allclose(taken(monkeypatch, LOST, ARTERY, vein).values, ARTERY)
    low = ARTERY * (1.0 - 0.25 * later_part(TIMES, ARTERY))
    np.testing.assert_allclose(taken(monkeypatch, low, vein).values, low)


@pytest.mark.parametrize(("apart", "first"), [((0.14, 0.05), False), ((0.07, 0.05), True)])
def test_an_artery_whose_voxels_are_not_alike_gives_way(
    monkeypatch: pytest.MonkeyPatch, apart: tuple[float, float], first: bool
) -> None:
    low = ARTERY * (1.0 - 0.1 * later_part(TIMES, ARTERY))
    found = taken(monkeypatch, low, ARTERY, apart=apart)
    np.testing.assert_allclose(found.values, low if first else ARTERY)


def test_the_best_artery_stays_when_others_explain_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    later = np.interp(TIMES - 0.4, TIMES, ARTERY)
    found = taken(monkeypatch, ARTERY, 0.8 * later, LOST)
    np.testing.assert_allclose(found.values, ARTERY)
    assert found.flags == ()
    np.testing.assert_allclose(taken(monkeypatch, LOST).values, LOST)


def test_relaxation_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not proportional in large vessels, so tissue does not tell what a tail should be."""
    found = taken(monkeypatch, LOST, ARTERY, unit="1/s")
    np.testing.assert_allclose(found.values, LOST)
    assert as_tissue_shows(found, prepared("1/s"), Settings(method="csvd"), UserInputs(), Clock()) is found


@pytest.mark.parametrize("lacks", [0.15, -0.1])
def test_a_later_part_is_mended_and_told(lacks: float) -> None:
    spoiled = InputFunction(TIMES, ARTERY / (1.0 + lacks * later_part(TIMES, ARTERY)), kind="aif")
    found = as_tissue_shows(spoiled, prepared(), Settings(method="csvd"), UserInputs(), Clock())
    tail = TIMES >= 20.0
    assert found.values[tail].sum() == pytest.approx(ARTERY[tail].sum(), rel=0.04)
    assert found.flags == ("aif_later_part",)
    assert found.quality["late_share"] == pytest.approx(lacks, abs=0.04)


def test_a_later_part_that_is_lost_is_told_and_not_invented() -> None:
    plain, lost = (InputFunction(TIMES, np.where(TIMES > 17.0, level * ARTERY, ARTERY), kind="aif") for level in (1.0, 0.2))
    found = as_tissue_shows(lost, prepared(), Settings(method="csvd"), UserInputs(), Clock())
    np.testing.assert_array_equal(found.values, lost.values)
    assert found.flags == ("aif_unlike_tissue",)
    doubtful, usual = (fitting.with_artery_error({"artery_error": None}, {}, one)["artery_error"] for one in (found, plain))
    assert doubtful > usual


def test_who_wants_the_curve_as_it_is_measured_gets_it() -> None:
    lost = InputFunction(TIMES, ARTERY * (1.0 - 0.2 * later_part(TIMES, ARTERY)), kind="aif")
    plain, given = Settings(method="csvd", scale_aif=False), UserInputs(aif=lost)
    assert as_tissue_shows(lost, prepared(), plain, UserInputs(), Clock()) is lost
    assert as_tissue_shows(lost, prepared(), Settings(method="csvd"), given, Clock()) is lost


BRANCHED = ndimage.gaussian_filter1d(ARTERY, 1.0 / (TIMES[1] - TIMES[0]))
"""What branches make of it, which disperse by a variance of 1 s2."""


def moved_head(moves: bool, parts: tuple[float, float], interval_s: float) -> Any:
    """A slab in which arteries fill their voxels now more, now less, as a head nods when contrast arrives."""
    still = prepared()
    draw, count = np.random.default_rng(7), 400
    nod = np.exp(-0.5 * ((TIMES - 13.0) / 4.0) ** 2)
    gains = draw.normal(0.0, 0.15, count)
    filled, late = draw.uniform(*parts, count), draw.uniform(0.0, 0.5, count)
    arteries = [
        part * np.interp(TIMES - lag, TIMES, BRANCHED) * (1.0 + gain * nod)
        for part, lag, gain in zip(filled, late, gains, strict=True)
    ]
    data = still.concentration.data.copy()
    data.reshape(-1, TIMES.size)[::11][:count] = arteries + draw.standard_normal((count, TIMES.size))
    concentration = SimpleNamespace(**{**vars(still.concentration), "data": data, "times_s": TIMES * interval_s})
    courses = (nod - nod.mean())[:, None] if moves else np.zeros((TIMES.size, 0))
    return SimpleNamespace(**{**vars(still), "concentration": concentration, "courses": courses})


def steadied(
    monkeypatch: pytest.MonkeyPatch,
    curve: np.ndarray,
    moves: bool,
    settings: Settings | None = None,
    given: Any = None,
    parts: tuple[float, float] = (0.3, 0.9),
    interval_s: float = 1.0,
    **known: Any,
) -> InputFunction:
    quality = {
        "misfit": 0.1, "motion_share": 0.2, "noise_sd": 1.0, "tissue_ttp_gap_s": 5.0, "ttp_s": 12.0, "saturated_fraction": 0.0,
        "baseline_shift": 0.0, **known,
    }  # fmt: skip
    offered = [InputFunction(TIMES * interval_s, curve, kind="aif", quality=quality)]
    monkeypatch.setattr("PerfusionSuiteLib.input_function.aif_candidates", lambda *_, **__: offered)
    monkeypatch.setattr("PerfusionSuiteLib.input_function.select_vof", lambda *_, **__: None)
    inputs = UserInputs(aif=given)
    return chosen_curves(moved_head(moves, parts, interval_s), settings or Settings(method="csvd"), inputs, Clock(), no_progress)[
        0
    ]


NODDING = ARTERY * (1.0 + 0.4 * np.exp(-0.5 * ((TIMES - 13.0) / 4.0) ** 2))
"""Of the voxels that a nod of the head fills more, which makes them the tallest and narrowest ones."""


def test_what_all_arteries_share_replaces_a_curve_that_a_moving_head_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = steadied(monkeypatch, NODDING, moves=True)
    assert "aif_shared" in found.flags
    assert found.quality["apart"] > 0.065
    assert not {"misfit", "motion_share"} & set(found.quality)  # of the voxels that were chosen
    lags = np.linspace(-0.5, 1.0, 31)

    def off(values: np.ndarray) -> tuple[float, float]:
        moved = np.stack([np.interp(TIMES - lag, TIMES, ARTERY) for lag in lags])
        cosine = moved @ values / np.linalg.norm(moved, axis=1) / np.linalg.norm(values)
        return float(np.sqrt(1.0 - cosine.max() ** 2)), float(lags[cosine.argmax()])

    assert off(found.values)[0] < 0.3 * off(NODDING)[0]
    assert abs(off(found.values)[1]) <= 0.3  # others of this head are up to half a second late


def test_arteries_that_fill_little_of_their_voxels_share_a_course_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "aif_shared" in steadied(monkeypatch, NODDING, moves=True, parts=(0.12, 0.28)).flags


@pytest.mark.parametrize(("interval_s", "replaced"), [(1.0, True), (3.0, False)])
def test_where_frames_are_far_apart_an_artery_must_differ_by_more(
    monkeypatch: pytest.MonkeyPatch, interval_s: float, replaced: bool
) -> None:
    shared = SharedCourse(ARTERY, 100, 0.06)
    monkeypatch.setattr("PerfusionSuiteLib.input_function.shared_course", lambda *_, **__: shared)
    assert ("aif_shared" in steadied(monkeypatch, NODDING, moves=True, interval_s=interval_s).flags) is replaced


def test_a_good_artery_and_a_still_head_keep_their_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    for curve, moves in ((ARTERY, True), (NODDING, False)):
        found = steadied(monkeypatch, curve, moves)
        np.testing.assert_array_equal(found.values, curve)
        assert found.flags == ()


def test_a_curve_that_is_given_or_wanted_as_it_is_measured_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    given = InputFunction(TIMES, NODDING)
    assert steadied(monkeypatch, ARTERY, moves=True, given=given) is given
    plain = steadied(monkeypatch, NODDING, moves=True, settings=Settings(method="csvd", scale_aif=False))
    np.testing.assert_array_equal(plain.values, NODDING)


def test_where_contrast_was_there_from_the_beginning_voxels_do_not_tell_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    found = steadied(monkeypatch, NODDING, moves=True, baseline_shift=-12.0)
    np.testing.assert_array_equal(found.values, NODDING)
