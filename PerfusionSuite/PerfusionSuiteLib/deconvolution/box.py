# SPDX-License-Identifier: Apache-2.0
"""Regression of a box-shaped residue in every voxel: flow from the arrival for one transit time, nothing outside.

With the running integral G of the arterial input the tissue curve is ``F (G(t - d) - G(t - e))`` for arrival d and end
``e = d + MTT`` (Bennink et al., J Med Imaging 3:026003, 2016). Everything least squares needs about a voxel is then one
function of a shift x, ``p(x) = sum C(t) G(t - x)``, with its derivatives, and everything it needs about the scan is the products
of shifted arterial curves with each other. Both are tabulated; a step reads tables and never touches the curve again.

As a function of the shift G is a cubic spline, and every sum and every derivative is that of this spline exactly, in double
precision: a short box differs from a shorter, higher one only by the curvature of the input times F MTT^3 / 24, so that tables
which disagree in the fifth digit make a fit stop where it starts. Single precision is enough for p, whose rounding is like
noise of a millionth of the curve.

Steps are Newton's. Gauss-Newton leaves out how the residual bends the sum of squares; where the true residue is no box it needs
a dozen steps instead of three. It is taken where Newton's matrix is near singular.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, make_interp_spline

from ..core.geometry import FloatArray
from .problem import Curves
from .residues import first_of
from .timegrid import TAIL_DECAY_S

Indices = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

MTT_RANGE_S = (0.5, 30.0)
DELAY_RANGE_S = (-4.0, 20.0)
TYPICAL_MTT_S = 5.0

SHIFT_STEP_S = 0.5
"""Distance of the nodes of the tables; inside the fit it is the unit of time."""

LONGEST_STEP = 4.0
MOST_STEPS = 6
CONVERGED = 0.04
SMALL_GAIN = 3e-4
"""A voxel is done when a step moved it less than `CONVERGED` or lowered the misfit by less than this share of it."""

NEWTON_SHARE = 0.5
"""Least determinant of Newton's matrix, relative to Gauss-Newton's, with which it is used."""

DAMPING = 1e-3
NODES_OF_DELAY = 2
STARTS_OF_LENGTH = 14
TINY, LEAST_FLOW = 1e-30, 1e-12

POWERS_OF_SPLINE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6.0
"""From four neighboring coefficients of a uniform cubic spline to the polynomial between the middle two."""

SHIFTS, GRADIENT, NORMAL, MATRIX, SLOPES = slice(0, 2), slice(2, 4), slice(4, 7), slice(7, 10), slice(10, 12)
DATA, NORM, GAIN = 12, 13, 14
"""Rows of what is known about a box in a voxel, see `BoxRegression._normal`."""


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
        self._pull, self._origin_s, self._scale = pull, delay_range_s[0], float(np.abs(aif).max())
        self._last_start = (delay_range_s[1] - delay_range_s[0]) / SHIFT_STEP_S
        self._shortest, self._longest = mtt_range_s[0] / SHIFT_STEP_S, mtt_range_s[1] / SHIFT_STEP_S
        self._cells = int(np.ceil(self._last_start + self._longest)) + 1
        shifts = self._origin_s + SHIFT_STEP_S * np.arange(self._cells + 1)
        integral, values = shifted_inputs(times_s, aif / self._scale, shifts)
        slopes = [(1, -values[:, 0])], [(1, -values[:, -1])]
        spline = make_interp_spline(shifts, integral.T, k=3, bc_type=slopes).c
        self._spline = np.ascontiguousarray(spline, dtype=np.float32)
        self._tabulate(spline)
        self._dictionary()

    def _tabulate(self, spline: FloatArray) -> None:
        """Keep the products of all pieces of the spline with each other, as polynomials of one or two places."""
        near = np.stack([spline[k : k + self._cells] for k in range(4)])
        pieces = np.tensordot(POWERS_OF_SPLINE, near, axes=1).reshape(-1, spline.shape[1])
        products = (pieces @ pieces.T).reshape(4, self._cells, 4, self._cells)
        self._cross = np.ascontiguousarray(products.transpose(2, 0, 1, 3).reshape(16, -1))
        own = np.einsum("kclc->klc", products)
        self._norm, self._slope_norm = np.zeros((7, self._cells)), np.zeros((5, self._cells))
        for k in range(4):
            for m in range(4):
                self._norm[k + m] += own[k, m]
                if k and m:
                    self._slope_norm[k + m - 2] += k * m * own[k, m]

    def _dictionary(self) -> None:
        """Choose the coarse starts, all at nodes: delays 1 s apart, transit times in about equal ratios."""
        self._delays = np.arange(0, int(self._last_start + 1e-6) + 1, NODES_OF_DELAY)
        shortest = min(max(1.0 / SHIFT_STEP_S, self._shortest), self._longest)
        lengths = np.rint(np.geomspace(shortest, 0.93 * self._longest, STARTS_OF_LENGTH))
        self._lengths = np.unique(np.maximum(lengths, 1).astype(np.int64))
        start, length = np.repeat(self._delays, self._lengths.size), np.tile(self._lengths, self._delays.size)
        norms = np.linalg.norm(self._spline[start + 1] - self._spline[start + length + 1], axis=1)
        good = norms > 1e-6 * norms.max()  # boxes that begin after the scan ends are never chosen
        heights = (good / np.where(good, norms, 1.0)).reshape(self._delays.size, -1).T
        self._heights = np.ascontiguousarray(heights, dtype=np.float32)
        self._atoms = np.stack([start, start + np.clip(length, self._shortest, self._longest)]).astype(np.float64)
        self._atom_products = self._products(*self._split(self._atoms))

    def _coarse(self, data: Floats) -> Indices:
        """Return the atom that each curve projects onto most: first the delay, then the length at that delay.

        Coefficients of the spline stand for its values, which differ by a 24th of the second difference.
        """
        voxels, span = data.shape[1], self._delays[-1] + 1
        score = np.empty((self._delays.size, voxels), np.float32)
        best = np.full_like(score, -np.inf)
        for length, heights in zip(self._lengths, self._heights, strict=True):
            first = 1 + length
            np.subtract(data[1 : 1 + span : NODES_OF_DELAY], data[first : first + span : NODES_OF_DELAY], out=score)
            score *= heights[:, None]
            np.maximum(best, score, out=best)
        delay = first_of(best, best.max(axis=0))
        place = (self._delays[delay] + 1) * voxels + np.arange(voxels)
        at_delay = data.take(place) - data.take(place + self._lengths[:, None] * voxels)
        at_delay *= self._heights.take(delay, axis=1)
        return delay * self._lengths.size + first_of(at_delay, at_delay.max(axis=0))

    def fit(self, curves: Curves, steps: int = MOST_STEPS) -> BoxFit:
        """Fit a box to each curve.

        Parameters
        ----------
        curves : ndarray, shape (M, T)
            Tissue curves in the unit of the arterial input.
        steps : int
            Largest number of steps.

        Returns
        -------
        BoxFit
            Parameters, misfit and variances.
        """
        data = self._spline @ curves.T
        power = np.einsum("vt,vt->v", curves, curves).astype(np.float64)
        columns, damping = np.arange(power.size), np.full(power.size, DAMPING)
        atom = self._coarse(data)
        found = now = self._normal(data, columns, self._atoms.take(atom, axis=1), self._atom_products.take(atom, axis=1))
        for number in range(steps):
            new = self._normal(data, columns, self._step(now, damping))
            gained = new[GAIN] - now[GAIN]
            moved = np.abs(new[SHIFTS] - now[SHIFTS]).max(axis=0)
            worse = np.flatnonzero(~(gained > 0))
            new[:, worse], gained[worse] = now[:, worse], np.inf
            damping *= 0.1
            damping[worse] = np.maximum(100.0 * damping[worse], 0.5)
            now = new
            if columns.size == power.size:
                found = now
            else:
                found[:, columns] = now
            if number:  # nearly no voxel is done after the first step
                left = power[columns] - now[GAIN]
                keep = np.flatnonzero((moved > CONVERGED) & (gained > SMALL_GAIN * left))
                now, columns, damping = now.take(keep, axis=1), columns.take(keep), damping.take(keep)
                if not keep.size:
                    break
        return self._result(power, found)

    def _step(self, now: Floats, damping: Floats) -> Floats:
        """Return the next starts and ends.

        The step is one of middle and length. The curve says so much more about the middle that damping by a share of it would
        hold the length; and where a bound holds the length, the middle goes where it is best for that length.
        """
        (d, e), (m11, m12, m22), (r1, r2), more = now[SHIFTS], now[MATRIX], now[GRADIENT], 1.0 + damping
        trace, twice, mtt = m11 + m22, 2.0 * m12, e - d
        middle, length, both = (trace + twice) * more, (trace - twice) * (0.25 * more), 0.5 * (m22 - m11)
        per_flow = now[NORM] / np.maximum(now[DATA], TINY)
        r_middle, r_length = (r1 + r2) * per_flow, (r2 - r1) * (0.5 * per_flow)
        longer = (middle * r_length - both * r_middle) / np.maximum(middle * length - both * both, TINY)
        least = np.maximum(self._shortest - mtt, -LONGEST_STEP)
        np.clip(longer, least, np.minimum(self._longest - mtt, LONGEST_STEP), out=longer)
        shift = np.clip((r_middle - both * longer) / np.maximum(middle, TINY), -LONGEST_STEP, LONGEST_STEP)
        longer *= 0.5
        moved = np.empty((2, d.size))
        start = np.clip(d + (shift - longer), 0.0, self._last_start, out=moved[0])
        np.clip(e + (shift + longer), start + self._shortest, start + self._longest, out=moved[1])
        return moved

    def _normal(self, data: Floats, columns: Indices, shifts: Floats, products: Floats | None = None) -> Floats:
        """Return the normal equations at starts and ends of some voxels, all from the tables.

        Rows: start and end; gradient, after the box was projected out; normal matrix (11, 12, 22) of start and end, likewise;
        matrix to step with; box on its two derivatives; data on the box; box on itself; share of the curve's sum of squares
        that the box explains.
        """
        cell, x = self._split(shifts)
        near = data.take((cell + np.arange(4)[:, None, None]) * data.shape[1] + columns)
        p, slope, half_bend, _ = _taylor((POWERS_OF_SPLINE @ near.reshape(4, -1)).reshape(near.shape), x)
        slope[1] *= -1.0
        known = self._products(cell, x) if products is None else products
        g, w, bends = known[0], known[1:3], known[3:6]
        rows = np.empty((GAIN + 1, columns.size))
        rows[SHIFTS], rows[SLOPES], rows[NORM] = shifts, w, g
        q = np.subtract(p[0], p[1], out=rows[DATA])
        flow = np.maximum(q / g, LEAST_FLOW)
        r = np.subtract(slope, w * flow, out=rows[GRADIENT])
        normal = np.subtract(known[6:9], _squares(w) / g, out=rows[NORMAL])
        newton = bends - _squares(r / flow - w) / g
        half_bend *= 2.0 / flow
        newton[0] -= half_bend[0]
        newton[2] += half_bend[1]
        rows[GAIN] = np.where(q > 0, q * flow, -1.0)
        if self._pull > 0:
            self._add_pull(rows, newton, shifts[1] - shifts[0], flow)
        usable = (newton[0] > 0) & (_determinant(newton) > NEWTON_SHARE * _determinant(normal))
        rows[MATRIX] = np.where(usable, newton, normal)
        return rows

    def _add_pull(self, rows: Floats, newton: Floats, mtt: Floats, flow: Floats) -> None:
        """Add the pull towards a typical transit time to gradient, matrices and gain."""
        off = np.log(mtt * (SHIFT_STEP_S / TYPICAL_MTT_S))
        lever = 1.0 / (mtt * flow)
        force = self._pull * off * lever
        stiff = self._pull * lever * lever
        rows[GRADIENT][0] += force
        rows[GRADIENT][1] -= force
        for matrix in (rows[NORMAL], newton):
            matrix[::2] += stiff
            matrix[1] -= stiff
        rows[GAIN] -= self._pull * off * off

    def _split(self, shifts: Floats) -> tuple[Indices, Floats]:
        cell = np.clip(shifts.astype(np.int64), 0, self._cells - 1)
        return cell, shifts - cell

    def _products(self, cell: Indices, x: Floats) -> Floats:
        """Return what least squares needs to know about boxes of height 1.

        Rows: box on itself; box on its two derivatives; half the second derivatives (11, 12, 22) of the first row; products of
        the two derivatives with each other (11, 12, 22).
        """
        own = _taylor(self._norm.take(cell, axis=1), x)
        square = _taylor(self._slope_norm.take(cell, axis=1), x, 1)[0]
        cross = self._cross.take(cell[0] * self._cells + cell[1], axis=1).reshape(4, 4, -1)
        cross = _taylor(_taylor(cross, x[1])[:3].swapaxes(0, 1), x[0])
        rows = np.empty((9, x.shape[1]))
        rows[0] = np.maximum(own[0, 0] + own[0, 1] - 2.0 * cross[0, 0], TINY)
        rows[1], rows[2] = 0.5 * own[1, 0] - cross[1, 0], 0.5 * own[1, 1] - cross[0, 1]
        rows[3], rows[5] = own[2, 0] - 2.0 * cross[2, 0], own[2, 1] - 2.0 * cross[0, 2]
        rows[6:9:2] = square
        rows[4] = rows[7] = -cross[1, 1]
        return rows

    def _result(self, power: Floats, found: Floats) -> BoxFit:
        q, g, (a11, a12, a22), (w1, w2) = found[DATA], found[NORM], found[NORMAL], found[SLOPES]
        flow = np.maximum(q, 0.0) / g
        determinant = np.maximum(a11 * a22 - a12**2, TINY)
        i11, i22, i12 = a22 / determinant, a11 / determinant, -a12 / determinant
        spread = w1**2 * i11 + 2.0 * w1 * w2 * i12 + w2**2 * i22
        square = (np.maximum(flow, TINY) / SHIFT_STEP_S) ** 2
        start, end = self._origin_s + SHIFT_STEP_S * found[SHIFTS]
        return BoxFit(
            flow / self._scale, start, end, np.maximum(power - flow * q, 0.0), power,
            (1.0 / g + spread / g**2) / self._scale**2, (i11 + i22 - 2.0 * i12) / square, i11 / square,
        )  # fmt: skip


def _taylor(coefficients: Floats, x: Floats, terms: int = 3) -> Floats:
    """Move the origin of polynomials, constants first, to `x` in place; only the first `terms` coefficients are finished."""
    for lowest in range(terms):
        for power in range(len(coefficients) - 2, lowest - 1, -1):
            coefficients[power] += coefficients[power + 1] * x
    return coefficients


def _squares(pair: Floats) -> Floats:
    """Return the products 11, 12 and 22 of two rows with each other."""
    products = np.empty((3, pair.shape[1]))
    np.multiply(pair, pair[0], out=products[:2])
    np.multiply(pair[1], pair[1], out=products[2])
    return products


def _determinant(matrix: Floats) -> Floats:
    return np.asarray(matrix[0] * matrix[2] - matrix[1] * matrix[1])
