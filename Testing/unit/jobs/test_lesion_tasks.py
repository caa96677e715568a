# SPDX-License-Identifier: Apache-2.0
"""What a worker does with lesions besides finding them."""

from types import SimpleNamespace

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError, PerfusionMaps, no_progress
from PerfusionSuiteLib.jobs import JobSpec
from PerfusionSuiteLib.jobs.tasks import find_task

REPORT = SimpleNamespace(progress=no_progress, finding=lambda finding: None)
AFFINE = np.array([[4.0, 0, 0, -38], [0, 4.0, 0, -38], [0, 0, 10.0, 0], [0, 0, 0, 1]])


@pytest.fixture
def maps():
    """Return maps of a round brain whose right half is late in a block."""
    x, y = np.meshgrid(np.arange(20) - 9.5, np.arange(20) - 9.5, indexing="ij")
    brain = np.repeat((np.hypot(x, y) < 9)[..., None], 3, axis=2)
    tmax, cbf, cbv = (np.where(brain, value, np.nan).astype(np.float32) for value in (2.0, 50.0, 3.0))
    tmax[12:17, 7:13] = 9.0
    cbf[14:17, 8:12] = 8.0
    return PerfusionMaps.from_arrays({"tmax": tmax, "cbf": cbf, "cbv": cbv}, AFFINE)


def spec(maps, output=None, **settings):
    return JobSpec("segment", settings, {"maps": maps, "midplane": np.array([1.0, 0.0, 0.0, 0.0])}, output)


def test_all_maps_are_written_when_they_are_asked_for(maps, tmp_path):
    find_task("segment")(spec(maps, tmp_path / "few"), REPORT)
    find_task("segment")(spec(maps, tmp_path / "all", all_maps=True), REPORT)
    assert not (tmp_path / "few" / "tmax.nii.gz").exists()
    assert {"tmax.nii.gz", "cbf.nii.gz", "rcbf.nii.gz", "metrics.json"} <= {p.name for p in (tmp_path / "all").iterdir()}


def test_dicom_objects_can_be_written_alone_and_carry_no_identity_by_default(maps, tmp_path):
    import pydicom

    find_task("segment")(spec(maps, tmp_path, files=False, dicom={}, case_id="case-1"), REPORT)
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]
    header = pydicom.dcmread(tmp_path / "dicom" / "segmentation.dcm", stop_before_pixels=True)
    assert header.Modality == "SEG"
    assert header.PatientIdentityRemoved == "YES"
    assert header.PatientBirthDate in ("", None)


def test_an_unknown_choice_for_dicom_objects_is_refused(maps, tmp_path):
    with pytest.raises(InvalidInputError, match="no choice 'sources'"):
        find_task("segment")(spec(maps, tmp_path, dicom={"sources": "x"}), REPORT)
    assert list(tmp_path.iterdir()) == []


def test_statistics_need_regions(maps):
    job = JobSpec("region-statistics", {}, {"images": {"CBF": maps["cbf"].values}, "regions": {}, "affine": AFFINE})
    with pytest.raises(InvalidInputError, match="no maps or no regions"):
        find_task("region-statistics")(job, REPORT)


def test_statistics_are_rows_of_plain_numbers(maps):
    region = maps["tmax"].values > 8
    inputs = {"images": {"CBF": maps["cbf"].values}, "regions": {"late": region}, "affine": AFFINE, "midplane": [1, 0, 0, 0]}
    rows = find_task("region-statistics")(JobSpec("region-statistics", {}, inputs), REPORT)["rows"]
    assert rows[0]["mirror_mean"] == pytest.approx(50.0)
    assert rows[0]["volume_ml"] == pytest.approx(region.sum() * 0.16)
