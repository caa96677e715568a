# SPDX-License-Identifier: Apache-2.0
"""Evaluates stored fields of the published methods: parameters anywhere, tissue curves and the arterial curve at any times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...core.fields import FittedField
from ...core.geometry import FloatArray
from ...core.progress import ProgressCallback, no_progress
from ..devices import choose_device
from .fields import Fields, hash_fields, plane_fields
from .maps import limited, parameters_of
from .scan import Clockwork
from .seeds import seeded

BLOCK_POINTS = 1 << 17
CURVES_AT_ONCE = 1 << 12


def learned_settings(settings: Mapping[str, Any], clockwork: Clockwork, factor: float) -> dict[str, Any]:
    """Return what sampling needs to know, as plain values.

    Parameters
    ----------
    settings : mapping
        Complete settings of the method.
    clockwork : Clockwork
        Scales of the fit.
    factor : float, mL s / 100 g / min
        From `core.constants.flow_factor`.

    Returns
    -------
    dict
        For `FittedField.settings`.
    """
    return {
        **settings,
        "factor": factor,
        "family": "box",
        "time_mean_s": clockwork.time_mean_s,
        "time_sd_s": clockwork.time_sd_s,
        "aif_peak": clockwork.peak,
        "aif_baseline": clockwork.aif_baseline,
    }


def parameters_at(
    field: FittedField, points: FloatArray, *, device: str = "auto", progress: ProgressCallback | None = None
) -> dict[str, NDArray[np.float32]]:
    """Evaluate flow, transit time and delay.

    Parameters
    ----------
    field : FittedField
        Of kind ``hash`` or ``slices``.
    points : ndarray, shape (n, 3)
        Voxel coordinates of the field's raster; beyond its edge the edge counts. Between slices that were fitted one by one the
        parameters are interpolated.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    progress : callable, optional
        Called between blocks.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``flow`` 1/s, ``mtt`` and ``delay`` s, within the ranges of the setting ``clip``.
    """
    tell = progress or no_progress
    place = choose_device(device)
    found = np.empty((len(points), 3), np.float32)
    for start in range(0, len(points), BLOCK_POINTS):
        tell(start / len(points), "Sampling the field")
        here = slice(start, start + BLOCK_POINTS)
        found[here] = _mixed(field, points[here], lambda fields, positions: parameters_of(fields, positions), 3, place)
    return limited(found, float(field.settings["factor"]), str(field.settings["clip"]))


def curves_at(field: FittedField, points: FloatArray, times_s: FloatArray, *, device: str = "auto") -> NDArray[np.float32]:
    """Evaluate the fitted tissue curves.

    Parameters
    ----------
    field : FittedField
        Of kind ``hash`` or ``slices``.
    points : ndarray, shape (n, 3)
        Voxel coordinates of the field's raster.
    times_s : ndarray, shape (T,), s
        Any times within the scan.
    device : str
        As for `parameters_at`.

    Returns
    -------
    ndarray, shape (n, T)
        Enhancement in the unit of the arterial input.
    """
    place = choose_device(device)
    times = _scaled(field, times_s).to(place)

    def curves(fields: Fields, positions: Tensor) -> NDArray[np.float32]:
        parts = []
        with torch.no_grad():
            for part in positions.split(CURVES_AT_ONCE):
                z = fields.tac.before_first(times[None], fields.code(part.to(place)))
                parts.append(fields.tac.value(z).view(part.shape[0], -1).cpu())
        return np.asarray(torch.cat(parts).numpy())

    return _mixed(field, points, curves, times.numel(), place) * np.float32(field.settings["aif_peak"])


def aif_at(field: FittedField, times_s: FloatArray, *, device: str = "auto") -> FloatArray:
    """Evaluate the fitted arterial curve.

    Parameters
    ----------
    field : FittedField
        Of kind ``hash`` or ``slices``; of slices the middle one speaks.
    times_s : ndarray, shape (T,), s
        Any times within the scan.
    device : str
        As for `parameters_at`.

    Returns
    -------
    ndarray, shape (T,)
        In the unit of the arterial input.
    """
    place = choose_device(device)
    slices = _fitted_slices(field)
    fields = fields_of(field, None if slices is None else int(slices[len(slices) // 2])).to(place)
    with torch.no_grad():
        curve = fields.artery(_scaled(field, times_s).to(place)).cpu().numpy().astype(np.float64)
    return np.asarray(curve * field.settings["aif_peak"] + field.settings["aif_baseline"])


def fields_of(field: FittedField, slice_number: int | None = None) -> Fields:
    """Build the networks of a stored field.

    Parameters
    ----------
    field : FittedField
        Of kind ``hash`` or ``slices``.
    slice_number : int, optional
        Which slice.

    Returns
    -------
    Fields
        On the CPU.
    """
    generator = seeded(0)
    make = hash_fields if field.kind == "hash" else plane_fields
    fields = make(field.settings, generator)
    at: Any = ... if slice_number is None else int(np.flatnonzero(field.weights["slices"] == slice_number)[0])
    weights = {name: torch.from_numpy(np.array(value[at])) for name, value in field.weights.items() if name != "slices"}
    fields.load_state_dict(weights, strict=False)  # tables of constants are made anew
    return fields


def _scaled(field: FittedField, times_s: FloatArray) -> Tensor:
    scaled = (np.asarray(times_s, np.float64) - field.settings["time_mean_s"]) / field.settings["time_sd_s"]
    return torch.from_numpy(scaled.astype(np.float32))


def _fitted_slices(field: FittedField) -> NDArray[Any] | None:
    return None if field.kind == "hash" else np.asarray(field.weights["slices"])


def volume_positions(points: FloatArray, shape: tuple[int, ...], scale: Any) -> Tensor:
    """Return scaled positions (n, 3) of voxel coordinates, those beyond the raster brought to its edge."""
    inside = np.clip(points, 0.0, np.array(shape, float) - 1.0)
    return torch.from_numpy((inside * np.asarray(scale)).astype(np.float32))


def plane_positions(points: FloatArray, mean: float, sd: float) -> Tensor:
    """Return scaled in-plane positions (n, 2) of voxel coordinates."""
    return torch.from_numpy(((points[:, :2] - mean) / sd).astype(np.float32))


def _mixed(field: FittedField, points: FloatArray, evaluate: Any, width: int, place: torch.device) -> NDArray[np.float32]:
    """Evaluate at points; between two fitted slices the mean weighted by nearness."""
    slices = _fitted_slices(field)
    if slices is None:
        positions = volume_positions(points, field.shape, field.settings["position_scale"])
        return np.asarray(evaluate(fields_of(field).to(place), positions), np.float32)
    positions = plane_positions(points, field.settings["position_mean"], field.settings["position_sd"])
    above = np.clip(np.searchsorted(slices, points[:, 2]), 0, len(slices) - 1)
    below = np.maximum(above - 1, 0)
    gap = np.maximum(slices[above] - slices[below], 1)
    share = np.where(above > below, np.clip((points[:, 2] - slices[below]) / gap, 0.0, 1.0), 1.0)
    result = np.zeros((len(points), width), np.float32)
    for which, weight in ((above, share), (below, 1.0 - share)):
        for at in np.unique(which[weight > 0]):
            here = np.flatnonzero((which == at) & (weight > 0))
            fields = fields_of(field, int(slices[at])).to(place)
            result[here] += weight[here, None].astype(np.float32) * evaluate(fields, positions[torch.from_numpy(here)])
    return result
