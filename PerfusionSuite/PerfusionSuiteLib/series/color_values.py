# SPDX-License-Identifier: Apache-2.0
"""Pictures of a map become numbers: the bar of each image inverts it; text, symbols and the bar itself are no map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..core.quantities import QUANTITIES
from .color_bar import ColorBar, RgbImage, bar_of_colors, find_color_bar, nearest_level, same_bar
from .notes import Notes

FULL_SCALES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "syngo": {"tmax": (0.0, 12.0), "mtt": (0.0, 15.0), "ttp": (0.0, 15.0), "cbf": (0.0, 100.0), "cbv": (0.0, 100.0)}
}
"""What the ends of the bar read by default on the maps of one maker; a user who sees other labels enters these."""

DISTANCE, DISTANCE_LOSSY = 8.0, 32.0
"""Largest distance in RGB from a color of the bar: exact pictures, and pictures compressed with losses."""

_TOLERANCE_LOSSY = 6
_BLACK_SUM = 10
_SMALL_PART = 0.1
_MARGIN = 3
_FEW_LEVELS = 128
_MANY_AT_TOP = 0.02


@dataclass(frozen=True, slots=True)
class Inverted:
    """The numbers of a color series.

    Parameters
    ----------
    values : ndarray of float32, shape (columns, rows, slices)
        NaN where there is no map.
    bar : ColorBar
        The look-up table.
    images_without_bar : int
        Images that were read with the bar of another image of the series, or with a given table.
    at_top : float
        Part of the map that has the highest color: its values may be larger.
    distance : float
        The limit that was used.
    """

    values: NDArray[np.float32]
    bar: ColorBar
    images_without_bar: int
    at_top: float
    distance: float


def invert_pictures(
    pictures: RgbImage,
    quantity: str,
    full_scale: tuple[float, float],
    notes: Notes,
    *,
    table: ColorBar | None = None,
    lossy: bool = False,
    distance: float | None = None,
    reverse: bool = False,
) -> Inverted:
    """Turn the pictures of a map into its values.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (slices, rows, columns, 3)
        RGB.
    quantity : str
        A key of `QUANTITIES`.
    full_scale : tuple of float
        What the lowest and the highest color stand for; the same for all slices, whatever they hold.
    notes : Notes
        Gets findings.
    table : ColorBar, optional
        Look-up table for pictures without a bar; a burnt-in bar wins.
    lossy : bool
        Whether the pictures were compressed with losses.
    distance : float, optional
        Largest distance in RGB from a color of the bar.
    reverse : bool
        The lowest level is at the top (or right) of the bar.

    Returns
    -------
    Inverted
        Values and what they rest on.

    Raises
    ------
    InvalidInputError
        If there is neither a bar nor a table, or nothing on the pictures is a map.
    """
    limit = distance if distance is not None else (DISTANCE_LOSSY if lossy else DISTANCE)
    bars = bars_of(pictures, tolerance=_TOLERANCE_LOSSY if lossy else 0, reverse=reverse)
    own = [bar for bar in bars if bar is not None]
    if own and not same_bar(own, 24 if lossy else 0):
        notes.find("color_bars_differ", "info", f"The bars of the {quantity} images differ; each image was read with its own.")
    known = own[0] if own else table
    if known is None:
        msg = (
            f"The {quantity} pictures have no color bar, so that their colors cannot be read. "
            f"Give the look-up table with --lut {quantity}=FILE (a picture of the bar, or a table of red, green, blue)."
        )
        raise InvalidInputError(msg)
    used = [bar or known for bar in bars]
    if own and len(own) < len(bars):
        message = f"{len(bars) - len(own)} of {len(bars)} {quantity} images have no bar and were read with that of another."
        notes.find("color_bar_missing", "warning", message, "Check that the whole series has one color scale.")
    level = np.stack([_levels(picture, bar, limit, bars[n]) for n, (picture, bar) in enumerate(zip(pictures, used, strict=True))])
    dark = pictures.sum(axis=3, dtype=np.int64) < (_BLACK_SUM if lossy else 1)
    area = _map_area(dark, level, known, limit, quantity)
    values = np.full(level.shape, np.nan, np.float32)
    low, high = full_scale
    for n, bar in enumerate(used):
        inside = area[n]
        values[n][inside] = low + (high - low) * bar.places[np.maximum(level[n][inside], 0)]
    at_top = float((level[area] == known.levels - 1).mean())
    _tell(quantity, known, at_top, high, notes)
    return Inverted(np.ascontiguousarray(values.transpose(2, 1, 0)), known, len(bars) - len(own), at_top, limit)


def bars_of(pictures: RgbImage, *, tolerance: int = 0, reverse: bool = False) -> list[ColorBar | None]:
    """Find the bar of each picture; the place of the last one is tried first.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (slices, rows, columns, 3)
        RGB.
    tolerance, reverse
        See `find_color_bar`.

    Returns
    -------
    list of ColorBar or None
        One per picture.
    """
    bars: list[ColorBar | None] = []
    last: tuple[ColorBar, RgbImage] | None = None
    for picture in pictures:
        if last is not None:
            top, bottom, left, right = last[0].box
            if np.array_equal(picture[top:bottom, left:right], last[1]):
                bars.append(last[0])
                continue
        bar = find_color_bar(picture, tolerance=tolerance, reverse=reverse)
        if bar is not None:
            top, bottom, left, right = bar.box
            last = (bar, picture[top:bottom, left:right])
        bars.append(bar)
    return bars


def _levels(picture: RgbImage, bar: ColorBar, limit: float, own: ColorBar | None) -> NDArray[np.int16]:
    """Level of each pixel, without the bar itself and its frame."""
    level = nearest_level(picture, bar, limit)
    if own is not None:
        top, bottom, left, right = own.box
        level[max(top - _MARGIN, 0) : bottom + _MARGIN, max(left - _MARGIN, 0) : right + _MARGIN] = -1
    return level


def _map_area(dark: BoolArray, level: NDArray[np.int16], bar: ColorBar, limit: float, quantity: str) -> BoolArray:
    """The pixels that are map: on the bar's colors, not the background, and in large connected parts."""
    mapped = (level >= 0) & ~dark
    solid = ndimage.binary_opening(mapped, np.ones((1, 3, 3), bool))
    labels, _ = ndimage.label(solid)
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    if not sizes.any():
        msg = f"No part of the {quantity} pictures has the colors of the bar. Check that bar and pictures belong together."
        raise InvalidInputError(msg)
    seeds = (sizes >= _SMALL_PART * sizes.max())[labels]
    # What an opening took from edges and thin gyri comes back; strokes of text are not connected with the brain.
    area: BoolArray = ndimage.binary_propagation(seeds, np.ones((1, 3, 3), bool), mask=mapped)
    if np.linalg.norm(bar.colors[0].astype(float)) <= limit:
        # Black within the map is its lowest level; black around it is background.
        for here in range(len(area)):
            area[here] |= ndimage.binary_fill_holes(area[here]) & dark[here]
    return area


