# SPDX-License-Identifier: Apache-2.0
"""Sampling a fitted field: maps on any grid, fitted tissue curves and the fitted arterial curve at any times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.fields import FittedField
from ..core.geometry import BoolArray, FloatArray, check_affine
from ..core.progress import ProgressCallback
from ..core.quantities import QUANTITIES
from .curve_model import CurveModel
from .sampling_grid import sampling_grid

KINDS: Mapping[str, str] = MappingProxyType(
    {"raster": "raster_field", "lattice": "lattice_field", "hash": "published.sampling", "slices": "published.sampling"}
)
"""Which file of this folder knows a kind of field: its ``parameters_at(field, points, device=, progress=)`` gives ``flow``,
``mtt`` and ``delay`` (and further maps); ``curves_at`` and ``aif_at`` are there where a method learned curves of its own."""

CURVES_AT_ONCE = 1 << 16


def maps_of(parameters: Mapping[str, NDArray[np.float32]], factor: float) -> dict[str, NDArray[np.float32]]:
    """Turn parameters of the tissue model into maps.

    Parameters
    ----------
    parameters : mapping of str to ndarray
        ``flow`` in 1/s, ``mtt`` and ``delay`` in s; further quantities are passed on.
    factor : float, mL s / 100 g / min
        From `core.constants.flow_factor`.

    Returns
    -------
    dict of ndarray
        ``cbf`` in mL/100 g/min, ``cbv`` in mL/100 g, ``mtt``, ``delay``, ``tmax`` = delay + MTT / 2 in s, and the others.
    """
    flow, mtt, delay = (np.asarray(parameters[name], np.float64) for name in ("flow", "mtt", "delay"))
    cbf = factor * flow
    found = {"cbf": cbf, "cbv": cbf * mtt / 60.0, "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt}
    more = {name: values for name, values in parameters.items() if name in QUANTITIES and name not in found}
    return {name: np.asarray(values, np.float32) for name, values in {**found, **more}.items()}


def sample(
    field: FittedField,
    *,
    affine: Any = None,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: Any = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Evaluate a fitted field on its own grid or any other one.

    Parameters
    ----------
    field : FittedField
        From `fitting.fit` or `fitting.load_field`.
    affine, shape, spacing_mm : optional
        The grid, see `sampling_grid.sampling_grid`: nothing for the field's own one; ``spacing_mm`` or ``shape`` alone for the
        same field of view; affine and shape for any grid, oblique ones included.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``, for fields with large networks.
    progress : callable, optional
        Called between blocks; may raise to cancel.

    Returns
    -------
    dict of ndarray, shape (I, J, K)
        Maps by quantity, float32, NaN where the field was not fitted.

    Raises
    ------
    InvalidInputError
        If the grid cannot be used.
    """
    grid_affine, grid_shape = sampling_grid(field, affine=affine, shape=shape, spacing_mm=spacing_mm)
    inside, points = _points(field, grid_affine, grid_shape)
    parameters = _forward(field, "parameters_at")(field, points, device=device, progress=progress)
    maps = {}
    for name, values in maps_of(parameters, float(field.settings["factor"])).items():
        maps[name] = np.full(grid_shape, np.nan, np.float32)
        maps[name][inside] = values
    return maps


