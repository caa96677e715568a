# SPDX-License-Identifier: Apache-2.0
"""Flow and arrival from curves whose flow and arrival are known."""

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import asl
from PerfusionSuiteLib.asl import AslQuality, label_density
from PerfusionSuiteLib.core import AslDifference, GridMismatchError, InvalidInputError

DELAYS = np.array([1.025, 1.525, 2.025, 2.525])
SHAPE = (12, 10, 4)
AFFINE = np.diag([3.0, 3.0, 4.0, 1.0])


def drawn(low, high, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).uniform(low, high, shape)


def measured(
    flow, arrival, *, delays=DELAYS, label=1.45, labeling="pcasl", t1=1.33, noise=0.0, seed=1, m0=1000.0, late=None, known=True
):
    """Difference images of a volume; noise as part of M0 per difference image."""
    flow, arrival = np.broadcast_arrays(np.asarray(flow, float), np.asarray(arrival, float))
    late = np.zeros(flow.shape[2]) if late is None else late
    t1 = np.broadcast_to(t1, flow.shape)[..., None]
    density = label_density(flow[..., None], arrival[..., None], delays + late[:, None], label, labeling=labeling, t1_tissue_s=t1)
    images = density * 2 * 0.85 * m0 / 0.9
    images = images + np.random.default_rng(seed).normal(0.0, noise * m0, images.shape)
    return AslDifference(
        images.astype(np.float32), np.asarray(delays), np.full(len(delays), label), np.full(flow.shape, m0, np.float32),
        np.full(images.shape, noise * m0, np.float32) if known else None, np.ones(flow.shape, bool), AFFINE, labeling, 0.85, 3.0,
        late, np.full(len(delays), 3),
    )  # fmt: skip


def off(values, truth):
    return float(np.linalg.norm(values - truth) / np.linalg.norm(truth))


class TestOneDelay:
    def test_flow_is_exact_where_label_decays_like_blood(self):
        flow = drawn(5, 100)
        scan = measured(flow, drawn(0.2, 1.7), delays=np.array([1.8]), t1=1e12)
        # the consensus assumes that label stays in blood: tissue with the T1 of blood, and no venous outflow
        time = 1.65 * np.exp(-1.8 / 1.65) * (1 - np.exp(-1.45 / 1.65))
        scan = replace(scan, delta_m=(flow / 6000 * time * 2 * 0.85 * 1000 / 0.9)[..., None].astype(np.float32))
        assert np.abs(asl.quantify(scan, method="asl-single")["cbf"] / flow - 1).max() < 1e-3

    def test_pulsed_flow_is_exact_where_label_decays_like_blood(self):
        flow = drawn(5, 100)
        scan = measured(flow, 0.5, delays=np.array([1.8]), label=0.7, labeling="pasl")
        scan = replace(
            scan, delta_m=(flow / 6000 * 0.7 * np.exp(-1.8 / 1.65) * 2 * 0.85 * 1000 / 0.9)[..., None].astype(np.float32)
        )
        assert np.abs(asl.quantify(scan, method="asl-single")["cbf"] / flow - 1).max() < 1e-3

    def test_decay_in_tissue_is_exact_at_its_arrival_time_but_for_outflow(self):
        scan = measured(30.0 + 0 * drawn(0, 1), 1.1, delays=np.array([1.8]))
        found = asl.quantify(scan, method="asl-single", settings={"decay": "tissue", "arrival_s": 1.1})["cbf"]
        assert found == pytest.approx(30.0, rel=0.02)

    def test_twice_the_m0_is_half_the_flow(self):
        scan = measured(drawn(20, 80), 1.0)
        double = replace(scan, m0=2 * scan.m0)
        one, half = (asl.quantify(item, method="asl-single")["cbf"] for item in (scan, double))
        assert np.array_equal(half, one / 2)

    def test_published_factors_scale_flow(self):
        scan = measured(drawn(20, 80), 1.0)
        plain = asl.quantify(scan, method="asl-single", settings={"t1_tissue": 1.2})["cbf"]
        settings = {"t1_tissue": 1.2, "saturation_s": 2.0, "averages": 3, "vendor_factor": 32.0}
        factor = (1 - np.exp(-2.0 / 1.2)) / (3 * 32)
        assert asl.quantify(scan, method="asl-single", settings=settings)["cbf"] == pytest.approx(plain * factor, rel=1e-5)

    def test_the_delay_nearest_to_the_recommended_one_is_used(self):
        scan = measured(drawn(20, 80), 1.0)
        chosen = asl.quantify(scan, method="asl-single", settings={"delay_s": 2.025})["cbf"]
        assert np.array_equal(asl.quantify(scan, method="asl-single")["cbf"], chosen)

    def test_late_slices_have_longer_delays(self):
        flow, late = drawn(20, 80), np.array([0.0, 0.05, 0.1, 0.15])
        scan = measured(flow, 0.8, late=late)
        ratio = asl.quantify(scan, method="asl-single")["cbf"] / flow
        assert np.ptp(ratio.mean(axis=(0, 1))) < 0.03
        ignored = asl.quantify(replace(scan, slice_delays_s=0 * late), method="asl-single")["cbf"] / flow
        assert np.ptp(ignored.mean(axis=(0, 1))) > 0.06

    def test_a_delay_that_the_scan_has_not_is_refused(self):
        with pytest.raises(InvalidInputError, match=r"no post-label delay of 1 s. It has 1.025"):
            asl.quantify(measured(drawn(20, 80), 1.0), method="asl-single", settings={"delay_s": 1.0})


