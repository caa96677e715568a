# SPDX-License-Identifier: Apache-2.0
"""How much larger a venous curve is than an arterial one, when neither is recorded to its end.

Contrast is neither made nor lost on its way: the curve of a vein is that of the artery, later and wider, so
``vein = k * artery (x) h`` with a transport function h of unit area (Meier and Zierler, J. Appl. Physiol. 6:731, 1954).
Fitting k and h to all recorded frames at once uses recirculation as it is measured and needs no end of the curves, which a
ratio of areas does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from scipy.special import gammainc

from ..core.geometry import FloatArray
from ..core.values import InputFunction
from .features import curve_features

FINE_STEPS = 4
"""Sub-steps per frame interval for the convolution."""

SPREADS = (0.15, 0.55, 1.2)
"""Relative dispersion of the transport function: least, expected, largest (capillary beds have 0.4 to 1)."""

SPREAD_PRIOR = 0.35
"""Standard deviation of the logarithm of the relative dispersion; matters only when the scan ends too early to show it."""

LIMITS = ((-3.0, -1.0, np.log(0.5), np.log(SPREADS[0])), (6.0, 25.0, np.log(30.0), np.log(SPREADS[2])))
"""Of ln k (both peaks taken as 1), the shift in s, ln of the mean dispersion in s and ln of the relative dispersion."""

POOR_TRANSPORT = 0.06
"""Residual of the fit, over the venous peak, from which on vein and artery do not belong together."""

LEAST_RESIDUAL = 0.01
LOSS_SCALE = 3.0


@dataclass(frozen=True, slots=True)
class Transport:
    """A fitted relation of a vein to an artery.

    Parameters
    ----------
    factor : float
        Venous over arterial concentration, k.
    factor_sd : float
        Its standard deviation over `factor`.
    shift_s, spread_s : float, s
        Pure delay and mean of the dispersion.
    rms : float
        Root mean square of the residual over the venous peak.
    curve : ndarray, shape (T,)
        The fitted vein at its frame times.
    success : bool
        Whether the fit converged inside its bounds.
    """

    factor: float
    factor_sd: float
    shift_s: float
    spread_s: float
    rms: float
    curve: FloatArray
    success: bool

    @property
    def fits(self) -> bool:
        """Whether vein and artery belong together."""
        return self.success and self.rms <= POOR_TRANSPORT


def fit(aif: InputFunction, vof: InputFunction) -> Transport:
    """Fit a vein as a delayed and dispersed artery.

    The transport function is a delayed gamma density, as used for indicator transport through organs (Thompson et al., Circ. Res.
    14:502, 1964).

    Parameters
    ----------
    aif, vof : InputFunction
        Curves with their baseline at zero.

    Returns
    -------
    Transport
        The relation.
    """
    step = float(np.median(np.diff(vof.times_s))) / FINE_STEPS
    start, end = min(aif.times_s[0], vof.times_s[0]), vof.times_s[-1]
    count = int(np.ceil((end - start) / step)) + 1
    fine = np.linspace(start, start + step * (count - 1), count)
    artery = _resampled(aif, fine)
    height = max(float(np.max(vof.values)), 1e-12)
    target = vof.values / height
    artery /= max(float(np.max(aif.values)), 1e-12)
    gap = _moment_gap(aif, vof)
    found = []
    for shift_part in (0.2, 0.5):
        begin = np.array([0.0, shift_part * gap, np.log(max((1 - shift_part) * gap, 1.0)), np.log(0.55)])
        first = _model(begin, artery, fine, vof.times_s)
        begin[0] = np.log(np.clip((target @ first) / max(float(first @ first), 1e-12), 0.1, 100.0))
        options = {"loss": "soft_l1", "f_scale": LOSS_SCALE, "bounds": LIMITS, "max_nfev": 60}
        found.append(least_squares(_residual, begin, args=(artery, fine, vof.times_s, target), **options))
    best = min(found, key=lambda result: float(result.cost))
    curve = _model(best.x, artery, fine, vof.times_s)
    rms = float(np.sqrt(np.mean((curve - target) ** 2)))
    normal = best.jac.T @ best.jac
    variance = max((rms / LEAST_RESIDUAL) ** 2, 1.0) * np.linalg.pinv(normal)[0, 0]
    factor = float(np.exp(best.x[0])) * height / max(float(np.max(aif.values)), 1e-12)
    shift, spread = float(best.x[1]), float(np.exp(best.x[2]))
    return Transport(factor, float(np.sqrt(variance)), shift, spread, rms, curve * height, bool(best.success))


def courses(aif: InputFunction, times_s: FloatArray, shifts_s: FloatArray, means_s: FloatArray) -> FloatArray:
    """Return how veins behind an artery may look, for several delays and dispersions.

    Parameters
    ----------
    aif : InputFunction
        Curve with its baseline at zero.
    times_s : ndarray, shape (T,), s
        Frame times.
    shifts_s, means_s : ndarray, s
        Delays and means of the dispersion; each is combined with each.

    Returns
    -------
    ndarray, shape (shifts * means, T)
        Curves.
    """
    step = float(np.median(np.diff(times_s))) / FINE_STEPS
    start = min(float(aif.times_s[0]), float(times_s[0]))
    fine = start + step * np.arange(int(np.ceil((float(times_s[-1]) - start) / step)) + 1)
    artery, spread = _resampled(aif, fine), np.log(SPREADS[1])
    pairs = [np.array([0.0, shift, np.log(mean), spread]) for shift in shifts_s for mean in means_s]
    return np.stack([_model(pair, artery, fine, times_s) for pair in pairs])


def _residual(p: FloatArray, artery: FloatArray, fine: FloatArray, times: FloatArray, target: FloatArray) -> FloatArray:
    misfit = (_model(p, artery, fine, times) - target) / LEAST_RESIDUAL
    return np.append(misfit, (p[3] - np.log(SPREADS[1])) / SPREAD_PRIOR)


def _model(p: FloatArray, artery: FloatArray, fine: FloatArray, times: FloatArray) -> FloatArray:
    """Venous curve at its frame times; parameters are ln k, shift, ln mean and ln relative dispersion."""
    factor, shift, mean, spread = np.exp(p[0]), p[1], np.exp(p[2]), np.exp(p[3])
    step = fine[1] - fine[0]
    shape = 1.0 / spread**2
    edges = np.maximum((np.arange(fine.size + 1) - 0.5) * step, 0.0)
    cells = np.diff(gammainc(shape, shape * edges / mean))
    curve = factor * np.convolve(artery, cells)[: fine.size]
    result: FloatArray = np.interp(times - shift, fine, curve, left=0.0)
    return result


def _resampled(aif: InputFunction, fine: FloatArray) -> FloatArray:
    arrival = float(curve_features(aif.values[None], aif.times_s).bat_s[0])
    spline = CubicSpline(aif.times_s, aif.values, bc_type="natural")
    values = spline(np.clip(fine, aif.times_s[0], aif.times_s[-1]))
    interval = float(np.median(np.diff(aif.times_s)))
    result: FloatArray = np.where(fine < arrival - 2.0 * interval, 0.0, values)  # noise before the bolus is no contrast
    return result


def _moment_gap(aif: InputFunction, vof: InputFunction) -> float:
    def mean(curve: InputFunction) -> float:
        return float(curve_features(curve.values[None], curve.times_s).first_moment_s[0])

    return float(np.clip(mean(vof) - mean(aif), 1.5, 20.0))