def fitted_curves(
    field: FittedField,
    *,
    times_s: Any = None,
    affine: Any = None,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: Any = None,
    mask: Any = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> tuple[NDArray[np.float32], FloatArray]:
    """Return the tissue curves that a fit describes the scan by.

    Parameters
    ----------
    field : FittedField
        From `fitting.fit` or `fitting.load_field`.
    times_s : array-like, shape (T,), s, optional
        Times within the scan; its own frame times by default.
    affine, shape, spacing_mm : optional
        The grid as for `sample`.
    mask : array-like of bool, shape (I, J, K), optional
        Only curves of these voxels of the grid.
    device : str
        As for `sample`.
    progress : callable, optional
        Called between blocks; may raise to cancel.

    Returns
    -------
    curves : ndarray, shape (I, J, K, T)
        Enhancement in the unit of the arterial input, float32, NaN where the field was not fitted or not asked for.
    times_s : ndarray, shape (T,), s
        Their times.

    Raises
    ------
    InvalidInputError
        If times or grid cannot be used.
    """
    times = check_curve_times(field, times_s)
    grid_affine, grid_shape = sampling_grid(field, affine=affine, shape=shape, spacing_mm=spacing_mm)
    inside, points = _points(field, grid_affine, grid_shape, mask)
    make = _curve_maker(field, points, times, device)
    curves = np.full((*grid_shape, times.size), np.nan, np.float32)
    found = np.empty((len(points), times.size), np.float32)
    for start in range(0, len(points), CURVES_AT_ONCE):
        if progress is not None:
            progress(start / len(points), "Fitted curves")
        here = slice(start, start + CURVES_AT_ONCE)
        found[here] = make(here)
    curves[inside] = found
    return curves, times


def fitted_aif(field: FittedField, times_s: Any = None, *, device: str = "auto") -> tuple[FloatArray, FloatArray]:
    """Return the arterial curve that a fit used or learned.

    Parameters
    ----------
    field : FittedField
        From `fitting.fit` or `fitting.load_field`.
    times_s : array-like, shape (T,), s, optional
        Times within the scan; its own frame times by default.
    device : str
        As for `sample`.

    Returns
    -------
    curve, times_s : ndarray, shape (T,)
        The arterial curve in the unit of the concentration, and its times.

    Raises
    ------
    InvalidInputError
        If the times lie outside the scan.
    """
    times = check_curve_times(field, times_s)
    own = getattr(_module(field), "aif_at", None)
    if own is not None:
        return np.asarray(own(field, times, device=device), np.float64), times
    values = field.aif if field.fitted_aif is None else field.fitted_aif
    return np.asarray(PchipInterpolator(field.times_s, values)(times), np.float64), times


def check_curve_times(field: FittedField, times_s: Any = None) -> FloatArray:
    """Return times at which a field can say something.

    Parameters
    ----------
    field : FittedField
        The field.
    times_s : array-like, shape (T,), s, optional
        Wanted times; the frame times by default.

    Returns
    -------
    ndarray, shape (T,), s
        Strictly increasing times.

    Raises
    ------
    InvalidInputError
        If they do not increase or leave the scan.
    """
    if times_s is None:
        return np.asarray(field.times_s, np.float64)
    times = np.atleast_1d(np.asarray(times_s, np.float64))
    first, last = float(field.times_s[0]), float(field.times_s[-1])
    if times.ndim != 1 or not times.size or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        msg = "The times of fitted curves must be a list of increasing seconds. Correct them."
        raise InvalidInputError(msg)
    if times[0] < first - 1e-6 or times[-1] > last + 1e-6:
        msg = f"Times from {times[0]:g} s to {times[-1]:g} s leave the scan ({first:g} s to {last:g} s). Choose times within it."
        raise InvalidInputError(msg)
    return np.clip(times, first, last)


def _module(field: FittedField) -> ModuleType:
    return import_module(f".{KINDS[field.kind]}", __package__)


def _forward(field: FittedField, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(_module(field), name)
    return function


def _curve_maker(
    field: FittedField, points: FloatArray, times: FloatArray, device: str
) -> Callable[[slice], NDArray[np.float32]]:
    """Return what computes the curves of a part of the points."""
    own = getattr(_module(field), "curves_at", None)
    if own is not None:
        return lambda here: np.asarray(own(field, points[here], times, device=device), np.float32)
    explain = getattr(_module(field), "explanations_at", None)
    if explain is None:
        parameters = _forward(field, "parameters_at")(field, points, device=device)
        kinds = [(str(field.settings.get("family", "box")), parameters, np.ones(len(points), np.float32))]
    else:
        kinds = explain(field, points)
    dispersion = float(field.settings.get("dispersion", 0.0))
    models = [CurveModel(field.times_s, field.aif, family, dispersion) for family, _, _ in kinds]

    def make(here: slice) -> NDArray[np.float32]:
        parts = [
            weight[here, None] * model.curves(values["flow"][here], values["mtt"][here], values["delay"][here], times)
            for model, (_, values, weight) in zip(models, kinds, strict=True)
        ]
        return np.asarray(np.sum(parts, axis=0), np.float32)

    return make


def _points(
    field: FittedField, affine: FloatArray, shape: tuple[int, int, int], mask: Any = None
) -> tuple[BoolArray, FloatArray]:
    """Voxels of a grid at which the field says something, and where they lie in voxels of the field."""
    wanted = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
    if wanted.shape != shape:
        msg = f"The mask has shape {wanted.shape} but the grid has shape {shape}. Resample the mask to the grid."
        raise GridMismatchError(msg)
    index = np.argwhere(wanted)
    to_field = np.linalg.inv(check_affine(field.affine)) @ affine
    points = index @ to_field[:3, :3].T + to_field[:3, 3]
    whole = np.rint(points)
    # Centers of voxels shall stay centers: rounding errors of the geometry must not mix neighbors.
    points = np.where(np.abs(points - whole) < 1e-5, whole, points)
    nearest = np.floor(points + 0.5).astype(np.int64)
    fits: BoolArray = np.asarray(((nearest >= 0) & (nearest < np.array(field.shape))).all(axis=1))
    fits[fits] = field.mask[tuple(nearest[fits].T)]
    inside = np.zeros(shape, bool)
    inside[tuple(index[fits].T)] = True
    return inside, points[fits]
