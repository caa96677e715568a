# SPDX-License-Identifier: Apache-2.0
"""The three steps on the command line, from flat folders to the published files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import isles_subject
import nibabel
import numpy as np
import pytest

from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.hemopic.compat_files import FILES


@pytest.fixture
def a_subject(tmp_path: Path, a_patient: tuple[Any, Any]) -> Path:
    """A subject with everything that the steps need."""
    return isles_subject.write(tmp_path / "data" / "training_7", *a_patient)


def three_steps(data: Path, out: Path, *options: str) -> None:
    assert main(["hemopic", "partition", str(data)]) == 0
    assert main(["hemopic", "convert", str(data), "--te", "0.03", "--dt", "1.5"]) == 0
    assert main(["hemopic", "fit", str(data), str(out), "--k-gm", "2", "--k-wm", "2", *options]) == 0


class TestOneSubject:
    def test_from_labels_to_maps(self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        three_steps(a_subject, tmp_path / "out")
        folder = tmp_path / "out" / "training_7"
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
        cbf = nibabel.load(a_subject / "MR_rCBF.nii.gz")
        labels = np.asarray(nibabel.load(a_subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz").dataobj)
        for name in ("CBF", "CBV", "MTT"):
            image = nibabel.load(folder / f"HemoPIC_{name}.nii.gz")
            assert image.get_data_dtype() == np.float32
            np.testing.assert_array_equal(image.affine, cbf.affine)
            np.testing.assert_array_equal(np.isfinite(image.get_fdata()), labels > 0)
        regions = nibabel.load(folder / "roi_labels_seg4_within_kmeans.nii.gz")
        assert regions.get_data_dtype() == np.int32
        assert (int(regions.header["qform_code"]), int(regions.header["sform_code"])) == (1, 2)
        assert "GM" in capsys.readouterr().out

    def test_table_and_record_have_the_published_columns_and_keys(self, a_subject: Path, tmp_path: Path) -> None:
        three_steps(a_subject, tmp_path / "out", "--seed", "3")
        folder = tmp_path / "out" / "training_7"
        record = json.loads((folder / "run_info_core.json").read_text())
        assert " ".join(record) == (
            "patient dt_seconds k_gm k_wm seed baseline_frames aif_peak_threshold unlabeled_after_fill cbf_floor_from_gt_p1 "
            "cbf_cap_from_gt_p99_5 mtt_floor_from_gt_p1 mtt_cap_from_gt_p99_5"
        )
        told = [record[key] for key in ("patient", "dt_seconds", "k_gm", "k_wm", "seed", "baseline_frames")]
        assert told == [7, 1.5, 2, 2, 3, 5]
        with (folder / "roi_fit_summary.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert list(rows[0])[:3] == ["roi_id", "tissue", "n_vox_all"]
        regions = np.asarray(nibabel.load(folder / "roi_labels_seg4_within_kmeans.nii.gz").dataobj)
        for row in rows:
            assert int(row["n_vox_all"]) == np.count_nonzero(regions == int(row["roi_id"]))
            assert float(row["C_wk_fit"]) == pytest.approx(float(row["tau_fit"]) / float(row["R_fit"]))
            assert row["success"] == "True"

    def test_the_same_seed_gives_the_same_files(self, a_subject: Path, tmp_path: Path) -> None:
        three_steps(a_subject, tmp_path / "one")
        assert main(["hemopic", "fit", str(a_subject), str(tmp_path / "two"), "--k-gm", "2", "--k-wm", "2"]) == 0
        for name in FILES:
            assert (tmp_path / "one" / "training_7" / name).read_bytes() == (tmp_path / "two" / "training_7" / name).read_bytes()

    def test_the_name_of_a_folder_without_a_number_stays_out_of_the_record(self, a_subject: Path, tmp_path: Path) -> None:
        own = a_subject.rename(a_subject.parent / "Jane Doe")
        three_steps(own, tmp_path / "out")
        record = (tmp_path / "out" / "Jane Doe" / "run_info_core.json").read_text()
        assert json.loads(record)["patient"] is None
        assert "Jane" not in record

    def test_a_raw_series_can_be_named_itself(self, a_subject: Path) -> None:
        assert main(["hemopic", "convert", str(a_subject / "MR_4DPWI.nii")]) == 0
        assert (a_subject / "CTC_from_MR_4DPWI.nii").is_file()

    def test_the_interval_that_five_axes_lose_is_said(
        self, tmp_path: Path, a_patient: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        subject = isles_subject.write(tmp_path / "training_8", *a_patient, five_axes=True)
        assert main(["hemopic", "convert", str(subject), "--dt", "1.5"]) == 0
        assert "1 s was saved as the interval instead of 1.5 s" in capsys.readouterr().out
        assert main(["hemopic", "convert", str(subject), "--dt", "1.5", "--store-dt", "--overwrite"]) == 0
        assert nibabel.load(subject / "CTC_from_MR_4DPWI.nii").header.get_zooms()[3] == 1.5

    def test_times_can_come_from_the_sidecar(self, a_subject: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (a_subject / "MR_4DPWI.json").write_text(json.dumps({"EchoTime": 0.025, "RepetitionTime": 1.55}))
        assert main(["hemopic", "convert", str(a_subject), "--sidecar"]) == 0
        assert "TE 0.025 s" in capsys.readouterr().out
        assert nibabel.load(a_subject / "CTC_from_MR_4DPWI.nii").header.get_zooms()[3] == pytest.approx(1.55)


class TestTables:
    def test_the_corrected_table_moves_voxels_and_a_saved_one_can_be_used(self, a_subject: Path, tmp_path: Path) -> None:
        path = a_subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz"
        table = tmp_path / "table.csv"
        assert main(["hemopic", "partition", str(a_subject), "--save-table", str(table)]) == 0
        published = np.asarray(nibabel.load(path).dataobj)
        table.write_text(table.read_text().replace("other,gray matter", "10,brain stem\n49,brain stem\nother,gray matter"))
        assert main(["hemopic", "partition", str(a_subject), "--table", str(table), "--overwrite"]) == 0
        own = np.asarray(nibabel.load(path).dataobj)
        assert np.count_nonzero(own == 4) > np.count_nonzero(published == 4)
        np.testing.assert_array_equal(own[published != 1], published[published != 1])

    def test_labels_of_another_grid_are_brought_to_the_maps(
        self, a_subject: Path, a_patient: tuple[Any, Any], tmp_path: Path
    ) -> None:
        series, truth = a_patient
        turned = isles_subject.structures(truth)[::-1, :, ::-1]
        affine = series.affine @ np.array([[-1, 0, 0, 55], [0, 1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1.0]])
        image = isles_subject.save(tmp_path / "turned.nii.gz", np.ascontiguousarray(turned), affine)
        assert main(["hemopic", "partition", str(a_subject)]) == 0
        usual = nibabel.load(a_subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz").get_fdata()
        assert main(["hemopic", "partition", str(a_subject), "--labels", str(image), "--overwrite"]) == 0
        again = nibabel.load(a_subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz").get_fdata()
        np.testing.assert_array_equal(again, usual)

    def test_an_unknown_table_is_refused(self, a_subject: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["hemopic", "partition", str(a_subject), "--table", "mine"]) == 2
        assert "published or corrected" in capsys.readouterr().err


class TestEstimate:
    def test_tissue_is_told_from_the_series_itself(self, tmp_path: Path, a_patient: tuple[Any, Any]) -> None:
        series, truth = a_patient
        subject = isles_subject.write(tmp_path / "training_3", series, truth, without=("synthseg/seg_synthseg", "MR_ADC"))
        assert main(["hemopic", "partition", str(subject), "--estimate"]) == 0
        labels = np.asarray(nibabel.load(subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz").dataobj)
        gray, white = (truth.fractions[name] > 0.8 for name in ("gm", "wm"))
        assert np.mean(labels[white] == 2) > 0.8
        assert np.mean(labels[gray & (labels > 0)] == 1) > 0.7

    def test_without_labels_and_freesurfer_the_ways_out_are_named(
        self, tmp_path: Path, a_patient: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("FREESURFER_HOME", raising=False)
        subject = isles_subject.write(tmp_path / "training_3", *a_patient, without=("synthseg/seg_synthseg",))
        assert main(["hemopic", "partition", str(subject)]) == 2
        assert "--estimate" in capsys.readouterr().err

    def test_a_flow_map_without_background_shows_no_brain(
        self, a_subject: Path, a_patient: tuple[Any, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        series, _ = a_patient
        isles_subject.save(a_subject / "MR_rCBF.nii.gz", np.ones(series.data.shape[:3], np.float32), series.affine)
        assert main(["hemopic", "partition", str(a_subject), "--estimate"]) == 2
        assert "does not show where the brain is" in capsys.readouterr().err


class TestDatasets:
    def test_a_subject_that_lacks_something_is_counted_and_the_others_go_on(
        self, a_subject: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(a_subject, a_subject.parent / "training_9")
        (a_subject.parent / "training_9" / "MR_4DPWI.nii").unlink()
        assert main(["hemopic", "convert", str(a_subject.parent), "--ids", "7-9"]) == 2
        said = capsys.readouterr()
        assert (a_subject / "CTC_from_MR_4DPWI.nii").is_file()
        assert "Without a folder, and not done: training_8." in said.out
        assert "training_9: not done. MR_4DPWI.nii[.gz] is missing" in said.out
        assert "1 of 3 subjects done, 0 kept, 2 not done." in said.out
        assert "1 of 2 subjects could not be done: training_9." in said.err

    def test_the_holes_of_a_range_are_no_failure(self, a_subject: Path) -> None:
        assert main(["hemopic", "convert", str(a_subject.parent), "--ids", "1-9"]) == 0

    def test_after_one_was_corrected_the_same_command_fits_only_that(
        self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data = a_subject.parent
        shutil.copytree(a_subject, data / "training_9")
        assert main(["hemopic", "partition", str(data)]) == 0
        assert main(["hemopic", "convert", str(data), "--dt", "1.5"]) == 0
        away = (data / "training_9" / "MR_MTT.nii.gz").rename(tmp_path / "MR_MTT.nii.gz")
        words = ["hemopic", "fit", str(data), str(tmp_path / "out"), "--k-gm", "2", "--k-wm", "2"]
        assert main(words) == 2
        done = tmp_path / "out" / "training_7" / FILES[0]
        before = done.stat().st_mtime_ns
        assert not (tmp_path / "out" / "training_9").exists()
        away.rename(data / "training_9" / "MR_MTT.nii.gz")
        capsys.readouterr()
        assert main(words) == 0
        assert "1 of 2 subjects done, 1 kept, 0 not done." in capsys.readouterr().out
        assert done.stat().st_mtime_ns == before
        assert main([*words, "--seed", "5"]) == 2

    def test_the_holes_of_a_range_take_one_line_and_do_not_hide_why_a_subject_failed(
        self, a_subject: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (a_subject / "MR_4DPWI.nii").unlink()
        assert main(["hemopic", "convert", str(a_subject.parent), "--ids", "1-48"]) == 2
        said = capsys.readouterr()
        assert "not done: training_1, training_2, training_3 and 44 more." in said.out
        assert "None of 48 subjects could be done. The first one: MR_4DPWI.nii[.gz] is missing" in said.err
        assert main(["hemopic", "convert", str(a_subject.parent), "--ids", "1-3"]) == 2
        assert "The folder 'training_1' does not exist." in capsys.readouterr().err

    def test_a_second_run_keeps_what_is_there(self, a_subject: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["hemopic", "partition", str(a_subject.parent)]) == 0
        before = (a_subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz").stat().st_mtime_ns
        assert main(["hemopic", "partition", str(a_subject.parent)]) == 0
        assert (a_subject / "hemopic_seg4" / "seg4_label_ref24.nii.gz").stat().st_mtime_ns == before
        assert "1 had their files already" in capsys.readouterr().out

    def test_events_are_json(self, a_subject: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["hemopic", "convert", str(a_subject), "--json-events"]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert events[-1]["event"] == "finished"
        assert events[-1]["outputs"] == {"done": 1, "kept": [], "failed": {}}
        assert {"progress", "log"} <= {event["event"] for event in events}


class TestRefusals:
    def test_results_are_not_replaced_unasked_and_other_files_stay(
        self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        three_steps(a_subject, tmp_path / "out")
        note = tmp_path / "out" / "training_7" / "my notes.txt"
        note.write_text("keep me")
        words = ["hemopic", "fit", str(a_subject), str(tmp_path / "out"), "--k-gm", "1", "--k-wm", "1"]
        assert main(words) == 2
        assert "--overwrite" in capsys.readouterr().err
        assert main([*words, "--overwrite"]) == 0
        assert note.read_text() == "keep me"
        assert json.loads((note.parent / "run_info_core.json").read_text())["k_gm"] == 1

    def test_missing_steps_are_named(self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["hemopic", "fit", str(a_subject), str(tmp_path / "out")]) == 2
        assert "CTC_from_MR_4DPWI.nii[.gz] and hemopic_seg4/seg4_label_ref24.nii.gz are missing" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_labels_elsewhere_in_the_patient_are_refused(
        self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        far = np.eye(4)
        far[:3, 3] = 5000.0
        image = isles_subject.save(tmp_path / "far.nii.gz", np.full((4, 4, 4), 2, np.int16), far)
        assert main(["hemopic", "partition", str(a_subject), "--labels", str(image)]) == 2
        assert "falls on the grid" in capsys.readouterr().err

    def test_one_label_image_is_not_spread_over_a_dataset(self, a_subject: Path, capsys: pytest.CaptureFixture[str]) -> None:
        shutil.copytree(a_subject, a_subject.parent / "training_9")
        labels = str(a_subject / "synthseg" / "seg_synthseg.nii.gz")
        assert main(["hemopic", "partition", str(a_subject.parent), "--labels", labels]) == 2
        assert "names one image, but 2 subjects" in capsys.readouterr().err

    def test_a_series_of_another_shape_is_refused(
        self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["hemopic", "partition", str(a_subject)]) == 0
        isles_subject.save(a_subject / "CTC_from_MR_4DPWI.nii", np.zeros((10, 10, 4, 20), np.float32), np.eye(4))
        assert main(["hemopic", "fit", str(a_subject), str(tmp_path / "out")]) == 2
        assert "Resample it" in capsys.readouterr().err

    def test_files_of_another_place_are_told(self, a_subject: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        image = nibabel.load(a_subject / "MR_rCBV.nii.gz")
        moved = image.affine.copy()
        moved[0, 3] += 20.0
        isles_subject.save(a_subject / "MR_rCBV.nii.gz", image.get_fdata().astype(np.float32), moved)
        three_steps(a_subject, tmp_path / "out")
        assert "laid on each other by their indices" in capsys.readouterr().out
