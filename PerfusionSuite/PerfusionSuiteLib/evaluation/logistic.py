# SPDX-License-Identifier: Apache-2.0
"""Logistic regression: maximum likelihood by statsmodels, Firth's penalty when the groups are separated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit

from ..core.errors import InvalidInputError, NumericalError, require_package
from ..core.geometry import BoolArray
from .firth import maximize
from .roc import Float64
from .separation import Separation, separation

Penalty = Literal["auto", "none", "firth"]
_MODERATE = 12.0


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """A fitted logistic model.

    Parameters
    ----------
    names : tuple of str
        Predictors, without the intercept.
    coefficients : ndarray, shape (k + 1,)
        Log odds ratios per unit of each predictor, the intercept first.
    covariance : ndarray, shape (k + 1, k + 1)
        Of the coefficients, from the information.
    log_likelihood, null_log_likelihood : float
        Of the model and of the intercept alone; penalized when `penalized`.
    penalized : bool
        Whether Firth's penalty was used.
    separation : {"none", "quasi-complete", "complete"}
        Whether the predictors separate the groups.
    x, positive : ndarray
        The cases, shape (n, k) and (n,).
    """

    names: tuple[str, ...]
    coefficients: Float64
    covariance: Float64
    log_likelihood: float
    null_log_likelihood: float
    penalized: bool
    separation: Separation
    x: Float64
    positive: BoolArray

    def linear(self, x: ArrayLike) -> Float64:
        """Return the log odds of cases.

        Parameters
        ----------
        x : array-like, shape (n, k)
            Predictors.

        Returns
        -------
        ndarray, shape (n,)
            Linear predictor.
        """
        return np.asarray(self.coefficients[0] + np.asarray(x, float) @ self.coefficients[1:], float)

    def predict(self, x: ArrayLike) -> Float64:
        """Return the probability of the outcome.

        Parameters
        ----------
        x : array-like, shape (n, k)
            Predictors.

        Returns
        -------
        ndarray, shape (n,)
            0 to 1.
        """
        return np.asarray(expit(self.linear(x)), float)

    @property
    def likelihood_ratio_p(self) -> float:
        """P value of the whole model against the intercept alone."""
        statistic = max(2.0 * (self.log_likelihood - self.null_log_likelihood), 0.0)
        return float(stats.chi2.sf(statistic, len(self.names)))


def fit_logistic(
    x: ArrayLike, positive: ArrayLike, names: Sequence[str], *, penalty: Penalty = "auto", null: bool = True
) -> LogisticFit:
    """Fit a logistic model.

    Parameters
    ----------
    x : array-like, shape (n, k)
        Predictors.
    positive : array-like of bool, shape (n,)
        The outcome.
    names : sequence of str
        Of the predictors.
    penalty : {"auto", "none", "firth"}
        ``auto`` uses Firth's penalty only when the groups are separated.
    null : bool
        Also fit the intercept alone (`likelihood_ratio_p` needs it).

    Returns
    -------
    LogisticFit
        The model.

    Raises
    ------
    InvalidInputError
        If a predictor is constant or follows from the others, a class is empty or a value is missing.
    NumericalError
        If no finite estimate exists and no penalty is allowed.
    MissingPackageError
        If statsmodels is not installed.

    Notes
    -----
    Predictors are centered and scaled for the computation; estimates are those of the original units. Maximum likelihood is
    found by iteratively reweighted least squares (statsmodels' generalized linear model).
    """
    table, truth = _checked(x, positive, names)
    center, scale = table.mean(axis=0), table.std(axis=0)
    design = np.column_stack([np.ones(len(table)), (table - center) / scale])
    _check_rank(design, names)
    likely = _maximum_likelihood(design, truth)
    # A maximum with moderate log odds proves that the groups overlap; only the rest needs the linear program.
    overlap = likely is not None and float(np.abs(design @ likely[0]).max()) < _MODERATE
    found: Separation = "none" if overlap else separation(design, truth)
    if found != "none" and penalty == "none":
        msg = f"The groups are separated ({found}), so there is no finite estimate. Use Firth's penalty."
        raise NumericalError(msg)
    penalized = penalty == "firth" or found != "none"
    if penalized:
        solution = maximize(design, truth)
        inner, covariance, likelihood = solution.coefficients, solution.covariance, solution.log_likelihood
        nothing = dict.fromkeys(range(1, design.shape[1]), 0.0)
        base = maximize(design, truth, fixed=nothing).log_likelihood if null else float("nan")
    else:
        if likely is None:
            msg = "The logistic model does not converge. Leave out predictors, or use Firth's penalty."
            raise NumericalError(msg)
        inner, covariance, likelihood = likely
        share = truth.mean()
        base = float(truth.sum() * np.log(share) + (~truth).sum() * np.log1p(-share))
    back = np.diag(np.concatenate([[1.0], 1.0 / scale]))
    back[0, 1:] = -center / scale
    return LogisticFit(
        tuple(names), back @ inner, back @ covariance @ back.T, likelihood, base, penalized, found, table, truth
    )  # fmt: skip


def variance_inflation(x: ArrayLike) -> Float64:
    """Return how much each predictor's variance is inflated by the others.

    Parameters
    ----------
    x : array-like, shape (n, k)
        Predictors.

    Returns
    -------
    ndarray, shape (k,)
        1 for a predictor that is unrelated to the others; above 5 to 10 the effects can hardly be told apart.

    Raises
    ------
    MissingPackageError
        If statsmodels is not installed.
    """
    require_package("statsmodels", "compute statistics of a cohort")
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    table = np.asarray(x, float)
    table = (table - table.mean(axis=0)) / table.std(axis=0)  # the factor does not depend on the unit, its rounding does
    design = np.column_stack([np.ones(len(table)), table])
    return np.array([float(variance_inflation_factor(design, at)) for at in range(1, design.shape[1])])


def events_per_variable(positive: ArrayLike, variables: int) -> float:
    """Return how many cases of the smaller class there are for each predictor.

    Parameters
    ----------
    positive : array-like of bool, shape (n,)
        The outcome.
    variables : int
        Number of predictors (columns of the design without the intercept).

    Returns
    -------
    float
        Below 10 estimates are unstable.

    References
    ----------
    Peduzzi et al., J Clin Epidemiol 49:1373, 1996.
    """
    truth = np.asarray(positive, bool)
    return float(min(truth.sum(), (~truth).sum()) / variables)


def _maximum_likelihood(design: Float64, truth: BoolArray) -> tuple[Float64, Float64, float] | None:
    """Return coefficients, covariance and log-likelihood; None when they are not found."""
    require_package("statsmodels", "compute statistics of a cohort")
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    with warnings.catch_warnings():
        # Groups that only just overlap: fitted chances come close to 0 and 1, the estimate is finite all the same.
        # Separated ones: they go to infinity, which is found out afterwards.
        warnings.simplefilter("ignore")
        result = GLM(truth.astype(float), design, family=Binomial()).fit(tol=1e-13, maxiter=200)
        found = np.asarray(result.params, float), np.asarray(result.cov_params(), float), float(result.llf)
    return found if result.converged and all(np.isfinite(part).all() for part in found) else None


def _checked(x: ArrayLike, positive: ArrayLike, names: Sequence[str]) -> tuple[Float64, BoolArray]:
    table, truth = np.asarray(x, float), np.asarray(positive, bool)
    if table.ndim != 2 or truth.shape != (len(table),) or table.shape[1] != len(names):
        msg = f"A table of shape {table.shape}, {truth.size} outcomes and {len(names)} names do not belong together."
        raise InvalidInputError(msg + " Give one row and one outcome per case, and one name per column.")
    if not np.isfinite(table).all():
        msg = f"{int((~np.isfinite(table)).any(axis=1).sum())} cases have missing or infinite values. Leave them out."
        raise InvalidInputError(msg)
    if truth.all() or not truth.any():
        msg = f"All {truth.size} cases have the same outcome, so nothing can be fitted. Give cases of both classes."
        raise InvalidInputError(msg)
    constant = [name for name, column in zip(names, table.T, strict=True) if np.ptp(column) <= 1e-12 * np.abs(column).max()]
    if constant:
        msg = f"'{constant[0]}' has the same value in all {len(table)} cases. Leave it out."
        raise InvalidInputError(msg)
    return table, truth


def _check_rank(design: Float64, names: Sequence[str]) -> None:
    for last in range(1, design.shape[1]):
        if np.linalg.matrix_rank(design[:, : last + 1], tol=1e-8 * np.sqrt(len(design))) < last + 1:
            msg = f"'{names[last - 1]}' follows from the predictors before it. Leave one of them out."
            raise InvalidInputError(msg)
