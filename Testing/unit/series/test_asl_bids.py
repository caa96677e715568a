# SPDX-License-Identifier: Apache-2.0
"""ASL scans in BIDS: every kind of M0 and labeling comes back as written, and what is wrong is said in one sentence."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import AslSeries, GridMismatchError, InvalidInputError
from PerfusionSuiteLib.core.nifti import read_volume, write_volume
from PerfusionSuiteLib.phantom import write_asl_bids

from .asl_scans import AFFINE, asl_scan


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return the folder of a written subject with two delays and a separate M0."""
    return write_asl_bids(asl_scan(), tmp_path / "data", subject="01")


def edit(subject: Path, name: str = "asl", **fields: Any) -> None:
    """Change fields of a sidecar; None removes one."""
    path = subject / "perf" / f"{subject.name}_{name}.json"
    content = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def context(subject: Path, *kinds: str) -> None:
    """Rewrite aslcontext.tsv."""
    (subject / "perf" / f"{subject.name}_aslcontext.tsv").write_text("\n".join(["volume_type", *kinds]) + "\n")


SCANS = {
    "pcasl": {},
    "pasl 2d": {"labeling": "pasl", "delays": (1.8,), "duration": 0.7, "slices_s": 0.04},
    "casl": {"labeling": "casl", "delays": (1.0,), "duration": 2.0},
    "m0 included": {"m0": "included"},
    "m0 estimate": {"m0": "estimate"},
    "m0 absent": {"m0": "absent", "pulses": 0},
    "deltam": {"content": "deltam"},
}


class TestRoundTrip:
    @pytest.mark.parametrize("kind", SCANS)
    def test_scans_come_back_as_written(self, kind: str, tmp_path: Path) -> None:
        scan = asl_scan(**SCANS[kind])
        found = series.read(write_asl_bids(scan, tmp_path, subject="07"), modality="asl")
        assert isinstance(found, AslSeries)
        assert found.volume_types == scan.volume_types
        assert np.array_equal(found.data, scan.data)
        assert np.allclose(found.affine, scan.affine)
        for name in ("post_label_delays_s", "label_durations_s"):
            assert np.allclose(getattr(found, name), getattr(scan, name), equal_nan=True)
        for name in ("labeling", "m0_value", "background_suppression_pulses", "field_strength_t", "m0_repetition_s"):
            assert getattr(found, name) == getattr(scan, name)
        assert (found.m0 is None) == (scan.m0 is None)
        assert found.m0 is None or np.array_equal(found.m0, scan.m0)
        assert (found.slice_delays_s is None) == (scan.slice_delays_s is None)
        assert found.slice_delays_s is None or np.allclose(found.slice_delays_s, scan.slice_delays_s)

    @pytest.mark.parametrize("place", ["", "perf", "perf/sub-01_asl.nii.gz"])
    def test_a_subject_its_perf_folder_or_the_file_may_be_given(self, place: str, written: Path) -> None:
        assert isinstance(series.read(written / place), AslSeries)

    def test_ge_scale_of_differences_is_recognized_from_the_values(self, written: Path, tmp_path: Path) -> None:
        scan = asl_scan(content="deltam")
        subject = write_asl_bids(replace(scan, data=96.0 * scan.data), tmp_path / "ge", subject="01")
        edit(subject, Manufacturer="GE", NumberOfAverages=3)
        assert series.read(subject, modality="asl").scaling == 96.0
        edit(subject, NumberOfAverages=None)
        found = series.read(subject, modality="asl")
        assert found.scaling == 1.0
        assert "difference_scale_unknown" in {finding.code for finding in found.source.findings}
        assert series.read(subject, modality="asl", asl_options={"DifferenceScaling": 96}).scaling == 96.0

    def test_display_values_of_philips_are_brought_to_one_scale(self, written: Path) -> None:
        edit(written, PhilipsRescaleSlope=2.0, PhilipsScaleSlope=0.5, UsePhilipsFloatNotDisplayScaling=0)
        edit(written, "m0scan", PhilipsRescaleSlope=4.0, PhilipsScaleSlope=0.5, UsePhilipsFloatNotDisplayScaling=0)
        found, scan = series.read(written, modality="asl"), asl_scan()
        assert np.allclose(found.data, scan.data)
        assert scan.m0 is not None
        assert found.m0 is not None
        assert np.allclose(found.m0, scan.m0 / 2.0)


