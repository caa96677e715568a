# SPDX-License-Identifier: Apache-2.0
"""Lesions while thresholds are moved: what does not depend on them is prepared once, so that the rest takes a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.values import TissueMasks
from .clusters import without_small_clusters
from .hypoperfusion import hypoperfused_tissue
from .midline import check_midplane
from .normal_timing import NormalTiming, normal_timing
from .presets import Preset, find_preset
from .reference import normal_reference, normal_value
from .segmentation import core_tissue, relative_map
from .tissue import counted_tissue


@dataclass(frozen=True, slots=True)
class PreviewBasis:
    """What stays while thresholds are moved.

    Parameters
    ----------
    maps : PerfusionMaps
        The maps.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    normal : NormalTiming
        Tmax of normal tissue.
    side : str or None
        Affected side, when the user knows it.
    contra_mask : ndarray of bool or None
        The user's normal region.
    """

    maps: PerfusionMaps
    tissue: BoolArray
    midplane: FloatArray
    normal: NormalTiming
    side: str | None = None
    contra_mask: BoolArray | None = None


def preview_basis(
    maps: PerfusionMaps,
    *,
    preset: str | Preset = "ct-perfusion-auto",
    masks: TissueMasks | None = None,
    midplane: Any | None = None,
    side: str | None = None,
    contra_mask: BoolArray | None = None,
) -> PreviewBasis:
    """Prepare a preview.

    Parameters
    ----------
    maps : PerfusionMaps
        ``tmax`` and what the presets need.
    preset : str or Preset
        Decides about fluid and vessels of finished maps.
    masks : TissueMasks, optional
        From the preparation.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane; without it the one through the middle of the tissue, since finding it takes longer than a moment.
    side : {"left", "right", "bilateral"}, optional
        Affected side.
    contra_mask : ndarray of bool, optional
        Normal region.

    Returns
    -------
    PreviewBasis
        For `preview`.

    Raises
    ------
    InvalidInputError
        If nothing counts as tissue, or the plane does not separate left from right.
    """
    tissue = counted_tissue(maps, find_preset(preset), masks=masks).tissue
    if midplane is None:
        affine = np.asarray(maps.affine, float)
        middle = float((np.argwhere(tissue) @ affine[0, :3]).mean() + affine[0, 3])
        midplane = (1.0, 0.0, 0.0, middle)
    plane = check_midplane(midplane)
    normal = normal_timing(maps, tissue, plane)
    return PreviewBasis(maps, tissue, plane, normal, side, contra_mask)


def preview(basis: PreviewBasis, preset: Preset, *, method: str = "") -> tuple[BoolArray, BoolArray | None]:
    """Return hypoperfusion and core as `segment` would find them on this tissue, plane and side.

    A network is not asked: it needs PyTorch, and more than a moment. Its core comes from a map ``core_probability`` of an
    earlier segmentation.

    Parameters
    ----------
    basis : PreviewBasis
        From `preview_basis`.
    preset : Preset
        Thresholds.
    method : str
        How Tmax was made, for its offset; by default from the map's provenance.

    Returns
    -------
    hypoperfusion : ndarray of bool, shape (I, J, K)
        Late tissue.
    core : ndarray of bool, shape (I, J, K), or None
        None where a network draws it and has not yet done so.

    Raises
    ------
    InvalidInputError
        If a map is missing, or there is no normal tissue to refer to.
    """
    maps = basis.maps
    _check(maps, preset)
    method = method or maps["tmax"].provenance.method
    offset, voxel_ml = preset.offset(method), voxel_volume_ml(maps.affine)
    late = hypoperfused_tissue(maps, preset, basis.tissue, offset, basis.normal)
    hypoperfusion = without_small_clusters(late, voxel_ml, preset.min_cluster_ml)
    if preset.core_rule == "rcbf":
        reference = normal_reference(
            maps, basis.tissue, basis.midplane, preset,
            hypoperfused=late, offset_s=preset.reference_offset(method), contra_mask=basis.contra_mask, side=basis.side,
        )  # fmt: skip
        flow = maps["cbf"] if "cbf" in maps else maps["rcbf"]
        normal = normal_value(flow.values, reference.mask, preset.reference_statistic)
        maps = maps.added(relative_map(flow, "rcbf", normal if normal > 0 else float("nan")))
    if preset.core_rule == "network" and "core_probability" not in maps:
        return hypoperfusion, None
    return hypoperfusion, core_tissue(maps, preset, basis.tissue, hypoperfusion, preset.flow_factor(method))


def _check(maps: PerfusionMaps, preset: Preset) -> None:
    """Say which map the rules of a preset need, before one is looked for in vain."""
    needed = ("tmax", preset.hypoperfusion_rule, *([preset.core_rule] if preset.core_rule in ("cbv", "adc") else ()))
    missing = sorted({key for key in needed if key not in maps})
    if missing:
        msg = f"These thresholds need the map {' and '.join(missing)}, which is missing. Choose it, or other thresholds."
        raise InvalidInputError(msg)
