# SPDX-License-Identifier: Apache-2.0
"""Regression of a box-shaped residue in every voxel: flow from the arrival for one transit time, nothing outside.

With the running integral G of the arterial input the tissue curve is ``F (G(t - d) - G(t - e))`` for arrival d and end
``e = d + MTT`` (Bennink et al., J Med Imaging 3:026003, 2016). Everything least squares needs about a voxel is then two
functions of one shift x, ``p(x) = sum C(t) G(t - x)`` and its slope, and everything it needs about the scan is the products of
shifted arterial curves with each other. Both are tabulated; a Gauss-Newton step reads tables and never touches the curve again.

Between the nodes of the tables G is the cubic through its values and slopes. Every sum and every derivative is that of these
cubics exactly, in double precision: a short box differs from a shorter, higher one only by the curvature of the input times
F MTT^3 / 24, so that tables which disagree in the fifth digit make a fit stop where it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ..core.geometry import FloatArray
from .problem import Curves
from .residues import first_of
from .timegrid import TAIL_DECAY_S

Indices = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

MTT_RANGE_S = (0.5, 30.0)
DELAY_RANGE_S = (-4.0, 20.0)
SHIFT_STEP_S = 0.5
LONGEST_STEP_S = 2.0
MOST_STEPS = 6
CONVERGED_S = 0.02
TYPICAL_MTT_S = 5.0
GAIN = 9
DAMPING = 1e-3
STARTS_OF_LENGTH = 14
TINY = 1e-30


class BoxFit(NamedTuple):
    """Fitted boxes of a block of voxels, each of shape (M,).

    Parameters
    ----------
    flow : ndarray, 1/s
        Height of the box.
    start_s, end_s : ndarray, s
        Arrival and arrival + MTT.
    misfit : ndarray
        Residual sum of squares.
    power : ndarray
        Sum of squares of the curve.
    flow_variance, mtt_variance, start_variance : ndarray
        Diagonal of the inverse normal matrix; times the noise variance these are the squared standard errors.
    """

    flow: Floats
    start_s: Floats
    end_s: Floats
    misfit: Floats
    power: Floats
    flow_variance: Floats
    mtt_variance: Floats
    start_variance: Floats


def shifted_inputs(times_s: FloatArray, aif: FloatArray, shifts_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the running integral of the arterial input and the input itself, shifted.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    aif : ndarray, shape (T,)
        Arterial input; interpolated by a natural cubic spline, zero before, decaying after.
    shifts_s : ndarray, shape (X,), s
        Shifts.

    Returns
    -------
    integral, values : ndarray, shape (T, X)
        At ``times_s - shifts_s``.
    """
    spline = CubicSpline(times_s, aif, bc_type="natural")
    whole = spline.antiderivative()
    t = times_s[:, None] - shifts_s[None]
    inside, after = np.clip(t, times_s[0], times_s[-1]), np.maximum(t - times_s[-1], 0.0)
    decay = np.exp(-after / TAIL_DECAY_S)
    values = np.where(t < times_s[0], 0.0, spline(inside) * decay)
    integral = whole(inside) - whole(times_s[0]) + aif[-1] * TAIL_DECAY_S * (1.0 - decay)
    return np.asarray(integral), values