class TestFields:
    def test_fields_of_higher_folders_hold_unless_the_scan_says_otherwise(self, written: Path) -> None:
        root = written.parent
        edit(written, MagneticFieldStrength=None, LabelingEfficiency=None)
        (root / "asl.json").write_text(json.dumps({"MagneticFieldStrength": 1.5, "LabelingEfficiency": 0.7}))
        (written / "sub-01_asl.json").write_text(json.dumps({"LabelingEfficiency": 0.8}))
        (root / "sub-02_asl.json").write_text(json.dumps({"MagneticFieldStrength": 7.0}))
        found = series.read(written, modality="asl")
        assert (found.field_strength_t, found.labeling_efficiency) == (1.5, 0.8)

    def test_a_context_of_the_whole_data_set_holds_too(self, written: Path) -> None:
        own = written / "perf" / "sub-01_aslcontext.tsv"
        shutil.move(own, written.parent / "aslcontext.tsv")
        assert series.read(written, modality="asl").volume_types == asl_scan().volume_types

    def test_options_of_the_user_win(self, written: Path, tmp_path: Path) -> None:
        file = tmp_path / "options.json"
        file.write_text(json.dumps({"LabelingDuration": 2.0, "M0RepetitionTime": 7.0}))
        found = series.read(written, modality="asl", asl_options=file)
        assert np.unique(found.label_durations_s).tolist() == [2.0]
        assert found.m0_repetition_s == 7.0
        assert any("Given by the user" in sentence for sentence in found.source.decisions)

    def test_words_may_stand_in_for_the_context_and_repeat(self, written: Path) -> None:
        (written / "perf" / "sub-01_aslcontext.tsv").unlink()
        with pytest.raises(InvalidInputError, match=r"aslcontext.tsv is missing.*--asl-options"):
            series.read(written, modality="asl")
        found = series.read(written, modality="asl", asl_options={"ASLContext": "control, label"})
        assert found.volume_types == asl_scan().volume_types

    def test_pulse_times_tell_the_number_of_pulses(self, written: Path) -> None:
        edit(written, BackgroundSuppressionNumberPulses=None, BackgroundSuppressionPulseTime=[1.1, 2.2, 2.9])
        assert series.read(written, modality="asl").background_suppression_pulses == 3
        edit(written, BackgroundSuppressionPulseTime=None)
        found = series.read(written, modality="asl")
        assert found.background_suppression_pulses is None
        assert found.acquisition.details["background_suppression"] is True

    def test_slices_read_downwards_are_turned_around(self, tmp_path: Path) -> None:
        scan = asl_scan(slices_s=0.05)
        subject = write_asl_bids(scan, tmp_path, subject="01")
        edit(subject, SliceEncodingDirection="k-")
        assert np.allclose(series.read(subject, modality="asl").slice_delays_s, scan.slice_delays_s[::-1])

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"ArterialSpinLabelingType": None}, "how blood was labeled"),
            ({"ArterialSpinLabelingType": "VSASL"}, "'VSASL', which cannot be quantified"),
            ({"PostLabelingDelay": None}, "PostLabelingDelay is missing"),
            ({"PostLabelingDelay": 1800}, r"1800 s cannot be right.*milliseconds"),
            ({"PostLabelingDelay": float("inf")}, "of volume 1 is no time"),
            ({"PostLabelingDelay": [1.0, 2.0, 3.0]}, "3 entries but the scan has 8 volumes"),
            ({"PostLabelingDelay": "1.8"}, "no number"),
            ({"LabelingDuration": None}, "LabelingDuration is missing"),
            ({"LabelingDuration": 0}, "LabelingDuration is 0"),
            ({"LabelingEfficiency": 85}, "share between 0 and 1"),
            ({"MagneticFieldStrength": 3000}, "MagneticFieldStrength is 3000"),
            ({"BackgroundSuppression": "yes"}, "true or false"),
            ({"M0Type": "Maybe"}, "M0Type is 'Maybe'"),
            ({"M0Type": "Included"}, "no volume is an m0scan"),
            ({"M0Type": "Estimate"}, "M0Estimate is missing"),
            ({"MRAcquisitionType": "2D", "SliceTiming": [0.0, 0.1]}, "2 entries but the scan has 4 slices"),
            ({"MRAcquisitionType": "2D", "SliceTiming": [0, 40, 80, 120]}, "milliseconds"),
            ({"MRAcquisitionType": "2D", "SliceTiming": [-0.1, 0.0, 0.1, 0.2]}, "no time of 0 s or later"),
        ],
    )
    def test_fields_that_do_not_fit_are_named(self, fields: dict[str, Any], words: str, written: Path) -> None:
        edit(written, **fields)
        with pytest.raises(InvalidInputError, match=words):
            series.read(written, modality="asl")

    def test_an_unknown_bolus_and_missing_slice_times_are_findings(self, tmp_path: Path) -> None:
        subject = write_asl_bids(asl_scan(labeling="pasl", delays=(1.8,), duration=0.7), tmp_path, subject="01")
        edit(subject, BolusCutOffFlag=False, MRAcquisitionType="2D")
        found = series.read(subject, modality="asl")
        assert np.isnan(found.label_durations_s).all()
        assert {"bolus_unknown", "slice_timing_missing"} <= {finding.code for finding in found.source.findings}

    def test_milliseconds_of_the_m0_scan_are_refused(self, written: Path) -> None:
        edit(written, "m0scan", RepetitionTimePreparation=6000)
        with pytest.raises(InvalidInputError, match=r"6000 s, which cannot be right"):
            series.read(written, modality="asl")


