# SPDX-License-Identifier: Apache-2.0
"""Which voxels may count as lesion or as reference (ct-perfusion-auto 15.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, axis_codes, voxel_sizes
from ..core.values import PerfusionMaps, TissueMasks
from .presets import Preset

_PLAUSIBLE_MEDIAN_CBV = (1.0, 5.0)
_MAX_DILATED_VOXEL_MM = 1.2
"""On coarser grids a margin of one voxel would take away much of the cortex."""
_IN_PLANE_4 = {
    axis: ndimage.generate_binary_structure(2, 1).reshape([1 if a == axis else 3 for a in range(3)]) for axis in range(3)
}


@dataclass(frozen=True, slots=True)
class CountedTissue:
    """The voxels that count and what was left out.

    Parameters
    ----------
    tissue : ndarray of bool, shape (I, J, K)
        May be lesion or reference.
    brain : ndarray of bool, shape (I, J, K)
        Everything inside the skull.
    vessel : ndarray of bool, shape (I, J, K)
        Left out as vessels.
    removed_percent : dict of str to float, %
        Parts of the brain that were left out, by reason; voxels with two reasons count for the first.
    findings : tuple of QualityFinding
        What was odd.
    """

    tissue: BoolArray
    brain: BoolArray
    vessel: BoolArray
    removed_percent: dict[str, float]
    findings: tuple[QualityFinding, ...] = ()


def counted_tissue(maps: PerfusionMaps, preset: Preset, *, masks: TissueMasks | None = None) -> CountedTissue:
    """Leave out CSF, vessels and voxels at the bone.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``; ``cbv``, ``cbf`` and ``baseline`` are used when present.
    preset : Preset
        Limits for CSF and vessels.
    masks : TissueMasks, optional
        From the preparation; without them (finished maps) the brain is where Tmax is a number and
        blood volume or flow are positive.

    Returns
    -------
    CountedTissue
        The tissue.

    Raises
    ------
    InvalidInputError
        If nothing is left.
    """
    brain = _brain(maps, masks)
    slice_axis = next(axis for axis, code in enumerate(axis_codes(maps.affine)) if code in "IS")
    grow = _IN_PLANE_4[slice_axis]
    csf = _csf(maps, masks, preset, brain)
    in_plane_mm = max(size for axis, size in enumerate(voxel_sizes(maps.affine)) if axis != slice_axis)
    if preset.csf_dilation_voxels and in_plane_mm <= _MAX_DILATED_VOXEL_MM and csf.any():
        csf = ndimage.binary_dilation(csf, grow, iterations=preset.csf_dilation_voxels)
    vessel, findings = _vessels(maps, masks, preset, brain)
    bone = np.zeros_like(brain)
    if masks is not None and masks.bone.any():
        bone = ndimage.binary_dilation(masks.bone, grow)
    unknown = ~np.isfinite(maps["tmax"].values)
    tissue = brain.copy()
    removed: dict[str, float] = {}
    total = max(int(brain.sum()), 1)
    for name, mask in (("not_computed", unknown), ("csf", csf), ("vessel", vessel), ("bone_edge", bone)):
        removed[name] = round(100.0 * float((tissue & mask).sum()) / total, 2)
        tissue &= ~mask
    if not tissue.any():
        msg = "No voxel of the maps counts as brain tissue. Check the brain mask and the units of CBV and baseline."
        raise InvalidInputError(msg)
    if (left := 100.0 - sum(removed.values())) < 40.0:
        findings.append(
            QualityFinding(
                "little_tissue",
                "warning",
                f"Only {left:.0f} % of the brain counts as tissue ({_listed(removed)} were left out).",
                "Check the CSF, vessel and bone masks and the scale of the CBV map.",
            )
        )
    return CountedTissue(tissue, brain, vessel, removed, tuple(findings))


def _brain(maps: PerfusionMaps, masks: TissueMasks | None) -> BoolArray:
    if masks is not None:
        return masks.brain.copy()
    brain: BoolArray = np.isfinite(maps["tmax"].values)
    for key in ("cbv", "cbf"):
        if key in maps:
            values = maps[key].values
            brain &= np.isfinite(values) & (np.nan_to_num(values) > 0)
    if "cbv" not in maps and "cbf" not in maps:
        key = "rcbf" if "rcbf" in maps else "tmax"
        brain &= np.nan_to_num(maps[key].values) > 0
    return brain


def _csf(maps: PerfusionMaps, masks: TissueMasks | None, preset: Preset, brain: BoolArray) -> BoolArray:
    if masks is not None:
        return masks.csf.copy()
    if "baseline" not in maps or maps["baseline"].unit != "HU":
        return np.zeros_like(brain)
    baseline = maps["baseline"].values
    dark: BoolArray = brain & np.isfinite(baseline) & (np.nan_to_num(baseline, nan=99.0) < preset.csf_hu)
    return ndimage.binary_opening(dark) if dark.any() else dark


def _vessels(
    maps: PerfusionMaps, masks: TissueMasks | None, preset: Preset, brain: BoolArray
) -> tuple[BoolArray, list[QualityFinding]]:
    vessel = masks.vessel.copy() if masks is not None else np.zeros_like(brain)
    if "cbv" not in maps:
        return vessel, []
    cbv = np.nan_to_num(maps["cbv"].values)
    inside = brain & (cbv > 0)
    if not inside.any():
        return vessel, []
    median = float(np.median(cbv[inside]))
    vessel |= brain & (cbv > preset.vessel_cbv_ratio * median)
    low, high = _PLAUSIBLE_MEDIAN_CBV
    if low <= median <= high:
        return vessel | (brain & (cbv > preset.vessel_cbv)), []
    finding = QualityFinding(
        "cbv_scale_implausible",
        "warning",
        f"The median CBV of the brain is {median:.2f} {maps['cbv'].unit}, so vessels were found relative to it "
        f"and not by the limit of {preset.vessel_cbv:g}.",
        "Check the partial-volume scaling of the AIF; relative maps, Tmax and MTT do not depend on it.",
    )
    return vessel, [finding]


def _listed(removed: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.0f} %" for name, value in removed.items() if value >= 0.5) or "no voxels"
