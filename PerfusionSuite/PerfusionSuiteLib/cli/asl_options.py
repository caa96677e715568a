# SPDX-License-Identifier: Apache-2.0
"""What ``run`` offers for ASL scans, and how its words become settings and inputs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import asl, pipeline, results
from ..core import AslSeries, AslStudy, InvalidInputError
from ..core.choosing import method_options

_OF_CONTRAST: Mapping[str, str] = {
    "aif": "--aif", "vof": "--vof", "aif_at": "--aif-at", "vof_at": "--vof-at", "adc": "--adc",
    "second_echo": "--second-echo", "leakage": "--leakage", "preset": "--preset", "threshold": "--threshold",
    "thresholds": "--thresholds", "roi_mask": "--roi-mask", "contra_mask": "--contra-mask", "sss": "--sss", "torcula": "--torcula", "age": "--age", "nihss": "--nihss", "followup": "--followup",
    "tissue_labels": "--tissue-labels", "resume": "--resume",
}  # fmt: skip
"""Options that belong to scans with a bolus."""

_OF_ASL: Mapping[str, str] = {
    "gm_fraction": "--gm-fraction", "wm_fraction": "--wm-fraction", "m0_reference_mask": "--m0-reference-mask",
    "m0_reference": "--m0-reference", "partial_volume": "--partial-volume", "labeling_efficiency": "--labeling-efficiency",
    "t1_blood": "--t1-blood", "low_flow": "--low-flow", "asl_options": "--asl-options", "subject": "--subject",
    "session": "--session", "run": "--run",
}  # fmt: skip
"""Options that belong to ASL."""

_POINTS = 4
"""A finer map is read at so many points along each axis of a voxel and averaged."""


def add_asl_options(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    """
    group = parser.add_argument_group("ASL")
    group.add_argument(
        "--asl-options", metavar="FILE.json", type=Path,
        help="what the scan does not say itself, by BIDS names (PostLabelingDelay, LabelingDuration, ASLContext, ...)",
    )  # fmt: skip
    for name, words in (("subject", "01"), ("session", "2"), ("run", "1")):
        group.add_argument(
            f"--{name}", metavar="LABEL", help=f"{name} of a BIDS tree that holds several ASL scans, for example {words}"
        )
    group.add_argument("--gm-fraction", metavar="FILE", type=Path, help="fraction of gray matter, in the space of the scan")
    group.add_argument("--wm-fraction", metavar="FILE", type=Path, help="fraction of white matter, in the space of the scan")
    group.add_argument(
        "--partial-volume", action="store_true", help="also map the flow of pure gray and of pure white matter (needs fractions)"
    )
    group.add_argument("--smooth", metavar="MM", type=float, help="smooth difference images within the brain (default 0: not)")
    group.add_argument("--labeling-efficiency", metavar="SHARE", type=float, help="inversion efficiency without suppression")
    group.add_argument("--t1-blood", metavar="S", type=float, help="T1 of arterial blood (default: by the field strength)")
    group.add_argument(
        "--m0-reference", choices=("voxelwise", "csf", "white-matter"), help="what flow is calibrated by (default voxelwise)"
    )
    group.add_argument("--m0-reference-mask", metavar="FILE", type=Path, help="region of pure fluid or white matter for that")
    group.add_argument(
        "--low-flow", metavar="PERCENT", type=float,
        help=f"flow below this part of the other side is low (default {pipeline.AslSettings().low_flow_percent:g})",
    )  # fmt: skip


def expects_asl(options: argparse.Namespace) -> bool:
    """Tell whether the words of the command line fit ASL only.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    bool
        True with ``--modality asl``, a method or an option of ASL, or settings that only ASL knows.

    Raises
    ------
    InvalidInputError
        If modality, method and options contradict each other.
    """
    named = next((flag for name, flag in _OF_ASL.items() if getattr(options, name)), None)
    method = options.method if options.method in asl.METHODS else None
    if options.modality in ("ctp", "dsc"):
        if method or named:
            msg = f"{f'The method {method!r}' if method else named} belongs to ASL, but the modality is '{options.modality}'."
            raise InvalidInputError(f"{msg} Choose another, or '--modality asl'.")
        return False
    if options.modality == "asl" or method or named:
        return True
    return options.config is not None and _for_asl_only(options.config)


