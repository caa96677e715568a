# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite segment MAPS OUT``: lesions, indices, pictures and a report from finished maps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import finished_maps, pipeline, results
from ..core import InvalidInputError, LesionMasks, part_of
from ..core.choosing import check_device
from ..core.files import check_output_folder, staged_folder
from ..results.map_files import MAP_KEYS
from .console import ConsoleProgress
from .dicom_options import add_dicom_options, check_dicom_options, dicom_writer, earlier_objects
from .lesion_options import (
    add_lesion_options,
    entered_thresholds,
    follow_up_share,
    follow_up_summary,
    given_by_user,
    read_follow_up,
)

_NAMED = tuple(key for key in MAP_KEYS if key != "ttp")


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("segment", help="lesions, indices and report from finished maps")
    parser.add_argument(
        "maps", metavar="MAPS", type=Path,
        help="folder with cbf, cbv, mtt, tmax .nii.gz (aif.csv and vof.csv if any), a BIDS subject, or the Tmax map itself",
    )  # fmt: skip
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for masks, metrics, pictures and report")
    files = parser.add_argument_group("files that are called otherwise")
    for key in _NAMED:
        files.add_argument(f"--{key}", metavar="FILE", type=Path, help=f"{key} map")
    files.add_argument("--aif", metavar="FILE.csv", type=Path, help="arterial curve (time_sec,aif)")
    files.add_argument("--vof", metavar="FILE.csv", type=Path, help="venous curve (time_sec,vof)")
    parser.add_argument(
        "--method", metavar="NAME", choices=tuple(pipeline.methods()),
        help="how the maps were made, when no metrics.json says so ('methods' lists the names)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda[:n], for a network that draws the core")
    parser.add_argument("--case-id", metavar="NAME", help="de-identified name of the case (default: name of the folder)")
    parser.add_argument("--layout", choices=("flat", "bids"), default="flat", help="names of the files (default flat)")
    parser.add_argument("--json-events", action="store_true", help="print progress as JSON lines")
    add_lesion_options(parser)
    add_dicom_options(parser, with_source=True)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    console = ConsoleProgress(json_events=options.json_events, check_stop=options.check_stop)
    try:
        check_output_folder(options.output)
        check_dicom_options(options)
        if options.output.resolve() == options.maps.resolve():
            msg = f"'{options.output}' holds the maps and what was made with them. Choose another folder for the new lesions."
            raise InvalidInputError(msg)
        console(0.0, "Reading maps")
        found = results.read_finished_maps(
            options.maps, named={key: getattr(options, key) for key in _NAMED}, aif=options.aif, vof=options.vof
        )
        study = segmented(found, options, console)
        files = _write(study, options, console)
        for line in _summary(study, options.output):
            console.message(line)
        console.finished({"folder": str(options.output), "files": len(files)})
    finally:
        console.close()
    return 0


def segmented(found: results.FinishedMaps, options: argparse.Namespace, console: ConsoleProgress) -> results.MapStudy:
    """Segment and measure finished maps.

    Parameters
    ----------
    found : FinishedMaps
        What was read.
    options : argparse.Namespace
        Parsed arguments.
    console : ConsoleProgress
        Progress.

    Returns
    -------
    MapStudy
        For `results.write`.
    """
    method, thresholds = options.method or found.method, entered_thresholds(options)
    preset = options.preset or "ct-perfusion-auto"
    known = method if method in pipeline.methods() else pipeline.DEFAULT_METHOD
    check_device(options.device)
    settings = pipeline.Settings(method=known, preset=preset, thresholds=thresholds)
    settings.check_network()
    if settings.preset_used.core_rule == "network":
        settings = replace(settings, device=options.device)
    share = follow_up_share(options.followup)
    later = read_follow_up(options.followup, settings, part_of(console, 0.0, share))
    given = given_by_user(options, found.maps.shape, found.maps.affine)
    inputs = pipeline.UserInputs(aif=found.aif, vof=found.vof, follow_up=later, **given)
    return finished_maps.analyze_maps(
        found.maps,
        masks=found.masks,
        inputs=inputs,
        preset=preset,
        thresholds=thresholds,
        method=method,
        modality=found.modality,
        case_id=options.case_id or found.case_id,
        findings=found.findings,
        device=options.device,
        progress=part_of(console, share, 0.6),
    )


def _write(study: results.MapStudy, options: argparse.Namespace, console: ConsoleProgress) -> list[Path]:
    """Write everything or nothing."""
    dicom = dicom_writer(options, study, study.maps, {})
    outdated = results.outdated_names(study, options.layout) | earlier_objects(options.output)
    with staged_folder(options.output, outdated=outdated) as staging:
        results.write(study, staging, layout=options.layout, progress=part_of(console, 0.6, 0.9))
        if dicom is not None:
            dicom(staging, part_of(console, 0.9, 1.0))
        return sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())


def _summary(study: results.MapStudy, folder: Path) -> list[str]:
    numbers, lesions = study.metrics.values, study.lesions
    core, hypoperfusion = (numbers[f"{name}_volume_ml"] for name in ("infarct_core", "hypoperfusion"))
    lines = [f"Core {core:.1f} mL, hypoperfusion {hypoperfusion:.1f} mL{_where(lesions)}; files in {folder}"]
    lines += follow_up_summary(numbers)
    return lines + [f"  {f.severity}: {f.message} {f.advice}".rstrip() for f in study.findings if f.severity != "info"]


def _where(lesions: LesionMasks) -> str:
    return f", side {lesions.side}" if lesions.side != "none" else ""
