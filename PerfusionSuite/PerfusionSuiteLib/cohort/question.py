# SPDX-License-Identifier: Apache-2.0
"""What is asked of a cohort: which outcome, which predictors, and every choice of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.errors import InvalidInputError
from ..evaluation.logistic import Penalty

FEWEST, FEW = 10, 30
"""Cases per class: below the first nothing is computed, below the second a warning is given."""

CBV_CUTOFFS, HIR_CUTOFFS = (0.70, 0.80, 0.90), (0.22, 0.40)
"""Published cut-offs of CBV indices and of the hypoperfusion intensity ratio (ct-perfusion-auto section 8)."""

LABELS: Mapping[str, str] = {
    "corrected_cbv_index": "Corrected CBV index",
    "conventional_cbv_index": "Conventional CBV index",
    "hir": "HIR",
    "mismatch_ratio": "Mismatch ratio",
    "mismatch_volume_ml": "Mismatch volume, mL",
    "infarct_core_volume_ml": "Core volume, mL",
    "hypoperfusion_volume_ml": "Hypoperfusion volume, mL",
    "penumbra_volume_ml": "Penumbra volume, mL",
    "penumbra_fraction_percent": "Penumbra fraction, %",
    "prr_percent": "PRR, %",
    "aif_vof_delay_s": "AIF-VOF delay, s",
    "collateral_index_ml": "Perfusion collateral index, mL",
}
"""How metrics are called in tables and pictures."""


@dataclass(frozen=True, slots=True)
class Question:
    """An analysis of a cohort.

    Parameters
    ----------
    outcome : str
        Column with the outcome.
    predictors : tuple of str
        Columns that shall predict it.
    positive : tuple of str
        Values of the outcome that count as positive; may stay empty for 0/1, true/false and yes/no.
    model : tuple of str
        Members of the multivariable model; all predictors when empty.
    describe : tuple of str
        Further columns of the descriptive table.
    cutoffs : mapping of str to tuple of float
        Fixed cut-offs by predictor; CBV indices and HIR have published ones by default.
    directions : mapping of str to {"higher", "lower"}
        Which values point to the outcome, where that is known beforehand.
    steps : mapping of str to float
        Per how much of a predictor its odds ratio is given.
    standardize : bool
        Give odds ratios per standard deviation where no step is given.
    penalty : {"auto", "none", "firth"}
        Firth's penalty of logistic models; ``auto`` uses it when groups are separated.
    labels : mapping of str to str
        Names for tables and pictures.
    level : float
        Confidence of all intervals.
    seed : int
        Of all random numbers.
    resamples, bootstraps : int
        Bootstrap resamples of areas, and of models (optimism).
    folds, repeats : int
        Of the cross-validation.

    Raises
    ------
    InvalidInputError
        If a choice is not possible.
    """

    outcome: str
    predictors: tuple[str, ...]
    positive: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    describe: tuple[str, ...] = ()
    cutoffs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    directions: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)
    standardize: bool = False
    penalty: Penalty = "auto"
    labels: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.95
    seed: int = 1
    resamples: int = 2000
    bootstraps: int = 500
    folds: int = 5
    repeats: int = 20

    def __post_init__(self) -> None:
        if not self.predictors:
            msg = "No predictors are named. Name at least one column that shall predict the outcome."
            raise InvalidInputError(msg)
        self._check_names()
        if not 0.5 < self.level < 1.0:
            msg = f"A confidence of {self.level:g} is not possible. Choose one between 0.5 and 1, for example 0.95."
            raise InvalidInputError(msg)
        for name, least in (("resamples", 100), ("bootstraps", 20), ("folds", 2), ("repeats", 1)):
            if getattr(self, name) < least:
                msg = f"{getattr(self, name)} {name} are too few. Choose {least} or more."
                raise InvalidInputError(msg)

    def _check_names(self) -> None:
        named = (*self.predictors, *self.describe)
        twice = [name for name in named if named.count(name) > 1 or name == self.outcome]
        if twice:
            msg = f"'{twice[0]}' is named twice, or is the outcome itself. Name every column once."
            raise InvalidInputError(msg)
        for choice, names in (
            ("model", self.model),
            ("cutoffs", self.cutoffs),
            ("directions", self.directions),
            ("per", self.steps),
        ):
            other = [name for name in names if name not in self.predictors]
            if other:
                msg = f"'{other[0]}' has an entry under {choice}, but is not among the predictors. Add it there or leave it out."
                raise InvalidInputError(msg)
        if not set(self.directions.values()) <= {"higher", "lower"}:
            msg = f"The directions {dict(self.directions)} are not known. Choose 'higher' or 'lower'."
            raise InvalidInputError(msg)
        if any(not step > 0.0 for step in self.steps.values()):
            msg = f"The steps {dict(self.steps)} of the odds ratios must be above 0. Give for example 0.1."
            raise InvalidInputError(msg)

    def label(self, name: str) -> str:
        """Return what a column is called in tables and pictures.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        str
            The user's name for it, a known one, or the column's own.
        """
        return self.labels.get(name) or LABELS.get(name, name)

    def fixed_cutoffs(self, name: str) -> tuple[float, ...]:
        """Return the fixed cut-offs of a predictor.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        tuple of float
            The user's, or the published ones of a CBV index and of HIR.
        """
        if name in self.cutoffs:
            return self.cutoffs[name]
        last = name.rpartition(".")[2].lower()
        if "cbv_index" in last:
            return CBV_CUTOFFS
        return HIR_CUTOFFS if last == "hir" else ()