class BoxRegression:
    """Tables of a scan, and the fit.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times; they need not be uniform.
    aif : ndarray, shape (T,)
        Arterial input.
    mtt_range_s, delay_range_s : pair of float, s
        Bounds.
    pull : float
        Weight of ``(ln MTT - ln 5 s)^2`` against the sum of squares: the variance of the noise over that of ln MTT among
        tissues. 0 leaves plain least squares.
    """

    def __init__(
        self,
        times_s: FloatArray,
        aif: FloatArray,
        mtt_range_s: tuple[float, float] = MTT_RANGE_S,
        delay_range_s: tuple[float, float] = DELAY_RANGE_S,
        pull: float = 0.0,
    ) -> None:
        self.mtt_range_s, self.delay_range_s = mtt_range_s, delay_range_s
        self._pull = pull
        self._origin, self._scale = delay_range_s[0], float(np.abs(aif).max())
        self._cells = int(np.ceil((delay_range_s[1] + mtt_range_s[1] - delay_range_s[0]) / SHIFT_STEP_S)) + 1
        shifts = self._origin + SHIFT_STEP_S * np.arange(self._cells + 1)
        integral, values = shifted_inputs(times_s, aif / self._scale, shifts)
        slopes = -SHIFT_STEP_S * values
        self._project = np.ascontiguousarray(np.stack([integral, slopes], axis=2).reshape(times_s.size, -1))
        self._tabulate(np.stack(_cubic(integral[:, :-1], integral[:, 1:], slopes[:, :-1], slopes[:, 1:])))
        self._dictionary(times_s, aif / self._scale)

    def _tabulate(self, cubics: FloatArray) -> None:
        """Keep the products of all cubics, shape (4, T, cells), with each other, as polynomials of one or two places."""
        coefficients = cubics.transpose(1, 0, 2).reshape(cubics.shape[1], -1)
        products = (coefficients.T @ coefficients).reshape(4, self._cells, 4, self._cells)
        self._cross = np.ascontiguousarray(products.transpose(2, 0, 1, 3).reshape(16, -1))
        own = np.einsum("kclc->klc", products)
        self._norm, self._slope_norm = np.zeros((7, self._cells)), np.zeros((5, self._cells))
        for k in range(4):
            for m in range(4):
                self._norm[k + m] += own[k, m]
                if k and m:
                    self._slope_norm[k + m - 2] += k * m * own[k, m]

    def _dictionary(self, times_s: FloatArray, aif: FloatArray) -> None:
        """Choose the coarse starts: delays 1 s apart, transit times in equal ratios."""
        delays = np.arange(self.delay_range_s[0], self.delay_range_s[1] + 1e-6)
        longest = self.mtt_range_s[1]
        shortest = min(max(1.0, self.mtt_range_s[0]), longest)
        lengths = np.geomspace(shortest, 0.93 * longest, STARTS_OF_LENGTH)
        start = np.repeat(delays, lengths.size)
        end = start + np.tile(np.clip(lengths, *self.mtt_range_s), delays.size)
        both, _ = shifted_inputs(times_s, aif, np.concatenate([start, end]))
        atoms = both[:, : start.size] - both[:, start.size :]
        norms = np.linalg.norm(atoms, axis=0)
        good = norms > 1e-6 * norms.max()  # boxes that begin after the scan ends are never chosen
        self._atoms = np.ascontiguousarray((atoms * good / np.where(good, norms, 1.0)).T, dtype=np.float32)
        self._starts, self._ends = start, end

    def _coarse(self, curves: Curves) -> Indices:
        """Return the atom that each curve projects onto most: first the delay, then the length at that delay."""
        voxels = curves.shape[0]
        scores = (self._atoms @ curves.T).reshape(-1, STARTS_OF_LENGTH, voxels)
        by_delay = scores.max(axis=1)
        delay = first_of(by_delay, by_delay.max(axis=0))
        lengths = np.arange(STARTS_OF_LENGTH)[:, None]
        at_delay = scores[delay[None], lengths, np.arange(voxels)[None]]
        return delay * STARTS_OF_LENGTH + first_of(at_delay, at_delay.max(axis=0))

    def fit(self, curves: Curves, steps: int = MOST_STEPS) -> BoxFit:
        """Fit a box to each curve.

        Parameters
        ----------
        curves : ndarray, shape (M, T)
            Tissue curves in the unit of the arterial input.
        steps : int
            Largest number of Gauss-Newton steps.

        Returns
        -------
        BoxFit
            Parameters, misfit and variances.
        """
        voxels = curves.shape[0]
        exact = curves.astype(np.float64)
        data = (exact @ self._project).ravel()
        best = self._coarse(curves)
        d, e = self._starts[best], self._ends[best]
        active = np.arange(voxels)
        now = self._normal(data, active, d, e)
        damping = np.full(voxels, DAMPING)
        for _ in range(steps):
            d_old, e_old, damp = d[active], e[active], damping[active]
            d_new, e_new = self._step(now[:, active], d_old, e_old, damp)
            new = self._normal(data, active, d_new, e_new)
            better = new[GAIN] > now[GAIN, active]
            taken = active[better]
            d[taken], e[taken] = d_new[better], e_new[better]
            now[:, taken] = new[:, better]
            damping[active] = np.where(better, damp * 0.3, damp * 8.0)
            active = active[np.maximum(np.abs(d_new - d_old), np.abs(e_new - e_old)) > CONVERGED_S]
            if not active.size:
                break
        return self._result(np.einsum("vt,vt->v", exact, exact), now, d, e)

    def _step(self, now: Floats, d: Floats, e: Floats, damping: Floats) -> tuple[Floats, Floats]:
        """Return the next start and end.

        Damped by middle and length: the curve says so much more about the middle that a share of it would hold the length.
        """
        q, g, r1, r2, a11, a12, a22 = now[:7]
        middle, length = (a11 + 2.0 * a12 + a22) * (1.0 + damping), (0.25 * (a11 + a22) - 0.5 * a12) * (1.0 + damping)
        both, r_middle, r_length = 0.5 * (a22 - a11), r1 + r2, 0.5 * (r2 - r1)
        scale = g / (np.maximum(middle * length - both**2, TINY) * np.maximum(q, TINY))
        shift = (length * r_middle - both * r_length) * scale
        growth = 0.5 * (middle * r_length - both * r_middle) * scale
        d_new = np.clip(d + np.clip(shift - growth, -LONGEST_STEP_S, LONGEST_STEP_S), *self.delay_range_s)
        e_new = e + np.clip(shift + growth, -LONGEST_STEP_S, LONGEST_STEP_S)
        return d_new, np.clip(e_new, d_new + self.mtt_range_s[0], d_new + self.mtt_range_s[1])

    def _normal(self, data: Floats, columns: Indices, d: Floats, e: Floats) -> Floats:
        """Return the normal equations at starts `d` and ends `e` of some voxels, all from the tables.

        Rows: data on the box, box on itself; gradient (2) and normal matrix (11, 12, 22) of start and end after the box was
        projected out; box on its two derivatives; share of the curve's sum of squares that the box explains.
        """
        i, x = self._split(d)
        j, y = self._split(e)
        p_d, h_d = self._data_at(data, columns, i, x)
        p_e, h_e = self._data_at(data, columns, j, y)
        gg_d, gf_d, ff_d = self._own(i, x)
        gg_e, gf_e, ff_e = self._own(j, y)
        gg, g_e_f_d, g_d_f_e, ff = self._mixed(i, x, j, y)
        q, g = p_d - p_e, np.maximum(gg_d + gg_e - 2.0 * gg, TINY)
        w1, w2 = g_e_f_d - gf_d, g_d_f_e - gf_e
        ratio = q / g
        rows = (
            q, g, -h_d - w1 * ratio, h_e - w2 * ratio,
            ff_d - w1 * w1 / g, -ff - w1 * w2 / g, ff_e - w2 * w2 / g, w1, w2, np.where(q > 0, q * ratio, -1.0),
        )  # fmt: skip
        return self._pulled(np.stack(rows), e - d)

    def _pulled(self, rows: Floats, mtt: Floats) -> Floats:
        """Add the pull towards a typical transit time to gradient, normal matrix and gain, in place."""
        if self._pull > 0:
            off = np.log(mtt * (1.0 / TYPICAL_MTT_S))
            lever = 1.0 / (mtt * np.maximum(rows[0] / rows[1], 1e-6))
            stiff = self._pull * lever**2
            rows[2] += self._pull * off * lever
            rows[3] -= self._pull * off * lever
            rows[4] += stiff
            rows[5] -= stiff
            rows[6] += stiff
            rows[GAIN] -= self._pull * off**2
        return rows

    def _split(self, shift: Floats) -> tuple[Indices, Floats]:
        place = (shift - self._origin) * (1.0 / SHIFT_STEP_S)
        cell = np.clip(place.astype(np.int64), 0, self._cells - 1)
        return cell, place - cell

    def _data_at(self, data: Floats, columns: Indices, cell: Indices, x: Floats) -> tuple[Floats, Floats]:
        """Return p and -p' of each voxel."""
        first = (columns * (self._cells + 1) + cell) * 2
        cubic = _cubic(data[first], data[first + 2], data[first + 1], data[first + 3])
        return _polynomial(cubic, x), _slope(cubic, x) * (-1.0 / SHIFT_STEP_S)

    def _own(self, cell: Indices, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the products of G with itself, of G with the input and of the input with itself, at the same shift."""
        norm = self._norm.take(cell, axis=1)
        square = _polynomial(self._slope_norm.take(cell, axis=1), x) * SHIFT_STEP_S**-2
        return _polynomial(norm, x), _slope(norm, x) * (-0.5 / SHIFT_STEP_S), square

    def _mixed(self, i: Indices, x: Floats, j: Indices, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the products of G or the input at the first shift with G or the input at the second: GG, FG, GF, FF."""
        table = self._cross.take(i * self._cells + j, axis=1).reshape(4, 4, -1)
        value, slope = _polynomial(table, y), _slope(table, y)
        step = -1.0 / SHIFT_STEP_S
        return _polynomial(value, x), _slope(value, x) * step, _polynomial(slope, x) * step, _slope(slope, x) * step**2

    def _result(self, power: Floats, now: Floats, d: Floats, e: Floats) -> BoxFit:
        q, g, _, _, a11, a12, a22, w1, w2, _ = now
        flow = np.maximum(q, 0.0) / g
        determinant = np.maximum(a11 * a22 - a12**2, TINY)
        i11, i22, i12 = a22 / determinant, a11 / determinant, -a12 / determinant
        spread = w1**2 * i11 + 2.0 * w1 * w2 * i12 + w2**2 * i22
        square = np.maximum(flow, TINY) ** 2
        return BoxFit(
            flow / self._scale, d, e, np.maximum(power - flow * q, 0.0), power,
            (1.0 / g + spread / g**2) / self._scale**2, (i11 + i22 - 2.0 * i12) / square, i11 / square,
        )  # fmt: skip


def _cubic(p0: Floats, p1: Floats, m0: Floats, m1: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the coefficients of the cubic with values p and slopes m at 0 and 1."""
    rise = p1 - p0
    return p0, m0, 3.0 * rise - 2.0 * m0 - m1, m0 + m1 - 2.0 * rise


def _polynomial(coefficients: Sequence[Floats] | Floats, x: Floats) -> Floats:
    """Return the polynomial with the given coefficients, constant first, at `x`."""
    value = coefficients[-1] * x
    for number in range(len(coefficients) - 2, 0, -1):
        value += coefficients[number]
        value *= x
    value += coefficients[0]
    return value


def _slope(coefficients: Sequence[Floats] | Floats, x: Floats) -> Floats:
    """Return the derivative of the polynomial with the given coefficients, constant first, at `x`."""
    top = len(coefficients) - 1
    value = coefficients[top] * (top * x)
    for number in range(top - 1, 1, -1):
        value += number * coefficients[number]
        value *= x
    value += coefficients[1]
    return value