class TestSeveralDelays:
    @pytest.mark.parametrize("estimate", ["mean", "mode"])
    def test_flow_and_arrival_are_found_without_noise(self, estimate):
        flow, arrival = drawn(5, 100), drawn(1.1, 2.4, 2)
        found = asl.quantify(measured(flow, arrival), settings={"estimate": estimate})
        assert off(found["cbf"], flow) < 0.01
        assert np.abs(found["att"] - arrival).max() < 0.02
        assert (found["quality"] == AslQuality.OK).all()

    def test_tissue_relaxes_by_its_fractions(self):
        flow, white = drawn(10, 40), drawn(0, 1, 3) > 0.5
        scan = measured(flow, 1.4, t1=np.where(white, 0.83, 1.33))
        known = asl.quantify(scan, tissue={"gm": 1.0 - white, "wm": 1.0 * white})["cbf"]
        unknown = asl.quantify(scan)["cbf"]
        assert off(known, flow) < 0.01
        assert off(unknown[white], flow[white]) > 0.1

    def test_pulsed_labeling_with_a_bolus_that_is_cut_off(self):
        flow, arrival = drawn(20, 90), drawn(0.4, 1.3, 2)
        delays = np.array([0.5, 0.9, 1.3, 1.7, 2.1, 2.5])
        found = asl.quantify(measured(flow, arrival, delays=delays, label=0.7, labeling="pasl"), settings={"att_prior_s": 0.8})
        assert off(found["cbf"], flow) < 0.01

    def test_label_that_arrived_before_the_first_picture_is_told(self):
        flow = drawn(30, 80)
        found = asl.quantify(measured(flow, 0.7))
        assert (found["quality"] == AslQuality.EARLY_ARRIVAL).all()
        assert np.abs(found["cbf"] / flow - 1).max() < 0.05

    @pytest.mark.parametrize("known", [True, False])
    def test_a_standard_error_covers_two_thirds(self, known):
        shape = (40, 40, 2)
        rng = np.random.default_rng(5)
        flow, arrival = rng.uniform(35, 75, shape), rng.normal(1.3, 0.4, shape).clip(0.1, 2.8)
        t1 = 1.33 * rng.normal(1.0, 0.05, shape)
        gray = {"gm": np.ones(shape), "wm": np.zeros(shape)}
        found = asl.quantify(measured(flow, arrival, noise=1.2e-3, known=known, t1=t1), tissue=gray)
        for name, truth in (("cbf", flow), ("att", arrival)):
            share = float((np.abs(found[name] - truth) <= found[f"{name}_sd"]).mean())
            assert 0.60 < share < 0.78, (name, share)

    def test_without_noise_a_standard_error_holds_what_the_model_may_be_wrong_by(self):
        """Tissue relaxes otherwise than assumed, or is white matter and nobody said so, or shares its voxel with fluid."""
        shape = (30, 30, 2)
        rng = np.random.default_rng(6)
        flow, arrival = rng.uniform(45, 75, shape), rng.uniform(1.1, 2.0, shape)
        gray = {"gm": np.ones(shape), "wm": np.zeros(shape)}
        for t1 in (1.33 * 1.04, 1.33 / 1.04):
            found = asl.quantify(measured(flow, arrival, t1=t1, noise=1e-5), tissue=gray)
            assert (np.abs(found["cbf"] - flow) <= found["cbf_sd"]).mean() > 0.9
            assert (found["cbf_sd"] < 0.12 * flow).all()
        white = measured(0.35 * flow, arrival, t1=0.83, noise=1e-5)
        told = asl.quantify(white, tissue={"gm": np.zeros(shape), "wm": np.ones(shape)})
        not_told = asl.quantify(white)
        assert off(told["cbf"], 0.35 * flow) < 0.01
        assert off(not_told["cbf"], 0.35 * flow) > 0.2
        assert (np.abs(not_told["cbf"] - 0.35 * flow) <= not_told["cbf_sd"]).mean() > 0.6
        assert not_told["cbf_sd"].mean() > 4 * told["cbf_sd"].mean()
        watery = asl.quantify(measured(flow, arrival, noise=1e-5), tissue={"gm": np.full(shape, 0.8), "wm": np.zeros(shape)})
        assert (watery["cbf_sd"] > 0.2 * watery["cbf"]).all()

    def test_expectation_counts_only_with_noise(self):
        flow = np.full((30, 30, 1), 50.0)
        noisy = [asl.quantify(measured(flow, 2.2, noise=n), settings={"att_prior_sd_s": 0.1})["att"] for n in (1e-5, 3e-3)]
        assert noisy[0].mean() == pytest.approx(2.2, abs=0.02)
        assert np.nanmean(noisy[1]) < 1.6

    def test_blocks_and_neighbors_do_not_matter(self):
        scan = measured(drawn(10, 90), drawn(1.0, 2.2, 2), noise=1e-3)
        whole = asl.quantify(scan)
        mask = np.zeros(SHAPE, bool)
        mask[5, 6, 2] = True
        alone = asl.quantify(replace(scan, mask=mask))
        # the mean T1' of its group differs a little when a voxel is alone
        assert alone["cbf"][5, 6, 2] == pytest.approx(whole["cbf"][5, 6, 2], rel=2e-3)
        assert np.isnan(alone["cbf"][~mask]).all()
        assert (alone["quality"][~mask] == AslQuality.OUTSIDE_MASK).all()

    def test_an_artery_over_tissue_is_found(self):
        flow = np.full((20, 20, 1), 50.0)
        scan = measured(flow, 1.9)
        blood = asl.kinetic.arterial_response(1.25, DELAYS, 1.45) * 0.01 * 2 * 0.85 * 1000 / 0.9
        scan = replace(scan, delta_m=(scan.delta_m + blood).astype(np.float32))
        with_artery = asl.quantify(scan, settings={"arterial": True})
        assert with_artery["abv"] == pytest.approx(1.0, rel=0.1)
        assert with_artery["cbf"] == pytest.approx(50.0, rel=0.02)
        assert asl.quantify(scan)["cbf"].mean() > 52

    def test_no_artery_is_seen_where_there_is_none(self):
        found = asl.quantify(measured(drawn(20, 80), drawn(1.1, 2.0, 2), noise=8e-4), settings={"arterial": True})
        assert float((found["abv"] > 0).mean()) < 0.15

    def test_missing_values_signal_and_m0_have_their_codes(self):
        scan = measured(np.full(SHAPE, 50.0), 1.3)
        images, m0 = scan.delta_m.copy(), scan.m0.copy()
        images[0, 0, 0, 1] = np.nan
        images[1, 0, 0] = -3.0
        m0[2, 0, 0] = 0.0
        found = asl.quantify(replace(scan, delta_m=images, m0=m0))
        codes = [found["quality"][n, 0, 0] for n in range(3)]
        assert codes == [AslQuality.NOT_FINITE, AslQuality.NO_SIGNAL, AslQuality.NO_CALIBRATION]
        assert np.isnan(found["cbf"][0, 0, 0])
        assert found["cbf"][1, 0, 0] == 0.0
        assert np.isnan(found["att"][1, 0, 0])

    def test_without_m0_flow_is_relative(self):
        flow = drawn(20, 80)
        found = asl.quantify(replace(measured(flow, 1.3, noise=1e-5), m0=None))
        assert "cbf" not in found
        assert "cbf_sd" not in found
        assert np.nanmean(found["rcbf"]) == pytest.approx(100.0, abs=0.01)
        assert np.corrcoef(found["rcbf"].ravel(), flow.ravel())[0, 1] > 0.999

    def test_one_delay_is_not_enough(self):
        with pytest.raises(InvalidInputError, match="1 post-label delay, but asl-multi needs at least 2. Use asl-single"):
            asl.quantify(measured(drawn(20, 80), 1.0, delays=np.array([1.8])))


