# SPDX-License-Identifier: Apache-2.0
"""The signal of an ASL scan on the fine grid: still tissue, and what labeling takes from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .acquisition import Protocol
from .anatomy import FineGrid
from .asl_kinetics import PULSE_EFFICIENCY, artery_label, still_signal, suppression_times, tissue_label
from .asl_protocol import AslSequence
from .ctp import Patient
from .draws import stream
from .dsc_signal import FULL_SCALE

T1_S = {1.5: {"gm": 1.19, "wm": 0.68, "deep": 0.95}, 3.0: {"gm": 1.36, "wm": 0.84, "deep": 1.12}}
BLOOD_T1_S = {1.5: 1.35, 3.0: 1.65}
PARTITION = {"gm": 0.95, "wm": 0.86, "deep": 0.92}
SHORTENED = 0.75
"""The label's front comes before the middle of a contrast bolus that spread on its way."""


@dataclass(frozen=True, slots=True)
class Perfused:
    """One tissue with its flow and arrival.

    Parameters
    ----------
    name : str
        ``gm wm deep``.
    where : ndarray of int, shape (n,)
        Flat indices into the fine grid.
    fraction : ndarray, shape (n,)
        Volume fraction.
    cbf, normal_cbf : ndarray, shape (n,), mL/100 g/min
        Perfusion, and that without the lesion.
    att_s, added_s : ndarray, shape (n,), s
        Arterial transit time, and the part of it that the lesion adds.
    m0 : float, signal
        Of pure, fully relaxed tissue.
    t1_s : float, s
        Longitudinal relaxation.
    partition : float, mL/g
        Partition coefficient of water.
    """

    name: str
    where: NDArray[np.int64]
    fraction: NDArray[np.float32]
    cbf: NDArray[np.float32]
    normal_cbf: NDArray[np.float32]
    att_s: NDArray[np.float32]
    added_s: NDArray[np.float32]
    m0: float
    t1_s: float
    partition: float


@dataclass(frozen=True, slots=True)
class Still:
    """What gives signal but takes up no label: fluid, blood, muscle, fat."""

    where: NDArray[np.int64]
    fraction: NDArray[np.float32]
    m0: float
    t1_s: float


@dataclass(frozen=True, slots=True)
class Arteries:
    """Large arteries and when the bolus passes each voxel of them."""

    where: NDArray[np.int64]
    fraction: NDArray[np.float32]
    arrival_s: NDArray[np.float32]
    m0: float


