# SPDX-License-Identifier: Apache-2.0
"""Which voxels count: what the preparation found, or what finished maps show by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError, PerfusionMap, PerfusionMaps, TissueMasks
from PerfusionSuiteLib.core.quantities import QUANTITIES
from PerfusionSuiteLib.lesion.presets import find_preset
from PerfusionSuiteLib.lesion.tissue import counted_tissue

SHAPE = (40, 40, 5)
AFFINE = np.diag([-4.0, 4.0, 5.0, 1.0])
PRESET = find_preset("ct-perfusion-auto")


def maps_of(affine: np.ndarray = AFFINE, **values: Any) -> PerfusionMaps:
    arrays = {"tmax": 2.0, "cbf": 50.0, "cbv": 3.0} | values
    return PerfusionMaps.from_arrays(
        {key: np.broadcast_to(value, SHAPE).astype(np.float32) for key, value in arrays.items()}, affine
    )


def masks_of(**given: np.ndarray) -> TissueMasks:
    none = np.zeros(SHAPE, bool)
    return TissueMasks(**({"brain": ~none, "csf": none, "vessel": none, "bone": none} | given))


def at(*where: Any) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[where] = True
    return mask


def test_csf_vessels_and_bone_do_not_count() -> None:
    csf, vessel, bone = at(slice(18, 22), slice(18, 22)), at(25, 25), at(30, 20)
    cbv = np.where(vessel, 50.0, 3.0)
    counted = counted_tissue(maps_of(cbv=cbv), PRESET, masks=masks_of(csf=csf, vessel=vessel, bone=bone))
    np.testing.assert_array_equal(counted.tissue, ~(csf | vessel | bone))
    assert counted.removed_percent["csf"] == pytest.approx(100 * 16 * 5 / csf.size, abs=0.01)
    assert counted.removed_percent["vessel"] == pytest.approx(100 * 5 / csf.size, abs=0.01)
    np.testing.assert_array_equal(counted.removed["csf"], csf)


@pytest.mark.parametrize("voxel_mm", [4.0, 1.0, 0.45])
def test_cortex_beside_fluid_and_bone_counts_on_every_grid(voxel_mm: float) -> None:
    csf, bone = at(slice(18, 22), slice(18, 22)), at(30, slice(None))
    affine = np.diag([-voxel_mm, voxel_mm, 5.0, 1.0])
    tissue = counted_tissue(maps_of(affine), PRESET, masks=masks_of(csf=csf, bone=bone)).tissue
    assert tissue[[17, 22], 20].all()
    assert tissue[[29, 31], 20].all()


def test_a_small_vessel_that_the_preparation_left_in_stays() -> None:
    cbv = np.full(SHAPE, 3.0)
    cbv[10, 10] = 9.0  # 6 % of the voxel are vessel: cortex with an artery of 1 mm
    assert counted_tissue(maps_of(cbv=cbv), PRESET, masks=masks_of()).tissue.all()


def test_cortex_through_which_a_small_vessel_runs_counts_and_vessels_do_not() -> None:
    cbv = np.full(SHAPE, 3.0)
    cbv[10:12, 10], cbv[12:14, 10] = 9.0, 40.0
    vessel, bone = at(slice(10, 14), 10), at(0)
    tissue = counted_tissue(maps_of(cbv=cbv), PRESET, masks=masks_of(vessel=vessel, bone=bone)).tissue
    assert tissue[10:12, 10].all()
    assert not tissue[12:14, 10].any()
    of_mr = counted_tissue(maps_of(cbv=cbv), PRESET, masks=masks_of(vessel=vessel)).tissue
    assert not of_mr[10:14, 10].any()  # large vessels change the signal of MR by less than their share


def test_finished_maps_without_masks_lose_blood_and_the_rim_of_dark_fluid() -> None:
    cbv = np.full(SHAPE, 3.0)
    cbv[10, 10] = 9.0
    density = np.full(SHAPE, 33.0, np.float32)
    density[20:24, 20:24] = 5.0
    for voxel_mm, rim in ((1.0, False), (4.0, True)):
        maps = maps_of(np.diag([-voxel_mm, voxel_mm, 5.0, 1.0]), cbv=cbv)
        maps = maps.added(PerfusionMap(density, maps.affine, QUANTITIES["baseline"]))
        tissue = counted_tissue(maps, PRESET).tissue
        assert not tissue[10, 10].any()
        assert not tissue[21:23, 21:23, 2].any()
        assert tissue[24, 21, 2] == rim  # on a coarse grid a margin of one voxel would take the cortex


def test_voxels_without_a_map_do_not_count() -> None:
    tmax = np.full(SHAPE, 2.0)
    tmax[:, 5] = np.nan
    counted = counted_tissue(maps_of(tmax=tmax), PRESET, masks=masks_of())
    assert counted.removed_percent["not_computed"] == pytest.approx(2.5)
    assert not counted.tissue[:, 5].any()


def test_no_tissue_at_all_is_an_error_and_little_is_a_finding() -> None:
    with pytest.raises(InvalidInputError, match="No voxel of the maps counts as brain tissue"):
        counted_tissue(maps_of(), PRESET, masks=masks_of(bone=at(...)))
    counted = counted_tissue(maps_of(), PRESET, masks=masks_of(csf=at(slice(0, 30))))
    assert [finding.code for finding in counted.findings] == ["little_tissue"]