class TestWeightedDelay:
    def test_flow_and_arrival_are_found_without_noise(self):
        flow, arrival = drawn(5, 100), drawn(1.1, 2.4, 2)
        found = asl.quantify(measured(flow, arrival), method="asl-multi-wd", settings={"t1_tissue": 1.33})
        assert off(found["cbf"], flow) < 0.03
        assert np.abs(found["att"] - arrival).max() < 0.03

    def test_published_relaxation_is_the_default(self):
        scan = measured(drawn(20, 60), 1.5, t1=1.2)
        assert off(asl.quantify(scan, method="asl-multi-wd")["cbf"], drawn(20, 60)) < 0.03

    def test_early_label_cannot_be_told(self):
        found = asl.quantify(measured(np.full(SHAPE, 50.0), 0.5), method="asl-multi-wd", settings={"t1_tissue": 1.33})
        assert (found["quality"] == AslQuality.EARLY_ARRIVAL).all()


class TestWrongInput:
    def test_an_unknown_method(self):
        with pytest.raises(InvalidInputError, match="no ASL method 'bayes'. Choose one of asl-single, asl-multi"):
            asl.quantify(measured(drawn(1, 2), 1.0), method="bayes")

    def test_an_unknown_option(self):
        with pytest.raises(InvalidInputError, match="'asl-multi' has no option 'delay_s'. It has estimate"):
            asl.quantify(measured(drawn(1, 2), 1.0), settings={"delay_s": 1.5})

    def test_durations_that_are_not_known(self):
        scan = replace(measured(drawn(1, 2), 1.0), label_durations_s=np.full(4, np.nan))
        with pytest.raises(InvalidInputError, match="labeling duration is not known for every delay"):
            asl.quantify(scan)
        with pytest.raises(InvalidInputError, match="BolusCutOffDelayTime"):
            asl.quantify(replace(scan, labeling="pasl"))

    def test_a_count_that_does_not_fit(self):
        scan = replace(measured(drawn(1, 2), 1.0), post_label_delays_s=DELAYS[:3])
        with pytest.raises(InvalidInputError, match="do not fit 3 delays and 4 label durations"):
            asl.quantify(scan)

    def test_fractions_of_another_grid_and_in_percent(self):
        scan = measured(drawn(1, 2), 1.0)
        with pytest.raises(GridMismatchError, match="fraction of gm has"):
            asl.quantify(scan, tissue={"gm": np.ones((2, 2, 2)), "wm": np.ones((2, 2, 2))})
        with pytest.raises(InvalidInputError, match="Divide percent by 100"):
            asl.quantify(scan, tissue={"gm": np.full(SHAPE, 80.0), "wm": np.zeros(SHAPE)})
        with pytest.raises(InvalidInputError, match="Give both 'gm' and 'wm'"):
            asl.quantify(scan, tissue={"gm": np.ones(SHAPE)})

    def test_an_impossible_efficiency_and_mask(self):
        scan = measured(drawn(1, 2), 1.0)
        with pytest.raises(InvalidInputError, match="efficiency of 1.7 is not possible"):
            asl.quantify(replace(scan, labeling_efficiency=1.7))
        with pytest.raises(InvalidInputError, match="brain mask is empty"):
            asl.quantify(replace(scan, mask=np.zeros(SHAPE, bool)))
