# SPDX-License-Identifier: Apache-2.0
"""Calibration of probabilities, optimism, cross-validation, and groups side by side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, logit

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.evaluation import calibration
from PerfusionSuiteLib.evaluation.cross_validation import by_direction, cross_validate, stratified_folds
from PerfusionSuiteLib.evaluation.groups import compare_categories, compare_numbers
from PerfusionSuiteLib.evaluation.logistic import fit_logistic
from PerfusionSuiteLib.evaluation.optimism import bootstrap_optimism


def true_chances(n: int = 4000, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and outcomes drawn from them."""
    generator = np.random.default_rng(seed)
    chances = expit(generator.normal(0.0, 1.5, n))
    return chances, generator.random(n) < chances


class TestCalibration:
    def test_true_probabilities_have_intercept_0_slope_1_and_a_curve_on_the_diagonal(self) -> None:
        chances, truth = true_chances()
        intercept, slope = (f(chances, truth) for f in (calibration.calibration_intercept, calibration.calibration_slope))
        assert intercept.low < 0.0 < intercept.high
        assert slope.low < 1.0 < slope.high
        curve = calibration.smooth_calibration(chances, truth)
        assert np.abs(curve.observed - curve.predicted).max() < 0.05
        assert np.mean((curve.low <= curve.predicted) & (curve.predicted <= curve.high)) > 0.8
        assert calibration.integrated_calibration_index(chances, truth) < 0.02
        tested = calibration.hosmer_lemeshow(calibration.calibration_bins(chances, truth))
        assert tested is not None
        assert tested[2] > 0.01

    def test_stretching_the_log_odds_divides_the_slope_and_shifting_them_moves_the_intercept(self) -> None:
        chances, truth = true_chances(500)
        before = calibration.calibration_slope(chances, truth).value
        assert calibration.calibration_slope(expit(2.0 * logit(chances) + 0.7), truth).value == pytest.approx(before / 2.0)
        level = calibration.calibration_intercept(chances, truth).value
        assert calibration.calibration_intercept(expit(logit(chances) - 0.7), truth).value == pytest.approx(level + 0.7)

    def test_a_bent_relation_is_seen_by_the_curve(self) -> None:
        generator = np.random.default_rng(5)
        chances = generator.uniform(0.02, 0.98, 4000)
        truth = generator.random(4000) < chances**2
        curve = calibration.smooth_calibration(chances, truth, at=np.array([0.2, 0.5, 0.8]))
        np.testing.assert_allclose(curve.observed, [0.04, 0.25, 0.64], atol=0.05)

    def test_bins_hold_all_cases_and_equal_predictions_stay_together(self) -> None:
        chances, truth = true_chances(123)
        bins = calibration.calibration_bins(chances, truth)
        assert sorted(each.observed.total for each in bins) == [12] * 7 + [13] * 3
        assert sum(each.observed.count for each in bins) == truth.sum()
        two = calibration.calibration_bins(np.where(chances > 0.5, 0.8, 0.3), truth)
        assert [each.predicted for each in two] == pytest.approx([0.3, 0.8])
        assert calibration.hosmer_lemeshow(two) is None

    def test_hosmer_lemeshow_is_the_sum_over_both_classes(self) -> None:
        chances, truth = true_chances(300)
        bins = calibration.calibration_bins(chances, truth)
        expected = 0.0
        for each in bins:
            n, seen, chance = each.observed.total, each.observed.count, each.predicted
            expected += (seen - n * chance) ** 2 / (n * chance) + (seen - n * chance) ** 2 / (n * (1 - chance))
        found = calibration.hosmer_lemeshow(bins)
        assert found is not None
        assert found[:2] == (pytest.approx(expected), 8)

    def test_brier_of_the_constant_share_is_its_variance(self) -> None:
        truth = np.arange(40) < 10
        assert calibration.brier_score(np.full(40, 0.25), truth) == pytest.approx(0.25 * 0.75)
        assert calibration.brier_score(truth.astype(float), truth) == 0.0

    def test_what_is_no_probability_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="between 0 and 1"):
            calibration.brier_score([0.2, 1.3], [True, False])
        with pytest.raises(InvalidInputError, match="no slope"):
            calibration.calibration_slope([0.4, 0.4], [True, False])


