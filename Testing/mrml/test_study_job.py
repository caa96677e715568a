# SPDX-License-Identifier: Apache-2.0
"""An analysis in a process of its own: its result in the scene, or a scene as it was."""

import dataclasses

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import CancelledError, InvalidInputError, TimingError
from PerfusionSuiteLib.jobs import JobFolder, SubprocessRunner
from PerfusionSuiteLib.phantom.export import write_nifti
from PerfusionSuiteSlicer.mrml import SequenceNodes
from PerfusionSuiteSlicer.mrml.StudyJob import startStudyJob
from PerfusionSuiteSlicer.ui.RunnerChoice import chooseRunner

pytestmark = pytest.mark.mrml
FAST = {"motion_correction": False, "noise_reduction": "none"}


@pytest.fixture(scope="module")
def series():
    return phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(64, 64, 4), spacing_mm=(3.2, 3.2, 14.0), interval_s=2.0, frames=25
    )[0]


@pytest.fixture
def sequence(scene, series):
    return SequenceNodes.seriesToSequence(scene, series, "patient")[0]


def nodes_of(scene):
    return [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())]


def test_the_result_is_in_the_scene_when_waiting_ends_and_a_second_run_updates_it(scene, sequence):
    seen, ended = [], []
    job = startStudyJob(
        scene,
        chooseRunner(),
        sequence,
        {**FAST, "method": "csvd"},
        progress=lambda fraction, stage: seen.append(fraction),
        finished=ended.append,
    )
    assert job.state == "running"
    nodes = job.wait()
    assert {"tmax", "cbf", "baseline"} <= set(nodes.maps)
    assert nodes.name == "patient"
    assert nodes["table.metrics"].GetNumberOfRows() > 0
    assert (job.state, ended) == ("done", [job])
    assert seen == sorted(seen)
    assert not job._job.folder.path.exists()  # nothing of the scan stays on the disk
    before = nodes_of(scene)
    again = startStudyJob(scene, chooseRunner(), sequence, {**FAST, "method": "osvd"}).wait()
    assert again["map.cbf"] is nodes["map.cbf"]
    assert nodes_of(scene) == before


def test_a_file_is_read_by_the_worker_and_named_after_its_case(scene, series, tmp_path):
    path = write_nifti(series, tmp_path / "case-7.nii.gz")
    nodes = startStudyJob(scene, chooseRunner(), path, FAST).wait()
    assert nodes.name == "case-7"
    assert nodes.sequence.GetNumberOfDataNodes() > 0


def test_a_cancelled_job_leaves_the_scene_as_it_was(scene, sequence):
    before = nodes_of(scene)
    job = startStudyJob(scene, chooseRunner(), sequence, {})
    job.cancel()
    with pytest.raises(CancelledError):
        job.wait()
    assert job.nodes is None
    assert nodes_of(scene) == before


def test_a_failed_job_leaves_the_scene_as_it_was_and_says_why(scene, sequence):
    before = nodes_of(scene)
    job = startStudyJob(scene, chooseRunner(), sequence, {"method": "magic"})
    with pytest.raises(InvalidInputError, match="no method 'magic'"):
        job.wait()
    assert job.outcome.code == 2
    assert nodes_of(scene) == before


def test_results_that_cannot_be_shown_leave_the_scene_as_it_was(scene, sequence, monkeypatch, caplog):
    monkeypatch.setattr(JobFolder, "load_result", lambda folder: None)
    before = nodes_of(scene)
    job = startStudyJob(scene, chooseRunner(), sequence, FAST)
    with pytest.raises(Exception, match="Unexpected AttributeError"):
        job.wait()
    assert nodes_of(scene) == before
    assert "could not be put into the scene" in caplog.text


def test_a_scan_that_left_the_scene_brings_no_results(scene, sequence, caplog):
    job = startStudyJob(scene, chooseRunner(), sequence, FAST)
    scene.RemoveNode(sequence)
    before = nodes_of(scene)
    with pytest.raises(InvalidInputError, match="was removed from the scene"):
        job.wait()
    assert nodes_of(scene) == before


def test_a_scan_that_cannot_be_used_is_refused_before_a_process_starts(scene, series):
    short = dataclasses.replace(series, data=series.data[..., :5], times_s=series.times_s[:5])
    node = SequenceNodes.seriesToSequence(scene, short, "short")[0]
    with pytest.raises(TimingError, match="5 frames"):
        startStudyJob(scene, chooseRunner(), node, FAST)


def test_findings_reach_the_caller(scene, series):
    cut = dataclasses.replace(series, data=series.data[..., :14], times_s=series.times_s[:14])  # before the bolus has passed
    node = SequenceNodes.seriesToSequence(scene, cut, "cut")[0]
    job = startStudyJob(scene, chooseRunner(), node, FAST)
    job.wait()
    assert job.findings
    assert all(finding.message for finding in job.findings)
    assert np.isin([finding.severity for finding in job.findings], ["info", "warning", "error"]).all()


def test_without_a_window_a_plain_process_does_the_work(application_scene):
    assert isinstance(chooseRunner(), SubprocessRunner)
    assert isinstance(chooseRunner(waitForCompletion=True), SubprocessRunner)


def test_the_volume_that_shows_a_scan_stands_for_it(scene, sequence):
    shown = SequenceNodes.proxyOfScan(scene, sequence)
    assert shown.GetName() == sequence.GetName()  # so that getNode gives the one that was added last
    assert SequenceNodes.scanOfProxy(shown) is sequence
    assert SequenceNodes.scanOfProxy(sequence) is sequence
    assert SequenceNodes.scanOfProxy("folder") == "folder"
    assert SequenceNodes.scanOfProxy(None) is None


def test_a_single_volume_is_refused_in_words(scene):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "head")
    assert SequenceNodes.scanOfProxy(volume) is volume
    with pytest.raises(InvalidInputError, match="'head' is no sequence of volumes"):
        startStudyJob(scene, SubprocessRunner(), volume, FAST, modality="ctp")
