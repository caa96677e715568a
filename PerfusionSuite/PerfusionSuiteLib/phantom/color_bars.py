# SPDX-License-Identifier: Apache-2.0
"""Color bars and burnt-in marks of display images, generated to the stated statistics (ct-perfusion-auto 5 and 11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray

RgbImage = NDArray[np.uint8]

LEVELS = 254

_TIME = ((0, 0, 0, 255), (255, 0, 255, 255), (510, 0, 255, 0), (765, 255, 255, 0), (1020, 255, 0, 0))
_FLOW = (
    (0, 0, 0, 0), (20, 90, 0, 130), (41, 0, 0, 255), (94, 0, 255, 255), (148, 0, 255, 0), (201, 255, 255, 0), (254, 255, 0, 0),
)  # fmt: skip

_FONT = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 3, 1, 7), "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 1, 2, 2), "8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7),
    "A": (2, 5, 7, 5, 5), "C": (7, 4, 4, 4, 7), "D": (6, 5, 5, 5, 6), "E": (7, 4, 6, 4, 7), "F": (7, 4, 6, 4, 4),
    "L": (4, 4, 4, 4, 7), "M": (5, 7, 7, 5, 5), "N": (5, 7, 7, 7, 5), "O": (7, 5, 5, 5, 7), "P": (7, 5, 7, 4, 4),
    "R": (6, 5, 6, 5, 5), "S": (7, 4, 7, 1, 7), "T": (7, 2, 2, 2, 2), "V": (5, 5, 5, 5, 2), "X": (5, 5, 2, 5, 5),
    " ": (0, 0, 0, 0, 0), ".": (0, 0, 0, 0, 2), "B": (6, 5, 6, 5, 6), "H": (5, 5, 7, 5, 5),
}  # fmt: skip
"""Rows of three dots, as bits."""


def time_colors() -> RgbImage:
    """Return the bar of time maps: four segments, blue, cyan, green, yellow, red.

    Its luminance at 6, 10 and 12 of 12 s is that of 7.0, 8.3 and 3.7 s, as measured on the vendor's bar.

    Returns
    -------
    ndarray of uint8, shape (254, 3)
        From the lowest to the highest level.
    """
    return _ramp(_TIME, 4.0 * np.arange(1, LEVELS + 1))


def flow_colors() -> RgbImage:
    """Return the bar of flow and volume maps: six segments, black, violet, blue, cyan, green, yellow, red.

    Returns
    -------
    ndarray of uint8, shape (254, 3)
        From the lowest to the highest level.
    """
    return _ramp(_FLOW, np.arange(1, LEVELS + 1, dtype=float))


def palette_colors(levels: int = 401) -> RgbImage:
    """Return a palette of many levels, as public look-up tables of perfusion have: black to white through all hues.

    Parameters
    ----------
    levels : int
        Number of different colors.

    Returns
    -------
    ndarray of uint8, shape (levels, 3)
        From the lowest to the highest level.
    """
    anchors = (
        (0, 0, 0, 0), (1, 80, 0, 120), (2, 0, 0, 255), (3, 0, 200, 255), (4, 0, 200, 60), (5, 240, 240, 0), (6, 255, 120, 0),
        (7, 220, 0, 0), (8, 255, 255, 255),
    )  # fmt: skip
    return _ramp(anchors, np.linspace(0.0, 8.0, levels))


def _ramp(anchors: tuple[tuple[int, ...], ...], at: FloatArray) -> RgbImage:
    points = np.array(anchors, float)
    return np.stack([np.rint(np.interp(at, points[:, 0], points[:, c])) for c in (1, 2, 3)], axis=1).astype(np.uint8)


def draw_bar(picture: RgbImage, colors: RgbImage, top: int, left: int, width: int = 14, rows_per_level: int = 1) -> None:
    """Draw an upright bar with a frame, the highest level at the top.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        Changed.
    colors : ndarray of uint8, shape (n, 3)
        From the lowest to the highest level.
    top, left : int
        Where its colors begin.
    width : int
        Columns.
    rows_per_level : int
        Height of one level.
    """
    strip = np.repeat(colors[::-1], rows_per_level, axis=0)
    picture[top - 1 : top + len(strip) + 1, left - 1 : left + width + 1] = 255
    picture[top : top + len(strip), left : left + width] = strip[:, None]


def draw_text(
    picture: RgbImage, text: str, top: int, left: int, color: tuple[int, int, int] = (255, 255, 255), size: int = 2
) -> None:
    """Write letters of 3 x 5 dots.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        Changed.
    text : str
        Letters, digits and spaces that the font has.
    top, left : int
        Upper left corner.
    color : tuple of int
        RGB.
    size : int
        Pixels per dot.
    """
    for at, letter in enumerate(text.upper()):
        dots = np.array([[row >> 2 & 1, row >> 1 & 1, row & 1] for row in _FONT[letter]], bool)
        shape = np.kron(dots, np.ones((size, size), bool))
        place = picture[top : top + shape.shape[0], left + 4 * size * at : left + 4 * size * at + shape.shape[1]]
        place[shape[: place.shape[0], : place.shape[1]]] = color


def draw_cube(picture: RgbImage, top: int, left: int, size: int = 34) -> None:
    """Draw the orientation cube: a shaded block with a letter.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        Changed.
    top, left : int
        Upper left corner.
    size : int
        Pixels.
    """
    y, x = np.mgrid[:size, :size]
    picture[top : top + size, left : left + size] = (120 + y + x)[..., None].astype(np.uint8)
    picture[top : top + size // 4, left : left + size] = (230, 200, 170)
    draw_text(picture, "H", top + size // 2 - 3, left + size // 2 - 4, (20, 20, 20))
