# SPDX-License-Identifier: Apache-2.0
"""The joined chain on a small digital patient: bad input is refused, good input gives a complete study."""

import dataclasses
import itertools

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.core import CancelledError, InvalidInputError, PerfusionSeries, TimingError


@pytest.fixture(scope="module")
def patient():
    return phantom.ctp(
        seed=8,
        recipe="clean",
        site="m1",
        residue="box",
        shape=(128, 128, 10),
        spacing_mm=(1.8, 1.8, 8.0),
        interval_s=1.5,
        frames=36,
    )


@pytest.fixture(scope="module")
def study(patient):
    return pipeline.run(patient[0])


def test_a_study_is_complete_and_on_the_scans_grid(study, patient):
    series = patient[0]
    assert {"cbf", "cbv", "mtt", "tmax", "ttp", "delay", "rcbf", "mip", "baseline"} <= set(study.maps)
    assert study.maps.shape == series.shape
    assert np.allclose(study.maps.affine, series.affine)
    assert study.lesions.core.shape == series.shape
    assert set(study.seconds) >= {"motion", "masks", "maps", "lesion"}


def test_the_lesion_is_found_on_the_true_side(study, patient):
    truth = patient[1]
    assert study.lesions.side == truth.side
    scored = truth.masks["scored"] & study.lesions.tissue  # a lesion cannot be found where fluid or bone fills the voxel
    found, true = study.lesions.hypoperfusion & scored, truth.masks["hypoperfusion"] & scored
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.7


def test_core_and_penumbra_partition_the_hypoperfusion(study):
    lesions = study.lesions
    assert not (lesions.core & lesions.penumbra).any()
    assert np.array_equal(lesions.core | lesions.penumbra, lesions.hypoperfusion | lesions.core)


def test_saving_memory_changes_no_number(study, patient):
    scan = dataclasses.replace(patient[0], data=patient[0].data.copy())
    small = pipeline.run(scan, overwrite_series=True, keep_series=False)
    assert np.isnan(small.series.data).all()
    assert small.series.shape == study.series.shape
    assert np.isfinite(study.series.data).all()
    assert np.array_equal(small.concentration.data, study.concentration.data)
    for key, item in study.maps.items():
        assert np.array_equal(small.maps[key].values, item.values, equal_nan=True), key
    assert small.findings == study.findings


def test_a_series_is_left_as_it_was_unless_it_may_be_overwritten(patient):
    scan = dataclasses.replace(patient[0], data=patient[0].data.copy())
    kept = pipeline.run(scan, keep_series=False)
    assert np.array_equal(scan.data, patient[0].data)
    assert np.isnan(kept.series.data).all()


def test_the_same_scan_gives_the_same_numbers_twice(study, patient):
    again = pipeline.run(patient[0])
    assert np.array_equal(again.maps["tmax"].values, study.maps["tmax"].values, equal_nan=True)
    assert again.metrics.values["infarct_core_volume_ml"] == study.metrics.values["infarct_core_volume_ml"]


def test_progress_rises_to_one_and_can_cancel(patient):
    seen = []
    pipeline.run(patient[0], pipeline.Settings(motion_correction=False), progress=lambda f, s: seen.append(f))
    assert seen[-1] == 1.0
    assert all(after >= before - 1e-6 for before, after in itertools.pairwise(seen))

    def stop(fraction, stage):
        if fraction > 0.5:
            raise CancelledError("Stopped.")

    with pytest.raises(CancelledError):
        pipeline.run(patient[0], progress=stop)


def test_a_short_scan_is_refused(patient):
    series = patient[0]
    short = dataclasses.replace(series, data=series.data[..., :8], times_s=series.times_s[:8])
    with pytest.raises(TimingError, match="8 frames, at least 10"):
        pipeline.run(short)


def test_another_modality_is_refused(patient):
    with pytest.raises(InvalidInputError, match="modality 'asl'"):
        pipeline.run(dataclasses.replace(patient[0], modality="asl"))


def test_a_scan_without_contrast_is_refused_in_one_sentence(patient):
    series = patient[0]
    flat = PerfusionSeries(np.repeat(series.data[..., :1], series.times_s.size, axis=3), series.affine, series.times_s)
    with pytest.raises(InvalidInputError):
        pipeline.run(flat)


def test_a_brain_mask_of_another_grid_is_refused(patient):
    inputs = pipeline.UserInputs(brain_mask=np.ones((4, 4, 4), bool))
    with pytest.raises(InvalidInputError, match=r"brain mask has \(4, 4, 4\) voxels"):
        pipeline.run(patient[0], pipeline.Settings(motion_correction=False), inputs=inputs)


def test_points_on_an_artery_replace_the_automatic_choice(study, patient):
    series = patient[0]
    points = study.aif.voxels @ series.affine[:3, :3].T + series.affine[:3, 3]
    settings = pipeline.Settings(motion_correction=False, noise_reduction="none", method="csvd")
    drawn = pipeline.run(series, settings, inputs=pipeline.UserInputs(aif_points=points[:2]))
    assert drawn.aif.origin == "manual"
    assert {tuple(voxel) for voxel in drawn.aif.voxels} == {tuple(voxel) for voxel in study.aif.voxels[:2]}
    assert drawn.aif.scale > 0
    with pytest.raises(InvalidInputError, match="Both a curve and points were given for the AIF"):
        pipeline.UserInputs(aif=study.aif, aif_points=points)


def test_unknown_settings_are_named():
    with pytest.raises(InvalidInputError, match="no noise reduction 'magic'"):
        pipeline.Settings(noise_reduction="magic")
    with pytest.raises(InvalidInputError, match="density"):
        pipeline.Settings(density=0.0)


def test_a_gpu_is_refused_for_a_method_that_cannot_use_it():
    with pytest.raises(InvalidInputError, match="'csvd' computes on the CPU only"):
        pipeline.Settings(method="csvd", device="cuda:0")


def test_the_later_part_of_an_artery_of_voxels_is_what_tissue_asks_for(study, patient):
    """Of a curve that the user gave, or wants as it was measured, nothing is changed (how it is mended: test_arterial_input)."""
    series, settings = patient[0], pipeline.Settings(motion_correction=False, noise_reduction="none", method="csvd")
    given = dataclasses.replace(study.aif, values=study.aif.values * np.linspace(1.0, 0.8, study.aif.times_s.size))
    assert np.array_equal(pipeline.run(series, settings, inputs=pipeline.UserInputs(aif=given)).aif.values, given.values)
    assert abs(study.aif.quality["late_share"]) < 0.15
    as_found = pipeline.run(series, dataclasses.replace(settings, scale_aif=False)).aif
    assert as_found.scale == 1.0
    assert "late_share" not in as_found.quality


def test_the_maps_say_which_residues_gray_and_white_matter_had():
    pytest.importorskip("torch")
    scan, truth = phantom.ctp(
        seed=9, recipe="clean", residue="mixed", noise_hu=2.0, shape=(128, 128, 8), spacing_mm=(1.8, 1.8, 8.0), interval_s=1.5,
        frames=36,
    )  # fmt: skip
    study = pipeline.run(scan, pipeline.Settings(method="spatial"))
    assert truth.parameters["residue"]["gm"] != truth.parameters["residue"]["wm"]
    told = study.maps["cbf"].provenance.settings["residue_shape"]
    assert "(gray matter)" in told
    assert told.endswith("(white matter)")
    assert "residues_by_tissue" in {finding.code for finding in study.findings}
