# SPDX-License-Identifier: Apache-2.0
"""What the user knows better than the program: side, plane, sinuses; and the indices that rest on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import lesion
from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps
from PerfusionSuiteLib.lesion import edited_preset

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])
PLANE = (1.0, 0.0, 0.0, -39.0)
OPEN = edited_preset("ct-perfusion-auto", {"min_cluster_ml": 0, "thin_mm": 0})
SHAPE = (40, 40, 12)


def both_sides_late() -> PerfusionMaps:
    """A large lesion at small x (the patient's right) and a small one at large x."""
    x, y, _ = np.indices(SHAPE)
    late = (x < 8) | ((x >= 36) & (y < 20))
    arrays = {
        "tmax": np.where(late, 9.0, 2.0),
        "cbf": np.where(late, 10.0, np.where(x < 20, 40.0, 60.0)),
        "cbv": np.where(late, 3.0, np.where(x < 20, 3.5, 4.0)),
        "delay": np.where(late, 5.0, 1.0),
    }
    return PerfusionMaps.from_arrays(arrays, AFFINE)


def test_the_affected_side_can_be_told() -> None:
    maps, found = lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE)
    assert (found.side, lesion.metrics(maps, found).values["reference"]["side"]) == ("right", "left")
    maps, told = lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE, side="left")
    numbers = lesion.metrics(maps, told).values
    assert (told.side, numbers["reference"]["side"], numbers["affected_side_from"]) == ("left", "right", "manual")
    assert numbers["reference"]["cbf"] == pytest.approx(40.0)
    _, both = lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE, side="bilateral")
    assert both.thresholds["reference_region"] == "global"
    assert "bilateral" not in {f.code for f in both.findings}  # the user said it; it is no surprise
    with pytest.raises(InvalidInputError, match="no affected side"):
        lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE, side="top")


def test_blood_volume_of_hypoperfused_tissue_is_given_relative_to_normal_tissue() -> None:
    maps, found = lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE)
    assert lesion.metrics(maps, found).values["rcbv_hypoperfusion_percent"] == pytest.approx(75.0)


def test_the_collateral_index_is_the_late_volume_times_its_relative_blood_volume() -> None:
    maps, found = lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE)
    numbers = lesion.metrics(maps, found).values
    volume = (8 * 40 + 4 * 20) * 12 * 0.02
    assert numbers["collateral_index_ml"] == pytest.approx(0.75 * volume)
    assert numbers["collateral_index"]["volume_ml"] == pytest.approx(volume)


def test_indices_without_their_maps_say_what_is_missing() -> None:
    maps = PerfusionMaps({key: item for key, item in both_sides_late().items() if key in ("tmax", "cbf")})
    numbers = lesion.metrics(*lesion.segment(maps, preset=OPEN, midplane=PLANE))
    for key in ("rcbv_hypoperfusion_percent", "collateral_index_ml", "corrected_cbv_index"):
        assert numbers.values[key] is None
        assert "no CBV map" in numbers.notes[key]


def test_a_drawn_sinus_replaces_the_one_that_is_found_and_is_kept() -> None:
    arrays = {key: item.values.copy() for key, item in both_sides_late().items()}
    drawn = np.zeros(SHAPE, bool)
    drawn[18:22, 36:39, 4:8] = True
    arrays["tmax"][drawn] = 11.0
    maps = PerfusionMaps.from_arrays(arrays, AFFINE)
    maps, found = lesion.segment(maps, preset=OPEN, midplane=PLANE, sss=drawn)
    pvt = lesion.metrics(maps, found).values["pvt"]
    assert (pvt["status"], pvt["sss_tmax_s"], pvt["sss_voxels"]) == ("sss", 11.0, int(drawn.sum()))
    assert pvt["regions_from"] == {"sss": "mask"}
    assert (found.extra["sss"] == drawn).all()


def test_of_a_generous_region_only_the_vessels_count() -> None:
    arrays = {key: item.values.copy() for key, item in both_sides_late().items()}
    vein, drawn = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    vein[19:21, 37:39, 2:10] = True
    drawn[15:25, 33:40, 2:10] = True
    arrays["tmax"][vein], arrays["cbv"][vein] = 12.0, 30.0
    maps, found = lesion.segment(PerfusionMaps.from_arrays(arrays, AFFINE), preset=OPEN, midplane=PLANE, torcula=drawn)
    pvt = lesion.metrics(maps, found).values["pvt"]
    assert (pvt["torcula_tmax_s"], pvt["torcula_voxels"]) == (12.0, int(vein.sum()))


def test_an_emptied_region_is_not_assessable() -> None:
    maps, found = lesion.segment(both_sides_late(), preset=OPEN, midplane=PLANE)
    emptied = replace(found, extra={**found.extra, "sss": np.zeros(SHAPE, bool)})
    assert "empty" in lesion.metrics(maps, emptied).values["pvt"]["reasons"]["sss"]
