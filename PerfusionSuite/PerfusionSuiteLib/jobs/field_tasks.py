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
    GridMismatchError,
    InvalidInputError,
    PerfusionMaps,
    Provenance,
    part_of,
)
from ..core.constants import BRAIN_DENSITY_G_PER_ML
from ..core.files import write_text
from ..core.quantities import unit_of
from .field_text import field_of_text, text_of_field
from .report import Report
from .spec import JobSpec


def keep_field(field: FittedField, report: Report) -> None:
    """Write what a fit learned into the job's folder, as a file and as text for a scene; without safetensors say so.

    Parameters
    ----------
    field : FittedField
        The field.
    report : Report
        Knows the folder.
    """
    from ..fitting import save_field
    from ..results.fitted_field import missing_for_field

    missing = missing_for_field(field)
    for finding in missing:
        report.finding(finding)
    if not missing:
        file = save_field(field, report.folder.field_file)
        write_text(report.folder.field_text, text_of_field(file.read_bytes()))


def sample_field(spec: JobSpec, report: Report) -> PerfusionMaps:
    """Sample a stored field on another grid.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``field`` (characters of its text as uint8, see `field_text`), and ``affine`` with ``shape`` of a grid.
        Settings: ``path`` of the file instead of the text, ``spacing_mm`` (a number or three) instead of a grid,
        ``density`` that the field was fitted with.
    report : Report
        Progress.

    Returns
    -------
    PerfusionMaps
        The maps on the grid.
    """
    from .. import fitting
    from ..fitting.sampling_grid import sampling_grid

    _check_names(spec, ("path", "spacing_mm", "density"), ("field", "affine", "shape"))
    field = _field(spec, report)
    wanted = None
    if "shape" in spec.inputs:
        i, j, k = (int(n) for n in spec.inputs["shape"])
        wanted = (i, j, k)
    affine, shape = sampling_grid(
        field, affine=spec.inputs.get("affine"), shape=wanted, spacing_mm=spec.settings.get("spacing_mm")
    )
    progress = part_of(report.progress, 0.05, 0.95)
    maps = fitting.sample(field, affine=affine, shape=shape, device=spec.device, progress=progress)
    density = float(spec.settings.get("density", BRAIN_DENSITY_G_PER_ML))
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
        Inputs: ``field`` (characters of its text as uint8), ``times_s``, ``baseline`` (I, J, K). Settings: ``path`` of the file
        instead of the text, ``step_s`` (time between frames) instead of times. Without either the frame times of the scan.
    report : Report
        Progress.

    Returns
    -------
    dict
        ``data`` (I, J, K, T): ``baseline`` plus enhancement, without a baseline enhancement alone in the unit of the
        concentration; ``affine``, ``times_s``.
    """
    from .. import fitting

    _check_names(spec, ("path", "step_s"), ("field", "times_s", "baseline"))
    field = _field(spec, report)
    wanted = spec.inputs.get("times_s", _times(field, spec.settings.get("step_s")))
    progress = part_of(report.progress, 0.05, 0.9)
    data, times = fitting.fitted_curves(field, times_s=wanted, device=spec.device, progress=progress)
    np.nan_to_num(data, copy=False, nan=0.0)  # nothing is known outside of the brain, and no viewer shows NaN well
    baseline = spec.inputs.get("baseline")
    if baseline is not None:
        _check_shape(np.shape(baseline), field.shape)
        data += np.asarray(baseline, np.float32)[..., None]
    return {"data": data, "affine": field.affine, "times_s": times}


def _check_shape(given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(given) != tuple(expected):
        msg = (
            f"The baseline has shape {tuple(given)}, the field {tuple(expected)}. Give the baseline of the scan that was fitted."
        )
        raise GridMismatchError(msg)


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
        msg = "The job has no stored field. Give the text of a field, or the path of its file."
        raise InvalidInputError(msg)
    with tempfile.TemporaryDirectory(dir=report.folder.path) as folder:
        place = Path(folder, "field.safetensors")
        place.write_bytes(field_of_text(content.tobytes().decode("ascii", "replace")))
        return fitting.load_field(place)


def _check_names(spec: JobSpec, settings: tuple[str, ...], inputs: tuple[str, ...]) -> None:
    for what, given, known in (("setting", spec.settings, settings), ("input", spec.inputs, inputs)):
        _refuse_unknown(what, given, known)


def _refuse_unknown(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        msg = f"There is no {what} '{unknown[0]}'. Known ones: {', '.join(known)}."
        raise InvalidInputError(msg)