@dataclass(frozen=True, slots=True)
class AslHead:
    """Everything that gives signal, on the fine grid.

    Parameters
    ----------
    grid : FineGrid
        The grid.
    tissues : tuple of Perfused
        What is perfused.
    still : tuple of Still
        What is not.
    arteries : Arteries or None
        Label in large arteries; None when crushers take it away.
    t1_blood_s : float, s
        Longitudinal relaxation of blood.
    dispersion : float
        Spread of arrival relative to its mean.
    parameters : dict
        What was drawn.
    """

    grid: FineGrid
    tissues: tuple[Perfused, ...]
    still: tuple[Still, ...]
    arteries: Arteries | None
    t1_blood_s: float
    dispersion: float
    parameters: dict[str, Any]

    def relaxed(self, repetition_s: float) -> NDArray[np.float32]:
        """Return an M0 image, (K, J, I); an infinite repetition time gives the fully relaxed one."""
        return self._filled(lambda t1: 1.0 - float(np.exp(-repetition_s / t1)))

    @property
    def _parts(self) -> tuple[Perfused | Still, ...]:
        return (*self.tissues, *self.still)

    def background(self, sequence: AslSequence, delay: int, late_s: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return still tissue at the picture of a delay, (K, J, I); `late_s` says how late each fine slice is read."""
        readout = sequence.readout_s(delay)
        pulses = suppression_times(sequence.pulses, readout)
        times, place = np.unique(late_s, return_inverse=True)
        if times.size == 1:
            return self._filled(lambda t1: float(still_signal(t1, pulses, readout + times[0])))
        flat = np.zeros(int(np.prod(self.grid.shape)), np.float32)
        per_slice = int(np.prod(self.grid.shape[1:]))
        for part in self._parts:
            level = still_signal(part.t1_s, pulses, readout + times)[place]
            flat[part.where] += (part.fraction * part.m0 * level[part.where // per_slice]).astype(np.float32)
        return flat.reshape(self.grid.shape)

    def labeled(self, sequence: AslSequence, delay: int, late_s: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return control minus label of a delay, (K, J, I)."""
        flat = np.zeros(int(np.prod(self.grid.shape)), np.float32)
        per_slice = int(np.prod(self.grid.shape[1:]))
        gain = 2.0 * sequence.efficiency * PULSE_EFFICIENCY**sequence.pulses
        common: dict[str, Any] = {"pulsed": sequence.pulsed, "bolus_s": sequence.label_s}
        for part in self.tissues:
            after = sequence.readout_s(delay) + late_s[part.where // per_slice]
            seen = tissue_label(
                part.cbf,
                part.att_s,
                part.t1_s,
                self.t1_blood_s,
                part.partition,
                after_s=after,
                dispersion=self.dispersion,
                **common,
            )
            flat[part.where] += np.float32(gain * part.m0 / part.partition) * part.fraction * seen
        if self.arteries is not None:
            after = sequence.readout_s(delay) + late_s[self.arteries.where // per_slice]
            seen = artery_label(self.arteries.arrival_s, self.t1_blood_s, after_s=after, **common)
            flat[self.arteries.where] += np.float32(gain * self.arteries.m0) * self.arteries.fraction * seen
        return flat.reshape(self.grid.shape)

    def _filled(self, level: Any) -> NDArray[np.float32]:
        flat = np.zeros(int(np.prod(self.grid.shape)), np.float32)
        for part in self._parts:
            flat[part.where] += part.fraction * np.float32(part.m0 * level(part.t1_s))
        return flat.reshape(self.grid.shape)


def make_asl_head(
    seed: int, recipe: str, patient: Patient, parts: dict[str, NDArray[np.float32]], sequence: AslSequence, *, vessels: bool
) -> AslHead:
    """Give a patient what an ASL scan sees.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        ``clean`` has the partition coefficient of 0.9 everywhere and neither dispersion nor an unusual T1 of blood.
    patient : Patient
        Anatomy and hemodynamics.
    parts : dict of str to ndarray, shape (V,)
        Flat fine volume fractions.
    sequence : AslSequence
        Labeling and readout.
    vessels : bool
        Whether label in large arteries is seen.

    Returns
    -------
    AslHead
        The head.

    Notes
    -----
    A patient is scanned by ASL days after an occlusion or with a chronic one: collaterals have formed, so that label comes 0.3 to
    0.5 times as late behind the lesion as in the acute hours (``collaterals`` of the parameters).
    """
    rng = stream(seed, "tissue", 11)
    plain = recipe == "clean"
    drawn: dict[str, Any] = {
        "neck_s": float(rng.uniform(0.15, 0.35)), "collaterals": float(rng.uniform(0.3, 0.5)),
        "t1_scatter": float(rng.normal(0.0, 0.03)), "blood_scatter": 0.0 if plain else float(rng.normal(0.0, 0.03)),
        "dispersion": 0.0 if plain else float(rng.uniform(0.05, 0.15)), "vessels": vessels,
    }  # fmt: skip
    field = sequence.field
    t1_blood = BLOOD_T1_S[field.tesla] * (1.0 + drawn["blood_scatter"])
    tissues = []
    for name, part in patient.tissue.compartments.items():
        added = drawn["collaterals"] * part.added_s
        att = drawn["neck_s"] + SHORTENED * (part.delay_s - part.added_s) + added
        m0 = _relaxed_signal(field.media[name], sequence)
        t1 = T1_S[field.tesla][name] * (1.0 + drawn["t1_scatter"])
        share = 0.9 if plain else PARTITION[name]
        tissues.append(
            Perfused(name, part.where, part.fraction, part.cbf, part.normal_cbf, att.astype(np.float32),
                     added.astype(np.float32), m0, t1, share)
        )  # fmt: skip
    blood_m0 = tissues[0].m0 / tissues[0].partition
    arteries = None
    if vessels:
        volume = patient.arteries
        passing = drawn["neck_s"] + SHORTENED * volume.delay_s
        arteries = Arteries(volume.where, volume.fraction, passing.astype(np.float32), blood_m0)
    drawn["t1_s"], drawn["t1_blood_s"] = {part.name: part.t1_s for part in tissues}, t1_blood
    drawn["partition"] = {part.name: part.partition for part in tissues}
    drawn["m0"] = {part.name: part.m0 for part in tissues}
    still = tuple(_still(patient, parts, sequence))
    return AslHead(patient.grid, tuple(tissues), still, arteries, t1_blood, drawn["dispersion"], drawn)


def _relaxed_signal(medium: Any, sequence: AslSequence) -> float:
    """Signal of a pure, fully relaxed medium: a spin echo, so that only a little is lost by the echo time."""
    return float(FULL_SCALE * medium.water * np.exp(-sequence.echo_s / medium.t2star_s))


def _still(patient: Patient, parts: dict[str, NDArray[np.float32]], sequence: AslSequence) -> list[Still]:
    """Return fluid, blood, muscle and suppressed fat."""
    where, head = patient.brain.where, patient.head
    filled = sum(parts[name][where] for name in ("gm", "wm", "deep", "csf", "artery", "vein"))
    rest = np.clip(1.0 - filled - head.bone, 0.0, 1.0)
    within = patient.brain.outside_mm < head.parameters["gap_mm"] - 0.4
    soft = np.clip((head.hu + 250.0) / 150.0, 0.0, 1.0) * ~within
    fat, globe = soft * (head.hu < -25.0), soft * (head.hu > 8.0) * (head.hu < 16.0)
    amounts = {
        "csf": parts["csf"][where] + rest * (within + globe),
        "artery": parts["artery"][where],
        "vein": parts["vein"][where],
        "fat": rest * fat,
        "muscle": rest * np.clip(soft - fat - globe, 0.0, 1.0),
    }
    found = []
    for name, amount in amounts.items():
        rows = np.flatnonzero(amount > 1e-3)
        medium = sequence.field.media[name]
        found.append(Still(where[rows], amount[rows].astype(np.float32), _relaxed_signal(medium, sequence), medium.t1_s))
    return found


def readout_lateness(protocol: Protocol, grid: FineGrid, slice_delays_s: FloatArray) -> NDArray[np.float32]:
    """Return how late each slice of the fine grid is read: as late as the slice of the scan whose middle is nearest.

    Parameters
    ----------
    protocol : Protocol
        The scan.
    grid : FineGrid
        Its fine grid.
    slice_delays_s : ndarray, shape (K,), s
        Delays of the scan's slices.

    Returns
    -------
    ndarray of float32, shape (nk,), s
        Delays.
    """
    count, thickness = protocol.shape[2], protocol.spacing_mm[2]
    along = (np.arange(grid.shape[0]) - (grid.shape[0] - 1) / 2.0) * grid.step_mm
    nearest = np.clip(np.rint(along / thickness + (count - 1) / 2.0), 0, count - 1).astype(int)
    late: NDArray[np.float32] = np.asarray(slice_delays_s, np.float32)[nearest]
    return late