class TestOptimism:
    def test_noise_that_looks_good_is_worth_nothing_after_correction(self) -> None:
        generator, positive = np.random.default_rng(11), np.arange(80) % 2 == 0
        found = [
            bootstrap_optimism(
                fit_logistic(generator.normal(size=(80, 6)), positive, list("abcdef")), resamples=25, seed=n
            ).measures
            for n in range(8)
        ]
        means = {
            (name, kind): np.mean([getattr(each[name], kind) for each in found])
            for name in ("auc", "brier", "slope")
            for kind in ("apparent", "corrected")
        }
        assert means["auc", "apparent"] > 0.6
        # The bootstrap leaves a part, since resamples share cases with the cohort; most of the flattery is gone.
        assert means["auc", "corrected"] - 0.5 < 0.5 * (means["auc", "apparent"] - 0.5)
        assert means["slope", "apparent"] == pytest.approx(1.0)
        assert means["slope", "corrected"] < 0.5
        assert means["brier", "apparent"] < 0.25 < means["brier", "corrected"]

    def test_a_strong_predictor_in_many_cases_needs_no_correction_and_seeds_repeat(self) -> None:
        generator = np.random.default_rng(12)
        positive = np.arange(1500) % 2 == 0
        fit = fit_logistic((generator.normal(size=1500) + 1.3 * positive)[:, None], positive, ["x"])
        found, again = (bootstrap_optimism(fit, resamples=30, seed=5) for _ in range(2))
        assert found.measures == again.measures
        assert abs(found.measures["auc"].optimism) < 0.005
        assert found.measures["slope"].corrected == pytest.approx(1.0, abs=0.03)
        np.testing.assert_allclose(found.curve, found.predicted, atol=0.06)

    def test_separated_resamples_are_fitted_with_the_penalty(self) -> None:
        x = np.r_[np.linspace(0.0, 0.55, 20), np.linspace(0.45, 1.0, 20)][:, None]
        found = bootstrap_optimism(fit_logistic(x, np.arange(40) >= 20, ["x"]), resamples=60)
        assert found.dropped == 0
        assert np.isfinite(found.curve).all()


class TestCrossValidation:
    def test_folds_share_both_classes_evenly(self) -> None:
        positive = np.arange(123) < 52
        dealt = stratified_folds(positive, 5, np.random.default_rng(0))
        for group in (positive, ~positive, np.ones(123, bool)):
            counts = np.bincount(dealt[group], minlength=5)
            assert counts.max() - counts.min() <= 1
        with pytest.raises(InvalidInputError, match="smaller class has 3 cases"):
            stratified_folds(np.arange(20) < 3, 5, np.random.default_rng(0))

    def test_training_never_sees_a_test_case(self) -> None:
        x, positive = np.arange(40.0)[:, None], np.arange(40) % 2 == 0
        seen: list[set[float]] = []

        def train(table: np.ndarray, _: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            seen.append(set(table[:, 0]))

            def score(other: np.ndarray) -> np.ndarray:
                values = set(other[:, 0])
                assert values == seen[-1] or not values & seen[-1]
                return other[:, 0]

            return score

        found = cross_validate(x, positive, train, folds=5, repeats=2)
        assert [len(each) for each in seen] == [32] * 10
        assert (found.folds, found.repeats) == (5, 2)

    def test_a_useless_predictor_is_useless_even_when_its_direction_is_learned(self) -> None:
        generator = np.random.default_rng(1)
        areas = [
            cross_validate(generator.normal(size=(60, 1)), np.arange(60) % 2 == 0, by_direction(), repeats=2, seed=n).auc_mean
            for n in range(30)
        ]
        assert np.mean(areas) < 0.53  # learned on the same cases it would be about 0.56

    def test_a_perfect_predictor_stays_perfect_and_finds_its_cutoff(self) -> None:
        values = np.r_[np.linspace(0, 0.4, 30), np.linspace(0.6, 1, 30)]
        found = cross_validate(values[:, None], np.arange(60) >= 30, by_direction(True), repeats=3)
        assert (found.auc_mean, found.auc_sd, found.sensitivity, found.accuracy) == (1.0, 0.0, (1.0, 0.0), (1.0, 0.0))
        assert found.cutoff[0] == pytest.approx(0.5, abs=0.02)


class TestGroups:
    def test_numbers_have_medians_quartiles_and_the_rank_test(self) -> None:
        found = compare_numbers([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], np.arange(8) >= 4)
        assert (found.positive.median, found.positive.lower, found.positive.upper) == (6.5, 5.75, 7.25)
        assert (found.everybody.n, found.u) == (8, 16.0)
        assert found.p == pytest.approx(2 / 70)  # exact: two of the 70 ways to choose four of eight ranks are this extreme

    def test_a_table_of_two_by_two_has_fishers_exact_p(self) -> None:
        # Fisher's tea: 3 of 4 cups right; the probabilities of 0 to 4 are 1, 16, 36, 16, 1 of 70.
        cups = ["milk"] * 3 + ["tea"] + ["milk"] + ["tea"] * 3
        found = compare_categories(cups, np.arange(8) < 4)
        assert (found.levels, found.positive, found.negative) == (("milk", "tea"), (3, 1), (1, 3))
        assert found.p == pytest.approx(34 / 70)

    def test_more_categories_use_random_tables_and_one_has_no_test(self) -> None:
        names, positive = np.repeat(["a", "b", "c"], 20), np.arange(60) % 2 == 0
        found = compare_categories(names.tolist(), positive, seed=1)
        assert not found.exact
        assert found.p == pytest.approx(1.0, abs=0.01)
        assert found.p == compare_categories(names.tolist(), positive, seed=1).p
        assert compare_categories(["a"] * 60, positive).p is None
