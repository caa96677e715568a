# SPDX-License-Identifier: Apache-2.0
"""A field given by values on a raster: they are interpolated between voxels, and nothing is taken from outside the mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.fields import FittedField
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, no_progress
from .request import FitRequest
from .response_table import centre_share, shape_of

Values = NDArray[np.float32]

PARAMETERS = ("log_volume", "center_s", "log_mtt")
"""What is interpolated: log of blood volume (share of tissue, without hematocrit and density), mean arrival of the residue's
center in s, log of the mean transit time in s."""

BLOCK_POINTS = 1 << 17


def flow_mtt_delay(parameters: NDArray[Any], family: str) -> dict[str, Values]:
    """Turn the parameters of our own fits into those of the tissue model.

    Parameters
    ----------
    parameters : ndarray, shape (n, 3)
        In the order of `PARAMETERS`.
    family : str
        Residue, see `response_table.shape_of`.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``flow`` in 1/s, ``mtt`` and ``delay`` in s.
    """
    log_volume, center, log_mtt = np.asarray(parameters, np.float64).T
    mtt = np.exp(log_mtt)
    found = {"flow": np.exp(log_volume - log_mtt), "mtt": mtt, "delay": center - centre_share(shape_of(family)) * mtt}
    return {name: values.astype(np.float32) for name, values in found.items()}


def make_field(
    method: str,
    request: FitRequest,
    parameters: NDArray[Any],
    *,
    family: str,
    dispersion: float = 0.0,
    extra: Mapping[str, NDArray[Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
    history: Mapping[str, NDArray[np.float64]] | None = None,
) -> FittedField:
    """Wrap the outcome of a fit that has one set of parameters per voxel.

    Parameters
    ----------
    method : str
        Name of the method.
    request : FitRequest
        What was fitted; its maps must have three axes.
    parameters : ndarray, shape (M, 3)
        One row per voxel of the mask, in the order of `PARAMETERS`.
    family : str
        Residue that was used, see `response_table.shape_of`.
    dispersion : float
        Share of a positive delay that is spread by the vessels.
    extra : mapping of str to ndarray, shape (M,), optional
        Further maps that shall be sampled along, such as ``cbf_sd``.
    settings : mapping, optional
        Further plain values to remember.
    history : mapping of str to ndarray, optional
        Loss record.

    Returns
    -------
    FittedField
        Of kind ``raster``.
    """
    mask = request.mask
    i, j, k = mask.shape
    columns = dict(zip(PARAMETERS, np.asarray(parameters, np.float32).T, strict=True)) | dict(extra or {})
    weights = {}
    for name, column in columns.items():
        weights[name] = np.full(mask.shape, np.nan, np.float32)
        weights[name][mask] = column
    affine = np.eye(4) if request.affine is None else np.asarray(request.affine, float)
    known = {**request.settings, **(settings or {}), "factor": request.factor, "family": family, "dispersion": dispersion}
    return FittedField(
        method, "raster", weights, (i, j, k), affine, mask, request.problem.times_s, request.problem.aif, known, history or {}
    )  # fmt: skip


def parameters_at(
    field: FittedField, points: FloatArray, *, device: str = "auto", progress: ProgressCallback | None = None
) -> dict[str, Values]:
    """Interpolate a field.

    Parameters
    ----------
    field : FittedField
        Of kind ``raster``.
    points : ndarray, shape (n, 3)
        Voxel coordinates, each within half a voxel of the mask.
    device : str
        Not used: this is memory-bound.
    progress : callable, optional
        Called between blocks.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``flow`` in 1/s, ``mtt`` and ``delay`` in s, and the maps that were stored along.
    """
    tell = progress or no_progress
    names = [*PARAMETERS, *(name for name in field.weights if name not in PARAMETERS)]
    # Voxels without a value, outside the mask or never fitted, take no part.
    volumes = [np.asarray(field.weights[name], np.float32) for name in names]
    valid = np.logical_and.reduce([np.isfinite(volume) for volume in volumes[:3]]) & field.mask
    table = np.stack([np.where(valid & np.isfinite(volume), volume, 0).reshape(-1) for volume in volumes], axis=1)
    found = np.empty((len(points), len(names)), np.float32)
    for start in range(0, len(points), BLOCK_POINTS):
        tell(start / len(points), "Sampling the field")
        here = slice(start, start + BLOCK_POINTS)
        found[here] = interpolated(table, valid, points[here])
    maps = {name: found[:, at] for at, name in enumerate(names) if name not in PARAMETERS}
    return {**flow_mtt_delay(found[:, :3], str(field.settings["family"])), **maps}


def interpolated(table: Values, valid: NDArray[np.bool_], points: FloatArray) -> Values:
    """Interpolate between the valid voxels around each point, linearly along each axis.

    Parameters
    ----------
    table : ndarray, shape (I*J*K, C)
        Values of all voxels in row-major order, finite everywhere.
    valid : ndarray of bool, shape (I, J, K)
        Voxels that may contribute.
    points : ndarray, shape (n, 3)
        Voxel coordinates.

    Returns
    -------
    ndarray, shape (n, C)
        At a voxel center exactly its value; NaN where no valid voxel is near.
    """
    size = np.array(valid.shape)
    low = np.clip(np.floor(points).astype(np.int64), 0, size - 1)
    rest = np.clip(points - low, 0.0, 1.0)
    usable = valid.reshape(-1)
    total = np.zeros(len(points))
    found = np.zeros((len(points), table.shape[1]))
    for corner in np.ndindex(2, 2, 2):
        at = np.minimum(low + corner, size - 1)
        index = (at[:, 0] * size[1] + at[:, 1]) * size[2] + at[:, 2]
        weight = np.prod(np.where(corner, rest, 1.0 - rest), axis=1) * usable[index]
        found += weight[:, None] * table[index]
        total += weight
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Values = (found / total[:, None]).astype(np.float32)
    return result
