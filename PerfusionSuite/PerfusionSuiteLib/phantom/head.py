# SPDX-License-Identifier: Apache-2.0
"""CT numbers of the head before contrast: brain, fluid, skull with diploe, skull base, sinuses, scalp, orbits, air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .anatomy import Brain, in_face
from .atlas import sample_lattice
from .draws import smooth_field, stream

AIR_HU = -1000.0
THROMBUS_HU = 58.0

_LATTICE_ORIGIN = np.array([-124.0, -160.0, -130.0])
_BASE_BONES = (  # centre, half axes (mm), HU: petrous pyramids, clivus, sphenoid wings, anterior clinoids
    ((24, -26, -42), (15, 9, 7), 1350.0),
    ((44, -34, -40), (14, 10, 9), 1100.0),
    ((0, -8, -42), (9, 7, 16), 700.0),
    ((40, 24, -36), (20, 5, 7), 900.0),
    ((10, 8, -24), (4, 3, 3), 900.0),
)
_AIR_CELLS = (  # sphenoid, ethmoid, maxillary sinuses, nose
    ((7, 17, -40), (8, 11, 9)),
    ((7, 46, -40), (7, 16, 10)),
    ((30, 44, -62), (13, 15, 14)),
    ((6, 50, -62), (5, 22, 12)),
)


@dataclass(frozen=True)
class Head:
    """The head at the fine voxels of a `Brain`, before contrast.

    Parameters
    ----------
    hu : ndarray, shape (n,)
        CT numbers.
    bone : ndarray, shape (n,)
        Volume fraction of bone and calcification.
    parameters : dict
        What was drawn.
    """

    hu: NDArray[np.float32]
    bone: NDArray[np.float32]
    parameters: dict[str, Any]


def ellipsoid(points: FloatArray, centre: tuple[float, ...], axes: tuple[float, ...], paired: bool = True) -> NDArray[np.float32]:
    """Return the squared normalized distance from an ellipsoid's centre, mirrored to both sides by default."""
    x = np.abs(points[0]) if paired else points[0]
    squared: NDArray[np.float32] = (
        ((x - centre[0]) / axes[0]) ** 2 + ((points[1] - centre[1]) / axes[1]) ** 2 + ((points[2] - centre[2]) / axes[2]) ** 2
    )
    return squared


def make_head(seed: int, brain: Brain, atrophy: float) -> Head:
    """Draw the head around a brain.

    Parameters
    ----------
    seed : int
        The patient.
    brain : Brain
        Tissue fractions at the fine voxels.
    atrophy : float
        0 to 1; widens the space between brain and skull.

    Returns
    -------
    Head
        CT numbers and bone.
    """
    rng = stream(seed, "anatomy", 2)
    drawn: dict[str, Any] = {
        "gm_hu": rng.normal(37.0, 0.8), "wm_hu": rng.normal(28.5, 0.8), "csf_hu": rng.uniform(4.0, 8.0),
        "gap_mm": 1.2 + 2.2 * atrophy * rng.uniform(0.4, 1.0), "skull_mm": rng.uniform(4.2, 6.8),
        "scalp_mm": rng.uniform(3.0, 6.5),
        "table_hu": rng.uniform(1250.0, 1550.0), "diploe_hu": rng.uniform(500.0, 850.0),
        "scalp_fat_hu": rng.uniform(-90.0, -50.0),
        "pineal_calcified": bool(rng.random() < 0.6), "plexus_calcified": bool(rng.random() < 0.5),
    }  # fmt: skip
    texture = [smooth_field(rng, (62, 80, 66), fwhm) for fwhm in (2.0, 4.0, 14.0)]
    hu, bone = _layers(brain, drawn, texture)
    _face(brain, hu, bone, drawn, texture)
    _base(brain, hu, bone, drawn["gap_mm"], texture)
    parts = brain.fractions
    inside = parts["gm"] + parts["wm"] + parts["deep"] + parts["csf"]
    fine = _at(texture[0], brain.atlas_mm)
    nuclei = drawn["gm_hu"] - 1.0
    tissue = parts["gm"] * drawn["gm_hu"] + parts["wm"] * drawn["wm_hu"] + parts["deep"] * nuclei + parts["csf"] * drawn["csf_hu"]
    hu = tissue + (inside - parts["csf"]) * 0.7 * fine + (1.0 - np.minimum(inside, 1.0)) * hu
    bone *= 1.0 - np.minimum(inside, 1.0)
    _calcify(brain, hu, bone, drawn)
    return Head(hu.astype(np.float32), bone.astype(np.float32), drawn)


def _at(field: NDArray[np.float32], points: FloatArray) -> NDArray[np.float32]:
    return sample_lattice(field, _LATTICE_ORIGIN, 4.0, points, mode="wrap")


def _ramp(distance: NDArray[Any]) -> NDArray[np.float32]:
    """Return 0 to 1 as a surface is crossed within one millimetre."""
    step: NDArray[np.float32] = np.clip(distance + 0.5, 0.0, 1.0).astype(np.float32)
    return step


