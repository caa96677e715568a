# SPDX-License-Identifier: Apache-2.0
"""What is drawn of an ASL scan: grid, labeling, delays, order of volumes, suppression of the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..core.asl import LabelingType
from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .acquisition import Protocol
from .draws import stream
from .mr_values import Field, field_of

LABELINGS = ("pcasl", "casl", "pasl")
M0_KINDS = ("separate", "included", "estimate", "absent")
READOUTS = ("3d", "2d")
CONTENTS = ("pairs", "deltam")
EFFICIENCY = {"pcasl": 0.85, "casl": 0.68, "pasl": 0.98}
_READOUT_S = 0.45
_LEVELS = ("clean", "typical", "hard")


@dataclass(frozen=True, slots=True)
class AslWishes:
    """What the caller of `asl` gave; None is drawn. The names and meanings are those of `asl`."""

    labeling: LabelingType = "pcasl"
    post_label_delays_s: tuple[float, ...] | None = None
    label_duration_s: float | None = None
    repetitions: int | None = None
    readout: str | None = None
    background_suppression_pulses: int | None = None
    m0: str = "separate"
    content: str = "pairs"
    field_t: float | None = None
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume of the scan.

    Parameters
    ----------
    kind : {"control", "label", "deltam", "m0scan"}
        What it is.
    delay : int
        Number of its delay; -1 for M0.
    """

    kind: Literal["control", "label", "deltam", "m0scan"]
    delay: int


@dataclass(frozen=True, slots=True)
class AslSequence:
    """A labeling and a readout.

    Parameters
    ----------
    field : Field
        Properties at its field strength.
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    efficiency : float
        Share of the magnetization that labeling inverts.
    label_s : float, s
        Labeling duration; of PASL the length of the bolus.
    delays_s : tuple of float, s
        Post-label delays; of PASL inversion times.
    pulses : int
        Background-suppression pulses.
    readout : {"3d", "2d"}
        3D reads all slices at once, 2D one after another.
    slice_delays_s : ndarray, shape (K,), s
        How much later each slice is read.
    echo_s, m0_repetition_s : float, s
        Echo time; repetition time of the M0 scan.
    volumes : tuple of Volume
        In the order of the scan.
    """

    field: Field
    labeling: LabelingType
    efficiency: float
    label_s: float
    delays_s: tuple[float, ...]
    pulses: int
    readout: str
    slice_delays_s: FloatArray
    echo_s: float
    m0_repetition_s: float
    volumes: tuple[Volume, ...]

    @property
    def pulsed(self) -> bool:
        """Whether all blood is labeled at once."""
        return self.labeling == "pasl"

    def readout_s(self, delay: int) -> float:
        """Return the time of the first slice after the start of labeling, s."""
        return self.delays_s[delay] + (0.0 if self.pulsed else self.label_s)


def draw_asl_protocol(seed: int, recipe: str, wishes: AslWishes) -> tuple[Protocol, AslSequence]:
    """Draw what was not given of an ASL protocol.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.
    wishes : AslWishes
        Given values.

    Returns
    -------
    Protocol
        Grid and the time at which each volume starts.
    AslSequence
        Labeling and readout.

    Raises
    ------
    InvalidInputError
        If a given value is unknown or out of range.
    """
    _check(wishes)
    rng = stream(seed, "scanner", 11)
    level = _LEVELS.index(recipe)
    scatter, echo = float(rng.normal(0.0, 0.03)), float(np.round(rng.uniform(0.010, 0.016), 4))
    m0_repetition = float(rng.choice((4.0, 5.0, 6.0, 8.0)))
    readout = wishes.readout or ("3d" if rng.random() < 0.7 else "2d")
    delays = wishes.post_label_delays_s or ((1.8,) if wishes.labeling == "pasl" else (1.025, 1.525, 2.025, 2.525))
    label = wishes.label_duration_s or {"pcasl": 1.45, "casl": 2.0, "pasl": 0.8}[wishes.labeling]
    pulses = 2 if wishes.background_suppression_pulses is None else wishes.background_suppression_pulses
    repetitions = wishes.repetitions or (10 if len(delays) > 1 else 30)
    limit = 0.995 if wishes.labeling == "pasl" else 0.95
    efficiency = EFFICIENCY[wishes.labeling] * (1.0 + (scatter if level else 0.0))
    affine, shape, spacing, drawn = _grid(rng, recipe, readout, wishes)
    late = np.zeros(shape[2]) if readout == "3d" else np.arange(shape[2]) * 0.04
    sequence = AslSequence(
        field_of(wishes.field_t or 3.0), wishes.labeling, min(efficiency, limit), label, tuple(delays), pulses, readout, late,
        echo, m0_repetition, _order(wishes, len(delays), repetitions),
    )  # fmt: skip
    times = _start_times(sequence)
    drawn |= {
        "labeling": wishes.labeling, "labeling_efficiency": sequence.efficiency, "label_duration_s": label,
        "post_label_delays_s": list(delays), "background_suppression_pulses": pulses, "readout": readout,
        "repetitions": repetitions, "echo_time_s": echo, "m0_repetition_time_s": m0_repetition, "m0": wishes.m0,
        "content": wishes.content, "field_t": sequence.field.tesla,
    }  # fmt: skip
    return Protocol(affine, shape, spacing, times, None, drawn), sequence


