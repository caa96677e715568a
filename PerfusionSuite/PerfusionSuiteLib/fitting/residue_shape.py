# SPDX-License-Identifier: Apache-2.0
"""Which shape of residue explains a scan: what the best atom of each shape leaves of many curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..deconvolution.problem import Curves
from .explanations import Explanations, energies

EXPLAINED_QUANTILE = 0.5
"""The half of the curves that any shape explains best has a say: noise and vessels tell nothing about tissue."""

BOX_EXCESS = 0.3
"""Logarithm of the misfit by which a box may be worse and is taken nevertheless. Dispersion, mixed voxels, averaging of
neighbors and an artery that lies a little downstream round the edges of a box, never the reverse. On development patients (seeds
201 to 216, 4 HU) it was 0 to 0.15 for true boxes, 0.31 to 1.1 for a gamma shape of 4, 0.7 to 1.7 for 2, and 1.3 to 2.3 for
exponentials."""

LEAST_SHARE = 1e-6


def best_shape(candidates: Sequence[Explanations], curves: Curves, variance: Curves) -> int:
    """Choose the shape for a scan.

    A single curve cannot tell a box from an exponential, but thousands together can. The median over curves of the logarithm of
    what each shape leaves does not depend on how well the noise is known, and single strange voxels do not decide.

    Parameters
    ----------
    candidates : sequence of Explanations
        One for each shape.
    curves : ndarray, shape (n, T)
        Sample of the scan.
    variance : ndarray, shape (n,)
        Noise variance.

    Returns
    -------
    int
        Index of the shape.
    """
    if len(candidates) == 1 or not len(curves):
        return 0
    total = np.maximum(energies(curves), np.finfo(np.float32).tiny)
    left = np.stack([candidate.misfits(curves, variance) for candidate in candidates])
    share = np.maximum(left / total, LEAST_SHARE)
    least = share.min(axis=0)
    clear = least <= np.quantile(least, EXPLAINED_QUANTILE)
    excess = np.median(np.log(share[:, clear] / least[clear]), axis=1)
    box = [n for n, candidate in enumerate(candidates) if np.isinf(candidate.shape)]
    excess[box] -= BOX_EXCESS
    return int(excess.argmin())
