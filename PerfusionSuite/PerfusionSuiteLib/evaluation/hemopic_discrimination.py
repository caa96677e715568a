# SPDX-License-Identifier: Apache-2.0
"""Lesion ROC and precision-recall of perfusion maps, voxel by voxel: one patient, and all voxels of a cohort together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.geometry import BoolArray, voxel_sizes
from .hemopic_case import Case, Definitions, positive
from .hemopic_contrasts import block_numbers
from .hemopic_folders import DATA, KEYS, MODEL
from .roc import RocCurve, roc_curve

COLUMNS = (
    "patient_id", "method", "metric", "score_rule", "relative_mode", "normalization_denominator", "n_eval_voxels",
    "n_lesion_voxels", "n_nonlesion_voxels", "lesion_fraction", "roc_auc", "pr_auc_trapezoid", "average_precision", "source_file",
)  # fmt: skip
"""Columns of the published table."""

CORRECTED_COLUMNS = (*(name for name in COLUMNS if name != "pr_auc_trapezoid"), "roc_auc_low", "roc_auc_high", "status")
"""Without the area that an artificial first point inflates, with an interval, and why a number is missing."""

METRICS = ("cbf", "cbv", "mtt")
LOW_IS_LESION = ("cbf", "cbv")
TIMES = ("tmax", "ttp", "delay")
"""Compared with the median by difference in the corrected definitions: their zero is arbitrary."""

_LEVELS, _RESAMPLES = 1024, 1000


@dataclass(frozen=True, slots=True)
class Detection:
    """How well a score finds the lesion.

    Parameters
    ----------
    roc : RocCurve
        Sensitivity and specificity.
    recall, precision : ndarray, shape (n,)
        At the same cut-offs without the first (nothing found).
    average_precision, pr_auc_trapezoid : float
        Sum of (R_k - R_k-1) P_k, and the trapezoid area with the artificial first point (0, 1).
    """

    roc: RocCurve
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    pr_auc_trapezoid: float


@dataclass(frozen=True, slots=True)
class Scores:
    """One map of one patient turned into a lesion score.

    Parameters
    ----------
    method, metric : str
        Source and key.
    valid : ndarray of bool, shape (I, J, K)
        Voxels that count.
    relative, score : ndarray, shape (n,)
        Relative value, and score (large is lesion), of those voxels.
    truth : ndarray of bool, shape (n,)
        Lesion.
    denominator : float
        Median that values are relative to.
    rule, mode : str
        In words.
    detection : Detection or None
        None without lesion, without other tissue, or without any number.
    """

    method: str
    metric: str
    valid: BoolArray
    relative: NDArray[np.float64]
    score: NDArray[np.float64]
    truth: BoolArray
    denominator: float
    rule: str
    mode: str
    detection: Detection | None


def detect(scores: ArrayLike, positive_class: ArrayLike) -> Detection | None:
    """Return the ROC and the precision-recall curve of a score.

    Parameters
    ----------
    scores : array-like, shape (n,)
        Finite; large values point to the lesion.
    positive_class : array-like of bool, shape (n,)
        Lesion.

    Returns
    -------
    Detection or None
        None when a class is empty.

    Notes
    -----
    Voxels of one score enter together (hemopic 6.6).
    """
    truth = np.asarray(positive_class, bool)
    with_lesion, without = int(truth.sum()), int((~truth).sum())
    if not with_lesion or not without:
        return None
    curve = roc_curve(np.asarray(scores, float), truth)
    recall = curve.sensitivity[1:]
    hits, alarms = recall * with_lesion, (1.0 - curve.specificity[1:]) * without
    precision = hits / (hits + alarms)
    steps = np.diff(np.concatenate([[0.0], recall]))
    area = np.trapezoid(np.concatenate([[1.0], precision]), np.concatenate([[0.0], recall]))
    return Detection(curve, recall, precision, float((steps * precision).sum()), float(area))


def scored_maps(
    case: Case,
    definitions: Definitions,
    *,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
    relative_mode: str = "brain_median",
) -> list[Scores]:
    """Turn the maps of a patient into lesion scores.

    Parameters
    ----------
    case : Case
        The patient.
    definitions : {"corrected", "published"}
        Published: each map on its own positive voxels, flow and volume scored by 1 / relative value (hemopic 6.6). Corrected: one
        mask for all maps, the brain voxels that all of them have, zeros kept; flow and volume scored by their negative.
    methods, metrics : sequence of str
        Only these; by default every source, and flow, volume and transit time (corrected: also Tmax, TTP and delay).
    relative_mode : {"brain_median", "nonlesion_median"}
        What values are relative to.

    Returns
    -------
    list of Scores
        One per map.

    Raises
    ------
    InvalidInputError
        If there is no lesion mask.
    """
    lesion = case.need_lesion()
    wanted = metrics or (METRICS if definitions == "published" else KEYS)
    sources = methods or ((DATA, MODEL) if definitions == "published" else tuple(case.maps))
    pairs = [(source, key) for source in sources for key in wanted if case.values(source, key) is not None]
    common = common_voxels(case, pairs) if definitions == "corrected" else None
    return [_scores(case, lesion, pair, common, relative_mode) for pair in pairs]


def common_voxels(case: Case, pairs: Sequence[tuple[str, str]]) -> BoolArray:
    """Return the brain voxels that all maps have a number for.

    Parameters
    ----------
    case : Case
        The patient.
    pairs : sequence of tuple of str
        Source and key of each map; one without any number in the brain does not take part.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask; zeros are numbers.
    """
    mask = case.brain.copy()
    for source, key in pairs:
        finite = np.isfinite(case.maps[source][key])
        if usable(case.maps[source][key], case.brain):
            mask &= finite
    return mask


def usable(values: NDArray[Any], brain: BoolArray) -> bool:
    """Tell whether a map has more than one value in the brain.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        The map.
    brain : ndarray of bool, shape (I, J, K)
        Where.

    Returns
    -------
    bool
        False for a map of missing values or of one number, which cannot tell anything apart.
    """
    inside = values[brain]
    inside = inside[np.isfinite(inside)]
    return bool(inside.size and np.ptp(inside) > 0)


def metric_row(case: Case, scores: Scores, definitions: Definitions) -> dict[str, Any]:
    """Write one map of one patient as a row of the table.

    Parameters
    ----------
    case : Case
        The patient.
    scores : Scores
        The map.
    definitions : {"corrected", "published"}
        Which columns: `COLUMNS` or `CORRECTED_COLUMNS`.

    Returns
    -------
    dict
        The row; missing numbers are NaN.
    """
    with_lesion, count = int(scores.truth.sum()), int(scores.truth.size)
    found = scores.detection
    row = {
        "patient_id": case.patient,
        "method": scores.method,
        "metric": scores.metric,
        "score_rule": scores.rule,
        "relative_mode": scores.mode,
        "normalization_denominator": scores.denominator,
        "n_eval_voxels": count,
        "n_lesion_voxels": with_lesion,
        "n_nonlesion_voxels": count - with_lesion,
        "lesion_fraction": with_lesion / count if count else float("nan"),
        "roc_auc": found.roc.auc if found else float("nan"),
        "pr_auc_trapezoid": found.pr_auc_trapezoid if found else float("nan"),
        "average_precision": found.average_precision if found else float("nan"),
        "source_file": case.files.maps[scores.method][scores.metric].name,
    }
    if definitions == "published":
        return row
    del row["pr_auc_trapezoid"]
    low, high = auc_interval(scores, case) if found else (float("nan"), float("nan"))
    return {**row, "roc_auc_low": low, "roc_auc_high": high, "status": _status(case, scores)}


def auc_interval(scores: Scores, case: Case, *, resamples: int = _RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a patient's area, from resampled cubes of 20 mm instead of voxels.

    Parameters
    ----------
    scores : Scores
        The map.
    case : Case
        The patient.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    tuple of float
        Limits. Neighboring voxels are alike: resampling single ones would promise a precision that is not there.

    References
    ----------
    Künsch, Ann Stat 17:1217, 1989 (blocks of dependent observations).
    """
    block = block_numbers(np.argwhere(scores.valid), voxel_sizes(case.affine))
    edges = np.unique(np.quantile(scores.score, np.linspace(0.0, 1.0, _LEVELS + 1)[1:-1]))
    level = np.searchsorted(edges, scores.score, side="right")
    shape = (int(block.max()) + 1, edges.size + 1)
    counts = [
        np.bincount(block[chosen] * shape[1] + level[chosen], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)
        for chosen in (scores.truth, ~scores.truth)
    ]
    weights = np.random.default_rng(seed).multinomial(shape[0], np.full(shape[0], 1.0 / shape[0]), size=resamples)
    lesion, other = (weights.astype(np.float32) @ table for table in counts)
    total = lesion.sum(axis=1, dtype=np.float64) * other.sum(axis=1, dtype=np.float64)
    below = np.cumsum(other, axis=1, dtype=np.float64) - 0.5 * other
    kept = total > 0  # a resample may have missed the lesion
    if kept.sum() < 0.5 * resamples:
        return float("nan"), float("nan")
    areas = (lesion * below).sum(axis=1)[kept] / total[kept]
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def pooled_rows(parts: Mapping[tuple[str, str], Sequence[tuple[NDArray[np.float32], BoolArray]]]) -> list[dict[str, Any]]:
    """Measure all voxels of all patients together.

    Parameters
    ----------
    parts : mapping of tuple of str to sequence of tuple
        By method and metric: score and lesion of each patient's voxels.

    Returns
    -------
    list of dict
        ``method metric n_eval_voxels n_lesion_voxels roc_auc pr_auc_trapezoid average_precision``. Large brains and large lesions
        decide it.
    """
    rows = []
    for (method, metric), found in parts.items():
        score, truth = (np.concatenate([part[at] for part in found]) for at in (0, 1))
        result = detect(score, truth)
        rows.append(
            {
                "method": method,
                "metric": metric,
                "n_eval_voxels": truth.size,
                "n_lesion_voxels": int(truth.sum()),
                "roc_auc": result.roc.auc if result else float("nan"),
                "pr_auc_trapezoid": result.pr_auc_trapezoid if result else float("nan"),
                "average_precision": result.average_precision if result else float("nan"),
            }
        )
    return rows


