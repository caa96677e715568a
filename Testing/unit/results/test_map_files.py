# SPDX-License-Identifier: Apache-2.0
"""Finished maps are found under many names and read in any orientation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError, Study
from PerfusionSuiteLib.results import holds_maps, read_finished_maps, read_on_grid

AFFINE = np.array([[-2.0, 0, 0, 30.0], [0, -2.0, 0, 20.0], [0, 0, 5.0, -10.0], [0, 0, 0, 1]])
SHAPE = (8, 6, 4)


def store(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    return results.write_volume(path, values.astype(np.float32), affine)


def numbered() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def turned(values: np.ndarray, order: tuple[int, int, int], flips: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels in another order of storage, with the affine that says so."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for new, old in enumerate(order):
        matrix[old, new] = -1.0 if new in flips else 1.0
        matrix[old, 3] = values.shape[old] - 1.0 if new in flips else 0.0
    moved = values.transpose(order)
    for axis in flips:
        moved = np.flip(moved, axis)
    return moved, AFFINE @ matrix


@pytest.mark.parametrize(
    "names",
    [
        ("tmax.nii.gz", "cbf.nii.gz"),
        ("tmax.nii", "cbf.nii"),
        ("sub-01_desc-perfusion_tmax.nii.gz", "sub-01_desc-perfusion_cbf.nii.gz"),
        ("case_Tmax.nii.gz", "case_CBF.nii.gz"),
        ("sub-01/perf/sub-01_desc-perfusion_tmax.nii.gz", "sub-01/perf/sub-01_desc-perfusion_cbf.nii.gz"),
        ("sub-01/ses-1/perf/sub-01_ses-1_tmax.nii.gz", "sub-01/ses-1/perf/sub-01_ses-1_cbf.nii.gz"),
    ],
)
def test_maps_are_found_under_flat_bids_and_other_names(tmp_path: Path, names: tuple[str, str]) -> None:
    for name, value in zip(names, (4.0, 50.0), strict=True):
        store(tmp_path / name, np.full(SHAPE, value))
    assert holds_maps(tmp_path)
    found = read_finished_maps(tmp_path)
    assert {key: float(item.values[0, 0, 0]) for key, item in found.maps.items()} == {"tmax": 4.0, "cbf": 50.0}
    assert (found.masks, found.aif, found.method) == (None, None, "")
    assert found.case_id == ("sub-01" if "sub-01" in names[0] else tmp_path.name)


def test_a_folder_that_a_run_wrote_brings_its_masks_curves_and_facts(a_study: Study, tmp_path: Path) -> None:
    for layout in ("flat", "bids"):
        results.write(a_study, tmp_path / layout, layout=layout, pictures=False, report=False)
        found = read_finished_maps(tmp_path / layout)
        assert found.masks is not None
        assert (found.masks.csf == a_study.masks.csf).all()
        assert found.aif is not None
        np.testing.assert_array_equal(found.aif.voxels, a_study.aif.voxels)
        np.testing.assert_allclose(found.aif.values, a_study.aif.values, rtol=1e-5, atol=1e-4)
        assert set(found.maps) >= {"tmax", "cbf", "cbv", "mtt", "delay", "baseline"}


def test_how_the_maps_were_made_is_read_from_the_metrics(tmp_path: Path) -> None:
    store(tmp_path / "tmax.nii.gz", numbered())
    facts = {"method": {"name": "osvd"}, "case_id": "case-5", "acquisition": {"modality": "dsc"}}
    (tmp_path / "metrics.json").write_text(json.dumps(facts))
    found = read_finished_maps(tmp_path)
    assert (found.method, found.case_id, found.modality) == ("osvd", "case-5", "dsc")


def test_a_named_file_wins_and_the_tmax_map_itself_is_enough(tmp_path: Path) -> None:
    store(tmp_path / "tmax.nii.gz", np.full(SHAPE, 3.0))
    store(tmp_path / "cbf.nii.gz", np.full(SHAPE, 40.0))
    other = store(tmp_path / "elsewhere" / "flow_v2.nii.gz", np.full(SHAPE, 60.0))
    assert read_finished_maps(tmp_path, named={"cbf": other, "cbv": None}).maps["cbf"].values.max() == 60.0
    assert set(read_finished_maps(tmp_path / "tmax.nii.gz").maps) == {"tmax", "cbf"}
    odd = store(tmp_path / "elsewhere" / "delay_of_the_maximum.nii.gz", np.full(SHAPE, 7.0))
    assert read_finished_maps(tmp_path / "elsewhere", named={"tmax": odd, "cbf": other}).maps["tmax"].values.max() == 7.0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_orientation_of_a_file_does_not_matter(tmp_path: Path, order: tuple[int, int, int], flips: tuple[int, ...]) -> None:
    path = store(tmp_path / "cbf.nii.gz", *turned(numbered(), order, flips))
    np.testing.assert_array_equal(read_on_grid(path, "map", SHAPE, AFFINE), numbered())


def test_a_map_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    store(tmp_path / "tmax.nii.gz", numbered())
    shifted = AFFINE.copy()
    shifted[0, 3] += 1.0
    store(tmp_path / "cbf.nii.gz", numbered(), shifted)
    with pytest.raises(GridMismatchError, match="CBF map 'cbf.nii.gz' lies up to 1.00 mm away"):
        read_finished_maps(tmp_path)


def test_two_cases_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02"):
        store(tmp_path / f"{subject}_tmax.nii.gz", numbered())
        store(tmp_path / f"{subject}_cbf.nii.gz", np.full(SHAPE, float(subject[-1])))
    with pytest.raises(InvalidInputError, match="more than one case"):
        read_finished_maps(tmp_path)
    assert read_finished_maps(tmp_path / "sub-02_tmax.nii.gz").maps["cbf"].values.max() == 2.0


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="neither a folder"):
        read_finished_maps(tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match=r"no tmax\.nii\.gz"):
        read_finished_maps(tmp_path)
    store(tmp_path / "tmax.nii.gz", np.zeros((*SHAPE, 3)))
    with pytest.raises(InvalidInputError, match="has 4 dimensions"):
        read_finished_maps(tmp_path)
    assert not holds_maps(tmp_path / "nothing")
