# SPDX-License-Identifier: Apache-2.0
"""What a worker can do. A new task is a function and one line in `TASKS`; rooms are imported when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core import (
    AslSeries,
    AslStudy,
    Concentration,
    InputFunction,
    InvalidInputError,
    PerfusionMaps,
    PerfusionSeries,
    Study,
    part_of,
)
from ..core.files import check_output_folder
from .asl_tasks import run_asl_scan
from .field_tasks import field_curves, keep_field, sample_field
from .lesion_tasks import FILE_SETTINGS, region_statistics, write_lesion_files
from .report import Report
from .spec import JobSpec
from .watch import JobWatch

Task = Callable[[JobSpec, Report], Any]


def run(spec: JobSpec, report: Report) -> Study | AslStudy:
    """Do the whole job for one scan.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``series``, or in the settings ``path`` and ``reading`` (options of `series.read`); any field of
        `pipeline.UserInputs`, such as ``aif`` or ``brain_mask``. Settings: ``pipeline`` (fields of `pipeline.Settings`) and
        ``layout``. Of an ASL scan, see `asl_tasks.run_asl_scan`.
        With an output folder the results are also written as files.
    report : Report
        Progress and findings.

    Returns
    -------
    Study or AslStudy
        Everything that was found.
    """
    from .. import asl, pipeline, results

    _check_names("setting", spec.settings, ("path", "reading", "pipeline", "layout"))
    if spec.output is not None:
        check_output_folder(spec.output)
    choices = dict(spec.settings.get("pipeline", {}))
    inputs, known = _names_of(pipeline.UserInputs), _names_of(pipeline.Settings)
    if _may_be_asl(spec):
        inputs, known = (*inputs, *_names_of(pipeline.AslInputs)), (*known, *_names_of(pipeline.AslSettings))
    _check_names("input", spec.inputs, ("series", *dict.fromkeys(inputs)))
    _check_names("setting of the pipeline", choices, tuple(dict.fromkeys(known)))
    of_asl = set(choices) - set(_names_of(pipeline.Settings)) or choices.get("method") in ("auto", *asl.METHODS)
    if not of_asl and not isinstance(spec.inputs.get("series"), AslSeries):
        pipeline.Settings(**{"device": spec.device, **choices})  # wrong words are told before the scan is read
    scan = _scan(spec, part_of(report.progress, 0.0, 0.1))
    if isinstance(scan, AslSeries):
        return run_asl_scan(scan, spec, report)
    settings = pipeline.Settings(**{"device": spec.device, **choices})
    given = pipeline.UserInputs(**{name: value for name, value in spec.inputs.items() if name != "series"})
    end = 0.8 if spec.output is not None else 0.95
    study = pipeline.run(scan, settings, inputs=given, progress=part_of(report.progress, 0.1, end), watch=JobWatch(report))
    if study.fitted is not None:
        keep_field(study.fitted, report)
    for finding in study.findings:
        report.finding(finding)
    if spec.output is not None:
        layout = spec.settings.get("layout", "flat")
        results.write(study, spec.output, layout=layout, progress=part_of(report.progress, end, 0.95))
    report.progress(0.95, "Results")
    return study


def _names_of(kind: type) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind))


def _may_be_asl(spec: JobSpec) -> bool:
    """Whether the job's scan is ASL, or a path at which there may be one."""
    return not isinstance(spec.inputs.get("series"), PerfusionSeries)


def _scan(spec: JobSpec, progress: Callable[[float, str], None]) -> PerfusionSeries | AslSeries:
    scan = spec.inputs.get("series")
    if isinstance(scan, PerfusionSeries | AslSeries):
        return scan
    path = spec.settings.get("path")
    if scan is not None or not isinstance(path, str):
        msg = "The job has no scan. Give a perfusion series, or the path of a DICOM folder or a 4D file."
        raise InvalidInputError(msg)
    from .. import series

    found: PerfusionSeries | AslSeries = series.read(Path(path), **spec.settings.get("reading", {}), progress=progress)
    return found


