# SPDX-License-Identifier: Apache-2.0
"""Columns of a table as an outcome and as variables of an analysis; missing values stay missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from .question import FEWEST, Question
from .table_file import Table

_OBVIOUS = ({"1", "0"}, {"true", "false"}, {"yes", "no"}, {"positive", "negative"})
_POSITIVE = {"1", "true", "yes", "positive"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of each case.

    Parameters
    ----------
    positive, known : ndarray of bool, shape (n,)
        Whether a case has the outcome, and whether that is known.
    name : str
        What it is, for example ``collaterals = good``.
    positive_name, negative_name : str
        The values of either class.
    """

    positive: BoolArray
    known: BoolArray
    name: str
    positive_name: str
    negative_name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A column as numbers or as categories.

    Parameters
    ----------
    name, label : str
        The column, and what it is called.
    known : ndarray of bool, shape (n,)
        Where it has a value.
    numbers : ndarray, shape (n,), or None
        Its numbers; NaN where missing. None for categories.
    categories : tuple of (str or None), or None
        Its categories. None for numbers.
    """

    name: str
    label: str
    known: BoolArray
    numbers: FloatArray | None
    categories: tuple[str | None, ...] | None

    @property
    def levels(self) -> tuple[str, ...]:
        """Categories, the reference (the most frequent, or the negative word) first; nothing for numbers."""
        if self.categories is None:
            return ()
        counts = Counter(level for level in self.categories if level is not None)
        if len(counts) == 2:
            return tuple(sorted(counts, key=lambda level: (level.lower() in _POSITIVE, level)))
        return tuple(sorted(counts, key=lambda level: (-counts[level], level)))

    def columns(self) -> tuple[list[str], FloatArray]:
        """Return the columns that a model gets.

        Returns
        -------
        names : list of str
            Of the columns; ``sex = male`` for a category.
        values : ndarray, shape (n, k)
            Numbers, or 0 and 1 for all categories but the reference; NaN where missing.
        """
        if self.numbers is not None:
            return [self.name], self.numbers[:, None]
        cells = np.array([level or "" for level in self.categories or ()])
        others = self.levels[1:]
        values = np.stack([np.where(self.known, (cells == level).astype(float), np.nan) for level in others], axis=1)
        return [f"{self.name} = {level}" for level in others], values


def read_outcome(table: Table, question: Question) -> Outcome:
    """Read the outcome.

    Parameters
    ----------
    table : Table
        The cohort.
    question : Question
        Names the column and its positive values.

    Returns
    -------
    Outcome
        Two classes.

    Raises
    ------
    InvalidInputError
        If it is not clear which values are positive, or a class has fewer than ten cases.
    """
    texts = [None if text is None else _plain(text) for text in table.texts(question.outcome)]
    values = sorted({text for text in texts if text is not None}, key=_in_order)
    chosen = _positive_values(values, question)
    known = np.array([text is not None for text in texts])
    positive = np.array([text in chosen for text in texts])
    for group, kind in ((positive, "positive"), (known & ~positive, "negative")):
        if int(group.sum()) < FEWEST:
            msg = (
                f"Only {int(group.sum())} cases are {kind} in '{question.outcome}'; fewer than {FEWEST} per class are not "
                "analyzed. Add cases, or correct --positive."
            )
            raise InvalidInputError(msg)
    yes, no = (_span([value for value in values if (value in chosen) is wanted]) for wanted in (True, False))
    return Outcome(positive, known, f"{question.label(question.outcome)} = {yes}", yes, no)


def read_variable(table: Table, name: str, question: Question) -> Variable:
    """Read a column.

    Parameters
    ----------
    table : Table
        The cohort.
    name : str
        The column.
    question : Question
        Knows its label.

    Returns
    -------
    Variable
        Numbers when every cell is one, else categories.

    Raises
    ------
    InvalidInputError
        If there is no such column or it is empty.
    """
    texts, numbers = table.texts(name), table.numbers(name)
    known = np.array([text is not None for text in texts])
    if not known.any():
        msg = f"The column '{name}' is empty. Choose another predictor."
        raise InvalidInputError(msg)
    if numbers is not None:
        return Variable(name, question.label(name), known, numbers, None)
    return Variable(name, question.label(name), known, None, tuple(texts))


def _positive_values(values: list[str], question: Question) -> set[str]:
    if question.positive:
        wanted = {_plain(value) for value in question.positive}
        unknown = sorted(wanted - set(values))
        if unknown:
            msg = f"'{question.outcome}' never is '{unknown[0]}'; its values are {_listed(values)}. Correct --positive."
            raise InvalidInputError(msg)
        return wanted
    if {value.lower() for value in values} in _OBVIOUS:
        return {value for value in values if value.lower() in _POSITIVE}
    msg = (
        f"Which values of '{question.outcome}' are the positive outcome is not clear; they are {_listed(values)}. "
        "Name them with --positive."
    )
    raise InvalidInputError(msg)


def _plain(text: str) -> str:
    """Return ``3`` for ``3.0``: programs write grades as decimals when some are missing."""
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else text


def _listed(values: list[str]) -> str:
    return ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")


def _in_order(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _span(values: list[str]) -> str:
    """Return ``3-4`` for grades that follow each other, else all values."""
    if len(values) > 1 and all(value.isdigit() for value in values):
        whole = [int(value) for value in values]
        if whole == list(range(whole[0], whole[-1] + 1)):
            return f"{whole[0]}\N{EN DASH}{whole[-1]}"
    return ", ".join(values)
