# SPDX-License-Identifier: Apache-2.0
"""The head holder: a trough of thin plastic lined with foam, fixed to the table while the head may move in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .acquisition import Protocol
from .draws import smooth_field, stream
from .head import AIR_HU

SHARE = {"clean": 0.0, "typical": 0.5, "hard": 0.8}
"""How many patients lie in a holder that the scan shows."""

_FINER = 3  # points per voxel and axis: the shell is thinner than a voxel


def draw_holder(seed: int, recipe: str) -> dict[str, Any] | None:
    """Draw the holder of a patient.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.

    Returns
    -------
    dict or None
        Its shape and CT numbers; None where the head lies on something that CT does not show.
    """
    rng = stream(seed, "scanner", 2)
    present = rng.random() < SHARE[recipe]
    drawn = {
        "pad_mm": rng.uniform(6.0, 14.0), "half_width_mm": rng.uniform(98.0, 112.0), "height_mm": rng.uniform(45.0, 95.0),
        "shell_mm": rng.uniform(1.5, 3.5), "shell_hu": rng.uniform(0.0, 150.0), "foam_hu": rng.uniform(-900.0, -720.0),
        "shift_mm": rng.uniform(-4.0, 4.0), "squareness": rng.uniform(2.0, 2.8),
    }  # fmt: skip
    return drawn if present else None


def holder_hu(
    seed: int, drawn: dict[str, Any] | None, protocol: Protocol, head: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Return the holder alone on the grid of the scan; where head and holder meet, the denser of the two is seen.

    Parameters
    ----------
    seed : int
        The patient.
    drawn : dict or None
        From `draw_holder`.
    protocol : Protocol
        The scan.
    head : ndarray, shape (K, J, I), HU
        The still head above air, to lay the holder under it.

    Returns
    -------
    ndarray, shape (K, J, I), HU, or None
        CT numbers above air.
    """
    if drawn is None:
        return None
    filled = np.argwhere(head > -0.4 * AIR_HU)
    if filled.size == 0:
        return None
    lowest = float((_positions(protocol, filled.T[::-1].astype(float))[1]).min())
    rng = stream(seed, "scanner", 3)
    grain = smooth_field(rng, (protocol.shape[1], protocol.shape[0]), 3.0)
    offsets = (np.arange(_FINER) + 0.5) / _FINER - 0.5
    volume = np.zeros(protocol.shape[::-1], np.float32)
    for k in range(protocol.shape[2]):
        j, i = np.meshgrid(_finer(protocol.shape[1], offsets), _finer(protocol.shape[0], offsets), indexing="ij")
        x, y, _ = _positions(protocol, np.stack([i.ravel(), j.ravel(), np.full(i.size, float(k))]))
        fine = _section(drawn, x - drawn["shift_mm"], y - lowest).reshape(i.shape)
        volume[k] = fine.reshape(protocol.shape[1], _FINER, protocol.shape[0], _FINER).mean(axis=(1, 3))
    textured: NDArray[np.float32] = volume * (1.0 + 0.06 * grain).astype(np.float32)
    return textured


def _finer(count: int, offsets: FloatArray) -> FloatArray:
    points: FloatArray = (np.arange(count)[:, None] + offsets).ravel()
    return points


def _positions(protocol: Protocol, index: FloatArray) -> FloatArray:
    """Return RAS positions of voxel indices (i, j, k)."""
    found: FloatArray = protocol.affine[:3, :3] @ index + protocol.affine[:3, 3:]
    return found


def _section(drawn: dict[str, Any], x: FloatArray, y: FloatArray) -> FloatArray:
    """Return CT numbers above air of a section; `y` is measured from the lowest point of the head."""
    half, height, power = drawn["half_width_mm"], drawn["height_mm"], drawn["squareness"]
    above = y + drawn["pad_mm"]
    # A superellipse that is open above: 1 on the outer face of the shell.
    depth = 0.9 * half
    radius = (np.abs(x / half) ** power + np.abs((above - depth) / depth) ** power) ** (1.0 / power)
    inward = (1.0 - radius) * half
    open_side = above < height
    shell = open_side & (inward >= 0) & (inward < drawn["shell_mm"])
    foam = open_side & (inward >= drawn["shell_mm"]) & (inward < drawn["pad_mm"] + 3.0)
    value: FloatArray = shell * (drawn["shell_hu"] - AIR_HU) + foam * (drawn["foam_hu"] - AIR_HU)
    return value
