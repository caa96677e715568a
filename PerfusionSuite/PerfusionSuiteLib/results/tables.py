# SPDX-License-Identifier: Apache-2.0
"""Tables as CSV: nested numbers flattened by dots, and curves."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import plain, written_beside
from ..core.values import InputFunction


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings and lists to one level.

    Parameters
    ----------
    values : mapping
        JSON-like values.
    prefix : str
        Put before every key.

    Returns
    -------
    dict
        Keys joined by dots (``volumes_ml.tmax_gt_6``, ``slice_statistics.0.core_cm2``); a list of texts becomes
        one cell, separated by semicolons; an empty list or mapping becomes an empty cell.
    """
    flat: dict[str, Any] = {}
    for key, value in plain(values).items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            flat[name] = "; ".join(value) or None
        elif isinstance(value, list):
            flat |= flatten({str(at): item for at, item in enumerate(value)}, f"{name}.")
        elif isinstance(value, dict):
            flat |= flatten(value, f"{name}.") if value else {name: None}
        else:
            flat[name] = value
    return flat


def write_rows(
    path: str | Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None, *, delimiter: str = ","
) -> Path:
    """Write a table, atomically: UTF-8, decimal points, missing values as empty cells.

    Parameters
    ----------
    path : path-like
        The file.
    rows : iterable of mapping
        One mapping per row.
    columns : sequence of str, optional
        Order of the columns; by default every key in the order of its first appearance.
    delimiter : str
        Between cells; a tab for TSV.

    Returns
    -------
    Path
        The file.
    """
    rows = list(rows)
    names = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    with written_beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return Path(path)


def write_curve(path: str | Path, curve: InputFunction, *, delimiter: str = ",") -> Path:
    """Write a vascular curve with the columns ``time_sec`` and ``aif`` or ``vof``.

    Parameters
    ----------
    path : path-like
        The file.
    curve : InputFunction
        The curve; of an AIF the values after partial-volume scaling, as they entered the computation.
    delimiter : str
        Between cells.

    Returns
    -------
    Path
        The file.
    """
    pairs = zip(curve.times_s, curve.values, strict=True)
    rows = [{"time_sec": round(float(t), 6), curve.kind: float(f"{v:.7g}")} for t, v in pairs]
    return write_rows(path, rows, ["time_sec", curve.kind], delimiter=delimiter)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return value
