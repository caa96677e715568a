# SPDX-License-Identifier: Apache-2.0
"""Indices of collaterals and delay: CBV index, perfusion collateral index, AIF-VOF delay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray, voxel_volume_ml
from ..core.maps import PerfusionMaps
from ..core.values import InputFunction, LesionMasks
from .midline import mirror
from .presets import Preset

AIF_VOF_DELAY_PERCENTILES_S = {"p5": 4.0, "p50": 6.4, "p95": 9.4}
"""Of 93 clinical curve pairs (ISLES 2018, ct-perfusion-auto 6)."""

COLLATERAL_DELAY_S = (2.0, 6.0)
"""Arterial delay of tissue that lives on collaterals."""

_MIN_VOXELS = 10


def cbv_indices(
    maps: PerfusionMaps, lesions: LesionMasks, preset: Preset, offset_s: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """Compare blood volume in the lesion with that of the other side.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``cbv`` and ``tmax``.
    lesions : LesionMasks
        Masks, plane; ``roi_region`` and ``contra_region`` in ``extra`` when the user gave them.
    preset : Preset
        Cortex percentiles and the Tmax of normal tissue.
    offset_s : float, s
        Added to ``reference_tmax_s`` for the method.

    Returns
    -------
    values : dict
        ``corrected_cbv_index``, ``conventional_cbv_index``, ``contralateral_cbv`` and the numbers they rest on.
    notes : dict of str to str
        Why a value is None.

    Notes
    -----
    corrected = mean CBV(hypoperfusion) / mean CBV(mirrored hypoperfusion in cortex with normal timing);
    a contralateral region of the user replaces the mirror. conventional needs a region on either side.
    """
    names = ("corrected_cbv_index", "conventional_cbv_index", "contralateral_cbv")
    values: dict[str, Any] = dict.fromkeys(names)
    if "cbv" not in maps:
        return values, dict.fromkeys(names, "There is no CBV map.")
    cbv = maps["cbv"].values
    given = lesions.extra.get("contra_region")
    region = _mirrored_cortex(maps, lesions, preset, offset_s) if given is None else given & lesions.tissue
    lesion_mean, lesion_count = _mean(cbv, lesions.hypoperfusion & lesions.tissue)
    normal_mean, normal_count = _mean(cbv, region)
    notes: dict[str, str] = {}
    if not lesions.hypoperfusion.any():
        notes["corrected_cbv_index"] = "There is no hypoperfusion."
    if normal_mean is None or normal_count < _MIN_VOXELS or normal_mean <= 0:
        normal_mean = None
        reason = f"Only {normal_count} voxels of contralateral tissue could be compared."
        notes |= {"contralateral_cbv": reason, "corrected_cbv_index": notes.get("corrected_cbv_index", reason)}
    values["contralateral_cbv"] = normal_mean
    values["corrected_cbv_index"] = _ratio(lesion_mean, normal_mean)
    roi = lesions.extra.get("roi_region")
    if roi is None or given is None:
        notes["conventional_cbv_index"] = "It needs a cortical region on either side (roi_mask and contra_mask)."
    else:
        values["conventional_cbv_index"] = _ratio(_mean(cbv, roi & lesions.tissue)[0], normal_mean)
    values["cbv_index"] = {
        "hypoperfusion_cbv": lesion_mean,
        "hypoperfusion_voxels": lesion_count,
        "contralateral_cbv": normal_mean,
        "contralateral_voxels": normal_count,
        "contralateral_from": "mirror" if given is None else "mask",
    }
    return values, notes


def relative_blood_volume(maps: PerfusionMaps, lesions: LesionMasks) -> tuple[dict[str, Any], dict[str, str]]:
    """Compare blood volume in the hypoperfused and in the late tissue with normal tissue.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``rcbv`` (%) and ``delay``.
    lesions : LesionMasks
        The masks.

    Returns
    -------
    values : dict
        ``rcbv_hypoperfusion_percent``: mean CBV of the hypoperfused tissue in % of the reference tissue (a hundredth of it is
        what RAPID calls CBV index); ``collateral_index_ml``: the perfusion collateral index, volume with an arterial delay of
        2 to 6 s times its mean relative CBV; ``collateral_index``: the two factors.
    notes : dict of str to str
        Why a value is None.

    Notes
    -----
    Volume times relative CBV at an arterial delay of 2 to 6 s: PubMed Central PMC7410580 (2020), for MR perfusion.
    """
    names = ("rcbv_hypoperfusion_percent", "collateral_index_ml")
    values: dict[str, Any] = dict.fromkeys((*names, "collateral_index"))
    notes: dict[str, str] = {}
    if "rcbv" not in maps or not np.isfinite(maps["rcbv"].values).any():
        return values, dict.fromkeys(names, "There is no CBV map, or no normal CBV to compare it with.")
    rcbv = maps["rcbv"].values
    values[names[0]], _ = _mean(rcbv, lesions.hypoperfusion & lesions.tissue)
    if values[names[0]] is None:
        notes[names[0]] = "There is no hypoperfusion."
    if "delay" not in maps:
        return values, notes | {names[1]: "There is no map of the arterial delay."}
    delay = maps["delay"].values
    mean, count = _mean(rcbv, lesions.tissue & (delay >= COLLATERAL_DELAY_S[0]) & (delay <= COLLATERAL_DELAY_S[1]))
    volume = count * voxel_volume_ml(maps.affine)
    values["collateral_index_ml"] = 0.0 if mean is None else volume * mean / 100.0
    values["collateral_index"] = {"delay_s": list(COLLATERAL_DELAY_S), "volume_ml": round(volume, 4), "rcbv_percent": mean}
    return values, notes


def aif_vof_delay(aif: InputFunction | None, vof: InputFunction | None) -> float | None:
    """Return the time from the peak of the artery to that of the vein.

    Parameters
    ----------
    aif, vof : InputFunction or None
        The curves.

    Returns
    -------
    float, s
        None without both curves.
    """
    if aif is None or vof is None:
        return None
    return peak_time(vof.times_s, vof.values) - peak_time(aif.times_s, aif.values)


def peak_time(times_s: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Return the time of the maximum, between samples by a parabola through three of them.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Sample times, not necessarily uniform.
    values : ndarray, shape (T,)
        The curve.

    Returns
    -------
    float, s
        Time of the maximum.
    """
    at = int(np.argmax(values))
    if at in (0, len(values) - 1):
        return float(times_s[at])
    t, y = np.asarray(times_s[at - 1 : at + 2], float), np.asarray(values[at - 1 : at + 2], float)
    left, right = (y[1] - y[0]) / (t[1] - t[0]), (y[2] - y[1]) / (t[2] - t[1])
    if left == right:
        return float(t[1])
    # The parabola's slope is linear in time: left at the middle of the first interval, right at that of the second.
    first, second = 0.5 * (t[0] + t[1]), 0.5 * (t[1] + t[2])
    return float(first + left * (second - first) / (left - right))


def _mirrored_cortex(maps: PerfusionMaps, lesions: LesionMasks, preset: Preset, offset_s: float) -> BoolArray:
    cbv, tissue = maps["cbv"].values, lesions.tissue & np.isfinite(maps["cbv"].values)
    if not tissue.any():
        return tissue
    low, high = np.percentile(cbv[tissue], preset.cortex_percentiles)
    normal = tissue & (cbv >= low) & (cbv <= high) & (maps["tmax"].values <= preset.reference_tmax_s + offset_s)
    other_side: BoolArray = mirror(lesions.hypoperfusion, maps.affine, lesions.midplane) & ~lesions.hypoperfusion
    result: BoolArray = normal & other_side
    return result


def _mean(values: NDArray[np.floating], mask: BoolArray) -> tuple[float | None, int]:
    inside = values[mask]
    inside = inside[np.isfinite(inside)]
    return (float(inside.mean(dtype=np.float64)), int(inside.size)) if inside.size else (None, 0)


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None
