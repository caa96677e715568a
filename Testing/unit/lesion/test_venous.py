# SPDX-License-Identifier: Apache-2.0
"""Check 8 of ct-perfusion-auto section 19: prolonged venous transit is read in the sinuses, wherever the image axes point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InputFunction, PerfusionMaps
from PerfusionSuiteLib.core.geometry import BoolArray

SHAPE = (48, 60, 12)
AFFINE = np.array([[-3.0, 0, 0, 70.5], [0, -3.0, 0, 88.5], [0, 0, 8.0, -44.0], [0, 0, 0, 1]])
PLANE = (1.0, 0.0, 0.0, 0.0)


def sinus_head(sss_s: float, torcula_s: float) -> tuple[dict[str, np.ndarray], dict[str, BoolArray]]:
    """A brain of normal Tmax whose posterior midline carries a sinus; x is right, y anterior, z up in mm."""
    i, j, k = np.indices(SHAPE)
    x, y, z = 70.5 - 3.0 * i, 88.5 - 3.0 * j, -44.0 + 8.0 * k
    brain = (x / 63) ** 2 + (y / 75) ** 2 < 1
    back = -75 * np.sqrt(np.maximum(1 - (x / 63) ** 2, 0))
    near = brain & (np.abs(x) < 5) & (y - back < 9)
    sss, torcula = near & (z > 0), near & (z < -25)
    artery = brain & (np.abs(x) < 8) & (np.abs(y - 40) < 5) & (z < 0)  # anterior midline vessels must not count
    cbv = np.where(sss | torcula | artery, 20.0, 3.0)
    tmax = np.select([sss, torcula, artery], [sss_s, torcula_s, 12.0], 2.0)
    arrays = {"tmax": tmax, "cbv": cbv, "cbf": np.full(SHAPE, 50.0)}
    return {key: np.where(brain, value, np.nan) for key, value in arrays.items()}, {"sss": sss, "torcula": torcula}


def venous_transit(arrays: dict[str, np.ndarray], affine: np.ndarray, vof: InputFunction | None = None) -> dict[str, Any]:
    maps, lesions = lesion.segment(PerfusionMaps.from_arrays(arrays, affine), midplane=PLANE, vof=vof)
    result: dict[str, Any] = lesion.metrics(maps, lesions, vof=vof).values["pvt"]
    return result


@pytest.mark.parametrize(
    ("sss_s", "torcula_s", "status"), [(12.0, 8.0, "sss"), (8.0, 12.0, "torcula"), (12.0, 12.0, "both"), (8.0, 8.0, "none")]
)
def test_a_sinus_with_tmax_12_s_is_positive_and_one_with_8_s_is_negative(sss_s: float, torcula_s: float, status: str) -> None:
    pvt = venous_transit(sinus_head(sss_s, torcula_s)[0], AFFINE)
    assert (pvt["status"], pvt["assessable"]) == (status, True)
    assert (pvt["sss_tmax_s"], pvt["torcula_tmax_s"], pvt["threshold_s"]) == (sss_s, torcula_s, 10.0)


def test_a_small_late_part_of_the_sinus_is_enough() -> None:
    arrays, sinus = sinus_head(8.0, 8.0)
    voxels = np.argwhere(sinus["sss"])[:2]  # 2 x 0.072 mL
    arrays["tmax"][tuple(voxels.T)] = 11.0
    assert venous_transit(arrays, AFFINE)["status"] == "sss"


def test_a_slab_without_its_posterior_part_is_not_assessable() -> None:
    arrays, _ = sinus_head(12.0, 12.0)
    pvt = venous_transit({key: value[:, :40] for key, value in arrays.items()}, AFFINE)
    assert (pvt["status"], pvt["assessable"], pvt["sss_tmax_s"]) == ("not assessable", False, None)
    assert "posterior surface" in pvt["reasons"]["sss"]


def test_a_slab_without_veins_is_not_assessable() -> None:
    arrays, sinus = sinus_head(12.0, 12.0)
    arrays["cbv"][sinus["sss"] | sinus["torcula"]] = 3.0
    assert venous_transit(arrays, AFFINE)["assessable"] is False


def test_a_thin_slab_shows_the_sagittal_sinus_only() -> None:
    arrays, _ = sinus_head(12.0, 12.0)
    affine = AFFINE.copy()
    affine[2, 3] += 7 * 8.0
    pvt = venous_transit({key: value[:, :, 7:11] for key, value in arrays.items()}, affine)
    assert pvt["status"] == "sss"
    assert "too thin" in pvt["reasons"]["torcula"]


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_rotating_or_flipping_the_image_does_not_change_the_answer(turns: int, flip: bool) -> None:
    arrays, _ = sinus_head(12.0, 8.0)
    index = np.stack([*np.indices(SHAPE), np.ones(SHAPE)], axis=-1)
    places = index @ AFFINE.T
    stored = {key: np.rot90(value, turns, axes=(0, 1)) for key, value in arrays.items()}
    places = np.rot90(places, turns, axes=(0, 1))
    if flip:
        stored, places = {key: value[:, :, ::-1] for key, value in stored.items()}, places[:, :, ::-1]
    affine = np.eye(4)
    affine[:, 3] = places[0, 0, 0]
    for axis, neighbor in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
        affine[:, axis] = places[neighbor] - places[0, 0, 0]
    assert venous_transit(stored, affine) == venous_transit(arrays, AFFINE)


def test_voxels_of_the_venous_curve_are_enough_to_find_the_sinus() -> None:
    arrays, sinus = sinus_head(12.0, 8.0)
    arrays["cbv"][:] = np.where(np.isfinite(arrays["cbv"]), 3.0, np.nan)
    t = np.arange(10.0)
    vof = InputFunction(t, t, np.argwhere(sinus["sss"])[:6], "vof")
    assert venous_transit(arrays, AFFINE)["assessable"] is False
    assert venous_transit(arrays, AFFINE, vof)["status"] == "sss"


def test_a_painted_region_wins() -> None:
    from dataclasses import replace

    arrays, sinus = sinus_head(8.0, 8.0)
    arrays["tmax"][30:34, 50:54, 8] = 15.0
    maps, lesions = lesion.segment(PerfusionMaps.from_arrays(arrays, AFFINE), midplane=PLANE)
    painted = np.zeros(SHAPE, bool)
    painted[30:34, 50:54, 8] = True
    edited = replace(lesions, extra={**lesions.extra, "sss": painted})
    assert lesion.metrics(maps, edited).values["pvt"]["sss_tmax_s"] == 15.0
    assert not sinus["sss"][painted].any()


def test_what_peaks_long_after_all_veins_is_no_sinus() -> None:
    arrays, sinus = sinus_head(8.0, 8.0)
    drifting = sinus["torcula"].copy()
    drifting[:, :, :2] = False  # the upper part of the torcula is the edge of moving bone
    arrays["tmax"][drifting] = 29.0
    t = np.arange(60.0)
    vof = InputFunction(t, np.exp(-((t - 18.0) ** 2) / 18.0), np.zeros((0, 3), int), "vof")
    assert venous_transit(arrays, AFFINE, vof)["status"] == "torcula"
    arrays["ttp"] = np.where(drifting, 55.0, 18.0)
    arrays["ttp"][sinus["sss"]] = 30.0  # a sinus that fills late is one all the same
    found = venous_transit(arrays, AFFINE, vof)
    assert (found["status"], found["torcula_tmax_s"], found["sss_tmax_s"]) == ("none", 8.0, 8.0)
