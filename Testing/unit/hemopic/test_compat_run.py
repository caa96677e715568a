# SPDX-License-Identifier: Apache-2.0
"""The compatibility mode as a whole, on made-up brains and a digital patient."""

from __future__ import annotations

from typing import Any

import isles_subject
import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError, TimingError
from PerfusionSuiteLib.hemopic.compat_run import fit_compat, valid_interval
from PerfusionSuiteLib.hemopic.tissue_labels import PUBLISHED, collapse
from PerfusionSuiteLib.hemopic.tracer import tracer_curves

SHAPE = (40, 40, 4)


def a_brain(frames: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Gray matter, white matter, CSF and brain stem as blocks, each with its own bolus and noise."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:38, 2:18], labels[2:38, 18:30], labels[2:38, 30:35], labels[2:38, 35:38] = 1, 2, 3, 4
    times = np.arange(frames, dtype=float)
    tracer = random.normal(0.0, 0.3, (*SHAPE, frames))
    cbf, cbv = np.zeros(SHAPE), np.zeros(SHAPE)
    for kind, flow, volume, arrival in ((1, 60.0, 4.0, 8.0), (2, 25.0, 2.0, 9.0), (3, 45.0, 4.0, 8.5), (4, 35.0, 2.5, 8.0)):
        late = arrival + random.uniform(0.0, 3.0, SHAPE)[..., None]
        x = np.maximum(times - late, 0.0) / 5.0
        where = labels == kind
        tracer[where] += (4.0 * volume * x**3 * np.exp(3.0 * (1.0 - x)))[where]
        cbf[where], cbv[where] = flow, volume
    cbf *= random.uniform(0.7, 1.3, SHAPE)
    cbv *= random.uniform(0.7, 1.3, SHAPE)
    mtt = np.divide(60.0 * cbv, cbf, out=np.zeros(SHAPE), where=cbf > 0)
    return tracer.astype(np.float32), labels, {"cbf": cbf, "cbv": cbv, "mtt": mtt}


@pytest.fixture(scope="module")
def a_fit() -> tuple[Any, Any]:
    """Maps and regions of one made-up brain."""
    return fit_compat(*_arguments(a_brain()), k_gm=2, k_wm=2)


def _arguments(brain: tuple[Any, Any, Any]) -> tuple[Any, float, Any, Any]:
    tracer, labels, priors = brain
    return tracer, 1.0, labels, priors


class TestResults:
    def test_maps_fill_the_brain_and_nothing_else(self, a_fit: tuple[Any, Any]) -> None:
        maps, _ = a_fit
        brain = a_brain()[1] > 0
        for values in maps.values():
            assert values.dtype == np.float32
            np.testing.assert_array_equal(np.isfinite(values), brain)

    def test_volume_stays_where_the_prior_is(self, a_fit: tuple[Any, Any]) -> None:
        """The data say next to nothing about V (weakness 3 of the published model)."""
        for row in a_fit[1].rows:
            assert row["V_fit"] == pytest.approx(row["V_prior"], rel=0.02)

    def test_transit_time_is_sixty_times_volume_over_flow(self, a_fit: tuple[Any, Any]) -> None:
        maps, _ = a_fit
        given = a_brain()[2]["mtt"]
        inside = maps["mtt"] < np.percentile(given[given > 0], 99)
        inside &= maps["mtt"] > np.percentile(given[given > 0], 2)
        inside &= maps["cbf"] < 70
        np.testing.assert_allclose(maps["mtt"][inside], (60 * maps["cbv"] / maps["cbf"])[inside], rtol=1e-4)

    def test_csf_and_brain_stem_are_constant(self, a_fit: tuple[Any, Any]) -> None:
        maps, _ = a_fit
        labels = a_brain()[1]
        for kind in (3, 4):
            assert np.unique(maps["cbf"][labels == kind]).size == 1
            assert np.unique(maps["cbv"][labels == kind]).size == 1

    def test_the_mean_flow_of_a_region_is_its_late_outflow(self, a_fit: tuple[Any, Any]) -> None:
        maps, regions = a_fit
        times = np.arange(30.0)
        for row in regions.rows:
            flows = row["F_fit"] + (1 / row["R_fit"] - row["F_fit"]) * np.exp(-times / row["tau_fit"])
            mean = maps["cbf"][regions.labels == row["roi_id"]].mean(dtype=float)
            assert mean == pytest.approx(flows[-6:].mean(), rel=1e-5)

    def test_the_table_has_the_published_columns(self, a_fit: tuple[Any, Any]) -> None:
        assert ", ".join(a_fit[1].rows[0]) == (
            "roi_id, tissue, n_vox_all, n_vox_fit, F_prior, V_prior, Cin_prior, R_fit, C_wk_fit, tau_fit, F_fit, V_fit, "
            "Cin_bar_fit, loss, success, message"
        )
        assert [row["tissue"] for row in a_fit[1].rows] == ["GM", "GM", "WM", "WM", "CSF", "BrainStem"]

    def test_curves_belong_to_their_rows(self, a_fit: tuple[Any, Any]) -> None:
        regions = a_fit[1]
        assert regions.observed.shape == regions.fitted.shape == (6, 30)
        assert regions.reference.max() == pytest.approx(1.0)
        assert not regions.relative
        for row, observed in zip(regions.rows, regions.observed, strict=True):
            assert observed.max() == pytest.approx(row["Cin_prior"], rel=1e-5)

    def test_the_seed_makes_it_reproducible(self) -> None:
        first, second = (fit_compat(*_arguments(a_brain()), k_gm=3, k_wm=2, seed=5) for _ in range(2))
        for name in ("cbf", "cbv", "mtt"):
            np.testing.assert_array_equal(first[0][name], second[0][name])
        assert first[1].rows == second[1].rows

    def test_a_mask_restricts_the_voxels(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[:20] = True
        maps, regions = fit_compat(*_arguments(a_brain()), mask=mask, k_gm=1, k_wm=1)
        assert not np.isfinite(maps["cbf"][20:]).any()
        assert not regions.labels[20:].any()

    def test_the_flow_of_a_digital_patient_follows_the_supplied_map(self, a_patient: tuple[Any, Any]) -> None:
        series, truth = a_patient
        tracer, _, _ = tracer_curves(series.data, echo_time_s=series.acquisition.echo_times_s[0])
        labels = collapse(isles_subject.structures(truth), PUBLISHED)
        maps, regions = fit_compat(tracer, 1.5, labels, truth.maps, k_gm=3, k_wm=2)
        inside = np.isfinite(maps["cbf"]) & (truth.maps["cbf"] > 0)
        assert np.corrcoef(maps["cbf"][inside], truth.maps["cbf"][inside])[0, 1] > 0.5
        gray, white = (maps["cbf"][labels == kind].mean() for kind in (1, 2))
        assert gray > 1.3 * white
        assert all(row["success"] for row in regions.rows)


class TestKnownFailures:
    """What physical mode must do better; documented as facts of this mode (check 11)."""

    def test_frames_added_before_the_bolus_flatten_the_flow(self) -> None:
        tracer, labels, priors = a_brain()
        # Empty frames, as if the scanner had been started ten seconds earlier.
        earlier = np.concatenate([np.random.default_rng(3).normal(0, 0.3, (*SHAPE, 10)).astype(np.float32), tracer], axis=3)
        usual, regions = fit_compat(tracer, 1.0, labels, priors, k_gm=1, k_wm=1)
        longer, others = fit_compat(earlier, 1.0, labels, priors, k_gm=1, k_wm=1)
        gray = labels == 1
        assert longer["cbf"][gray].std() < 0.8 * usual["cbf"][gray].std()
        assert others.rows[0]["tau_fit"] > 1.2 * regions.rows[0]["tau_fit"]

    def test_every_other_frame_gives_another_flow(self) -> None:
        tracer, labels, priors = a_brain()
        usual, _ = fit_compat(tracer, 1.0, labels, priors, k_gm=1, k_wm=1)
        sparse, _ = fit_compat(tracer[..., ::2], 2.0, labels, priors, k_gm=1, k_wm=1)
        gray = labels == 1
        assert np.corrcoef(sparse["cbf"][gray], usual["cbf"][gray])[0, 1] < 0.85

    def test_a_wrong_interval_goes_unnoticed_and_scales_the_time_constant(self) -> None:
        tracer, labels, priors = a_brain()
        _, usual = fit_compat(tracer, 1.0, labels, priors, k_gm=1, k_wm=1)
        _, wrong = fit_compat(tracer, 2.0, labels, priors, k_gm=1, k_wm=1)
        assert wrong.rows[0]["tau_fit"] == pytest.approx(2 * usual.rows[0]["tau_fit"], rel=0.01)
        assert wrong.rows[0]["loss"] == pytest.approx(usual.rows[0]["loss"], rel=0.01)

    def test_without_the_supplied_maps_there_is_nothing(self) -> None:
        tracer, labels, priors = a_brain()
        with pytest.raises(InvalidInputError, match="CBV and MTT is missing"):
            fit_compat(tracer, 1.0, labels, {"cbf": priors["cbf"]})


class TestFailures:
    @pytest.mark.parametrize("level", [0.0, 0.3])
    def test_a_region_without_tracer_is_reported(self, level: float) -> None:
        tracer, labels, priors = a_brain()
        tracer[labels == 4] = level * np.random.default_rng(0).normal(size=(*SHAPE, 30))[labels == 4]
        maps, regions = fit_compat(tracer, 1.0, labels, priors, k_gm=1, k_wm=1)
        found = {finding.code: finding.message for finding in regions.findings}
        assert regions.rows[-1]["tissue"] == "BrainStem"
        assert found["compat_no_tracer"].endswith(f": {regions.rows[-1]['roi_id']}.")
        assert np.isfinite(maps["cbf"][labels == 4]).all()

    def test_a_supplied_map_without_a_number_is_an_error_in_the_findings(self) -> None:
        tracer, labels, priors = a_brain()
        priors["cbf"] = np.full(SHAPE, np.nan)
        maps, regions = fit_compat(tracer, 1.0, labels, priors, k_gm=1, k_wm=1)
        found = {finding.code: finding for finding in regions.findings}
        assert found["compat_prior_missing"].severity == "error"
        assert "CBF" in found["compat_prior_missing"].message
        assert maps["cbf"][labels > 0].max() < 1e-4

    def test_regions_too_small_to_fit_are_filled_and_reported(self) -> None:
        tracer, labels, priors = a_brain()
        labels[labels == 4] = 0
        labels[2:12, 36, 0] = 4
        maps, regions = fit_compat(tracer, 1.0, labels, priors, k_gm=1, k_wm=1)
        assert [row["tissue"] for row in regions.rows] == ["GM", "WM", "CSF"]
        assert "compat_filled" in {finding.code for finding in regions.findings}
        assert np.isfinite(maps["cbf"][labels > 0]).all()

    @pytest.mark.parametrize("name", ["cbf", "cbv", "mtt"])
    def test_a_map_on_another_grid_is_refused(self, name: str) -> None:
        tracer, labels, priors = a_brain()
        priors[name] = priors[name][:-1]
        with pytest.raises(GridMismatchError, match=name.upper()):
            fit_compat(tracer, 1.0, labels, priors)

    def test_labels_on_another_grid_are_refused(self) -> None:
        tracer, labels, priors = a_brain()
        with pytest.raises(GridMismatchError, match="labels"):
            fit_compat(tracer, 1.0, labels[:-1], priors)

    def test_a_single_volume_is_refused(self) -> None:
        tracer, labels, priors = a_brain()
        with pytest.raises(GridMismatchError, match="axes"):
            fit_compat(tracer[..., 0], 1.0, labels, priors)
        with pytest.raises(TimingError, match="1 frames"):
            fit_compat(tracer[..., :1], 1.0, labels, priors)

    def test_labels_without_a_large_class_are_refused(self) -> None:
        tracer, labels, priors = a_brain()
        few = np.zeros_like(labels)
        few[:5, :5, 0] = 1
        with pytest.raises(InvalidInputError, match="No region"):
            fit_compat(tracer, 1.0, few, priors)

    @pytest.mark.parametrize(("choice", "words"), [({"k_gm": 0}, "K_GM"), ({"k_wm": 101}, "K_WM"), ({"seed": -1}, "seed")])
    def test_impossible_choices_are_refused(self, choice: dict[str, int], words: str) -> None:
        with pytest.raises(InvalidInputError, match=words):
            fit_compat(*_arguments(a_brain()), **choice)

    @pytest.mark.parametrize("dt", [0.0, -1.0, np.nan, np.inf])
    def test_an_impossible_interval_counts_as_one_second(self, dt: float) -> None:
        assert valid_interval(dt) == 1.0

    def test_cancel_stops_between_regions(self) -> None:
        def stop(fraction: float, stage: str) -> None:
            if stage.startswith("Fitting region 2"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit_compat(*_arguments(a_brain()), k_gm=1, k_wm=1, progress=stop)