def _check(wishes: AslWishes) -> None:
    choices = (
        ("labeling", wishes.labeling, LABELINGS), ("M0", wishes.m0, M0_KINDS), ("content", wishes.content, CONTENTS),
        ("readout", wishes.readout or "3d", READOUTS),
    )  # fmt: skip
    for name, value, known in choices:
        if value not in known:
            msg = f"There is no {name} '{value}'. Use one of {', '.join(known)}."
            raise InvalidInputError(msg)
    delays = wishes.post_label_delays_s or (1.8,)
    if not all(0.0 < delay <= 10.0 for delay in delays) or sorted(set(delays)) != list(delays):
        listed = ", ".join(f"{delay:g}" for delay in delays)
        msg = f"Post-label delays of {listed} s cannot be made. Give rising delays above 0 and at most 10 s."
        raise InvalidInputError(msg)
    label = wishes.label_duration_s
    if label is not None and not 0.0 < label <= 10.0:
        msg = f"A labeling duration of {label:g} s cannot be made. Give more than 0 and at most 10 s."
        raise InvalidInputError(msg)
    if wishes.labeling == "pasl" and (label or 0.8) >= delays[0]:
        msg = f"A pulsed bolus of {label or 0.8:g} s must be shorter than the first inversion time of {delays[0]:g} s."
        raise InvalidInputError(msg)
    pulses = wishes.background_suppression_pulses
    if (pulses is not None and not 0 <= pulses <= 5) or (wishes.repetitions is not None and not 1 <= wishes.repetitions <= 200):
        msg = f"{wishes.repetitions} repetitions with {pulses} pulses cannot be made. Give 1 to 200 repetitions, 0 to 5 pulses."
        raise InvalidInputError(msg)
    if wishes.m0 == "absent" and wishes.content == "deltam":
        msg = "Difference images without any M0 hold no anatomy. Choose another M0, or the content 'pairs'."
        raise InvalidInputError(msg)


def _order(wishes: AslWishes, delays: int, repetitions: int) -> tuple[Volume, ...]:
    volumes = [Volume("m0scan", -1)] if wishes.m0 == "included" else []
    if wishes.content == "deltam":
        return (*volumes, *(Volume("deltam", d) for d in range(delays)))
    for _ in range(repetitions):
        for delay in range(delays):
            volumes += [Volume("control", delay), Volume("label", delay)]
    return tuple(volumes)


def _start_times(sequence: AslSequence) -> FloatArray:
    lengths = [
        sequence.m0_repetition_s if volume.delay < 0 else sequence.readout_s(volume.delay) + _READOUT_S
        for volume in sequence.volumes
    ]
    times: FloatArray = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    return times


def _grid(
    rng: np.random.Generator, recipe: str, readout: str, wishes: AslWishes
) -> tuple[FloatArray, tuple[int, int, int], tuple[float, float, float], dict[str, Any]]:
    plane, thickness = float(np.round(rng.uniform(2.8, 3.5), 2)), 4.0 if readout == "3d" else 5.0
    turned = float(rng.uniform(-15.0, 4.0))
    oblique = turned if rng.random() < (0.0, 0.5, 0.7)[_LEVELS.index(recipe)] else 0.0
    columns = 2 * int(np.ceil(115.0 / plane))
    size = wishes.shape or (columns, columns, 34 if readout == "3d" else 24)
    spacing = wishes.spacing_mm or (230.0 / size[0], 230.0 / size[1], thickness)
    if min(size) < 1 or not all(0.5 <= s <= 40.0 for s in spacing):
        msg = f"A scan of {size} voxels of {spacing} mm cannot be made. Give three sizes of at least 1 and 0.5 to 40 mm each."
        raise InvalidInputError(msg)
    center = np.array([rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-4, 4) + 2.0])
    angle = np.deg2rad(oblique)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-1.0, -1.0, 1.0]) * np.asarray(spacing, float)
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(size) - 1) / 2.0)
    drawn = {"oblique_deg": oblique, "centre_mm": center, "cut_behind_mm": 0.0, "spacing_mm": spacing, "shape": size}
    return affine, (int(size[0]), int(size[1]), int(size[2])), (float(spacing[0]), float(spacing[1]), float(spacing[2])), drawn