def _tell(quantity: str, bar: ColorBar, at_top: float, high: float, notes: Notes) -> None:
    if bar.levels < _FEW_LEVELS:
        message = f"The {quantity} bar has only {bar.levels} levels, so that values are coarse."
        notes.find("few_color_levels", "warning", message, "Export the pictures at full size.")
    if at_top > _MANY_AT_TOP:
        unit = QUANTITIES[quantity].unit
        message = f"{100 * at_top:.0f} % of the {quantity} map have the highest color: {high:g} {unit} or more."
        notes.find("color_scale_exceeded", "info", message, "Thresholds near the end of the bar cannot be told apart.")


def read_table(path: str | Path, *, reverse: bool = False) -> ColorBar:
    """Read a look-up table from a file.

    Parameters
    ----------
    path : path-like
        A text table with red, green and blue (0 to 255) per line from the lowest to the highest level, or a picture of a bar.
    reverse : bool
        The first line (or the bottom of the bar) is the highest level.

    Returns
    -------
    ColorBar
        The table.

    Raises
    ------
    InvalidInputError
        If the file holds neither.
    """
    file = Path(path)
    if not file.is_file():
        msg = f"The look-up table '{file.name}' does not exist. Check the spelling of the path."
        raise InvalidInputError(msg)
    if file.suffix.lower() not in {".csv", ".txt", ".tsv", ".lut"}:
        return _bar_of_picture(file, reverse)
    colors = _colors_of_text(file)
    if len(colors) < 2 or len(np.unique(colors, axis=0)) < len(colors):
        msg = f"The look-up table '{file.name}' has {len(colors)} colors, and each must be there once. Correct the table."
        raise InvalidInputError(msg)
    return bar_of_colors(colors[::-1] if reverse else colors)


def _colors_of_text(file: Path) -> RgbImage:
    rows = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.replace(",", " ").replace(";", " ").replace("\t", " ").split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            continue  # a heading
        if len(numbers) >= 3:
            rows.append(numbers[-3:])
    table = np.array(rows or [[-1.0, 0.0, 0.0]])
    if table.min() < 0 or table.max() > 255 or not np.array_equal(table, np.rint(table)):
        msg = f"'{file.name}' is no table of red, green and blue from 0 to 255. Write three whole numbers per line."
        raise InvalidInputError(msg)
    return table.astype(np.uint8)


def _bar_of_picture(file: Path, reverse: bool) -> ColorBar:
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    except RuntimeError as error:
        msg = f"'{file.name}' cannot be read as a picture or table. Give a PNG of the bar, or a text table."
        raise InvalidInputError(msg) from error
    if values.ndim != 3 or values.shape[2] < 3 or values.dtype != np.uint8:
        msg = f"'{file.name}' is no color picture. Give a PNG of the bar."
        raise InvalidInputError(msg)
    bar = find_color_bar(np.ascontiguousarray(values[..., :3]), reverse=reverse)
    if bar is None:
        msg = f"There is no color bar on '{file.name}'. Give a picture on which the whole bar is seen, or a text table."
        raise InvalidInputError(msg)
    return replace(bar, box=(0, 0, 0, 0))
