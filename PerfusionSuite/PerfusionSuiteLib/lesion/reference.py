# SPDX-License-Identifier: Apache-2.0
"""Affected side and the normal tissue that relative maps refer to (ct-perfusion-auto 15.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, voxel_volume_ml
from ..core.maps import PerfusionMaps
from .clusters import without_small_clusters
from .midline import side_distance
from .presets import Preset

SIDES = ("left", "right", "bilateral")
_MIN_REFERENCE_ML = 2.0
_MIN_REFERENCE_FRACTION = 0.05
_OTHER_SIDE_ML, _OTHER_SIDE_SHARE = 10.0, 1.0 / 3.0


@dataclass(frozen=True, slots=True)
class Reference:
    """The normal tissue and the side that is affected.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Reference tissue.
    side : {"left", "right", "bilateral", "none"}
        The patient's affected side.
    region : {"left", "right", "global", "mask"}
        Where the reference lies.
    fractions : dict of str to float
        Hypoperfused fraction of the tissue of each hemisphere.
    findings : tuple of QualityFinding
        What was odd.
    """

    mask: BoolArray
    side: str
    region: str
    fractions: dict[str, float]
    findings: tuple[QualityFinding, ...] = ()


def normal_reference(
    maps: PerfusionMaps,
    tissue: BoolArray,
    midplane: NDArray[np.floating],
    preset: Preset,
    *,
    hypoperfused: BoolArray,
    offset_s: float = 0.0,
    contra_mask: BoolArray | None = None,
    side: str | None = None,
) -> Reference:
    """Choose contralateral tissue with normal timing.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    preset : Preset
        ``reference_tmax_s``, ``bilateral_fraction``, ``midplane_margin_mm``, ``min_cluster_ml``.
    hypoperfused : ndarray of bool, shape (I, J, K)
        Tissue beyond the threshold of hypoperfusion, before small clusters were removed.
    offset_s : float, s
        Added to ``reference_tmax_s`` for the method.
    contra_mask : ndarray of bool, shape (I, J, K), optional
        The user's normal region; it wins.
    side : {"left", "right", "bilateral"}, optional
        The affected side, when the user knows it.

    Returns
    -------
    Reference
        Reference tissue and affected side.

    Raises
    ------
    InvalidInputError
        If there is no tissue with normal timing at all, or the user's region has no tissue.
    """
    distance = side_distance(tissue.shape, maps.affine, midplane)
    lesion = without_small_clusters(hypoperfused & tissue, voxel_volume_ml(maps.affine), preset.min_cluster_ml)
    halves = {"left": tissue & (distance < 0), "right": tissue & (distance > 0)}
    fractions = {name: float((lesion & half).sum()) / max(int(half.sum()), 1) for name, half in halves.items()}
    if side is not None and side not in SIDES:
        msg = f"There is no affected side '{side}'. Use one of {', '.join(SIDES)}."
        raise InvalidInputError(msg)
    told, side = side, side or _affected_side(fractions, preset.bilateral_fraction)
    if contra_mask is not None:
        return Reference(_inside(contra_mask, tissue), side, "mask", fractions)
    normal = tissue & (maps["tmax"].values <= preset.reference_tmax_s + offset_s) & ~lesion
    findings: list[QualityFinding] = []
    if side == "bilateral" and told is None:
        findings.append(_bilateral(fractions, preset))
    if side in halves and told is None:
        findings += _both_sides(
            {name: float((lesion & half).sum()) * voxel_volume_ml(maps.affine) for name, half in halves.items()}
        )
    region = {"left": "right", "right": "left"}.get(side, "global")
    mask = normal if region == "global" else normal & halves[region] & (np.abs(distance) >= preset.midplane_margin_mm)
    if region != "global" and _too_small(mask, halves[region], maps):
        findings.append(_small_reference(mask, maps))
        mask, region = normal, "global"
    if not mask.any():
        msg = (
            f"No tissue has a Tmax of at most {preset.reference_tmax_s + offset_s:g} s, so there is no normal reference. "
            "Check the AIF, or give a region of normal tissue (contra_mask)."
        )
        raise InvalidInputError(msg)
    return Reference(mask, side, region, fractions, tuple(findings))


def normal_value(values: NDArray[np.floating], reference: BoolArray, statistic: str) -> float:
    """Return the normal value of a map.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        The map.
    reference : ndarray of bool, shape (I, J, K)
        Normal tissue.
    statistic : {"mean", "median"}
        How to summarize.

    Returns
    -------
    float
        NaN when the map has no number there.
    """
    inside = values[reference]
    inside = inside[np.isfinite(inside)].astype(np.float64)
    if inside.size == 0:
        return float("nan")
    return float(np.median(inside) if statistic == "median" else inside.mean())


def _affected_side(fractions: dict[str, float], bilateral_fraction: float) -> str:
    if min(fractions.values()) > bilateral_fraction:
        return "bilateral"
    if max(fractions.values()) <= 0.0:
        return "none"
    return max(fractions, key=lambda name: fractions[name])


def _inside(contra_mask: BoolArray, tissue: BoolArray) -> BoolArray:
    mask = contra_mask & tissue
    if not mask.any():
        msg = f"The contralateral mask ({int(contra_mask.sum())} voxels) contains no brain tissue. Draw it on normal tissue."
        raise InvalidInputError(msg)
    return mask


def _too_small(mask: BoolArray, half: BoolArray, maps: PerfusionMaps) -> bool:
    volume = float(mask.sum()) * voxel_volume_ml(maps.affine)
    return volume < _MIN_REFERENCE_ML or float(mask.sum()) < _MIN_REFERENCE_FRACTION * float(half.sum())


def _bilateral(fractions: dict[str, float], preset: Preset) -> QualityFinding:
    shares = ", ".join(f"{100 * value:.0f} % of the {name}" for name, value in fractions.items())
    return QualityFinding(
        "bilateral",
        "warning",
        f"Hypoperfusion takes up {shares} hemisphere, so normal tissue of the whole brain (Tmax up to "
        f"{preset.reference_tmax_s:g} s) became the reference.",
        "Check the AIF and low cardiac output; give a normal region if there is one.",
    )


def _both_sides(volumes_ml: dict[str, float]) -> list[QualityFinding]:
    """An occluded artery slows one side; what is nearly alike on both is rather slow white matter or a wrong artery."""
    smaller, larger = sorted(volumes_ml.values())
    if smaller < max(_OTHER_SIDE_ML, _OTHER_SIDE_SHARE * larger):
        return []
    listed = " and ".join(f"{value:.1f} mL of the {name}" for name, value in volumes_ml.items())
    text = f"Hypoperfusion takes up {listed} hemisphere; the larger one was taken as the affected side."
    advice = "Normal white matter can be that slow: compare both sides, check the AIF, and give the affected side if it is known."
    return [QualityFinding("both_sides", "warning", text, advice)]


def _small_reference(mask: BoolArray, maps: PerfusionMaps) -> QualityFinding:
    volume = float(mask.sum()) * voxel_volume_ml(maps.affine)
    return QualityFinding(
        "small_reference",
        "warning",
        f"The unaffected hemisphere has only {volume:.1f} mL of tissue with normal timing, so the whole brain is the reference.",
        "Check the AIF and the mid-sagittal plane, or give a region of normal tissue.",
    )