def _scores(case: Case, lesion: BoolArray, pair: tuple[str, str], common: BoolArray | None, relative_mode: str) -> Scores:
    source, key = pair
    values = case.maps[source][key]
    valid = case.brain & positive(values) if common is None else common & np.isfinite(values)
    inside, truth = values[valid].astype(np.float64), lesion[valid]
    reference = inside[~truth] if relative_mode == "nonlesion_median" and not truth.all() else inside
    median = float(np.median(reference)) if reference.size else float("nan")
    relative, rule = _relative(inside, median, key, published=common is None)
    low = key in LOW_IS_LESION
    if not low:
        score = relative
    else:
        score = 1.0 / relative if common is None else -relative
    good = bool(np.isfinite(score).all()) and (common is None or usable(values, case.brain))
    return Scores(
        source, key, valid, relative, score, truth, median, rule, relative_mode, detect(score, truth) if good else None
    )  # fmt: skip


def _relative(inside: NDArray[np.float64], median: float, key: str, *, published: bool) -> tuple[NDArray[np.float64], str]:
    if key in TIMES and not published:
        return inside - median, "value - median"
    relative = inside / median if median else inside * np.nan
    if key not in LOW_IS_LESION:
        return relative, "relative value"
    return relative, "1 / relative value" if published else "- relative value"


def _status(case: Case, scores: Scores) -> str:
    if not scores.truth.size or not usable(case.maps[scores.method][scores.metric], case.brain):
        return "no usable values"
    if not scores.truth.any():
        return "no lesion voxels"
    return "no other voxels" if scores.truth.all() else "ok" if scores.detection else "median is zero"