def read(spec: JobSpec, report: Report) -> PerfusionSeries | AslSeries:
    """Read a scan from files.

    Parameters
    ----------
    spec : JobSpec
        Settings: ``path`` and ``reading`` (options of `series.read`).
    report : Report
        Progress, and what was odd about the files.

    Returns
    -------
    PerfusionSeries or AslSeries
        The scan.
    """
    _check_names("setting", spec.settings, ("path", "reading"))
    scan = _scan(spec, part_of(report.progress, 0.0, 0.9))
    for finding in scan.source.findings:
        report.finding(finding)
    report.progress(0.9, "Scan read")
    return scan


def fit(spec: JobSpec, report: Report) -> Study | AslStudy | dict[str, Any]:
    """Compute maps by one method, from curves or from a scan.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``concentration`` (array or `Concentration`), ``aif`` (array or `InputFunction`), ``times_s``, and optionally
        ``mask`` and ``affine``; or a ``series``, which goes through the whole chain. Settings: ``method``, ``options`` of
        the method, ``density``, ``hematocrit_factor``; with a series those of `run`.
    report : Report
        Progress.

    Returns
    -------
    dict of ndarray, or Study
        The maps; for a series the study.
    """
    if "series" in spec.inputs or "path" in spec.settings:
        return run(spec, report)
    from .. import deconvolution, fitting

    _check_names("setting", spec.settings, ("method", "options", "density", "hematocrit_factor"))
    _check_names("input", spec.inputs, ("concentration", "aif", "times_s", "mask", "affine"))
    curves = _curves(spec.inputs)
    method = spec.settings.get("method", "nlr")
    options = spec.settings.get("options", {})
    common = {key: spec.settings[key] for key in ("density", "hematocrit_factor") if key in spec.settings}
    common |= {"method": method, "mask": curves.pop("mask"), "progress": part_of(report.progress, 0.0, 0.95)}
    affine = curves.pop("affine")
    if method in deconvolution.METHODS:
        return deconvolution.deconvolve(**curves, **common, **options)
    maps, field = fitting.fit(**curves, **common, affine=affine, settings=options, device=spec.device, watch=JobWatch(report))
    if field is not None:
        keep_field(field, report)
    return maps


