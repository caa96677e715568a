# SPDX-License-Identifier: Apache-2.0
"""The average brain that patients are made from: tissue, territories and vessels (see data/atlas/NOTICE.txt)."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray

GROUPS = ("none", "aca", "m2-superior", "m2-inferior", "deep", "pca", "basilar")
"""Names of the vascular territories, by their number in `Atlas.group`."""

COARSE_MM = 2.0
_PAD = 20  # coarse voxels around the brain, so that the whole head has a distance to it


@dataclass(frozen=True)
class VesselTree:
    """Centre lines of vessels of the right half.

    Parameters
    ----------
    nodes : ndarray, shape (n, 7)
        Atlas x, y, z (mm), radius (mm), path from the root (mm), territory, branch.
    parents : ndarray of int, shape (n,)
        Index of the node each one is joined to, -1 for a root.
    """

    nodes: FloatArray
    parents: NDArray[np.int64]


@dataclass(frozen=True)
class Atlas:
    """Maps of the right half of a symmetric brain; x = 0 is the mid-sagittal plane.

    Parameters
    ----------
    grey, white, dark : ndarray of uint8, shape (99, 233, 189)
        1 mm maps; ``dark`` grows from 0 to 220 as the T1-weighted template darkens towards fluid.
    brain, nuclei, below : ndarray of uint8
        1 mm masks: brain, deep grey nuclei, below the tentorium.
    origin : ndarray, shape (3,), mm
        Atlas position of the first voxel.
    group, branch : ndarray of uint8, shape (50, 117, 95)
        2 mm labels: vascular territory (see `GROUPS`) and feeding branch.
    path_mm : ndarray, shape (50, 117, 95), mm
        Length of the way of the blood from the carotid's base.
    outside_mm : ndarray, shape (138, 156, 134), mm
        2 mm map, both halves and padded: distance from the hull of the brain, negative inside.
    outside_origin : ndarray, shape (3,), mm
        Atlas position of its first voxel.
    arteries, veins : VesselTree
        Centre lines.
    """

    grey: NDArray[np.uint8]
    white: NDArray[np.uint8]
    dark: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    nuclei: NDArray[np.uint8]
    below: NDArray[np.uint8]
    origin: FloatArray
    group: NDArray[np.uint8]
    branch: NDArray[np.uint8]
    path_mm: NDArray[np.float32]
    outside_mm: NDArray[np.float32]
    outside_origin: FloatArray
    arteries: VesselTree
    veins: VesselTree

    def sample(self, values: NDArray[Any], points: FloatArray, order: int = 1) -> NDArray[np.float32]:
        """Interpolate a half map at atlas positions of either side.

        Parameters
        ----------
        values : ndarray
            A 1 mm or 2 mm half map of this atlas.
        points : ndarray, shape (3, n), mm
            Atlas positions.
        order : {0, 1}
            Nearest neighbour or linear.

        Returns
        -------
        ndarray, shape (n,)
            Values, 0 outside.
        """
        step = 1.0 if values.shape[0] == self.grey.shape[0] else COARSE_MM
        index = np.empty(points.shape, np.float32)
        index[0] = np.abs(points[0]) / step
        index[1] = (points[1] - self.origin[1]) / step
        index[2] = (points[2] - self.origin[2]) / step
        result: NDArray[np.float32] = ndimage.map_coordinates(values, index, output=np.float32, order=order, cval=0.0)
        return result


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """Read the atlas that ships with the package.

    Returns
    -------
    Atlas
        Cached; do not write into its arrays.
    """
    folder = resources.files("PerfusionSuiteLib") / "data" / "atlas"
    packed = np.load(io.BytesIO((folder / "atlas.npz").read_bytes()))
    fine, coarse = packed["grey"].shape, packed["group"].shape

    def unpacked(name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        bits: NDArray[np.uint8] = np.unpackbits(packed[name], count=int(np.prod(shape))).reshape(shape)
        return bits

    hull = unpacked("hull", coarse).astype(bool)
    both = np.pad(np.concatenate([hull[:0:-1], hull]), _PAD)
    outside = ndimage.distance_transform_edt(~both) - ndimage.distance_transform_edt(both)
    origin = np.asarray(packed["origin"], float)
    vessels = json.loads((folder / "vessels.json").read_text(encoding="utf-8"))
    trees = {
        name: VesselTree(np.array(vessels[name]["nodes"], float), np.array(vessels[name]["parents"], np.int64))
        for name in ("arteries", "veins")
    }
    left = -COARSE_MM * (coarse[0] - 1)
    return Atlas(
        grey=packed["grey"],
        white=packed["white"],
        dark=packed["dark"],
        brain=unpacked("brain", fine),
        nuclei=unpacked("nuclei", fine),
        below=unpacked("below", fine),
        origin=origin,
        group=packed["group"],
        branch=packed["branch"],
        path_mm=2.0 * packed["half_path_mm"].astype(np.float32),
        outside_mm=(COARSE_MM * ndimage.gaussian_filter(outside, 1.0)).astype(np.float32),
        outside_origin=np.array([left, origin[1], origin[2]]) - COARSE_MM * _PAD,
        arteries=trees["arteries"],
        veins=trees["veins"],
    )


def sample_lattice(
    values: NDArray[Any], origin: FloatArray, step_mm: float, points: FloatArray, order: int = 1, mode: str = "nearest"
) -> NDArray[np.float32]:
    """Interpolate a map on a regular lattice at positions.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        Lattice values.
    origin : ndarray, shape (3,), mm
        Position of the first one.
    step_mm : float, mm
        Spacing.
    points : ndarray, shape (3, n), mm
        Positions.
    order : int
        Spline order.
    mode : str
        What lies outside (see `scipy.ndimage`).

    Returns
    -------
    ndarray, shape (n,)
        Values.
    """
    index = ((points - np.asarray(origin)[:, None]) / step_mm).astype(np.float32)
    result: NDArray[np.float32] = ndimage.map_coordinates(values, index, output=np.float32, order=order, mode=mode)
    return result
