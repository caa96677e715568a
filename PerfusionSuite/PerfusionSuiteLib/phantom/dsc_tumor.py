# SPDX-License-Identifier: Apache-2.0
"""A tumor: raised blood volume in its rim, a dead middle, edema around, and vessels that leak contrast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.constants import ARTERIAL_HEMATOCRIT
from ..core.geometry import FloatArray
from .anatomy import Brain
from .atlas import sample_lattice
from .bolus import STEP_S, Bolus
from .draws import smooth_field, stream
from .enhancement import at_times
from .mr_values import Field, steady_state
from .tissue import Compartment, Tissue

PREVALENCE = 0.25
"""Share of patients without a given lesion that have a tumor."""

_LATTICE, _ORIGIN, _STEP_MM = (64, 70, 60), np.array([-128.0, -150.0, -90.0]), 4.0
_RATES = np.geomspace(1e-4, 0.05, 48)  # 1/s


@dataclass(frozen=True, slots=True)
class Tumor:
    """Where a tumor lies and what was drawn of it; maps are given at any atlas positions.

    Parameters
    ----------
    side : {"left", "right"}
        The patient's side.
    ragged : ndarray, shape (64, 70, 60), mm
        Displacement of its border on a 4 mm lattice.
    patchy : ndarray, shape (64, 70, 60)
        Field of mean 0 and sd 1 by which blood volume and leakage vary.
    parameters : dict
        What was drawn.
    """

    side: str
    ragged: NDArray[np.float32]
    patchy: NDArray[np.float32]
    parameters: dict[str, Any]

    def depth_mm(self, points: FloatArray) -> FloatArray:
        """Return the depth below the tumor's border in mm, negative outside.

        Parameters
        ----------
        points : ndarray, shape (3, n), mm
            Atlas positions.

        Returns
        -------
        ndarray, shape (n,), mm
            Depth.
        """
        centre = np.asarray(self.parameters["centre_mm"])[:, None]
        depth: FloatArray = self.parameters["radius_mm"] - np.linalg.norm(points - centre, axis=0)
        near = depth > -30.0
        depth[near] += sample_lattice(self.ragged, _ORIGIN, _STEP_MM, points[:, near], mode="wrap")
        return depth

    def shares(self, points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return how much of a place is living tumor, dead tumor and edema.

        Parameters
        ----------
        points : ndarray, shape (3, n), mm
            Atlas positions.

        Returns
        -------
        tuple of ndarray, shape (n,)
            Shares that sum to at most 1.
        """
        depth = self.depth_mm(points)
        inside = np.clip(depth / 2.0 + 0.5, 0.0, 1.0)
        dead = np.clip((depth - self.parameters["rim_mm"]) / 2.0 + 0.5, 0.0, 1.0)
        wet = np.clip((depth + self.parameters["edema_mm"]) / 4.0 + 0.5, 0.0, 1.0)
        return inside - dead, dead, wet - inside

    def patches(self, points: FloatArray) -> FloatArray:
        """Return the factor by which blood volume and leakage vary within the tumor.

        Parameters
        ----------
        points : ndarray, shape (3, n), mm
            Atlas positions.

        Returns
        -------
        ndarray, shape (n,)
            Mean about 1.
        """
        field = sample_lattice(self.patchy, _ORIGIN, _STEP_MM, points, mode="wrap")
        factor: FloatArray = np.exp(0.22 * field.astype(float))
        return factor


def draw_tumor(seed: int) -> Tumor:
    """Draw a patient's tumor.

    Parameters
    ----------
    seed : int
        The patient.

    Returns
    -------
    Tumor
        Its place, size, hemodynamics and leakage.
    """
    rng = stream(seed, "lesion", 3)
    left = bool(rng.random() < 0.5)
    place = np.array([rng.uniform(20.0, 36.0) * (-1.0 if left else 1.0), rng.uniform(-45.0, 38.0), rng.uniform(4.0, 36.0)])
    radius = float(rng.uniform(11.0, 22.0))
    drawn: dict[str, Any] = {
        "centre_mm": place, "side": "left" if left else "right", "radius_mm": radius,
        "rim_mm": float(rng.uniform(0.45, 0.8) * radius) if rng.random() < 0.6 else 3.0 * radius,
        "edema_mm": float(rng.uniform(6.0, 16.0)), "cbv": float(rng.uniform(4.5, 9.5)), "mtt_s": float(rng.uniform(5.0, 9.0)),
        "delay_s": float(rng.uniform(0.0, 0.8)), "ktrans_per_min": float(rng.uniform(0.05, 0.22)),
        "extravascular_share": float(rng.uniform(0.2, 0.5)),
        "t2star_relaxivity": float(rng.uniform(8.0, 30.0) if rng.random() < 0.5 else rng.uniform(40.0, 90.0)),
    }  # fmt: skip
    ragged = 1.4 * smooth_field(rng, _LATTICE, 3.0) + 0.8 * smooth_field(rng, _LATTICE, 1.8)
    return Tumor(drawn["side"], ragged.astype(np.float32), smooth_field(rng, _LATTICE, 3.0), drawn)


def with_tumor(tissue: Tissue, brain: Brain, tumor: Tumor) -> Tissue:
    """Give tissue the hemodynamics of a tumor where it grows.

    Parameters
    ----------
    tissue : Tissue
        Tissue without it.
    brain : Brain
        Its atlas positions.
    tumor : Tumor
        The tumor.

    Returns
    -------
    Tissue
        Changed tissue.
    """
    return replace(tissue, compartments={name: _changed(part, brain, tumor) for name, part in tissue.compartments.items()})


