# SPDX-License-Identifier: Apache-2.0
"""What maps say in any regions, also relative to the mirrored place on the other side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, FloatArray, voxel_volume_ml
from ..core.progress import ProgressCallback, part_of
from .midline import check_mask, check_midplane, mirror

PERCENTILES = (5, 25, 75, 95)


def region_statistics(
    images: Mapping[str, NDArray[Any]],
    regions: Mapping[str, Any],
    affine: FloatArray,
    *,
    units: Mapping[str, str] | None = None,
    midplane: Any | None = None,
    tissue: BoolArray | None = None,
    progress: ProgressCallback | None = None,
) -> list[dict[str, Any]]:
    """Summarize maps within regions.

    Parameters
    ----------
    images : mapping of str to ndarray, shape (I, J, K)
        Maps or any other images by name; NaN does not count.
    regions : mapping of str to ndarray of bool, shape (I, J, K)
        Regions by name; they may overlap.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    units : mapping of str to str, optional
        Units of the images.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane; with it each region is compared with its mirror image.
    tissue : ndarray of bool, shape (I, J, K), optional
        What of the mirror images counts; by default all of them.
    progress : callable, optional
        Progress.

    Returns
    -------
    list of dict
        One row per region and map: ``region map unit volume_ml voxels mean sd median p5 p25 p75 p95 mirror_voxels mirror_mean
        percent_of_mirror``; None where there is no value. ``voxels`` are those with a number, the volume is of the whole region.

    Raises
    ------
    GridMismatchError
        If a region or an image has another shape than the first image.
    InvalidInputError
        If the plane does not separate left from right.

    Notes
    -----
    The standard deviation is that of the population. Voxels that belong to the region and to its mirror image do not count as
    mirror image.
    """
    report = part_of(progress, 0.0, 1.0)
    plane = None if midplane is None else check_midplane(midplane)
    rows: list[dict[str, Any]] = []
    shape = np.shape(next(iter(images.values()))) if images else ()
    for name, image in images.items():
        check_mask(f"image '{name}'", np.isfinite(image), shape)
    for number, (name, given) in enumerate(regions.items()):
        report(number / max(len(regions), 1), "Statistics")
        region = check_mask(f"region '{name}'", given, shape)
        mirrored = None
        if plane is not None:
            mirrored = mirror(region, affine, plane) & ~region
            mirrored = mirrored if tissue is None else mirrored & tissue
        volume = round(int(region.sum()) * voxel_volume_ml(affine), 4)
        for key, values in images.items():
            common = {"region": name, "map": key, "unit": (units or {}).get(key, ""), "volume_ml": volume}
            rows.append(common | _row(values, region, mirrored))
    return rows


def _row(values: NDArray[Any], region: BoolArray, mirrored: BoolArray | None) -> dict[str, Any]:
    inside = _numbers(values, region)
    row: dict[str, Any] = {"voxels": int(inside.size)}
    names = ("mean", "sd", "median", *(f"p{percent}" for percent in PERCENTILES))
    row |= dict.fromkeys(names)
    if inside.size:
        numbers = (inside.mean(), inside.std(), np.median(inside), *np.percentile(inside, PERCENTILES))
        row |= {name: float(number) for name, number in zip(names, numbers, strict=True)}
    other = _numbers(values, mirrored) if mirrored is not None else np.zeros(0)
    mean = float(other.mean()) if other.size else None
    row |= {"mirror_voxels": int(other.size), "mirror_mean": mean}
    row["percent_of_mirror"] = 100.0 * row["mean"] / mean if mean and row["mean"] is not None else None
    return row


def _numbers(values: NDArray[Any], mask: BoolArray) -> NDArray[np.float64]:
    inside: NDArray[np.float64] = values[mask].astype(np.float64)
    return inside[np.isfinite(inside)]
