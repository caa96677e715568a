# SPDX-License-Identifier: Apache-2.0
"""From MR signal to the change of relaxation: known answers, guards and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import Acquisition, InvalidInputError, PerfusionSeries
from PerfusionSuiteLib.prepare.dsc import check_dsc, dsc_concentration
from PerfusionSuiteLib.prepare.dsc_chain import prepare_dsc
from PerfusionSuiteLib.prepare.dsc_frames import bright_head, drop_dummies, frames_before_bolus, otsu, quick_change
from PerfusionSuiteLib.prepare.dsc_signal import echo_time, relaxation, signal_noise
from PerfusionSuiteLib.prepare.mr_masks import mr_tissue_masks

TIMES = np.linspace(0.0, 58.5, 40)
SIZE = {"shape": (64, 64, 6), "spacing_mm": (3.4, 3.4, 9.0), "frames": 44, "interval_s": 1.9}


def bolus(times=TIMES, start=18.0):
    x = np.maximum(times - start, 0.0) / 2.0
    return x**3 * np.exp(-x) / 1.344


def head_of(change, te=0.03, level=600.0, noise=0.0, shape=(20, 20, 4)):
    """A block of tissue in the middle of nothing, with a given change of relaxation."""
    rng = np.random.default_rng(1)
    data = np.zeros((*shape, TIMES.size))
    data[4:-4, 4:-4] = level * np.exp(-te * change)
    if noise:
        data = np.hypot(data + noise * rng.standard_normal(data.shape), noise * rng.standard_normal(data.shape))
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    return PerfusionSeries(data, affine, TIMES, "dsc", Acquisition(echo_times_s=(te,)))


@pytest.fixture(scope="module")
def patient():
    """A noise-free, still patient at two echoes, with frames before the steady state."""
    return phantom.dsc_echoes(
        seed=2, site="m1", recipe="clean", snr=np.inf, motion="none", field_t=1.5, echo_times_s=(0.012, 0.035), **SIZE
    )


@pytest.fixture(scope="module")
def noisy():
    return phantom.dsc(seed=8, site="m1", recipe="typical", motion="none", field_t=3.0, **SIZE)


def test_change_of_relaxation_is_exact_for_one_echo():
    true = np.outer([1.0, 5.0, 20.0], bolus())
    signal = (700.0 * np.exp(-0.03 * true)).astype(np.float32)
    found = relaxation((signal,), (0.03,), 8, (0.0,))
    np.testing.assert_allclose(found.curves, true, atol=1e-5 * true.max())
    np.testing.assert_allclose(found.baseline, 700.0, rtol=1e-6)
    assert not found.saturated.any()


def test_two_echoes_do_not_see_t1():
    true, brighter = np.outer([1.0, 5.0, 20.0], bolus()), 1.0 + 0.3 * bolus(start=20.0)
    signals = tuple((700.0 * np.exp(-te * (20.0 + true)) * brighter).astype(np.float32) for te in (0.01, 0.035))
    found = relaxation(signals, (0.01, 0.035), 8, (0.0, 0.0))
    np.testing.assert_allclose(found.curves, true, atol=1e-5 * true.max())


@pytest.mark.parametrize("echoes", [(0,), (0, 1)])
def test_noise_free_patients_come_back_exactly(patient, echoes):
    """Against the definition in double precision, in every unsaturated voxel of the mask."""
    series = [drop_dummies(patient[0][n]) for n in echoes]
    masks = mr_tissue_masks(series[0])
    found = dsc_concentration(series[0], masks, second_echo=series[1] if len(series) == 2 else None)
    c = found.concentration
    good = c.mask & ~found.saturated
    te = [s.acquisition.echo_times_s[0] for s in series]
    logs = [np.log(s.data[good].astype(np.float64)) for s in series]
    level = [np.log(s.data[good][:, : c.baseline_frames].astype(np.float64).mean(axis=1))[:, None] for s in series]
    if len(series) == 1:
        true = -(logs[0] - level[0]) / te[0]
    else:
        true = ((logs[0] - level[0]) - (logs[1] - level[1])) / (te[1] - te[0])
    assert np.abs(c.data[good] - true).max() <= 1e-5 * true.max()
    assert c.unit == "1/s"


def test_tissue_without_vessels_shows_what_the_forward_model_put_in(patient):
    """Where there are no vessels the area of a curve is the blood volume times one relaxivity."""
    series, truth = drop_dummies(patient[0][1]), patient[1]
    found = dsc_concentration(series, mr_tissue_masks(series)).concentration
    kind = np.maximum(truth.fractions["wm"], truth.fractions["gm"]) > 0.95
    vessels = truth.fractions["artery"] + truth.fractions["vein"]
    chosen = kind & (vessels < 1e-4) & found.mask & truth.masks["pure"] & ~truth.masks["hypoperfusion"]
    area = np.trapezoid(found.data[chosen], found.times_s, axis=1)
    blood = truth.maps["cbv"][chosen]
    assert np.std(area / blood) / np.mean(area / blood) < 0.09  # small vessels differ by 6 % between places


def test_frames_before_the_steady_state_are_dropped_and_times_kept(patient):
    series, _ = patient[0][0], patient[1]
    kept = drop_dummies(series)
    gone = series.times_s.size - kept.times_s.size
    assert 1 <= gone <= 3
    np.testing.assert_array_equal(kept.times_s, series.times_s[gone:])
    head = bright_head(kept)
    mean = kept.data[head].mean(axis=0)
    assert abs(mean[0] / mean[1:4].mean() - 1.0) < 0.01
    assert [f.code for f in kept.source.findings] == ["dummy_scans_dropped"]
    assert drop_dummies(kept) is kept


def test_an_early_bolus_is_not_taken_for_the_approach_to_the_steady_state():
    series = head_of(10.0 * bolus(start=1.0))
    assert drop_dummies(series) is series


def test_the_baseline_ends_before_the_artery(noisy):
    series, truth = drop_dummies(noisy[0]), noisy[1]
    found = dsc_concentration(series, mr_tissue_masks(series)).concentration
    last = series.times_s[found.baseline_frames - 1]
    start = truth.parameters["bolus"]["start_s"]
    assert start - 3.0 * series.interval_s < last <= start + 1.0


def test_a_late_scan_is_refused_and_a_short_baseline_told():
    with pytest.raises(InvalidInputError, match="needed for a baseline"):
        frames_before_bolus(bolus(start=2.0), TIMES)
    with pytest.raises(InvalidInputError, match="No bolus is seen"):
        frames_before_bolus(np.zeros(TIMES.size), TIMES)
    series = head_of(10.0 * bolus(start=6.0), noise=6.0)
    codes = [f.code for f in dsc_concentration(series, mr_tissue_masks(series)).concentration.findings]
    assert "short_baseline" in codes


def test_signal_in_the_noise_is_floored_and_flagged():
    change = np.outer([5.0, 200.0], bolus())
    signal = (600.0 * np.exp(-0.03 * change)).astype(np.float32)
    found = relaxation((signal,), (0.03,), 8, (10.0,))
    np.testing.assert_array_equal(found.saturated, [False, True])
    assert found.curves[1].max() == pytest.approx(np.log(600.0 / 20.0) / 0.03, rel=1e-5)
    without = relaxation((signal,), (0.03,), 8, (float("nan"),))
    assert without.curves[1].max() == pytest.approx(np.log(100.0) / 0.03, rel=1e-5)
    assert np.isfinite(relaxation((np.zeros((1, 40), np.float32),), (0.03,), 8, (0.0,)).curves).all()


def test_arteries_whose_signal_is_lost_are_told():
    change = np.full((20, 20, 4, 1), 4.0) * bolus()
    change[8:12, 8:12] = 150.0 * bolus(start=16.5)
    series = head_of(change[4:-4, 4:-4], noise=8.0)
    found = dsc_concentration(series, mr_tissue_masks(series, brain=series.data.mean(axis=3) > 100))
    assert "arterial_signal_lost" in [f.code for f in found.concentration.findings]
    assert found.saturated[8:12, 8:12].mean() > 0.7
    assert not found.saturated[4:7, 4:7].any()


def test_noise_is_read_from_the_background_or_else_from_the_baseline():
    series = head_of(np.zeros(TIMES.size), noise=9.0, shape=(40, 40, 6))
    head = np.zeros(series.shape, bool)
    head[4:-4, 4:-4] = True
    assert signal_noise(series, head, 8) == pytest.approx(9.0, rel=0.05)
    dark = series.data.copy()
    dark[~head] = 0.0
    assert signal_noise(replace(series, data=dark), head, 8) == pytest.approx(9.0, rel=0.05)


def test_noise_of_the_curves_is_that_of_theory(noisy):
    """1 / (SNR TE), with the signal of tissue."""
    series, truth = drop_dummies(noisy[0]), noisy[1]
    found = dsc_concentration(series, mr_tissue_masks(series)).concentration
    expected = 1.0 / (truth.parameters["scanner"]["snr"] * series.acquisition.echo_times_s[0])
    assert found.noise_sd == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(
    ("echo", "words"),
    [((), "has no echo time"), ((30.0,), "in milliseconds"), ((3e-5,), "where milliseconds are expected"), ((5.0,), "0.005 s")],
)
def test_missing_or_impossible_echo_times_are_refused_with_a_guess(echo, words):
    series = head_of(5.0 * bolus())
    with pytest.raises(InvalidInputError, match=words):
        echo_time(replace(series, acquisition=Acquisition(echo_times_s=echo)))


def test_what_is_no_mr_magnitude_is_refused():
    series = head_of(5.0 * bolus())
    with pytest.raises(InvalidInputError, match="negative values"):
        check_dsc(replace(series, data=series.data - 50.0))
    with pytest.raises(InvalidInputError, match="All values"):
        check_dsc(replace(series, data=np.ones_like(series.data)))
    with pytest.raises(InvalidInputError, match="needs DSC-MRI"):
        check_dsc(replace(series, modality="ctp"))


def test_echoes_that_do_not_belong_together_are_refused():
    series = head_of(5.0 * bolus())
    masks = mr_tissue_masks(series)
    with pytest.raises(InvalidInputError, match="must be later"):
        dsc_concentration(series, masks, second_echo=series)
    with pytest.raises(InvalidInputError, match="second echo has"):
        dsc_concentration(series, masks, second_echo=head_of(5.0 * bolus(), te=0.05, shape=(18, 18, 4)))


def test_brain_fluid_and_vessels_are_found(noisy):
    series, truth = drop_dummies(noisy[0]), noisy[1]
    masks = mr_tissue_masks(series)
    brain = truth.masks["brain"]
    assert 2 * (masks.brain & brain).sum() / (masks.brain.sum() + brain.sum()) > 0.94
    assert (masks.csf & truth.masks["pure"]).sum() < 0.01 * truth.masks["pure"].sum()
    assert masks.csf[(truth.fractions["csf"] > 0.9) & masks.brain].mean() > 0.85
    vessel = truth.fractions["artery"] + truth.fractions["vein"]
    assert vessel[masks.vessel].mean() > 5 * vessel[masks.tissue].mean()
    assert not masks.bone.any()


@pytest.mark.parametrize("brightness", [0.85, 1.0, 1.12, 1.3, 1.8])
def test_fluid_is_found_however_bright_it_is_and_dead_tissue_stays(brightness):
    rng = np.random.default_rng(1)
    amount = rng.uniform(0.9, 1.1, (32, 32, 4)).astype(np.float32)
    amount[8:16, 10:18], amount[19:25, 10:20] = 0.0, 0.2
    level = np.where(amount == 0.0, brightness, 1.0)
    series = head_of(0.0 * TIMES, noise=4.0, shape=amount.shape)
    data = series.data * level[..., None] * np.exp(-0.03 * 12.0 * amount[..., None] * bolus())
    masks = mr_tissue_masks(replace(series, data=data.astype(np.float32)))
    assert masks.csf[10:14, 12:16].mean() > 0.9
    assert not masks.csf[20:24, 11:19].any()
    assert not masks.csf[8:24, 20:24].any()


def test_the_later_echo_tells_fluid_that_the_earlier_one_does_not():
    series, truth = phantom.dsc_echoes(seed=12, site="m1", motion="none", dual_echo=True, **SIZE)
    first, second = (drop_dummies(s) for s in series)
    fluid = truth.fractions["csf"] > 0.9
    masks = mr_tissue_masks(first, second_echo=second)
    assert masks.csf[fluid & masks.brain].mean() > 0.85
    assert masks.csf[truth.masks["scored"] & masks.brain].mean() < 0.01
    assert mr_tissue_masks(first).csf[truth.masks["scored"] & masks.brain].mean() < 0.01


def test_a_users_brain_mask_wins(noisy):
    series = drop_dummies(noisy[0])
    given = np.zeros(series.shape, bool)
    given[20:40, 20:40, 2:4] = True
    np.testing.assert_array_equal(mr_tissue_masks(series, brain=given).brain, given)
    with pytest.raises(InvalidInputError, match="Resample it"):
        mr_tissue_masks(series, brain=given[1:])


def test_a_threshold_divides_two_classes():
    image = np.concatenate([np.full(100, 10.0), np.full(50, 90.0)]).astype(np.float32)
    assert 10 < otsu(image) < 90


def test_the_quick_curve_is_that_of_an_artery(noisy):
    series, truth = drop_dummies(noisy[0]), noisy[1]
    curve = quick_change(series, bright_head(series))
    assert series.times_s[curve.argmax()] == pytest.approx(truth.fine_times_s[truth.fine_aif.argmax()], abs=2.5)


def test_where_only_the_second_echo_has_lost_its_signal_is_no_brain_either():
    echoes = [head_of(6.0 * bolus(), te=te, noise=2.0, shape=(32, 32, 4)) for te in (0.012, 0.04)]
    data = echoes[1].data.copy()
    data[6:12, 6:12] *= 0.05
    later = replace(echoes[1], data=data)
    brain = prepare_dsc(echoes[0], second_echo=later, motion_correction=False).masks.brain
    assert not brain[6:12, 6:12].any()
    assert brain[14:-6, 14:-6].all()
    given = np.zeros(brain.shape, bool)
    given[6:20, 6:20] = True
    assert (prepare_dsc(echoes[0], second_echo=later, motion_correction=False, brain=given).masks.brain == given).all()


def test_where_little_signal_makes_curves_of_noise_is_left_out_and_told():
    echoes = [head_of(5.0 * bolus(), te=te, noise=6.0, shape=(40, 40, 6)) for te in (0.012, 0.04)]
    rng = np.random.default_rng(7)
    data = echoes[1].data.copy()
    weak = 0.2 * data[24:32, 24:32]
    data[24:32, 24:32] = np.abs(weak + 15.0 * rng.standard_normal(weak.shape))
    found = prepare_dsc(echoes[0], second_echo=replace(echoes[1], data=data), motion_correction=False)
    assert not found.masks.brain[26:30, 26:30].any()
    assert found.masks.brain[8:20, 8:20].all()
    assert "signal_lost" in {f.code for f in found.concentration.findings}
    whole = prepare_dsc(echoes[0], second_echo=echoes[1], motion_correction=False)
    assert whole.masks.brain[24:32, 24:32].all()
    assert "signal_lost" not in {f.code for f in whole.concentration.findings}


def test_the_edge_of_a_moving_head_is_not_taken_for_an_artery():
    series = head_of(2.0 * bolus(), te=0.01, noise=2.0, shape=(40, 40, 4))
    data = series.data.copy()
    data[18:22, 18:22] *= np.exp(-0.01 * 20.0 * bolus())
    edge = np.ones(data.shape[:2], bool)
    edge[6:-6, 6:-6] = False
    data[edge] *= 1.0 - 0.6 * np.linspace(0.0, 1.0, TIMES.size)  # slowly the head leaves these voxels
    moving = replace(series, data=data)
    curve = quick_change(moving, bright_head(moving))
    assert TIMES[curve.argmax()] == pytest.approx(TIMES[bolus().argmax()], abs=1.5)
    assert TIMES[frames_before_bolus(curve, TIMES)] == pytest.approx(18.0, abs=2.0)
    assert mr_tissue_masks(moving).brain[8:-8, 8:-8].mean() > 0.95


def test_a_brain_that_is_a_small_part_of_the_head_is_told(noisy):
    series = head_of(20.0 * bolus(), noise=3.0, shape=(40, 40, 4))
    still = series.data.copy()
    still[4:-4, 13:-4] = head_of(0.0 * bolus(), noise=3.0, shape=(40, 40, 4)).data[4:-4, 13:-4]
    codes = [f.code for f in mr_tissue_masks(replace(series, data=still)).findings]
    assert "mask_fragments" in codes
    assert "mask_fragments" not in [f.code for f in mr_tissue_masks(noisy[0]).findings]
