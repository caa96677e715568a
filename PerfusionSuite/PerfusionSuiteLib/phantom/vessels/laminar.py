# SPDX-License-Identifier: Apache-2.0
"""Labeled blood in pipes of parabolic flow, in closed form, for a bolus that starts at time zero and never ends.

With s = 1 - (r/R)^2 a streamline keeps its s through every bifurcation and needs tau / (2 s) for a way that blood of mean
velocity covers in tau. Its concentration is exp(-tau / (2 s T1)) from then on. All averages over s are exponential integrals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expn, gammainc, gammaincc

from ...core.geometry import FloatArray
from .values import T1_BLOOD_S

ELEMENTS = 10
"""Well-mixed elements in a row that make a capillary."""


def flux_concentration(tau: FloatArray, t: FloatArray) -> FloatArray:
    """Return the concentration averaged over the flow: what enters a daughter vessel or a capillary.

    Parameters
    ----------
    tau : ndarray, s
        Plug-flow delay of the place.
    t : ndarray, s
        Time since blood with label entered.

    Returns
    -------
    ndarray
        Share of fully labeled blood, ``2 (E3(a) - x^2 E3(t / T1))``.
    """
    t = np.maximum(t, 1e-12)
    x = np.minimum(tau / (2.0 * t), 1.0)
    late = x**2 * expn(3, t / T1_BLOOD_S)
    return np.asarray(np.where(tau < 2.0 * t, 2.0 * (expn(3, tau / (2.0 * T1_BLOOD_S)) - late), 0.0))


def amount_integral(tau: FloatArray, t: FloatArray) -> NDArray[np.float32]:
    """Return the integral over tau of the concentration averaged over a cross-section, up to a constant.

    Times a vessel's flow, the difference between its ends is the label that it holds.

    Parameters
    ----------
    tau : ndarray, shape (...), s
        Plug-flow delays.
    t : ndarray, shape (T,), s
        Times since blood with label entered.

    Returns
    -------
    ndarray, shape (..., T), s
        The integral.

    Notes
    -----
    The mean is ``E2(a) - x E2(t / T1)`` with ``a = tau / (2 T1)`` and ``x = tau / (2 t)``, the slowest streamline that has
    arrived; its integral is ``-2 T1 E3(a) - tau^2 E2(t / T1) / (4 t)`` as far as label has come (tau = 2 t), then constant.
    """
    t = np.maximum(t, 1e-6)
    slow, fast = expn(3, t / T1_BLOOD_S), expn(2, t / T1_BLOOD_S) / (4.0 * t)
    here = expn(3, tau / (2.0 * T1_BLOOD_S)).astype(np.float32)[..., None]
    # E3 falls: of the two, the larger belongs to the way that label has come.
    reached = np.minimum(tau[..., None].astype(np.float32), (2.0 * t).astype(np.float32))
    amount = np.float32(-2.0 * T1_BLOOD_S) * np.maximum(here, slow.astype(np.float32))
    amount -= reached * reached * fast.astype(np.float32)
    return np.asarray(amount, np.float32)


def capillary_residue(t: FloatArray, transit: float) -> FloatArray:
    """Return the share of labeled blood that is still in a capillary of ten mixed elements, with decay.

    Parameters
    ----------
    t : ndarray, s
        Time since it entered.
    transit : float, s
        Mean transit time.

    Returns
    -------
    ndarray
        Erlang survival times decay.
    """
    return np.asarray(gammaincc(ELEMENTS, ELEMENTS * t / transit) * np.exp(-t / T1_BLOOD_S))


def capillary_outflow(edges: FloatArray, transit: float) -> FloatArray:
    """Return the share that leaves a capillary within each time step, with decay to the middle of the step.

    Parameters
    ----------
    edges : ndarray, shape (n + 1,), s
        Limits of the steps.
    transit : float, s
        Mean transit time.

    Returns
    -------
    ndarray, shape (n,)
        Erlang probability times decay.
    """
    middle = 0.5 * (edges[1:] + edges[:-1])
    return np.asarray(np.diff(gammainc(ELEMENTS, ELEMENTS * edges / transit)) * np.exp(-middle / T1_BLOOD_S))
