# SPDX-License-Identifier: Apache-2.0
"""Apparent diffusion coefficient as another definition of the core (DEFUSE 2 and 3: below 620e-6 mm^2/s)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray

CORE_ADC = 620.0
"""1e-6 mm^2/s (Albers et al., NEJM 378:708, 2018; Purushotham et al., JCBFM 35:738, 2015)."""

PLAUSIBLE = (350.0, 2500.0)
_UNITS = ((1.0, "1e-6 mm2/s"), (1e3, "1e-3 mm2/s"), (1e6, "mm2/s"))


def adc_map(values: NDArray[np.floating], brain: BoolArray) -> tuple[NDArray[np.float32], str]:
    """Bring an ADC map to 1e-6 mm^2/s.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        As read, in 1e-6, 1e-3 or 1 mm^2/s.
    brain : ndarray of bool, shape (I, J, K)
        Brain, by whose median the unit is told.

    Returns
    -------
    adc : ndarray, shape (I, J, K), 1e-6 mm^2/s
        NaN where the file has no positive number.
    unit : str
        Unit that the file was in.

    Raises
    ------
    InvalidInputError
        If the median of the brain fits none of these units.
    """
    inside = np.asarray(values, np.float64)[brain]
    inside = inside[np.isfinite(inside) & (inside > 0)]
    if inside.size < 0.3 * max(int(brain.sum()), 1):
        share = inside.size / max(int(brain.sum()), 1)
        msg = f"The ADC map has positive values in only {share:.0%} of the brain. Register it to the perfusion scan first."
        raise InvalidInputError(msg)
    typical = float(np.median(inside))
    for factor, unit in _UNITS:
        if PLAUSIBLE[0] <= factor * typical <= PLAUSIBLE[1]:
            adc = np.where(np.isfinite(values) & (values > 0), factor * np.asarray(values, np.float64), np.nan)
            return adc.astype(np.float32), unit
    msg = f"The median ADC of the brain is {typical:.4g}, which fits no unit of diffusion. Give an ADC map in 1e-6 mm^2/s."
    raise InvalidInputError(msg)
