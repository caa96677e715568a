# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate hemopic FITS DATA OUT``: fitted DSC patients against lesions, other maps and measured curves."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from ..core import CancelledError, InvalidInputError
from ..core.files import check_output_folder, staged_folder
from ..evaluation.hemopic_case import Definitions
from ..evaluation.hemopic_folders import DATA, DATA_STEMS, FIT_STEMS, KEYS, MODEL, CaseFiles, find_cases
from ..evaluation.hemopic_slices import SliceChoices
from ..evaluation.hemopic_study import PARTS, HemopicDesign, run_hemopic
from ..evaluation.report.hemopic_detection_files import write_patient
from ..evaluation.report.hemopic_slice_pictures import write_slices
from ..evaluation.report.hemopic_writing import HemopicReport
from ..hemopic.subjects import parse_ids
from .console import ConsoleProgress

_NUMBERS = re.compile(r"[\d,-]+")
_NAMED = tuple(dict.fromkeys((*FIT_STEMS, *DATA_STEMS)))


def add_parser(parts: Any) -> None:
    """Register the command.

    Parameters
    ----------
    parts : argparse sub-parsers action
        Where to add it.
    """
    parser = parts.add_parser(
        "hemopic",
        help="regional fits of DSC-MRI: volume check, contrasts, curves, time constants, slices, lesion ROC and PR",
        description="Tables, pictures and a report. FITS holds a folder per patient (training_<N>, p<N>/global, or any names) as "
        "'hemopic fit' or 'run' writes it, or is the result of one patient. DATA holds a folder per patient of the same name or "
        "number with the supplied maps, the lesion (OT), tissue labels and the tracer series; a lesion mask alone is enough for "
        "one patient.",
    )  # fmt: skip
    parser.add_argument("fits", metavar="FITS", type=Path, help="folder with fitted patients")
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of the dataset, or a lesion mask")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for tables and pictures")
    parser.add_argument(
        "--what", nargs="+", choices=(*PARTS, "all"), default=["all"], metavar="PART",
        help=f"of {', '.join(PARTS)}, or all (default)",
    )  # fmt: skip
    parser.add_argument(
        "--definitions", nargs="+", choices=("corrected", "published"), default=["corrected"],
        help="corrected: common voxels, patients as unit, true mirror plane; published: as the published program; with both each "
        "gets a folder of its name (default corrected)",
    )  # fmt: skip
    parser.add_argument("--patients", nargs="+", default=[], metavar="N", help="only these, by number, range or name (1-48)")
    parser.add_argument("--pattern", default="*", help="which folders of FITS are patients (default *)")
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="NAME=FOLDER", help="further sources of maps, each a folder like FITS"
    )
    parser.add_argument(
        "--names", nargs="+", default=[], metavar="KEY=STEM",
        help=f"other file names without ending, for example lesion=mask_core; keys: {', '.join(_NAMED)}",
    )  # fmt: skip
    detection = parser.add_argument_group("lesion ROC and PR")
    detection.add_argument("--methods", nargs="+", default=[], metavar="SOURCE", help=f"only these, for example {MODEL} {DATA}")
    detection.add_argument("--metrics", nargs="+", default=[], choices=KEYS, help="only these maps")
    detection.add_argument("--relative", choices=("brain_median", "nonlesion_median"), default="brain_median", help="reference")
    detection.add_argument("--base", default=DATA, metavar="SOURCE", help=f"what others are compared with (default {DATA})")
    detection.add_argument("--volumes", action="store_true", help="write masks, relative values and scores as images")
    figures = parser.add_argument_group("slice figures")
    figures.add_argument("--slice", type=int, metavar="Z", help="counted from the lowest (default: most lesion)")
    figures.add_argument("--max", type=float, nargs=3, default=[70.0, 7.0, 15.0], metavar="VALUE", help="CBF CBV MTT (70 7 15)")
    figures.add_argument("--border", type=int, default=2, metavar="PX", help="published: hidden border (default 2)")
    figures.add_argument("--csf-depth", type=int, default=5, metavar="PX", help="published: depth of hidden CSF (default 5)")
    parser.add_argument("--no-held-out", action="store_true", help="do not fit again on every other frame")
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

    Raises
    ------
    InvalidInputError
        If there are no patients, or nothing could be measured.
    CancelledError
        If the user asked to stop; nothing is written.
    """
    check_output_folder(options.output)
    compared = {name: Path(folder) for name, folder in _pairs(options.compare, "--compare", "NAME=FOLDER").items()}
    names = _pairs(options.names, "--names", "KEY=STEM")
    if unknown := [key for key in names if key not in _NAMED]:
        msg = f"There is no file called '{unknown[0]}'. Use one of {', '.join(_NAMED)}."
        raise InvalidInputError(msg)
    if missing := [folder for folder in (options.data, *compared.values()) if not folder.exists()]:
        msg = f"'{missing[0]}' does not exist. Check the path."
        raise InvalidInputError(msg)
    cases, ignored = find_cases(
        options.fits, options.data, patients=_patients(options.patients), compared=compared, names=names, pattern=options.pattern
    )
    console = ConsoleProgress(check_stop=options.check_stop)
    definitions = list(dict.fromkeys(options.definitions))
    stamp = datetime.now().astimezone().strftime("%Y%m%d_%H%M%S")
    try:
        with staged_folder(options.output) as staging:
            for name in definitions:
                place = staging / name if len(definitions) > 1 else staging
                console.message(evaluate(cases, ignored, design_of(options, name), place, stamp, console))
        console.message(f"Tables and pictures are in {options.output}; open report.html first.")
    except KeyboardInterrupt as error:
        msg = "Cancelled; no results were written."
        raise CancelledError(msg) from error
    finally:
        console.close()
    return 0


def design_of(options: argparse.Namespace, definitions: str) -> HemopicDesign:
    """Turn arguments into a design.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    definitions : str
        Which.

    Returns
    -------
    HemopicDesign
        What is measured.

    Raises
    ------
    InvalidInputError
        If a window is not above 0.
    """
    if min(options.max) <= 0 or min(options.border, options.csf_depth) < 0:
        msg = "Windows must be above 0 and depths not below. Correct --max, --border or --csf-depth."
        raise InvalidInputError(msg)
    return HemopicDesign(
        parts=PARTS if "all" in options.what else tuple(part for part in PARTS if part in options.what),
        definitions=cast(Definitions, definitions),
        methods=tuple(options.methods),
        metrics=tuple(options.metrics),
        relative_mode=options.relative,
        base=options.base,
        held_out=not options.no_held_out,
        volumes=options.volumes,
        slice_index=options.slice,
        display=SliceChoices(
            cbf_max=options.max[0],
            cbv_max=options.max[1],
            mtt_max=options.max[2],
            border_px=options.border,
            csf_depth_px=options.csf_depth,
        ),
    )


def evaluate(
    cases: Sequence[CaseFiles],
    ignored: Sequence[tuple[str, str]],
    design: HemopicDesign,
    out: Path,
    stamp: str,
    console: ConsoleProgress,
) -> str:
    """Measure all patients by one set of definitions and write everything.

    Parameters
    ----------
    cases : sequence of CaseFiles
        Patients.
    ignored : sequence of tuple of str
        Folders that are none, and why.
    design : HemopicDesign
        What to measure.
    out : Path
        Folder.
    stamp : str
        Date and time.
    console : ConsoleProgress
        Progress and cancelling.

    Returns
    -------
    str
        The tables as text.

    Raises
    ------
    InvalidInputError
        If nothing could be measured.
    """
    slices = functools.partial(
        write_slices, folder=out / "slices", definitions=design.definitions, choices=design.display, index=design.slice_index
    )
    found = run_hemopic(
        cases,
        design,
        write_patient=lambda case, scores, rows: write_patient(out / "roc", case, scores, rows, design),
        write_slices=slices,
        progress=console,
    )
    found.skipped += [(name, "all", reason) for name, reason in ignored]
    tables = (found.points, *found.contrasts.values(), found.curves, found.rois, found.times, found.metrics)
    measured = any(tables)
    if not measured and not (out / "slices").is_dir():
        reasons = list(dict.fromkeys(f"{part}: {reason}" for _, part, reason in found.skipped))
        msg = f"Nothing could be measured. {' '.join(reasons[:3]) or 'No part was possible.'}"
        raise InvalidInputError(msg)
    return HemopicReport(found, design, out, stamp).write()


def _patients(words: Sequence[str]) -> list[str]:
    """Names stay, numbers and ranges become single numbers."""
    names = [word for word in words if not _NUMBERS.fullmatch(word)]
    return names + [str(number) for number in parse_ids([word for word in words if _NUMBERS.fullmatch(word)])]


def _pairs(words: Sequence[str], option: str, form: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            msg = f"'{word}' cannot be read. Write {option} {form}."
            raise InvalidInputError(msg)
        found[key] = value
    return found
