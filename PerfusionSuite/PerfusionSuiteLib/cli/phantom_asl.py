# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite phantom asl``: a digital ASL patient with known truth, as BIDS or DICOM."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import phantom
from ..core import InvalidInputError, ProgressCallback, part_of
from ..core.files import staged_folder

OPTIONS = (
    "labeling", "delays", "label_duration", "repetitions", "readout", "suppression_pulses", "m0", "content", "scaling", "vessels",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ASL patients.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command ``phantom``.
    """
    group = parser.add_argument_group("asl")
    group.add_argument("--labeling", choices=("pcasl", "casl", "pasl"), help="how blood is labeled (default pcasl)")
    group.add_argument(
        "--delays", metavar="S", type=float, nargs="+", help="post-label delays (default 1.025 1.525 2.025 2.525; pasl 1.8)"
    )
    group.add_argument("--label-duration", metavar="S", type=float, help="labeling duration (default 1.45; pasl: bolus of 0.8)")
    group.add_argument("--repetitions", metavar="N", type=int, help="pairs at each delay (default 10, or 30 with one delay)")
    group.add_argument("--readout", choices=("3d", "2d"), help="2d reads slices one after another (default: drawn)")
    group.add_argument("--suppression-pulses", metavar="N", type=int, help="background-suppression pulses (default 2)")
    group.add_argument("--m0", choices=("separate", "included", "estimate", "absent"), help="where M0 is (default separate)")
    group.add_argument(
        "--content", choices=("pairs", "deltam"), help="controls and labels, or subtracted (default pairs; ge deltam)"
    )
    group.add_argument("--scaling", metavar="FACTOR", type=float, help="factor on subtracted images (default 1; ge 96)")
    group.add_argument(
        "--vessels",
        action=argparse.BooleanOptionalAction,
        help="whether label in large arteries is seen (default: of the recipe)",
    )


def write_asl(options: argparse.Namespace, outdated: set[Path], progress: ProgressCallback) -> None:
    """Make an ASL patient and write scan and truth.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    outdated : set of Path
        Files of an earlier patient in the output folder.
    progress : callable
        Progress.

    Raises
    ------
    InvalidInputError
        If options contradict each other.
    """
    maker = options.vendor
    if options.format != "dicom" and maker != "generic":
        msg = f"--vendor {maker} says how DICOM is written. Leave it out, or choose --format dicom."
        raise InvalidInputError(msg)
    if maker not in phantom.ASL_VENDORS:
        msg = f"ASL patients are not written as '{maker}'. Choose one of: {', '.join(phantom.ASL_VENDORS)}."
        raise InvalidInputError(msg)
    if options.residue is not None:
        msg = "An ASL patient has no option --residue: labeled water is exchanged with tissue. Leave it out."
        raise InvalidInputError(msg)
    if options.encoding != "explicit" or options.split is not None or options.trouble:
        msg = "ASL patients are written as plain DICOM. Leave out --encoding, --split and --trouble."
        raise InvalidInputError(msg)
    series, truth = phantom.asl(**_wishes(options, maker), progress=part_of(progress, 0.0, 0.7))
    label = f"{options.seed:04d}"
    root = Path(options.output)
    earlier = root / f"sub-{label}"
    old = {path.relative_to(root) for path in earlier.rglob("*") if path.is_file()} if earlier.is_dir() else set()
    with staged_folder(root, outdated=outdated | old) as staging:
        if options.format == "dicom":
            phantom.write_asl_dicom(
                series, staging / "dicom", vendor=maker, seed=options.seed, progress=part_of(progress, 0.7, 0.95)
            )
        else:
            phantom.write_asl_bids(series, staging, subject=label)
        phantom.write_asl_truth(truth, staging / "truth")


def _wishes(options: argparse.Namespace, maker: str) -> dict[str, Any]:
    """Arguments of `phantom.asl`; GE scanners subtract, sum three averages and multiply by 32."""
    sums = maker == "ge"
    content = options.content or ("deltam" if sums else "pairs")
    wishes: dict[str, Any] = {
        "seed": options.seed, "recipe": options.recipe, "site": options.site, "motion": options.motion,
        "motion_mm": options.motion_mm, "snr": options.snr, "field_t": options.field, "vessels": options.vessels,
        "labeling": options.labeling or "pcasl", "label_duration_s": options.label_duration, "repetitions": options.repetitions,
        "post_label_delays_s": tuple(options.delays) if options.delays else None, "readout": options.readout,
        "background_suppression_pulses": options.suppression_pulses, "m0": options.m0 or "separate", "content": content,
    }  # fmt: skip
    wishes["scaling"] = options.scaling if options.scaling is not None else (96.0 if sums and content == "deltam" else 1.0)
    return wishes
