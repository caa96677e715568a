# SPDX-License-Identifier: Apache-2.0
"""Colour tables of the maps and fixed colours of lesions, shared by pictures, reports and viewers."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from .errors import InvalidInputError
from .geometry import FloatArray

# Anchor colours, evenly spaced. Both tables start black so that "no flow" and "no delay" vanish
# into the background, and both grow monotonically in lightness up to their warm half.
_ANCHORS: Mapping[str, tuple[tuple[int, int, int], ...]] = MappingProxyType(
    {
        "grey": ((0, 0, 0), (255, 255, 255)),
        "perfusion": (
            (0, 0, 0),
            (48, 18, 120),
            (24, 92, 190),
            (20, 164, 160),
            (76, 196, 66),
            (228, 214, 48),
            (244, 128, 32),
            (214, 24, 32),
        ),
        "delay": (
            (0, 0, 0),
            (30, 30, 130),
            (20, 110, 200),
            (30, 180, 140),
            (140, 210, 60),
            (250, 210, 40),
            (245, 120, 30),
            (200, 20, 30),
        ),
    }
)

LESION_COLORS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {"core": (0.90, 0.10, 0.12), "penumbra": (0.18, 0.75, 0.30), "hypoperfusion": (0.98, 0.80, 0.15)}
)
"""RGB, 0 to 1: core red, penumbra green, hypoperfusion (Tmax) yellow."""


_TISSUE_HUES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"GM": (0.0, 0.16), "WM": (0.28, 0.48), "CSF": (0.58, 0.62), "BrainStem": (0.78, 0.82)}
)
"""Hues of the first and the last region of a tissue: gray matter warm, white matter green, fluid blue, brain stem violet."""


def region_colors(tissues: Sequence[str]) -> tuple[tuple[float, float, float], ...]:
    """Return a color for each region of a brain: those of one tissue are alike, neighbors in the list can be told apart.

    Parameters
    ----------
    tissues : sequence of str
        Tissue of each region: ``GM``, ``WM``, ``CSF``, ``BrainStem``; others get the hues in between.

    Returns
    -------
    tuple of tuple of float
        RGB, 0 to 1.
    """
    found = []
    for at, tissue in enumerate(tissues):
        low, high = _TISSUE_HUES.get(tissue, (0.84, 0.98))
        number, count = list(tissues[:at]).count(tissue), list(tissues).count(tissue)
        hue = low + (high - low) * number / max(count - 1, 1)
        found.append(colorsys.hsv_to_rgb(hue, (0.85, 0.6)[number % 2], (0.95, 0.8)[number % 2]))
    return tuple(found)


def color_table(name: str, size: int = 256) -> FloatArray:
    """Return a colour table.

    Parameters
    ----------
    name : str
        ``grey``, ``perfusion`` or ``delay``.
    size : int
        Number of entries.

    Returns
    -------
    ndarray, shape (size, 3)
        RGB, 0 to 1.

    Raises
    ------
    InvalidInputError
        If the name is unknown.
    """
    if name not in _ANCHORS:
        msg = f"There is no colour table '{name}'. Choose one of {', '.join(_ANCHORS)}."
        raise InvalidInputError(msg)
    anchors = np.array(_ANCHORS[name], float) / 255.0
    at = np.linspace(0.0, len(anchors) - 1.0, size)
    return np.stack([np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)], axis=1)
