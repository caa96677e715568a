# SPDX-License-Identifier: Apache-2.0
"""Where the maps of a digital patient are compared with the truth: normal tissue by kind, penumbra, core, depth of delay."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..core.geometry import BoolArray

PURE_SHARE = 0.8
"""A voxel belongs to a tissue that fills more than this part of it."""

NEAR_6_S = (5.0, 7.0)
DELAY_EDGES_S = (0.0, 1.0, 2.0, 4.0, 6.0, 9.0, 15.0)
TISSUES = ("normal gray matter", "normal white matter", "deep gray matter", "penumbra", "core")


def truth_regions(truth: Any, counted: BoolArray) -> dict[str, BoolArray]:
    """Return the regions in which errors are told apart.

    Parameters
    ----------
    truth : object
        With ``masks`` (``scored``, ``hypoperfusion``, ``penumbra``, ``core``) and ``fractions`` (``gm wm deep``).
    counted : ndarray of bool, shape (I, J, K)
        Where the study could have a value, such as its brain mask.

    Returns
    -------
    dict of str to ndarray of bool
        ``tissue`` (all), ``normal tissue`` and the names of `TISSUES`; all within ``scored``. Normal is what is not
        hypoperfused; an old infarct belongs to none of the normal ones.
    """
    masks = truth.masks
    scored = np.asarray(masks["scored"], bool) & counted
    normal = scored & ~np.asarray(masks["hypoperfusion"], bool)
    if "old_infarct" in masks:
        normal &= ~np.asarray(masks["old_infarct"], bool)
    parts = {"normal gray matter": "gm", "normal white matter": "wm", "deep gray matter": "deep"}
    regions = {"tissue": scored, "normal tissue": normal}
    regions |= {name: normal & (np.asarray(truth.fractions[part]) > PURE_SHARE) for name, part in parts.items()}
    return regions | {name: scored & np.asarray(masks[name], bool) for name in ("penumbra", "core")}


def delay_regions(truth: Any, counted: BoolArray) -> dict[str, BoolArray]:
    """Return the scored voxels by their true arterial delay.

    Parameters
    ----------
    truth, counted
        As for `truth_regions`; the truth has the map ``delay``.

    Returns
    -------
    dict of str to ndarray of bool
        By ``delay 0 to 1 s`` and so on.
    """
    scored, delay = np.asarray(truth.masks["scored"], bool) & counted, np.asarray(truth.maps["delay"])
    edges = pairwise(DELAY_EDGES_S)
    return {f"delay {low:g} to {high:g} s": scored & (delay >= low) & (delay < high) for low, high in edges}


def near_six(truth: Any, counted: BoolArray) -> BoolArray:
    """Return the scored voxels whose true Tmax is near 6 s, where a method's offset decides about the lesion.

    Parameters
    ----------
    truth, counted
        As for `truth_regions`; the truth has the map ``tmax``.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        True Tmax within `NEAR_6_S`.
    """
    tmax = np.asarray(truth.maps["tmax"])
    near: BoolArray = np.asarray(truth.masks["scored"], bool) & counted & (tmax >= NEAR_6_S[0]) & (tmax < NEAR_6_S[1])
    return near
