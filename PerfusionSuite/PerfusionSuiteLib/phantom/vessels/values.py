# SPDX-License-Identifier: Apache-2.0
"""Values of the vessel simulator: presets, the forest, and the units they are in (lengths mm, times s, flows mm3/s)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.geometry import FloatArray

VERSIONS = {"compiled": 1, "rounds": 2}
"""Of the generator by builder; part of every stored cube, raised whenever the same seed would give another cube."""

TISSUE_DENSITY = 1.0
"""g/mL, so that mL/100 g equals mL/100 mL."""

T1_BLOOD_S = 1.65
"""At 3 T."""

LONGEST_MM = 5.0
NEW_TREE_CHANCE = 0.01
FLOOR_FLOW = 0.5
"""mL/100 g/min; keeps transit times finite."""

PUBLISHED_DURATION_S = 1.45
PUBLISHED_DELAYS_S = (1.025, 1.525, 2.025, 2.525)

Index = NDArray[np.int64]
Exchange = Literal["none", "one-way"]


def response_times() -> FloatArray:
    """Return the times at which the response of a cube is stored, s after the start of labeling.

    Every 0.25 s up to 6 s, and the eight times that the published protocol needs, so that it is exact.
    """
    published = np.array(PUBLISHED_DELAYS_S)
    return np.unique(np.round(np.concatenate([0.25 * np.arange(1, 25), published, published + PUBLISHED_DURATION_S]), 6))


@dataclass(frozen=True, slots=True)
class Preset:
    """What a kind of cube is made of.

    Parameters
    ----------
    name : str
        As given on the command line.
    exchange : {"none", "one-way"}
        Whether labeled water leaves the capillaries.
    tissue_share, ischemia_share : float
        Chance that a cube has gray and white matter, and an ischemic part.
    size_mm : int
        Edge of the cube, 1 mm voxels.
    block : tuple of int
        Picture voxel in mm.
    shear_per_s : tuple of float, 1/s
        Range of the wall shear rate of arteries, drawn on a logarithmic scale for each cube; that of veins is half of it.
    entry_s : tuple of float, s
        Range of the time at which labeled blood enters, drawn for each cube.
    """

    name: str
    exchange: Exchange
    tissue_share: float
    ischemia_share: float
    size_mm: int = 32
    block: tuple[int, int, int] = (2, 2, 4)
    shear_per_s: tuple[float, float] = (300.0, 900.0)
    entry_s: tuple[float, float] = (0.2, 1.2)


PRESETS = {
    "published": Preset("published", "none", 0.0, 0.0),
    "default": Preset("default", "one-way", 0.35, 0.15),
}
"""``published``: uniform regions, no exchange. ``default``: one-way exchange, tissue T1 by region, some tissue-like scenes."""


def preset_named(name: str) -> Preset:
    """Return a preset.

    Parameters
    ----------
    name : str
        One of `PRESETS`.

    Returns
    -------
    Preset
        The preset.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    if name not in PRESETS:
        msg = f"There is no preset '{name}' of cubes. Use {' or '.join(PRESETS)}."
        raise InvalidInputError(msg)
    return PRESETS[name]


