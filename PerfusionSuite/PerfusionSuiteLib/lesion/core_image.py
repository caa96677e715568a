# SPDX-License-Identifier: Apache-2.0
"""What a network that draws infarct cores sees of a patient: maps relative to normal tissue, and the side it may draw on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.maps import PerfusionMaps
from .midline import side_distance
from .reference import normal_value

LARGEST = 3.0
"""Inputs are cut here, in units of normal tissue (flow, volume) or of 10 s (Tmax): vessels tell nothing about infarction."""

TMAX_UNIT_S = 10.0


def _relative(values: NDArray[np.floating], reference: BoolArray) -> NDArray[np.floating]:
    normal = normal_value(values, reference, "median")
    if not normal > 0:
        msg = f"The normal value of a map is {normal:.3g}, so a network has nothing to refer to. Check AIF and normal region."
        raise InvalidInputError(msg)
    return values / np.float32(normal)


def _late(values: NDArray[np.floating], _: BoolArray) -> NDArray[np.floating]:
    return values / np.float32(TMAX_UNIT_S)


INPUTS: Mapping[str, tuple[str, Callable[[NDArray[np.floating], BoolArray], NDArray[np.floating]]]] = MappingProxyType(
    {"rcbf": ("cbf", _relative), "rcbv": ("cbv", _relative), "tmax": ("tmax", _late)}
)
"""Name of an input: the map it is made of, and how. The published network sees ``rcbf`` alone (Fast and robust CTP, 2025)."""


def core_image(maps: PerfusionMaps, reference: BoolArray, names: Sequence[str]) -> NDArray[np.float32]:
    """Return the channels that a network sees.

    Parameters
    ----------
    maps : PerfusionMaps
        With the maps that the inputs are made of (``cbf`` or, of any scale, ``rcbf``).
    reference : ndarray of bool, shape (I, J, K)
        Normal tissue, by default of the healthy hemisphere.
    names : sequence of str
        Of `INPUTS`.

    Returns
    -------
    ndarray, shape (len(names), I, J, K)
        1 in normal tissue (flow, volume) or at 10 s (Tmax); 0 where nothing was measured, outside of the brain above all.

    Raises
    ------
    InvalidInputError
        If an input is unknown, its map is missing, or normal tissue has no value.
    """
    channels = np.zeros((len(names), *maps.shape), np.float32)
    for channel, name in zip(channels, names, strict=True):
        if name not in INPUTS:
            msg = f"There is no network input '{name}'. Use {', '.join(INPUTS)}."
            raise InvalidInputError(msg)
        key, made = INPUTS[name]
        source = maps.get(key) or maps.get(f"r{key}")
        if source is None:
            msg = f"The network of the infarct core sees {key}, which is missing. Compute or load this map."
            raise InvalidInputError(msg)
        channel[...] = np.clip(np.nan_to_num(made(source.values, reference), nan=0.0), 0.0, LARGEST)
    return channels


def affected_half(tissue: BoolArray, affine: FloatArray, midplane: FloatArray, side: str, cbf: NDArray[np.floating]) -> BoolArray:
    """Return where a core may lie.

    Parameters
    ----------
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    side : {"left", "right", "bilateral", "none"}
        The affected side; without one (no hypoperfusion) it is the side of lower median flow.
    cbf : ndarray, shape (I, J, K)
        Flow of any scale.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Everything when both sides are affected.
    """
    if side == "bilateral":
        return np.ones(tissue.shape, bool)
    distance = side_distance(tissue.shape, affine, midplane)
    halves = {"left": distance < 0, "right": distance > 0}
    if side not in halves:
        inside = {name: cbf[half & tissue & np.isfinite(cbf)] for name, half in halves.items()}
        flow = {name: float(np.median(values)) if values.size else np.inf for name, values in inside.items()}
        side = min(flow, key=lambda name: flow[name])
    return halves[side]
