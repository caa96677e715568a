# SPDX-License-Identifier: Apache-2.0
"""Signal to tracer curves: baseline, units, and what becomes of the interval in the header."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError, TimingError
from PerfusionSuiteLib.core.nifti_like import source_header
from PerfusionSuiteLib.hemopic.tracer import (
    TracerChoices,
    baseline_end,
    convert_file,
    mean_signal,
    times_of_sidecar,
    tracer_curves,
)

DROP = [100, 101, 99, 100, 100, 98, 90, 70, 60, 80, 95, 97]


def a_series(values: list[float]) -> np.ndarray:
    return np.tile(np.array(values, np.float32), (3, 4, 2, 1))


def a_file(path: Path, *, five_axes: bool = False, spacings: tuple[float, ...] | None = None) -> Path:
    data = a_series(DROP).astype(np.int16)
    image = nibabel.Nifti1Image(data[..., None, :] if five_axes else data, np.diag([2.0, 2.0, 5.0, 1.0]))
    if spacings:
        image.header.set_zooms(spacings)
    nibabel.save(image, path)
    return path


class TestBaselineEnd:
    @pytest.mark.parametrize(
        ("mean", "end"),
        [
            (DROP, 4),
            ([130, 101, 100, 100, 99, 80, 60, 80, 95], 1),
            ([100] * 6, 4),
            ([100 - n for n in range(10)], 7),
            ([100, 50], 1),
            ([100, 100], 1),
        ],
    )
    def test_checked_examples(self, mean: list[float], end: int) -> None:
        assert baseline_end(np.array(mean, float)) == end

    def test_air_counts(self) -> None:
        """A drop of half the signal in the brain goes unnoticed in a large field of view: as published."""
        series = np.ones((10, 10, 1, 8), np.float32)
        series[:3, :3, 0] = 10.0
        series[:3, :3, 0, 5] = 9.0
        assert baseline_end(mean_signal(series)) == 6


class TestCurves:
    def test_checked_example(self) -> None:
        curves, end, peak = tracer_curves(a_series(DROP), echo_time_s=0.03)
        assert (end, peak, curves.dtype) == (4, 8, np.float32)
        np.testing.assert_allclose(curves[..., 8], 17.0275, atol=5e-5)

    def test_negative_values_are_kept(self) -> None:
        curves, _, _ = tracer_curves(a_series(DROP))
        assert (curves[..., 1] < 0).all()

    def test_a_five_dimensional_series_is_the_same_as_a_four_dimensional_one(self) -> None:
        series = a_series(DROP)
        np.testing.assert_array_equal(tracer_curves(series[..., None, :])[0], tracer_curves(series)[0])

    def test_missing_and_tiny_samples_count_as_one(self) -> None:
        series = a_series(DROP)
        series[0, 0, 0, 8], series[1, 0, 0, 8], series[2, 0, 0, 8] = np.nan, -5.0, 1.0
        curves, _, _ = tracer_curves(series)
        np.testing.assert_allclose(curves[:3, 0, 0, 8], np.log(100.0) / 0.03, rtol=1e-6)

    def test_scaling_the_signal_does_not_change_the_curves(self) -> None:
        np.testing.assert_allclose(tracer_curves(7.0 * a_series(DROP))[0], tracer_curves(a_series(DROP))[0], rtol=1e-5, atol=1e-4)

    def test_one_frame_is_refused(self) -> None:
        with pytest.raises(TimingError, match="single frame"):
            tracer_curves(np.ones((3, 3, 2, 1)))

    @pytest.mark.parametrize("shape", [(3, 3, 2), (3, 3, 2, 2, 5)])
    def test_other_axes_are_refused(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(GridMismatchError, match="shape"):
            tracer_curves(np.ones(shape))

    @pytest.mark.parametrize("te", [0.0, -0.03, 30.0, np.nan])
    def test_an_echo_time_in_milliseconds_is_refused(self, te: float) -> None:
        with pytest.raises(InvalidInputError, match="echo time"):
            TracerChoices(echo_time_s=te)


class TestFiles:
    def test_a_header_of_four_axes_gets_the_interval(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii", spacings=(2.0, 2.0, 5.0, 1.9))
        done = convert_file(source, TracerChoices())
        image = nibabel.load(done.path)
        assert done.path.name == "CTC_from_MR_4DPWI.nii"
        assert image.header.get_zooms() == (2.0, 2.0, 5.0, 1.0)
        assert done.stored_interval_s == 1.0
        assert "names an interval of 1.9, which the published default ignores" in done.note
        np.testing.assert_allclose(image.get_fdata()[..., 8], 17.0275, atol=5e-5)

    def test_a_header_of_five_axes_keeps_its_fourth_spacing_as_in_the_published_program(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii.gz", five_axes=True, spacings=(2.0, 2.0, 5.0, 2.5, 1.0))
        done = convert_file(source, TracerChoices(interval_s=1.5))
        assert nibabel.load(done.path).shape == (3, 4, 2, 12)
        assert nibabel.load(done.path).header.get_zooms()[3] == 2.5
        assert done.stored_interval_s == 2.5
        assert "2.5 s was saved" in done.note

    def test_this_is_what_the_library_behind_the_published_program_does(self) -> None:
        image = nibabel.Nifti1Image(np.zeros((3, 4, 2, 1, 12), np.int16), np.eye(4))
        image.header.set_zooms((2.0, 2.0, 5.0, 2.5, 1.0))
        header = image.header.copy()
        with pytest.raises(nibabel.spatialimages.HeaderDataError):
            header.set_zooms((2.0, 2.0, 5.0, 1.5))
        saved = nibabel.Nifti1Image(np.zeros((3, 4, 2, 12), np.float32), image.affine, header)
        assert saved.header.get_zooms()[3] == 2.5

    def test_the_interval_can_be_stored_all_the_same(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii", five_axes=True)
        done = convert_file(source, TracerChoices(interval_s=1.5, always_store=True))
        assert nibabel.load(done.path).header.get_zooms()[3] == 1.5

    def test_place_and_codes_are_those_of_the_series(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii")
        image = nibabel.load(source)
        image.header["descrip"] = b"Jane Doe"
        image.set_qform(image.affine, 1)
        image.set_sform(image.affine, 4)
        nibabel.save(image, source)
        done = nibabel.load(convert_file(source, TracerChoices()).path)
        np.testing.assert_array_equal(done.affine, image.affine)
        assert (int(done.header["qform_code"]), int(done.header["sform_code"])) == (1, 4)
        assert bytes(done.header["descrip"]).strip(b"\0") == b""

    def test_a_big_endian_series_is_read(self, tmp_path: Path) -> None:
        image = nibabel.Nifti1Image(a_series(DROP), np.eye(4)).as_reoriented(np.array([[0, 1], [1, 1], [2, 1]]))
        swapped = nibabel.Nifti1Image(image.get_fdata().astype(">f4"), image.affine, image.header.as_byteswapped(">"))
        nibabel.save(swapped, tmp_path / "MR_4DPWI.nii")
        done = convert_file(tmp_path / "MR_4DPWI.nii", TracerChoices())
        np.testing.assert_allclose(nibabel.load(done.path).get_fdata()[..., 8], 17.0275, atol=5e-5)
        assert source_header(done.path).spacings == (1.0, 1.0, 1.0, 1.0)

    def test_an_existing_file_is_kept_unless_asked(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii")
        first = convert_file(source, TracerChoices())
        assert convert_file(source, TracerChoices(echo_time_s=0.05)) is None
        assert convert_file(source, TracerChoices(echo_time_s=0.05), overwrite=True).path == first.path

    def test_a_file_of_one_frame_is_refused(self, tmp_path: Path) -> None:
        nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 2, 1), np.float32), np.eye(4)), tmp_path / "MR_4DPWI.nii")
        with pytest.raises(TimingError, match="single frame"):
            convert_file(tmp_path / "MR_4DPWI.nii", TracerChoices())

    def test_a_baseline_that_takes_in_the_bolus_is_told(self, tmp_path: Path) -> None:
        done = convert_file(a_file(tmp_path / "MR_4DPWI.nii"), TracerChoices(change=0.9))
        assert "baseline takes in the bolus" in done.note


class TestSidecar:
    def test_echo_time_and_interval_come_from_the_scan(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii", five_axes=True)
        source.with_suffix(".json").write_text(json.dumps({"EchoTime": 0.025, "RepetitionTime": 1.55}))
        choices = times_of_sidecar(source, TracerChoices())
        assert (choices.echo_time_s, choices.interval_s) == (0.025, 1.55)
        assert nibabel.load(convert_file(source, choices).path).header.get_zooms()[3] == pytest.approx(1.55)

    def test_frame_times_win_over_the_repetition_time(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii")
        source.with_suffix(".json").write_text(json.dumps({"EchoTime": 0.025, "RepetitionTime": 1, "VolumeTiming": [0, 2, 4]}))
        assert times_of_sidecar(source, TracerChoices()).interval_s == 2.0

    def test_a_given_time_wins_over_the_file_and_may_be_missing_there(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii")
        source.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 1.5}))
        choices = times_of_sidecar(source, TracerChoices(), echo_time_s=0.04)
        assert (choices.echo_time_s, choices.interval_s) == (0.04, 1.5)
        assert "echo time as given" in choices.origin

    def test_uneven_frames_are_refused(self, tmp_path: Path) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii")
        source.with_suffix(".json").write_text(json.dumps({"EchoTime": 0.025, "VolumeTiming": [0, 1, 3, 7]}))
        with pytest.raises(TimingError, match="not evenly spaced"):
            times_of_sidecar(source, TracerChoices())

    @pytest.mark.parametrize(
        ("content", "words"),
        [(None, "no JSON file"), ({"RepetitionTime": 1.5}, "no EchoTime"), ({"EchoTime": 0.03}, "RepetitionTime")],
    )
    def test_what_is_missing_is_named(self, tmp_path: Path, content: dict[str, float] | None, words: str) -> None:
        source = a_file(tmp_path / "MR_4DPWI.nii")
        if content is not None:
            source.with_suffix(".json").write_text(json.dumps(content))
        with pytest.raises(InvalidInputError, match=words):
            times_of_sidecar(source, TracerChoices())
