# SPDX-License-Identifier: Apache-2.0
"""The whole job for an ASL scan of known flow, arrival and lesion."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from PerfusionSuiteLib import asl, asl_pipeline, pipeline, results
from PerfusionSuiteLib.core import AslSeries, InvalidInputError, no_progress
from PerfusionSuiteLib.jobs.spec import JobSpec
from PerfusionSuiteLib.jobs.storage import load_value, save_value
from PerfusionSuiteLib.jobs.tasks import find_task
from PerfusionSuiteLib.results.asl_report import region_table


def _truth():
    spec = importlib.util.spec_from_file_location("shared_inputs", Path(__file__).parents[2] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.asl_truth()


TRUTH = _truth()
INPUTS = pipeline.AslInputs(
    brain_mask=TRUTH["brain"], gm=TRUTH["gm"].astype(np.float32), wm=TRUTH["wm"].astype(np.float32), midplane=(1, 0, 0, 2.0)
)
REPORT = SimpleNamespace(progress=no_progress, finding=lambda finding: None)
SETTINGS = pipeline.AslSettings(motion_correction=False)


class TestRun:
    def test_flow_arrival_and_low_flow_are_those_of_the_truth(self, an_asl_series):
        study = pipeline.run(an_asl_series, SETTINGS, inputs=INPUTS)
        gray = (TRUTH["gm"] > 0) & ~TRUTH["low"]
        assert np.median(study.maps["cbf"].values[gray]) == pytest.approx(60.0, rel=0.05)
        assert study.metrics.values["curves"]["gm_right"]["cbf"] == pytest.approx(60.0, rel=0.02)
        assert study.metrics.values["curves"]["gm_right"]["att"] == pytest.approx(1.2, abs=0.03)
        assert study.metrics.values["curves"]["wm_right"]["cbf"] == pytest.approx(22.0, rel=0.05)
        assert study.metrics.values["affected_side"] == "left"
        assert study.metrics.values["cbf_asymmetry_percent"] > 5  # the right side has more flow
        found = study.lesions.hypoperfusion
        assert 2 * (found & TRUTH["low"]).sum() / (found.sum() + TRUTH["low"].sum()) > 0.6
        later = study.metrics.values["hypoperfusion"]
        assert later["att_mean"] > later["att_mean_other_side"] + 0.1
        assert study.settings["method"] == "asl-multi"

    def test_numbers_of_a_network_come_from_its_own_map_and_curves_keep_their_model(self, an_asl_series, monkeypatch):
        """A network that knows nothing but left and right: its numbers must be those of its map, not of the kinetic model."""
        shape = an_asl_series.shape
        made = np.where(np.arange(shape[0])[:, None, None] < shape[0] // 2, 30.0, 50.0) * np.ones(shape)
        right = (an_asl_series.affine[0, 0] > 0) == (made[-1, 0, 0] == 50.0)  # whether 50 lies on the patient's right
        fixed = replace(
            asl.METHODS["qtmnet"], fit=lambda request: {"cbf": np.where(request.difference.mask, made, np.nan).astype(np.float32)}
        )
        monkeypatch.setattr(asl.registry, "METHODS", {**asl.METHODS, "qtmnet": fixed})
        monkeypatch.setattr(asl_pipeline, "assess", lambda difference, weights: ())
        monkeypatch.setattr(asl_pipeline, "_check_for_network", lambda series, settings, inputs: None)
        chosen = replace(SETTINGS, method="qtmnet", partial_volume=True)
        study = pipeline.run(an_asl_series, chosen, inputs=replace(INPUTS, midplane=(1, 0, 0, 0.0)))
        numbers = study.metrics.values
        assert {key: study.maps[key].provenance.method for key in ("cbf", "cbf_wm")} == {"cbf": "qtmnet", "cbf_wm": "asl-multi"}
        halves = (numbers["cbf"]["right"]["mean"], numbers["cbf"]["left"]["mean"])
        assert numbers["by_region"]["right"] == {"cbf": pytest.approx(halves[0]), "att": None, "from": "mean of voxels"}
        assert numbers["cbf_asymmetry_percent"] == pytest.approx(200 * (halves[0] - halves[1]) / sum(halves))
        assert (halves[0] > halves[1]) == right
        parts = [made[(TRUTH[name] >= 0.8) & TRUTH["brain"]].mean() for name in ("gm", "wm")]
        assert numbers["gm_wm_cbf_ratio"] == pytest.approx(parts[0] / parts[1], rel=1e-3)
        assert region_table(numbers)["head"][1:3] == ["CBF of the map (mL/100g/min)", "CBF by asl-multi"]
        assert numbers["curves"]["wm"]["method"] == "asl-multi"
        assert numbers["curves"]["wm"]["cbf"] == pytest.approx(22.0, rel=0.1)  # measured, with the model it belongs to

    @pytest.mark.parametrize("method", ["asl-multi", "asl-multi-wd", "asl-single"])
    def test_numbers_of_regions_are_fitted_by_the_method_of_the_maps(self, an_asl_series, method):
        numbers = pipeline.run(an_asl_series, replace(SETTINGS, method=method), inputs=INPUTS).metrics.values
        assert {facts["method"] for facts in numbers["curves"].values()} == {method}
        region, voxels = numbers["by_region"]["wm_right"], numbers["cbf"]["wm_right"]["median"]
        assert region["from"] == "mean curve"
        assert region["cbf"] == pytest.approx(voxels, rel=0.1)  # the same quantity, hardly biased at this noise
        assert (region["att"] is None) == (method == "asl-single")

    def test_one_delay_takes_the_consensus_equation(self, an_asl_series):
        chosen = an_asl_series.post_label_delays_s == 2.0
        one = replace(
            an_asl_series, data=an_asl_series.data[..., chosen], post_label_delays_s=an_asl_series.post_label_delays_s[chosen],
            label_durations_s=an_asl_series.label_durations_s[chosen],
            volume_types=tuple(np.array(an_asl_series.volume_types)[chosen]),
        )  # fmt: skip
        study = pipeline.run(one, SETTINGS, inputs=INPUTS)
        assert study.settings["method"] == "asl-single"
        assert "att" not in study.maps
        assert "asl_single_delay" in {finding.code for finding in study.findings}

    def test_label_taken_for_control_is_told_and_no_low_flow_is_drawn(self, an_asl_series):
        swapped = {"control": "label", "label": "control"}
        wrong = replace(an_asl_series, volume_types=tuple(swapped.get(name, name) for name in an_asl_series.volume_types))
        study = pipeline.run(wrong, SETTINGS, inputs=INPUTS)
        assert "asl_hardly_any_flow" in {finding.code for finding in study.findings}
        assert study.lesions is None
        assert study.metrics.values["hypoperfusion_volume_ml"] is None

    def test_a_protocol_that_the_network_does_not_know_is_refused_at_once(self, an_asl_series, monkeypatch):
        monkeypatch.setattr(asl_pipeline, "difference_of", None)  # nothing is computed before
        with pytest.raises(InvalidInputError, match=r"QTMnet|network|trained"):
            pipeline.run(an_asl_series, replace(SETTINGS, method="qtmnet"), inputs=INPUTS)

    @pytest.mark.parametrize(("noise", "expected"), [(0.0, False), (30.0, True)])
    def test_arrival_times_that_noise_hides_are_told(self, an_asl_series, noise, expected):
        rng = np.random.default_rng(5)
        noisy = an_asl_series.data + rng.normal(0.0, noise, an_asl_series.data.shape).astype(np.float32)
        study = pipeline.run(replace(an_asl_series, data=noisy), SETTINGS, inputs=INPUTS)
        assert ("asl_arrival_expected" in {finding.code for finding in study.findings}) == expected

    @pytest.mark.parametrize(("factor", "code"), [(0.02, "asl_too_much_flow"), (50.0, "asl_hardly_any_flow")])
    def test_an_m0_of_another_scale_is_told(self, an_asl_series, factor, code):
        study = pipeline.run(replace(an_asl_series, m0=an_asl_series.m0 * np.float32(factor)), SETTINGS, inputs=INPUTS)
        assert {finding.code: finding.severity for finding in study.findings}[code] == "error"

    def test_pure_tissues_are_mapped_when_asked_for(self, an_asl_series):
        study = pipeline.run(an_asl_series, replace(SETTINGS, partial_volume=True), inputs=INPUTS)
        inner = (TRUTH["wm"] > 0) & ~TRUTH["low"]
        assert np.nanmedian(study.maps["cbf_wm"].values[inner]) == pytest.approx(22.0, rel=0.1)
        assert np.isnan(study.maps["cbf_gm"].values[TRUTH["gm"] < 0.1]).all()

    def test_a_lower_efficiency_means_more_flow(self, an_asl_series):
        flows = [
            pipeline.run(an_asl_series, replace(SETTINGS, labeling_efficiency=value), inputs=INPUTS).metrics.values["curves"][
                "gm"
            ]["cbf"]
            for value in (0.85, 0.6)
        ]
        assert flows[1] / flows[0] == pytest.approx(0.85 / 0.6, rel=0.03)

    def test_without_m0_flow_is_relative(self, an_asl_series):
        bare = replace(an_asl_series, m0=None, background_suppression_pulses=2)
        study = pipeline.run(bare, SETTINGS, inputs=INPUTS)
        assert study.maps["rcbf"].unit == "%"
        assert "cbf" not in study.maps
        assert study.lesions.side == "left"
        assert "m0_missing" in {finding.code for finding in study.findings}

    def test_settings_of_another_modality_are_refused(self, an_asl_series, a_ctp_series):
        with pytest.raises(InvalidInputError, match="contrast perfusion were given for an ASL scan"):
            pipeline.run(an_asl_series, pipeline.Settings())
        with pytest.raises(InvalidInputError, match="ASL were given for a scan of modality 'ctp'"):
            pipeline.run(a_ctp_series, pipeline.AslSettings())


class TestSettings:
    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"method": "bayes"}, "no ASL method 'bayes'"),
            ({"method": "asl-multi", "method_options": {"delay_s": 1}}, "no option 'delay_s'"),
            ({"t1_blood": 1650.0}, "T1 of blood of 1650 s cannot be right"),
            ({"low_flow_percent": 0.0}, "Give 0 to 100 %"),
            ({"m0_options": {"smooth": 3}}, "no M0 option 'smooth'"),
            ({"device": "cuda"}, "computes on the CPU only"),
            ({"motion_correction": "no"}, "true or false is expected"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, values, words):
        with pytest.raises(InvalidInputError, match=words):
            pipeline.AslSettings(**values)

    def test_a_file_gives_settings_and_unknown_entries_are_told(self, tmp_path):
        path = tmp_path / "asl.json"
        path.write_text(json.dumps({"method": "asl-multi", "method_options": {"att_max": 3.5}}))
        assert pipeline.AslSettings.from_json(path, low_flow_percent=60.0).method_options == {"att_max": 3.5}
        path.write_text('{"preset": "adc"}')
        with pytest.raises(InvalidInputError, match="entries that ASL does not know: preset"):
            pipeline.AslSettings.from_json(path)

    def test_inputs_are_checked(self, an_asl_series):
        with pytest.raises(InvalidInputError, match="gray matter was given without that of white matter"):
            pipeline.AslInputs(gm=TRUTH["gm"])
        with pytest.raises(InvalidInputError, match="needs the fractions of gray and white matter"):
            pipeline.run(an_asl_series, pipeline.AslSettings(partial_volume=True))


class TestFiles:
    @pytest.mark.parametrize("layout", ["flat", "bids"])
    def test_everything_is_written_and_an_earlier_run_replaced(self, an_asl_series, tmp_path, layout):
        study = pipeline.run(an_asl_series, SETTINGS, inputs=INPUTS)
        first = results.write(study, tmp_path, layout=layout, pictures=layout == "flat")
        names = {path.relative_to(tmp_path).as_posix() for path in first}
        if layout == "bids":
            assert "sub-case01/perf/sub-case01_desc-perfusion_att.nii.gz" in names
            assert "sub-case01/perf/sub-case01_desc-hypoperfusion_mask.json" in names
            return
        volumes = {"cbf.nii.gz", "att.nii.gz", "cbf_sd.nii.gz", "rcbf_mirror.nii.gz", "status.nii.gz"}
        pictures = {"qa/asl_maps.png", "qa/asl_curves.png", "qa/asl_differences.png"}
        others = {"masks/hypoperfusion_mask.nii.gz", "metrics.json", "asl_curves.csv", "report.html", "log.txt"}
        assert volumes | pictures | others <= names
        values, affine = results.read_volume(tmp_path / "cbf.nii.gz")
        assert np.allclose(values, study.maps["cbf"].values, equal_nan=True)
        assert np.allclose(affine, an_asl_series.affine)
        numbers = json.loads((tmp_path / "metrics.json").read_text())
        assert "observed" not in numbers["curves"]["gm"]
        assert numbers["hypoperfusion_volume_ml"] == pytest.approx(study.lesions.hypoperfusion.sum() * 0.128)
        report = (tmp_path / "report.html").read_text()
        assert "ASL perfusion MRI report" in report
        assert "Alsop DC" in report
        bare = pipeline.run(replace(an_asl_series, m0=None, background_suppression_pulses=2), SETTINGS, inputs=INPUTS)
        second = {path.relative_to(tmp_path).as_posix() for path in results.write(bare, tmp_path, pictures=False)}
        assert not (tmp_path / "cbf.nii.gz").exists()
        assert "rcbf.nii.gz" in second


class TestJobs:
    def test_a_worker_analyzes_asl_and_hands_the_study_back(self, an_asl_series, tmp_path):
        inputs = {"series": an_asl_series, "brain_mask": TRUTH["brain"], "midplane": [1.0, 0.0, 0.0, 2.0]}
        spec = JobSpec("run", {"pipeline": {"motion_correction": False, "method": "asl-multi-wd"}}, inputs)
        study = find_task("run")(spec, REPORT)
        save_value(study, tmp_path / "result.json")
        back = load_value(tmp_path / "result.json")
        assert isinstance(back.series, AslSeries)
        assert np.array_equal(back.maps["att"].values, study.maps["att"].values, equal_nan=True)
        assert back.lesions.side == "left"

    def test_words_of_contrast_perfusion_are_refused(self, an_asl_series):
        spec = JobSpec("run", {"pipeline": {"preset": "adc"}}, {"series": an_asl_series})
        with pytest.raises(InvalidInputError, match="ASL scan has no setting 'preset'"):
            find_task("run")(spec, REPORT)


def test_the_network_has_the_options_that_the_registry_lists():
    from PerfusionSuiteLib.asl import qtm

    assert dict(asl.METHODS["qtmnet"].options) == dict(qtm.OPTIONS)
