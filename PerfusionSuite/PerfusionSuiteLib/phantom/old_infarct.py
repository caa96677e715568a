# SPDX-License-Identifier: Apache-2.0
"""Old infarcts: a cortical wedge or a lacune where most tissue has turned to fluid, away from the fresh lesion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray
from .anatomy import Brain
from .atlas import COARSE_MM, Atlas, sample_lattice
from .draws import smooth_field, stream
from .lesion import OUTSIDE, Halves, Lesion

SHARE = {"clean": 0.0, "typical": 0.12, "hard": 0.5}
"""How many patients have one."""

_TRIALS = 60
_INWARD_TO = np.array([12.0, -14.0, 16.0])  # wedges point to the ventricle's body


def scarred(seed: int, recipe: str, brain: Brain, atlas: Atlas, lesion: Lesion) -> tuple[Brain, dict[str, Any]]:
    """Put an old infarct into a brain, in some of the patients.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.
    brain : Brain
        Tissue without it.
    atlas : Atlas
        The average brain.
    lesion : Lesion
        The fresh lesion, which it keeps away from.

    Returns
    -------
    Brain
        Tissue given way to fluid where `scar` is 1.
    dict
        What was drawn.
    """
    rng = stream(seed, "lesion", 1)
    present = rng.random() < SHARE[recipe]
    drawn: dict[str, Any] = {
        "kind": "lacune" if rng.random() < 0.35 else "wedge", "tissue_left": rng.uniform(0.08, 0.28),
        "flow_left": rng.uniform(0.3, 0.55), "volume_left": rng.uniform(0.45, 0.75),
        "width_mm": rng.uniform(11.0, 22.0), "length_mm": rng.uniform(26.0, 42.0), "lacune_mm": rng.uniform(4.0, 7.5),
    }  # fmt: skip
    share = _share(rng, atlas, lesion, drawn) if present else None
    if share is None:
        return brain, {"kind": "none"}
    both = Halves(atlas)
    scar = sample_lattice(share, both.origin, COARSE_MM, brain.atlas_mm) * (brain.outside_mm < 1.0)
    parts = dict(brain.fractions)
    lost = scar * (1.0 - drawn["tissue_left"])
    for name in ("gm", "wm", "deep"):
        gone = lost * parts[name]
        parts[name] = (parts[name] - gone).astype(np.float32)
        parts["csf"] = (parts["csf"] + gone).astype(np.float32)
    return replace(
        brain, fractions=parts, scar=scar.astype(np.float32), scar_flow=(drawn["flow_left"], drawn["volume_left"])
    ), drawn


def _share(rng: np.random.Generator, atlas: Atlas, lesion: Lesion, drawn: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the share (0 to 1) of the old infarct on the coarse lattice; None if there is no room beside the lesion."""
    both = Halves(atlas)
    ragged = 2.2 * smooth_field(rng, both.shape, 3.5)
    fresh = ndimage.binary_dilation(lesion.severity > 0.5 * OUTSIDE, iterations=2)
    x, y, z = both.positions()
    if drawn["kind"] == "lacune":
        home = both.fed_by(("deep",)) & (np.abs(x) > 8.0)
    else:
        inner = ndimage.binary_erosion(both.brain, iterations=2)
        home = both.brain & ~inner & (np.abs(x) > 22.0) & (z > -20.0)
    candidates = np.argwhere(home & ~fresh)
    for _ in range(_TRIALS if len(candidates) else 0):
        centre = both.origin + COARSE_MM * candidates[rng.integers(len(candidates))]
        inside = _inside(drawn, [x - centre[0], y - centre[1], z - centre[2]], centre, ragged)
        here = both.brain & (x * np.sign(centre[0]) > 1.0)
        region: BoolArray = (inside > 0) & here
        if not (region & fresh).any() and region.sum() > 12:
            found: NDArray[np.float32] = np.where(here, np.clip(0.5 + 0.5 * inside, 0.0, 1.0), 0.0).astype(np.float32)
            drawn["centre_mm"] = centre
            return found
    return None


def _inside(drawn: dict[str, Any], apart: list[FloatArray], centre: FloatArray, ragged: NDArray[np.float32]) -> FloatArray:
    """Return the distance (mm) to the border of a lacune or wedge, positive inside."""
    squared = apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2
    if drawn["kind"] == "lacune":
        result: FloatArray = drawn["lacune_mm"] - np.sqrt(squared) + 0.3 * ragged
        return result
    inward = np.array([np.sign(centre[0]), 1.0, 1.0]) * _INWARD_TO - centre
    inward /= np.linalg.norm(inward)
    along = apart[0] * inward[0] + apart[1] * inward[1] + apart[2] * inward[2]
    across = np.sqrt(np.maximum(squared - along**2, 0.0))
    width = drawn["width_mm"] * (1.0 - np.maximum(along, 0.0) / drawn["length_mm"])
    wedge: FloatArray = np.minimum(width - across, 20.0 + along) + ragged
    return wedge
