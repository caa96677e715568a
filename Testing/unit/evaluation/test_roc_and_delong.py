# SPDX-License-Identifier: Apache-2.0
"""Areas under ROC curves, how sure they are, and what a cut-off is worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.evaluation.cutoffs import measure_cutoff, proportion
from PerfusionSuiteLib.evaluation.delong import bootstrap_interval, delong_covariance, delong_interval, delong_test
from PerfusionSuiteLib.evaluation.roc import auc, points_higher, roc_curve


def cohort(seed: int = 1, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Two correlated scores with ties, and an outcome that shifts them."""
    generator = np.random.default_rng(seed)
    positive = np.arange(n) % 3 == 0
    common = generator.normal(size=n)
    scores = np.stack([common + generator.normal(size=n) + k * positive for k in (1.4, 0.8)])
    return np.round(scores, 1), positive


def by_pairs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """1, 1/2 or 0 for every pair of a case with and a case without the outcome."""
    first, second = scores[positive][:, None], scores[~positive][None, :]
    return (first > second) + 0.5 * (first == second)


def test_area_and_variance_of_four_cases_are_those_of_a_sum_by_hand() -> None:
    # With the outcome 3 and 2, without 1 and 2: of four pairs three are right and one is a tie. Both classes have the
    # components 1 and 3/4, whose variance is 1/32; the area's is 1/32/2 + 1/32/2.
    found = delong_interval([3.0, 2.0, 1.0, 2.0], [True, True, False, False])
    assert found.auc == 0.875
    assert found.se**2 == pytest.approx(1.0 / 32.0, abs=1e-15)


def test_midranks_give_the_same_as_all_pairs() -> None:
    scores, positive = cohort()
    pairs = [by_pairs(row, positive) for row in scores]
    areas, covariance = delong_covariance(scores, positive)
    with_outcome = np.cov(np.stack([p.mean(axis=1) for p in pairs])) / positive.sum()
    without = np.cov(np.stack([p.mean(axis=0) for p in pairs])) / (~positive).sum()
    np.testing.assert_allclose(areas, [p.mean() for p in pairs], atol=1e-14)
    np.testing.assert_allclose(covariance, with_outcome + without, atol=1e-14)


def test_area_equals_that_of_scikit_learn_and_of_the_curve() -> None:
    from sklearn.metrics import roc_auc_score

    for seed in range(5):
        (scores, _), positive = cohort(seed)
        curve = roc_curve(scores, positive)
        assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
        assert np.trapezoid(curve.sensitivity, 1.0 - curve.specificity) == pytest.approx(curve.auc, abs=1e-12)


def test_the_scale_of_a_predictor_does_not_matter_and_turning_it_turns_the_direction() -> None:
    (scores, _), positive = cohort()
    before, after = delong_interval(scores, positive), delong_interval(np.exp(scores / 3.0), positive)
    turned = delong_interval(-scores, positive, higher=False)
    assert (before.auc, before.low, before.high) == (after.auc, after.low, after.high)
    assert (before.auc, before.low, before.high) == (turned.auc, turned.low, turned.high)
    assert auc(scores, positive, higher=False) == pytest.approx(1.0 - before.auc)


def test_paired_test_knows_that_scores_of_the_same_cases_are_correlated() -> None:
    scores, positive = cohort()
    found = delong_test(*scores, positive)
    areas, covariance = delong_covariance(scores, positive)
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.se < np.sqrt(covariance[0, 0] + covariance[1, 1])
    assert found.p == pytest.approx(2.0 * stats.norm.sf(abs(found.difference) / found.se))
    back = delong_test(*scores[::-1], positive)
    assert (back.difference, back.p) == (pytest.approx(-found.difference), pytest.approx(found.p))


def test_two_scores_of_one_order_do_not_differ() -> None:
    (scores, _), positive = cohort()
    found = delong_test(scores, scores**3, positive)
    assert (found.difference, found.p) == (0.0, 1.0)


def test_95_percent_intervals_hold_the_true_area_in_about_95_percent_of_cohorts() -> None:
    generator, true, held = np.random.default_rng(7), 0.83, 0
    shift = np.sqrt(2.0) * stats.norm.ppf(true)
    positive = np.arange(120) < 60
    for _ in range(600):
        found = delong_interval(generator.normal(size=120) + shift * positive, positive)
        held += found.low <= true <= found.high
    # Four standard errors of a share of 600 around 95 %, and the known slight shortfall of the normal approximation.
    assert 0.91 <= held / 600 <= 0.985


