# SPDX-License-Identifier: Apache-2.0
"""What a fit learned, in the scene: stored field, losses, fitted arterial curve, maps and curves made from it later."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import FittedField, InvalidInputError
from PerfusionSuiteLib.jobs import SubprocessRunner
from PerfusionSuiteSlicer.headless.IOManager import readScene
from PerfusionSuiteSlicer.headless.Runtime import freshScene
from PerfusionSuiteSlicer.mrml import SequenceNodes
from PerfusionSuiteSlicer.mrml.FieldJob import startCurvesJob, startSampleJob
from PerfusionSuiteSlicer.mrml.FieldNodes import fieldSentence, fieldText
from PerfusionSuiteSlicer.mrml.LiveFit import LiveFit
from PerfusionSuiteSlicer.mrml.SceneFiles import writeBundle
from PerfusionSuiteSlicer.mrml.StudyJob import resumeJob, startStudyJob
from PerfusionSuiteSlicer.mrml.StudyScene import findStudy, studyToScene
from PerfusionSuiteSlicer.mrml.TableNodes import columnValues
from PerfusionSuiteSlicer.mrml.VolumeArrays import affineOf, volumeArray
from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

from .scene_problems import problemsOfScene

pytestmark = pytest.mark.mrml
PLACE = Path(__file__).resolve().parents[1] / "watched_method.py"
FIT_ROLES = {"fit.field", "fit.weights", "fit.loss", "fit.loss.chart", "fit.loss.plot.1", "fit.loss.plot.2"}


def nodes_of(scene):
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


@pytest.fixture
def fitted_study(a_study):
    """The shared study, as if a field had been fitted to it: transit time grows to the patient's left."""
    mask = a_study.concentration.mask
    mtt = np.where(mask, 4.0 + 0.05 * np.indices(mask.shape)[0], np.nan).astype(np.float32)
    weights = {
        "log_volume": np.where(mask, np.log(0.04), np.nan).astype(np.float32),
        "center_s": (1.0 + 0.5 * mtt).astype(np.float32),
        "log_mtt": np.log(mtt).astype(np.float32),
        "cbf_sd": np.where(mask, 2.5, np.nan).astype(np.float32),
    }
    times, aif = a_study.concentration.times_s, a_study.aif.values
    history = {
        "step": np.arange(1.0, 6),
        "seconds": np.arange(5.0),
        "loss": 10.0 ** -np.arange(5),
        "data": 0.5 * 10.0 ** -np.arange(5),
    }
    settings = {"factor": 69.841, "family": "box", "residue_shape": "box", "dispersion": 0.0}
    field = FittedField(
        "spatial", "raster", weights, mask.shape, a_study.concentration.affine, mask, times, aif, settings, history, 0.9 * aif
    )
    return replace(a_study, fitted=field)


def test_a_fit_brings_its_field_losses_and_arterial_curve(scene, fitted_study):
    nodes = studyToScene(scene, fitted_study, "case")
    assert set(nodes) >= FIT_ROLES | {"curve.aif.fitted", "plot.aif.fitted"}
    said = json.loads(nodes["fit.field"].GetText())
    assert (said["method"], said["kind"], said["file"]["format"]) == ("spatial", "raster", "safetensors")
    assert fieldSentence(nodes["fit.field"]).startswith("spatial, fitted on 48 x 56 x 6 voxels of 4 x 4 x 8 mm, 30 frames")
    losses = columnValues(nodes["fit.loss"])
    assert losses["step"].tolist() == [1, 2, 3, 4, 5]
    chart = nodes["fit.loss.chart"]
    assert chart.GetYAxisLogScale() and not chart.GetXAxisLogScale()
    assert [chart.GetNthPlotSeriesNode(i).GetYColumnName() for i in range(2)] == ["loss", "data"]
    names = [
        nodes["chart.input"].GetNthPlotSeriesNode(i).GetName() for i in range(nodes["chart.input"].GetNumberOfPlotSeriesNodes())
    ]
    assert names == ["case AIF", "case AIF fitted", "case VOF"]
    np.testing.assert_allclose(columnValues(nodes["curve.aif.fitted"])["AIF fitted"], 0.9 * fitted_study.aif.values)


def test_a_second_fit_uses_the_same_nodes_and_a_study_without_field_removes_them(scene, fitted_study):
    first = studyToScene(scene, fitted_study, "case")
    before = nodes_of(scene)
    second = studyToScene(scene, fitted_study, "case")
    assert nodes_of(scene) == before
    assert second["fit.field"] is first["fit.field"]
    third = studyToScene(scene, replace(fitted_study, fitted=None), "case")
    assert not any(role.startswith("fit") or "fitted" in role for role in findStudy(scene, "case"))
    assert third.maps


