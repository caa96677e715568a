# SPDX-License-Identifier: Apache-2.0
"""Flow, volume and arrival of each tissue at the fine voxels, with and without the lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .anatomy import Brain
from .atlas import COARSE_MM, Atlas, sample_lattice
from .draws import smooth_field, stream
from .lesion import OUTSIDE, Lesion, effect
from .residues import COMPARTMENTS

_NORMAL = {  # mean and patient-to-patient sd of CBF and CBV, earliest arrival and its range (s)
    "gm": ((60.0, 5.0), (4.2, 0.30), (0.8, 1.2)),
    "wm": ((22.0, 2.0), (2.1, 0.15), (1.2, 1.3)),
    "deep": ((55.0, 4.0), (3.8, 0.25), (0.6, 0.6)),
}
_FIELD_ORIGIN = np.array([-100.0, -136.0, -74.0])
_FIELD_SHAPE = (51, 59, 48)


@dataclass(frozen=True)
class Compartment:
    """One tissue at the voxels that hold any of it.

    Parameters
    ----------
    where : ndarray of int, shape (n,)
        Flat indices into the fine grid.
    fraction : ndarray, shape (n,)
        Volume fraction.
    cbf, cbv, delay_s : ndarray, shape (n,)
        mL/100 g/min, mL/100 g, s.
    normal_cbf : ndarray, shape (n,)
        CBF without the lesion.
    added_s : ndarray, shape (n,), s
        Delay that the lesion adds.
    """

    where: NDArray[np.int64]
    fraction: NDArray[np.float32]
    cbf: NDArray[np.float32]
    cbv: NDArray[np.float32]
    delay_s: NDArray[np.float32]
    normal_cbf: NDArray[np.float32]
    added_s: NDArray[np.float32]

    @property
    def mtt_s(self) -> NDArray[np.float32]:
        """Mean transit time by the central volume theorem, s."""
        return 60.0 * self.cbv / self.cbf


@dataclass(frozen=True)
class Tissue:
    """All tissues of a patient.

    Parameters
    ----------
    compartments : dict of str to Compartment
        ``gm wm deep``.
    severity : ndarray, shape (m,)
        Severity of the lesion at `where`.
    fate_noise : ndarray, shape (m,)
        Field of mean 0 and sd 1 at `where`.
    where : ndarray of int, shape (m,)
        Flat indices of all voxels with tissue.
    parameters : dict
        What was drawn.
    """

    compartments: dict[str, Compartment]
    severity: NDArray[np.float32]
    fate_noise: NDArray[np.float32]
    where: NDArray[np.int64]
    parameters: dict[str, Any]


def make_tissue(seed: int, brain: Brain, atlas: Atlas, lesion: Lesion, occupied: NDArray[np.float32]) -> Tissue:
    """Give every tissue of every fine voxel its hemodynamics.

    Parameters
    ----------
    seed : int
        The patient.
    brain : Brain
        Tissue fractions.
    atlas : Atlas
        Ways of the blood.
    lesion : Lesion
        The lesion.
    occupied : ndarray, shape (n,)
        Fraction of each voxel of `brain` that vessels take from tissue.

    Returns
    -------
    Tissue
        Hemodynamics.
    """
    rng = stream(seed, "tissue")
    drawn: dict[str, Any] = {}
    for name, (flow, volume, _) in _NORMAL.items():
        drawn[name] = {
            "cbf": float(np.clip(rng.normal(*flow), flow[0] - 2 * flow[1], flow[0] + 2 * flow[1])),
            "cbv": float(np.clip(rng.normal(*volume), volume[0] - 2 * volume[1], volume[0] + 2 * volume[1])),
        }
    widths = rng.uniform(8.0, 20.0, 4)
    amounts = [rng.uniform(0.09, 0.13), rng.uniform(0.06, 0.10), rng.uniform(0.05, 0.12)]
    drawn["field_fwhm_mm"], drawn["field_sd"] = widths, amounts
    lattices = [smooth_field(rng, _FIELD_SHAPE, width / 4.0) for width in widths]
    parts = brain.fractions
    some = np.flatnonzero(parts["gm"] + parts["wm"] + parts["deep"] > 1e-3)
    points = brain.atlas_mm[:, some]
    fields = [sample_lattice(lattice, _FIELD_ORIGIN, 4.0, points, mode="wrap") for lattice in lattices]
    severity = sample_lattice(lesion.severity, lesion.origin, COARSE_MM, points)
    away = np.clip((atlas.sample(atlas.path_mm, points) - 90.0) / 180.0, 0.0, 1.0)
    lost = effect(lesion, severity)
    scar = np.zeros(some.size, np.float32) if brain.scar is None else brain.scar[some]
    kept_flow, kept_volume = (1.0 - (1.0 - kept) * scar for kept in brain.scar_flow)
    compartments = {}
    for n, name in enumerate(COMPARTMENTS):
        have = np.flatnonzero(parts[name][some] > 2e-3)
        early, late = _NORMAL[name][2]
        own = 0.8 * fields[0] + 0.6 * np.roll(fields[3], n)  # partly shared between tissues
        normal = drawn[name]["cbf"] * np.exp(amounts[0] * own - 0.5 * amounts[0] ** 2)[have]
        volume = drawn[name]["cbv"] * np.exp(amounts[1] * (0.7 * own + 0.7 * fields[1]) - 0.5 * amounts[1] ** 2)[have]
        delay = (early + late * away + amounts[2] * fields[2])[have]
        share = parts[name][some[have]] * (1.0 - occupied[some[have]])
        values = (
            share,
            normal * (lost.flow * kept_flow)[have],
            volume * (lost.volume * kept_volume)[have],
            delay + lost.delay_s[have],
            normal,
            lost.delay_s[have],
        )
        compartments[name] = Compartment(brain.where[some[have]], *(v.astype(np.float32) for v in values))
    noise = sample_lattice(lesion.fate_noise, lesion.origin, COARSE_MM, points)
    inside = np.where(severity <= 0.5 * OUTSIDE, np.float32(OUTSIDE), severity)
    return Tissue(compartments, inside, noise, brain.where[some], drawn)
