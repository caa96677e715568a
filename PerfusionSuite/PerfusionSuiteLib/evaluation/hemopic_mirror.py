# SPDX-License-Identifier: Apache-2.0
"""The lesion's mirror region: by the mid-sagittal plane of the patient, or by flipping the array as published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray, axis_codes
from ..lesion import estimate_midplane, mirror
from .hemopic_case import BRAIN_STEM, CSF, GM, WM, Case, Definitions

_SHADES = {GM: 150.0, WM: 240.0, CSF: 60.0, BRAIN_STEM: 200.0}
_ROOM_ABOVE = 1.25


@dataclass(frozen=True, slots=True)
class Mirrored:
    """The region opposite to a lesion.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Mirrored lesion within tissue and outside of the lesion.
    how : str
        ``midplane``, or ``flip of axis N``.
    note : str
        Why it is only a flip; empty when all is well.
    """

    mask: BoolArray
    how: str
    note: str = ""


def mirrored_lesion(case: Case, definitions: Definitions) -> Mirrored:
    """Mirror the lesion of a patient.

    Parameters
    ----------
    case : Case
        The patient.
    definitions : {"corrected", "published"}
        Corrected: about the plane of the patient's own symmetry, or, where that cannot be found, by flipping the array along the
        axis that its orientation names, about the middle of the brain. Published: see `published_mirror`.

    Returns
    -------
    Mirrored
        The region.

    Raises
    ------
    InvalidInputError
        If there is no lesion mask.
    """
    lesion = case.need_lesion()
    if definitions == "published":
        mask, axis = published_mirror(lesion, case.tissue)
        return Mirrored(mask, f"flip of axis {axis}")
    image, top = _image(case)
    found = estimate_midplane(image, case.affine, head=case.brain, window=(0.0, top))
    doubts = [finding.message for finding in found.findings if finding.code == "midline_uncertain"]
    if not doubts:
        return Mirrored(mirror(lesion, case.affine, found.plane) & case.tissue & ~lesion, "midplane")
    axis = left_right_axis(case.affine)
    return Mirrored(flipped(lesion, axis, case.brain) & case.tissue & ~lesion, f"flip of axis {axis}", doubts[0])


def published_mirror(lesion: BoolArray, tissue: BoolArray) -> tuple[BoolArray, int]:
    """Mirror a lesion as the published central-volume check and summary do (hemopic 6, mirror axis).

    Parameters
    ----------
    lesion, tissue : ndarray of bool, shape (I, J, K)
        Lesion, and brain without CSF.

    Returns
    -------
    mask : ndarray of bool, shape (I, J, K)
        The flipped lesion within tissue and outside of the lesion.
    axis : int
        0 or 1: the one that leaves more of the flipped lesion in tissue; of equals the one with less overlap with the lesion.
    """
    flips = [np.flip(lesion, axis) for axis in (0, 1)]
    inside = [int((flip & tissue).sum()) for flip in flips]
    overlap = [int((flip & lesion).sum()) for flip in flips]
    axis = min((0, 1), key=lambda at: (-inside[at], overlap[at]))
    return flips[axis] & tissue & ~lesion, axis


def left_right_axis(affine: FloatArray) -> int:
    """Return the array axis that runs between left and right.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    int
        0, 1 or 2.
    """
    return next(axis for axis, code in enumerate(axis_codes(affine)) if code in "LR")


def flipped(mask: BoolArray, axis: int, brain: BoolArray) -> BoolArray:
    """Flip a mask about the middle of the brain along an axis.

    Parameters
    ----------
    mask, brain : ndarray of bool, shape (I, J, K)
        What to flip, and what is centered.
    axis : int
        Along which axis.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The flipped mask; what leaves the array is lost.
    """
    occupied = np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis)))
    double = int(occupied[0] + occupied[-1]) if occupied.size else mask.shape[axis] - 1
    source = double - np.arange(mask.shape[axis])
    inside = (source >= 0) & (source < mask.shape[axis])
    turned = np.take(mask, np.clip(source, 0, mask.shape[axis] - 1), axis=axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    result: BoolArray = turned & inside.reshape(shape)
    return result


def regions_of(case: Case, opposite: Mirrored | None) -> dict[str, BoolArray]:
    """Return the regions that evaluations speak of.

    Parameters
    ----------
    case : Case
        The patient.
    opposite : Mirrored or None
        The mirrored lesion.

    Returns
    -------
    dict of str to ndarray of bool
        ``GM WM`` with labels, ``lesion`` and ``c_lesion`` with a lesion, and ``brain`` (without CSF).
    """
    regions: dict[str, BoolArray] = {}
    if case.labels is not None:
        regions |= {"GM": case.labels == GM, "WM": case.labels == WM}
    if case.lesion is not None:
        regions["lesion"] = case.lesion & case.tissue
    if opposite is not None:
        regions["c_lesion"] = opposite.mask
    return regions | {"brain": case.tissue}


def _image(case: Case) -> tuple[NDArray[Any], float]:
    """A picture whose halves are alike, and the top of its window: labels, else the shown image, else flow."""
    if case.labels is not None:
        shades = np.zeros(256, np.float32)
        shades[list(_SHADES)] = list(_SHADES.values())
        return shades[case.labels], _ROOM_ABOVE * max(_SHADES.values())
    image = case.display
    if image is None:
        image = next((maps["cbf"] for maps in case.maps.values() if "cbf" in maps), None)
    image = next(iter(next(iter(case.maps.values())).values())) if image is None else image
    inside = image[case.brain & np.isfinite(image)]
    top = float(np.percentile(inside, 99.0)) if inside.size else 1.0
    return np.where(case.brain, image, 0.0), _ROOM_ABOVE * max(top, 1e-6)