def test_a_field_is_sampled_after_its_scene_was_saved_moved_and_opened_elsewhere(runtime, scene, fitted_study, tmp_path):
    nodes = studyToScene(scene, fitted_study, "case", includeSeries=False)
    content = fieldText(nodes["fit.field"]).tobytes()
    (tmp_path / "elsewhere").mkdir()
    moved = writeBundle(scene, tmp_path / "scene.mrb").rename(tmp_path / "elsewhere" / "renamed.mrb")
    with freshScene() as other:
        readScene(other.scene, str(moved), clear=True)
        assert problemsOfScene(other.scene, "case", nodes) == []
        again = findStudy(other.scene, "case")
        field = again["fit.field"]
        assert fieldText(field).tobytes() == content
        volumes = startSampleJob(other.scene, chooseRunner(True), field, spacing=(2.0, 2.0, 4.0)).wait()
        assert set(volumes) >= {"cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd"}
        assert volumes["mtt"].GetImageData().GetDimensions() == (96, 112, 12)
        assert volumes["mtt"].GetName() == "case MTT 2 x 2 x 4 mm"
        assert volumes["mtt"].GetDisplayNode().GetColorNode() is not None
        # where the coarse and the fine grid agree, so do the numbers
        fine, affine = volumeArray(volumes["mtt"]), affineOf(volumes["mtt"])
        k, j, i = (a // 2 for a in fine.shape[::-1])
        place = np.linalg.inv(fitted_study.fitted.affine) @ affine @ [i, j, k, 1.0]
        assert fine[i, j, k] == pytest.approx(4.0 + 0.05 * place[0], abs=1e-3)
        before = nodes_of(other.scene)
        startSampleJob(other.scene, chooseRunner(True), field, spacing=(2.0, 2.0, 4.0)).wait()
        assert nodes_of(other.scene) == before  # brought up to date in place


def test_a_field_is_sampled_on_the_grid_of_another_volume(scene, fitted_study):
    nodes = studyToScene(scene, fitted_study, "case", includeSeries=False)
    reference = nodes["map.baseline"]
    volumes = startSampleJob(scene, chooseRunner(True), nodes["fit.field"], referenceVolume=reference).wait()
    np.testing.assert_allclose(affineOf(volumes["tmax"]), affineOf(reference))
    values = volumeArray(volumes["mtt"])
    mask = fitted_study.concentration.mask
    np.testing.assert_allclose(values[mask], np.exp(fitted_study.fitted.weights["log_mtt"][mask]), rtol=1e-5)
    assert np.isnan(values[~mask]).all()
    with pytest.raises(InvalidInputError, match="which grid is meant"):
        startSampleJob(scene, chooseRunner(True), nodes["fit.field"])


def test_fitted_curves_play_with_the_scan_where_times_agree_and_alone_where_not(scene, fitted_study):
    nodes = studyToScene(scene, fitted_study, "case")
    sequence, _browser = startCurvesJob(scene, chooseRunner(True), nodes["fit.field"]).wait()
    scan = nodes.browser
    assert sequence.GetNumberOfDataNodes() == nodes.sequence.GetNumberOfDataNodes()
    assert scan.IsSynchronizedSequenceNode(sequence, True)
    scan.SetSelectedItemNumber(12)
    proxy, brain = scan.GetProxyNode(sequence), fitted_study.concentration.mask
    shown = volumeArray(proxy)
    expected = volumeArray(nodes["map.baseline"])
    assert np.allclose(shown[~brain], expected[~brain])  # the head around the brain is that of the scan
    assert (shown[brain] >= expected[brain] - 1e-3).all()
    means = columnValues(findStudy(scene, "case")["curve.tissue.fitted"])
    assert set(means) == {"time", "Normal tissue (fit)", "Hypoperfused tissue (fit)"}
    assert means["Normal tissue (fit)"].max() > 1.0
    chart = nodes["chart.tissue"]
    names = [chart.GetNthPlotSeriesNode(i).GetName() for i in range(chart.GetNumberOfPlotSeriesNodes())]
    assert names[-2:] == ["case Normal tissue (fit)", "case Hypoperfused tissue (fit)"]
    finer, _browser = startCurvesJob(scene, chooseRunner(True), nodes["fit.field"], step=0.5).wait()
    assert finer is sequence
    times = [float(finer.GetNthIndexValue(i)) for i in range(3)]
    assert times == [0.0, 0.5, 1.0]
    assert not scan.IsSynchronizedSequenceNode(finer, True)


def test_a_field_whose_weights_are_missing_or_changed_is_refused(scene, fitted_study):
    nodes = studyToScene(scene, fitted_study, "case", includeSeries=False)
    field, weights = nodes["fit.field"], nodes["fit.weights"]
    text = weights.GetText()
    weights.SetText(text[:-8])
    with pytest.raises(InvalidInputError, match=r"damaged|not those"):
        startSampleJob(scene, chooseRunner(True), field, spacing=4.0).wait()
    scene.RemoveNode(weights)
    with pytest.raises(InvalidInputError, match="not in the scene"):
        fieldText(field)
    with pytest.raises(InvalidInputError, match="A fitted field is needed, but 'case report' was given"):
        fieldText(nodes.report)


def test_a_running_fit_is_shown_and_leaves_nothing(scene, fitted_study):
    sequence = SequenceNodes.seriesToSequence(scene, fitted_study.series, "scan")[0]
    before = nodes_of(scene)
    live = LiveFit(scene, sequence, "scan spatial")
    for step in range(1, 5):
        live.onLoss(step, 4, {"loss": 1.0 / step, "data": 0.5 / step})
    live.onPreview(
        {"cbf": np.ones(fitted_study.series.shape, np.float32), "tmax": np.ones(fitted_study.series.shape, np.float32)}
    )
    nodes = findStudy(scene, "scan spatial (running)")
    assert columnValues(nodes["fit.loss"])["loss"].tolist() == [1.0, 0.5, 1 / 3, 0.25]
    np.testing.assert_allclose(affineOf(nodes["map.tmax"]), fitted_study.series.affine)
    assert not nodes["map.cbf"].GetSaveWithScene()
    live.onPreview({"cbf": np.ones((2, 2, 2), np.float32)})  # of another grid: not shown
    live.end()
    left = nodes_of(scene) - before
    assert all(scene.GetNodeByID(node).IsA("vtkMRMLColorTableNode") for node in left), left
    live.onLoss(5, 5, {"loss": 1.0})
    assert nodes_of(scene) == before | left


def test_lesions_of_another_study_do_not_lie_on_the_maps_of_a_running_fit(scene, fitted_study):
    shown = studyToScene(scene, fitted_study, "other", includeSeries=False).lesions.GetDisplayNode()
    scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode").SetLayoutName("PerfusionTmax")
    live = LiveFit(scene, SequenceNodes.seriesToSequence(scene, fitted_study.series, "scan")[0], "scan spatial")
    assert shown.GetVisibility()
    live.onPreview({"tmax": np.ones(fitted_study.series.shape, np.float32)})
    assert not shown.GetVisibility()
    live.end()
    assert shown.GetVisibility()


@pytest.fixture(scope="module")
def small_series():
    return phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(40, 40, 3), spacing_mm=(5.0, 5.0, 18.0), interval_s=2.0, frames=25
    )[0]


