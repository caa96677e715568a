# SPDX-License-Identifier: Apache-2.0
"""Labeled blood in pipes of parabolic flow, in closed form, for a bolus that starts at time zero and never ends.

With s = 1 - (r/R)^2 a streamline keeps its s through every bifurcation and needs tau / (2 s) for a way that blood of mean
velocity covers in tau. Its concentration is exp(-tau / (2 s T1)) from then on. All averages over s are exponential integrals.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expn, gammainc, gammaincc

from ...core.geometry import FloatArray
from .values import T1_BLOOD_S

ELEMENTS = 10
"""Well-mixed elements in a row that make a capillary."""


def volume_concentration(tau: FloatArray, t: FloatArray) -> FloatArray:
    """Return the concentration averaged over a cross-section.

    Parameters
    ----------
    tau : ndarray, s
        Plug-flow delay of the place.
    t : ndarray, s
        Time since blood with label entered.

    Returns
    -------
    ndarray
        Share of fully labeled blood.

    Notes
    -----
    ``E2(a) - x E2(t / T1)`` with ``a = tau / (2 T1)`` and ``x = tau / (2 t)``, the slowest streamline that has arrived.
    """
    t = np.maximum(t, 1e-12)
    x = np.minimum(tau / (2.0 * t), 1.0)
    return np.asarray(np.where(tau < 2.0 * t, expn(2, tau / (2.0 * T1_BLOOD_S)) - x * expn(2, t / T1_BLOOD_S), 0.0))


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


def amount_integral(tau: FloatArray, t: FloatArray) -> FloatArray:
    """Return the integral of `volume_concentration` over tau from 0.

    Times a vessel's flow, the difference between its ends is the label that it holds.

    Parameters
    ----------
    tau : ndarray, shape (n,), s
        Plug-flow delays.
    t : ndarray, shape (n, T), s
        Times since blood with label entered, for each of them.

    Returns
    -------
    ndarray, shape (n, T), s
        The integral.
    """
    t = np.maximum(t, 1e-12)
    reached = np.minimum(tau[:, None], 2.0 * t)
    here = np.where(reached < 2.0 * t, expn(3, tau / (2.0 * T1_BLOOD_S))[:, None], expn(3, t / T1_BLOOD_S))
    return np.asarray(T1_BLOOD_S - 2.0 * T1_BLOOD_S * here - reached**2 / (4.0 * t) * expn(2, t / T1_BLOOD_S))


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