def _changed(part: Compartment, brain: Brain, tumor: Tumor) -> Compartment:
    points = positions(part, brain)
    alive, dead, wet = tumor.shares(points)
    near = alive + dead + wet > 0
    d = tumor.parameters
    patch = np.ones(near.size)
    patch[near] = tumor.patches(points[:, near])
    kept = 1.0 - alive - dead - 0.25 * wet
    volume = kept * part.cbv + alive * d["cbv"] * patch + dead * 0.7
    flow = kept * part.cbf + alive * 60.0 * d["cbv"] * patch / d["mtt_s"] + dead * 5.0
    delay = part.delay_s + d["delay_s"] * (alive + dead)
    return replace(
        part, cbf=flow.astype(np.float32), cbv=volume.astype(np.float32), delay_s=delay.astype(np.float32),
        normal_cbf=part.normal_cbf,
    )  # fmt: skip


def positions(part: Compartment, brain: Brain) -> FloatArray:
    """Return atlas positions of a compartment's voxels.

    Parameters
    ----------
    part : Compartment
        A tissue.
    brain : Brain
        The brain it belongs to.

    Returns
    -------
    ndarray, shape (3, n), mm
        Positions.
    """
    points: FloatArray = brain.atlas_mm[:, np.searchsorted(brain.where, part.where)]
    return points


@dataclass(frozen=True, slots=True)
class Leak:
    """Contrast outside the vessels of one compartment.

    Parameters
    ----------
    rows : ndarray of int, shape (m,)
        Which of the compartment's voxels leak.
    ktrans_per_s : ndarray, shape (m,), 1/s
        Transfer constant.
    low, share : ndarray, shape (m,)
        Place of each voxel's rate of return in the table of curves.
    curves : ndarray, shape (R, F), mM s
        Plasma curve convolved with exponentials, on the 0.1 s axis.
    t1_relaxivity, t2star_relaxivity : float, 1/(s mM)
        Effect of contrast in the interstitium on R1 and R2*.
    """

    rows: NDArray[np.int64]
    ktrans_per_s: NDArray[np.float32]
    low: NDArray[np.int64]
    share: NDArray[np.float32]
    curves: NDArray[np.float32]
    t1_relaxivity: float
    t2star_relaxivity: float

    def outside(self, time_s: float) -> NDArray[np.float32]:
        """Return the concentration outside the vessels at a time, mM, shape (m,)."""
        now = at_times(self.curves, np.array([time_s]))[:, 0]
        found: NDArray[np.float32] = self.ktrans_per_s * (now[self.low] * (1.0 - self.share) + now[self.low + 1] * self.share)
        return found


def make_leak(part: Compartment, brain: Brain, tumor: Tumor, bolus: Bolus, field: Field) -> Leak | None:
    """Build the leakage of one compartment.

    Parameters
    ----------
    part : Compartment
        A tissue.
    brain : Brain
        The brain it belongs to.
    tumor : Tumor
        The tumor.
    bolus : Bolus
        Vascular curves in mM.
    field : Field
        Relaxivities.

    Returns
    -------
    Leak or None
        None when no voxel leaks.
    """
    ktrans = leakage_per_min(positions(part, brain), tumor)
    rows = np.flatnonzero(ktrans > 1e-3)
    if not rows.size:
        return None
    d = tumor.parameters
    per_s = ktrans[rows] / 60.0
    place = np.clip(np.interp(np.log(per_s / d["extravascular_share"]), np.log(_RATES), np.arange(_RATES.size)), 0, 46.999)
    low = place.astype(np.int64)
    plasma = bolus.arriving(np.array([1.2 + d["delay_s"]]))[0] / (1.0 - ARTERIAL_HEMATOCRIT)
    curves = np.stack([_washed(plasma, rate) for rate in _RATES]).astype(np.float32)
    return Leak(
        rows, per_s.astype(np.float32), low, (place - low).astype(np.float32), curves, field.t1_relaxivity, d["t2star_relaxivity"]
    )


def leakage_per_min(points: FloatArray, tumor: Tumor) -> FloatArray:
    """Return the transfer constant at atlas positions, 1/min."""
    alive, dead, _ = tumor.shares(points)
    near = alive + dead > 0
    result = np.zeros(near.size)
    result[near] = tumor.parameters["ktrans_per_min"] * (alive + 0.12 * dead)[near] * tumor.patches(points[:, near])
    return result


def _washed(plasma: FloatArray, rate: float) -> FloatArray:
    """Integrate ``dC/dt = plasma - rate C`` exactly for a curve that is linear between samples."""
    keep = np.exp(-rate * STEP_S)
    one = (1.0 - keep) / rate
    slope = (STEP_S - one) / (rate * STEP_S)
    result = np.zeros_like(plasma)
    for n in range(1, plasma.size):
        result[n] = keep * result[n - 1] + one * plasma[n - 1] + slope * (plasma[n] - plasma[n - 1])
    return result


def leakage_sign(tumor: Tumor, field: Field, repetition_s: float, flip_deg: float, echo_s: float) -> tuple[float, float]:
    """Return how much leaked contrast changes the apparent R2* at small concentration, and through T1 and T2* apart.

    Parameters
    ----------
    tumor : Tumor
        The tumor.
    field : Field
        Relaxivities and relaxation times.
    repetition_s, echo_s : float, s
        Sequence.
    flip_deg : float, degrees
        Flip angle.

    Returns
    -------
    through_t1, through_t2star : float, 1/(s mM)
        Their difference has the sign of K2: positive when the signal grows brighter.
    """
    rate = 1.0 / field.media["tumor"].t1_s
    step = 1e-4
    higher, lower = (float(steady_state(rate + s, repetition_s, flip_deg)) for s in (step, -step))
    slope = (np.log(higher) - np.log(lower)) / (2 * step)
    return float(slope * field.t1_relaxivity / echo_s), float(tumor.parameters["t2star_relaxivity"])