def _layers(brain: Brain, drawn: dict[str, Any], texture: list[NDArray[np.float32]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return CT numbers and bone of the shells around the brain: fluid, dura, skull, scalp, air."""
    d, p = brain.outside_mm, brain.atlas_mm
    coarse, slow = _at(texture[1], p), _at(texture[2], p)
    back = np.clip(-p[1] / 100.0, -1.0, 1.0)
    skull = drawn["skull_mm"] * (1.0 + 0.13 * slow + 0.18 * np.abs(back) - 0.15 * (np.abs(p[0]) > 55) * (p[2] < 25))
    skull = skull * (1.0 - 0.45 * np.clip((-18.0 - p[2]) / 12.0, 0.0, 1.0) * (p[1] > -25))  # thin floors of the anterior fossae
    scalp = drawn["scalp_mm"] * (1.0 - 0.12 * slow) + 4.0 * np.clip((np.abs(p[0]) - 48) / 20, 0, 1) * (p[2] < 15)
    gap = drawn["gap_mm"]
    depth = (d - gap) / skull
    spongy = np.clip(1.0 - np.abs(depth - 0.48) / 0.26, 0.0, 1.0) * np.clip((skull - 3.5) / 2.0, 0.0, 1.0)
    spongy = np.minimum(1.6 * spongy, 1.0)
    bone_hu = drawn["table_hu"] * (1 - spongy) + (drawn["diploe_hu"] + 110.0 * coarse) * spongy
    beyond = d - gap - skull
    muscle = (np.abs(p[0]) > 50) & (p[2] < 15) & (beyond < 5)
    layer = beyond / scalp
    skin = beyond > scalp - np.maximum(1.8, 0.25 * scalp)
    fat = np.where((layer > 0.2) & ~skin & ~muscle, drawn["scalp_fat_hu"], 45.0) + 4.0 * coarse
    falx = (np.abs(p[0]) < 0.8) & (d < 0.5)
    fluid = np.where((d > gap - 0.9) | falx, 48.0, drawn["csf_hu"])  # dura and falx are denser than fluid
    to_skull, to_scalp, to_air = _ramp(d - gap), _ramp(beyond), _ramp(beyond - scalp)
    hu = fluid * (1 - to_skull) + bone_hu * (to_skull - to_scalp) + fat * (to_scalp - to_air) + AIR_HU * to_air
    return hu, to_skull - to_scalp


def _face(brain: Brain, hu: NDArray[Any], bone: NDArray[Any], drawn: dict[str, Any], texture: list[NDArray[np.float32]]) -> None:
    """Fill the face and neck below the brain with muscle, fat, orbits and air-filled sinuses."""
    p = brain.atlas_mm
    face = in_face(p) & (brain.outside_mm > drawn["gap_mm"] + 0.6 * drawn["skull_mm"]) & (bone < 0.5)
    coarse = _at(texture[1], p)
    hu[face] = np.where(coarse > 0.7, -85.0, 52.0)[face]
    scaffold = face & (np.abs(coarse + 0.3) < 0.10) & (p[2] < -46)  # thin bones of the midface
    hu[scaffold], bone[scaffold] = 650.0, 0.6
    outer = in_face(p, 1.06) & ~in_face(p, 0.97) & face
    hu[outer] = np.where(coarse > -0.3, drawn["scalp_fat_hu"], 40.0)[outer]
    orbit = (ellipsoid(p, (32, 50, -34), (17, 22, 16)) < 1) & (brain.outside_mm > 3.0)
    hu[orbit], bone[orbit] = -90.0, 0.0
    globe = (ellipsoid(p, (32, 58, -34), (12, 12, 12)) < 1) & orbit
    hu[globe] = 12.0
    for centre, axes in _AIR_CELLS:
        cell = (ellipsoid(p, centre, axes) + 0.25 * coarse < 1) & (brain.outside_mm > 1.0)
        rim = (ellipsoid(p, centre, axes) + 0.25 * coarse < 1.5) & (brain.outside_mm > 1.0) & ~cell
        hu[rim], bone[rim] = 550.0, 0.5
        hu[cell], bone[cell] = AIR_HU, 0.0


def _base(brain: Brain, hu: NDArray[Any], bone: NDArray[Any], gap: float, texture: list[NDArray[np.float32]]) -> None:
    """Put the bones of the skull base between the brain's lobes and air into the mastoids."""
    p = brain.atlas_mm
    rough = _at(texture[0], p)
    for centre, axes, value in _BASE_BONES:
        inside = np.clip(2.5 * (1.0 - ellipsoid(p, centre, axes) + 0.12 * rough), 0.0, 1.0)
        hu[:] = hu * (1 - inside) + (value + 120.0 * rough) * inside
        bone[:] = np.maximum(bone, inside)
    mastoid = (ellipsoid(p, (52, -38, -46), (11, 12, 16)) < 1) & (bone > 0.4) & (rough > 0.25)
    hu[mastoid], bone[mastoid] = -600.0, 0.2
    within = (brain.outside_mm > gap + 1.2) & (brain.outside_mm < gap + 4.0) & (bone > 0.8)
    frontal = (ellipsoid(p, (9, 74, -18), (10, 16, 10)) + 0.3 * rough < 1) & within
    hu[frontal], bone[frontal] = -850.0, 0.1


def _calcify(brain: Brain, hu: NDArray[Any], bone: NDArray[Any], drawn: dict[str, Any]) -> None:
    p = brain.atlas_mm
    spots = []
    if drawn["pineal_calcified"]:
        spots.append(((0, -31, 5), (2.2, 2.0, 2.2), 260.0))
    if drawn["plexus_calcified"]:
        spots.append(((23, -42, 9), (2.4, 3.2, 2.2), 180.0))
    for centre, axes, value in spots:
        inside = np.clip(2.0 * (1.0 - ellipsoid(p, centre, axes)), 0.0, 1.0)
        hu[:] = hu * (1 - inside) + value * inside
        bone[:] = np.maximum(bone, 0.5 * inside)
