# SPDX-License-Identifier: Apache-2.0
"""One simulated cube of tissue: what an ASL scanner would see of it, and its true perfusion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.geometry import FloatArray
from .deposit import Grid
from .forest import grow
from .regions import Scene, make_scene
from .transport import arterial_label, capillary_label
from .values import TISSUE_DENSITY, Forest, Preset, preset_named, response_times
from .veins import venous_label

_VENOUS_SHEAR = 0.5
_ENTRY_SPREAD_S, _FIRST_ENTRY_S = 0.12, 0.05


@dataclass(frozen=True, slots=True)
class Cube:
    """A simulated cube.

    Parameters
    ----------
    response : ndarray, shape (I, J, K, T), mL/g
        Label density under a bolus that never ends; see `protocol.signal`.
    perfusion : ndarray, shape (I, J, K), mL/100 g/min
        The truth, averaged over picture voxels.
    arrival_s : ndarray, shape (I, J, K), s
        Flow-weighted mean plug-flow arrival from the start of labeling to the capillaries, NaN without tissue.
    times_s : ndarray, shape (T,), s
        Since the start of labeling.
    kind : str
        Of the scene.
    """

    response: NDArray[np.float32]
    perfusion: NDArray[np.float32]
    arrival_s: NDArray[np.float32]
    times_s: FloatArray
    kind: str


@dataclass(frozen=True, slots=True)
class Vasculature:
    """What a cube was made of.

    Parameters
    ----------
    arteries, veins : Forest
        Trees.
    shear : float, 1/s
        Wall shear rate of arteries; that of veins is half of it.
    entry_s : ndarray, shape (arterial nodes,), s
        When labeled blood enters at each node's root.
    labels : dict of str to ndarray, shape (voxels, T), mm3
        Blood-equivalents: ``arteries``, ``tissue`` (with capillaries), ``veins``.
    """

    arteries: Forest
    veins: Forest
    shear: float
    entry_s: FloatArray
    labels: dict[str, FloatArray]


def make_cube(seed: int, preset: str | Preset = "default", *, times_s: FloatArray | None = None, builder: str = "auto") -> Cube:
    """Simulate a cube; a pure function of the generator's version, the seed, the preset and the builder.

    Parameters
    ----------
    seed : int
        One seed, one cube.
    preset : str or Preset
        ``published`` or ``default``.
    times_s : ndarray, shape (T,), s, optional
        When pictures are taken, at most 6 s; by default those that files hold.
    builder : {"auto", "compiled", "rounds"}
        With numba or numpy; other trees of the same kind.

    Returns
    -------
    Cube
        Response and truth.
    """
    chosen = preset_named(preset) if isinstance(preset, str) else preset
    scene = make_scene(chosen, np.random.default_rng([seed, 0]))
    return simulate(scene, chosen, seed, response_times() if times_s is None else np.asarray(times_s, float), builder)[0]


def simulate(scene: Scene, preset: Preset, seed: int, times_s: FloatArray, builder: str = "auto") -> tuple[Cube, Vasculature]:
    """Grow vessels into tissue and send labeled blood through them.

    Parameters
    ----------
    scene : Scene
        The tissue.
    preset : Preset
        Exchange and picture voxel.
    seed : int
        Of everything but the tissue.
    times_s : ndarray, shape (T,), s
        When pictures are taken.
    builder : {"auto", "compiled", "rounds"}
        With numba or numpy.

    Returns
    -------
    Cube
        Response and truth.
    Vasculature
        Vessels and the label in each compartment.
    """
    need = scene.perfusion * TISSUE_DENSITY / 6000.0
    grid = Grid((preset.size_mm,) * 3, preset.block)
    arteries = grow(need, np.random.default_rng([seed, 1]), builder=builder)
    veins = grow(need, np.random.default_rng([seed, 2]), builder=builder)
    rng = np.random.default_rng([seed, 3])
    slowest, fastest = preset.shear_per_s
    shear = float(slowest * (fastest / slowest) ** rng.random())
    usual = rng.uniform(*preset.entry_s)
    entry = np.maximum(_FIRST_ENTRY_S, usual + _ENTRY_SPREAD_S * rng.standard_normal(arteries.parent.size))[arteries.root]
    terminal = np.flatnonzero(arteries.terminal >= 0)
    voxel = arteries.terminal[terminal]
    flow, arrival = arteries.flow[terminal], arteries.arrival(shear)[terminal]
    held, outflow = capillary_label(
        flow, arrival, entry[terminal], scene.t1_tissue_s.ravel()[voxel], preset.exchange, times_s, rng
    )
    row = np.full(need.size, -1, np.int64)
    row[voxel] = np.arange(voxel.size)
    where = grid.of_voxels(voxel)
    labels = {
        "arteries": arterial_label(arteries, shear, entry, times_s, grid),
        "tissue": grid.gather(where, held),
        "veins": venous_label(veins, _VENOUS_SHEAR * shear, outflow, row, times_s, grid, builder=builder),
    }
    response = sum(labels.values()) / (TISSUE_DENSITY * grid.block_mm3)
    sums = grid.gather(where, np.stack([flow, flow * (entry[terminal] + arrival)], axis=1))
    with np.errstate(invalid="ignore"):
        mean_arrival = sums[:, 1] / sums[:, 0]
    cube = Cube(
        np.asarray(response, np.float32).reshape(*grid.pictures, times_s.size),
        grid.average(scene.perfusion).astype(np.float32),
        mean_arrival.reshape(grid.pictures).astype(np.float32),
        times_s,
        scene.kind,
    )
    return cube, Vasculature(arteries, veins, shear, entry, labels)
