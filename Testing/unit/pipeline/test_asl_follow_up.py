# SPDX-License-Identifier: Apache-2.0
"""A later ASL scan of a head that has moved and whose flow has changed by a known amount."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.asl_follow_up import with_follow_up
from PerfusionSuiteLib.cli.main import main
from PerfusionSuiteLib.core import InvalidInputError, no_progress
from PerfusionSuiteLib.jobs import JobSpec
from PerfusionSuiteLib.jobs.tasks import find_task
from PerfusionSuiteLib.results import read_volume

SETTINGS = pipeline.AslSettings(motion_correction=False)


def later_of(scan, factor=1.5):
    """The same head with `factor` times the difference signal, two voxels (8 mm) further along i."""
    kinds = np.array(scan.volume_types)
    data = scan.data.copy()
    data[..., kinds == "label"] -= (factor - 1.0) * (data[..., kinds == "control"] - data[..., kinds == "label"])
    return replace(scan, data=np.roll(data, 2, axis=0), m0=np.roll(scan.m0, 2, axis=0))


@pytest.fixture
def a_first_study(an_asl_series):
    brain, white = an_asl_series.m0 > 100, an_asl_series.m0 == 900
    inputs = pipeline.AslInputs(
        brain_mask=brain, gm=(brain & ~white).astype(np.float32), wm=white.astype(np.float32), midplane=(1, 0, 0, 2.0)
    )
    return pipeline.run(an_asl_series, SETTINGS, inputs=inputs)


def test_flow_that_has_grown_by_half_is_found_at_the_same_place(a_first_study, an_asl_series):
    found = with_follow_up(a_first_study, later_of(an_asl_series), SETTINGS)
    numbers = found.metrics.values["follow_up"]
    assert numbers["moved_mm"] == pytest.approx(8.0, abs=0.6)
    assert numbers["regions"]["wm"]["change_percent"] == pytest.approx(50.0, abs=5.0)
    assert numbers["regions"]["gm"]["change_percent"] == pytest.approx(50.0, abs=5.0)
    before, after = found.maps["cbf"].values, found.maps["cbf_later"].values
    inner = (an_asl_series.m0 == 900) & np.isfinite(after) & (before > 1.0)
    assert np.median(after[inner] / before[inner]) == pytest.approx(1.5, abs=0.1)
    assert {"resolved", "persistent", "new"} <= set(found.lesions.extra)
    low = numbers["resolved_ml"] + numbers["persistent_ml"]
    assert low == pytest.approx(numbers["first_ml"], abs=1e-3)


def test_relative_flow_cannot_be_compared(a_first_study, an_asl_series):
    bare = replace(an_asl_series, m0=None, background_suppression_pulses=2)
    with pytest.raises(InvalidInputError, match="is relative, since it has no M0"):
        with_follow_up(a_first_study, bare, SETTINGS)


def test_a_worker_takes_a_later_scan_and_refuses_what_is_none(an_asl_series):
    report = SimpleNamespace(progress=no_progress, finding=lambda finding: None)
    settings = {"pipeline": {"motion_correction": False}}
    inputs = {"series": an_asl_series, "brain_mask": an_asl_series.m0 > 100, "midplane": (1, 0, 0, 2.0)}
    study = find_task("run")(JobSpec("run", settings, {**inputs, "follow_up": later_of(an_asl_series)}), report)
    assert study.metrics.values["follow_up"]["regions"]["brain"]["change_percent"] == pytest.approx(50.0, abs=8.0)
    with pytest.raises(InvalidInputError, match="must be an ASL scan as well"):
        find_task("run")(JobSpec("run", settings, {**inputs, "follow_up": study.maps}), report)


def test_run_takes_a_later_scan_and_refuses_finished_maps(an_asl_series, tmp_path, capsys, monkeypatch):
    phantom.write_asl_bids(an_asl_series, tmp_path / "a", subject="01")
    phantom.write_asl_bids(later_of(an_asl_series), tmp_path / "b", subject="01")
    monkeypatch.setattr("PerfusionSuiteLib.results.writer._lacks", lambda package: package == "matplotlib")
    words = ["run", str(tmp_path / "a"), str(tmp_path / "out"), "--modality", "asl", "--no-motion-correction"]
    assert main([*words, "--followup", str(tmp_path / "b"), "--midplane", "1", "0", "0", "2"]) == 0
    assert "Follow-up: brain" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert numbers["follow_up"]["regions"]["brain"]["change_percent"] > 30
    assert read_volume(tmp_path / "out" / "masks" / "resolved.nii.gz")[0].shape == an_asl_series.shape
    assert '<h2 id="followup">' in (tmp_path / "out" / "report.html").read_text()
    assert main([*words, "--followup", str(tmp_path / "out")]) == 2
    assert "holds finished maps" in capsys.readouterr().err
    assert main([*words, "--followup", str(tmp_path / "nowhere")]) == 2
    assert "There is no follow-up" in capsys.readouterr().err
