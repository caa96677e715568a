# SPDX-License-Identifier: Apache-2.0
"""Facts about the digital DSC-MRI patient."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.constants import flow_factor
from PerfusionSuiteLib.phantom import ctp, dsc, dsc_echoes, write_truth
from PerfusionSuiteLib.phantom.dsc_tumor import draw_tumor
from PerfusionSuiteLib.phantom.mr_protocol import draw_mr_protocol
from PerfusionSuiteLib.phantom.mr_values import FIELDS, approach, field_of, steady_state
from PerfusionSuiteLib.phantom.susceptibility import extra_decay

SMALL = {"shape": (56, 56, 4), "spacing_mm": (4.0, 4.0, 11.0), "frames": 30, "interval_s": 2.4}
QUIET = {"recipe": "clean", "snr": np.inf, "motion": "none"}


@pytest.fixture(scope="module")
def still():
    """A noiseless, still patient with a middle cerebral artery occlusion."""
    return dsc(seed=2, site="m1", field_t=1.5, **QUIET, **SMALL)


@pytest.fixture(scope="module")
def grown():
    """A noiseless, still patient with a tumor, at two echoes."""
    return dsc_echoes(seed=11, site="tumor", field_t=3.0, **QUIET, **SMALL)


def relaxation(series, frames=slice(3, 6)):
    """Delta R2* by the definition, straight from the signal."""
    level = series.data[..., frames].mean(axis=-1, keepdims=True, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.log(series.data / level) / series.acquisition.echo_times_s[0]


def test_the_same_seed_gives_the_same_scan_and_another_noise_the_same_patient(still):
    noisy, truth = dsc(seed=2, site="m1", field_t=1.5, recipe="clean", snr=40.0, motion="none", **SMALL)
    again, _ = dsc(seed=2, site="m1", field_t=1.5, recipe="clean", snr=40.0, motion="none", **SMALL)
    np.testing.assert_array_equal(noisy.data, again.data)
    for key in ("cbf", "cbv", "delay", "adc"):
        np.testing.assert_array_equal(truth.maps[key], still[1].maps[key])
    tissue = truth.masks["pure"]
    rest = (noisy.data - still[0].data)[tissue]
    assert rest.std() == pytest.approx(still[0].data[tissue][:, 3:6].mean() / 40.0, rel=0.08)
    corner, sd = noisy.data[:5, :5].ravel(), truth.parameters["scanner"]["noise_sd"]
    assert corner.mean() == pytest.approx(
        1.2533 * sd, rel=0.25
    )  # Rayleigh; the noise differs by some 10 % over the field of view
    assert corner.std() / corner.mean() == pytest.approx(0.5227, rel=0.08)


def test_the_head_is_that_of_the_ct_patient_with_the_same_seed(still):
    _, other = ctp(seed=2, site="m1", recipe="clean", motion="none", **{**SMALL, "frames": 12})
    assert still[1].parameters["lesion"]["asked_core_ml"] == other.parameters["lesion"]["asked_core_ml"]
    assert still[1].parameters["anatomy"]["rotation_deg"] == pytest.approx(other.parameters["anatomy"]["rotation_deg"])


def test_a_tissue_voxel_shows_blood_volume_times_relaxivity(still):
    """Central volume theorem: the area of tissue over that of the artery is CBV, here times the relaxivity."""
    series, truth = dsc(seed=3, site="none", residue="box", field_t=1.5, recipe="clean", snr=np.inf, motion="none",
                        shape=(56, 56, 2), spacing_mm=(4.0, 4.0, 11.0), frames=60, interval_s=4.0)  # fmt: skip
    change = relaxation(series, slice(1, 3))
    pure = truth.masks["pure"] & (truth.fractions["wm"] > 0.97) & (truth.fractions["artery"] + truth.fractions["vein"] < 1e-4)
    area = np.trapezoid(change[pure], series.times_s, axis=1)
    artery = np.trapezoid(truth.fine_aif, truth.fine_times_s)
    expected = 44.0 * 0.93 * artery * 60.0 * truth.maps["cbv"][pure] / flow_factor()
    assert np.median(area / expected) == pytest.approx(1.0, abs=0.03)  # the tail after 4 minutes is cut off
    assert truth.curve_unit == "mM"


def test_blood_bends_upwards_with_its_concentration():
    low, high = FIELDS[1.5], FIELDS[3.0]
    for field in (low, high):
        change = [field.blood_linear * c + field.blood_quadratic * c * c for c in (2.0, 4.0)]
        assert change[1] > 2.0 * change[0]
    assert high.tissue_relaxivity > low.tissue_relaxivity


def test_large_veins_lose_more_signal_than_tissue(still):
    series, truth = still
    sinus, brain = truth.fractions["vein"] > 0.5, truth.masks["pure"]
    assert sinus.any()
    vein, tissue = (series.data[m].mean(axis=0) for m in (sinus, brain))
    assert vein.min() / vein[4] < 0.75 * tissue.min() / tissue[4]


def test_frames_before_the_steady_state_are_too_bright_and_then_stay():
    wanted = dict.fromkeys(("tesla", "echo_times_s", "shape", "spacing_mm", "interval_s", "frames"))
    drawn = {draw_mr_protocol(seed, "hard", "none", dual_echo=False, **wanted)[1].pulses_before for seed in range(12)}
    assert drawn == {0, 8}
    assert approach(1.0, 1.5, 60.0, 0) == pytest.approx(1.0 / steady_state(1.0, 1.5, 60.0))
    assert approach(1.0, 1.5, 60.0, 1) > 1.0
    assert approach(1.0, 1.5, 60.0, 20) == pytest.approx(1.0, abs=1e-6)
    assert approach(1.0, 1.5, 90.0, 1) == pytest.approx(1.0)  # nothing is left after a pulse of 90 degrees


def test_protocols_lie_within_what_scanners_do():
    wanted = dict.fromkeys(("tesla", "echo_times_s", "shape", "spacing_mm", "interval_s", "frames"))
    for seed in range(30):
        protocol, sequence = draw_mr_protocol(seed, "typical", "m1", dual_echo=False, **wanted)
        assert 0.025 <= sequence.echo_times_s[0] <= 0.045
        assert 1.2 <= sequence.repetition_s <= 2.2
        assert 40 <= protocol.times_s.size <= 80
        assert protocol.times_s[-1] > 60


def test_signal_decays_faster_above_the_sphenoid_sinus():
    above, away = np.array([[0.0], [20.0], [-28.0]]), np.array([[0.0], [-20.0], [50.0]])
    assert extra_decay(above, 3.0, 1.0)[0] > 40
    assert extra_decay(above, 1.5, 1.0)[0] == pytest.approx(0.5 * extra_decay(above, 3.0, 1.0)[0])
    assert extra_decay(away, 3.0, 1.0)[0] < 1e-3


def test_an_infarct_restricts_diffusion_and_nothing_else_does(still):
    _, truth = still
    core, tissue = truth.masks["core_drawn"], truth.masks["pure"]
    adc = truth.maps["adc"]
    assert core.any()
    inside = core & tissue & (truth.fractions["csf"] < 0.04)
    assert inside.sum() > 10
    assert np.median(adc[inside]) < 600
    assert (adc[inside] < 620).mean() > 0.85  # voxels of 4 mm at its border hold other tissue
    assert (adc[tissue & ~core] < 620).mean() < 0.02
    assert adc[truth.fractions["csf"] > 0.9].mean() > 2500
    healthy = truth.maps["adc_measured"][tissue] - adc[tissue]
    assert healthy.std() == pytest.approx(30.0, rel=0.1)


def test_a_tumor_has_more_blood_and_leaks(grown):
    series, truth = grown
    tumor, white = truth.masks["tumor_alive"], (truth.fractions["wm"] > 0.9) & ~truth.masks["tumor"]
    assert tumor.sum() > 20
    assert truth.maps["cbv"][tumor].mean() > 1.8 * truth.maps["cbv"][white].mean()
    assert truth.maps["ktrans"][tumor].mean() > 0.03
    assert np.nanmean(truth.maps["ktrans"][white]) < 0.005
    assert not truth.masks["core"].any()
    assert truth.side in ("left", "right")
    assert len(series) == 2
    assert series[0].acquisition.echo_times_s[0] < series[1].acquisition.echo_times_s[0]


@pytest.mark.parametrize(("relaxivity", "sign"), [(3.0, 1), (200.0, -1)])
def test_leakage_bends_the_tail_to_the_side_that_the_truth_names(monkeypatch, relaxivity, sign):
    """Compared with the same tumor that does not leak."""
    tails = {}
    for leaks in (1.0, 1e-6):
        tumor = draw_tumor(11)
        tumor.parameters.update(t2star_relaxivity=relaxivity, ktrans_per_min=leaks * tumor.parameters["ktrans_per_min"])
        monkeypatch.setattr(import_module("PerfusionSuiteLib.phantom.dsc"), "draw_tumor", lambda seed, tumor=tumor: tumor)
        series, truth = dsc(seed=11, site="tumor", **QUIET, **{**SMALL, "shape": (48, 48, 2), "spacing_mm": (4.6, 4.6, 20.0)})
        tails[leaks] = relaxation(series)[truth.masks["tumor"]].mean(axis=0)[-5:].mean()
        if leaks == 1.0:
            assert truth.parameters["tumor"]["k2_sign"] == sign
            assert np.sign(truth.parameters["tumor"]["k2_expected_per_s"]) == sign
    assert np.sign(tails[1e-6] - tails[1.0]) == sign


def test_two_echoes_give_the_change_of_relaxation_without_t1(grown):
    """Their ratio keeps leakage through T2* only: tumor cannot fall below its baseline."""
    (first, second), truth = grown
    te = [s.acquisition.echo_times_s[0] for s in (first, second)]
    tumor = truth.masks["tumor_alive"]
    ratio = np.log(first.data[tumor].astype(float) / second.data[tumor])
    change = (ratio - ratio[:, 3:6].mean(axis=1, keepdims=True)) / (te[1] - te[0])
    assert change.mean(axis=0).min() > -0.02
    assert change.mean(axis=0).max() > 5


def test_the_truth_can_be_written(still, tmp_path):
    write_truth(still[1], tmp_path)
    facts = json.loads((tmp_path / "truth.json").read_text())
    assert facts["units"]["aif"] == "mM"
    assert (tmp_path / "adc.nii.gz").is_file()


def test_wrong_wishes_are_refused():
    with pytest.raises(InvalidInputError, match="no lesion site"):
        dsc(seed=1, site="moon")
    with pytest.raises(InvalidInputError, match="no phantom at 7 T"):
        field_of(7.0)
    with pytest.raises(InvalidInputError, match="seed is -1"):
        dsc(seed=-1)
    with pytest.raises(InvalidInputError, match="Echo times"):
        dsc(seed=1, echo_times_s=(0.3,))
    with pytest.raises(InvalidInputError, match="dsc_echoes"):
        dsc(seed=1, echo_times_s=(0.01, 0.03))
    with pytest.raises(InvalidInputError, match="signal-to-noise"):
        dsc(seed=1, snr=0.0, shape=(8, 8, 1), frames=12, interval_s=2.0)
