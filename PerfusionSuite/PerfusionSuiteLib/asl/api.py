# SPDX-License-Identifier: Apache-2.0
"""`quantify`: from difference images to maps of perfusion and arrival time, by any method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslDifference
from ..core.choosing import check_device
from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray
from ..core.progress import ProgressCallback, part_of
from .codes import AslQuality
from .registry import AslMethod, find_method
from .request import AslRequest

_FLAGS = ("usable", "calibrated", "early", "bound", "relative")
_ABSOLUTE = ("cbf_sd", "abv")
"""What says nothing without M0."""


def quantify(
    difference: AslDifference,
    *,
    method: str = "asl-multi",
    tissue: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> dict[str, NDArray[Any]]:
    """Quantify ASL difference images.

    Parameters
    ----------
    difference : AslDifference
        Difference images with M0, delays, efficiency, mask and noise.
    method : str
        A key of `METHODS`.
    tissue : mapping of str to array-like, shape (I, J, K), optional
        Fractions of grey and white matter, ``gm`` and ``wm``, 0 to 1: they decide T1 of tissue.
    settings : mapping, optional
        Options of the method; see `METHODS[method].options`.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``, for methods that can use a GPU.
    progress : callable, optional
        Called with the finished fraction; may raise to cancel.

    Returns
    -------
    dict of ndarray, shape (I, J, K)
        ``cbf`` in mL/100 g/min (without M0 ``rcbf`` instead, in percent of the brain's mean), with several delays ``att`` in s,
        and what else the method tells: ``cbf_sd``, ``att_sd``, ``fit_error``, ``abv``, ``abat``. Float32, NaN where not computed.
        ``quality``: uint8 `AslQuality`.

    Raises
    ------
    InvalidInputError
        If difference images, delays, tissue, method, device or an option cannot be used.
    """
    chosen = find_method(method)
    options = chosen.complete(settings)
    check_device(device)
    _check(difference, chosen)
    request = AslRequest(difference, options, checked_tissue(tissue, difference.mask.shape), device, part_of(progress, 0.0, 1.0))
    found = chosen.fit(request)
    if "relative" in found:
        return _on_grid(found, difference.mask)
    return _whole(found, difference.mask)


def checked_tissue(tissue: Mapping[str, Any] | None, shape: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    """Return fractions of tissue or say what is wrong with them.

    Parameters
    ----------
    tissue : mapping of str to array-like, or None
        ``gm`` and ``wm``.
    shape : tuple of int
        Grid of the scan.

    Returns
    -------
    dict of str to ndarray
        Both fractions, or nothing.

    Raises
    ------
    InvalidInputError
        If one is missing, has another shape or is no fraction.
    """
    if not tissue:
        return {}
    missing = [name for name in ("gm", "wm") if name not in tissue]
    if missing or set(tissue) - {"gm", "wm", "csf"}:
        msg = f"Tissue fractions were given as {', '.join(tissue)}. Give both 'gm' and 'wm'."
        raise InvalidInputError(msg)
    found = {name: np.asarray(tissue[name], np.float32) for name in tissue}
    for name, values in found.items():
        if values.shape != tuple(shape):
            msg = f"The fraction of {name} has {values.shape} voxels but the scan has {tuple(shape)}. Resample it to the scan."
            raise GridMismatchError(msg)
        top = float(np.nanmax(values, initial=0.0))
        if top > 1.01 or float(np.nanmin(values, initial=0.0)) < -0.01:
            msg = f"The fraction of {name} reaches {top:g}; values from 0 to 1 are expected. Divide percent by 100."
            raise InvalidInputError(msg)
    return found


def _check(difference: AslDifference, method: AslMethod) -> None:
    """Refuse what no model can use."""
    delays = np.asarray(difference.post_label_delays_s, float)
    durations = np.asarray(difference.label_durations_s, float)
    if difference.delta_m.ndim != 4 or difference.delta_m.shape[3] != delays.size or delays.size != durations.size:
        msg = (
            f"Difference images of shape {difference.delta_m.shape} do not fit {delays.size} delays and {durations.size} label "
            "durations. Give one of each for every difference image."
        )
        raise InvalidInputError(msg)
    if delays.size < method.min_delays:
        msg = (
            f"The scan has {delays.size} post-label delay{'s' if delays.size > 1 else ''}, but {method.name} needs at least "
            f"{method.min_delays}. Use asl-single{' or asl-multi' if delays.size > 1 else ''}."
        )
        raise InvalidInputError(msg)
    if not (np.isfinite(delays).all() and (delays > 0).all()):
        msg = f"The post-label delays {delays.tolist()} s are not all known. Give each in seconds."
        raise InvalidInputError(msg)
    if not (np.isfinite(durations).all() and (durations > 0).all()):
        what = "bolus duration (BolusCutOffDelayTime)" if difference.labeling == "pasl" else "labeling duration"
        msg = f"The {what} is not known for every delay ({durations.tolist()} s). Give it in seconds."
        raise InvalidInputError(msg)
    if not 0.0 < difference.labeling_efficiency <= 1.0:
        msg = f"A labeling efficiency of {difference.labeling_efficiency:g} is not possible. Give a number between 0 and 1."
        raise InvalidInputError(msg)
    if not difference.mask.any():
        msg = "The brain mask is empty. Give a mask of the brain."
        raise InvalidInputError(msg)


def _on_grid(found: Mapping[str, NDArray[Any]], mask: BoolArray) -> dict[str, NDArray[Any]]:
    """Put values of the voxels of the mask into volumes and say why some have none."""
    codes = quality_codes(found)
    dead = np.isin(codes, (AslQuality.NOT_FINITE, AslQuality.NO_CALIBRATION))
    maps: dict[str, NDArray[Any]] = {}
    for name, values in found.items():
        if name not in _FLAGS and not (found["relative"] and name in _ABSOLUTE):
            volume = np.full(mask.shape, np.nan, np.float32)
            volume[mask] = np.where(dead, np.nan, values)
            maps[name] = volume
    if found["relative"]:
        maps["rcbf"] = _percent_of_mean(maps.pop("cbf"))
    maps["quality"] = np.full(mask.shape, AslQuality.OUTSIDE_MASK, np.uint8)
    maps["quality"][mask] = codes
    return maps


def _percent_of_mean(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Flow in percent of the brain's mean."""
    known = flow[np.isfinite(flow)]
    mean = float(known.mean()) if known.size else 0.0
    return (100.0 * flow / mean if mean > 0 else np.full_like(flow, np.nan)).astype(np.float32)


def _whole(found: Mapping[str, NDArray[Any]], mask: BoolArray) -> dict[str, NDArray[Any]]:
    """Complete maps that a method made for the whole grid."""
    maps = {name: np.where(mask, values, np.nan).astype(np.float32) for name, values in found.items() if name != "quality"}
    given = found.get("quality")
    flow = maps["cbf"] if "cbf" in maps else maps["rcbf"]
    codes = np.where(np.isfinite(flow), AslQuality.OK, AslQuality.NOT_FINITE) if given is None else given
    maps["quality"] = np.where(mask, codes, AslQuality.OUTSIDE_MASK).astype(np.uint8)
    return maps


def quality_codes(found: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return the code of each voxel, the gravest that applies.

    Parameters
    ----------
    found : mapping of str to ndarray, shape (N,)
        What a method found.

    Returns
    -------
    ndarray of uint8, shape (N,)
        `AslQuality`.
    """
    cbf = found["cbf"]
    codes = np.zeros(cbf.shape, np.uint8)
    codes[found.get("early", np.zeros(cbf.shape, bool))] = AslQuality.EARLY_ARRIVAL
    if "cbf_sd" in found:
        codes[found["cbf_sd"] > 0.5 * cbf] = AslQuality.UNCERTAIN
    codes[found.get("bound", np.zeros(cbf.shape, bool))] = AslQuality.AT_BOUND
    codes[cbf <= 0] = AslQuality.NO_SIGNAL
    codes[~found["usable"]] = AslQuality.NOT_FINITE
    codes[~found["calibrated"]] = AslQuality.NO_CALIBRATION
    return codes
