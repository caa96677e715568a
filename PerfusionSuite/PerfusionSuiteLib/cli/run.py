# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite run IN OUT``: the whole job for one scan."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import asl, input_function, pipeline, prepare, results, series
from ..asl_follow_up import with_follow_up
from ..core import AslSeries, InvalidInputError, PerfusionSeries, ProgressCallback, Study, part_of
from ..core.choosing import method_options
from ..core.files import check_output_folder
from .asl_options import add_asl_options, asl_inputs, asl_settings_from, asl_summary, bids_wishes, expects_asl, read_later_asl
from .console import ConsoleProgress
from .dicom_options import add_dicom_options, check_dicom_options, dicom_writer
from .fit_options import add_fit_options, watched_fit
from .lesion_options import (
    add_lesion_options,
    entered_thresholds,
    follow_up_share,
    follow_up_summary,
    read_follow_up,
)
from .run_inputs import selection, user_inputs
from .study_writing import NO_SLICE_PICTURES, scene_writer, write_study

DEFAULTS = pipeline.Settings()


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser(
        "run",
        help="scan in; maps, lesions, tables, pictures and report out",
        description="Does the whole job for one CT perfusion, DSC-MRI or ASL scan. Usually 'run IN OUT' is enough; open "
        "OUT/report.html first.",
    )
    parser.add_argument("input", metavar="IN", type=Path, help="DICOM folder, 4D NIfTI or NRRD file, or BIDS subject")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the results")
    parser.add_argument(
        "--modality", choices=("auto", "ctp", "dsc", "asl"), default="auto", help="kind of scan (default: from the headers)"
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        choices=(pipeline.AUTO, *pipeline.methods(), *asl.METHODS),
        help="how maps are made; 'methods' lists the names (default auto: by the scan and whether PyTorch is installed)",
    )
    parser.add_argument("--config", metavar="FILE.json", type=Path, help="settings, see the README")
    add_fit_options(parser)
    parser.add_argument("--interval", metavar="SECONDS", type=float, help="time between frames when the files do not say")
    parser.add_argument("--series", metavar="UID|N", help="which series of the folder (default: the largest dynamic one)")
    parser.add_argument(
        "--case-id", metavar="NAME", help="de-identified name of the case (default: name of IN, unless it names the patient)"
    )
    parser.add_argument("--aif", metavar="FILE.csv", type=Path, help="arterial curve to use (time_sec,aif)")
    parser.add_argument("--vof", metavar="FILE.csv", type=Path, help="venous curve to use (time_sec,vof)")
    for kind, vessel in (("aif", "artery"), ("vof", "vein")):
        parser.add_argument(
            f"--{kind}-at", metavar=("R", "A", "S"), nargs=3, type=float, action="append",
            help=f"position on the {vessel} in RAS mm: one grows to the best voxels near it, several are the voxels themselves",
        )  # fmt: skip
    parser.add_argument("--brain-mask", metavar="FILE", type=Path, help="brain mask on the scan's grid")
    parser.add_argument("--adc", metavar="FILE", type=Path, help="map of apparent diffusion; makes 'adc' the default preset")
    parser.add_argument("--second-echo", metavar="PATH|N", help="later echo of a DSC scan: a file, a folder, or a series of IN")
    parser.add_argument(
        "--tissue-labels", metavar="FILE",  type=Path,
        help="tissue of a DSC scan (for hemopic) or an ASL scan: 1 gray matter, 2 white matter, 3 CSF, 4 brain stem, or labels "
        "of FreeSurfer or SynthSeg, on any grid (default: DSC estimated from the scan, ASL from BIDS derivatives)",
    )  # fmt: skip
    parser.add_argument(
        "--leakage", choices=("auto", *prepare.LEAKAGE), help="correction of a DSC scan (default auto: bsw for the preset tumor)"
    )
    parser.add_argument(
        "--aif-method", choices=tuple(input_function.METHODS), help=f"how the artery is found (default {DEFAULTS.aif_method})"
    )
    parser.add_argument(
        "--noise-reduction", choices=("auto", *prepare.NOISE_METHODS),
        help="how noise is reduced (default auto: similarity, none for methods that look at neighbors themselves)",
    )  # fmt: skip
    parser.add_argument("--no-motion-correction", action="store_true", help="take the frames as they are")
    parser.add_argument("--layout", choices=("flat", "bids"), default="flat", help="names of the files (default flat)")
    parser.add_argument("--mrb", action="store_true", help="also write a 3D Slicer scene and pictures of its slice views")
    parser.add_argument("--json-events", action="store_true", help="print progress as JSON lines")
    add_lesion_options(parser)
    add_dicom_options(parser)
    add_asl_options(parser)
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
        if expects_asl(options):
            return _asl_only(options, console)
        settings = settings_from(options)
        settings.check_packages()
        writer = scene_writer() if options.mrb else None
        share = follow_up_share(options.followup)
        # The follow-up comes first: of it only masks and an image stay in memory.
        later = read_follow_up(
            options.followup, settings, part_of(console, 0.0, share), modality=options.modality, interval_s=options.interval
        )
        progress = part_of(console, share, 1.0)
        scan = _read(options, part_of(progress, 0.0, 0.15), console)
        if isinstance(scan, AslSeries):
            return _finished_asl(options, scan, console)
        with watched_fit(console, options.output, resume=options.resume) as watch:
            study = pipeline.run(
                scan,
                settings,
                inputs=user_inputs(options, scan, later),
                progress=part_of(progress, 0.15, 0.8),
                overwrite_series=True,
                keep_series=writer is not None,
                watch=watch,
            )
            progress = part_of(progress, 0.8, 1.0)
            dicom = dicom_writer(options, study, study.maps, study.series.source.dicom)
            files = write_study(
                study, options.output, layout=options.layout, writer=writer, dicom=dicom, progress=progress,
                published=options.finish_stop,
            )  # fmt: skip
        for line in summary(study):
            console.message(line)
        _tell_missing_pictures(writer, files, console)
        if not options.json_events:
            console.message(f"{len(files)} files in {options.output}; open report.html first.")
        console.finished({"folder": str(options.output), "files": len(files)})
    finally:
        console.close()
    return 0


