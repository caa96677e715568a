# SPDX-License-Identifier: Apache-2.0
"""Central-volume check of fitted DSC patients: transit time of one source against 60 CBV / CBF of another, region by region."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from .errors import bland_altman
from .hemopic_case import Case, Definitions, positive
from .hemopic_cohort import bootstrap, concordance_of
from .hemopic_folders import DATA, MODEL
from .hemopic_mirror import regions_of

REGIONS = ("GM", "WM", "lesion", "brain")
COLUMNS = ("patient", "region", "x_data_mtt", "y_model_ratio", "n_vox")
_LEAST = {"lesion": 20}
_LEAST_OTHER = 50


@dataclass(frozen=True, slots=True)
class Line:
    """A least-squares line with the standard error of its mean.

    Parameters
    ----------
    slope, intercept : float
        The line.
    at, middle, se : ndarray, shape (n,)
        Places, the line there, and the standard error of the mean there.
    """

    slope: float
    intercept: float
    at: NDArray[np.float64]
    middle: NDArray[np.float64]
    se: NDArray[np.float64]


def volume_points(case: Case, definitions: Definitions, *, model: str = MODEL, data: str = DATA) -> list[dict[str, Any]]:
    """Measure one patient.

    Parameters
    ----------
    case : Case
        The patient.
    definitions : {"corrected", "published"}
        Published: each source on its own voxels (hemopic 6.1). Corrected: both on the voxels that all of their maps have.
    model, data : str
        Source of flow and volume, and source of the transit time.

    Returns
    -------
    list of dict
        ``patient region x_data_mtt y_model_ratio n_vox`` (s), and, corrected, ``x_data_ratio``: 60 CBV / CBF of the data.

    Raises
    ------
    InvalidInputError
        If a map is missing.
    """
    cbf, cbv = (_need(case, model, key) for key in ("cbf", "cbv"))
    flow, volume, mtt = (_need(case, data, key) for key in ("cbf", "cbv", "mtt"))
    with_data = case.tissue & positive(flow) & positive(volume) & positive(mtt)
    with_model = case.tissue & positive(cbf) & positive(cbv)
    if definitions == "corrected":
        finite = np.isfinite(cbf) & np.isfinite(cbv) & np.isfinite(flow) & np.isfinite(volume)
        with_data = with_model = case.tissue & finite & positive(mtt)
    rows = []
    for region, mask in regions_of(case, None).items():
        in_data, in_model = with_data & mask, with_model & mask
        count = min(int(in_data.sum()), int(in_model.sum()))
        if region not in REGIONS or count < _LEAST.get(region, _LEAST_OTHER):
            continue
        row = {
            "patient": case.patient,
            "region": region,
            "x_data_mtt": float(mtt[in_data].mean(dtype=np.float64)),
            "y_model_ratio": _ratio(cbv, cbf, in_model),
            "n_vox": count,
        }
        rows.append(row if definitions == "published" else {**row, "x_data_ratio": _ratio(volume, flow, in_data)})
    return rows


def agreement_rows(points: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say how well the two sides of the check agree across patients.

    Parameters
    ----------
    points : iterable of mapping
        From `volume_points`, of all patients.

    Returns
    -------
    list of dict
        ``region n pearson pearson_p spearman spearman_p concordance concordance_low concordance_high bias_s sd_s limits_low_s
        limits_high_s slope intercept_s``; None where a number does not exist. Bias is model minus data (Bland and Altman,
        Lancet 1:307, 1986), concordance that of Lin with a bootstrap interval over patients.
    """
    points = list(points)
    rows = []
    for region in REGIONS:
        x, y = columns_of(points, region)
        if not x.size:
            continue
        numbers = bland_altman(y, x)
        lin = bootstrap(np.stack([x, y], axis=1), concordance_of)
        line = fitted_line(x, y)
        rows.append(
            {
                "region": region,
                "n": int(x.size),
                **_correlations(x, y),
                "concordance": lin.value if x.size > 1 else None,
                "concordance_low": lin.low,
                "concordance_high": lin.high,
                "bias_s": numbers["bias"],
                "sd_s": numbers["sd"],
                "limits_low_s": numbers["limits_low"],
                "limits_high_s": numbers["limits_high"],
                "slope": None if line is None else line.slope,
                "intercept_s": None if line is None else line.intercept,
            }
        )
    return rows


def columns_of(points: Sequence[Mapping[str, Any]], region: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides of the check in a region.

    Parameters
    ----------
    points : sequence of mapping
        From `volume_points`.
    region : str
        Which.

    Returns
    -------
    tuple of ndarray, shape (n,), s
        Data and model; patients without a finite number are left out.
    """
    pairs = [(row["x_data_mtt"], row["y_model_ratio"]) for row in points if row["region"] == region]
    table = np.array(pairs, float).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]
    return table[:, 0], table[:, 1]


def fitted_line(x: ArrayLike, y: ArrayLike, at: ArrayLike | None = None) -> Line | None:
    """Fit a line by least squares.

    Parameters
    ----------
    x, y : array-like, shape (n,)
        Points.
    at : array-like, optional
        Where to evaluate it; by default from the smallest to the largest x.

    Returns
    -------
    Line or None
        None with fewer than three points or a single x. The standard error of the mean is s sqrt(1/n + (x - mean)^2 / Sxx) with
        s^2 = SSE / (n - 2) (hemopic 6.1).
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.size < 3 or np.ptp(a) == 0.0:
        return None
    sxx = float(((a - a.mean()) ** 2).sum())
    slope = float(((a - a.mean()) * (b - b.mean())).sum()) / sxx
    intercept = float(b.mean() - slope * a.mean())
    spread = float(((b - intercept - slope * a) ** 2).sum()) / (a.size - 2)
    places = np.linspace(a.min(), a.max(), 101) if at is None else np.asarray(at, float)
    se = np.sqrt(spread * (1.0 / a.size + (places - a.mean()) ** 2 / sxx))
    return Line(slope, intercept, places, intercept + slope * places, se)


def _correlations(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, float | None]:
    if x.size < 3 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return dict.fromkeys(("pearson", "pearson_p", "spearman", "spearman_p"))
    straight, ranked = stats.pearsonr(x, y), stats.spearmanr(x, y)
    return {
        "pearson": float(straight.statistic),
        "pearson_p": float(straight.pvalue),
        "spearman": float(ranked.statistic),
        "spearman_p": float(ranked.pvalue),
    }


def _ratio(cbv: NDArray[Any], cbf: NDArray[Any], mask: BoolArray) -> float:
    flow = float(cbf[mask].mean(dtype=np.float64))
    return 60.0 * float(cbv[mask].mean(dtype=np.float64)) / flow if flow > 0 else float("nan")


def _need(case: Case, source: str, key: str) -> NDArray[np.float32]:
    values = case.values(source, key)
    if values is None:
        msg = f"Patient {case.patient} has no {key.upper()} map of '{source}', so the central-volume check cannot be made."
        raise InvalidInputError(msg)
    return values
