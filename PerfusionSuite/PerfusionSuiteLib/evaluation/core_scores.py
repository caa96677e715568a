# SPDX-License-Identifier: Apache-2.0
"""Scores of drawn infarct cores over a group of patients (Fast and robust CT perfusion, 2025: Dice, MVD, AVD, FNR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray
from .overlap import dice


@dataclass(frozen=True, slots=True)
class CoreRow:
    """A core beside the true one.

    Parameters
    ----------
    case, method : str
        Whose, and how it was found.
    dice : float
        1 for two empty cores.
    found_ml, true_ml : float, mL
        Volumes.
    touched : bool
        Whether at least one voxel of the true core was found.
    fold, repeat : int
        Of a cross-validation; 0 without one.
    """

    case: str
    method: str
    dice: float
    found_ml: float
    true_ml: float
    touched: bool
    fold: int = 0
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class CoreScores:
    """A group of cores beside the true ones.

    Parameters
    ----------
    count : int
        Patients.
    dice, dice_median : float
        Mean, and median of patients whose core has at least 5 mL (NaN without any).
    mvd_ml, avd_ml : float, mL
        Mean of the difference of volumes (found - true), and of its size.
    sd_ml : float, mL
        Standard deviation of the difference; Bland-Altman limits are ``mvd_ml +- 1.96 sd_ml``.
    fnr, fnr_nothing : float
        Share of the patients with a core in whom no voxel of it was found, and in whom nothing at all was found; NaN without any.
    false_ml : float, mL
        Largest core found in a patient without one; NaN without any.
    """

    count: int
    dice: float
    dice_median: float
    mvd_ml: float
    avd_ml: float
    sd_ml: float
    fnr: float
    fnr_nothing: float
    false_ml: float


LARGE_ML = 5.0


def core_row(
    case: str, method: str, found: BoolArray, truth: BoolArray, scored: BoolArray, voxel_ml: float, fold: int = 0, repeat: int = 0
) -> CoreRow:
    """Compare a core with the true one.

    Parameters
    ----------
    case, method : str
        Whose, and how it was found.
    found, truth, scored : ndarray of bool, shape (I, J, K)
        The cores, and where they are judged.
    voxel_ml : float, mL
        Volume of a voxel.
    fold, repeat : int
        Of a cross-validation.

    Returns
    -------
    CoreRow
        The scores.
    """
    a, b = found & scored, truth & scored
    found_ml, true_ml = (float(mask.sum()) * voxel_ml for mask in (a, b))
    return CoreRow(case, method, dice(a, b), found_ml, true_ml, bool((a & b).any()), fold, repeat)


def core_scores(rows: Sequence[CoreRow]) -> CoreScores:
    """Summarize a group.

    Parameters
    ----------
    rows : sequence of CoreRow
        One method, at least one patient.

    Returns
    -------
    CoreScores
        The summary.
    """
    true = np.array([row.true_ml for row in rows])
    found = np.array([row.found_ml for row in rows])
    agreement, touched = np.array([row.dice for row in rows]), np.array([row.touched for row in rows])
    apart, has = found - true, true > 0
    return CoreScores(
        count=len(rows),
        dice=float(agreement.mean()),
        dice_median=_of(agreement[true >= LARGE_ML], np.median),
        mvd_ml=float(apart.mean()),
        avd_ml=float(np.abs(apart).mean()),
        sd_ml=float(apart.std(ddof=1)) if len(rows) > 1 else float("nan"),
        fnr=_of(~touched[has], np.mean),
        fnr_nothing=_of(found[has] == 0.0, np.mean),
        false_ml=_of(found[~has], np.max),
    )


def _of(values: NDArray[np.generic], statistic: object) -> float:
    return float(statistic(values)) if values.size and callable(statistic) else float("nan")