class TestVolumes:
    def test_counts_that_differ_are_named(self, written: Path) -> None:
        context(written, "control", "label")
        with pytest.raises(InvalidInputError, match=r"8 volumes but aslcontext.tsv names 2"):
            series.read(written, modality="asl")

    @pytest.mark.parametrize(
        ("kinds", "words"),
        [(("control",) * 8, "no pair of control and label"), (("tag", "label") * 4, "names volumes 'tag'")],
    )
    def test_types_that_cannot_be_used_are_named(self, kinds: tuple[str, ...], words: str, written: Path) -> None:
        context(written, *kinds)
        with pytest.raises(InvalidInputError, match=words):
            series.read(written, modality="asl")

    def test_a_context_without_its_column_is_refused(self, written: Path) -> None:
        (written / "perf" / "sub-01_aslcontext.tsv").write_text("control\nlabel\n")
        with pytest.raises(InvalidInputError, match="no column volume_type"):
            series.read(written, modality="asl")

    def test_a_context_that_is_no_plain_text_is_refused(self, written: Path) -> None:
        (written / "perf" / "sub-01_aslcontext.tsv").write_text("volume_type\ncontrol\nlabel\n", encoding="utf-16")
        with pytest.raises(InvalidInputError, match="Save it as plain text"):
            series.read(written, modality="asl")

    def test_missing_values_are_filled_and_told_but_empty_volumes_refused(self, written: Path) -> None:
        path = written / "perf" / "sub-01_asl.nii.gz"
        data = asl_scan().data.copy()
        data[0, 0, 0, 3] = np.nan
        write_volume(path, data, AFFINE)
        found = series.read(written, modality="asl")
        assert np.isfinite(found.data).all()
        assert "missing_values" in {finding.code for finding in found.source.findings}
        data[..., 2] = np.nan
        write_volume(path, data, AFFINE)
        with pytest.raises(InvalidInputError, match=r"Volume 3 \(control\) holds no signal"):
            series.read(written, modality="asl")

    def test_a_voxel_that_lacks_one_label_does_not_look_like_flow(self, written: Path) -> None:
        path = written / "perf" / "sub-01_asl.nii.gz"
        values, affine = read_volume(path)
        values = values.astype(np.float32)
        values[2, 3, 1, 1] = np.nan
        write_volume(path, values, affine)
        found = series.read(written, modality="asl")
        assert not found.data[2, 3, 1].any()
        assert found.data[2, 4, 1].all()

    def test_one_difference_image_alone_is_a_scan(self, tmp_path: Path) -> None:
        scan = asl_scan(content="deltam", delays=(2.0,))
        subject = write_asl_bids(scan, tmp_path, subject="01")
        assert series.read(subject, modality="asl").data.shape[3] == 1


