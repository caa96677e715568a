# SPDX-License-Identifier: Apache-2.0
"""Head motion: one rigid transform per frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .anatomy import rotation
from .draws import stream

KINDS = ("none", "drift", "nod", "jerks")
LARGEST_MM = 20.0
_WAYS = np.array([way for way in np.ndindex(3, 3, 3) if way != (1, 1, 1)]) - 1.0
SURFACE_MM = np.array([0.0, -18.0, 12.0]) + _WAYS / np.linalg.norm(_WAYS, axis=1, keepdims=True) * [65.0, 80.0, 55.0]
"""Points all around an average brain (RAS)."""

_LIMITS = {"clean": (1.5, 1.5), "typical": (3.0, 3.0), "hard": (6.0, 6.0)}  # mm, degrees
_PREVALENCE = {"clean": (1.0, 0.0, 0.0, 0.0), "typical": (0.35, 0.35, 0.2, 0.1), "hard": (0.1, 0.3, 0.3, 0.3)}


def draw_motion(
    seed: int, recipe: str, kind: str | None, times_s: FloatArray, onset_s: float, size_mm: float | None = None
) -> tuple[FloatArray, dict[str, Any]]:
    """Draw the motion of a patient's head; the first frame is the reference.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Bounds the motion to 1.5, 3 or 6 mm and degrees.
    kind : {"none", "drift", "nod", "jerks"} or None
        Kind of motion; None draws it.
    times_s : ndarray, shape (T,), s
        Frame times.
    onset_s : float, s
        When the contrast is felt; a nod follows it.
    size_mm : float, mm, optional
        How far the point of the brain that moves most gets away from where it was in the first frame; by default drawn.

    Returns
    -------
    ndarray, shape (T, 4, 4), mm
        Takes a point of the still head (RAS) to where it is in a frame.
    dict
        What was drawn.

    Raises
    ------
    InvalidInputError
        If the kind is unknown or the size is out of range.
    """
    if kind is not None and kind not in KINDS:
        msg = f"There is no motion '{kind}'. Use one of {', '.join(KINDS)}."
        raise InvalidInputError(msg)
    if size_mm is not None and not 0.0 < size_mm <= LARGEST_MM:
        msg = f"A motion of {size_mm:g} mm cannot be made. Give more than 0 and at most {LARGEST_MM:g} mm, or the motion 'none'."
        raise InvalidInputError(msg)
    rng = stream(seed, "motion")
    drawn = str(rng.choice(KINDS, p=_PREVALENCE[recipe]))
    kind = kind or drawn
    limit_mm, limit_deg = _LIMITS[recipe]
    size = rng.uniform(0.3, 1.0)
    direction = rng.normal(0.0, (0.5, 0.5, 1.0, 1.0, 0.5, 0.6))  # three shifts, three rotations
    direction /= np.abs(direction).max()
    path = _path(rng, kind, times_s, onset_s)
    six = path * direction * size * np.array([limit_mm] * 3 + [limit_deg] * 3)
    transforms = _rigid(six)
    for _ in range(3 if size_mm is not None else 0):  # turns are not quite proportional to their angle
        six *= (size_mm or 0.0) / max(farthest_mm(transforms), 1e-9)
        transforms = _rigid(six)
    return transforms, {"kind": kind, "size": size, "direction": direction, "farthest_mm": farthest_mm(transforms)}


def _rigid(six: FloatArray) -> FloatArray:
    """Return transforms (T, 4, 4) of shifts in mm and rotations in degrees (T, 6)."""
    pivot = np.array([0.0, -30.0, -30.0])  # about the base of the skull
    transforms = np.tile(np.eye(4), (len(six), 1, 1))
    for n, pose in enumerate(six):
        turn = rotation(pose[3:])
        transforms[n, :3, :3] = turn
        transforms[n, :3, 3] = pivot - turn @ pivot + pose[:3]
    return transforms


def farthest_mm(transforms: FloatArray) -> float:
    """Return how far the point of the brain that moves most gets.

    Parameters
    ----------
    transforms : ndarray, shape (T, 4, 4), mm
        From `draw_motion`.

    Returns
    -------
    float, mm
        The largest distance of a point of the brain's surface from its place in the first frame.
    """
    places = transforms[:, :3, :3] @ SURFACE_MM.T + transforms[:, :3, 3:]
    return float(np.linalg.norm(places - places[:1], axis=1).max())


def _path(rng: np.random.Generator, kind: str, times_s: FloatArray, onset_s: float) -> FloatArray:
    """Return (T, 6) courses that start at 0 and reach 1 in size."""
    duration = max(float(times_s[-1]), 1.0)
    if kind == "none":
        return np.zeros((times_s.size, 6))
    if kind == "drift":
        walk = ndimage.gaussian_filter1d(np.cumsum(rng.standard_normal((200, 6)), axis=0), 12.0, axis=0)
        walk -= walk[0]
        walk /= np.abs(walk).max(axis=0)
        at = times_s / duration * 199.0
        return np.stack([np.interp(at, np.arange(200), walk[:, d]) for d in range(6)], axis=1)
    if kind == "nod":
        start = onset_s + rng.uniform(-1.0, 4.0)
        rise, back = rng.uniform(0.6, 2.0), rng.uniform(6.0, 25.0)
        since = np.maximum(times_s - start, 0.0)
        course = (1.0 - np.exp(-since / rise)) * (0.35 + 0.65 * np.exp(-since / back))
        weights = np.array([0.15, 0.3, 0.3, 1.0, 0.2, 0.2])  # mostly the chin to the chest
        nodding: FloatArray = course[:, None] * weights / max(course.max(), 1e-6)
        return nodding
    steps = np.zeros((times_s.size, 6))
    for when in rng.uniform(0.1, 0.9, rng.integers(1, 4)) * duration:
        steps += (times_s >= when)[:, None] * rng.uniform(-1.0, 1.0, 6)
        hit = np.abs(times_s - when) < 1.0
        steps += hit[:, None] * rng.uniform(-1.0, 1.0, 6)
    steps -= steps[0]
    steps /= max(float(np.abs(steps).max()), 1e-6)
    return steps
