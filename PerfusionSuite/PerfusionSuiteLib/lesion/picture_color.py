# SPDX-License-Identifier: Apache-2.0
"""The region that somebody has drawn on a picture: its color, its outline, what it encloses (ct-perfusion-auto 3)."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from .picture_files import RgbImage

LARGEST_PART = 0.6
"""A drawing that covers more of the picture than this is no region but the background."""

_SAME_SHADE = 3
_SHADE_SHARE = 0.1
_LINE_WINDOW = 11
_LINE_SHARE = 0.1
_SAME_HUE_DEG = 5.0
_HUE_SHARE = 0.8
_SPECK_SHARE = 0.05
_SPECK_PIXELS = 12
_PICKED_HUE_DEG = 12.0
_LINE_LIKE = 12.0
_SHADES_TRIED, _FEWEST_OF_SHADE, _COARSE = 16, 24, 16
_STROKE_GAP, _STROKE_SHARE, _DRAWN_SHARE, _STROKE_PURITY = 2, 0.2, 0.6, 0.3


@dataclass(frozen=True, slots=True)
class ColorRange:
    """Which colors count as drawn.

    Parameters
    ----------
    hue_deg : tuple of float, degrees
        From and to; a range such as (340, 20) passes through red. The default is yellow, which ends before green.
    saturation, value : float
        At least this much, 0 to 1.
    """

    hue_deg: tuple[float, float] = (45.0, 70.0)
    saturation: float = 0.35
    value: float = 0.35

    def __post_init__(self) -> None:
        if not all(0.0 <= angle <= 360.0 for angle in self.hue_deg):
            msg = f"The hue range {self.hue_deg[0]:g} to {self.hue_deg[1]:g} must lie in 0 to 360 degrees. Yellow is 45 to 70."
            raise InvalidInputError(msg)
        if not (0.0 < self.saturation <= 1.0 and 0.0 < self.value <= 1.0):
            msg = f"Saturation {self.saturation:g} and value {self.value:g} must lie above 0 and up to 1. The default is 0.35."
            raise InvalidInputError(msg)

    @classmethod
    def around(cls, rgb: tuple[int, int, int]) -> ColorRange:
        """Return the colors like a picked one.

        Parameters
        ----------
        rgb : tuple of int
            The picked color, 0 to 255.

        Returns
        -------
        ColorRange
            12 degrees to both sides.

        Raises
        ------
        InvalidInputError
            If the color is almost gray, so that it has no hue.
        """
        hue, saturation, value = colorsys.rgb_to_hsv(*(float(channel) / 255.0 for channel in rgb))
        if saturation < 0.35 or value < 0.35:
            code = "".join(f"{channel:02x}" for channel in rgb)
            msg = f"The color #{code} is gray or dark and cannot be told from the image. Pick the line."
            raise InvalidInputError(msg)
        return cls(((360.0 * hue - _PICKED_HUE_DEG) % 360.0, (360.0 * hue + _PICKED_HUE_DEG) % 360.0))


YELLOW = ColorRange()


@dataclass(frozen=True, slots=True)
class Drawing:
    """What was found on a picture.

    Parameters
    ----------
    selected : ndarray of bool, shape (rows, columns)
        Pixels of the drawn color.
    region : ndarray of bool, shape (rows, columns)
        With what they enclose, without specks.
    shade : tuple of int
        The color that most of the line has, 0 to 255.
    findings : tuple of QualityFinding
        What was odd.
    """

    selected: BoolArray
    region: BoolArray
    shade: tuple[int, int, int]
    findings: tuple[QualityFinding, ...] = ()


def drawn_region(
    picture: RgbImage, colors: ColorRange = YELLOW, *, shade: tuple[int, int, int] | None = None, one_shade: bool = True
) -> Drawing:
    """Find what is drawn on a picture and fill closed outlines.

    Parameters
    ----------
    picture : ndarray of uint8, shape (rows, columns, 3)
        RGB.
    colors : ColorRange
        The color of the drawing.
    shade : tuple of int, optional
        The color of the line, 0 to 255; by default the one within the range whose pixels hang together in few strokes, or the
        commonest one where none does.
    one_shade : bool
        A line is drawn in one color; where the picture itself has such hues (a rainbow map passes through yellow), only what
        lies at pixels of that very shade counts, provided they are a good part. False takes all.

    Returns
    -------
    Drawing
        Line and region.

    Raises
    ------
    InvalidInputError
        If nothing, or more than 60 % of the picture, is selected.
    """
    selected = of_color(picture, colors)
    if not selected.any():
        low, high = colors.hue_deg
        msg = f"Nothing on the picture has a hue of {low:g} to {high:g} degrees. Draw the region in that color or pick its color."
        raise InvalidInputError(msg)
    strokes = _of_strokes(picture, selected) if shade is None else None
    known = shade is not None or strokes is not None
    shade = shade or strokes or _commonest(picture[selected])
    findings: list[QualityFinding] = []
    if one_shade:
        selected, findings = _of_one_shade(picture, selected, shade, known=known, sure=strokes is not None)
    region = filled(selected)
    if not region.any():
        count = int(selected.sum())
        msg = f"{count} pixels have the drawn color, but they enclose nothing. Close the outline, or paint the region."
        raise InvalidInputError(msg)
    part = float(region.mean())
    if part > LARGEST_PART:
        msg = f"The drawing covers {100 * part:.0f} % of the picture. Choose the color of the line, or crop the picture."
        raise InvalidInputError(msg)
    if _line_like(region):
        message = "A part of the drawing is a line that encloses nothing, so that only the line itself counts."
        findings.append(QualityFinding("outline_open", "warning", message, "Close the outline and run again."))
    return Drawing(selected, region, shade, tuple(findings))


def of_color(picture: RgbImage, colors: ColorRange) -> BoolArray:
    """Return the pixels whose hue, saturation and value lie in a range.

    Parameters
    ----------
    picture : ndarray of uint8, shape (..., 3)
        RGB.
    colors : ColorRange
        The range, ends included.

    Returns
    -------
    ndarray of bool, shape (...,)
        True where it fits.
    """
    hue, saturation, value = _hsv(picture)
    low, high = colors.hue_deg
    inside = (hue >= low) & (hue <= high) if low <= high else (hue >= low) | (hue <= high)
    found: BoolArray = inside & (saturation >= colors.saturation) & (value >= colors.value)
    return found


def _hsv(picture: RgbImage) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Hue in degrees, saturation and value from 0 to 1 (Smith, SIGGRAPH 1978)."""
    red, green, blue = (picture[..., channel].astype(np.float32) / 255.0 for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    safe = np.where(spread > 0, spread, 1.0)
    sector = np.where(
        value == red,
        ((green - blue) / safe) % 6.0,
        np.where(value == green, (blue - red) / safe + 2.0, (red - green) / safe + 4.0),
    )
    hue = np.where(spread > 0, 60.0 * sector, -1.0)
    saturation = np.where(value > 0, spread / np.where(value > 0, value, 1.0), 0.0)
    return hue, saturation, value


def _commonest(colors: RgbImage) -> tuple[int, int, int]:
    """The most frequent color."""
    codes = colors.astype(np.int64) @ np.array([65536, 256, 1])
    values, counts = np.unique(codes, return_counts=True)
    code = int(values[counts.argmax()])
    return code >> 16, (code >> 8) & 255, code & 255


def _of_strokes(picture: RgbImage, selected: BoolArray) -> tuple[int, int, int] | None:
    """The shade that was drawn with: nearly all of its pixels lie in few strokes, while a map's colors lie everywhere.

    A smooth map has strokes, too, its contour lines; but colors like theirs lie on both sides of them.
    """
    colors = picture[selected].astype(np.int64)
    coarse = (colors // _COARSE) @ np.array([65536, 256, 1])
    bins, counts = np.unique(coarse, return_counts=True)
    best, most = None, _DRAWN_SHARE
    for at in np.argsort(-counts, kind="stable")[:_SHADES_TRIED]:
        shade = _commonest(picture[selected][coarse == bins[at]])
        alike = _at_shade(picture, selected, shade)
        total = int(alike.sum())
        if total < _FEWEST_OF_SHADE:
            continue
        reached = ndimage.binary_dilation(alike, _disk(_STROKE_GAP))
        if total < _STROKE_PURITY * int((selected & reached).sum()):
            continue
        labels, _ = ndimage.label(reached, np.ones((3, 3)))
        strokes = np.bincount(labels[alike])
        share = float(strokes[strokes >= _STROKE_SHARE * total].sum()) / total
        if share > most:
            best, most = shade, share
    return best


def _at_shade(picture: RgbImage, selected: BoolArray, shade: tuple[int, int, int]) -> BoolArray:
    """Pixels of one shade, give or take what a picture file rounds."""
    found: BoolArray = selected & (np.abs(picture.astype(np.int16) - np.array(shade, np.int16)).max(axis=2) <= _SAME_SHADE)
    return found


def _of_one_shade(
    picture: RgbImage, selected: BoolArray, shade: tuple[int, int, int], *, known: bool, sure: bool
) -> tuple[BoolArray, list[QualityFinding]]:
    """Keep what has the hue of the line, or else lies at its very shade, when the drawing has one."""
    total = float(selected.sum())
    hue, wanted = _hsv(picture)[0], _hsv(np.array(shade, np.uint8)[None])[0][0]
    close: BoolArray = selected & (np.abs((hue - wanted + 180.0) % 360.0 - 180.0) <= _SAME_HUE_DEG)
    share = float(close.sum()) / total
    if share >= _HUE_SHARE:
        return close, []
    exact = _at_shade(picture, selected, shade)
    if float(exact.sum()) >= (0.5 if known else 1.0) * _SHADE_SHARE * total:
        # Soft edges of the line lie among its pixels; colors of a map pass through the shade only here and there.
        near = ndimage.uniform_filter(exact.astype(np.float32), _LINE_WINDOW)
        of_all = ndimage.uniform_filter(selected.astype(np.float32), _LINE_WINDOW)
        line: BoolArray = selected & (near >= _LINE_SHARE * of_all)
        return line, []
    if sure:
        return selected & ndimage.binary_dilation(exact, _disk(_STROKE_GAP)), []
    part = f"{100 * share:.0f} %"
    message = f"Only {part} of the pixels of the drawn hue have one shade, so colors of the map may be among them."
    advice = "Look at the proof; draw with another color, or pick the color of the line."
    return selected, [QualityFinding("drawn_color_mixed", "warning", message, advice)]


def filled(selected: BoolArray) -> BoolArray:
    """Close small gaps of outlines, fill what they enclose, and drop specks.

    Parameters
    ----------
    selected : ndarray of bool, shape (rows, columns)
        Pixels of the drawn color.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        The region; parts smaller than 5 % of the largest one are left out.
    """
    reach = max(2, round(0.005 * max(selected.shape)))
    room = np.pad(selected, reach + 1)
    disk = _disk(reach)
    # Filled while the line is thick: a gap is bridged by a neck that a plain closing would take away again.
    solid = ndimage.binary_erosion(ndimage.binary_fill_holes(ndimage.binary_dilation(room, disk)), disk)
    # Thin spurs and the strokes of letters do not survive an opening; what it takes from corners is given back.
    core = ndimage.binary_opening(solid, _disk(1))
    solid = solid & ndimage.binary_dilation(core, _disk(1))
    labels, _ = ndimage.label(solid, np.ones((3, 3)))
    margin = reach + 1
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    wanted = sizes >= max(_SPECK_PIXELS, _SPECK_SHARE * sizes.max())
    region: BoolArray = wanted[labels][margin:-margin, margin:-margin]
    return region


def _disk(radius: int) -> BoolArray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    found: BoolArray = x * x + y * y <= radius * radius + radius
    return found


def _line_like(region: BoolArray) -> bool:
    """Whether a large part is long and thin everywhere: an outline that was not closed."""
    labels, count = ndimage.label(region, np.ones((3, 3)))
    index = np.arange(1, count + 1)
    depth = ndimage.maximum(ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1], labels, index)
    area = ndimage.sum_labels(region, labels, index)
    return bool(np.any(area > _LINE_LIKE * np.pi * np.maximum(depth, 1.0) ** 2))
