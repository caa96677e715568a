# SPDX-License-Identifier: Apache-2.0
"""Grow trees that serve every voxel at the least vessel volume (constrained constructive optimisation)."""

from __future__ import annotations

import numpy as np

from ...core.errors import NumericalError
from ...core.geometry import FloatArray
from .acceleration import use_compiler
from .forest_rounds import grow_in_rounds
from .values import LONGEST_MM, NEW_TREE_CHANCE, Forest, flow_from_terminals

_PATIENCE, _PATIENCE_FAR = 400_000, 20_000
"""Draws in vain, in a row, after which voxels are out of reach; each costs more the farther vessels are looked for."""


def grow(
    need: FloatArray,
    rng: np.random.Generator,
    *,
    start: Forest | None = None,
    new_tree: float = NEW_TREE_CHANCE,
    longest_mm: float = LONGEST_MM,
    builder: str = "auto",
) -> Forest:
    """Grow a forest in a domain of 1 mm voxels.

    Parameters
    ----------
    need : ndarray, shape (I, J, K), mm3/s
        Flow of each voxel; 0 outside the domain.
    rng : numpy.random.Generator
        Draws.
    start : Forest, optional
        Segments to grow from; their flow guides the growth and is then replaced by that of their terminals.
    new_tree : float
        Chance that a point starts a new tree; 0 with starting segments keeps all blood in them.
    longest_mm : float, mm
        Longest new segment; doubled for voxels that no vessel reaches, unless there are starting segments.
    builder : {"auto", "compiled", "rounds"}
        Point by point with numba, or in rounds with numpy; other trees of the same kind.

    Returns
    -------
    Forest
        One terminal in every voxel with flow.

    Raises
    ------
    NumericalError
        If voxels stay out of reach of all vessels.

    References
    ----------
    Schreiner and Buxbaum, IEEE Trans Biomed Eng 40:482, 1993. Karch et al., Comput Biol Med 29:19, 1999.
    Hu et al., arXiv 2311.10640, 2023.
    """
    grow_from = _grow_compiled if use_compiler(builder) else grow_in_rounds
    forest, left = grow_from(need, rng, start, new_tree, longest_mm)
    while start is None and left and longest_mm < max(need.shape) and (forest.parent >= 0).any():
        # crumbs of tissue in fluid, too few for trees of their own, are served by longer vessels
        longest_mm *= 2.0
        known = forest.terminal
        waiting = need.copy()
        waiting.ravel()[known[known >= 0]] = 0.0
        forest, left = grow_from(waiting, rng, forest, 0.0, longest_mm)
        forest.terminal[: known.size] = known
    if left:
        msg = f"{left} voxels that need blood lie out of reach of all vessels. Start from vessels nearer to them."
        raise NumericalError(msg)
    return forest if start is None else pruned(forest)


def _grow_compiled(
    need: FloatArray, rng: np.random.Generator, start: Forest | None, new_tree: float, longest_mm: float
) -> tuple[Forest, int]:
    from .forest_compiled import State
    from .forest_compiled import grow as grow_points

    old = 0 if start is None else start.parent.size
    served = int((need > 0).sum())
    nodes, entries = old + 2 * served + 2, 24 * served + 64 * old + 4096
    state = State(
        position=np.zeros((nodes, 3)), parent=np.full(nodes, -1, np.int32), flow=np.zeros(nodes), weight=np.zeros(nodes),
        length=np.zeros(nodes), terminal=np.full(nodes, -1, np.int32), head=np.empty(need.size, np.int32),
        after=np.empty(entries, np.int32), segment=np.empty(entries, np.int32), stamp=np.full(nodes, -1, np.int64),
        count=np.zeros(4, np.int64),
    )  # fmt: skip
    if start is not None:
        state.position[:old], state.parent[:old], state.flow[:old] = start.position, start.parent, start.flow
        state.weight[:old] = np.cbrt(start.flow) ** 2
        state.count[0] = old
    flat = np.ascontiguousarray(need, np.float64).ravel()
    patience = _PATIENCE if longest_mm <= LONGEST_MM else _PATIENCE_FAR
    left = grow_points(state, flat, need.shape, new_tree, longest_mm, rng, patience)
    n = int(state.count[0])
    forest = Forest(
        state.position[:n].copy(), state.parent[:n].astype(np.int64), state.flow[:n].copy(), state.terminal[:n].astype(np.int64)
    )
    return forest, left


def pruned(forest: Forest) -> Forest:
    """Take away vessels that serve nothing and give the others the flow of their terminals.

    Parameters
    ----------
    forest : Forest
        A grown forest.

    Returns
    -------
    Forest
        What carries blood.
    """
    own = np.where(forest.terminal >= 0, forest.flow, 0.0)
    flow = flow_from_terminals(forest.parent, own, forest.depth)
    keep = flow > 0
    number = np.cumsum(keep) - 1
    parent = forest.parent[keep]
    joined = np.where(parent >= 0, number[np.maximum(parent, 0)], -1)
    return Forest(forest.position[keep], joined, flow[keep], forest.terminal[keep])
