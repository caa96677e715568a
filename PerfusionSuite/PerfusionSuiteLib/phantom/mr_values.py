# SPDX-License-Identifier: Apache-2.0
"""MR properties of tissues and of contrast at 1.5 and 3 T, and the steady state of a spoiled gradient echo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray


@dataclass(frozen=True, slots=True)
class Medium:
    """What a kind of tissue gives to the signal.

    Parameters
    ----------
    water : float
        Proton density, 1 for fluid.
    t1_s, t2star_s : float, s
        Relaxation times without contrast.
    """

    water: float
    t1_s: float
    t2star_s: float


@dataclass(frozen=True, slots=True)
class Field:
    """Properties at one field strength.

    Parameters
    ----------
    tesla : float, T
        Field strength.
    media : mapping of str to Medium
        ``gm wm deep csf artery vein muscle fat tumor edema``. Fluid pulsates and is refreshed, so that it is less saturated than
        its T1 of 4 s says: half of that is used.
    tissue_relaxivity : float, 1/(s mM)
        Change of R2* by contrast in capillaries, per concentration in the tissue (Kjolby 2006).
    blood_linear, blood_quadratic : float, 1/(s mM), 1/(s mM^2)
        Change of R2* of whole blood (van Osch 2003 at 1.5 T, Akbudak 2004 at 3 T).
    t1_relaxivity : float, 1/(s mM)
        Change of R1 by contrast that left the vessels.
    """

    tesla: float
    media: Mapping[str, Medium]
    tissue_relaxivity: float
    blood_linear: float
    blood_quadratic: float
    t1_relaxivity: float


_AT_15 = Field(
    1.5,
    MappingProxyType(
        {
            "gm": Medium(0.82, 1.15, 0.084), "wm": Medium(0.70, 0.66, 0.066), "deep": Medium(0.78, 0.95, 0.070),
            "csf": Medium(1.00, 2.0, 0.40), "artery": Medium(0.90, 1.44, 0.20), "vein": Medium(0.90, 1.44, 0.065),
            "muscle": Medium(0.60, 0.95, 0.030), "fat": Medium(0.06, 0.30, 0.040), "tumor": Medium(0.85, 1.35, 0.105),
            "edema": Medium(0.84, 1.20, 0.110),
        }
    ),
    44.0, 7.6, 0.574, 4.3,
)  # fmt: skip
_AT_3 = Field(
    3.0,
    MappingProxyType(
        {
            "gm": Medium(0.82, 1.45, 0.062), "wm": Medium(0.70, 0.85, 0.052), "deep": Medium(0.78, 1.25, 0.048),
            "csf": Medium(1.00, 2.1, 0.30), "artery": Medium(0.90, 1.65, 0.10), "vein": Medium(0.90, 1.60, 0.025),
            "muscle": Medium(0.60, 1.30, 0.024), "fat": Medium(0.06, 0.37, 0.030), "tumor": Medium(0.85, 1.70, 0.085),
            "edema": Medium(0.84, 1.55, 0.090),
        }
    ),
    87.0, 0.49, 2.62, 3.9,
)  # fmt: skip

FIELDS: Mapping[float, Field] = MappingProxyType({1.5: _AT_15, 3.0: _AT_3})
"""Known field strengths."""


def field_of(tesla: float) -> Field:
    """Return the properties at a field strength.

    Parameters
    ----------
    tesla : float, T
        1.5 or 3.

    Returns
    -------
    Field
        Its properties.

    Raises
    ------
    InvalidInputError
        If it is another one.
    """
    if tesla not in FIELDS:
        msg = f"There is no phantom at {tesla:g} T. Choose 1.5 or 3."
        raise InvalidInputError(msg)
    return FIELDS[tesla]


def steady_state(r1_per_s: Any, repetition_s: float, flip_deg: float) -> FloatArray:
    """Return the longitudinal magnetization before each pulse of a spoiled gradient echo, relative to rest.

    Parameters
    ----------
    r1_per_s : array-like, 1/s
        Longitudinal relaxation rate.
    repetition_s : float, s
        Repetition time.
    flip_deg : float, degrees
        Flip angle.

    Returns
    -------
    ndarray
        ``(1 - E1) / (1 - E1 cos a)`` with ``E1 = exp(-TR R1)``.
    """
    recovered = np.exp(-repetition_s * np.asarray(r1_per_s, float))
    state: FloatArray = (1.0 - recovered) / (1.0 - recovered * np.cos(np.deg2rad(flip_deg)))
    return state


def approach(r1_per_s: float, repetition_s: float, flip_deg: float, pulses_before: int) -> float:
    """Return how much brighter an image is than in the steady state.

    Parameters
    ----------
    r1_per_s : float, 1/s
        Longitudinal relaxation rate.
    repetition_s : float, s
        Repetition time.
    flip_deg : float, degrees
        Flip angle.
    pulses_before : int
        Number of pulses since the magnetization was at rest.

    Returns
    -------
    float
        Factor on the signal, 1 after many pulses.
    """
    kept = float(np.exp(-repetition_s * r1_per_s) * np.cos(np.deg2rad(flip_deg)))
    steady = float(steady_state(r1_per_s, repetition_s, flip_deg))
    return 1.0 + (1.0 / steady - 1.0) * kept**pulses_before
