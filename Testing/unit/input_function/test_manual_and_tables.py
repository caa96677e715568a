# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import made_up_head
import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, InputFunction, InvalidInputError, TimingError
from PerfusionSuiteLib.input_function import describe, from_click, from_csv, from_mask, from_points, from_voxels, to_csv

AFFINE = made_up_head.AFFINE
TIMES = np.linspace(0.0, 60.0, 41)


def test_listed_voxels_give_their_mean_once_each(scene_of):
    scene = scene_of()
    curve = from_voxels(scene.concentration, scene.times, [[20, 26, 2], [20, 26, 3], [20, 26, 2]])
    np.testing.assert_allclose(curve.values, scene.concentration[20, 26, 2:4].mean(0), rtol=1e-5)
    assert curve.origin == "manual"
    assert len(curve.voxels) == 2


def test_a_mask_gives_the_same_curve_as_its_voxels(scene_of):
    scene = scene_of()
    mask = scene.vein > 0
    curve = from_mask(scene.concentration, scene.times, mask, "vof")
    np.testing.assert_allclose(curve.values, scene.concentration[mask].mean(0), rtol=1e-4)
    assert (curve.kind, curve.origin) == ("vof", "mask")


@pytest.mark.parametrize("cnr", [100.0, 40.0])
def test_a_click_beside_an_artery_grows_into_it_and_stays_near(scene_of, cnr):
    scene = scene_of(cnr)
    curve = from_click(scene.concentration, scene.times, (43, 26, 2), affine=AFFINE, mask=scene.mask)
    assert (scene.artery[tuple(curve.voxels.T)] >= 0.2).all()
    apart = np.linalg.norm((curve.voxels - [43, 26, 2]) * np.abs(np.diag(AFFINE)[:3]), axis=1)
    assert apart.max() <= 5.0


def test_a_click_for_a_vein_takes_the_vein(scene_of):
    scene = scene_of()
    curve = from_click(scene.concentration, scene.times, (32, 63, 3), affine=AFFINE, kind="vof")
    assert (scene.vein[tuple(curve.voxels.T)] == 1).all()


def mm(voxels):
    return np.asarray(voxels) @ AFFINE[:3, :3].T + AFFINE[:3, 3]


def test_one_point_grows_into_the_vessel_and_several_are_the_voxels_that_hold_them(scene_of):
    scene = scene_of()
    grown = from_points(scene.concentration, scene.times, mm([[43, 26, 2]]), affine=AFFINE, mask=scene.mask)
    clicked = from_click(scene.concentration, scene.times, (43, 26, 2), affine=AFFINE, mask=scene.mask)
    np.testing.assert_array_equal(grown.voxels, clicked.voxels)
    voxels = np.argwhere((scene.artery == 1.0) & scene.mask)[:3]
    beside = mm(voxels) + 0.3 * np.abs(np.diag(AFFINE)[:3])
    listed = from_points(scene.concentration, scene.times, beside, affine=AFFINE, mask=scene.mask)
    np.testing.assert_array_equal(listed.voxels, voxels)
    np.testing.assert_allclose(listed.values, scene.concentration[tuple(voxels.T)].mean(0), rtol=1e-5)


def test_points_that_hit_no_tissue_are_counted(scene_of):
    scene = scene_of()
    voxels = np.argwhere(scene.mask)[:2].tolist()
    for wrong in ([-40, 0, 0], np.argwhere(~scene.mask)[0].tolist()):
        with pytest.raises(InvalidInputError, match="1 of 3 points for the VOF lie outside"):
            from_points(scene.concentration, scene.times, mm([*voxels, wrong]), affine=AFFINE, mask=scene.mask, kind="vof")
    for wrong in ([], [1.0, 2.0, 3.0], [[np.nan, 0.0, 0.0]]):
        with pytest.raises(InvalidInputError, match="must be RAS positions in mm"):
            from_points(scene.concentration, scene.times, wrong, affine=AFFINE, mask=scene.mask)


def test_a_late_curve_marked_as_artery_is_flagged(scene_of):
    scene = scene_of()
    tissue = scene.concentration[scene.mask & (scene.artery + scene.vein == 0)].mean(0)
    late = from_mask(scene.concentration, scene.times, scene.vein > 0, "aif", tissue_curve=tissue)
    early = from_mask(scene.concentration, scene.times, scene.artery == 1.0, "aif", tissue_curve=tissue)
    assert "aif_late" in late.flags
    assert "aif_late" not in early.flags


def test_clipped_signals_are_reported(scene_of):
    scene = scene_of(100.0)
    clipped = np.minimum(scene.concentration, 150.0)
    curve = from_mask(clipped, scene.times, scene.artery == 1.0, "aif")
    assert curve.quality["saturated_fraction"] == 1.0
    assert "aif_saturated" in curve.flags
    assert from_mask(scene.concentration, scene.times, scene.artery == 1.0).quality["saturated_fraction"] == 0.0


def test_a_missing_frame_in_the_first_pass_is_flagged(scene_of):
    scene = scene_of(100.0)
    keep = np.delete(np.arange(scene.times.size), [7, 8])
    curve = from_mask(scene.concentration[..., keep], scene.times[keep], scene.artery == 1.0)
    assert "gap_in_first_pass" in curve.flags