def _for_asl_only(path: Path) -> bool:
    """Whether a settings file has entries that only ASL knows; a broken file is told later."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(values, dict):
        return False
    names, method = set(values), values.get("method")
    of_asl, of_contrast = ({item.name for item in fields(kind)} for kind in (pipeline.AslSettings, pipeline.Settings))
    return bool(names & (of_asl - of_contrast)) or (isinstance(method, str) and method in asl.METHODS)


def asl_settings_from(options: argparse.Namespace) -> pipeline.AslSettings:
    """Merge the settings file and the options, which win.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    AslSettings
        Checked settings.

    Raises
    ------
    InvalidInputError
        If a method or an option of contrast perfusion was given.
    """
    if options.method and options.method not in asl.METHODS:
        msg = f"The method '{options.method}' belongs to scans with a bolus, but this is ASL. Choose {', '.join(asl.METHODS)}."
        raise InvalidInputError(msg)
    wrong = next((flag for name, flag in _OF_CONTRAST.items() if getattr(options, name, None)), None)
    if wrong:
        msg = f"{wrong} is not offered for ASL scans. Leave it out."
        raise InvalidInputError(msg)
    settings = pipeline.AslSettings.from_json(options.config) if options.config else pipeline.AslSettings()
    changes: dict[str, Any] = {"device": options.device} if options.device else {}
    if options.method:
        changes["method"] = options.method
    if options.option:
        changes["method_options"] = {**settings.method_options, **method_options(options.option)}
    if options.m0_reference:
        changes["m0_options"] = {**settings.m0_options, "m0_reference": options.m0_reference}
    if options.no_motion_correction:
        changes["motion_correction"] = False
    if options.partial_volume:
        changes["partial_volume"] = True
    given = {
        "labeling_efficiency": options.labeling_efficiency,
        "t1_blood": options.t1_blood,
        "low_flow_percent": options.low_flow,
        "smoothing_mm": options.smooth,
    }
    changes |= {name: value for name, value in given.items() if value is not None}
    return replace(settings, **changes)


def asl_inputs(options: argparse.Namespace, scan: AslSeries) -> pipeline.AslInputs:
    """Read the masks and fractions that the user gave.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    scan : AslSeries
        The scan whose grid they must fit.

    Returns
    -------
    AslInputs
        What was given.
    """
    masks = {}
    for name, path, words in (
        ("brain_mask", options.brain_mask, "brain mask"),
        ("m0_reference", options.m0_reference_mask, "M0 reference region"),
    ):
        masks[name] = None if path is None else results.read_mask_on_grid(path, words, scan.shape, scan.affine)
    return pipeline.AslInputs(
        gm=_fraction(options.gm_fraction, scan),
        wm=_fraction(options.wm_fraction, scan),
        midplane=options.midplane,
        side=options.side,
        **masks,
    )


def _fraction(path: Path | None, scan: AslSeries) -> NDArray[np.float32] | None:
    """Read a fraction and average it over the scan's voxels by the positions that both files state."""
    if path is None:
        return None
    values, affine = results.read_volume(path)
    values = np.nan_to_num(np.asarray(values, np.float32))
    if values.ndim != 3:
        msg = f"'{path.name}' has {values.ndim} dimensions; a fraction of tissue has 3. Choose another file."
        raise InvalidInputError(msg)
    to_file = np.linalg.inv(affine) @ scan.affine
    coarser = np.abs(to_file[:3, :3]).max(axis=0) > 1.2  # a step of the scan spans more than a voxel of the file
    steps = [np.array([0.0]) if not wide else (np.arange(_POINTS) + 0.5) / _POINTS - 0.5 for wide in coarser]
    order = 0 if coarser.any() else 1  # reading between the points of a finer map would blur it beyond the voxel
    index = np.indices(scan.shape, dtype=np.float64).reshape(3, -1)
    total = np.zeros(index.shape[1])
    offsets = np.array(np.meshgrid(*steps, indexing="ij")).reshape(3, -1).T
    for offset in offsets:
        place = to_file[:3, :3] @ (index + offset[:, None]) + to_file[:3, 3:]
        inside = ((place > -0.501) & (place < np.array(values.shape)[:, None] - 0.499)).all(axis=0)
        total += inside * ndimage.map_coordinates(values, place, order=order, mode="nearest", output=np.float64)
    return (total / len(offsets)).reshape(scan.shape).astype(np.float32)


def asl_summary(study: AslStudy) -> list[str]:
    """Say the headline numbers in a few lines.

    Parameters
    ----------
    study : AslStudy
        The study.

    Returns
    -------
    list of str
        Lines for the terminal.
    """
    numbers = study.metrics.values
    parts = []
    for name, words in (("brain", "brain"), ("gm", "gray matter"), ("wm", "white matter")):
        facts = (numbers.get("by_region") or {}).get(name) or {}
        if facts.get("cbf") is not None:
            arrival = f", arrival {facts['att']:.2f} s" if facts.get("att") is not None else ""
            parts.append(f"{words} {facts['cbf']:.1f} mL/100 g/min{arrival}")
    lines = [f"{study.settings['method']}: {'; '.join(parts) or 'flow is relative, since there is no M0'} (research use only)"]
    if (volume := numbers.get("hypoperfusion_volume_ml")) is not None:
        limit = numbers["hypoperfusion"]["limit_percent"]
        where = f" on the {numbers['affected_side']}" if numbers["affected_side"] in ("left", "right") else ""
        lines.append(f"Flow below {limit:g} % of the other side: {volume:.1f} mL{where}")
    lines += [f"  {f.severity}: {f.message} {f.advice}".rstrip() for f in study.findings if f.severity != "info"]
    return lines