class TestM0:
    def test_m0_on_a_finer_grid_is_resampled_by_its_place(self, written: Path) -> None:
        path = written / "perf" / "sub-01_m0scan.nii.gz"
        coarse = AFFINE.copy()
        coarse[:3, :3] = AFFINE[:3, :3] / 2.0
        values, _ = read_volume(path)
        ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[:, None, None], (24, 20, 8)) + 100.0
        write_volume(path, ramp, coarse)
        found = series.read(written, modality="asl")
        assert found.m0 is not None
        assert found.m0.shape == values.shape
        assert np.allclose(found.m0[:, 4, 1], 100.0 + 2.0 * np.arange(12), atol=1e-3)
        assert "m0_resampled" in {finding.code for finding in found.source.findings}

    def test_m0_of_another_place_is_refused(self, written: Path) -> None:
        path = written / "perf" / "sub-01_m0scan.nii.gz"
        away = AFFINE.copy()
        away[:3, 3] += 500.0
        write_volume(path, read_volume(path)[0], away)
        with pytest.raises(GridMismatchError, match="covers only 0%"):
            series.read(written, modality="asl")

    def test_volumes_of_m0_are_averaged_and_the_intended_one_is_taken(self, written: Path) -> None:
        perf = written / "perf"
        values, affine = read_volume(perf / "sub-01_m0scan.nii.gz")
        write_volume(perf / "sub-01_dir-PA_m0scan.nii.gz", np.stack([values, 3.0 * values], axis=3), affine)
        meant = {"IntendedFor": "perf/sub-01_asl.nii.gz", "RepetitionTimePreparation": 4.0}
        (perf / "sub-01_dir-PA_m0scan.json").write_text(json.dumps(meant))
        edit(written, "m0scan", IntendedFor=None)
        found = series.read(written, modality="asl")
        assert found.m0 is not None
        assert np.allclose(found.m0, 2.0 * values)
        assert found.m0_repetition_s == 4.0

    def test_an_m0_that_is_promised_but_missing_is_a_finding(self, written: Path) -> None:
        for path in (written / "perf").glob("*m0scan*"):
            path.unlink()
        found = series.read(written, modality="asl")
        assert found.m0 is None
        told = {finding.code: finding.message + finding.advice for finding in found.source.findings}
        assert "sub-01" not in told["m0_not_found"]  # findings stand in reports, and files may be called after patients


class TestChoice:
    def test_candidates_name_asl_scans(self, written: Path) -> None:
        candidates = [item for item in series.scan(written) if item.asl]
        assert len(candidates) == 1
        assert candidates[0].description == "ASL NIfTI (4 control, 4 label)"

    def test_a_reader_of_contrast_says_that_asl_has_no_bolus(self, written: Path) -> None:
        with pytest.raises(InvalidInputError, match="arterial spin labeling has no bolus; choose the modality asl"):
            series.read(written, modality="dsc")
        with pytest.raises(InvalidInputError, match=r"no bolus. Analyze it with 'run --modality asl'"):
            series.with_bolus(series.read(written))

    def test_where_there_is_no_asl_the_modality_says_so(self, tmp_path: Path) -> None:
        folder = tmp_path / "other"
        write_volume(folder / "scan.nii.gz", np.ones((4, 4, 2, 12), np.float32), AFFINE)
        with pytest.raises(InvalidInputError, match="no ASL scan"):
            series.read(folder, modality="asl")


