# SPDX-License-Identifier: Apache-2.0
"""The color bar that is burnt into a picture of a map: find it, read its pixels as the look-up table, invert by it.

ct-perfusion-auto section 5: colors are never interpolated, and what is far from all colors of the bar is no map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.geometry import FloatArray

RgbImage = NDArray[np.uint8]

_SMOOTH_STEP = 24
_MIN_LEVELS = 48
_MIN_WIDTH = 4
_MIN_PATH = 400.0
_BLACK_SUM = 10
_LONG_END = 4.0


@dataclass(frozen=True, slots=True)
class ColorBar:
    """The look-up table of one image.

    Parameters
    ----------
    colors : ndarray of uint8, shape (n, 3)
        From the lowest to the highest level.
    places : ndarray, shape (n,)
        Where each color lies on the bar: 0 at the lowest, 1 at the highest level.
    box : tuple of int
        Top, bottom, left and right edge of the bar on the picture (the far ones excluded); zeros when it is on none.
    """

    colors: RgbImage
    places: FloatArray
    box: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def levels(self) -> int:
        """Number of different steps."""
        return len(self.colors)


def bar_of_colors(colors: NDArray[np.integer]) -> ColorBar:
    """Return a bar of given colors at equal steps.

    Parameters
    ----------
    colors : ndarray of int, shape (n, 3)
        From the lowest to the highest level, 0 to 255.

    Returns
    -------
    ColorBar
        A bar that is on no picture.
    """
    return ColorBar(np.asarray(colors, np.uint8), np.linspace(0.0, 1.0, len(colors)))


def find_color_bar(picture: RgbImage, *, tolerance: int = 0, reverse: bool = False) -> ColorBar | None:
    """Find the burnt-in bar: a strip whose colors change in small steps along it, never come back, and are equal across it.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        RGB.
    tolerance : int
        How much neighbors across the bar may differ, for pictures that were compressed with losses.
    reverse : bool
        The lowest level is at the top (or right) instead of the bottom (or left).

    Returns
    -------
    ColorBar or None
        None when there is no such strip.
    """
    upright = _strip(picture, tolerance)
    lying = _strip(np.transpose(picture, (1, 0, 2)), tolerance)
    strip, rotated = (lying, True) if _levels(lying) > _levels(upright) else (upright, False)
    if strip is None:
        return None
    colors, starts, (first, last, near, far) = strip
    box = (near, far, first, last) if rotated else (first, last, near, far)
    ends = np.append(starts[1:], last - first)
    middles = (starts + ends - 1) / 2.0
    if rotated == reverse:
        colors, middles = colors[::-1], middles[::-1]
    places = (middles - middles[0]) / (middles[-1] - middles[0])
    return ColorBar(np.ascontiguousarray(colors), places, box)


_Strip = tuple[RgbImage, NDArray[np.int64], tuple[int, int, int, int]]


def _levels(strip: _Strip | None) -> int:
    return 0 if strip is None else len(strip[0])


def _strip(picture: RgbImage, tolerance: int) -> _Strip | None:
    """Return the best upright strip: its colors from top to bottom, where each starts, and (first row, last, left, right)."""
    values = picture.astype(np.int16)
    step = np.abs(np.diff(values, axis=0)).max(axis=2)
    equal = np.abs(np.diff(values, axis=1)).max(axis=2) <= tolerance
    # Only columns that often change a little downwards while they equal their neighbor can belong to a bar.
    small = (step[:, :-1] > 0) & (step[:, :-1] <= _SMOOTH_STEP) & equal[:-1]
    possible = np.flatnonzero(small.sum(axis=0) >= _MIN_LEVELS - 1)
    best: _Strip | None = None
    done = -1
    for left in possible.tolist():
        if left < done:
            continue
        for first, last in _runs(step[:, left]):
            right = _equal_until(equal, left, first, last)
            if right - left < _MIN_WIDTH:
                continue
            found = _as_strip(picture, left, right, first, last)
            done = max(done, right)
            if _levels(found) > _levels(best):
                best = found
    return best


def _runs(step: NDArray[np.int16]) -> list[tuple[int, int]]:
    """Stretches of a column whose neighbors differ little, long enough for a bar."""
    breaks = np.concatenate([[-1], np.flatnonzero(step > _SMOOTH_STEP), [step.size]])
    moving = np.concatenate([[0], np.cumsum(step.astype(np.int64) * (step <= _SMOOTH_STEP))])
    found = []
    for before, after in pairwise(breaks):
        first, last = int(before) + 1, int(after) + 1
        if last - first >= _MIN_LEVELS and moving[last - 1] - moving[first] >= _MIN_PATH / 3.0:
            found.append((first, last))
    return found


def _equal_until(equal: NDArray[np.bool_], left: int, first: int, last: int) -> int:
    """First column to the right that differs from its neighbor anywhere along a stretch."""
    same = equal[first:last, left:].all(axis=0)
    different = np.flatnonzero(~same)
    return left + 1 + (int(different[0]) if different.size else same.size)


def _as_strip(picture: RgbImage, left: int, right: int, first: int, last: int) -> _Strip | None:
    """Make sure that the colors of a stretch never come back; leave out black background at its ends."""
    inner = slice(left + 1, right - 1) if right - left >= 6 else slice(left, right)
    line = np.median(picture[first:last, inner], axis=1).astype(np.uint8)
    starts = np.concatenate([[0], 1 + np.flatnonzero(np.any(line[1:] != line[:-1], axis=1))])
    lengths = np.diff(np.append(starts, len(line)))
    usual = float(np.median(lengths))
    keep = np.ones(len(starts), bool)
    for end in (0, -1):
        if lengths[end] > _LONG_END * usual and int(line[starts[end]].sum(dtype=np.int64)) < _BLACK_SUM:
            keep[end] = False
    colors, starts, lengths = line[starts][keep], starts[keep], lengths[keep]
    if lengths.size and lengths[0] > usual:  # a frame of the color of the last level adds to it
        starts[0] += lengths[0] - round(usual)
    lengths[-1:] = np.minimum(lengths[-1:], round(usual))
    path = np.abs(np.diff(colors.astype(np.int64), axis=0)).sum()
    if len(colors) < _MIN_LEVELS or path < _MIN_PATH or len(np.unique(colors, axis=0)) < len(colors):
        return None
    begin, end_row = int(starts[0]), int(starts[-1] + lengths[-1])
    return colors, starts - begin, (first + begin, first + end_row, left, right)


def nearest_level(pictures: RgbImage, bar: ColorBar, limit: float) -> NDArray[np.int16]:
    """Return the level of the nearest color of the bar.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (..., 3)
        RGB.
    bar : ColorBar
        The look-up table.
    limit : float
        Largest distance in RGB (Euclidean, 0 to 441) at which a pixel is still a part of the map.

    Returns
    -------
    ndarray of int16, shape (...,)
        0 for the lowest level; -1 for pixels that are no map (text, frames, symbols).
    """
    codes = pictures.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    different, where = np.unique(codes, return_inverse=True)
    colors = np.stack([different >> 16, (different >> 8) & 255, different & 255], axis=1).astype(np.float64)
    _, level = cKDTree(bar.colors.astype(np.float64)).query(colors, distance_upper_bound=limit + 1e-6)
    level = np.where(level == bar.levels, -1, level).astype(np.int16)
    return level[where].reshape(codes.shape)


def same_bar(bars: Sequence[ColorBar], tolerance: int = 0) -> bool:
    """Say whether bars have the same colors.

    Parameters
    ----------
    bars : sequence of ColorBar
        At least one.
    tolerance : int
        How much they may differ.

    Returns
    -------
    bool
        True when one table serves all.
    """
    first = bars[0].colors.astype(np.int16)
    return all(len(bar.colors) == len(first) and np.abs(bar.colors - first).max() <= tolerance for bar in bars[1:])
