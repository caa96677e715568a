# SPDX-License-Identifier: Apache-2.0
"""The signal of a gradient-echo EPI on the fine grid: compartments of a voxel add up, each with its own contrast."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray
from .anatomy import Brain
from .atlas import sample_lattice
from .bolus import Bolus
from .ctp import Patient
from .draws import smooth_field, stream
from .dsc_tumor import Leak, Tumor, make_leak, positions
from .enhancement import DELAYS_S, VEIN_DELAYS_S, Source, at_times, make_sources, vessel_mixing
from .mr_protocol import Sequence
from .mr_values import Medium, approach, steady_state
from .residues import ResidueFamily
from .susceptibility import skull_base_loss
from .tissue import Compartment

FULL_SCALE = 2000.0
"""Signal of pure fluid at rest without any decay."""

KIND_FACTOR = {"gm": 1.0, "wm": 0.93, "deep": 1.04}
TUMOR_FACTOR = 1.05
REACH_MM, AROUND_SHARE = 0.8, 0.5
_FIELD_ORIGIN, _FIELD_SHAPE = np.array([-100.0, -136.0, -74.0]), (51, 59, 48)


@dataclass(frozen=True, slots=True)
class Compartment4D:
    """Voxels of one kind with their signal over time.

    Parameters
    ----------
    where : ndarray of int, shape (n,)
        Flat indices into the fine grid.
    medium : Medium
        What it is made of.
    amplitude : tuple of ndarray, shape (n,)
        Steady-state signal without contrast at each echo, volume fraction included.
    source : Source or None
        Concentration in mM; None for what takes up no contrast.
    linear, quadratic : ndarray, shape (n,) or (1,), 1/(s mM), 1/(s mM^2)
        Change of R2* with the concentration.
    leak : Leak or None
        Contrast outside the vessels.
    around : bool
        Whether it lies around large vessels, whose field dephases it (everything but their blood).
    """

    where: NDArray[np.int64]
    medium: Medium
    amplitude: tuple[NDArray[np.float32], ...]
    source: Source | None = None
    linear: NDArray[np.float32] | None = None
    quadratic: NDArray[np.float32] | None = None
    leak: Leak | None = None
    around: bool = True

    def rate(self, time_s: float) -> NDArray[np.float32] | None:
        """Return the change of R2* by contrast within vessels at a time, 1/s, shape (n,); None without contrast."""
        if self.source is None or self.linear is None:
            return None
        inside: NDArray[np.float32] = self.source.matrix @ at_times(self.source.curves, np.array([time_s]))[:, 0]
        bent = np.float32(0.0) if self.quadratic is None else self.quadratic * inside
        changed: NDArray[np.float32] = inside * (self.linear + bent)
        return changed

    def add(
        self, volumes: list[NDArray[np.float32]], time_s: float, pulses: int, sequence: Sequence, near: NDArray[np.float32]
    ) -> None:
        """Add the signal of this compartment at a time.

        Parameters
        ----------
        volumes : list of ndarray, shape (V,)
            Flat fine volumes, one per echo; changed in place.
        time_s : float, s
            Time since the first frame.
        pulses : int
            Pulses since the magnetization was at rest.
        sequence : Sequence
            The sequence.
        near : ndarray, shape (V,), 1/s
            Change of R2* around large vessels.
        """
        bright = np.float32(approach(1.0 / self.medium.t1_s, sequence.repetition_s, sequence.flip_deg, pulses))
        rate = self.rate(time_s)
        if self.around:
            rate = near[self.where] if rate is None else rate + near[self.where]
        relaxed = None
        if self.leak is not None and rate is not None:
            outside = self.leak.outside(time_s)
            rate[self.leak.rows] += np.float32(self.leak.t2star_relaxivity) * outside
            relaxed = _relaxed(sequence, self.leak.t1_relaxivity * outside)
        for volume, echo, amplitude in zip(volumes, sequence.echo_times_s, self.amplitude, strict=True):
            signal = amplitude * bright
            if rate is not None:
                signal *= np.exp(np.float32(-echo) * rate)
            if relaxed is not None and self.leak is not None:
                signal[self.leak.rows] *= relaxed
            volume[self.where] += signal


def _relaxed(sequence: Sequence, faster_per_s: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much brighter tumor becomes when R1 grows."""
    r1 = 1.0 / sequence.field.media["tumor"].t1_s
    rest = float(steady_state(r1, sequence.repetition_s, sequence.flip_deg))
    return (steady_state(r1 + faster_per_s, sequence.repetition_s, sequence.flip_deg) / rest).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What large vessels do to the signal of what lies around them in the voxel and beside it.

    Parameters
    ----------
    sources : list of Source
        Concentration of the blood at the voxels near arteries and near veins, mM.
    strength : list of ndarray, 1/(s mM)
        Change of R2* per concentration at these voxels.
    size : int
        Number of voxels of the fine grid.
    """

    sources: list[Source]
    strength: list[NDArray[np.float32]]
    size: int

    def rate(self, time_s: float) -> NDArray[np.float32]:
        """Return the change of R2* at a time, 1/s, shape (size,)."""
        total = np.zeros(self.size, np.float32)
        for source, strength in zip(self.sources, self.strength, strict=True):
            total[source.where] += strength * (source.matrix @ at_times(source.curves, np.array([time_s]))[:, 0])
        return total


def make_surroundings(patient: Patient, bolus: Bolus, sequence: Sequence) -> Surroundings:
    """Build the effect of large vessels on their surroundings.

    Static dephasing does not depend on the size of vessels above some 10 micrometers, so that a volume fraction of blood in
    large vessels acts on the rest of the voxel as in capillaries; half of it, since one vessel has one direction. Its field
    reaches beyond the vessel's wall.

    Parameters
    ----------
    patient : Patient
        Anatomy.
    bolus : Bolus
        Vascular curves, mM.
    sequence : Sequence
        The sequence.

    Returns
    -------
    Surroundings
        To be evaluated at each time.
    """
    shape = patient.grid.shape
    curves = (
        bolus.arriving(DELAYS_S).astype(np.float32),
        np.stack([np.interp(bolus.times_s - d, bolus.times_s, bolus.vof) for d in VEIN_DELAYS_S]).astype(np.float32),
    )
    sources, strength = [], []
    for vessels, table, delays in zip((patient.arteries, patient.veins), curves, (DELAYS_S, VEIN_DELAYS_S), strict=True):
        blood, moment = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        blood.reshape(-1)[vessels.where] = vessels.fraction
        moment.reshape(-1)[vessels.where] = vessels.fraction * vessels.delay_s
        sigma = REACH_MM / patient.grid.step_mm
        spread = ndimage.gaussian_filter(blood, sigma, truncate=3.0).reshape(-1)
        where = np.flatnonzero(spread > 3e-3)
        delay = ndimage.gaussian_filter(moment, sigma, truncate=3.0).reshape(-1)[where] / spread[where]
        sources.append(Source(where, vessel_mixing(delay, np.ones_like(delay), delays), table))
        strength.append((AROUND_SHARE * sequence.field.tissue_relaxivity * spread[where]).astype(np.float32))
    return Surroundings(sources, strength, int(np.prod(shape)))


def resting_signal(medium: Medium, sequence: Sequence, echo_s: float) -> float:
    """Return the steady-state signal of a pure medium without contrast.

    Parameters
    ----------
    medium : Medium
        The medium.
    sequence : Sequence
        The sequence.
    echo_s : float, s
        Echo time.

    Returns
    -------
    float
        On the scale of `FULL_SCALE`.
    """
    turned = float(np.sin(np.deg2rad(sequence.flip_deg)))
    state = float(steady_state(1.0 / medium.t1_s, sequence.repetition_s, sequence.flip_deg))
    return FULL_SCALE * medium.water * turned * state * float(np.exp(-echo_s / medium.t2star_s))


def make_compartments(
    seed: int,
    patient: Patient,
    parts: dict[str, NDArray[np.float32]],
    families: dict[str, ResidueFamily],
    bolus: Bolus,
    sequence: Sequence,
    tumor: Tumor | None,
) -> list[Compartment4D]:
    """Build everything that gives signal.

    Parameters
    ----------
    seed : int
        The patient.
    patient : Patient
        Anatomy and hemodynamics.
    parts : dict of str to ndarray, shape (V,)
        Flat fine volume fractions.
    families : dict of str to ResidueFamily
        Residue of each tissue.
    bolus : Bolus
        Vascular curves, mM.
    sequence : Sequence
        The sequence.
    tumor : Tumor or None
        A tumor.

    Returns
    -------
    list of Compartment4D
        Tissues, vessels, and what holds no contrast.
    """
    loss = skull_base_loss(seed, patient.brain, sequence, int(np.prod(patient.grid.shape)))
    pure = {name: replace(part, fraction=np.ones_like(part.fraction)) for name, part in patient.tissue.compartments.items()}
    vessels = [(v.where, np.ones_like(v.fraction), v.delay_s) for v in (patient.arteries, patient.veins)]
    sources = make_sources(bolus, families, pure, vessels[0], vessels[1])
    relax = smooth_field(stream(seed, "tissue", 5), _FIELD_SHAPE, 3.0)
    found = []
    for source, (name, part) in zip(sources, patient.tissue.compartments.items(), strict=False):
        shares = _tumor_shares(part, patient.brain, tumor)
        linear = sequence.field.tissue_relaxivity * KIND_FACTOR[name] * _varied(relax, positions(part, patient.brain))
        linear *= 1.0 + (TUMOR_FACTOR - 1.0) * (shares[0] + shares[1])
        leak = None if tumor is None else make_leak(part, patient.brain, tumor, bolus, sequence.field)
        amplitude = _tissue_amplitude(name, part, shares, sequence, loss)
        medium = sequence.field.media[name]
        found.append(Compartment4D(part.where, medium, amplitude, source, linear.astype(np.float32), None, leak))
    for source, name in zip(sources[-2:], ("artery", "vein"), strict=True):
        fraction = patient.arteries.fraction if name == "artery" else parts["vein"][source.where]
        found.append(_blood(source, name, fraction, sequence, loss))
    return found + _still(patient, parts, sequence, loss)


def _varied(field: NDArray[np.float32], points: FloatArray) -> FloatArray:
    """Return how relaxivity differs between places with the size of their small vessels, by some 6 %."""
    return 1.0 + 0.06 * sample_lattice(field, _FIELD_ORIGIN, 4.0, points, mode="wrap").astype(float)


def _tumor_shares(part: Compartment, brain: Brain, tumor: Tumor | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    if tumor is None:
        none = np.zeros(part.where.size)
        return none, none, none
    return tumor.shares(positions(part, brain))


def _tissue_amplitude(
    name: str,
    part: Compartment,
    shares: tuple[FloatArray, FloatArray, FloatArray],
    sequence: Sequence,
    loss: list[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], ...]:
    """Return the signal without contrast; water content and relaxation change in a tumor and around it."""
    alive, dead, wet = shares
    media, amplitude = sequence.field.media, []
    for left, echo in zip(loss, sequence.echo_times_s, strict=True):
        own, grown, swollen = (resting_signal(media[m], sequence, echo) for m in (name, "tumor", "edema"))
        mixed = own + (alive + dead) * (grown - own) + wet * (swollen - own)
        amplitude.append((part.fraction * mixed * left[part.where]).astype(np.float32))
    return tuple(amplitude)


def _blood(
    source: Source, name: str, fraction: NDArray[np.float32], sequence: Sequence, loss: list[NDArray[np.float32]]
) -> Compartment4D:
    """Return flowing blood; it arrives fresh, so that contrast does not change its T1 saturation."""
    medium = sequence.field.media[name]
    amplitude = tuple(
        (fraction * resting_signal(medium, sequence, echo) * left[source.where]).astype(np.float32)
        for left, echo in zip(loss, sequence.echo_times_s, strict=True)
    )
    linear, quadratic = (np.full(1, v, np.float32) for v in (sequence.field.blood_linear, sequence.field.blood_quadratic))
    return Compartment4D(source.where, medium, amplitude, source, linear, quadratic, around=False)


def _still(
    patient: Patient, parts: dict[str, NDArray[np.float32]], sequence: Sequence, loss: list[NDArray[np.float32]]
) -> list[Compartment4D]:
    """Return fluid, muscle and suppressed fat, which take up no contrast within the scan."""
    where, head = patient.brain.where, patient.head
    filled = sum(parts[name][where] for name in ("gm", "wm", "deep", "csf", "artery", "vein"))
    rest = np.clip(1.0 - filled - head.bone, 0.0, 1.0)
    within = patient.brain.outside_mm < head.parameters["gap_mm"] - 0.4
    hu = head.hu
    soft = np.clip((hu + 250.0) / 150.0, 0.0, 1.0) * ~within
    fat, globe = soft * (hu < -25.0), soft * (hu > 8.0) * (hu < 16.0)
    amounts = {
        "csf": parts["csf"][where] + rest * (within + globe),
        "fat": rest * fat,
        "muscle": rest * np.clip(soft - fat - globe, 0.0, 1.0),
    }
    found = []
    for name, amount in amounts.items():
        rows = np.flatnonzero(amount > 1e-3)
        at, medium = where[rows], sequence.field.media[name]
        amplitude = tuple(
            (amount[rows] * resting_signal(medium, sequence, echo) * left[at]).astype(np.float32)
            for left, echo in zip(loss, sequence.echo_times_s, strict=True)
        )
        found.append(Compartment4D(at, medium, amplitude))
    return found