@dataclass(frozen=True)
class Forest:
    """Trees of vessels; a node stands for the segment that joins it to its parent.

    Parameters
    ----------
    position : ndarray, shape (n, 3), mm
        Nodes; voxel (i, j, k) of the domain spans i to i + 1 and so on.
    parent : ndarray of int, shape (n,)
        -1 for a root.
    flow : ndarray, shape (n,), mm3/s
        Through the segment; of a root, what enters its tree.
    terminal : ndarray of int, shape (n,)
        Flat index of the voxel that the node serves, -1 for all other nodes.
    """

    position: FloatArray
    parent: Index
    flow: FloatArray
    terminal: Index

    @cached_property
    def length(self) -> FloatArray:
        """Segment lengths in mm, 0 for roots, shape (n,)."""
        joined = np.where(self.parent >= 0, self.parent, np.arange(self.parent.size))
        return np.asarray(np.linalg.norm(self.position - self.position[joined], axis=1))

    @cached_property
    def depth(self) -> Index:
        """Number of segments up to the root, shape (n,)."""
        return np.rint(sum_to_root(self.parent, (self.parent >= 0).astype(float))).astype(np.int64)

    @cached_property
    def root(self) -> Index:
        """Index of each node's root, shape (n,)."""
        ahead = np.where(self.parent >= 0, self.parent, np.arange(self.parent.size))
        while True:
            further = ahead[ahead]
            if np.array_equal(further, ahead):
                return ahead
            ahead = further

    def cost(self) -> float:
        """Return the volume of all vessels up to a constant: sum of length times flow to the power 2/3."""
        return float((self.length * np.cbrt(self.flow) ** 2).sum())

    def radius(self, shear: float) -> FloatArray:
        """Return radii at which the wall shear rate is the same everywhere (Murray's law).

        Parameters
        ----------
        shear : float, 1/s
            Wall shear rate.

        Returns
        -------
        ndarray, shape (n,), mm
            Radii, ``(4 q / (pi shear))^(1/3)``.
        """
        return np.asarray(np.cbrt(4.0 * self.flow / (np.pi * shear)))

    def velocity(self, shear: float) -> FloatArray:
        """Return the mean velocity of the blood in each segment, ``q / (pi r^2)``.

        Parameters
        ----------
        shear : float, 1/s
            Wall shear rate.

        Returns
        -------
        ndarray, shape (n,), mm/s
            A quarter of shear rate times radius: wide vessels are fast.
        """
        return np.asarray(0.25 * shear * self.radius(shear))

    def transit(self, shear: float) -> FloatArray:
        """Return the time that blood of mean velocity spends in each segment.

        Parameters
        ----------
        shear : float, 1/s
            Wall shear rate.

        Returns
        -------
        ndarray, shape (n,), s
            ``length pi r^2 / q``, 0 for roots.
        """
        return np.asarray(self.length * np.pi * self.radius(shear) ** 2 / self.flow)

    def arrival(self, shear: float) -> FloatArray:
        """Return the time of plug flow from the root to each node, shape (n,), s."""
        return sum_to_root(self.parent, self.transit(shear))


def sum_to_root(parent: Index, values: FloatArray) -> FloatArray:
    """Sum values over a node and all its ancestors but the root, by doubling the stride.

    Parameters
    ----------
    parent : ndarray of int, shape (n,)
        -1 for roots.
    values : ndarray, shape (n,)
        What to sum; those of roots are ignored.

    Returns
    -------
    ndarray, shape (n,)
        Sums, 0 for roots.
    """
    own = np.arange(parent.size)
    ahead = np.where(parent >= 0, parent, own)
    total = np.where(parent >= 0, values, 0.0)
    while True:
        total = total + np.where(ahead == own, 0.0, total[ahead])
        further = ahead[ahead]
        if np.array_equal(further, ahead):
            return total
        ahead = further


def levels_of(depth: Index) -> list[Index]:
    """Group nodes by depth, roots first.

    Parameters
    ----------
    depth : ndarray of int, shape (n,)
        See `Forest.depth`.

    Returns
    -------
    list of ndarray of int
        Indices of the nodes of each depth.
    """
    order = np.argsort(depth, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(depth[order])) + 1)


def flow_from_terminals(parent: Index, leaf_flow: FloatArray, depth: Index) -> FloatArray:
    """Add up the flow of all terminals behind each segment.

    Parameters
    ----------
    parent : ndarray of int, shape (n,)
        -1 for roots.
    leaf_flow : ndarray, shape (n,), mm3/s
        Flow of terminals, 0 elsewhere.
    depth : ndarray of int, shape (n,)
        See `Forest.depth`.

    Returns
    -------
    ndarray, shape (n,), mm3/s
        Flow of each segment.
    """
    flow = leaf_flow.copy()
    for nodes in reversed(levels_of(depth)[1:]):
        flow += np.bincount(parent[nodes], flow[nodes], flow.size)
    return flow
