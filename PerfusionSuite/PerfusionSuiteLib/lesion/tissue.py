# SPDX-License-Identifier: Apache-2.0
"""Which voxels may count as lesion or as reference (ct-perfusion-auto 15.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, axis_codes, voxel_sizes
from ..core.maps import PerfusionMaps
from ..core.values import TissueMasks
from .presets import Preset

_PLAUSIBLE_MEDIAN_CBV = (1.0, 5.0)
_MAX_DILATED_VOXEL_MM = 1.2
"""Fluid in finished maps is widened by a voxel; on coarser grids that would take away much of the cortex."""
_MOSTLY_VESSEL_RATIO = 4.5
"""Blood enhances some 20 to 25 times as much as tissue, so a fifth of a voxel being vessel gives this."""

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
    removed : dict of str to ndarray of bool, shape (I, J, K)
        The voxels that were left out, by reason; a voxel may have several.
    findings : tuple of QualityFinding
        What was odd.
    """

    tissue: BoolArray
    brain: BoolArray
    vessel: BoolArray
    removed_percent: dict[str, float]
    removed: dict[str, BoolArray]
    findings: tuple[QualityFinding, ...] = ()


def counted_tissue(maps: PerfusionMaps, preset: Preset, *, masks: TissueMasks | None = None) -> CountedTissue:
    """Leave out CSF, vessels and bone.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``; ``cbv``, ``cbf`` and ``baseline`` are used when present.
    preset : Preset
        Limits for CSF and vessels in finished maps.
    masks : TissueMasks, optional
        From the preparation, which decide alone. Without them (finished maps) the brain is where Tmax is a number and
        blood volume or flow are positive, and density and blood volume tell fluid and vessels.

    Returns
    -------
    CountedTissue
        The tissue.

    Raises
    ------
    InvalidInputError
        If nothing is left.
    """
    findings = _scale_findings(maps, brain := _brain(maps, masks))
    if masks is None:
        csf, vessel, bone = _dark_fluid(maps, preset, brain), _rich_in_blood(maps, preset, brain), np.zeros_like(brain)
    else:  # no margins: they would cost more cortex than fluid and bone
        csf, vessel, bone = masks.csf, _mostly_vessel(maps, masks), masks.bone
    unknown = ~np.isfinite(maps["tmax"].values)
    tissue = brain.copy()
    percent: dict[str, float] = {}
    removed = {"not_computed": unknown, "csf": csf, "vessel": vessel, "bone": bone}
    total = max(int(brain.sum()), 1)
    for name, mask in removed.items():
        percent[name] = round(100.0 * float((tissue & mask).sum()) / total, 2)
        tissue &= ~mask
    if not tissue.any():
        msg = "No voxel of the maps counts as brain tissue. Check the brain mask and the units of CBV and baseline."
        raise InvalidInputError(msg)
    if (left := 100.0 - sum(percent.values())) < 40.0:
        findings.append(
            QualityFinding(
                "little_tissue",
                "warning",
                f"Only {left:.0f} % of the brain counts as tissue ({_listed(percent)} were left out).",
                "Check the CSF, vessel and bone masks and the scale of the CBV map.",
            )
        )
    return CountedTissue(tissue, brain, vessel, percent, removed, tuple(findings))


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


def _dark_fluid(maps: PerfusionMaps, preset: Preset, brain: BoolArray) -> BoolArray:
    """Fluid of finished maps by density, with a margin on fine grids."""
    if "baseline" not in maps or maps["baseline"].unit != "HU":
        return np.zeros_like(brain)
    baseline = maps["baseline"].values
    dark: BoolArray = brain & np.isfinite(baseline) & (np.nan_to_num(baseline, nan=99.0) < preset.csf_hu)
    slice_axis = next(axis for axis, code in enumerate(axis_codes(maps.affine)) if code in "IS")
    in_plane_mm = max(size for axis, size in enumerate(voxel_sizes(maps.affine)) if axis != slice_axis)
    csf = ndimage.binary_opening(dark) if dark.any() else dark
    if preset.csf_dilation_voxels and in_plane_mm <= _MAX_DILATED_VOXEL_MM and csf.any():
        csf = ndimage.binary_dilation(csf, _IN_PLANE_4[slice_axis], iterations=preset.csf_dilation_voxels)
    return csf


def _median_cbv(maps: PerfusionMaps, brain: BoolArray) -> float | None:
    if "cbv" not in maps:
        return None
    cbv = np.nan_to_num(maps["cbv"].values)
    inside = brain & (cbv > 0)
    return float(np.median(cbv[inside])) if inside.any() else None


def _plausible(median_cbv: float) -> bool:
    return _PLAUSIBLE_MEDIAN_CBV[0] <= median_cbv <= _PLAUSIBLE_MEDIAN_CBV[1]


def _rich_in_blood(maps: PerfusionMaps, preset: Preset, brain: BoolArray) -> BoolArray:
    """Vessels of finished maps by blood volume: relative, and absolute where its scale can be right."""
    median = _median_cbv(maps, brain)
    if median is None:
        return np.zeros_like(brain)
    limit = preset.vessel_cbv_ratio * median
    if _plausible(median):
        limit = min(limit, preset.vessel_cbv)
    vessel: BoolArray = brain & (np.nan_to_num(maps["cbv"].values) > limit)
    return vessel


def _mostly_vessel(maps: PerfusionMaps, masks: TissueMasks) -> BoolArray:
    """Vessels without cortex through which a small one runs. Signal of MR, which shows no bone, does not tell their share."""
    median = _median_cbv(maps, masks.tissue)
    if median is None or not masks.bone.any():
        return masks.vessel.copy()
    vessel: BoolArray = masks.vessel & (np.nan_to_num(maps["cbv"].values, nan=np.inf) > _MOSTLY_VESSEL_RATIO * median)
    return vessel


def _scale_findings(maps: PerfusionMaps, brain: BoolArray) -> list[QualityFinding]:
    """Say when absolute blood volumes cannot be right."""
    median = _median_cbv(maps, brain)
    if median is None or _plausible(median):
        return []
    low, high = _PLAUSIBLE_MEDIAN_CBV
    unit = maps["cbv"].unit
    text = f"The median CBV of the brain is {median:.2f} {unit}; {low:g} to {high:g} are plausible, so absolute values are off."
    advice = "Check the partial-volume scaling of the AIF; relative maps, Tmax and MTT do not depend on it."
    return [QualityFinding("cbv_scale_implausible", "warning", text, advice)]


def _listed(percent: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.0f} %" for name, value in percent.items() if value >= 0.5) or "no voxels"
