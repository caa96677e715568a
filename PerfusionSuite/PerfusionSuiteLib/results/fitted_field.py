# SPDX-License-Identifier: Apache-2.0
"""What a fit has learned as files: the field, to be sampled again at any resolution, and its loss record as a table."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from ..core.fields import FittedField
from ..core.findings import QualityFinding
from ..fitting.field_file import save_field
from .layout import FIELD_FILES, Layout
from .tables import write_rows

NO_FIELD = QualityFinding(
    "no_field",
    "warning",
    "The fitted field could not be kept because the Python package 'safetensors' is missing.",
    "Install it with 'pip install safetensors' and run again; the maps are complete.",
)


def missing_for_field(field: FittedField | None) -> tuple[QualityFinding, ...]:
    """Say whether the field of a study cannot be kept.

    Parameters
    ----------
    field : FittedField or None
        What the fit learned.

    Returns
    -------
    tuple of QualityFinding
        Empty when all is well.
    """
    return (NO_FIELD,) if field is not None and importlib.util.find_spec("safetensors") is None else ()


def write_field(field: FittedField | None, stage: Path, names: Layout) -> None:
    """Write the field and its loss record, when there is one.

    Parameters
    ----------
    field : FittedField or None
        What the fit learned.
    stage : Path
        Folder of the results.
    names : Layout
        Names of the files.
    """
    if field is None:
        return
    field_file, loss_file = (stage / names.table(*name) for name in FIELD_FILES)
    if not missing_for_field(field):
        save_field(field, field_file)
    columns = {name: np.asarray(values) for name, values in field.history.items()}
    if columns and (length := min(values.size for values in columns.values())):
        rows = [{name: float(f"{values[at]:.8g}") for name, values in columns.items()} for at in range(length)]
        write_rows(loss_file, rows, list(columns), delimiter=names.delimiter)
