# SPDX-License-Identifier: Apache-2.0
"""How a scanner looks at a head: grid, frame times, slice profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .anatomy import FineGrid
from .draws import stream

MOTION_MARGIN_MM = 9.0
_PLANE_POINTS, _SLICE_POINTS = 8, 16


@dataclass(frozen=True)
class Protocol:
    """Grid and timing of a scan.

    Parameters
    ----------
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    shape : tuple of int
        (I, J, K).
    spacing_mm : tuple of float, mm
        Voxel size; slices are as thick as they are apart.
    times_s : ndarray, shape (T,), s
        Frame times, from 0.
    slice_times_s : ndarray, shape (K, T), s, or None
        Times of the slices when the table moves.
    parameters : dict
        What was drawn.
    """

    affine: FloatArray
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    times_s: FloatArray
    slice_times_s: FloatArray | None
    parameters: dict[str, Any]


def draw_protocol(
    seed: int,
    recipe: str,
    site: str,
    *,
    shape: tuple[int, int, int] | None,
    spacing_mm: tuple[float, float, float] | None,
    interval_s: float | None,
    frames: int | None,
) -> Protocol:
    """Draw what was not given of a scan protocol.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.
    site : str
        Lesion site: the slab of a basilar occlusion lies lower.
    shape, spacing_mm, interval_s, frames
        Given values; None draws.

    Returns
    -------
    Protocol
        Grid and timing.

    Raises
    ------
    InvalidInputError
        If a given value is out of range.
    """
    rng = stream(seed, "scanner")
    thickness = float(rng.choice((5.0, 5.0, 5.0, 8.0, 10.0)))
    coverage = float(rng.choice((40.0, 80.0, 96.0, 120.0, 160.0)))
    plane = float(rng.uniform(0.82, 0.98))
    size = shape or (256, 256, max(4, round(coverage / (spacing_mm[2] if spacing_mm else thickness))))
    spacing = spacing_mm or (230.0 / size[0] if shape else plane, 230.0 / size[1] if shape else plane, thickness)
    if min(size) < 1 or not all(0.2 <= s <= 40.0 for s in spacing):
        msg = f"A scan of {size} voxels of {spacing} mm cannot be made. Give three sizes of at least 1 and 0.2 to 40 mm each."
        raise InvalidInputError(msg)
    tilt = float(rng.uniform(-4.0, 16.0)) if rng.random() < (0.0, 0.4, 0.7)[("clean", "typical", "hard").index(recipe)] else 0.0
    centre = np.array([rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-4, 4) + 4.0 - 14.0 * (site == "basilar")])
    cut = _cut_behind_mm(seed, recipe)
    centre[1] += cut
    angle = np.deg2rad(tilt)
    tilted = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = tilted @ np.diag([-1.0, -1.0, 1.0]) * np.asarray(spacing, float)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(size) - 1) / 2.0)
    times, slice_times, timing = _timing(rng, recipe, int(size[2]), interval_s, frames)
    drawn = {"tilt_deg": tilt, "centre_mm": centre, "cut_behind_mm": cut, "spacing_mm": spacing, "shape": size, **timing}
    return Protocol(affine, tuple(int(n) for n in size), tuple(float(s) for s in spacing), times, slice_times, drawn)  # type: ignore[arg-type]  # three entries, checked above


def _cut_behind_mm(seed: int, recipe: str) -> float:
    """Return how far the field of view lies in front of the head's middle: sometimes the occiput and its sinuses are missing."""
    rng = stream(seed, "scanner", 4)
    missing, amount = rng.random() < 0.2, float(rng.uniform(18.0, 36.0))
    return amount if missing and recipe == "hard" else 0.0


