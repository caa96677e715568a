# SPDX-License-Identifier: Apache-2.0
"""Which shape of residue explains a scan: what the best atom of each shape leaves of many curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.geometry import FloatArray
from ..deconvolution.problem import Curves
from .explanations import Explanations, energies

EXPLAINED_QUANTILE = 0.5
"""The half of the curves that any shape explains best has a say: noise and vessels tell nothing about tissue."""

MOST_CHI_SQUARE, CHI_SQUARE_SHARE = 50.0, 0.5
"""No single curve counts more against a shape than this; and how much the mean counts beside the median of logarithms, which
knows nothing of noise but hardly tells neighboring shapes apart."""

BOX_EXCESS, BOX_EVIDENCE = 0.3, 0.15
"""By how much `excesses` and `evidence_against` may speak against a box that is taken nevertheless. Dispersion, mixed voxels,
averaging of neighbors and an artery that lies a little downstream round the edges of a box, never the reverse. Read off
development patients (seeds 201 to 216 of 1.15 mm, 1 to 4 of 2.2 mm, 4 HU). Excess of boxes 0 to 0.15, of a gamma shape of 4 0.31
to 1.1, of 2 0.7 to 1.7, of exponentials 1.3 to 2.3. Evidence against boxes 0.04 to 0.24 (one with a wrong artery 0.6), against
6 0.13 to 1.0, 4 0.2 to 1.5, 3 0.4 and more."""

LEAST_SHARE = 1e-6


def excesses(left: FloatArray, total: FloatArray) -> FloatArray:
    """Say how much more each shape leaves of the clearest curves than the best shape of each curve does.

    A single curve cannot tell a box from an exponential, but thousands together can. The median over curves of the logarithm of
    what each shape leaves does not depend on how well the noise is known, and single strange voxels do not decide.

    Parameters
    ----------
    left : ndarray, shape (S, n)
        Sum of squares that each shape leaves of each curve.
    total : ndarray, shape (n,)
        Sum of squares of each curve.

    Returns
    -------
    ndarray, shape (S,)
        Medians of logarithms, 0 or more.
    """
    share = np.maximum(left / np.maximum(total, np.finfo(np.float32).tiny), LEAST_SHARE)
    least = share.min(axis=0)
    clear = least <= np.quantile(least, EXPLAINED_QUANTILE)
    return np.asarray(np.median(np.log(share[:, clear] / least[clear]), axis=1))


def evidence_against(left: FloatArray, total: FloatArray, variance: FloatArray) -> FloatArray:
    """Say what speaks against each shape.

    Parameters
    ----------
    left : ndarray, shape (S, n)
        Sum of squares that each shape leaves of each curve.
    total : ndarray, shape (n,)
        Sum of squares of each curve.
    variance : ndarray, shape (n,)
        Noise variance of a number of each curve.

    Returns
    -------
    ndarray, shape (S,)
        `excesses`, and half the mean of chi squared above the least of all shapes: the first sees little between neighboring
        shapes, the second is led astray where noise is small beside what no shape explains.
    """
    above = np.minimum((left - left.min(axis=0)) / variance, MOST_CHI_SQUARE).mean(axis=1)
    return np.asarray(excesses(left, total) + CHI_SQUARE_SHARE * (above - above.min()))


def chosen_shape(against: FloatArray, shapes: Sequence[float], for_box: float = BOX_EVIDENCE) -> int:
    """Choose the shape that least speaks against.

    Parameters
    ----------
    against : ndarray, shape (S,)
        From `evidence_against` or `excesses`.
    shapes : sequence of float
        Of the transit-time distributions; infinity is a box.
    for_box : float
        In favor of a box, `BOX_EVIDENCE` or `BOX_EXCESS`.

    Returns
    -------
    int
        Index of the shape.
    """
    return int(np.where(np.isinf(shapes), against - for_box, against).argmin())


def best_shape(candidates: Sequence[Explanations], curves: Curves, variance: Curves) -> int:
    """Choose the shape for a scan whose noise is hardly known.

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
    left = np.stack([candidate.misfits(curves, variance) for candidate in candidates])
    return chosen_shape(excesses(left, energies(curves)), [candidate.shape for candidate in candidates], BOX_EXCESS)
