# SPDX-License-Identifier: Apache-2.0
"""A neural field of the brain: dense lattices from coarse to fine hold features, a small perceptron turns them into perfusion.

Evaluated with numpy alone, so that a stored field can be sampled where PyTorch is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from ..core.fields import FittedField
from ..core.geometry import FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress
from .raster_field import flow_mtt_delay, interpolated
from .response_table import centre_share, shape_of
from .standard_frame import STANDARD_SHAPE, STANDARD_SPACING_MM

Values = NDArray[np.float32]

LEVELS_MM = (14.56, 7.28, 3.64, 1.82)
"""Distance of the nodes of each lattice: 1/16, 1/8, 1/4 and 1/2 of the standard frame's pixels; the finest level has a node in
every voxel."""

FEATURES = 4
HIDDEN = 32
CENTER = (-3.33, 5.0, 1.79)
"""ln of the share of blood, center in s and ln of the transit time in s that an output of zero stands for: 2.5 mL/100 g, 6 s."""

GAIN = (0.6, 3.0, 0.4)
"""What an output of one adds to each."""

ADDED = "beside"
"""Of the voxels: what is added to the network's parameters, where a field has it (voxels that a border runs through)."""

BLOCK_POINTS = 1 << 15


@dataclass(frozen=True, slots=True)
class Lattice:
    """The nodes of one level on a raster.

    Parameters
    ----------
    low, high : tuple of float
        Voxel coordinates of the first and the last node along each axis.
    nodes : tuple of int
        Number of nodes along each axis, at least 2.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    nodes: tuple[int, int, int]

    @property
    def count(self) -> int:
        """Number of nodes."""
        return int(np.prod(self.nodes))

    def positions(self) -> FloatArray:
        """Return the voxel coordinates of all nodes, shape (count, 3), in row-major order."""
        axes = [np.linspace(a, b, n) for a, b, n in zip(self.low, self.high, self.nodes, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def weights(self, points: FloatArray) -> sparse.csr_matrix:
        """Return the matrix that interpolates from the nodes to points, linearly along each axis.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            Voxel coordinates; beyond the lattice its border is repeated.

        Returns
        -------
        csr_matrix, shape (n, count)
            Eight entries in each row, which add up to 1.
        """
        low, nodes = np.array(self.low), np.array(self.nodes)
        at = np.clip((points - low) / (np.array(self.high) - low) * (nodes - 1), 0.0, nodes - 1.0)
        first = np.minimum(at.astype(np.int32), nodes - 2).astype(np.int32)
        rest = (at - first).astype(np.float32)
        columns, shares = np.empty((len(points), 8), np.int32), np.empty((len(points), 8), np.float32)
        for place, corner in enumerate(np.ndindex(2, 2, 2)):
            node = first + np.array(corner, np.int32)
            columns[:, place] = (node[:, 0] * self.nodes[1] + node[:, 1]) * self.nodes[2] + node[:, 2]
            shares[:, place] = np.prod(np.where(corner, rest, 1.0 - rest), axis=1)
        rows = np.linspace(0, 8 * len(points), len(points) + 1).astype(np.int32)
        return sparse.csr_matrix((shares.ravel(), columns.ravel(), rows), (len(points), self.count))


def lattices_of(mask: NDArray[np.bool_], affine: FloatArray, levels_mm: tuple[float, ...] = LEVELS_MM) -> list[Lattice]:
    """Lay lattices over the voxels of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Voxels; at least one.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    levels_mm : tuple of float, mm
        Distance of the nodes of each level; along an axis with wider voxels, one node per voxel.

    Returns
    -------
    list of Lattice
        From coarse to fine.
    """
    sides = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = np.array([side[0] for side in sides])
    high = np.maximum([side[-1] for side in sides], low + 1)
    sizes = voxel_sizes(affine)
    found = []
    for distance in levels_mm:
        steps = np.maximum(np.ceil((high - low) * np.minimum(sizes / distance, 1.0) - 1e-6), 1).astype(int)
        found.append(Lattice(_three(low), _three(high), (int(steps[0]) + 1, int(steps[1]) + 1, int(steps[2]) + 1)))
    return found


def frame_lattices(levels_mm: tuple[float, ...] = LEVELS_MM) -> list[Lattice]:
    """Lay lattices over the standard frame, in its voxel coordinates.

    Parameters
    ----------
    levels_mm : tuple of float, mm
        As for `lattices_of`.

    Returns
    -------
    list of Lattice
        From coarse to fine.
    """
    return lattices_of(np.ones(STANDARD_SHAPE, bool), np.diag([*STANDARD_SPACING_MM, 1.0]), levels_mm)


def _three(values: Any) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def perceptron(features: Values, weights: Mapping[str, NDArray[Any]]) -> Values:
    """Turn features into parameters.

    Parameters
    ----------
    features : ndarray, shape (n, F)
        Of all levels, coarse to fine.
    weights : mapping of str to ndarray
        ``w1 b1 w2 b2 w3 b3``, matrices of shape (out, in).

    Returns
    -------
    ndarray, shape (n, 3)
        In the order of `raster_field.PARAMETERS`.
    """
    hidden = features
    for layer in "12":
        hidden = hidden @ weights[f"w{layer}"].T + weights[f"b{layer}"]
        hidden = hidden * special.expit(hidden)
    out: Values = (hidden @ weights["w3"].T + weights["b3"]) * np.array(GAIN, np.float32) + np.array(CENTER, np.float32)
    return out


def bounded(parameters: Values, bounds: Mapping[str, Any], family: str) -> Values:
    """Keep parameters within the range that the fit knew, in place.

    Parameters
    ----------
    parameters : ndarray, shape (n, 3)
        In the order of `raster_field.PARAMETERS`.
    bounds : mapping
        ``log_volume`` and ``log_mtt``: lower and upper bound; ``earliest_delay_s``, ``latest_center_s``.
    family : str
        Residue.

    Returns
    -------
    ndarray, shape (n, 3)
        The same array.
    """
    for column, name in ((0, "log_volume"), (2, "log_mtt")):
        np.clip(parameters[:, column], *bounds[name], out=parameters[:, column])
    earliest = bounds["earliest_delay_s"] + centre_share(shape_of(family)) * np.exp(parameters[:, 2])
    parameters[:, 1] = np.minimum(np.maximum(parameters[:, 1], earliest), bounds["latest_center_s"])
    return parameters


def lattices_in(field: FittedField) -> list[Lattice]:
    """Return the lattices of a field of kind ``lattice``."""
    low, high = (_three(field.settings["lattice_box"][edge]) for edge in (0, 1))
    levels = [name for name in field.weights if name.startswith("level")]
    shapes = [field.weights[name].shape for name in sorted(levels)]
    return [Lattice(low, high, (int(s[0]), int(s[1]), int(s[2]))) for s in shapes]


def parameters_at(
    field: FittedField, points: FloatArray, *, device: str = "auto", progress: ProgressCallback | None = None
) -> dict[str, Values]:
    """Evaluate a field.

    Parameters
    ----------
    field : FittedField
        Of kind ``lattice``.
    points : ndarray, shape (n, 3)
        Voxel coordinates, each within half a voxel of the mask.
    device : str
        Not used: a perceptron this small is no work for a GPU.
    progress : callable, optional
        Called between blocks.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``flow`` in 1/s, ``mtt`` and ``delay`` in s, and the maps that were stored along.
    """
    tell = progress or no_progress
    lattices = lattices_in(field)
    tables = [
        np.asarray(field.weights[f"level{at}"], np.float32).reshape(lattice.count, -1) for at, lattice in enumerate(lattices)
    ]
    maps = {name.removeprefix("map_"): values for name, values in field.weights.items() if name.startswith("map_")}
    features = field.weights["finest"].shape[1]
    added = np.asarray(field.weights.get(ADDED, np.zeros((len(field.weights["finest"]), 3))), np.float32)
    fine = np.concatenate([field.weights["finest"], added, *(values[:, None] for values in maps.values())], axis=1)
    dense = np.zeros((field.mask.size, fine.shape[1]), np.float32)
    dense[field.mask.ravel()] = fine
    turn = np.asarray(field.settings["lattice_from_voxel"], np.float64)
    family, parameters = str(field.settings["family"]), np.empty((len(points), 3), np.float32)
    more = np.empty((len(points), len(maps)), np.float32)
    for start in range(0, len(points), BLOCK_POINTS):
        tell(start / len(points), "Sampling the field")
        here = slice(start, start + BLOCK_POINTS)
        near = interpolated(dense, field.mask, points[here])
        places = points[here] @ turn[:3, :3].T + turn[:3, 3]
        coarse = [lattice.weights(places) @ table for lattice, table in zip(lattices, tables, strict=True)]
        learned = perceptron(np.concatenate([*coarse, near[:, :features]], axis=1), field.weights)
        parameters[here] = bounded(learned, field.settings["bounds"], family) + near[:, features : features + 3]
        more[here] = near[:, features + 3 :]
    found = flow_mtt_delay(bounded(parameters, field.settings["bounds"], family), family)
    return {**found, **{name: more[:, at] for at, name in enumerate(maps)}}