def _timing(
    rng: np.random.Generator, recipe: str, slices: int, interval_s: float | None, frames: int | None
) -> tuple[FloatArray, FloatArray | None, dict[str, Any]]:
    pace = float(rng.choice((1.0, 1.0, 1.0, 1.5, 2.0)))
    duration = float(rng.choice((40.0, 42.0, 45.0, 45.0, 50.0, 60.0)))
    second, shuttling = rng.random(), rng.random()
    interval = interval_s if interval_s is not None else pace
    count = frames if frames is not None else round(duration / interval)
    if not 0.1 <= interval <= 10.0 or not 2 <= count <= 500:
        msg = f"{count} frames every {interval:g} s cannot be made. Give 2 to 500 frames every 0.1 to 10 s."
        raise InvalidInputError(msg)
    times = np.linspace(0.0, interval * (count - 1), count)
    free = interval_s is None and frames is None
    two_phase = free and second < {"clean": 0.0, "typical": 0.2, "hard": 0.35}[recipe]
    if two_phase:  # dense for the arterial phase, then every 3 s
        times = np.concatenate([times[times <= 36.0], np.linspace(39.0, 66.0, 10)])
    shuttle = interval_s is None and recipe == "hard" and shuttling < 0.35 and slices >= 4
    slice_times = None
    if shuttle:
        late = np.repeat([0.0, 0.5 * interval], [slices // 2, slices - slices // 2])
        slice_times = times[None, :] + late[:, None]
    return times, slice_times, {"interval_s": interval, "frames": times.size, "two_phase": two_phase, "shuttle": shuttle}


def fine_grid(protocol: Protocol) -> FineGrid:
    """Return the grid of the forward model: 1 mm, coarser only for scans with large voxels.

    Parameters
    ----------
    protocol : Protocol
        Scan.

    Returns
    -------
    FineGrid
        Along the axes of the scan; covers a head in the plane and the slab with a margin for motion.
    """
    step = float(np.clip(0.45 * min(protocol.spacing_mm), 1.0, 1.8))
    extent = np.array(protocol.shape) * protocol.spacing_mm
    inside = np.minimum(
        extent + 2 * MOTION_MARGIN_MM, np.array([196.0, 236.0 + 2.0 * protocol.parameters["cut_behind_mm"], np.inf])
    )
    size = np.ceil(inside / step).astype(int)
    axes = protocol.affine[:3, :3] / np.asarray(protocol.spacing_mm) * step
    middle = protocol.affine[:3, :3] @ ((np.array(protocol.shape) - 1) / 2.0) + protocol.affine[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = middle - axes @ ((size - 1) / 2.0)
    return FineGrid(affine, (int(size[2]), int(size[1]), int(size[0])), step)


@dataclass(frozen=True)
class Sampling:
    """Banded matrices that average the fine grid over voxels, one per axis: (K, nk), (J, nj), (I, ni)."""

    slices: sparse.csr_array
    rows: sparse.csr_array
    columns: sparse.csr_array

    def average(self, fine: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return means over the acquisition's voxels.

        Parameters
        ----------
        fine : ndarray, shape (nk, nj, ni)
            Values; 0 beyond the fine grid.

        Returns
        -------
        ndarray, shape (K, J, I)
            Means.
        """
        nk, nj, ni = fine.shape
        thick = (self.slices @ fine.reshape(nk, nj * ni)).reshape(-1, nj, ni)
        image = np.empty((thick.shape[0], self.rows.shape[0], self.columns.shape[0]), np.float32)
        for k, plane in enumerate(thick):
            image[k] = (self.columns @ (self.rows @ plane).T).T
        return image


def sampling(protocol: Protocol, grid: FineGrid) -> Sampling:
    """Return the averaging matrices of a scan (box profile along each axis over a linear interpolant).

    Parameters
    ----------
    protocol : Protocol
        Scan.
    grid : FineGrid
        Fine grid along the same axes.

    Returns
    -------
    Sampling
        Matrices.
    """
    matrices = []
    for axis, points in ((2, _SLICE_POINTS), (1, _PLANE_POINTS), (0, _PLANE_POINTS)):
        n, spacing = protocol.shape[axis], protocol.spacing_mm[axis]
        size = grid.shape[2 - axis]
        width = spacing if axis == 2 else max(spacing, 0.9)  # resolution of a standard kernel
        centres = (np.arange(n) - (n - 1) / 2.0) * spacing
        offsets = ((np.arange(points) + 0.5) / points - 0.5) * width
        at = (centres[:, None] + offsets) / grid.step_mm + (size - 1) / 2.0
        matrix = np.zeros((n, size), np.float32)
        low = np.floor(at).astype(int)
        for shift in (0, 1):
            weight = np.where(shift, at - low, 1.0 - (at - low)) / points
            column = low + shift
            ok = (column >= 0) & (column < size)
            np.add.at(matrix, (np.broadcast_to(np.arange(n)[:, None], at.shape)[ok], column[ok]), weight[ok])
        matrices.append(sparse.csr_array(matrix))
    return Sampling(*matrices)
