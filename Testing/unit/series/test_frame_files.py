# SPDX-License-Identifier: Apache-2.0
"""A folder with one 3D file per frame is one series."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import InvalidInputError, PerfusionSeries, TimingError


def sidecar(path: Path, **fields: object) -> None:
    """Write the JSON file of a NIfTI file."""
    path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json").write_text(json.dumps(fields))


def write(folder: Path, head: PerfusionSeries, name: str = "frame{}.nii.gz") -> None:
    for t in range(14):
        image = sitk.GetImageFromArray(head.data[..., t].T.astype(np.int16))
        image.SetSpacing([0.9, 1.1, 5.0])
        image.SetOrigin([-10.8, -11.25, -31.5])
        sitk.WriteImage(image, str(folder / name.format(t + 1)))


@pytest.mark.parametrize("name", ["frame{}.nii.gz", "frame{}.nii", "vol {} of 14.nrrd"])
def test_numbered_files_are_frames_in_the_order_of_their_numbers(tmp_path: Path, head: PerfusionSeries, name: str) -> None:
    write(tmp_path, head, name)
    with pytest.raises(TimingError, match="one file per frame but no frame times.*--interval 1.5"):
        series.read(tmp_path)
    found = series.read(tmp_path, interval_s=2.0)
    np.testing.assert_array_equal(found.data, head.data)
    np.testing.assert_allclose(found.affine, head.affine, atol=1e-4)
    np.testing.assert_allclose(found.times_s, head.times_s)
    assert any("14 files were taken as frames" in sentence for sentence in found.source.decisions)


def test_their_sidecars_give_the_times(tmp_path: Path, head: PerfusionSeries) -> None:
    write(tmp_path, head)
    for t in range(14):
        text = f"23:59:{50 + 2 * t}.5" if t < 5 else f"00:00:{2 * t - 10:02d}.5"
        sidecar(tmp_path / f"frame{t + 1}.nii.gz", AcquisitionTime=text, Modality="CT")
    found = series.read(tmp_path)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert found.acquisition.time_source == "AcquisitionTime of the JSON sidecars"


def test_their_sidecars_give_the_echo_time_of_an_mr_scan(tmp_path: Path, head: PerfusionSeries) -> None:
    write(tmp_path, head)
    for t in range(14):
        sidecar(tmp_path / f"frame{t + 1}.nii.gz", AcquisitionTime=f"10:00:{2 * t:02d}", Modality="MR", EchoTime=0.03)
    found = series.read(tmp_path)
    assert found.modality == "dsc"
    assert found.acquisition.echo_times_s == (0.03,)


def test_a_given_interval_that_their_sidecars_contradict_is_told(tmp_path: Path, head: PerfusionSeries) -> None:
    write(tmp_path, head)
    for t in range(14):
        sidecar(tmp_path / f"frame{t + 1}.nii.gz", AcquisitionTime=f"10:00:{2 * t:02d}", Modality="CT")
    found = series.read(tmp_path, interval_s=1.0)
    np.testing.assert_allclose(found.times_s, head.times_s, atol=1e-6)
    assert [finding.code for finding in found.source.findings] == ["interval_differs"]


def test_a_frame_that_lies_elsewhere_is_refused(tmp_path: Path, head: PerfusionSeries) -> None:
    write(tmp_path, head)
    image = sitk.ReadImage(str(tmp_path / "frame7.nii.gz"))
    image.SetOrigin([0.0, 0.0, 0.0])
    sitk.WriteImage(image, str(tmp_path / "frame7.nii.gz"))
    with pytest.raises(InvalidInputError, match=r"frame7\.nii\.gz' lies up to"):
        series.read(tmp_path, interval_s=2.0)


def test_a_few_volumes_are_no_series(tmp_path: Path, head: PerfusionSeries) -> None:
    write(tmp_path, head)
    for t in range(5, 15):
        (tmp_path / f"frame{t}.nii.gz").unlink()
    with pytest.raises(InvalidInputError, match="3D and has no time axis"):
        series.read(tmp_path, interval_s=2.0)
