# SPDX-License-Identifier: Apache-2.0
"""Gray and white matter of an ASL scan: fractions and labels on other grids, derivatives that nobody named, and misfits."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib import asl_tissue, phantom, pipeline
from PerfusionSuiteLib.cli.asl_options import asl_inputs
from PerfusionSuiteLib.cli.main import build_parser
from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.results import write_volume


def parts_of(scan):
    """Gray matter around a core of white matter, as the scan of the fixture has them."""
    brain, white = scan.m0 > 100, scan.m0 == 900
    return brain & ~white, white


def finer(scan, values):
    """The same map at half the voxel size."""
    affine = scan.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = scan.affine[:3, 3] - scan.affine[:3, :3] @ np.full(3, 0.25)
    return np.kron(values, np.ones((2, 2, 2))), affine


def write_parts(scan, folder, name, values, dtype=np.float32):
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / name, *finer(scan, values), dtype=dtype)
    return folder / name


@pytest.fixture
def data_set(an_asl_series, tmp_path):
    phantom.write_asl_bids(an_asl_series, tmp_path / "bids", subject="01")
    return tmp_path / "bids"


def inputs_of(scan, place, *words):
    return asl_inputs(build_parser().parse_args(["run", str(place), "out", *words]), scan)


@pytest.mark.parametrize("kind", ["seg4", "freesurfer"])
def test_labels_on_a_finer_grid_become_fractions(an_asl_series, tmp_path, kind):
    gray, white = parts_of(an_asl_series)
    labels = np.where(gray, 1, np.where(white, 2, 0)) if kind == "seg4" else np.where(gray, 42, np.where(white, 41, 24))
    path = write_parts(an_asl_series, tmp_path, "labels.nii.gz", labels, np.int16)
    found = asl_tissue.label_fractions(path, an_asl_series)
    for part, truth in zip(found, (gray, white), strict=True):
        assert np.abs(part - truth).max() < 1e-6  # each voxel of the scan holds eight of the labels


def test_derivatives_are_found_in_the_space_of_the_patient_only(an_asl_series, data_set):
    gray, white = parts_of(an_asl_series)
    anat = data_set / "derivatives" / "fmriprep" / "sub-01" / "anat"
    for label, part in (("GM", gray), ("WM", white)):
        write_parts(an_asl_series, anat, f"sub-01_space-MNI152NLin2009cAsym_label-{label}_probseg.nii.gz", np.zeros(part.shape))
    assert inputs_of(an_asl_series, data_set).gm is None
    write_parts(an_asl_series, anat, "sub-01_dseg.nii.gz", np.where(gray, 1, np.where(white, 2, 0)), np.uint8)
    of_labels = inputs_of(an_asl_series, data_set)
    assert np.abs(of_labels.wm - white).max() < 1e-6
    for label, part in (("GM", gray), ("WM", white)):
        write_parts(an_asl_series, anat, f"sub-01_label-{label}_probseg.nii.gz", 0.9 * part)
    found = inputs_of(an_asl_series, data_set / "sub-01")
    assert np.abs(found.gm - 0.9 * gray).max() < 1e-6  # fractions say more than labels
    assert "sub-01_label-GM_probseg.nii.gz" in found.findings[0].message
    assert inputs_of(an_asl_series, data_set, "--no-tissue").gm is None
    study = pipeline.run(an_asl_series, pipeline.AslSettings(motion_correction=False), inputs=found)
    assert "tissue_from_derivatives" in {finding.code for finding in study.findings}
    assert study.metrics.values["by_region"]["gm"]["cbf"] > 1.5 * study.metrics.values["by_region"]["wm"]["cbf"]


def test_the_own_session_goes_first_and_several_candidates_are_none(tmp_path):
    images = tmp_path / "sub-01" / "ses-2" / "perf" / "sub-01_ses-2_asl.nii.gz"
    images.parent.mkdir(parents=True)
    images.touch()
    names = {}
    for session in ("1", "2"):
        place = tmp_path / "derivatives" / "smriprep" / "sub-01" / f"ses-{session}" / "anat"
        place.mkdir(parents=True)
        for label in ("GM", "WM"):
            names[session] = place / f"sub-01_ses-{session}_label-{label}_probseg.nii.gz"
            names[session].touch()
    assert asl_tissue.tissue_beside(images).wm == names["2"]
    (names["2"].parent / "sub-01_ses-2_acq-b_label-WM_probseg.nii.gz").touch()
    assert asl_tissue.tissue_beside(images) is None


def test_what_does_not_fit_is_said_in_one_sentence(an_asl_series, data_set, tmp_path):
    gray, white = parts_of(an_asl_series)
    percent = write_parts(an_asl_series, tmp_path, "percent.nii.gz", 100.0 * gray)
    labels = write_parts(an_asl_series, tmp_path, "labels.nii.gz", np.where(white, 2, 0), np.uint8)
    good = write_parts(an_asl_series, tmp_path, "good.nii.gz", white.astype(float))
    with pytest.raises(InvalidInputError, match=r"reaches from 0 to 100, .* Divide percent by 100"):
        asl_tissue.fraction_on(percent, an_asl_series)
    with pytest.raises(GridMismatchError, match=r"hold no gray matter where the scan lies"):
        asl_tissue.label_fractions(labels, an_asl_series)
    with pytest.raises(InvalidInputError, match=r"label map with --tissue-labels"):
        asl_tissue.fraction_on(write_parts(an_asl_series, tmp_path, "fs.nii.gz", 1000.0 * gray), an_asl_series)
    with pytest.raises(InvalidInputError, match=r"--tissue-labels and --wm-fraction both say"):
        inputs_of(an_asl_series, data_set, "--tissue-labels", str(labels), "--wm-fraction", str(good))
    with pytest.raises(InvalidInputError, match=r"white matter was given without that of gray"):
        inputs_of(an_asl_series, data_set, "--wm-fraction", str(good))
    aside = {"gm": np.roll(gray.astype(np.float32), 20, axis=0), "wm": np.zeros(gray.shape, np.float32)}
    with pytest.raises(GridMismatchError, match=r"lie in the brain of the scan, of which they fill"):
        asl_tissue.check_place(aside, gray | white)
