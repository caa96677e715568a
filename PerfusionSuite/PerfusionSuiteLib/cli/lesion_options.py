# SPDX-License-Identifier: Apache-2.0
"""Options that ``run`` and ``segment`` share: thresholds, drawn regions, side and plane, the examination, a follow-up."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import lesion, pipeline, results, series
from ..core import InvalidInputError, ProgressCallback, part_of
from ..core.geometry import FloatArray

MASKS = {
    "roi_mask": "region mask",
    "contra_mask": "contralateral mask",
    "sss": "mask of the sagittal sinus",
    "torcula": "mask of the torcula",
}
"""Options that name a mask, and what it is called in a message."""


def add_lesion_options(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    """
    group = parser.add_argument_group("lesions and indices")
    group.add_argument("--preset", choices=tuple(lesion.PRESETS), help="threshold preset (default ct-perfusion-auto)")
    group.add_argument(
        "--threshold", metavar="NAME=VALUE", action="append", default=[],
        help="replace a threshold of the preset, for example tmax_s=5 (repeat for more; 'methods --thresholds' lists them)",
    )  # fmt: skip
    group.add_argument(
        "--thresholds", metavar="FILE.json", type=Path, help="thresholds as a JSON object, or the metrics.json of another case"
    )
    group.add_argument("--roi-mask", metavar="FILE", type=Path, help="cortical region on the lesion side")
    group.add_argument("--contra-mask", metavar="FILE", type=Path, help="cortical region on the other side: normal tissue")
    group.add_argument("--sss", metavar="FILE", type=Path, help="superior sagittal sinus, instead of the one that is found")
    group.add_argument("--torcula", metavar="FILE", type=Path, help="torcula, instead of the one that is found")
    group.add_argument(
        "--midplane", metavar=("NR", "NA", "NS", "D"), nargs=4, type=float,
        help="mid-sagittal plane n.x = d in RAS mm, as 'reference.midplane' of metrics.json gives it",
    )  # fmt: skip
    group.add_argument("--side", choices=lesion.SIDES, help="affected side of the patient (default: the more hypoperfused)")
    group.add_argument("--age", metavar="YEARS", type=float, help="age, for the criteria of DAWN")
    group.add_argument("--nihss", metavar="N", type=int, help="NIH Stroke Scale, for the criteria of DAWN")
    group.add_argument(
        "--followup", metavar="IN2", type=Path, help="later scan of the patient, or a folder with its finished maps: gives PRR"
    )


def entered_thresholds(options: argparse.Namespace) -> dict[str, Any]:
    """Return the thresholds that were entered; those on the command line win over the file.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    dict
        For `lesion.edited_preset`.
    """
    from_file = lesion.thresholds_from_json(options.thresholds) if options.thresholds else {}
    return {**from_file, **lesion.thresholds_from_words(options.threshold)}


def given_by_user(options: argparse.Namespace, shape: tuple[int, ...], affine: FloatArray) -> dict[str, Any]:
    """Read drawn regions, and collect what else was entered.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    shape : tuple of int
        Grid of the scan or the maps.
    affine : ndarray, shape (4, 4), mm
        Its voxel to RAS.

    Returns
    -------
    dict
        Fields of `pipeline.UserInputs`; None for what was not given.

    Raises
    ------
    InvalidInputError
        If a region is empty.
    GridMismatchError
        If a region lies on another grid; flipped and permuted axes are put right.
    """
    found: dict[str, Any] = {"midplane": options.midplane, "side": options.side}
    found |= {"age_years": options.age, "nihss": options.nihss}
    for name, words in MASKS.items():
        path = getattr(options, name)
        found[name] = None if path is None else results.read_mask_on_grid(path, words, shape, affine)
    return found


def read_follow_up(
    place: Path | None,
    settings: pipeline.Settings,
    progress: ProgressCallback | None,
    *,
    modality: str = "auto",
    interval_s: float | None = None,
) -> pipeline.LaterScan | None:
    """Read a later scan of the patient and find its lesions.

    Parameters
    ----------
    place : Path or None
        A scan, or a folder of finished maps.
    settings : Settings
        Of the first scan.
    progress : callable or None
        Progress.
    modality : str
        As for `series.read`.
    interval_s : float, s, optional
        Time between frames when the files do not say.

    Returns
    -------
    LaterScan or None
        None when there is none. Of a scan no more than masks and an image stay in memory.

    Raises
    ------
    InvalidInputError
        If there is nothing at that place, or it cannot be used.
    """
    if place is None:
        return None
    if not place.exists():
        msg = f"There is no follow-up '{place}'. Give a scan or a folder of finished maps."
        raise InvalidInputError(msg)
    if results.holds_maps(place):
        found = results.read_finished_maps(place)
        return pipeline.later_scan(
            found.maps, settings, masks=found.masks, modality=found.modality, method=found.method or None
        )  # fmt: skip
    scan = series.read(place, modality=modality, interval_s=interval_s, progress=part_of(progress, 0.0, 0.3))
    return pipeline.follow_up_of(series.with_bolus(scan), settings, progress=part_of(progress, 0.3, 1.0), overwrite_series=True)


def follow_up_share(place: Path | None) -> float:
    """Return which part of the progress a follow-up takes.

    Parameters
    ----------
    place : Path or None
        The follow-up.

    Returns
    -------
    float
        0 without one, little for finished maps, nearly half for a scan.
    """
    if place is None:
        return 0.0
    return 0.05 if place.exists() and results.holds_maps(place) else 0.45


def follow_up_summary(numbers: Mapping[str, Any]) -> list[str]:
    """Say in a line what the follow-up shows.

    Parameters
    ----------
    numbers : mapping
        ``metrics.json``.

    Returns
    -------
    list of str
        No line without a follow-up.
    """
    later = numbers.get("follow_up")
    if not later:
        return []
    prr = later.get("prr_percent")
    change = "" if prr is None else f" (PRR {prr:.0f} %)"
    parts = ", ".join(f"{name} {later[f'{name}_ml']:.1f}" for name in ("resolved", "persistent", "new"))
    return [f"Follow-up: hypoperfusion {later['first_ml']:.1f} -> {later['later_ml']:.1f} mL{change}; {parts} mL"]
