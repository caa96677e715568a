# SPDX-License-Identifier: Apache-2.0
"""Logistic regression against sums by hand, against other programs, and where there is no finite estimate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from PerfusionSuiteLib.core import InvalidInputError, NumericalError
from PerfusionSuiteLib.evaluation.firth import maximize
from PerfusionSuiteLib.evaluation.logistic import events_per_variable, fit_logistic, variance_inflation
from PerfusionSuiteLib.evaluation.odds_ratios import odds_ratios
from PerfusionSuiteLib.evaluation.separation import separation

FIXED = np.array(
    [
        # corrected index, HIR, age, good collaterals: a fixed table, drawn once
        [0.81, 0.31, 62, 1], [0.92, 0.22, 71, 1], [0.64, 0.48, 80, 0], [0.71, 0.36, 66, 1], [0.55, 0.61, 77, 0],
        [0.88, 0.41, 58, 1], [0.49, 0.52, 69, 0], [0.77, 0.29, 73, 0], [0.69, 0.55, 64, 1], [0.58, 0.47, 82, 0],
        [0.95, 0.18, 55, 1], [0.62, 0.39, 70, 0], [0.74, 0.44, 61, 1], [0.83, 0.35, 79, 0], [0.51, 0.66, 74, 0],
        [0.79, 0.27, 68, 1], [0.66, 0.58, 59, 0], [0.86, 0.33, 63, 1], [0.57, 0.42, 76, 1], [0.72, 0.50, 67, 0],
        [0.90, 0.24, 81, 1], [0.60, 0.37, 60, 0], [0.68, 0.46, 72, 1], [0.53, 0.63, 65, 0], [0.76, 0.40, 78, 1],
        [0.85, 0.30, 57, 1], [0.63, 0.53, 75, 0], [0.78, 0.49, 56, 0], [0.59, 0.34, 83, 0], [0.82, 0.26, 54, 1],
    ]
)  # fmt: skip
NAMES = ("index", "hir", "age")


def fixed() -> tuple[np.ndarray, np.ndarray]:
    return FIXED[:, :3], FIXED[:, 3] == 1


def two_by_two(a: int, b: int, c: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Cases of a table: a and b exposed with and without the outcome, c and d not exposed."""
    return np.repeat([1.0, 1.0, 0.0, 0.0], [a, b, c, d])[:, None], np.repeat([True, False, True, False], [a, b, c, d])


class TestMaximumLikelihood:
    def test_odds_ratio_of_a_table_is_the_cross_product_and_its_error_the_sum_of_inverses(self) -> None:
        fit = fit_logistic(*two_by_two(12, 7, 5, 16), ["exposed"])
        assert fit.coefficients[1] == pytest.approx(np.log(12 * 16 / (7 * 5)), abs=1e-10)
        assert fit.covariance[1, 1] == pytest.approx(1 / 12 + 1 / 7 + 1 / 5 + 1 / 16, abs=1e-10)

    def test_fixed_table_agrees_with_statsmodels_logit_and_scikit_learn(self) -> None:
        import statsmodels.api as sm
        from sklearn.linear_model import LogisticRegression

        x, positive = fixed()
        fit = fit_logistic(x, positive, NAMES)
        other = sm.Logit(positive.astype(float), sm.add_constant(x)).fit(disp=0, tol=1e-12, maxiter=200)
        np.testing.assert_allclose(fit.coefficients, other.params, rtol=1e-6)
        np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), other.bse, rtol=1e-6)
        assert fit.log_likelihood == pytest.approx(other.llf, abs=1e-9)
        assert fit.likelihood_ratio_p == pytest.approx(other.llr_pvalue, rel=1e-6)
        standardized = (x - x.mean(axis=0)) / x.std(axis=0)
        third = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=500).fit(standardized, positive)
        np.testing.assert_allclose(fit.coefficients[1:], third.coef_[0] / x.std(axis=0), rtol=1e-6)
        np.testing.assert_allclose(fit.predict(x), third.predict_proba(standardized)[:, 1], atol=1e-6)

    def test_own_newton_without_penalty_finds_the_same_maximum(self) -> None:
        x, positive = fixed()
        design = np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / x.std(axis=0)])
        mine, fit = maximize(design, positive, penalized=False), fit_logistic(x, positive, NAMES)
        np.testing.assert_allclose(mine.coefficients[1:] / x.std(axis=0), fit.coefficients[1:], rtol=1e-8)
        assert mine.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-10)

    def test_other_units_scale_the_coefficients_and_change_nothing_else(self) -> None:
        x, positive = fixed()
        before, after = (fit_logistic(table, positive, NAMES) for table in (x, x * [100.0, 1.0, 12.0] + 5.0))
        np.testing.assert_allclose(after.coefficients[1:] * [100.0, 1.0, 12.0], before.coefficients[1:], rtol=1e-8)
        np.testing.assert_allclose(after.predict(after.x), before.predict(before.x), atol=1e-10)

    def test_constant_and_repeated_predictors_are_named(self) -> None:
        x, positive = fixed()
        with pytest.raises(InvalidInputError, match="'b' has the same value in all 30 cases"):
            fit_logistic(np.column_stack([x[:, 0], np.ones(30)]), positive, ["a", "b"])
        with pytest.raises(InvalidInputError, match="'c' follows from the predictors before it"):
            fit_logistic(np.column_stack([x[:, :2], x[:, 0] - 2 * x[:, 1]]), positive, ["a", "b", "c"])
        with pytest.raises(InvalidInputError, match="1 cases have missing"):
            fit_logistic(np.where(x == 83, np.nan, x), positive, NAMES)