def _curves(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Sort the inputs of `fit` into arguments, whether they came as arrays or as values of the package."""
    given = dict.fromkeys(("times_s", "mask", "affine")) | dict(inputs)
    if isinstance(tissue := given.get("concentration"), Concentration):
        facts = {"times_s": tissue.times_s, "mask": tissue.mask, "affine": tissue.affine}
        given = {"concentration": tissue.data} | {key: value for key, value in given.items() if key != "concentration"}
        given |= {key: value for key, value in facts.items() if given[key] is None}
    if isinstance(artery := given.get("aif"), InputFunction):
        given["aif"] = artery.values
    missing = [name for name in ("concentration", "aif", "times_s") if given.get(name) is None]
    if missing:
        msg = f"The job has no {', no '.join(missing)}. Give the tissue curves, the arterial curve and the frame times."
        raise InvalidInputError(msg)
    return {name: value if name in {"mask", "affine"} else np.asarray(value) for name, value in given.items()}


def segment(spec: JobSpec, report: Report) -> dict[str, Any]:
    """Find or measure lesions in finished maps.

    Parameters
    ----------
    spec : JobSpec
        Inputs: ``maps`` (`PerfusionMaps`), and optionally ``masks`` (`TissueMasks`), any of ``roi_mask contra_mask sss torcula
        midplane side aif vof age_years nihss follow_up`` (fields of `pipeline.UserInputs`), and the edited lesions ``core`` and
        ``hypoperfusion`` (masks), which are then measured as they are. Settings: ``preset`` (name), ``thresholds`` (see
        `lesion.edited_preset`), ``method`` (how Tmax was made), ``modality``, ``case_id``.
        With an output folder the results are also written as files, see `lesion_tasks.write_lesion_files` for the settings.
    report : Report
        Progress and findings.

    Returns
    -------
    dict
        ``lesions`` (`LesionMasks`), ``metrics`` (`Metrics`) and ``maps`` (`PerfusionMaps`: relative flow and volume).
    """
    from .. import finished_maps, pipeline

    _check_names("setting", spec.settings, ("preset", "thresholds", "method", "modality", "case_id", *FILE_SETTINGS))
    given = {name: value for name, value in spec.inputs.items() if value is not None}
    _check_names("input", given, ("maps", "masks", "core", "hypoperfusion", *_OF_MAPS))
    if spec.output is not None:
        check_output_folder(spec.output)
    choices = {name: value for name, value in spec.settings.items() if name not in FILE_SETTINGS and value is not None}
    arrays: dict[str, Any] = {name: given.get(name) for name in ("masks", "core", "hypoperfusion")}
    study = finished_maps.analyze_maps(
        given["maps"],
        inputs=pipeline.UserInputs(**{name: given[name] for name in _OF_MAPS if name in given}),
        device=spec.device,
        progress=part_of(report.progress, 0.0, 0.8),
        **arrays,
        **choices,
    )
    for finding in study.findings:
        report.finding(finding)
    if spec.output is not None:
        write_lesion_files(study, spec.output, spec.settings, part_of(report.progress, 0.8, 0.95))
    report.progress(0.95, "Results")
    relative = PerfusionMaps([study.maps[key] for key in study.made])
    return {"lesions": study.lesions, "metrics": study.metrics, "maps": relative}


_OF_MAPS = (
    "roi_mask", "contra_mask", "sss", "torcula", "midplane", "side", "aif", "vof", "age_years", "nihss", "follow_up",
)  # fmt: skip
"""What a user may give beside finished maps."""


def devices(spec: JobSpec, report: Report) -> dict[str, Any]:
    """List what this machine can compute on.

    Parameters
    ----------
    spec : JobSpec
        Without settings and inputs.
    report : Report
        Not needed.

    Returns
    -------
    dict
        ``devices``: a list of ``name`` and ``label``; ``note``: why there is no GPU, or empty; ``torch``: whether there is
        PyTorch.
    """
    found = [{"name": "cpu", "label": f"CPU ({os.cpu_count() or 1} cores)"}]
    try:
        import torch
    except (ImportError, OSError) as error:  # a library that torch needs may be missing
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else "cannot be loaded"
        note = f"Only the CPU can be used, because PyTorch {why} in the worker's Python."
        return {"devices": found, "note": note, "torch": False}
    if not torch.cuda.is_available():
        return {"devices": found, "note": "Only the CPU can be used, because PyTorch finds no CUDA GPU.", "torch": True}
    for number in range(torch.cuda.device_count()):
        free, _total = torch.cuda.mem_get_info(number)
        label = f"{torch.cuda.get_device_name(number)} ({free / 2**30:.1f} GiB free)"
        found.append({"name": f"cuda:{number}", "label": label})
    return {"devices": found, "note": "", "torch": True}


def _check_names(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        msg = f"There is no {what} '{unknown[0]}'. Known ones: {', '.join(known)}."
        raise InvalidInputError(msg)


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "run": run,
        "read": read,
        "fit": fit,
        "segment": segment,
        "region-statistics": region_statistics,
        "devices": devices,
        "sample-field": sample_field,
        "field-curves": field_curves,
    }
)
"""All tasks by name."""


def find_task(name: str) -> Task:
    """Return a task by name.

    Parameters
    ----------
    name : str
        A key of `TASKS`.

    Returns
    -------
    callable
        Takes a `JobSpec` and a `Report`, returns the result.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    if name not in TASKS:
        msg = f"There is no task '{name}'. Known ones: {', '.join(TASKS)}."
        raise InvalidInputError(msg)
    return TASKS[name]