@pytest.fixture
def small_scan(scene, small_series):
    return SequenceNodes.seriesToSequence(scene, small_series, "patient")[0]


def test_a_cancelled_fit_is_resumed_into_the_scene(scene, small_scan, tmp_path):
    spec = importlib.util.spec_from_file_location("watched_method", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runner = SubprocessRunner(module.interpreter(tmp_path), temporary_folder=tmp_path)
    choices = {"motion_correction": False, "method": "watched", "method_options": {"steps": 60, "pause_s": 0.05}}
    live = LiveFit(scene, small_scan, "patient watched")
    before = nodes_of(scene)
    job = startStudyJob(scene, runner, small_scan, choices, name="patient watched", watcher=live)
    while live.steps < 3:
        assert job.poll() == "running", job.outcome
    job.cancel()
    job._job.wait()
    assert (job.state, job.canResume) == ("cancelled", True)
    live.end()
    left = nodes_of(scene) - before
    assert all(scene.GetNodeByID(node).IsA("vtkMRMLColorTableNode") for node in left), left
    seen = []
    job.resume(runner, progress=lambda fraction, stage: seen.append(fraction))
    nodes = job.wait()
    assert seen
    assert set(nodes) >= {"fit.field", "fit.loss", "map.cbf_sd", "map.tmax_sd"}
    assert columnValues(nodes["fit.loss"])["step"][0] > 3
    assert not job._job.folder.path.exists()
    with pytest.raises(InvalidInputError, match="nothing to resume"):
        job.resume(runner)


def test_a_kept_folder_is_resumed_by_its_path_and_knows_its_study(scene, small_scan, tmp_path):
    spec = importlib.util.spec_from_file_location("watched_method", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runner = SubprocessRunner(module.interpreter(tmp_path))
    choices = {"motion_correction": False, "method": "watched"}
    job = startStudyJob(scene, runner, small_scan, choices, name="patient watched", jobFolder=tmp_path / "kept")
    job.cancel()
    job._job.wait()
    nodes = resumeJob(scene, runner, tmp_path / "kept", sequenceNode=small_scan).wait()
    assert nodes.name == "patient watched"
    assert (tmp_path / "kept" / "result").is_dir()


def test_a_second_fit_removes_what_was_made_from_the_first_ones_field(scene, fitted_study):
    nodes = studyToScene(scene, fitted_study, "case")
    before = nodes_of(scene)
    startCurvesJob(scene, chooseRunner(True), nodes["fit.field"]).wait()
    startSampleJob(scene, chooseRunner(True), nodes["fit.field"], spacing=4.0).wait()
    assert nodes_of(scene) > before
    studyToScene(scene, fitted_study, "case")
    left = [scene.GetNodeByID(node) for node in nodes_of(scene) - before]
    assert not left, [(node.GetClassName(), node.GetName()) for node in left]
