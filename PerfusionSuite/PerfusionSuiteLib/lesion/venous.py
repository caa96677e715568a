# SPDX-License-Identifier: Apache-2.0
"""Prolonged venous transit: Tmax in the superior sagittal sinus and the torcula (ct-perfusion-auto 6).

Salim et al., Eur J Neurol (2024) and Yedavalli et al., Neuroradiol J (2024) call it prolonged when
Tmax reaches 10 s in either sinus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, voxel_sizes, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.values import InputFunction
from .clusters import NEIGHBORS_26, largest_cluster_ml
from .indices import peak_time
from .midline import check_midplane, side_distance

_POSTERIOR_PART = 1.0 / 3.0
_MIDLINE_MM = 12.0
_SUPERFICIAL_MM = 20.0
_TORCULA_HEIGHT_MM = 20.0
_MIN_SLAB_MM = 40.0
_MIN_PART_ML = 0.1
_MIN_VOXELS = 2
_VENOUS_SPREAD_S = 15.0
"""How long after the venous curve another vein can peak; what peaks later still is drift or motion at the edge of bone."""


@dataclass(frozen=True, slots=True)
class VenousRegions:
    """Where the sinuses are.

    Parameters
    ----------
    masks : dict of str to ndarray of bool
        ``sss`` and ``torcula``, those that were found.
    reasons : dict of str to str
        Why one is missing.
    """

    masks: dict[str, BoolArray]
    reasons: dict[str, str] = field(default_factory=dict)


def venous_regions(
    maps: PerfusionMaps,
    brain: BoolArray,
    midplane: FloatArray,
    *,
    vessel: BoolArray | None = None,
    vof: InputFunction | None = None,
) -> VenousRegions:
    """Find venous voxels of the posterior midline, in patient space.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax`` inside vessels; with ``ttp``, only voxels that peak like veins count.
    brain : ndarray of bool, shape (I, J, K)
        Inside the skull.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    vessel : ndarray of bool, shape (I, J, K), optional
        Large vessels.
    vof : InputFunction, optional
        Venous curve: when veins peak, and its voxels.

    Returns
    -------
    VenousRegions
        Superior sagittal sinus: the upper half of the slab; torcula: the lowest cluster of the lower half.
    """
    candidates = np.zeros(brain.shape, bool) if vessel is None else vessel.copy()
    if vof is not None and "ttp" in maps:
        candidates &= ~(maps["ttp"].values > peak_time(vof.times_s, vof.values) + _VENOUS_SPREAD_S)
    if vof is not None and vof.voxels.size:
        candidates[tuple(np.asarray(vof.voxels).T)] = True
    candidates &= np.isfinite(maps["tmax"].values)
    if not brain.any() or not candidates.any():
        return _none("no venous voxel with a Tmax was found")
    prior, height = _posterior_midline(brain | candidates, maps.affine, check_midplane(midplane))
    if prior is None:
        return _none("the slab does not reach the posterior surface of the brain")
    veins = candidates & prior
    if not veins.any():
        return _none("no venous voxel lies at the posterior midline")
    middle = 0.5 * (height[brain].min() + height[brain].max())
    found = {"sss": veins & (height >= middle)}
    slab = float(height[brain].max() - height[brain].min()) + float(voxel_sizes(maps.affine).min())
    reasons = {}
    if slab < _MIN_SLAB_MM:
        reasons["torcula"] = f"the slab of {slab:.0f} mm is too thin to tell the torcula from the sagittal sinus"
    else:
        found["torcula"] = _lowest_cluster(veins & (height < middle), height)
    for name in [name for name, mask in found.items() if int(mask.sum()) < _MIN_VOXELS]:
        del found[name]
        reasons[name] = "fewer than two venous voxels were found in its place"
    return VenousRegions(found, reasons)


def prolonged_venous_transit(maps: PerfusionMaps, regions: VenousRegions, *, threshold_s: float = 10.0) -> dict[str, Any]:
    """Say whether Tmax in the sinuses reaches the threshold.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``.
    regions : VenousRegions
        Where to look.
    threshold_s : float, s
        A region is positive when its median reaches this, or a connected part of 0.1 mL does.

    Returns
    -------
    dict
        ``status`` (none, sss, torcula, both, not assessable), ``sss_tmax_s``, ``torcula_tmax_s``,
        ``threshold_s``, ``assessable``, voxel counts and the reasons for what is missing.
    """
    tmax = maps["tmax"].values
    result: dict[str, Any] = {"status": "not assessable", "assessable": False, "threshold_s": float(threshold_s)}
    positive = []
    for name in ("sss", "torcula"):
        mask = regions.masks.get(name)
        values = tmax[mask & np.isfinite(tmax)] if mask is not None else np.zeros(0)
        result[f"{name}_tmax_s"] = float(np.median(values)) if values.size else None
        result[f"{name}_voxels"] = int(values.size)
        if mask is None or not values.size:
            continue
        result["assessable"] = True
        late = mask & (np.nan_to_num(tmax, nan=-1.0) >= threshold_s)
        part_ml = largest_cluster_ml(late, voxel_volume_ml(maps.affine))
        if np.median(values) >= threshold_s or part_ml >= _MIN_PART_ML:
            positive.append(name)
    if result["assessable"]:
        result["status"] = {0: "none", 1: positive[0] if positive else "", 2: "both"}[len(positive)]
    result["reasons"] = dict(regions.reasons)
    return result


def with_drawn(found: VenousRegions, drawn: Mapping[str, BoolArray], veins: BoolArray) -> VenousRegions:
    """Replace regions by those that the user moved or painted.

    Parameters
    ----------
    found : VenousRegions
        Found automatically.
    drawn : mapping of str to ndarray of bool
        ``sss`` and ``torcula``, those that are given.
    veins : ndarray of bool, shape (I, J, K)
        Vessels.

    Returns
    -------
    VenousRegions
        Of a drawn region the vessels within it count, and all of it where it holds none.
    """
    masks, reasons = dict(found.masks), dict(found.reasons)
    for name, region in drawn.items():
        inside = region & veins
        masks[name] = inside if int(inside.sum()) >= _MIN_VOXELS else region
        reasons.pop(name, None)
        if not region.any():
            del masks[name]
            reasons[name] = "the region that was given is empty"
    return VenousRegions(masks, reasons)


def _none(reason: str) -> VenousRegions:
    return VenousRegions({}, {"sss": reason, "torcula": reason})


def _posterior_midline(inside: BoolArray, affine: FloatArray, plane: FloatArray) -> tuple[BoolArray | None, NDArray[np.float32]]:
    """Posterior third, near the plane and near the surface; None when the image ends before the head does."""
    right = plane[:3]
    up = np.array([0.0, 0.0, 1.0]) - right[2] * right
    up /= np.linalg.norm(up)
    back = -np.cross(up, right)
    height = side_distance_along(inside.shape, affine, up)
    depth = side_distance_along(inside.shape, affine, back)
    near = inside & (np.abs(side_distance(inside.shape, affine, plane)) <= _MIDLINE_MM)
    if not near.any():
        return None, height
    farthest, nearest = float(depth[near].max()), float(depth[near].min())
    if _touches_border(near & (depth >= farthest - 1.5 * voxel_sizes(affine).max()), affine, back):
        return None, height
    # The surface bends: measure its depth at each height, from the most posterior voxel there.
    surface = _surface(near, height, depth)
    prior = near & (depth >= farthest - _POSTERIOR_PART * (farthest - nearest)) & (surface - depth <= _SUPERFICIAL_MM)
    return prior, height


def side_distance_along(shape: tuple[int, ...], affine: FloatArray, direction: FloatArray) -> NDArray[np.float32]:
    """Return the coordinate of every voxel along a direction.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    direction : ndarray, shape (3,)
        Unit vector in RAS.

    Returns
    -------
    ndarray, shape (I, J, K), mm
        The coordinate.
    """
    row, offset = direction @ affine[:3, :3], direction @ affine[:3, 3]
    i, j, k = (np.arange(n) * r for n, r in zip(shape[:3], row, strict=True))
    along: NDArray[np.float32] = (i[:, None, None] + j[None, :, None] + k[None, None, :] + offset).astype(np.float32)
    return along


def _surface(near: BoolArray, height: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    bins = np.round((height - height.min()) / 4.0).astype(int)
    deepest = np.full(int(bins.max()) + 1, -np.inf, np.float32)
    np.maximum.at(deepest, bins[near], depth[near])
    result: NDArray[np.float32] = deepest[bins]
    return result


def _touches_border(posterior: BoolArray, affine: FloatArray, back: FloatArray) -> bool:
    """Whether the most posterior voxels lie in the last layer of the image on that side."""
    steps = affine[:3, :3].T @ back / voxel_sizes(affine)
    axis = int(np.abs(steps).argmax())
    layer = -1 if steps[axis] > 0 else 0
    return bool(np.take(posterior, layer, axis=axis).any())


def _lowest_cluster(veins: BoolArray, height: NDArray[np.float32]) -> BoolArray:
    labels, count = ndimage.label(veins, NEIGHBORS_26)
    if count == 0:
        return veins
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    lowest = ndimage.minimum(height, labels, np.arange(1, count + 1))
    lowest = np.where(sizes >= _MIN_VOXELS, lowest, np.inf)
    pick = int(np.argmin(lowest))
    cluster = labels == pick + 1
    result: BoolArray = cluster & (height <= height[cluster].min() + _TORCULA_HEIGHT_MM)
    return result
