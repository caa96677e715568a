# SPDX-License-Identifier: Apache-2.0
"""A head by formulas: folded cortical ribbon, deep nuclei, ventricles, skull and scalp, at any point and for any seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AIR, GRAY, WHITE, DEEP, FLUID, BONE, SCALP = range(7)
"""Kinds of tissue."""

HALF_AXES_MM = (66.0, 84.0, 64.0)
RIBBON_MM, WARP_MM = 3.1, 2.2
SUBARACHNOID_MM, SKULL_MM, SCALP_MM = 2.0, 6.0, 5.0
EXPONENT = 2.3

Points = NDArray[np.float32]
Values = NDArray[np.float32]


class Waves:
    """A smooth random function of space: a sum of plane waves of similar length.

    Parameters
    ----------
    rng : numpy Generator
        Where directions and phases come from.
    length_mm : float, mm
        Typical wavelength.
    count : int
        Number of waves.
    """

    def __init__(self, rng: np.random.Generator, length_mm: float, count: int = 18) -> None:
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        lengths = length_mm * rng.uniform(0.8, 1.25, (count, 1))
        self._vectors = (2.0 * np.pi / lengths * direction).astype(np.float32)
        self._phases = rng.uniform(0.0, 2.0 * np.pi, count).astype(np.float32)
        self._gain = np.float32(np.sqrt(2.0 / count))

    def __call__(self, points: Points) -> Values:
        """Return values of unit variance, shape (N,)."""
        waves: Values = np.cos(points @ self._vectors.T + self._phases).sum(axis=1) * self._gain
        return waves

    def distance_to_zero(self, points: Points) -> Values:
        """Return the distance in mm to the surface where the function is zero, to first order; shape (N,)."""
        phase = points @ self._vectors.T + self._phases
        value = np.cos(phase).sum(axis=1)
        slope = np.linalg.norm(np.sin(phase) @ self._vectors, axis=1)
        result: Values = np.abs(value) / np.maximum(slope, 1e-3)
        return result


@dataclass(frozen=True, slots=True)
class Head:
    """One patient's anatomy.

    Parameters
    ----------
    scale : float
        Size of the head relative to the average one.
    folds, fold_depth, shape : Waves
        Where sulci run, how deep they are, and what makes the outline uneven.
    warp : tuple of three Waves
        How deep structures are bent along each axis.
    """

    scale: float
    folds: Waves
    fold_depth: Waves
    shape: Waves
    warp: tuple[Waves, Waves, Waves]

    def tissue(self, points_mm: Points) -> NDArray[np.uint8]:
        """Return what lies at points of the patient.

        Parameters
        ----------
        points_mm : ndarray, shape (N, 3), mm
            In RAS, counted from the middle of the brain.

        Returns
        -------
        ndarray of uint8, shape (N,)
            `GRAY`, `WHITE` ...
        """
        points = (points_mm / np.float32(self.scale)).astype(np.float32)
        radius, depth = self._depth(points)
        kinds = np.full(points.shape[0], AIR, np.uint8)
        edges = (SUBARACHNOID_MM, SUBARACHNOID_MM + SKULL_MM, SUBARACHNOID_MM + SKULL_MM + SCALP_MM)
        for kind, edge in zip((SCALP, BONE, FLUID), reversed(edges), strict=True):
            kinds[depth > -edge] = kind
        inside = np.flatnonzero(depth > 0)
        kinds[inside] = self._brain(points[inside], radius[inside], depth[inside])
        return kinds

    def _depth(self, points: Points) -> tuple[Values, Values]:
        """Normalized radius (1 at the surface of the brain) and depth below the surface in mm."""
        shares = np.abs(points / np.array(HALF_AXES_MM, np.float32)) ** np.float32(EXPONENT)
        radius = shares.sum(axis=1) ** np.float32(1.0 / EXPONENT)
        radius = np.maximum(radius * (1.0 + np.float32(0.01) * self.shape(points)), 1e-3).astype(np.float32)
        return radius, np.linalg.norm(points, axis=1) * (1.0 / radius - 1.0)

    def _brain(self, points: Points, radius: Values, depth: Values) -> NDArray[np.uint8]:
        bent = points + np.float32(WARP_MM) * np.stack([wave(points) for wave in self.warp], axis=1)
        mirrored = np.concatenate([np.abs(bent[:, :1]), bent[:, 1:]], axis=1)
        sulcus = np.minimum(self._sulci(points, radius, depth), _fissures(mirrored))
        kinds = np.where((depth < RIBBON_MM) | (sulcus < RIBBON_MM), GRAY, WHITE).astype(np.uint8)
        kinds[_low_brain(bent)] = WHITE
        kinds[_cerebellum(bent, depth)] = GRAY
        kinds[_nuclei(mirrored)] = DEEP
        kinds[_capsule(mirrored)] = WHITE
        kinds[_ventricles(mirrored) | _gaps(mirrored)] = FLUID
        return kinds

    def _sulci(self, points: Points, radius: Values, depth: Values) -> Values:
        """Distance to the nearest sulcus; sulci run inwards because the field is read near the surface above each point."""
        above = points / radius[:, None] ** np.float32(0.7)
        bottom = 18.0 + 4.0 * self.fold_depth(above)
        below = np.maximum(depth - bottom, 0.0)
        result: Values = np.hypot(self.folds.distance_to_zero(above), below).astype(np.float32)
        return result


def make_head(rng: np.random.Generator) -> Head:
    """Draw a patient's anatomy.

    Parameters
    ----------
    rng : numpy Generator
        Source of randomness.

    Returns
    -------
    Head
        The anatomy.
    """
    bends = (Waves(rng, 42.0), Waves(rng, 42.0), Waves(rng, 42.0))
    return Head(float(rng.uniform(0.95, 1.05)), Waves(rng, 22.0), Waves(rng, 45.0), Waves(rng, 90.0), bends)


def _ellipsoid(points: Points, center: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.bool_]:
    scaled = (points - np.array(center, np.float32)) / np.array(radii, np.float32)
    inside: NDArray[np.bool_] = (scaled**2).sum(axis=1) < 1.0
    return inside


def _sheet(points: Points, axis: int, at: Values | float, ranges: dict[int, tuple[float, float]]) -> Values:
    """Distance to a sheet across an axis that ends where the other coordinates leave their ranges."""
    square = (points[:, axis] - at) ** 2
    for other, (low, high) in ranges.items():
        square = square + np.maximum(np.maximum(low - points[:, other], points[:, other] - high), 0.0) ** 2
    result: Values = np.sqrt(square).astype(np.float32)
    return result


def _fissures(mirrored: Points) -> Values:
    """Distance to the cleft between the hemispheres, the lateral fissure and the surface of the insula."""
    far = 200.0
    above = _sheet(mirrored, 0, 0.0, {2: (22.0, far)})
    front = _sheet(mirrored, 0, 0.0, {1: (36.0, far), 2: (-25.0, far)})
    back = _sheet(mirrored, 0, 0.0, {1: (-far, -42.0), 2: (-12.0, far)})
    lateral = _sheet(mirrored, 2, 2.0 - 0.35 * (mirrored[:, 1] - 5.0), {0: (39.0, far), 1: (-28.0, 32.0)})
    insula = _sheet(mirrored, 0, 39.0, {1: (-16.0, 26.0), 2: (-12.0, 17.0)})
    result: Values = np.minimum.reduce([above, front, back, lateral, insula])
    return result


def _nuclei(mirrored: Points) -> NDArray[np.bool_]:
    return (
        _ellipsoid(mirrored, (11.0, -14.0, 5.0), (8.5, 14.0, 9.0))
        | _ellipsoid(mirrored, (25.0, 3.0, 2.0), (7.0, 16.0, 9.5))
        | _ellipsoid(mirrored, (14.0, 20.0, 6.0), (5.5, 9.0, 9.0))
    )


def _capsule(mirrored: Points) -> NDArray[np.bool_]:
    """White matter between the nuclei: two legs that meet at a knee."""
    knee = 17.0 + 0.28 * np.abs(mirrored[:, 1] - 2.0)
    inside: NDArray[np.bool_] = (np.abs(mirrored[:, 0] - knee) < 1.8) & (np.abs(mirrored[:, 1]) < 26.0) & (mirrored[:, 2] < 16.0)
    return inside & (mirrored[:, 2] > -10.0)


def _ventricles(mirrored: Points) -> NDArray[np.bool_]:
    """Lateral ventricles along a bent line, and the third ventricle."""
    line = np.array(
        [[6.0, 30.0, 8.0], [7.0, 8.0, 18.0], [11.0, -18.0, 19.0], [22.0, -38.0, 10.0], [25.0, -52.0, 8.0]], np.float32
    )
    widths = (5.0, 4.5, 5.0, 5.5, 3.0)
    inside = np.zeros(mirrored.shape[0], bool)
    for at in range(len(line) - 1):
        start, along = line[at], line[at + 1] - line[at]
        share = np.clip(((mirrored - start) @ along) / float(along @ along), 0.0, 1.0)
        width = widths[at] + share * (widths[at + 1] - widths[at])
        inside |= np.linalg.norm(mirrored - start - share[:, None] * along, axis=1) < width
    return inside | _ellipsoid(mirrored, (0.0, -5.0, 2.0), (2.2, 14.0, 9.0))


def _gaps(mirrored: Points) -> NDArray[np.bool_]:
    """Fluid in the wide clefts and under the tentorium."""
    tent = _sheet(mirrored, 2, _tentorium(mirrored), {1: (-200.0, -24.0)})
    cleft = _sheet(mirrored, 0, 0.0, {2: (26.0, 200.0)})
    lateral = _sheet(mirrored, 2, 2.0 - 0.35 * (mirrored[:, 1] - 5.0), {0: (41.0, 200.0), 1: (-10.0, 30.0)})
    result: NDArray[np.bool_] = (tent < 1.0) | (cleft < 0.7) | (lateral < 0.8)
    return result


def _tentorium(points: Points) -> Values:
    result: Values = -22.0 + 0.25 * (points[:, 1] + 40.0)
    return result


def _low_brain(points: Points) -> NDArray[np.bool_]:
    """White matter of the cerebellum and the brain stem."""
    stem = ((points[:, 0] / 13.0) ** 2 + ((points[:, 1] + 24.0) / 12.0) ** 2 < 1.0) & (points[:, 2] < -8.0)
    under = (points[:, 2] < _tentorium(points)) & (points[:, 1] < -24.0)
    return stem | (under & _ellipsoid(np.abs(points), (16.0, 50.0, 40.0), (15.0, 14.0, 9.0)))


def _cerebellum(points: Points, depth: Values) -> NDArray[np.bool_]:
    """Cortex of the cerebellum, whose folds are finer than any voxel."""
    under = (points[:, 2] < _tentorium(points)) & (points[:, 1] < -24.0)
    result: NDArray[np.bool_] = under & ~_low_brain(points) & (depth > 0)
    return result
