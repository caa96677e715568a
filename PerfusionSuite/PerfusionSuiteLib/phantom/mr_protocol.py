# SPDX-License-Identifier: Apache-2.0
"""What is drawn of a DSC-MRI scan: grid, timing, echo, flip angle, frames before the steady state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from .acquisition import Protocol
from .draws import stream
from .mr_values import Field, field_of


@dataclass(frozen=True, slots=True)
class Sequence:
    """A gradient-echo EPI sequence.

    Parameters
    ----------
    field : Field
        Properties at its field strength.
    echo_times_s : tuple of float, s
        One or two echo times.
    repetition_s : float, s
        Repetition time, the interval between frames.
    flip_deg : float, degrees
        Flip angle.
    pulses_before : int
        Pulses before the first frame that was kept; with few of them the first frames are too bright.
    """

    field: Field
    echo_times_s: tuple[float, ...]
    repetition_s: float
    flip_deg: float
    pulses_before: int


def draw_mr_protocol(
    seed: int,
    recipe: str,
    site: str,
    *,
    tesla: float | None,
    echo_times_s: tuple[float, ...] | None,
    dual_echo: bool,
    shape: tuple[int, int, int] | None,
    spacing_mm: tuple[float, float, float] | None,
    interval_s: float | None,
    frames: int | None,
) -> tuple[Protocol, Sequence]:
    """Draw what was not given of a DSC protocol.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.
    site : str
        Lesion site: the slab of a basilar occlusion lies lower.
    tesla : float or None, T
        1.5 or 3.
    echo_times_s : tuple of float or None, s
        Echo times.
    dual_echo : bool
        Whether two echoes are drawn.
    shape, spacing_mm, interval_s, frames
        Given values; None draws.

    Returns
    -------
    Protocol
        Grid and timing.
    Sequence
        The sequence.

    Raises
    ------
    InvalidInputError
        If a given value is out of range.
    """
    rng = stream(seed, "scanner", 5)
    at_field = float(rng.choice((1.5, 3.0)))
    pace, count = float(np.round(rng.uniform(1.2, 2.2), 3)), int(rng.integers(40, 81))
    echo = float(np.round(1e-3 * rng.uniform(25.0, 45.0 if (tesla or at_field) < 2.0 else 35.0), 5))
    early, late = float(np.round(1e-3 * rng.uniform(8.0, 14.0), 5)), float(np.round(1e-3 * rng.uniform(32.0, 45.0), 5))
    flip = float(rng.choice((35.0, 60.0, 75.0, 90.0), p=(0.1, 0.3, 0.2, 0.4)))
    kept_dummies = bool(rng.random() < (0.3, 0.6, 0.7)[("clean", "typical", "hard").index(recipe)])
    echoes = echo_times_s or ((early, late) if dual_echo else (echo,))
    interval = pace if interval_s is None else interval_s
    longest = max(40, int(np.ceil(75.0 / interval)))
    number = frames if frames is not None else min(max(count, longest), 80)
    _check(echoes, interval, number)
    sequence = Sequence(field_of(tesla or at_field), tuple(echoes), interval, flip, 0 if kept_dummies else 8)
    protocol = _grid(rng, recipe, site, shape, spacing_mm, interval, number)
    protocol.parameters.update(
        {
            "field_t": sequence.field.tesla, "echo_times_s": list(sequence.echo_times_s), "repetition_time_s": interval,
            "flip_angle_deg": flip, "pulses_before_first_frame": sequence.pulses_before,
        }
    )  # fmt: skip
    return protocol, sequence


def _check(echoes: tuple[float, ...], interval: float, frames: int) -> None:
    if not 1 <= len(echoes) <= 2 or not all(0.001 <= echo <= 0.1 for echo in echoes) or sorted(set(echoes)) != list(echoes):
        msg = f"Echo times of {', '.join(f'{e:g}' for e in echoes)} s cannot be made. Give one or two, rising, 0.001 to 0.1 s."
        raise InvalidInputError(msg)
    if not 0.1 <= interval <= 10.0 or not 2 <= frames <= 500:
        msg = f"{frames} frames every {interval:g} s cannot be made. Give 2 to 500 frames every 0.1 to 10 s."
        raise InvalidInputError(msg)


def _grid(
    rng: np.random.Generator,
    recipe: str,
    site: str,
    shape: tuple[int, int, int] | None,
    spacing_mm: tuple[float, float, float] | None,
    interval: float,
    frames: int,
) -> Protocol:
    plane, thickness = float(rng.uniform(1.7, 1.9)), float(rng.choice((5.0, 5.0, 6.0)))
    slices = int(rng.integers(16, 25))
    oblique = (
        float(rng.uniform(-20.0, 4.0)) if rng.random() < (0.0, 0.6, 0.8)[("clean", "typical", "hard").index(recipe)] else 0.0
    )
    size = shape or (128, 128, slices)
    spacing = spacing_mm or (230.0 / size[0] if shape else plane, 230.0 / size[1] if shape else plane, thickness)
    if min(size) < 1 or not all(0.2 <= s <= 40.0 for s in spacing):
        msg = f"A scan of {size} voxels of {spacing} mm cannot be made. Give three sizes of at least 1 and 0.2 to 40 mm each."
        raise InvalidInputError(msg)
    centre = np.array([rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-4, 4) + 4.0 - 14.0 * (site == "basilar")])
    angle = np.deg2rad(oblique)
    turned = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.diag([-1.0, -1.0, 1.0]) * np.asarray(spacing, float)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(size) - 1) / 2.0)
    drawn: dict[str, Any] = {
        "oblique_deg": oblique, "centre_mm": centre, "cut_behind_mm": 0.0, "spacing_mm": spacing, "shape": size,
        "interval_s": interval, "frames": frames,
    }  # fmt: skip
    times = np.linspace(0.0, interval * (frames - 1), frames)
    return Protocol(affine, tuple(int(n) for n in size), tuple(float(s) for s in spacing), times, None, drawn)  # type: ignore[arg-type]  # three entries, checked above