class TestSeveralScans:
    """A tree of many scans: the one that is meant is read, and never is a patient guessed."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """Two subjects, one of them with two runs that share an M0."""
        for subject in ("01", "02"):
            write_asl_bids(asl_scan(), tmp_path, subject=subject)
        folder = tmp_path / "sub-02" / "perf"
        for path in list(folder.iterdir()):
            if "m0scan" not in path.name:
                for run in ("01", "02"):
                    shutil.copy(path, folder / path.name.replace("sub-02_", f"sub-02_run-{run}_"))
                path.unlink()
        return tmp_path

    @pytest.mark.parametrize(
        ("wishes", "name"),
        [
            ({"subject": "01"}, "sub-01"),
            ({"subject": "sub-02", "run": "2"}, "sub-02_run-02"),
            ({"subject": "02", "run": "run-01", "session": None}, "sub-02_run-01"),
        ],
    )
    def test_subject_and_run_choose(self, tree: Path, wishes: dict[str, str | None], name: str) -> None:
        found = series.read(tree, modality="asl", bids=wishes)
        assert found.source.case_id == name
        assert found.m0 is not None  # also where all runs share one

    @pytest.mark.parametrize(
        ("wishes", "words"),
        [
            ({}, r"holds 3 ASL scans: sub-01, sub-02_run-01, sub-02_run-02. Choose one with --subject, --session and --run"),
            ({"subject": "02"}, r"holds 2 ASL scans: sub-02_run-01, sub-02_run-02"),
            ({"subject": "7"}, r"No ASL scan of .* is sub-7. There are sub-01, sub-02_run-01"),
            ({"subject": "01", "session": "2"}, r"is sub-01 ses-2"),
        ],
    )
    def test_several_are_listed_and_none_is_guessed(self, tree: Path, wishes: dict[str, str | None], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            series.read(tree, modality="asl", bids=wishes)
        if not wishes:
            with pytest.raises(InvalidInputError, match="holds 3 ASL scans"):
                series.read(tree)

    def test_wishes_without_bids_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a")
        with pytest.raises(InvalidInputError, match="holds no ASL scan in BIDS"):
            series.read(tmp_path, modality="asl", bids={"subject": "01"})


class TestSequences:
    """Ways of labeling and reading that a plain pair of control and label does not describe."""

    HADAMARD = np.array([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]])

    def encoded(self, folder: Path, order: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Path, list[np.ndarray]]:
        """Two cycles of a scan whose differences of three parts of the bolus are known; an M0 comes first."""
        rng = np.random.default_rng(5)
        still, parts = rng.uniform(200, 300, (12, 10, 4)), [rng.uniform(1, 9, (12, 10, 4)) for _ in range(3)]
        lost = [sum(part * (1 - sign) / 2 for part, sign in zip(parts, self.HADAMARD[row], strict=True)) for row in order]
        volumes = [1000.0 * np.ones_like(still), *(still - part for part in lost * 2)]
        place = folder / "sub-01" / "perf"
        place.mkdir(parents=True)
        write_volume(place / "sub-01_asl.nii.gz", np.stack(volumes, axis=-1), AFFINE)
        fields = {
            "ArterialSpinLabelingType": "PCASL", "MagneticFieldStrength": 3, "M0Type": "Included", "BackgroundSuppression": False,
            "LabelingDuration": [1.5, 0.8, 0.5], "PostLabelingDelay": 0.7, "TimeEncodedMatrix": self.HADAMARD.tolist(),
        }  # fmt: skip
        (place / "sub-01_asl.json").write_text(json.dumps(fields))
        context(folder / "sub-01", "m0scan", *["n/a"] * 8)
        return folder / "sub-01", parts

    def test_time_encoding_is_undone_with_the_delay_of_each_part(self, tmp_path: Path) -> None:
        subject, parts = self.encoded(tmp_path)
        found = series.read(subject, modality="asl")
        assert found.volume_types == ("m0scan", *["deltam"] * 6)
        for cycle in range(2):
            for at, part in enumerate(parts):
                assert np.allclose(found.data[..., 1 + 3 * cycle + at], part, atol=1e-3)
        assert np.allclose(found.post_label_delays_s[1:4], (0.7 + 0.5 + 0.8, 0.7 + 0.5, 0.7))  # the first part waits longest
        assert np.allclose(found.label_durations_s[1:], (1.5, 0.8, 0.5) * 2)
        assert "time_encoded" in {finding.code for finding in found.source.findings}

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            (
                {"TimeEncodedMatrix": None, "TimeEncodedMatrixSize": 4, "TimeEncodedMatrixType": "Walsh"},
                r"time-encoded \(Walsh 4\)",
            ),
            ({"TimeEncodedMatrix": [[1, 1], [1, -1], [-1, 1], [1, 1]]}, "no Hadamard encoding"),
            ({"TimeEncodedMatrix": "H4"}, "no Hadamard encoding"),
            ({"TimeEncodedMatrix": [[1], [-1], [1], [-1], [1], [-1]]}, "cannot be cycles of the 6 rows"),
            ({"LabelingDuration": [1.5, 0.8]}, "needs LabelingDuration with 3 entries"),
        ],
    )
    def test_an_encoding_that_is_not_fully_known_is_refused(self, fields: dict[str, Any], words: str, tmp_path: Path) -> None:
        subject, _ = self.encoded(tmp_path)
        edit(subject, **fields)
        with pytest.raises(InvalidInputError, match=words):
            series.read(subject, modality="asl")

    @pytest.mark.parametrize(("technique", "bolus"), [("QUIPSS", 1.1), ("QUIPSS I", 1.1), ("QUIPSSII", 0.7), ("Q2TIPS", 0.7)])
    def test_the_first_quipss_lets_in_label_after_the_cut_off_the_second_before(
        self, technique: str, bolus: float, tmp_path: Path
    ) -> None:
        subject = write_asl_bids(asl_scan(labeling="pasl", delays=(1.8,), duration=0.7), tmp_path, subject="01")
        edit(subject, BolusCutOffTechnique=technique)
        found = series.read(subject, modality="asl")
        assert np.allclose(found.label_durations_s, bolus)

    @pytest.mark.parametrize(
        ("scan", "fields", "words"),
        [
            ({"delays": (1.0, 1.8)}, {"BolusCutOffTechnique": "QUIPSS"}, "with one inversion time for all slices only"),
            ({"delays": (1.8,), "slices_s": 0.04}, {"BolusCutOffTechnique": "QUIPSS"}, "for all slices only"),
            ({"delays": (1.8,)}, {"BolusCutOffDelayTime": 2.0}, r"cut off .* after the picture"),
            ({"delays": (1.8,)}, {"LookLocker": True}, "Look-Locker pulses"),
            ({"delays": (1.8,)}, {"EchoTime": [0.01, 0.01, 0.03, 0.03]}, "several echo times"),
        ],
    )
    def test_what_no_model_describes_is_refused(
        self, scan: dict[str, Any], fields: dict[str, Any], words: str, tmp_path: Path
    ) -> None:
        subject = write_asl_bids(asl_scan(labeling="pasl", duration=0.7, **scan), tmp_path, subject="01")
        edit(subject, **fields)
        with pytest.raises(InvalidInputError, match=words):
            series.read(subject, modality="asl")
