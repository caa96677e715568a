# SPDX-License-Identifier: Apache-2.0
"""A fit of regions as files, table, picture and words of the report."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.core.colors import region_colors
from PerfusionSuiteLib.core.nifti import read_volume


def rows_of(path, delimiter=","):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


@pytest.fixture
def written(a_regional_study, tmp_path):
    results.write(a_regional_study, tmp_path)
    return tmp_path


def test_labels_tables_and_curves_say_the_same(written, a_regional_study):
    labels, affine = read_volume(written / "regions.nii.gz")
    assert np.array_equal(labels, a_regional_study.regions.labels)
    assert np.allclose(affine, a_regional_study.regions.affine)
    table = rows_of(written / "regions.csv")
    assert [row["roi_id"] for row in table] == ["1", "2", "3", "4"]
    assert table[3]["mtt"] == ""  # what does not exist is no number
    key = rows_of(written / "regions_key.csv")
    assert [row["name"] for row in key] == ["GM 1", "GM 2", "WM 3", "CSF 4"]
    curves = rows_of(written / "region_curves.csv")
    assert len(curves) == a_regional_study.regions.times_s.size
    found = np.array([float(row["GM 2 observed"]) for row in curves])
    assert np.allclose(found, a_regional_study.regions.observed[1], rtol=1e-5, atol=1e-6)
    assert {row["CSF 4 fitted"] for row in curves} == {""}


def test_the_status_of_each_voxel_is_written_with_its_meaning(written, a_regional_study):
    codes, _ = read_volume(written / "status.nii.gz")
    meaning = {int(row["index"]): row["name"] for row in rows_of(written / "status_key.csv")}
    assert set(np.unique(codes)) <= set(meaning)
    assert {meaning[int(code)] for code in np.unique(codes[a_regional_study.masks.csf])} == {"no tracer"}


def test_the_input_is_called_a_reference_curve_everywhere_and_never_an_artery(written):
    assert not (written / "aif.csv").exists()
    assert (written / "reference_curve.csv").exists()
    assert not (written / "masks" / "aif.nii.gz").exists()
    page = (written / "report.html").read_text()
    assert "Reference curve (mean of tissue), not an artery" in page
    assert "Flow and volume are relative" in page
    assert "AIF peak" not in page
    assert page.count("data:image/png") >= 5
    assert (written / "qa" / "regions.png").exists()


def test_bids_names_follow_discrete_segmentations(a_regional_study, tmp_path):
    results.write(a_regional_study, tmp_path, layout="bids", pictures=False)
    perf = tmp_path / "sub-case01" / "perf"
    assert (perf / "sub-case01_desc-regions_dseg.nii.gz").exists()
    assert next(row["name"] for row in rows_of(perf / "sub-case01_desc-regions_dseg.tsv", "\t")) == "GM 1"
    assert (perf / "sub-case01_desc-regions_dseg.json").exists()
    assert (perf / "sub-case01_desc-regioncurves_perf.tsv").exists()


def test_a_later_run_without_regions_leaves_none_behind(written, a_study):
    results.write(replace(a_study, regions=None), written, pictures=False, report=False)
    left = {path.name for path in written.iterdir()}
    assert not left & {"regions.nii.gz", "regions.csv", "region_curves.csv", "regions_key.csv", "status.nii.gz"}
    assert (written / "aif.csv").exists()


def test_an_arterial_curve_is_still_called_one(a_study, tmp_path):
    results.write(a_study, tmp_path, pictures=False)
    page = (tmp_path / "report.html").read_text()
    assert "not an artery" not in page
    assert "AIF peak" in page


def test_regions_of_a_tissue_have_colors_of_their_own():
    colors = region_colors(("GM",) * 8 + ("WM",) * 6 + ("CSF", "BrainStem"))
    assert len({tuple(np.round(color, 3)) for color in colors}) == 16
    assert all(0.0 <= part <= 1.0 for color in colors for part in color)
