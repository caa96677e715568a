# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite demo OUT``: make a digital patient as DICOM, run the whole job on it, compare with the truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import evaluation, phantom, pipeline, series
from ..core import part_of
from ..core.files import check_output_folder, staged_folder
from .console import ConsoleProgress
from .phantom import earlier_scan
from .run import summary
from .study_writing import earlier_results, scene_writer, write_study

DEMO_SEED = 8
"""A middle cerebral artery occlusion with core and penumbra; below 1000, so a development patient."""

_SHAPE = (256, 256, 16)
_SPACING_MM = (0.9, 0.9, 6.0)


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("demo", help="a digital patient from DICOM to report, compared with the truth")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for everything")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="another patient")
    parser.add_argument(
        "--method", metavar="NAME", choices=(pipeline.AUTO, *pipeline.methods()), default=pipeline.AUTO,
        help=f"how maps are made (default {pipeline.AUTO}; 'methods' lists the names)",
    )  # fmt: skip
    parser.add_argument("--no-scene", action="store_true", help="leave out the 3D Slicer scene and its pictures")
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
    console = ConsoleProgress(check_stop=options.check_stop)
    try:
        check_output_folder(options.output)
        writer = None if options.no_scene else scene_writer()
        console.message(f"Digital CT perfusion patient, seed {options.seed}")
        scan, truth = phantom.ctp(
            seed=options.seed, recipe="typical", shape=_SHAPE, spacing_mm=_SPACING_MM, progress=part_of(console, 0.0, 0.2)
        )
        # All in one: somebody who stops late shall not find this patient's scan beside another one's results.
        outdated = earlier_scan(options.output)
        with staged_folder(options.output, outdated=outdated, published=options.finish_stop) as staging:
            phantom.write_dicom(scan, staging / "dicom", seed=options.seed, progress=part_of(console, 0.2, 0.25))
            phantom.write_truth(truth, staging / "truth")
            del scan
            scan = series.read(staging / "dicom", modality="ctp", case_id="demo", progress=part_of(console, 0.25, 0.32))
            study = pipeline.run(scan, pipeline.Settings(method=options.method), progress=part_of(console, 0.32, 0.85))
            scores = evaluation.score_study(study, truth)
            outdated |= earlier_results(study, options.output)
            write_study(study, staging, writer=writer, truth=scores, progress=part_of(console, 0.85, 1.0))
        for line in summary(study):
            console.message(line)
        console.message(evaluation.as_text(scores))
        console.message(f"Everything is in {options.output}, the scan in dicom, its truth in truth; open report.html first.")
    finally:
        console.close()
    return 0
