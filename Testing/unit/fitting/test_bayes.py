# SPDX-License-Identifier: Apache-2.0
"""Posterior means over arrival and transit time: known residues, invariances, the choice of the residue, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import gammainc, gammaincc

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.deconvolution import QualityCode
from PerfusionSuiteLib.fitting import fit
from PerfusionSuiteLib.fitting.transit_atoms import transit_atoms

TIMES = np.linspace(0.0, 60.0, 61)
STEP = 0.02
FINE = np.linspace(-20.0, 80.0, 5001)


def arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 8.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def tissue(flow: float, mtt: float, delay: float, shape: float) -> np.ndarray:
    """Convolve numerically, apart from the product: flow per 100 mL and minute, no dispersion."""
    age = np.linspace(0.0, 60.0, 3001)
    edges = np.append(age, age[-1] + STEP)
    if np.isinf(shape):
        integral = np.minimum(edges, mtt)
    else:
        integral = edges * gammaincc(shape, shape * edges / mtt) + mtt * gammainc(shape + 1, shape * edges / mtt)
    curve = np.convolve(arterial(FINE), np.diff(integral))[: FINE.size]
    return flow / 6000.0 * np.interp(TIMES - delay - 0.5 * STEP, FINE, curve)


def run(curves: np.ndarray, **settings: Any) -> dict[str, np.ndarray]:
    settings = {"dispersion": 0.0, **settings}
    return fit(curves, arterial(TIMES), TIMES, method="bayes", settings=settings, density=1.0, hematocrit_factor=1.0)[0]


def many(shape: float, rng: np.random.Generator, count: int = 60) -> np.ndarray:
    return np.stack([tissue(rng.uniform(15, 70), rng.uniform(3, 10), rng.uniform(0, 5), shape) for _ in range(count)])


class TestKnownResidues:
    @pytest.mark.parametrize("shape", [1.0, 3.0, np.inf])
    @pytest.mark.parametrize("truth", [(50.0, 5.0, 1.0), (20.0, 9.0, 4.3), (8.0, 14.0, 6.0)])
    def test_are_recovered_without_noise(self, shape: float, truth: tuple[float, float, float]) -> None:
        flow, mtt, delay = truth
        maps = run(tissue(*truth, shape)[None], shapes=(shape,))
        assert maps["tmax"][0] == pytest.approx(delay + mtt / 2, abs=0.25)
        assert maps["cbv"][0] == pytest.approx(flow * mtt / 60, rel=0.04)
        assert maps["cbf"][0] == pytest.approx(flow, rel=0.08)

    def test_a_box_whose_edges_the_vessels_round_stays_nearly_a_box(self) -> None:
        """Dispersion that the model does not know makes edges round, which nothing else in tissue with boxes would do."""
        kernel = np.exp(-np.arange(0.0, 6.0, 1.0) / 1.0)
        curves = many(np.inf, np.random.default_rng(5))
        rounded = np.apply_along_axis(lambda curve: np.convolve(curve, kernel / kernel.sum())[: curve.size], 1, curves)
        assert float(run(rounded)["shape"]) >= 8.0

    def test_the_shape_does_not_depend_on_how_well_the_noise_is_known(self) -> None:
        curves = many(2.0, np.random.default_rng(7)) + np.random.default_rng(8).normal(0.0, 0.3, (60, TIMES.size))
        found = {float(run(curves, noise_sd=sigma)["shape"]) for sigma in (0.05, 0.3, 1.0)}
        assert 1.5 <= min(found) <= max(found) <= 3.0

    @pytest.mark.parametrize("shape", [1.0, 3.0, 6.0])
    def test_are_told_apart_by_many_curves(self, shape: float) -> None:
        maps = run(many(shape, np.random.default_rng(3)))
        assert 1.0 / float(maps["shape"]) == pytest.approx(1.0 / shape, abs=0.04)

    def test_of_late_tissue_under_noise_stay_late(self) -> None:
        rng = np.random.default_rng(1)
        curves = tissue(18.0, 10.0, 5.0, 2.0) + rng.normal(0, 0.5, (300, TIMES.size))
        maps = run(curves, shapes=(2.0,))
        assert np.median(maps["tmax"]) == pytest.approx(10.0, abs=0.5)
        assert np.mean(np.abs(maps["tmax"] - 10.0) < 2 * maps["tmax_sd"]) > 0.85


class TestInvariance:
    def test_an_added_baseline_changes_nothing(self) -> None:
        curves = many(2.0, np.random.default_rng(5), 20)
        for key, values in run(curves + 7.0).items():
            np.testing.assert_allclose(values, run(curves)[key], rtol=2e-3, atol=0.05 if key.endswith("_sd") else 2e-3)

    def test_more_contrast_in_tissue_is_more_flow_and_volume_at_the_same_times(self) -> None:
        curves = many(2.0, np.random.default_rng(6), 20)
        once, twice = run(curves), run(2.0 * curves)
        for key in ("cbf", "cbv"):
            np.testing.assert_allclose(twice[key], 2.0 * once[key], rtol=1e-3)
        np.testing.assert_allclose(twice["tmax"], once["tmax"], atol=0.01)

    def test_later_tissue_is_later_by_as_much(self) -> None:
        early, late = (run(tissue(40.0, 6.0, delay, 2.0)[None], shapes=(2.0,)) for delay in (1.0, 4.0))
        assert late["tmax"][0] - early["tmax"][0] == pytest.approx(3.0, abs=0.1)
        assert late["cbf"][0] == pytest.approx(early["cbf"][0], rel=0.05)


class TestAtoms:
    @pytest.mark.parametrize("shape", [1.0, 2.5, np.inf])
    def test_equal_an_independent_convolution(self, shape: float) -> None:
        atoms = transit_atoms(
            TIMES, arterial(TIMES), delays_s=np.array([-2.0, 3.0]), mtts_s=np.array([4.0, 9.0]), shape=shape, dispersion=0.0
        )
        for curve, delay, mtt in zip(atoms.curves, atoms.delay_s, atoms.mtt_s, strict=True):
            np.testing.assert_allclose(curve, tissue(6000.0 / mtt, mtt, delay, shape), atol=0.01 * curve.max())

    def test_keep_area_and_mean_when_vessels_spread_the_bolus(self) -> None:
        times = np.linspace(0.0, 150.0, 151)
        plain, spread_out = (
            transit_atoms(times, arterial(times), delays_s=np.array([6.0]), mtts_s=np.array([5.0]), shape=2.0, dispersion=share)
            for share in (0.0, 0.5)
        )
        areas = [atoms.curves[0].sum() for atoms in (plain, spread_out)]
        means = [(atoms.curves[0] * times).sum() / atoms.curves[0].sum() for atoms in (plain, spread_out)]
        assert areas[1] == pytest.approx(areas[0], rel=2e-3)
        assert means[1] == pytest.approx(means[0], abs=0.05)
        assert spread_out.curves[0].max() < 0.97 * plain.curves[0].max()


def test_a_curve_that_is_not_a_number_or_never_rises_has_no_values() -> None:
    curves = np.stack([tissue(40.0, 5.0, 1.0, 2.0), np.full(TIMES.size, np.nan), np.zeros(TIMES.size)])
    maps = run(curves)
    assert maps["quality"].tolist() == [QualityCode.OK, QualityCode.NOT_FINITE, QualityCode.NO_ENHANCEMENT]
    assert np.isnan(maps["cbf"][1:]).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shapes": ()}, "shapes must be numbers of at least 1"),
        ({"shapes": (0.5,)}, "shapes must be numbers of at least 1"),
        ({"dispersion": 2.0}, "dispersion must be a number from 0 to 0.9"),
        ({"mtt_spread": "wide"}, "mtt_spread must be a number"),
        ({"model_error": 0.0}, "model_error must be a number"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        run(tissue(40.0, 5.0, 1.0, 2.0)[None], **settings)