class TestOddsRatios:
    def test_profile_ends_are_where_the_likelihood_of_statsmodels_has_dropped_by_the_quantile(self) -> None:
        import statsmodels.api as sm

        x, positive = fixed()
        fit = fit_logistic(x, positive, NAMES)
        row = odds_ratios(fit)[1]
        rest = sm.add_constant(x[:, 1:])
        for end in (row.profile_low, row.profile_high):
            held = sm.GLM(positive.astype(float), rest, family=sm.families.Binomial(), offset=np.log(end) * x[:, 0]).fit(
                tol=1e-13
            )
            assert 2.0 * (fit.log_likelihood - held.llf) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-6)
        without = sm.GLM(positive.astype(float), rest, family=sm.families.Binomial()).fit(tol=1e-13)
        assert row.profile_p == pytest.approx(stats.chi2.sf(2.0 * (fit.log_likelihood - without.llf), 1), rel=1e-6)

    def test_a_step_is_a_power_and_changes_no_p_value(self) -> None:
        fit = fit_logistic(*fixed(), NAMES)
        unit, tenth = odds_ratios(fit)[1], odds_ratios(fit, steps={"index": 0.1})[1]
        assert tenth.odds_ratio == pytest.approx(unit.odds_ratio**0.1)
        assert tenth.profile_high == pytest.approx(unit.profile_high**0.1)
        assert (tenth.wald_p, tenth.profile_p) == (pytest.approx(unit.wald_p), pytest.approx(unit.profile_p))
        with pytest.raises(InvalidInputError, match="must be above 0"):
            odds_ratios(fit, steps={"index": -0.1})

    def test_profile_interval_holds_the_truth_in_about_95_percent_of_cohorts(self) -> None:
        generator, held = np.random.default_rng(3), 0
        for _ in range(150):
            positive = np.arange(80) < 40
            x = generator.normal(size=80) + 1.0 * positive  # log odds are x * 1 + constant
            row = odds_ratios(fit_logistic(x[:, None], positive, ["x"]))[1]
            held += row.profile_low <= np.e <= row.profile_high
        assert 0.88 <= held / 150 <= 1.0  # four standard errors

    def test_variance_inflation_is_one_over_what_the_others_do_not_explain(self) -> None:
        x, _ = fixed()
        inverse = np.linalg.inv(np.corrcoef(x.T))
        np.testing.assert_allclose(variance_inflation(x), np.diag(inverse), rtol=1e-10)

    def test_events_per_variable_count_the_smaller_class(self) -> None:
        assert events_per_variable(np.arange(50) < 12, 3) == 4.0


class TestFirth:
    @pytest.mark.parametrize("table", [(12, 7, 5, 16), (9, 0, 4, 11), (8, 0, 0, 9)])
    def test_a_table_is_fitted_as_if_every_cell_had_half_a_case_more(self, table: tuple[int, int, int, int]) -> None:
        # For a saturated model Jeffreys' prior is half a case in every cell (Firth 1993).
        fit = fit_logistic(*two_by_two(*table), ["exposed"], penalty="firth")
        a, b, c, d = (count + 0.5 for count in table)
        assert fit.coefficients[1] == pytest.approx(np.log(a * d / (b * c)), abs=1e-7)
        assert fit.coefficients[0] == pytest.approx(np.log(c / d), abs=1e-7)

    def test_it_is_used_only_when_groups_are_separated(self) -> None:
        assert not fit_logistic(*two_by_two(12, 7, 5, 16), ["exposed"]).penalized
        for table, kind in (((9, 0, 4, 11), "quasi-complete"), ((8, 0, 0, 9), "complete")):
            fit = fit_logistic(*two_by_two(*table), ["exposed"])
            assert (fit.penalized, fit.separation) == (True, kind)
            row = odds_ratios(fit)[1]
            assert 1.0 < row.profile_low < row.odds_ratio < row.profile_high < np.inf
            assert 0.0 < row.profile_p < 0.05
        with pytest.raises(NumericalError, match="separated"):
            fit_logistic(*two_by_two(8, 0, 0, 9), ["exposed"], penalty="none")

    def test_separated_numbers_give_finite_chances(self) -> None:
        x = np.linspace(0.0, 1.0, 40)[:, None]
        fit = fit_logistic(x, x[:, 0] > 0.5, ["x"])
        chances = fit.predict(x)
        assert fit.penalized
        assert np.isfinite(fit.coefficients).all()
        assert 0.0 < chances.min() < chances.max() < 1.0

    def test_with_many_cases_the_penalty_hardly_matters(self) -> None:
        x, positive = np.tile(FIXED[:, :3], (100, 1)), np.tile(FIXED[:, 3] == 1, 100)
        free, penalized = fit_logistic(x, positive, NAMES), fit_logistic(x, positive, NAMES, penalty="firth")
        np.testing.assert_allclose(penalized.coefficients, free.coefficients, rtol=5e-3, atol=0.01)

    def test_overlap_by_a_single_case_is_no_separation(self) -> None:
        x = np.column_stack([np.ones(20), np.linspace(-1, 1, 20)])
        positive = x[:, 1] > 0
        assert separation(x, positive) == "complete"
        positive[[9, 10]] = positive[[10, 9]]
        assert separation(x, positive) == "none"