def _read(options: argparse.Namespace, progress: ProgressCallback, console: ConsoleProgress) -> PerfusionSeries | AslSeries:
    """Read the scan and tell what was decided."""
    scan: PerfusionSeries | AslSeries = series.read(
        options.input,
        modality=options.modality,
        interval_s=options.interval,
        select=selection(options.series),
        case_id=options.case_id,
        asl_options=options.asl_options,
        bids=bids_wishes(options),
        progress=progress,
    )
    for decision in scan.source.decisions:
        console.message(f"  {decision}")
    return scan


def _asl_only(options: argparse.Namespace, console: ConsoleProgress) -> int:
    """Do the job when the words of the command line fit ASL only."""
    asl_settings_from(options).check_packages()  # wrong words are told before the scan is read, and a missing package
    scan = _read(options, part_of(console, 0.0, 0.15), console)
    if not isinstance(scan, AslSeries):
        msg = (
            f"The scan is of modality '{scan.modality}', but the command asks for ASL. Choose an ASL scan, or leave out what "
            "belongs to ASL (modality, method, options)."
        )
        raise InvalidInputError(msg)
    return _finished_asl(options, scan, console)


def _finished_asl(options: argparse.Namespace, scan: AslSeries, console: ConsoleProgress) -> int:
    """Analyze an ASL scan and write its results."""
    settings = asl_settings_from(options)
    writer = scene_writer() if options.mrb else None
    later = read_later_asl(options, part_of(console, 0.15, 0.2))
    end = 0.8 if later is None else 0.5
    study = pipeline.run(scan, settings, inputs=asl_inputs(options, scan), progress=part_of(console, 0.2, end))
    if later is not None:
        study = with_follow_up(study, later, settings, progress=part_of(console, end, 0.8))
    dicom = dicom_writer(options, study, study.maps, scan.source.dicom)
    files = write_study(
        study, options.output, layout=options.layout, writer=writer, dicom=dicom, progress=part_of(console, 0.8, 1.0),
        published=options.finish_stop,
    )  # fmt: skip
    for line in asl_summary(study):
        console.message(line)
    _tell_missing_pictures(writer, files, console)
    if not options.json_events:
        console.message(f"{len(files)} files in {options.output}; open report.html first.")
    console.finished({"folder": str(options.output), "files": len(files)})
    return 0


def _tell_missing_pictures(writer: Any, files: list[Path], console: ConsoleProgress) -> None:
    """Say when a machine could not draw."""
    if writer is not None and not any(path.name.startswith("slicer_") for path in files):
        console.message(f"  {NO_SLICE_PICTURES.severity}: {NO_SLICE_PICTURES.message} {NO_SLICE_PICTURES.advice}")


def settings_from(options: argparse.Namespace) -> pipeline.Settings:
    """Merge the settings file and the options, which win.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    Settings
        Checked settings.
    """
    settings = pipeline.Settings.from_json(options.config) if options.config else DEFAULTS
    changes: dict[str, Any] = {"device": options.device} if options.device else {}
    if options.option:
        changes["method_options"] = {**settings.method_options, **method_options(options.option)}
    if options.method:
        changes["method"] = options.method
    if options.preset:
        changes["preset"] = options.preset
    elif options.adc and settings.preset == DEFAULTS.preset:
        changes["preset"] = "adc"
    if entered := entered_thresholds(options):
        changes["thresholds"] = {**settings.thresholds, **entered}
    named = {
        "aif_method": options.aif_method,
        "noise_reduction": options.noise_reduction,
        "leakage_correction": options.leakage,
    }
    changes |= {name: value for name, value in named.items() if value}
    if options.no_motion_correction:
        changes["motion_correction"] = False
    return replace(settings, **changes)


def summary(study: Study) -> list[str]:
    """Say the headline numbers in a few lines.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    list of str
        Lines for the terminal.
    """
    numbers = study.metrics.values

    def shown(key: str, unit: str = "", digits: int = 1) -> str:
        value = numbers.get(key)
        return "not available" if value is None else f"{value:.{digits}f}{unit}"

    lines = [
        f"Core {shown('infarct_core_volume_ml', ' mL')}, hypoperfusion {shown('hypoperfusion_volume_ml', ' mL')}, "
        f"penumbra {shown('penumbra_volume_ml', ' mL')}, mismatch ratio {shown('mismatch_ratio', '', 2)}, "
        f"side {study.lesions.side} (research use only)"
    ]
    if tumor := numbers.get("tumor"):
        lines.append(
            f"Tumor: blood volume {tumor['rcbv_mean']:.2f} times that of normal white matter (mean; 95th percentile "
            f"{tumor['rcbv_p95']:.2f})"
        )
    if words := results.scale_words(numbers):
        lines.append(words)
    lines += follow_up_summary(numbers)
    lines += [f"  {f.severity}: {f.message} {f.advice}".rstrip() for f in study.findings if f.severity != "info"]
    return lines
