# SPDX-License-Identifier: Apache-2.0
"""The whole job for an ASL scan, in a worker."""

from __future__ import annotations

from dataclasses import fields

from ..core import AslSeries, AslStudy, InvalidInputError, part_of
from .report import Report
from .spec import JobSpec


def run_asl_scan(scan: AslSeries, spec: JobSpec, report: Report) -> AslStudy:
    """Do the whole job for one ASL scan.

    Parameters
    ----------
    scan : AslSeries
        The scan.
    spec : JobSpec
        Inputs: any field of `pipeline.AslInputs`, and ``follow_up``, a later ASL scan of the same head (`AslSeries`).
        Settings: ``pipeline`` (fields of `pipeline.AslSettings`) and ``layout``.
        With an output folder the results are also written as files.
    report : Report
        Progress and findings.

    Returns
    -------
    AslStudy
        Everything that was found.

    Raises
    ------
    InvalidInputError
        If an input or a setting does not exist for ASL.
    """
    from .. import pipeline, results
    from ..asl_follow_up import with_follow_up

    given = {name: value for name, value in spec.inputs.items() if name != "series" and value is not None}
    later = given.pop("follow_up", None)
    if later is not None and not isinstance(later, AslSeries):
        msg = "The later scan of an ASL scan must be an ASL scan as well. Choose another, or leave it out."
        raise InvalidInputError(msg)
    choices = dict(spec.settings.get("pipeline", {}))
    for what, names, kind in (("input", given, pipeline.AslInputs), ("setting", choices, pipeline.AslSettings)):
        known = [item.name for item in fields(kind)]
        unknown = sorted(set(names) - set(known))
        if unknown:
            msg = f"An ASL scan has no {what} '{unknown[0]}'. Known ones: {', '.join(known)}."
            raise InvalidInputError(msg)
    settings = pipeline.AslSettings(**{"device": spec.device, **choices})
    end = 0.8 if spec.output is not None else 0.95
    half = end if later is None else 0.45
    study = pipeline.run(scan, settings, inputs=pipeline.AslInputs(**given), progress=part_of(report.progress, 0.1, half))
    if later is not None:
        study = with_follow_up(study, later, settings, progress=part_of(report.progress, half, end))
    for finding in study.findings:
        report.finding(finding)
    if spec.output is not None:
        layout = spec.settings.get("layout", "flat")
        results.write(study, spec.output, layout=layout, progress=part_of(report.progress, end, 0.95))
    report.progress(0.95, "Results")
    return study
