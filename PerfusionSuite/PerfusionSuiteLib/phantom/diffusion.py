# SPDX-License-Identifier: Apache-2.0
"""Apparent diffusion coefficient of a patient: lowered where tissue is infarcted, raised in tumor and edema."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .acquisition import Sampling
from .ctp import Patient
from .draws import stream
from .dsc_tumor import Tumor, positions

HEALTHY = {"gm": 800.0, "wm": 720.0, "deep": 740.0, "csf": 3000.0}
"""1e-6 mm^2/s."""

INFARCTED_SHARE = 0.56
NOISE = 30.0


def diffusion_maps(
    seed: int, patient: Patient, parts: dict[str, NDArray[np.float32]], averaging: Sampling, tumor: Tumor | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average diffusion over the voxels of the scan.

    Parameters
    ----------
    seed : int
        The patient.
    patient : Patient
        Tissue with the severity of its lesion.
    parts : dict of str to ndarray, shape (V,)
        Flat fine volume fractions.
    averaging : Sampling
        Averages over voxels.
    tumor : Tumor or None
        A tumor.

    Returns
    -------
    true, measured : ndarray, shape (I, J, K), 1e-6 mm^2/s
        NaN where there is neither tissue nor fluid; the measured one with noise.
    """
    size = int(np.prod(patient.grid.shape))
    amount, total = np.zeros(size, np.float32), np.zeros(size, np.float32)
    severity = np.zeros(size, np.float32)
    severity[patient.tissue.where] = patient.tissue.severity
    for name, part in patient.tissue.compartments.items():
        struck = np.clip((severity[part.where] - 0.97) / 0.06, 0.0, 1.0)
        value = HEALTHY[name] * (1.0 - (1.0 - INFARCTED_SHARE) * struck)
        if tumor is not None:
            alive, dead, wet = tumor.shares(positions(part, patient.brain))
            value = value * (1.0 - alive - dead - wet) + 1050.0 * alive + 1900.0 * dead + 1350.0 * wet
        amount[part.where] += part.fraction
        total[part.where] += part.fraction * value
    amount += parts["csf"]
    total += parts["csf"] * HEALTHY["csf"]
    share = averaging.average(amount.reshape(patient.grid.shape))
    mean = averaging.average(total.reshape(patient.grid.shape)) / np.where(share > 0.1, share, 1.0)
    true = np.where(share > 0.1, mean, np.nan)
    noisy = true + NOISE * stream(seed, "noise", 9_999).standard_normal(true.shape, dtype=np.float32)
    first, second = (np.ascontiguousarray(v.transpose(2, 1, 0)).astype(np.float32) for v in (true, noisy))
    return first, second
