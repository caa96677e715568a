# SPDX-License-Identifier: Apache-2.0
"""One patient's brain: the average brain scaled, turned, warped, aged, and sampled on a fine grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray
from .atlas import Atlas, sample_lattice
from .draws import smooth_field, stream

CENTRE = np.array([0.0, -18.0, 8.0])
"""Atlas position (mm) that lies near the origin of the scanner."""

_LATTICE_MM = 4.0
_LATTICE_ORIGIN = np.array([-140.0, -160.0, -140.0])
_LATTICE_SHAPE = (71, 81, 71)


@dataclass(frozen=True)
class Pose:
    """Where and how the patient's head lies: scanner position (RAS mm) to atlas position and back.

    Parameters
    ----------
    linear : ndarray, shape (3, 3)
        Rotation times scale, atlas to scanner.
    shift : ndarray, shape (3,), mm
        Scanner position of `CENTRE`.
    warp : ndarray, shape (3, 71, 81, 71), mm
        Displacement on a 4 mm lattice of the scanner, added to the atlas position.
    ventricles : float
        Widening of the middle of the brain, 0 to 0.25.
    parameters : dict
        What was drawn.
    """

    linear: FloatArray
    shift: FloatArray
    warp: NDArray[np.float32]
    ventricles: float
    parameters: dict[str, Any]

    def to_atlas(self, points: FloatArray) -> FloatArray:
        """Return atlas positions of scanner positions.

        Parameters
        ----------
        points : ndarray, shape (3, n), mm
            RAS positions.

        Returns
        -------
        ndarray, shape (3, n), mm
            Atlas positions.
        """
        atlas: FloatArray = np.linalg.inv(self.linear) @ (points - self.shift[:, None]) + CENTRE[:, None]
        for axis in range(3):
            atlas[axis] += sample_lattice(self.warp[axis], _LATTICE_ORIGIN, _LATTICE_MM, points)
        if self.ventricles:
            offset = atlas - np.array([0.0, -8.0, 14.0])[:, None]
            weight = np.exp(-0.5 * (offset**2).sum(axis=0) / 27.0**2)
            atlas -= self.ventricles * weight * offset
        return atlas

    def to_scanner(self, points: FloatArray) -> FloatArray:
        """Return scanner positions of atlas positions, by fixed-point iteration.

        Parameters
        ----------
        points : ndarray, shape (3, n), mm
            Atlas positions.

        Returns
        -------
        ndarray, shape (3, n), mm
            RAS positions.
        """
        found: FloatArray = self.linear @ (points - CENTRE[:, None]) + self.shift[:, None]
        for _ in range(12):
            found -= 0.9 * self.linear @ (self.to_atlas(found) - points)
        return found

    def midplane(self) -> FloatArray:
        """Return the plane that fits the mid-sagittal surface best: unit normal to the right, then distance."""
        y, z = np.meshgrid(np.arange(-90.0, 60.0, 6.0), np.arange(-10.0, 66.0, 6.0))
        surface = self.to_scanner(np.stack([np.zeros(y.size), y.ravel(), z.ravel()]))
        middle = surface.mean(axis=1)
        normal = np.linalg.svd(surface - middle[:, None])[0][:, 2]
        normal = normal * np.sign(normal[0])
        return np.append(normal, normal @ middle)


def draw_pose(seed: int) -> Pose:
    """Draw scale, rotation, shift and warp of a head.

    Parameters
    ----------
    seed : int
        The patient.

    Returns
    -------
    Pose
        The head's geometry.
    """
    rng = stream(seed, "anatomy")
    scale = rng.uniform(0.94, 1.06) * (1.0 + rng.uniform(-0.02, 0.02, 3))
    degrees = np.clip(rng.normal(0.0, (5.0, 3.0, 3.5)), -8.0, 8.0)  # about R (nod), A (tilt), S (turn)
    shift = rng.uniform(-6.0, 6.0, 3)
    spacing = rng.uniform(25.0, 40.0)
    amount = rng.uniform(1.8, min(4.0, 0.075 * spacing))  # steeper warps would fold
    controls = tuple(int(np.ceil(n * _LATTICE_MM / spacing)) + 3 for n in _LATTICE_SHAPE)
    warp = np.empty((3, *_LATTICE_SHAPE), np.float32)
    dense = np.meshgrid(*[1.0 + np.arange(n) * _LATTICE_MM / spacing for n in _LATTICE_SHAPE], indexing="ij")
    for axis in range(3):
        lattice = rng.normal(0.0, amount, controls).clip(-2.0 * amount, 2.0 * amount)
        warp[axis] = ndimage.map_coordinates(lattice, dense, order=3, prefilter=False, mode="nearest")
    warp *= amount / warp.std()
    ventricles, atrophy = float(rng.beta(1.5, 3.0) * 0.3), float(rng.beta(1.3, 2.2))
    parameters = {
        "scale": scale, "rotation_deg": degrees, "shift_mm": shift, "warp_spacing_mm": spacing, "warp_sd_mm": amount,
        "ventricle_widening": ventricles, "atrophy": atrophy,
    }  # fmt: skip
    return Pose(rotation(degrees) @ np.diag(scale), shift, warp, ventricles, parameters)


def rotation(degrees: Any) -> FloatArray:
    """Return a rotation about the R, then the A, then the S axis.

    Parameters
    ----------
    degrees : array-like, shape (3,), degrees
        Angles.

    Returns
    -------
    ndarray, shape (3, 3)
        Rotation matrix.
    """
    a, b, c = np.deg2rad(np.asarray(degrees, float))
    about_r = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_a = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_s = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix: FloatArray = about_s @ about_a @ about_r
    return matrix


@dataclass(frozen=True)
class FineGrid:
    """A fine grid along the axes of the acquisition; arrays on it are (K, J, I).

    Parameters
    ----------
    affine : ndarray, shape (4, 4), mm
        Voxel (i, j, k) to RAS.
    shape : tuple of int
        (K, J, I).
    step_mm : float, mm
        Isotropic spacing.
    """

    affine: FloatArray
    shape: tuple[int, int, int]
    step_mm: float

    def points(self, flat: NDArray[np.int64]) -> FloatArray:
        """Return positions of voxels.

        Parameters
        ----------
        flat : ndarray of int, shape (n,)
            Flat indices.

        Returns
        -------
        ndarray, shape (3, n), mm
            RAS positions.
        """
        k, j, i = np.unravel_index(flat, self.shape)
        index = np.stack([i, j, k]).astype(np.float32)
        found: FloatArray = (self.affine[:3, :3].astype(np.float32) @ index) + self.affine[:3, 3:].astype(np.float32)
        return found


@dataclass(frozen=True)
class Brain:
    """Tissue of a patient at the fine voxels of the head.

    Parameters
    ----------
    where : ndarray of int, shape (n,)
        Flat indices of the head's voxels in the fine grid.
    atlas_mm : ndarray, shape (3, n), mm
        Their atlas positions.
    outside_mm : ndarray, shape (n,), mm
        Their distance from the brain's hull, negative inside.
    fractions : dict of str to ndarray, shape (n,)
        ``gm wm deep csf``: what they are made of; the rest is head.
    scar : ndarray, shape (n,), or None
        Share (0 to 1) of an old infarct.
    scar_flow : tuple of float
        Factors on CBF and CBV of the tissue that an old infarct left.
    """

    where: NDArray[np.int64]
    atlas_mm: FloatArray
    outside_mm: NDArray[np.float32]
    fractions: dict[str, NDArray[np.float32]]
    scar: NDArray[np.float32] | None = None
    scar_flow: tuple[float, float] = (1.0, 1.0)


def make_brain(seed: int, pose: Pose, atlas: Atlas, grid: FineGrid, margin_mm: float) -> Brain:
    """Sample the patient's tissue on the fine grid.

    Parameters
    ----------
    seed : int
        The patient.
    pose : Pose
        The head's geometry.
    atlas : Atlas
        The average brain.
    grid : FineGrid
        Where to sample.
    margin_mm : float, mm
        Thickness of the head around the brain that is kept.

    Returns
    -------
    Brain
        Tissue fractions.
    """
    everywhere = np.arange(int(np.prod(grid.shape)), dtype=np.int64)
    rough = np.linalg.inv(pose.linear) @ (grid.points(everywhere) - pose.shift[:, None]) + CENTRE[:, None]
    near = sample_lattice(atlas.outside_mm, atlas.outside_origin, 2.0, rough) < margin_mm + 9.0
    where = everywhere[near | in_face(rough, 1.06)]
    del rough, everywhere
    position = pose.to_atlas(grid.points(where)).astype(np.float32)
    outside = sample_lattice(atlas.outside_mm, atlas.outside_origin, 2.0, position)
    inner = np.flatnonzero(outside < 3.0)
    parts = tissue_fractions(seed, pose.parameters["atrophy"], atlas, position[:, inner])
    fractions = {}
    for name, values in parts.items():
        fractions[name] = np.zeros(where.size, np.float32)
        fractions[name][inner] = values
    return Brain(where, position, outside, fractions)


def in_face(points: FloatArray, scale: float = 1.0) -> NDArray[np.bool_]:
    """Return which atlas positions lie in the face and neck, drawn as an ellipsoid below the brain."""
    x, y, z = points
    inside: NDArray[np.bool_] = ((x / 66) ** 2 + ((y - 2) / 93) ** 2 + ((z + 62) / 62) ** 2 < scale) & (z < -12)
    return inside


def tissue_fractions(seed: int, atrophy: float, atlas: Atlas, points: FloatArray) -> dict[str, NDArray[np.float32]]:
    """Turn template intensities into sharp tissue fractions of one person.

    An average brain is blurred where people differ. Fluid is where the template is dark, with a
    threshold that moves with atrophy and with a random field (everyone's sulci are different);
    grey and white are separated by sharpening the ratio of their probabilities.

    Parameters
    ----------
    seed : int
        The patient.
    atrophy : float
        0 (young) to 1.
    atlas : Atlas
        The average brain.
    points : ndarray, shape (3, n), mm
        Atlas positions.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``gm wm deep csf``; they sum to 1 within the brain.
    """
    rng = stream(seed, "anatomy", 1)
    lattice = (60, 70, 60)
    folds = sample_lattice(smooth_field(rng, lattice, 3.0), np.array([-118.0, -150.0, -90.0]), 4.0, points, mode="wrap")
    edges = sample_lattice(smooth_field(rng, lattice, 2.0), np.array([-118.0, -150.0, -90.0]), 4.0, points, mode="wrap")
    brightness = 190.0 - 0.5 * atlas.sample(atlas.dark, points)
    csf = np.clip((150.0 + 14.0 * atrophy + 5.0 * folds - brightness) / 26.0, 0.0, 1.0)
    grey, white = atlas.sample(atlas.grey, points), atlas.sample(atlas.white, points)
    brain = np.clip(2.0 * atlas.sample(atlas.brain, points) - 0.5, 0.0, 1.0)
    ratio = np.clip(grey / (grey + white + 1.0) + 0.04 * edges, 0.0, 1.0)
    sharp = ratio**3 / (ratio**3 + (1.0 - ratio) ** 3)
    nuclei = np.clip(2.0 * atlas.sample(atlas.nuclei, points) - 0.5, 0.0, 1.0)
    tissue = brain * (1.0 - csf)
    deep = tissue * nuclei * np.clip((ratio - 0.12) / 0.33, 0.0, 1.0)
    cortex = (tissue - deep) * sharp * np.where(nuclei > 0.5, 0.3, 1.0)
    return {
        "gm": cortex.astype(np.float32),
        "wm": (tissue - deep - cortex).astype(np.float32),
        "deep": deep.astype(np.float32),
        "csf": (brain * csf).astype(np.float32),
    }
