# SPDX-License-Identifier: Apache-2.0
"""How late normal tissue of each kind is: white matter fills later than gray matter without being ill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray, axis_codes, voxel_sizes, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..prepare.gray_matter import gray_share
from .midline import side_distance

KINDS = 5
"""Classes of equal width of the share of gray matter."""

LEAST_ML = 2.0
"""A class with less tissue on a side takes over the value of the nearest one that has enough."""


@dataclass(frozen=True, slots=True)
class NormalTiming:
    """Tmax of normal tissue.

    Parameters
    ----------
    tmax : ndarray of float32, shape (I, J, K), s
        Of normal tissue with as much gray matter as the voxel.
    white_s, gray_s : float, s
        Of the classes with the least and the most gray matter; the same where nothing tells them apart.
    """

    tmax: NDArray[np.float32]
    white_s: float
    gray_s: float

    def as_dict(self) -> dict[str, float]:
        """Return the Tmax of each kind of tissue in s, of all tissue where nothing tells it apart."""
        if self.white_s == self.gray_s:
            return {"tissue": round(self.gray_s, 3)}
        return {"white": round(self.white_s, 3), "gray": round(self.gray_s, 3)}


def normal_timing(maps: PerfusionMaps, tissue: BoolArray, midplane: FloatArray) -> NormalTiming:
    """Say for each voxel which Tmax normal tissue with as much gray matter has.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``; a ``baseline`` of CT tells gray from white matter, and without it all tissue is one kind.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.

    Returns
    -------
    NormalTiming
        Medians of the kinds, linear in the share of gray matter between the middles of the classes, of the hemisphere where the
        kind is earlier: nothing must be known about the lesion, and two scans of a patient are judged alike.
    """
    values = maps["tmax"].values
    counted = tissue & np.isfinite(values)
    gray = _gray(maps, counted)
    distance = side_distance(values.shape, maps.affine, midplane)
    kinds = np.minimum((gray * KINDS).astype(np.intp), KINDS - 1)
    late, least = values[counted], LEAST_ML / voxel_volume_ml(maps.affine)
    halves = ((distance < 0)[counted], (distance > 0)[counted])
    usual = np.array([[_median(late[(kinds == kind) & half], least) for kind in range(KINDS)] for half in halves])
    if not np.isfinite(usual).any():  # too little of every kind
        usual = np.full((1, KINDS), np.median(late) if late.size else 0.0)
    known = np.isfinite(usual).any(axis=0)
    earliest = np.nanmin(usual[:, known], axis=0)
    middles = (np.arange(KINDS) + 0.5) / KINDS
    found = np.zeros(values.shape, np.float32)
    found[counted] = np.interp(gray, middles[known], earliest)
    return NormalTiming(found, float(earliest[0]), float(earliest[-1]))


def _gray(maps: PerfusionMaps, counted: BoolArray) -> NDArray[np.float32]:
    """Return the share of gray matter of the voxels that count, or the same for all."""
    plain = np.full(int(counted.sum()), 0.5, np.float32)
    if "baseline" not in maps or maps["baseline"].unit != "HU":
        return plain
    across = next(axis for axis, code in enumerate(axis_codes(maps.affine)) if code in "IS")
    order = (*(axis for axis in range(3) if axis != across), across)  # density is smoothed within slices
    image, mask = maps["baseline"].values.transpose(order), counted.transpose(order)
    share = gray_share(image, mask, np.asarray(voxel_sizes(maps.affine))[list(order)])
    if share is None:
        return plain
    found = np.zeros(mask.shape, np.float32)
    found[mask] = share
    return found.transpose(np.argsort(order))[counted]


def _median(values: NDArray[np.floating], least: float) -> float:
    return float(np.median(values)) if values.size >= max(least, 1.0) else float("nan")