def test_bootstrap_is_repeatable_keeps_class_sizes_and_agrees_with_delong() -> None:
    (scores, _), positive = cohort(n=300)
    one, two = (bootstrap_interval(scores, positive, seed=4) for _ in range(2))
    sure = delong_interval(scores, positive)
    assert one == two
    assert one.auc == pytest.approx(sure.auc, abs=1e-12)
    assert one.se == pytest.approx(sure.se, rel=0.1)
    assert one.low == pytest.approx(sure.low, abs=0.015)
    assert one.high == pytest.approx(sure.high, abs=0.015)


def test_bootstrap_counts_ties_half_in_every_resample() -> None:
    # All values equal: every resample has the area one half, whatever was drawn.
    found = bootstrap_interval(np.ones(30), np.arange(30) < 12, resamples=100)
    assert (found.auc, found.low, found.high, found.se) == (0.5, 0.5, 0.5, 0.0)


def test_perfect_separation_has_an_empty_interval() -> None:
    found = delong_interval(np.arange(20.0), np.arange(20) >= 10)
    assert (found.auc, found.low, found.high) == (1.0, 1.0, 1.0)


def test_youdens_cutoff_lies_half_way_and_of_equals_the_one_near_the_corner_wins() -> None:
    curve = roc_curve([1.0, 2.0, 4.0, 6.0], [False, False, True, True])
    assert curve.youden == (3.0, 1.0)
    lower = roc_curve([1.0, 2.0, 4.0, 6.0], [True, True, False, False], higher=False)
    assert lower.youden == (3.0, 1.0)
    # Cut at 2 or at 4: sensitivity and specificity are 1, 1/4 or 3/4, 1/2; both sums are 1/4, the second is nearer the corner.
    tied = roc_curve([3.0, 3.0, 3.0, 1.5, 1.0, 3.0, 1.8, 3.0], [True, True, True, True, False, False, False, False])
    assert tied.sensitivity[np.flatnonzero(tied.cutoffs == tied.youden[0])] == [0.75]


def test_direction_follows_the_medians() -> None:
    assert points_higher([1.0, 2.0, 3.0, 4.0], [False, False, True, True])
    assert not points_higher([1.0, 2.0, 3.0, 4.0], [True, True, False, False])


@pytest.mark.parametrize(("higher", "cutoff"), [(True, 0.7), (False, 0.7)])
def test_a_value_at_the_cutoff_is_called_positive(higher: bool, cutoff: float) -> None:
    found = measure_cutoff([0.7, 0.7], [True, False], cutoff, higher=higher)
    assert (found["sensitivity"].value, found["specificity"].value) == (1.0, 0.0)
    assert found["npv"].value is None  # nothing was called negative


def test_counts_of_a_cutoff_are_those_of_the_table() -> None:
    scores = np.r_[np.full(40, 0.9), np.full(10, 0.5), np.full(15, 0.9), np.full(35, 0.5)]
    found = measure_cutoff(scores, np.arange(100) < 50, 0.7)
    expected = {"sensitivity": 40 / 50, "specificity": 35 / 50, "ppv": 40 / 55, "npv": 35 / 45, "accuracy": 75 / 100}
    assert {name: share.value for name, share in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize(("count", "total"), [(0, 10), (8, 10), (10, 10), (41, 58)])
def test_wilson_limits_solve_the_score_equation(count: int, total: int) -> None:
    found, z = proportion(count, total), stats.norm.ppf(0.975)
    for end, edge in ((found.low, 0), (found.high, total)):
        if count == edge:
            assert end == pytest.approx(edge / total, abs=1e-9)
        else:
            assert abs(found.value - end) == pytest.approx(z * np.sqrt(end * (1.0 - end) / total), abs=1e-9)


def test_limits_never_cross_the_share_they_belong_to() -> None:
    for total in range(1, 60):
        for count in range(total + 1):
            found = proportion(count, total)
            assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="same outcome"):
        auc([1.0, 2.0], [True, True])
    with pytest.raises(InvalidInputError, match="1 of 2 values are missing"):
        auc([1.0, np.nan], [True, False])
    with pytest.raises(InvalidInputError, match="do not belong together"):
        auc([1.0, 2.0, 3.0], [True, False])
    with pytest.raises(InvalidInputError, match="at least two of each"):
        delong_interval([1.0, 2.0, 3.0], [True, False, False])
