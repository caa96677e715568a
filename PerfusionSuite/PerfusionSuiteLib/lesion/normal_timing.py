# SPDX-License-Identifier: Apache-2.0
"""How late normal tissue of each kind is: white matter fills later than gray matter without being ill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.maps import PerfusionMaps
from ..prepare.gray_matter import gray_share
from .midline import side_distance

KINDS = 5
"""Classes of equal width of the share of gray matter."""

LEAST_VOXELS = 200
"""A class with less tissue on a side takes over the value of the nearest one that has enough."""


def normal_tmax(
    maps: PerfusionMaps,
    tissue: BoolArray,
    midplane: FloatArray,
    *,
    side: str | None = None,
    contra_mask: BoolArray | None = None,
) -> NDArray[np.float32]:
    """Say for each voxel which Tmax normal tissue with as much gray matter has.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``; a ``baseline`` of CT tells gray from white matter, and without it all tissue is one kind.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    side : {"left", "right", "bilateral"}, optional
        The affected side, when the user knows it.
    contra_mask : ndarray of bool, shape (I, J, K), optional
        The user's normal region; it wins.

    Returns
    -------
    ndarray of float32, shape (I, J, K), s
        Median of the kind, linear in the share of gray matter between the middles of the classes. Without a known side that of
        the hemisphere where the kind is earlier, so that nothing must be known about the lesion.
    """
    values = maps["tmax"].values
    counted = tissue & np.isfinite(values)
    gray = _gray(maps, counted)
    distance = side_distance(values.shape, maps.affine, midplane)
    halves = {"left": distance < 0, "right": distance > 0}
    if contra_mask is not None:
        normal = [contra_mask]
    elif side in halves:
        normal = [halves["right" if side == "left" else "left"]]
    else:
        normal = list(halves.values())
    kinds = np.minimum((gray * KINDS).astype(np.intp), KINDS - 1)
    late = values[counted]
    usual = np.array([[_median(late[(kinds == kind) & region[counted]]) for kind in range(KINDS)] for region in normal])
    if not np.isfinite(usual).any():
        usual = np.full((1, KINDS), np.median(late) if late.size else 0.0)
    known = np.isfinite(usual).any(axis=0)
    earliest = np.nanmin(usual[:, known], axis=0)
    middles = (np.arange(KINDS) + 0.5) / KINDS
    found = np.zeros(values.shape, np.float32)
    found[counted] = np.interp(gray, middles[known], earliest)
    return found


def _gray(maps: PerfusionMaps, counted: BoolArray) -> NDArray[np.float32]:
    """Return the share of gray matter of the voxels that count, or the same for all."""
    can_tell = "baseline" in maps and maps["baseline"].unit == "HU"
    share = gray_share(maps["baseline"].values, counted, voxel_sizes(maps.affine)) if can_tell else None
    return np.full(int(counted.sum()), 0.5, np.float32) if share is None else share


def _median(values: NDArray[np.floating]) -> float:
    return float(np.median(values)) if values.size >= LEAST_VOXELS else float("nan")
