# SPDX-License-Identifier: Apache-2.0
"""From the fields to maps in physical units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...deconvolution.codes import QualityCode
from ...deconvolution.maps import spread
from ..field_sampling import maps_of
from ..request import FitRequest
from .choices import CLIPS
from .fields import Fields

CHUNK = 1 << 14
"""Positions at once: their corners in the hash table then stay in the cache."""


def parameters_of(fields: Fields, positions: Tensor) -> NDArray[np.float32]:
    """Return flow, transit time and delay at positions.

    Parameters
    ----------
    fields : Fields
        The networks.
    positions : Tensor, shape (n, c)
        Scaled, on any device.

    Returns
    -------
    ndarray, shape (n, 3)
        1/s, s, s.
    """
    device = fields.head.device
    chunk = CHUNK if device.type == "cpu" else 1 << 18
    with torch.no_grad():
        parts = [fields.parameters_at(fields.code(part.to(device))).cpu() for part in positions.split(chunk)]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


def limited(parameters: NDArray[np.float32], factor: float, clip: str) -> dict[str, NDArray[np.float32]]:
    """Name the parameters and limit them to their ranges.

    Parameters
    ----------
    parameters : ndarray, shape (n, 3)
        Flow 1/s, transit time s, delay s.
    factor : float, mL s / 100 g / min
        From `core.constants.flow_factor`.
    clip : str
        A key of `CLIPS`. Volume and Tmax follow from the limited parameters, so that the maps agree with each other.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``flow`` 1/s, ``mtt`` and ``delay`` s.
    """
    flow, mtt, delay = parameters.T
    ranges = CLIPS[clip]
    if ranges:
        highest = ranges["cbf"][1] / factor
        flow = np.clip(flow, 0.0, highest)
        mtt, delay = np.clip(mtt, *ranges["mtt"]), np.clip(delay, *ranges["delay"])
    return {"flow": flow.astype(np.float32), "mtt": mtt.astype(np.float32), "delay": delay.astype(np.float32)}


def spread_maps(
    request: FitRequest, rows: NDArray[np.int64], parameters: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Put the maps of fitted voxels into volumes.

    Parameters
    ----------
    request : FitRequest
        What was fitted.
    rows : ndarray of int, shape (N,)
        Fitted rows of the flattened raster.
    parameters : mapping of str to ndarray, shape (N,)
        From `limited`; NaN where a voxel was left out.

    Returns
    -------
    dict of ndarray, shape (I, J, K)
        Maps, NaN elsewhere.
    """
    problem = request.problem
    maps: dict[str, NDArray[np.float32]] = {}
    for name, values in maps_of(parameters, request.factor).items():
        volume = np.full(problem.flat.shape[0], np.nan, np.float32)
        volume[rows] = values
        maps[name] = volume.reshape(problem.shape)
    return maps


def quality_map(request: FitRequest, rows: NDArray[np.int64], left_out: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Say why a voxel has no value.

    Parameters
    ----------
    request : FitRequest
        What was fitted.
    rows : ndarray of int, shape (N,)
        Rows with finite curves.
    left_out : ndarray of bool, shape (N,), optional
        Those of them that were not fitted because their slice has too few.

    Returns
    -------
    ndarray of uint8, shape (I, J, K)
        Codes.
    """
    problem = request.problem
    codes = spread(problem, np.full(problem.count, QualityCode.NOT_FINITE, np.uint8), QualityCode.OUTSIDE_MASK).reshape(-1)
    codes[rows] = QualityCode.OK if left_out is None else np.where(left_out, QualityCode.POOR_FIT, QualityCode.OK)
    return np.asarray(codes.reshape(problem.shape), np.uint8)
