# SPDX-License-Identifier: Apache-2.0
"""FreeSurfer's program is found, asked the right thing, and its failures are told; a stand-in plays its part."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from PerfusionSuiteLib.core.errors import MissingPackageError, NumericalError
from PerfusionSuiteLib.hemopic.synthseg import find_program, segment

STAND_IN = """#!{python}
import shutil, sys
words = sys.argv[1:]
if "--help" in words:
    print("usage: mri_synthseg [--i I] [--o O] [--robust] [--resample R] {crop} [--threads N]")
    sys.exit(0)
if {fail}:
    print("license file not found")
    sys.exit(1)
given = dict(zip(words, words[1:]))
shutil.copyfile(given["--i"], given["--o"])
shutil.copyfile(given["--i"], given["--resample"])
open({log!r}, "a").write(" ".join(words) + "\\n")
"""


@pytest.fixture
def an_image(tmp_path: Path) -> Path:
    path = tmp_path / "MR_ADC.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.array([0, 2, 41, 42, 60], np.int16).reshape(5, 1, 1), np.eye(4)), path)
    return path


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fail: bool = False, crop: str = "--autocrop") -> Path:
    """Put a stand-in for mri_synthseg on the search path; return where it writes down what it was asked."""
    programs, log = tmp_path / "bin", tmp_path / "asked.txt"
    programs.mkdir()
    program = programs / "mri_synthseg"
    program.write_text(STAND_IN.format(python=sys.executable, fail=fail, crop=crop, log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return log


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a first line")
class TestProgram:
    def test_it_is_asked_for_robust_cropped_and_resampled_labels(
        self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = install(tmp_path, monkeypatch)
        found = segment(an_image, tmp_path / "synthseg", threads=3)
        words = log.read_text().split()
        assert {"--robust", "--autocrop", "--resample"} <= set(words)
        assert words[words.index("--threads") + 1] == "3"
        assert sorted(path.name for path in found.parent.iterdir()) == [
            "input_resampled.nii.gz", "seg_synthseg.nii.gz", "seg_synthseg_sym.nii.gz",
        ]  # fmt: skip

    def test_the_symmetric_file_has_left_labels_only(
        self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path, monkeypatch)
        image = nibabel.load(segment(an_image, tmp_path / "synthseg"))
        assert image.get_data_dtype() == np.int16
        assert np.asarray(image.dataobj).ravel().tolist() == [0, 2, 2, 3, 28]

    def test_at_most_eight_threads_by_default(self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = install(tmp_path, monkeypatch)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        segment(an_image, tmp_path / "synthseg")
        assert "--threads 8" in log.read_text()

    def test_finished_files_are_kept(self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = install(tmp_path, monkeypatch)
        segment(an_image, tmp_path / "synthseg")
        segment(an_image, tmp_path / "synthseg")
        assert len(log.read_text().splitlines()) == 1
        segment(an_image, tmp_path / "synthseg", overwrite=True)
        assert len(log.read_text().splitlines()) == 2

    def test_older_releases_are_not_asked_to_crop(self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = install(tmp_path, monkeypatch, crop="")
        segment(an_image, tmp_path / "synthseg")
        assert "--autocrop" not in log.read_text()

    def test_a_failure_leaves_its_words_and_nothing_else(
        self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path, monkeypatch, fail=True)
        with pytest.raises(NumericalError, match="code 1.*mri_synthseg.log"):
            segment(an_image, tmp_path / "synthseg")
        assert [path.name for path in (tmp_path / "synthseg").iterdir()] == ["mri_synthseg.log"]
        assert "license" in (tmp_path / "synthseg" / "mri_synthseg.log").read_text()

    def test_cancel_ends_the_program(self, tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path, monkeypatch)

        def stop(fraction: float, stage: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            segment(an_image, tmp_path / "synthseg", progress=stop)
        assert not (tmp_path / "synthseg").exists()

    def test_it_is_found_in_the_home_of_freesurfer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path, monkeypatch)
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        monkeypatch.setenv("FREESURFER_HOME", str(tmp_path))
        assert find_program() == str(tmp_path / "bin" / "mri_synthseg")


def test_without_freesurfer_the_ways_out_are_named(tmp_path: Path, an_image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FREESURFER_HOME", raising=False)
    with pytest.raises(MissingPackageError, match="Install FreeSurfer.*--labels FILE"):
        segment(an_image, tmp_path / "synthseg")
