# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite colormap-import FOLDER OUT``: maps that exist only as DICOM pictures become numbers again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core import QUANTITIES, InvalidInputError, PerfusionMap
from ..core.errors import GridMismatchError
from ..core.files import check_output_folder, staged_folder, write_json, write_text
from ..core.geometry import check_same_grid
from ..core.nifti import write_volume
from ..results.imported_maps import FACTS_FILE
from ..series.color_bar import ColorBar
from ..series.color_maps import KEYWORDS, MapSeries, choose_map, find_map_series, grid_of_maps, read_colors, read_numbers
from ..series.color_values import FULL_SCALES, invert_pictures, read_table
from ..series.notes import Notes
from .console import ConsoleProgress


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the user entered about one quantity."""

    full_scale: tuple[float, float] | None
    from_preset: str
    table: ColorBar | None
    series: int | None


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("colormap-import", help="turn DICOM color maps (with a burnt-in color bar) into maps")
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="DICOM folder with series named after TMAX, CBF, CBV, MTT, TTP"
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for tmax.nii.gz and the others")
    parser.add_argument(
        "--range", metavar="KEY=LOW:HIGH", action="append", default=[], dest="ranges",
        help="what the ends of the color bar read, for example tmax=0:12 (repeatable)",
    )  # fmt: skip
    parser.add_argument("--preset", choices=tuple(FULL_SCALES), help="ends of the bars: syngo is 12 s, MTT 15 s, CBF and CBV 100")
    parser.add_argument(
        "--lut", metavar="KEY=FILE", action="append", default=[], help="look-up table for pictures without a bar: PNG or CSV"
    )
    parser.add_argument("--series", metavar="KEY=N", action="append", default=[], help="which series, by the number in a message")
    parser.add_argument("--distance", metavar="RGB", type=float, help="how far a color may be from the bar (default 8, lossy 32)")
    parser.add_argument("--bar-reversed", action="store_true", help="the lowest value is at the top (or right) of the bar")
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
        if options.distance is not None and not 0.0 <= options.distance <= 100.0:
            msg = f"The distance {options.distance:g} must lie between 0 and 100. The default is 8."
            raise InvalidInputError(msg)
        wishes, notes = _wishes(options), Notes()
        found = find_map_series(options.folder, notes)
        chosen = {key: choose_map(found, key, wishes[key].series, notes) for key in KEYWORDS}
        present = {key: item for key, item in chosen.items() if item is not None}
        maps, facts = [], {}
        for number, (key, item) in enumerate(present.items()):
            console(number / len(present), f"Reading {QUANTITIES[key].symbol}")
            made, facts[key] = _map_of(item, key, wishes[key], options, notes)
            maps.append(made)
        maps = _on_one_grid(maps, notes)
        _tell_origin(facts, notes)
        _write(options.output, maps, facts, notes)
        console(1.0, "Done")
        for line in (*notes.decisions, *(f"{f.severity}: {f.message} {f.advice}".rstrip() for f in notes.findings)):
            console.message(f"  {line}")
        console.message(f"{', '.join(f'{m.quantity.key}.nii.gz' for m in maps)} in {options.output}")
    finally:
        console.close()
    return 0


def _wishes(options: argparse.Namespace) -> dict[str, _Wishes]:
    ranges = {key: _ends(key, word) for key, word in _pairs(options.ranges, "--range").items()}
    tables = {key: read_table(word, reverse=options.bar_reversed) for key, word in _pairs(options.lut, "--lut").items()}
    numbers = _pairs(options.series, "--series")
    for key, word in numbers.items():
        if not word.isdigit():
            msg = f"'{word}' is no number of a series. Write for example --series {key}=2."
            raise InvalidInputError(msg)
    preset = FULL_SCALES.get(options.preset or "", {})
    return {
        key: _Wishes(
            ranges.get(key) or preset.get(key),
            options.preset if key not in ranges and key in preset else "",
            tables.get(key),
            int(numbers[key]) if key in numbers else None,
        )
        for key in KEYWORDS
    }


def _pairs(words: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in KEYWORDS or not equals or not value:
            msg = f"'{word}' cannot be used for {option}. Write KEY=..., where KEY is one of {', '.join(KEYWORDS)}."
            raise InvalidInputError(msg)
        pairs[key] = value
    return pairs


def _ends(key: str, word: str) -> tuple[float, float]:
    low, colon, high = word.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (0.0, 0.0)
    if not colon or not np.isfinite(ends).all() or ends[0] >= ends[1]:
        msg = f"'{word}' is no range. Write what the color bar reads at its lower and upper end, for example --range {key}=0:12."
        raise InvalidInputError(msg)
    return ends


def _map_of(
    item: MapSeries, key: str, wishes: _Wishes, options: argparse.Namespace, notes: Notes
) -> tuple[PerfusionMap, dict[str, Any]]:
    """Read one map and say how it came about."""
    quantity, affine = QUANTITIES[key], grid_of_maps(item, notes)
    if item.kind != "color":
        values = read_numbers(item)
        unit = item.unit or quantity.unit
        _check_scale(key, values, item, notes)
        return PerfusionMap(values, affine, quantity), {"DerivedFrom": f"{item.kind} DICOM series", "Units": unit}
    if wishes.full_scale is None:
        msg = (
            f"Say what the color bar of {quantity.symbol} reads at its ends: --range {key}=LOW:HIGH, "
            f"or --preset syngo for {FULL_SCALES['syngo'][key][1]:g}."
        )
        raise InvalidInputError(msg)
    made = invert_pictures(
        read_colors(item), key, wishes.full_scale, notes, table=wishes.table, lossy=item.lossy, distance=options.distance,
        reverse=options.bar_reversed,
    )  # fmt: skip
    facts = {
        "DerivedFrom": "display image",
        "Units": quantity.unit if not (wishes.from_preset and key == "cbv") else "arbitrary",
        "BarEnds": list(wishes.full_scale),
        "BarEndsFrom": f"preset {wishes.from_preset}" if wishes.from_preset else "user",
        "BarLevels": made.bar.levels,
        "StepOfOneLevel": (wishes.full_scale[1] - wishes.full_scale[0]) / max(made.bar.levels - 1, 1),
        "ColorDistanceLimit": made.distance,
        "ImagesWithoutBar": made.images_without_bar,
        "LossyPictures": item.lossy,
        "HighestColorPercent": round(100.0 * made.at_top, 3),
        "BarColors": made.bar.colors.tolist(),
    }
    return PerfusionMap(made.values, affine, quantity), facts


def _check_scale(key: str, values: Any, item: MapSeries, notes: Notes) -> None:
    """Say when numbers cannot be in the usual unit: gray series often hold multiples of it."""
    if item.kind == "gray" and not item.unit:
        message = f"The gray {key} series does not name its unit; its numbers were taken to be {QUANTITIES[key].unit}."
        notes.find("unit_not_stated", "warning", message, "Compare a value with the scanner's own display.")
    usual = QUANTITIES[key].display_range[1]
    high = float(np.nanpercentile(values, 99)) if np.isfinite(values).any() else 0.0
    if high > 10.0 * usual:
        message = f"The largest {key} values are about {high:g}, more than ten times the usual {usual:g} {QUANTITIES[key].unit}."
        notes.find("map_scale_implausible", "error", message, "The numbers are in another unit; convert them first.")


def _on_one_grid(maps: list[PerfusionMap], notes: Notes) -> list[PerfusionMap]:
    """Bring maps to the grid of the first, by the nearest voxel: values of display images must not be mixed."""
    first = maps[0]
    placed = [first]
    for item in maps[1:]:
        try:
            check_same_grid("The map", item.values.shape, item.affine, first.values.shape, first.affine)
            placed.append(PerfusionMap(item.values, first.affine, item.quantity))
        except GridMismatchError:
            notes.decide(f"{item.quantity.symbol} lies on another grid and was brought to that of {first.quantity.symbol}.")
            placed.append(PerfusionMap(_nearest(item, first), first.affine, item.quantity))
    return placed


def _nearest(item: PerfusionMap, first: PerfusionMap) -> Any:
    index = np.stack([*np.indices(first.values.shape).reshape(3, -1), np.ones(first.values.size)])
    place = np.rint((np.linalg.inv(item.affine) @ first.affine @ index)[:3] + 1e-6).astype(int)
    inside = ((place >= 0) & (place < np.array(item.values.shape)[:, None])).all(axis=0)
    if not inside.any():
        msg = f"The {item.quantity.symbol} and {first.quantity.symbol} maps do not overlap. Choose series of one scan."
        raise InvalidInputError(msg)
    values = np.full(first.values.size, np.nan, np.float32)
    values[inside] = item.values[tuple(place[:, inside])]
    return values.reshape(first.values.shape)


def _tell_origin(facts: Mapping[str, Mapping[str, Any]], notes: Notes) -> None:
    pictures = [key for key, fact in facts.items() if fact["DerivedFrom"] == "display image"]
    if not pictures:
        return
    listed = ", ".join(QUANTITIES[key].symbol for key in pictures)
    verb = "were" if len(pictures) > 1 else "was"
    steps = ", ".join(f"{facts[key]['StepOfOneLevel']:.2g} {QUANTITIES[key].unit}" for key in pictures)
    message = f"{listed} {verb} derived from a display image (color pictures read back by their color bar, in steps of {steps})."
    notes.find("display_image", "warning", message, "Use the maps as numbers where they exist; what left the bar is lost.")
    presets = [key for key in pictures if facts[key]["BarEndsFrom"] != "user"]
    if presets:
        ends = ", ".join(f"{QUANTITIES[key].symbol} {facts[key]['BarEnds'][1]:g}" for key in presets)
        message = f"The ends of the color bars were taken from a preset ({ends})."
        notes.find("color_scale_preset", "warning", message, "Compare them with the labels of the bars (--range).")


def _write(folder: Path, maps: list[PerfusionMap], facts: Mapping[str, Mapping[str, Any]], notes: Notes) -> None:
    outdated = {Path(f"{key}{end}") for key in KEYWORDS for end in (".nii.gz", ".json", "_colors.csv")}
    with staged_folder(folder, outdated=outdated) as staging:
        for item in maps:
            key, fact = item.quantity.key, dict(facts[item.quantity.key])
            colors = fact.pop("BarColors", None)
            if colors is not None:
                rows = "\n".join(",".join(map(str, color)) for color in colors)
                write_text(staging / f"{key}_colors.csv", f"red,green,blue\n{rows}\n")
            write_volume(
                staging / f"{key}.nii.gz", item.values, item.affine, unit=fact["Units"],
                display_range=item.quantity.display_range,
                description=f"{item.quantity.symbol} derived from a {fact['DerivedFrom']}, research use",
            )  # fmt: skip
            write_json(staging / f"{key}.json", {"Description": item.quantity.name, **fact})
        shown = {key: {name: value for name, value in fact.items() if name != "BarColors"} for key, fact in facts.items()}
        found = [asdict(finding) for finding in notes.findings]
        write_json(staging / FACTS_FILE, {"maps": shown, "decisions": notes.decisions, "findings": found})
