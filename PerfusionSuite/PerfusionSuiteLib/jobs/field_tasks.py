# SPDX-License-Identifier: Apache-2.0
"""Tasks of a worker with stored fields: maps at any resolution and fitted curves at any times."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core import (
    QUANTITIES,
    FittedField,
    InvalidInputError,
    MissingPackageError,
    PerfusionMaps,
    Provenance,
    QualityFinding,
    part_of,
)
from ..core.quantities import unit_of
from .report import Report
from .spec import JobSpec


def keep_field(field: FittedField, report: Report) -> tuple[QualityFinding, ...]:
    """Write what a fit learned into the job's folder, for a scene or an archive.

    Parameters
    ----------
    field : FittedField
        The field.
    report : Report
        Knows the folder; is told when it cannot be done.

    Returns
    -------
    tuple of QualityFinding
        Why the field was not kept; empty when it was.
    """
    from .. import fitting

    try:
        fitting.save_field(field, report.folder.field_file)
    except MissingPackageError as error:
        finding = QualityFinding("field_not_stored", "warning", f"The fitted field cannot be sampled again later. {error}")
        report.finding(finding)
        return (finding,)
    return ()


def sample_field(spec: JobSpec, report: Report) -> PerfusionMaps:
    """Sample a stored field on another grid.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``field`` (bytes of its file as uint8), and ``affine`` with ``shape`` of a grid. Settings: ``path`` of the file
        instead of its bytes, ``spacing_mm`` (three numbers) instead of a grid.
    report : Report
        Progress.

    Returns
    -------
    PerfusionMaps
        The maps on the grid.
    """
    from .. import fitting

    _check_names(spec, ("path", "spacing_mm"), ("field", "affine", "shape"))
    field = _field(spec, report)
    grid: dict[str, Any] = {"affine": spec.inputs.get("affine"), "spacing_mm": spec.settings.get("spacing_mm")}
    grid["shape"] = tuple(int(n) for n in spec.inputs["shape"]) if "shape" in spec.inputs else None
    maps, affine = fitting.sample(field, **grid, progress=part_of(report.progress, 0.05, 0.95))
    density = float(field.settings.get("density", 1.05))
    known = {key: np.asarray(values, np.float32) for key, values in maps.items() if key in QUANTITIES}
    return PerfusionMaps.from_arrays(
        known,
        affine,
        provenance=Provenance(field.method, {**field.settings, "sampled": True}),
        units={key: unit_of(key, density) for key in known},
    )


def field_curves(spec: JobSpec, report: Report) -> dict[str, Any]:
    """Compute the tissue curves that a stored field describes.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``field`` (bytes of its file as uint8), ``times_s``. Settings: ``path`` of the file instead of its bytes,
        ``step_s`` (time between frames) instead of times. Without either the frame times of the scan.
    report : Report
        Progress.

    Returns
    -------
    dict
        ``data`` (I, J, K, T) in the unit of the concentration, ``affine``, ``times_s``.
    """
    from .. import fitting

    _check_names(spec, ("path", "step_s"), ("field", "times_s"))
    field = _field(spec, report)
    times = np.asarray(spec.inputs.get("times_s", _times(field, spec.settings.get("step_s"))), float)
    data = fitting.fitted_curves(field, times, progress=part_of(report.progress, 0.05, 0.95))
    return {"data": np.asarray(data, np.float32), "affine": field.affine, "times_s": times}


def _times(field: FittedField, step_s: Any) -> Any:
    """Return the scan's frame times, or finer ones over the same time."""
    if step_s is None:
        return field.times_s
    step = float(step_s)
    if not 0.05 <= step <= 60.0:
        msg = f"The time between fitted frames is {step:g} s; a number between 0.05 and 60 is expected. Enter another one."
        raise InvalidInputError(msg)
    start, end = float(field.times_s[0]), float(field.times_s[-1])
    return start + step * np.arange(int((end - start) / step + 1e-6) + 1)


def _field(spec: JobSpec, report: Report) -> FittedField:
    from .. import fitting

    report.progress(0.0, "Stored field")
    content = spec.inputs.get("field")
    if isinstance(content, FittedField):
        return content
    path = spec.settings.get("path")
    if content is None and isinstance(path, str):
        return fitting.load_field(path)
    if not isinstance(content, np.ndarray) or content.dtype != np.uint8:
        msg = "The job has no stored field. Give the bytes of a field's file, or its path."
        raise InvalidInputError(msg)
    with tempfile.TemporaryDirectory(dir=report.folder.path) as folder:
        place = Path(folder, "field.safetensors")
        place.write_bytes(content.tobytes())
        return fitting.load_field(place)


def _check_names(spec: JobSpec, settings: tuple[str, ...], inputs: tuple[str, ...]) -> None:
    for what, given, known in (("setting", spec.settings, settings), ("input", spec.inputs, inputs)):
        _refuse_unknown(what, given, known)


def _refuse_unknown(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        msg = f"There is no {what} '{unknown[0]}'. Known ones: {', '.join(known)}."
        raise InvalidInputError(msg)
