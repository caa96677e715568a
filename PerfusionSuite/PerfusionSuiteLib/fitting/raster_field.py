# SPDX-License-Identifier: Apache-2.0
"""A field given by values on a raster: they are interpolated between voxels, and nothing is taken from outside the mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

WHITE = tuple(f"white_{name}" for name in PARAMETERS)
GRAY_SHARE = "gray_share"
"""The same of a second explanation of each voxel, where white matter has a residue of its own, and how much the first counts."""

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


def mixed(first: Mapping[str, Any], second: Mapping[str, Any], share: Any) -> dict[str, Any]:
    """Mix two explanations of the same voxels: flow, blood volume and delay by the share of each.

    Parameters
    ----------
    first, second : mapping of str to ndarray or tensor, shape (n,)
        ``flow``, ``mtt`` and ``delay``.
    share : ndarray or tensor, shape (n,)
        How much the first counts.

    Returns
    -------
    dict of ndarray or tensor, shape (n,)
        The same three; the transit time is volume over flow.
    """
    flow = share * first["flow"] + (1.0 - share) * second["flow"]
    volume = share * first["flow"] * first["mtt"] + (1.0 - share) * second["flow"] * second["mtt"]
    return {"flow": flow, "mtt": volume / flow, "delay": share * first["delay"] + (1.0 - share) * second["delay"]}


@dataclass(frozen=True, slots=True)
class White:
    """A second explanation of each voxel, for white matter with a residue of its own.

    Parameters
    ----------
    parameters : ndarray, shape (M, 3)
        In the order of `PARAMETERS`.
    family : str
        Its residue.
    gray_share : ndarray, shape (M,)
        How much the first explanation counts.
    """

    parameters: NDArray[Any]
    family: str
    gray_share: NDArray[Any]


def make_field(
    method: str,
    request: FitRequest,
    parameters: NDArray[Any],
    *,
    family: str,
    dispersion: float = 0.0,
    white: White | None = None,
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
    white : White, optional
        Second explanation; parameters and family are then those of gray matter.
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
    if white is not None:
        columns |= dict(zip(WHITE, np.asarray(white.parameters, np.float32).T, strict=True)) | {GRAY_SHARE: white.gray_share}
        settings = {**(settings or {}), "white_family": white.family}
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
    names, found = _sampled(field, points, progress)
    column = {name: found[:, at] for at, name in enumerate(names)}
    kinds = _kinds(field, column)
    whole = kinds[0][1] if len(kinds) == 1 else mixed(kinds[0][1], kinds[1][1], column[GRAY_SHARE])
    own = {*PARAMETERS, *WHITE, GRAY_SHARE}
    return {**whole, **{name: values for name, values in column.items() if name not in own}}


def explanations_at(field: FittedField, points: FloatArray) -> list[tuple[str, dict[str, Values], Values]]:
    """Return what explains the curves of a field at any points: one explanation, or one each for gray and white matter.

    Parameters
    ----------
    field : FittedField
        Of kind ``raster``.
    points : ndarray, shape (n, 3)
        Voxel coordinates, each within half a voxel of the mask.

    Returns
    -------
    list of (str, dict of ndarray, ndarray)
        Residue, ``flow``, ``mtt`` and ``delay``, and how much it counts, each of shape (n,).
    """
    names, found = _sampled(field, points, None)
    column = {name: found[:, at] for at, name in enumerate(names)}
    share = column.get(GRAY_SHARE, np.ones(len(points), np.float32))
    return [(*kind, weight) for kind, weight in zip(_kinds(field, column), (share, 1.0 - share), strict=False)]


def _kinds(field: FittedField, column: Mapping[str, Values]) -> list[tuple[str, dict[str, Values]]]:
    """Residue and tissue model of each explanation."""
    kinds: list[tuple[tuple[str, ...], str]] = [(PARAMETERS, str(field.settings["family"]))]
    if GRAY_SHARE in column:
        kinds.append((WHITE, str(field.settings["white_family"])))
    return [(family, flow_mtt_delay(np.stack([column[name] for name in names], 1), family)) for names, family in kinds]


def _sampled(field: FittedField, points: FloatArray, progress: ProgressCallback | None) -> tuple[list[str], Values]:
    """Everything that a field holds, interpolated between voxels."""
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
    return names, found


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
