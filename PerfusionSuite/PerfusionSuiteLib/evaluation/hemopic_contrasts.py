# SPDX-License-Identifier: Apache-2.0
"""Summary statistics of fitted DSC patients: lesion against its mirror region, white against gray matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from .hemopic_case import Case, Definitions, positive
from .hemopic_cohort import by_patient, compare_paired, paired_columns
from .hemopic_folders import DATA, KEYS, MODEL
from .hemopic_mirror import Mirrored, regions_of

COLUMNS = ("patient", "metric", "mu_r", "sigma_r", "t_value", "p_value", "n_a", "n_b")
PAIRS: Mapping[str, tuple[str, str, int]] = {"lesion": ("lesion", "c_lesion", 20), "gmwm": ("WM", "GM", 2000)}
"""Table, its two regions, and the fewest voxels of each."""

PUBLISHED_MAPS = ((MODEL, "cbf"), (MODEL, "cbv"), (DATA, "cbf"), (DATA, "cbv"))
BLOCK_MM = 20.0
"""Voxels closer than this are not independent; a test on means of such cubes counts each once."""


def metric_name(source: str, key: str) -> str:
    """Return what a map is called in the tables.

    Parameters
    ----------
    source, key : str
        Which map.

    Returns
    -------
    str
        For example ``model_cbf`` or ``data_cbv``.
    """
    return f"{ {MODEL: 'model', DATA: 'data'}.get(source, source) }_{key}"


def contrast_rows(case: Case, opposite: Mirrored | None, definitions: Definitions) -> dict[str, list[dict[str, Any]]]:
    """Compare the regions of one patient.

    Parameters
    ----------
    case : Case
        The patient.
    opposite : Mirrored or None
        The mirrored lesion; without it only white and gray matter are compared.
    definitions : {"corrected", "published"}
        Published: flow and volume of model and data, each on its own positive voxels, and Welch's test that takes voxels for
        independent (hemopic 6.2). Corrected: every map of every source on the finite voxels that all have, and Welch's test on
        means of cubes of 20 mm.

    Returns
    -------
    dict of str to list of dict
        By table (``lesion``, ``gmwm``), with `COLUMNS` and, corrected, ``blocks_a blocks_b``. Ratios are first
        over second region.
    """
    regions = regions_of(case, opposite)
    chosen = [
        pair for pair in (PUBLISHED_MAPS if definitions == "published" else _all_maps(case)) if case.values(*pair) is not None
    ]
    common = case.tissue.copy()
    if definitions == "corrected":
        for source, key in chosen:
            finite = np.isfinite(case.maps[source][key])
            if finite[case.tissue].any():  # a map without any number must not empty the mask of the others
                common &= finite
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in PAIRS}
    for table, (first, second, least) in PAIRS.items():
        if first not in regions or second not in regions:
            continue
        for source, key in chosen:
            values = case.maps[source][key]
            valid = common & (positive(values) if definitions == "published" else np.isfinite(values))
            row = _row(values, regions[first] & valid, regions[second] & valid, least, case.affine, definitions)
            if row is not None:
                tables[table].append({"patient": case.patient, "metric": metric_name(source, key), **row})
    return tables


def cohort_contrasts(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Test across patients whether a ratio differs from one, the honest replacement of tests on voxels.

    Parameters
    ----------
    rows : iterable of mapping
        One table of `contrast_rows`, of all patients.

    Returns
    -------
    list of dict
        ``metric`` and the columns of `paired_columns` for log mu_r (0 is no contrast).
    """
    rows = list(rows)
    found = []
    for metric in dict.fromkeys(str(row["metric"]) for row in rows):
        ratios = np.array(list(by_patient(rows, "mu_r", metric=metric).values()))
        logs = np.log(ratios[ratios > 0])
        found.append({"metric": metric, "value": "log mu_r", **paired_columns(compare_paired(logs, np.zeros(logs.size)))})
    return found


def block_means(values: NDArray[Any], mask: BoolArray, affine: FloatArray, block_mm: float = BLOCK_MM) -> NDArray[np.float64]:
    """Average a map within cubes.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        The map, finite within the mask.
    mask : ndarray of bool, shape (I, J, K)
        Which voxels.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    block_mm : float, mm
        Edge of the cubes.

    Returns
    -------
    ndarray, shape (n,)
        One mean per cube that holds a voxel.
    """
    number = block_numbers(np.argwhere(mask), voxel_sizes(affine), block_mm)
    sums = np.bincount(number, weights=values[mask].astype(np.float64))
    result: NDArray[np.float64] = sums / np.bincount(number)
    return result


def block_numbers(index: NDArray[np.int64], sizes_mm: FloatArray, block_mm: float = BLOCK_MM) -> NDArray[np.int64]:
    """Return the cube of each voxel.

    Parameters
    ----------
    index : ndarray of int, shape (n, 3)
        Voxels.
    sizes_mm : ndarray, shape (3,), mm
        Voxel size.
    block_mm : float, mm
        Edge of the cubes.

    Returns
    -------
    ndarray of int, shape (n,)
        Numbers from 0 on without gaps.
    """
    cubes = np.floor(index * np.asarray(sizes_mm) / block_mm).astype(np.int64)
    return np.asarray(np.unique(cubes, axis=0, return_inverse=True)[1], np.int64).ravel()


def _all_maps(case: Case) -> list[tuple[str, str]]:
    ratios = [key for key in KEYS if key != "delay"]  # its zero is arbitrary, so a ratio of delays means nothing
    return [(source, key) for source, maps in case.maps.items() for key in ratios if key in maps]


def _row(
    values: NDArray[Any], first: BoolArray, second: BoolArray, least: int, affine: FloatArray, definitions: Definitions
) -> dict[str, Any] | None:
    counts = int(first.sum()), int(second.sum())
    if min(counts) < least:
        return None
    a, b = values[first].astype(np.float64), values[second].astype(np.float64)
    samples = (a, b)
    if definitions == "corrected":
        samples = (block_means(values, first, affine), block_means(values, second, affine))
    testable = min(part.size for part in samples) >= 2 and any(np.ptp(part) > 0 for part in samples)
    test = stats.ttest_ind(*samples, equal_var=False) if testable else None
    deviations = a.std(ddof=1), b.std(ddof=1)
    row = {
        "mu_r": float(a.mean() / b.mean()) if b.mean() else None,
        "sigma_r": float(deviations[0] / deviations[1]) if deviations[1] > 0 else None,
        "t_value": None if test is None else float(test.statistic),
        "p_value": None if test is None else float(test.pvalue),
        "n_a": counts[0],
        "n_b": counts[1],
    }
    return row if definitions == "published" else {**row, "blocks_a": samples[0].size, "blocks_b": samples[1].size}
