# SPDX-License-Identifier: Apache-2.0
"""How well two masks agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError
from ..core.geometry import BoolArray, FloatArray, voxel_sizes, voxel_volume_ml


def dice(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the Dice coefficient.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (I, J, K)
        The masks.

    Returns
    -------
    float
        1 for two empty masks: finding nothing where there is nothing is right.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """
    a, b = _pair(mask, truth)
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 1.0


def overlap(mask: NDArray[Any], truth: NDArray[Any], affine: FloatArray, *, surfaces: bool = False) -> dict[str, float | None]:
    """Compare a mask with the truth.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (I, J, K)
        The masks.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    surfaces : bool
        Also measure distances between the surfaces.

    Returns
    -------
    dict
        ``dice jaccard sensitivity precision volume_ml truth_ml error_ml`` and, on request,
        ``surface_mean_mm surface_p95_mm``; None where a number does not exist (no truth, nothing found).

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """
    a, b = _pair(mask, truth)
    found, true, both = int(a.sum()), int(b.sum()), int((a & b).sum())
    voxel_ml = voxel_volume_ml(affine)
    result: dict[str, float | None] = {
        "dice": dice(a, b),
        "jaccard": both / (found + true - both) if found + true else 1.0,
        "sensitivity": both / true if true else None,
        "precision": both / found if found else None,
        "volume_ml": found * voxel_ml,
        "truth_ml": true * voxel_ml,
        "error_ml": (found - true) * voxel_ml,
    }
    if surfaces:
        distances = surface_distances(a, b, affine)
        result["surface_mean_mm"] = float(distances.mean()) if distances.size else None
        result["surface_p95_mm"] = float(np.percentile(distances, 95)) if distances.size else None
    return result


def surface_distances(mask: NDArray[Any], truth: NDArray[Any], affine: FloatArray) -> NDArray[np.float64]:
    """Return how far each surface voxel of either mask is from the other surface.

    Parameters
    ----------
    mask, truth : ndarray of bool, shape (I, J, K)
        The masks.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS; its shear is neglected.

    Returns
    -------
    ndarray, shape (n,), mm
        Both directions together; empty when a mask is empty.
    """
    a, b = _pair(mask, truth)
    if not a.any() or not b.any():
        return np.zeros(0)
    edges = [m & ~ndimage.binary_erosion(m) for m in (a, b)]
    sampling = voxel_sizes(affine)
    to_first, to_second = (ndimage.distance_transform_edt(~edge, sampling=sampling) for edge in edges)
    distances: NDArray[np.float64] = np.concatenate([to_second[edges[0]], to_first[edges[1]]])
    return distances


def _pair(mask: NDArray[Any], truth: NDArray[Any]) -> tuple[BoolArray, BoolArray]:
    a, b = np.asarray(mask, bool), np.asarray(truth, bool)
    if a.shape != b.shape:
        msg = f"Masks of {a.shape} and {b.shape} voxels cannot be compared. Resample one to the other."
        raise GridMismatchError(msg)
    return a, b
