# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from PerfusionSuiteLib.core import (
    QUANTITIES,
    Concentration,
    GridMismatchError,
    InputFunction,
    InvalidInputError,
    PerfusionMap,
    PerfusionMaps,
)
from PerfusionSuiteLib.core.colors import color_table
from PerfusionSuiteLib.core.constants import HEMATOCRIT_FACTOR, flow_factor
from PerfusionSuiteLib.core.quantities import unit_of


def test_a_flow_of_one_percent_per_second_is_the_published_value():
    # neural-fields.md section 1: F = 0.01 /s is 41.90 mL/100 g/min with density 1.05 and 0.55/0.75
    assert 0.01 * flow_factor() == pytest.approx(41.90, abs=0.01)
    assert HEMATOCRIT_FACTOR == pytest.approx(0.7333, abs=1e-4)


def test_units_say_per_volume_when_density_is_one():
    assert unit_of("cbf", 1.0) == "mL/100mL/min"
    assert unit_of("cbf", 1.05) == "mL/100g/min"
    assert unit_of("tmax", 1.0) == "s"


def test_maps_of_different_grids_cannot_be_mixed():
    first = PerfusionMap(np.zeros((2, 2, 2)), np.eye(4), QUANTITIES["cbf"])
    second = PerfusionMap(np.zeros((2, 2, 3)), np.eye(4), QUANTITIES["cbv"])
    with pytest.raises(GridMismatchError, match="one grid"):
        PerfusionMaps([first, second])


def test_added_maps_replace_those_of_the_same_quantity():
    maps = PerfusionMaps.from_arrays({"cbf": np.zeros((2, 2, 2)), "cbv": np.zeros((2, 2, 2))}, np.eye(4))
    more = maps.added(PerfusionMap(np.ones((2, 2, 2)), np.eye(4), QUANTITIES["cbf"]))
    assert sorted(more) == ["cbf", "cbv"]
    assert more["cbf"].values.all()
    assert not maps["cbf"].values.any()


def test_concentration_parts_must_fit():
    with pytest.raises(GridMismatchError, match="do not fit"):
        Concentration(
            np.zeros((2, 2, 2, 3), np.float32),
            np.eye(4),
            np.arange(3.0),
            np.ones((2, 2, 1), bool),
            np.zeros((2, 2, 2), np.float32),
        )


def test_a_curve_with_gaps_is_refused():
    with pytest.raises(InvalidInputError, match="AIF has missing values"):
        InputFunction(np.arange(3.0), np.array([0.0, np.nan, 1.0]))


@pytest.mark.parametrize("name", ["perfusion", "delay", "grey"])
def test_color_tables_start_black_and_stay_in_range(name):
    table = color_table(name)
    assert table.shape == (256, 3)
    assert not table[0].any()
    assert table.min() >= 0
    assert table.max() <= 1
