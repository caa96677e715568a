# SPDX-License-Identifier: Apache-2.0
"""Lesions: which tissue loses its supply, how deeply, and what that does to flow, volume and arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from .atlas import COARSE_MM, GROUPS, Atlas
from .draws import smooth_field, stream

SITES = (
    "ica", "m1", "m2-superior", "m2-inferior", "m3", "aca", "pca", "basilar", "lacunar", "none", "stenosis", "bilateral",
    "luxury", "seizure",
)  # fmt: skip
_PREVALENCE = (0.10, 0.28, 0.12, 0.12, 0.10, 0.05, 0.06, 0.03, 0.03, 0.04, 0.02, 0.01, 0.02, 0.02)
_FED_BY = {
    "ica": ("aca", "m2-superior", "m2-inferior", "deep"),
    "m1": ("m2-superior", "m2-inferior", "deep"),
    "m2-superior": ("m2-superior",),
    "m2-inferior": ("m2-inferior",),
    "aca": ("aca",),
    "pca": ("pca",),
    "basilar": ("basilar", "pca"),
    "stenosis": ("m2-superior", "m2-inferior", "deep"),
    "bilateral": ("m2-superior", "m2-inferior"),
    "luxury": ("m2-superior", "m2-inferior"),
}
_TYPICAL_ML = {  # medians of (whole lesion, core), mL
    "ica": (190.0, 55.0), "m1": (150.0, 32.0), "m2-superior": (75.0, 14.0), "m2-inferior": (75.0, 14.0), "m3": (22.0, 5.0),
    "aca": (45.0, 12.0), "pca": (40.0, 12.0), "basilar": (80.0, 18.0), "bilateral": (60.0, 10.0),
    "stenosis": (220.0, 0.0), "luxury": (90.0, 0.0),
}  # fmt: skip


OUTSIDE = -4.0
"""Severity where nothing is wrong."""


@dataclass(frozen=True)
class Lesion:
    """A lesion on the coarse atlas lattice (both halves); outside it flow 1, volume 1, delay 0.

    Parameters
    ----------
    site, side : str
        Where; ``none`` for no lesion.
    severity : ndarray, shape (99, 117, 95)
        Negative outside, 0 to 1 through the penumbra from its rim inwards, 1 to 2 through the core.
    fate_noise : ndarray, shape (99, 117, 95)
        Field of mean 0 and sd 1 by which tissue resists or fails.
    origin : ndarray, shape (3,), mm
        Atlas position of the first lattice point.
    parameters : dict
        What was drawn.
    """

    site: str
    side: str
    severity: NDArray[np.float32]
    fate_noise: NDArray[np.float32]
    origin: FloatArray
    parameters: dict[str, Any]


def draw_lesion(seed: int, atlas: Atlas, site: str | None) -> Lesion:
    """Draw the lesion of a patient.

    Parameters
    ----------
    seed : int
        The patient.
    atlas : Atlas
        Territories.
    site : str or None
        One of `SITES`; None draws one.

    Returns
    -------
    Lesion
        Severity on the coarse lattice.

    Raises
    ------
    InvalidInputError
        If the site is unknown.
    """
    if site is not None and site not in SITES:
        msg = f"There is no lesion site '{site}'. Use one of {', '.join(SITES)}."
        raise InvalidInputError(msg)
    rng = stream(seed, "lesion")
    drawn_site, left = str(rng.choice(SITES, p=_PREVALENCE)), bool(rng.random() < 0.5)
    site = site or drawn_site
    drawn = _drawn_numbers(rng, site)
    both = Halves(atlas)
    ragged = smooth_field(rng, both.shape, 5.0) * 4.5 + smooth_field(rng, both.shape, 2.5) * 2.5
    depth = _depth(rng, both, site, left, drawn)
    noise = smooth_field(rng, both.shape, 4.0)
    severity = _severity(depth + np.where(depth > 0, ragged, 0.0), depth > 0, both, drawn)
    side = {"none": "none", "basilar": "bilateral", "bilateral": "bilateral"}.get(site, "left" if left else "right")
    return Lesion(site, side, severity, noise, both.origin, {"site": site, "side": side, **drawn})


class Halves:
    """Labels of both halves on one lattice."""

    def __init__(self, atlas: Atlas) -> None:
        brain = atlas.brain[::2, ::2, ::2].astype(bool)
        self.group = self._joined(atlas.group)
        self.branch = self._joined(atlas.branch)
        self.brain = self._joined(brain)
        self.shape = self.brain.shape
        half = brain.shape[0]
        self.origin = np.array([-COARSE_MM * (half - 1), atlas.origin[1], atlas.origin[2]])
        self.left = np.zeros(self.shape, bool)
        self.left[: half - 1] = True
        self.right = np.zeros(self.shape, bool)
        self.right[half:] = True

    @staticmethod
    def _joined(values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values[:0:-1], values])

    def positions(self) -> list[FloatArray]:
        """Return atlas positions (mm) along each axis, ready to broadcast."""
        return [self.origin[d] + COARSE_MM * n for d, n in enumerate(np.ogrid[tuple(slice(0, s) for s in self.shape)])]

    def fed_by(self, groups: tuple[str, ...]) -> BoolArray:
        """Return the tissue of some territories."""
        found: BoolArray = self.brain & np.isin(self.group, [GROUPS.index(g) for g in groups])
        return found


def _drawn_numbers(rng: np.random.Generator, site: str) -> dict[str, Any]:
    whole, core = _TYPICAL_ML.get(site, (0.0, 0.0))
    whole *= float(np.exp(0.45 * rng.standard_normal()))
    core *= float(np.exp(0.95 * rng.standard_normal()))
    if rng.random() < 0.12:
        core = 0.0
    core = min(core, 150.0, 0.75 * whole)
    return {
        "asked_whole_ml": min(whole, 250.0 + core), "asked_core_ml": core, "edge_mm": rng.uniform(2.0, 4.5),
        "delay_rim_s": rng.uniform(2.5, 4.0), "delay_deep_s": rng.uniform(5.0, 8.0), "delay_core_s": rng.uniform(6.5, 11.0),
        "flow_rim": rng.uniform(0.55, 0.62), "flow_deep": rng.uniform(0.34, 0.42), "flow_core_rim": rng.uniform(0.22, 0.28),
        "flow_core": rng.uniform(0.05, 0.12), "volume_rim": rng.uniform(1.0, 1.15), "volume_peak": rng.uniform(1.1, 1.4),
        "volume_core_rim": rng.uniform(0.6, 0.7), "volume_core": rng.uniform(0.2, 0.35), "duration_h": rng.uniform(0.5, 12.0),
        "hyperemia": rng.uniform(1.3, 1.7), "stenosis_delay_s": rng.uniform(2.0, 4.0),
    }  # fmt: skip


def _depth(rng: np.random.Generator, both: Halves, site: str, left: bool, drawn: dict[str, Any]) -> FloatArray:
    """Return the distance (mm) of affected tissue from tissue whose supply is open, 0 elsewhere."""
    here = both.left if left else both.right
    if site in ("none",):
        return np.zeros(both.shape)
    if site in ("lacunar", "seizure"):
        return _ball(rng, both, here, site, drawn)
    if site == "m3":
        affected = _some_branches(rng, both, here, drawn["asked_whole_ml"])
    else:
        affected = both.fed_by(_FED_BY[site])
        if site not in ("basilar", "bilateral"):
            affected &= here
    beyond_falx = both.right if left else both.left
    core_supply = both.fed_by(_FED_BY["m1"]) & here if site == "ica" else affected
    closed = core_supply | ~both.brain | (beyond_falx if site not in ("basilar", "bilateral") else False)
    depth = COARSE_MM * ndimage.distance_transform_edt(closed)
    if site == "ica":  # the anterior territory is mostly spared by its twin across the communicating artery
        depth = np.where(both.fed_by(("aca",)), 0.4 * _from_open(both, "aca", beyond_falx), depth)
    if "deep" in _FED_BY.get(site, ()):
        depth = depth + 9.0 * (both.fed_by(("deep",)) & here)  # end arteries: no collaterals
    if site in ("ica", "m1", "m2-superior", "m2-inferior"):  # the insula lies farthest from the collaterals
        x, y, z = both.positions()
        depth = depth + 11.0 * np.exp(-0.5 * ((np.abs(x) - 36.0) ** 2 + (y - 2.0) ** 2 + (z - 5.0) ** 2) / 17.0**2)
    result: FloatArray = np.where(affected, np.maximum(depth, 1e-3), 0.0)
    return result


def _from_open(both: Halves, group: str, beyond_falx: BoolArray) -> FloatArray:
    """Return the distance (mm) to brain of the same side outside a territory."""
    distance: FloatArray = COARSE_MM * ndimage.distance_transform_edt(both.fed_by((group,)) | ~both.brain | beyond_falx)
    return distance


def _ball(rng: np.random.Generator, both: Halves, here: BoolArray, site: str, drawn: dict[str, Any]) -> FloatArray:
    groups = ("deep",) if site == "lacunar" else ("m2-superior", "m2-inferior")
    candidates = np.argwhere(both.fed_by(groups) & here)
    centre = candidates[rng.integers(len(candidates))]
    radius = rng.uniform(5.0, 8.0) if site == "lacunar" else rng.uniform(20.0, 35.0)
    apart = COARSE_MM * np.sqrt(sum((n - c) ** 2 for n, c in zip(np.ogrid[tuple(map(slice, both.shape))], centre, strict=True)))
    volume = 4.19e-3 * radius**3
    drawn["asked_whole_ml"], drawn["asked_core_ml"] = (volume, 0.4 * volume) if site == "lacunar" else (0.8 * volume, 0.0)
    depth: FloatArray = np.where(both.brain & here, np.maximum(radius + 6.0 - apart, 0.0), 0.0)
    return depth


def _some_branches(rng: np.random.Generator, both: Halves, here: BoolArray, wanted_ml: float) -> BoolArray:
    """Return the tissue of neighbouring cortical branches that together hold a little more than `wanted_ml`."""
    middle = both.fed_by(("m2-superior", "m2-inferior")) & here
    numbers, counts = np.unique(both.branch[middle], return_counts=True)
    centres = np.array(ndimage.center_of_mass(middle, both.branch, numbers))
    weight = np.minimum(counts, 2000)
    first = centres[rng.choice(len(numbers), p=weight / weight.sum())]
    affected = np.zeros(both.shape, bool)
    for n in np.argsort(np.linalg.norm(centres - first, axis=1)):
        affected |= middle & (both.branch == numbers[n])
        if affected.sum() * COARSE_MM**3 / 1000.0 > 1.6 * wanted_ml:
            break
    return affected


def _severity(depth: FloatArray, affected: BoolArray, both: Halves, drawn: dict[str, Any]) -> NDArray[np.float32]:
    """Turn depth into severity so that the lesion and its core have the volumes that were drawn."""
    severity = np.full(both.shape, OUTSIDE, np.float32)
    inside = depth[affected]
    if inside.size == 0:
        return severity
    ordered = np.sort(inside)[::-1]
    per_voxel = COARSE_MM**3 / 1000.0
    margin = float(ordered[min(int(drawn["asked_whole_ml"] / per_voxel), int(0.97 * ordered.size))])
    wanted = int(drawn["asked_core_ml"] / per_voxel)
    deepest = float(ordered[0])
    core_from = float(ordered[min(wanted, int(0.8 * ordered.size))]) if wanted else deepest + 8.0
    core_from = max(core_from, margin + 1.0)
    penumbra = np.clip((inside - margin) / (core_from - margin), OUTSIDE, 1.0)
    core = np.clip((inside - core_from) / max(deepest - core_from, 6.0), 0.0, 1.0)
    severity[affected] = np.where(core > 0, 1.0 + core, penumbra)
    drawn["margin_mm"], drawn["core_from_mm"] = margin, core_from
    return severity


@dataclass(frozen=True)
class Effect:
    """What a lesion does to tissue.

    Parameters
    ----------
    flow, volume : ndarray
        Factors on CBF and CBV of all tissue.
    delay_s : ndarray, s
        Added to the arrival.
    """

    flow: FloatArray
    volume: FloatArray
    delay_s: FloatArray


def effect(lesion: Lesion, severity: FloatArray) -> Effect:
    """Return what a severity does.

    Parameters
    ----------
    lesion : Lesion
        The lesion and its drawn numbers.
    severity : ndarray
        Severity at the positions of interest.

    Returns
    -------
    Effect
        Factors and delay, equal in shape to `severity`.
    """
    d = lesion.parameters
    if lesion.site == "none":
        return Effect(np.ones_like(severity), np.ones_like(severity), np.zeros_like(severity))
    span = d["core_from_mm"] - d["margin_mm"]
    inside = 1.0 / (1.0 + np.exp(-np.clip(severity / min(0.25 * d["edge_mm"] / span, 0.4), -40.0, 40.0)))
    if lesion.site == "stenosis":
        return Effect(1.0 - 0.06 * inside, 1.0 + 0.12 * inside, d["stenosis_delay_s"] * inside)
    if lesion.site in ("luxury", "seizure"):
        return Effect(1.0 + (d["hyperemia"] - 1.0) * inside, 1.0 + 0.6 * (d["hyperemia"] - 1.0) * inside, -0.25 * inside)
    at = [0.0, 0.5, 0.94, 1.06, 2.0]
    half_flow, half_delay = 0.5 * (d["flow_rim"] + d["flow_deep"]), 0.5 * (d["delay_rim_s"] + d["delay_deep_s"])
    flow = np.interp(severity, at, [d["flow_rim"], half_flow, d["flow_deep"], d["flow_core_rim"], d["flow_core"]])
    volume = np.interp(severity, at, [d["volume_rim"], d["volume_peak"], 0.92, d["volume_core_rim"], d["volume_core"]])
    delay = np.interp(severity, at, [d["delay_rim_s"], half_delay, d["delay_deep_s"], d["delay_deep_s"], d["delay_core_s"]])
    return Effect(1.0 + (flow - 1.0) * inside, 1.0 + (volume - 1.0) * inside, delay * inside)