def test_wrong_places_are_refused(scene_of):
    scene = scene_of()
    data, times = scene.concentration, scene.times
    with pytest.raises(InvalidInputError, match="outside the scan"):
        from_voxels(data, times, [[200, 1, 1]])
    with pytest.raises(InvalidInputError, match="at least one"):
        from_voxels(data, times, [])
    with pytest.raises(InvalidInputError, match="mask for the VOF is empty"):
        from_mask(data, times, np.zeros(data.shape[:3], bool), "vof")
    with pytest.raises(GridMismatchError, match="Resample"):
        from_mask(data, times, np.ones((2, 2, 2), bool))
    with pytest.raises(InvalidInputError, match="outside the scan"):
        from_click(data, times, (-3, 0, 0), affine=AFFINE)
    with pytest.raises(InvalidInputError, match="enhances"):
        from_click(data, times, (0, 0, 0), affine=AFFINE)
    with pytest.raises(InvalidInputError, match="no positive bolus"):
        from_voxels(data, times, [[0, 0, 0]])
    with pytest.raises(InvalidInputError, match="not 'vein'"):
        from_voxels(data, times, [[20, 26, 2]], "vein")


def write(path, rows, head="time_sec,aif", sep=","):
    path.write_text("\n".join([head, *(sep.join(f"{v:.8g}" for v in row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def test_a_written_curve_reads_back_the_same(tmp_path):
    curve = InputFunction(TIMES, made_up_head.bolus(TIMES, 8.0, 180.0), kind="vof")
    path = to_csv(curve, tmp_path / "vof.csv")
    assert path.read_text(encoding="utf-8").splitlines()[0] == "time_sec,vof"
    back = from_csv(path, TIMES, kind="vof")
    np.testing.assert_allclose(back.values, curve.values, rtol=1e-5, atol=1e-5)
    assert (back.kind, back.origin) == ("vof", "file")


@pytest.mark.parametrize(("head", "sep"), [("time_sec,concentration", ","), ("Time_Sec;HU", ";"), ("time_sec\tcurve", "\t")])
def test_any_name_and_usual_separators_are_accepted(tmp_path, head, sep):
    values = made_up_head.bolus(TIMES, 8.0, 180.0)
    path = write(tmp_path / "a.csv", zip(TIMES, values, strict=True), head, sep)
    np.testing.assert_allclose(from_csv(path, TIMES, kind="aif").values, values, atol=1e-3)


def test_of_both_curves_in_one_file_each_is_found_by_its_name(tmp_path):
    times = np.linspace(0.0, 44.0, 45)
    artery, vein = np.exp(-(((times - 12.0) / 4.0) ** 2)) * 100.0, np.exp(-(((times - 20.0) / 5.0) ** 2)) * 150.0
    path = tmp_path / "curves.csv"
    rows = "\n".join(f"{t},{a},{v}" for t, a, v in zip(times, artery, vein, strict=True))
    path.write_text(f"time_s,aif,vof\n{rows}\n", encoding="utf-8")
    np.testing.assert_allclose(from_csv(path, times, kind="aif").values, artery, atol=1e-4)
    np.testing.assert_allclose(from_csv(path, times, kind="vof").values, vein, atol=1e-4)


def test_a_coarse_uneven_file_is_resampled_without_widening_the_bolus(tmp_path):
    coarse = np.concatenate([np.linspace(0, 30, 16), np.linspace(33, 60, 10)])
    fine = np.linspace(0, 60, 121)
    path = write(tmp_path / "a.csv", zip(coarse, made_up_head.bolus(coarse, 8.0, 180.0), strict=True))
    truth = made_up_head.bolus(fine, 8.0, 180.0)
    got = from_csv(path, fine, kind="aif")
    straight = np.interp(fine, coarse, made_up_head.bolus(coarse, 8.0, 180.0))
    assert np.linalg.norm(got.values - truth) < 0.75 * np.linalg.norm(straight - truth)
    assert got.quality["fwhm_s"] == pytest.approx(describe(fine, truth)["fwhm_s"], abs=0.15)
    assert got.quality["peak"] == pytest.approx(180.0, rel=0.02)


def test_a_scan_a_little_longer_than_the_file_keeps_the_last_value(tmp_path):
    values = made_up_head.bolus(TIMES, 8.0, 180.0) + 5.0
    path = write(tmp_path / "a.csv", zip(TIMES, values, strict=True))
    got = from_csv(path, np.linspace(0, 66, 45), kind="aif")
    np.testing.assert_allclose(got.values[-3:], values[-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("t,aif\n0,1\n", "first row of 'c.csv' is t, aif"),
        ("time_sec\n0\n", "Name the columns"),
        ("time_sec,aif\n0,1\n1,high\n", "Row 3 of 'c.csv' does not hold two numbers"),
        ("time_sec,aif\n0,1\n1\n", "Row 3"),
        ("time_sec,aif\n0,1\n1,nan\n", "missing value"),
        ("time_sec,aif\n0,1\n1,2\n", "at least 5"),
        ("time_sec,aif\n" + "".join(f"{1000 * i},{i % 7}\n" for i in range(10)), "in steps of 1000 s"),
        ("time_sec,aif\n" + "".join(f"{i / 100},{i % 7}\n" for i in range(30)), "Give times in seconds"),
        ("time_sec,aif\n" + "".join(f"{7 * i},0\n" for i in range(10)), "no positive bolus"),
    ],
)
def test_unusable_files_are_refused_with_the_row_or_the_range(tmp_path, text, message):
    path = tmp_path / "c.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=message):
        from_csv(path, TIMES, kind="aif")


def test_times_that_go_back_and_missing_files_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", [(0, 0), (2, 1), (1, 3), (3, 2), (4, 0), (60, 0)])
    with pytest.raises(TimingError, match="must increase"):
        from_csv(path, TIMES, kind="aif")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        from_csv(tmp_path / "none.csv", TIMES, kind="aif")
    with pytest.raises(InvalidInputError, match="not 'vein'"):
        from_csv(path, TIMES, kind="vein")
