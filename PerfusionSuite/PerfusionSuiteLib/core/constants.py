# SPDX-License-Identifier: Apache-2.0
"""Physical constants with one meaning everywhere; each is an option of the methods that use it."""

from __future__ import annotations

from typing import Final

BRAIN_DENSITY_G_PER_ML: Final = 1.05
"""Density of brain tissue."""

ARTERIAL_HEMATOCRIT: Final = 0.45
CAPILLARY_HEMATOCRIT: Final = 0.25

HEMATOCRIT_FACTOR: Final = (1.0 - ARTERIAL_HEMATOCRIT) / (1.0 - CAPILLARY_HEMATOCRIT)
"""Rempp et al., Radiology 193:637 (1994): 0.55 / 0.75 = 0.7333."""


def flow_factor(density: float = BRAIN_DENSITY_G_PER_ML, hematocrit_factor: float = HEMATOCRIT_FACTOR) -> float:
    """Return what multiplies a flow-scaled residue in 1/s to give mL/100 g/min.

    Parameters
    ----------
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL of tissue.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.

    Returns
    -------
    float, mL s / 100 g / min
        ``6000 * hematocrit_factor / density``; divide by 60 for blood volume.
    """
    return 6000.0 * hematocrit_factor / density
