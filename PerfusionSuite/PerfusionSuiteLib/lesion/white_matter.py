# SPDX-License-Identifier: Apache-2.0
"""Normal white matter: the reference of blood volume in DSC-MRI, whose values have no absolute scale of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from ..core.maps import PerfusionMap, PerfusionMaps
from ..core.quantities import QUANTITIES, RELATIVE
from ..core.values import TissueMasks
from .midline import side_distance

WHITE_MATTER_CBV = 2.0
"""mL/100 mL (Ostergaard et al., MRM 36:715, 1996)."""

MIN_VOXELS = 100
MARGIN_MM = 5.0
NORMAL_TMAX_S = 6.0
SCALED = ("cbf", "cbv", "cbf_sd", "cbv_sd")


def white_matter(maps: PerfusionMaps, tissue: BoolArray, *, side: FloatArray | None = None) -> BoolArray:
    """Find white matter by its blood volume, the lower of two classes of normal tissue.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``cbv``; tissue with a long ``tmax`` is left out when there is one.
    tissue : ndarray of bool, shape (I, J, K)
        Where to look.
    side : ndarray, shape (I, J, K), mm, optional
        Signed distance from the mid-sagittal plane on the side to look at (positive there).

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        White matter; voxels that hold hardly any blood (fluid, scars) are not counted.
    """
    cbv = maps["cbv"].values
    usable = tissue & np.isfinite(cbv) & (np.nan_to_num(cbv) > 0)
    if "tmax" in maps:
        usable &= np.nan_to_num(maps["tmax"].values, nan=99.0) <= NORMAL_TMAX_S
    if side is not None:
        usable &= side >= MARGIN_MM
    values = cbv[usable]
    if values.size < MIN_VOXELS:
        return np.zeros_like(tissue)
    border = _divide(values[values <= np.percentile(values, 97.0)])
    lower = float(np.median(values[values < border]))
    found: BoolArray = usable & (cbv < border) & (cbv > 0.5 * lower)
    return found


def _divide(values: NDArray[np.float32]) -> float:
    """Return the threshold between two classes of least variance."""
    counts, edges = np.histogram(values, 128)
    middle = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts).astype(float)
    above, first = below[-1] - below, np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (first / below - (first[-1] - first) / above) ** 2
    return float(middle[int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def scale_to_white_matter(
    maps: PerfusionMaps, masks: TissueMasks, *, cbv: float = WHITE_MATTER_CBV
) -> tuple[PerfusionMaps, tuple[QualityFinding, ...]]:
    """Scale flow and volume so that normal white matter holds the usual amount of blood.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``cbv``.
    masks : TissueMasks
        Of the scan.
    cbv : float, mL/100 g
        Blood volume of white matter.

    Returns
    -------
    maps : PerfusionMaps
        With CBF and CBV on the new scale.
    findings : tuple of QualityFinding
        What was done.

    Notes
    -----
    Blood in a large artery changes R2* by another amount per concentration than blood in capillaries, so that the ratio of
    areas is no blood volume; the factor differs with field strength and sequence. Relative maps and times do not depend on it.
    """
    region = white_matter(maps, masks.tissue)
    level = float(np.median(maps["cbv"].values[region])) if region.any() else float("nan")
    if not level > 0:
        text = "White matter was not found, so flow and volume are on the arbitrary scale of the arterial curve."
        return maps, (QualityFinding("dsc_not_scaled", "warning", text, "Use relative maps and Tmax."),)
    factor = cbv / level
    scaled = [replace(maps[key], values=(factor * maps[key].values).astype(np.float32)) for key in SCALED if key in maps]
    unit = maps["cbv"].unit
    text = (
        f"Flow and volume of DSC-MRI are relative: they were multiplied by {factor:.3g}, so that normal white matter holds "
        f"{cbv:g}{'' if unit == RELATIVE else f' {unit}'}."
    )
    return maps.added(*scaled), (QualityFinding("dsc_scaled_to_white_matter", "info", text, "Compare regions, not patients."),)


def tumor_blood_volume(
    maps: PerfusionMaps, masks: TissueMasks, tumor: BoolArray, midplane: NDArray[np.floating], contra: BoolArray | None = None
) -> tuple[PerfusionMap, BoolArray, Mapping[str, Any]]:
    """Express the blood volume of a tumor as a multiple of normal white matter on the other side.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``cbv``, corrected for leakage.
    masks : TissueMasks
        Of the scan.
    tumor : ndarray of bool, shape (I, J, K)
        The tumor.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    contra : ndarray of bool, shape (I, J, K), optional
        The user's normal region; it wins.

    Returns
    -------
    rcbv : PerfusionMap
        Blood volume in % of the reference.
    reference : ndarray of bool, shape (I, J, K)
        Normal white matter.
    numbers : mapping
        ``rcbv_mean rcbv_median rcbv_p95`` as ratios, ``volume_voxels``, ``reference_cbv``, ``reference_voxels``.

    Raises
    ------
    InvalidInputError
        If the tumor holds no numbers or no reference is found.
    """
    cbv = maps["cbv"].values
    inside = tumor & np.isfinite(cbv)
    if not inside.any():
        msg = f"The tumor mask ({int(tumor.sum())} voxels) holds no blood volume. Draw it on the perfusion scan."
        raise InvalidInputError(msg)
    distance = side_distance(tumor.shape, maps.affine, midplane)
    away = -np.sign(float(np.median(distance[inside]))) or 1.0
    reference = (
        contra & np.isfinite(cbv) if contra is not None else white_matter(maps, masks.tissue & ~tumor, side=away * distance)
    )
    normal = float(np.median(cbv[reference])) if reference.any() else float("nan")
    if not normal > 0:
        msg = "No normal white matter was found on the other side of the tumor. Give a region of normal tissue (contra mask)."
        raise InvalidInputError(msg)
    ratio = cbv / normal
    values = ratio[inside].astype(np.float64)
    numbers = {
        "rcbv_mean": float(values.mean()),
        "rcbv_median": float(np.median(values)),
        "rcbv_p95": float(np.percentile(values, 95.0)),
        "volume_voxels": int(inside.sum()),
        "reference_cbv": normal,
        "reference_voxels": int(reference.sum()),
    }
    rcbv = PerfusionMap((100.0 * ratio).astype(np.float32), maps.affine, QUANTITIES["rcbv"], None, maps["cbv"].provenance)
    return rcbv, reference, numbers
