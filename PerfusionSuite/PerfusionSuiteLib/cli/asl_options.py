# SPDX-License-Identifier: Apache-2.0
"""What ``run`` offers for ASL scans, and how its words become settings and inputs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .. import asl, asl_tissue, pipeline, results, series
from ..core import AslSeries, AslStudy, InvalidInputError, ProgressCallback
from ..core.choosing import method_options
from ..series.bids_choice import bids_scans, chosen_scan

_OF_CONTRAST: Mapping[str, str] = {
    "aif": "--aif", "vof": "--vof", "aif_at": "--aif-at", "vof_at": "--vof-at", "aif_method": "--aif-method",
    "noise_reduction": "--noise-reduction", "adc": "--adc", "second_echo": "--second-echo", "leakage": "--leakage",
    "preset": "--preset", "threshold": "--threshold", "thresholds": "--thresholds", "roi_mask": "--roi-mask",
    "contra_mask": "--contra-mask", "sss": "--sss", "torcula": "--torcula", "age": "--age", "nihss": "--nihss",
    "resume": "--resume",
}  # fmt: skip
"""Options that belong to scans with a bolus."""

_OF_ASL: Mapping[str, str] = {
    "gm_fraction": "--gm-fraction", "wm_fraction": "--wm-fraction", "m0_reference_mask": "--m0-reference-mask",
    "m0_reference": "--m0-reference", "partial_volume": "--partial-volume", "labeling_efficiency": "--labeling-efficiency",
    "t1_blood": "--t1-blood", "low_flow": "--low-flow", "asl_options": "--asl-options", "subject": "--subject",
    "session": "--session", "run": "--run", "no_tissue": "--no-tissue", "smooth": "--smooth",
}  # fmt: skip
"""Options that belong to ASL."""


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
    group.add_argument(
        "--gm-fraction", metavar="FILE", type=Path,
        help="fraction of gray matter, on any grid in the space of the scan (default: from BIDS derivatives, if there are some)",
    )  # fmt: skip
    group.add_argument("--wm-fraction", metavar="FILE", type=Path, help="fraction of white matter, likewise")
    group.add_argument("--no-tissue", action="store_true", help="do not look for gray and white matter in BIDS derivatives")
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
    if options.method and options.method not in (pipeline.AUTO, *asl.METHODS):
        msg = f"The method '{options.method}' belongs to scans with a bolus, but this is ASL. Choose {', '.join(asl.METHODS)}."
        raise InvalidInputError(msg)
    wrong = next((flag for name, flag in _OF_CONTRAST.items() if getattr(options, name, None)), None)
    if wrong:
        msg = f"{wrong} is not offered for ASL scans. Leave it out."
        raise InvalidInputError(msg)
    settings = pipeline.AslSettings.from_json(options.config) if options.config else pipeline.AslSettings()
    changes: dict[str, Any] = {"device": options.device} if options.device else {}
    if options.method and options.method != pipeline.AUTO:
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
    masks: dict[str, Any] = {}
    for name, path, words in (
        ("brain_mask", options.brain_mask, "brain mask"),
        ("m0_reference", options.m0_reference_mask, "M0 reference region"),
    ):
        masks[name] = None if path is None else results.read_mask_on_grid(path, words, scan.shape, scan.affine)
    return pipeline.AslInputs(
        **_tissue(options, scan),
        midplane=options.midplane,
        side=options.side,
        **masks,
    )


def _tissue(options: argparse.Namespace, scan: AslSeries) -> dict[str, Any]:
    """Gray and white matter: as given, else from derivatives of the data set unless the user wants none."""
    given = {"--gm-fraction": options.gm_fraction, "--wm-fraction": options.wm_fraction}
    if options.tissue_labels is not None:
        twice = next((flag for flag, path in given.items() if path is not None), None)
        if twice is not None:
            msg = f"--tissue-labels and {twice} both say where gray and white matter are. Give one of them."
            raise InvalidInputError(msg)
        gray, white = asl_tissue.label_fractions(options.tissue_labels, scan)
        return {"gm": gray, "wm": white}
    if any(path is not None for path in given.values()):
        parts = {"gm": options.gm_fraction, "wm": options.wm_fraction}
        return {name: None if path is None else asl_tissue.fraction_on(path, scan) for name, path in parts.items()}
    files = None if options.no_tissue else _beside(options)
    if files is None:
        return {}
    if files.labels is not None:
        gray, white = asl_tissue.label_fractions(files.labels, scan)
    elif files.gm is not None and files.wm is not None:
        gray, white = (asl_tissue.fraction_on(path, scan) for path in (files.gm, files.wm))
    return {"gm": gray, "wm": white, "findings": (files.finding,)}


def _beside(options: argparse.Namespace) -> asl_tissue.TissueFiles | None:
    """Tissue in the derivatives of the data set that the scan belongs to."""
    place = options.input
    if bids_scans(place):
        place = chosen_scan(place, bids_wishes(options))
        place = place if place.is_file() else bids_scans(place)[0].path
    return asl_tissue.tissue_beside(place) if place.is_file() else None


def bids_wishes(options: argparse.Namespace) -> dict[str, str | None]:
    """Return which scan of a BIDS tree is meant.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    dict
        ``subject``, ``session`` and ``run``, for `series.read`.
    """
    return {"subject": options.subject, "session": options.session, "run": options.run}


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
    lines += _later_words(numbers.get("follow_up") or {})
    lines += [f"  {f.severity}: {f.message} {f.advice}".rstrip() for f in study.findings if f.severity != "info"]
    return lines


def _later_words(later: Mapping[str, Any]) -> list[str]:
    """A line about the follow-up: flow of the brain and of what was low, and volumes of low flow."""
    if not later:
        return []
    parts = []
    for name, words in (("brain", "brain"), ("low_flow", "where it was low")):
        facts = (later.get("regions") or {}).get(name)
        if facts:
            parts.append(f"{words} {facts['cbf_first']:.1f} -> {facts['cbf_later']:.1f} mL/100 g/min")
    if "resolved_ml" in later:
        volumes = ", ".join(f"{name} {later[f'{name}_ml']:.1f}" for name in ("resolved", "persistent", "new"))
        parts.append(f"low flow {later['first_ml']:.1f} -> {later['later_ml']:.1f} mL ({volumes} mL)")
    return [f"Follow-up: {'; '.join(parts)}"]


def read_later_asl(options: argparse.Namespace, progress: ProgressCallback) -> AslSeries | None:
    """Read the follow-up of an ASL scan.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    progress : callable
        Progress.

    Returns
    -------
    AslSeries or None
        None when there is none.

    Raises
    ------
    InvalidInputError
        If it is no ASL scan.
    """
    place = options.followup
    if place is None:
        return None
    if not place.exists():
        msg = f"There is no follow-up '{place}'. Give a later ASL scan."
        raise InvalidInputError(msg)
    if results.holds_maps(place) or (place / "metrics.json").is_file():
        msg = f"The follow-up '{place.name}' holds finished maps. Give the later ASL scan itself: it is registered by its M0."
        raise InvalidInputError(msg)
    return series.read(place, modality="asl", asl_options=options.asl_options, progress=progress)
