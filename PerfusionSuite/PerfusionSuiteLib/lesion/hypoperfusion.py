# SPDX-License-Identifier: Apache-2.0
"""Which tissue is beyond the threshold of hypoperfusion, and late for its kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, axis_codes, voxel_sizes
from ..core.maps import PerfusionMaps
from .clusters import without_thin_parts
from .normal_timing import NormalTiming
from .presets import Preset


def below(values: NDArray[np.floating], threshold: float, strict: bool) -> BoolArray:
    """Compare downwards; NaN is never below.

    Parameters
    ----------
    values : ndarray
        The map.
    threshold : float
        In the unit of the map.
    strict : bool
        False lets the threshold itself count.

    Returns
    -------
    ndarray of bool
        True where below.
    """
    result: BoolArray = values < threshold if strict else values <= threshold
    return result


def above(values: NDArray[np.floating], threshold: float, strict: bool) -> BoolArray:
    """Compare upwards; NaN is never above.

    Parameters
    ----------
    values : ndarray
        The map.
    threshold : float
        In the unit of the map.
    strict : bool
        False lets the threshold itself count.

    Returns
    -------
    ndarray of bool
        True where above.
    """
    result: BoolArray = values > threshold if strict else values >= threshold
    return result


def hypoperfused_tissue(
    maps: PerfusionMaps, preset: Preset, tissue: BoolArray, offset_s: float, normal: NormalTiming | None
) -> BoolArray:
    """Return the tissue beyond the threshold of hypoperfusion, before small clusters are removed.

    Parameters
    ----------
    maps : PerfusionMaps
        With the map that the preset's rule needs.
    preset : Preset
        Thresholds.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    offset_s : float, s
        Tmax offset of the method.
    normal : NormalTiming or None
        Of the same kind of tissue, for presets that ask for lateness.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Without rims and vessels.
    """
    if preset.hypoperfusion_rule == "tmax":
        late = late_tissue(judged_tmax(maps, preset, tissue), preset, tissue, offset_s, normal)
    elif preset.hypoperfusion_rule == "delay":
        late = tissue & above(maps["delay"].values, preset.delay_s, preset.strict)
    else:
        late = tissue & below(maps["cbf"].values, preset.hypoperfusion_cbf, preset.strict)
    return without_thin_parts(late, maps.affine, preset.thin_mm)


def judged_tmax(maps: PerfusionMaps, preset: Preset, tissue: BoolArray) -> NDArray[np.float32]:
    """Return the Tmax that is compared with thresholds: averaged a little within slices and tissue.

    Parameters
    ----------
    maps : PerfusionMaps
        With ``tmax``.
    preset : Preset
        ``smooth_mm``.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count, and that averages are taken of.

    Returns
    -------
    ndarray of float32, shape (I, J, K), s
        NaN where there is no tissue or no Tmax; the map itself where nothing is averaged, or Tmax does not decide.

    Notes
    -----
    Milliseconds are rounded: sums in single precision must not carry a map of whole seconds across a threshold.
    """
    values = maps["tmax"].values
    if preset.smooth_mm <= 0 or preset.hypoperfusion_rule != "tmax":
        return values
    counted = tissue & np.isfinite(values)
    width = [
        0.0 if code in "IS" else preset.smooth_mm / size
        for code, size in zip(axis_codes(maps.affine), voxel_sizes(maps.affine), strict=True)
    ]
    amount = ndimage.gaussian_filter(np.where(counted, values, 0.0).astype(np.float32), width)
    share = ndimage.gaussian_filter(counted.astype(np.float32), width)
    averaged = np.full(values.shape, np.nan, np.float32)
    averaged[counted] = np.round(amount[counted] / share[counted], 3)
    return averaged


def late_tissue(
    tmax: NDArray[np.floating],
    preset: Preset,
    tissue: BoolArray,
    offset_s: float,
    normal: NormalTiming | None,
    level_s: float | None = None,
) -> BoolArray:
    """Return the tissue whose Tmax is beyond a level and, if the preset asks for it, beyond that of its kind.

    Parameters
    ----------
    tmax : ndarray, shape (I, J, K), s
        From `judged_tmax`.
    preset : Preset
        ``tmax_s``, ``late_by_s`` and ``strict``.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    offset_s : float, s
        Tmax offset of the method.
    normal : NormalTiming or None
        Of the same kind of tissue; not needed where the preset does not ask for it.
    level_s : float, s, optional
        Before the offset; by default the preset's threshold. Levels below that ask for no more than themselves.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Late tissue.

    Notes
    -----
    Normal tissue counts as no later than the threshold: what lies beyond threshold and ``late_by_s`` together is late wherever
    it is, also where most tissue of both sides is ill.
    """
    level = preset.tmax_s if level_s is None else level_s
    late = tissue & above(tmax, level + offset_s, preset.strict)
    if normal is not None and preset.late_by_s > 0 and level >= preset.tmax_s:
        late &= above(tmax - np.minimum(normal.tmax, preset.tmax_s + offset_s), preset.late_by_s, preset.strict)
    return late
