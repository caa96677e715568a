# SPDX-License-Identifier: Apache-2.0
"""Regression of a box-shaped residue in every voxel: flow from the arrival for one transit time, nothing outside.

With the running integral G of the arterial input the tissue curve is ``F (G(t - d) - G(t - e))`` for arrival d and end
``e = d + MTT`` (Bennink et al., J Med Imaging 3:026003, 2016). Everything least squares needs about a voxel is then two
functions of one shift x, ``p(x) = sum C(t) G(t - x)`` and its slope, and everything it needs about the scan is the products of
shifted arterial curves with each other. Both are tabulated; a Gauss-Newton step reads tables and never touches the curve again.
"""

from __future__ import annotations

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
SHIFT_STEP_S = 0.25
LONGEST_STEP_S = 2.0
MOST_STEPS = 6
CONVERGED_S = 0.02
TYPICAL_MTT_S = 5.0
GAIN = 9
DAMPING = 1e-3


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
        self._pull = np.float32(pull)
        self._origin, self._scale = delay_range_s[0], float(np.abs(aif).max())
        count = int(np.ceil((delay_range_s[1] + mtt_range_s[1] - delay_range_s[0]) / SHIFT_STEP_S)) + 2
        shifts = delay_range_s[0] + SHIFT_STEP_S * np.arange(count)
        integral, values = shifted_inputs(times_s, aif / self._scale, shifts)
        self._project = np.ascontiguousarray(np.concatenate([integral, values], axis=1).T, dtype=np.float32)
        products = (integral.T @ integral, integral.T @ values, values.T @ values)
        self._gg, self._gf, self._ff = (np.ascontiguousarray(table, dtype=np.float32).ravel() for table in products)
        self._diagonals = [np.ascontiguousarray(np.diag(table), dtype=np.float32) for table in products]
        self._count = count
        self._dictionary(integral)

    def _dictionary(self, integral: FloatArray) -> None:
        """Choose the coarse starts: delays 1 s apart, transit times in equal ratios."""
        per_s = round(1.0 / SHIFT_STEP_S)
        delays = np.arange(0, int((self.delay_range_s[1] - self.delay_range_s[0]) * per_s) + 1, per_s)
        longest = self.mtt_range_s[1]
        shortest = min(max(1.0, self.mtt_range_s[0]), longest)
        lengths = np.unique(np.rint(np.geomspace(shortest, 0.93 * longest, 14) * per_s).astype(np.int64))
        start = np.repeat(delays, lengths.size)
        end = np.minimum(start + np.tile(lengths, delays.size), self._count - 1)
        atoms = integral[:, start] - integral[:, end]
        norms = np.linalg.norm(atoms, axis=0)
        good = norms > 1e-6 * norms.max()  # boxes that begin after the scan ends are never chosen
        self._atoms = np.ascontiguousarray((atoms * good / np.where(good, norms, 1.0)).T, dtype=np.float32)
        self._start_nodes, self._end_nodes, self._lengths = start, end, lengths.size

    def _coarse(self, curves: Curves) -> Indices:
        """Return the atom that each curve projects onto most: first the delay, then the length at that delay."""
        voxels = curves.shape[0]
        scores = (self._atoms @ curves.T).reshape(-1, self._lengths, voxels)
        by_delay = scores.max(axis=1)
        delay = first_of(by_delay, by_delay.max(axis=0))
        lengths = np.arange(self._lengths)[:, None]
        at_delay = scores[delay[None], lengths, np.arange(voxels)[None]]
        return delay * self._lengths + first_of(at_delay, at_delay.max(axis=0))

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
        data = (self._project @ curves.T).ravel()
        best = self._coarse(curves)
        d = (self._origin + SHIFT_STEP_S * self._start_nodes[best]).astype(np.float32)
        e = (self._origin + SHIFT_STEP_S * self._end_nodes[best]).astype(np.float32)
        active = np.arange(voxels)
        now = self._normal(data, voxels, active, d, e)
        damping = np.full(voxels, DAMPING, np.float32)
        for _ in range(steps):
            d_old, e_old, damp = d[active], e[active], damping[active]
            d_new, e_new = self._step(now[:, active], d_old, e_old, damp)
            new = self._normal(data, voxels, active, d_new, e_new)
            better = new[GAIN] > now[GAIN, active]
            taken = active[better]
            d[taken], e[taken] = d_new[better], e_new[better]
            now[:, taken] = new[:, better]
            damping[active] = np.where(better, damp * 0.3, damp * 8.0)
            active = active[np.maximum(np.abs(d_new - d_old), np.abs(e_new - e_old)) > CONVERGED_S]
            if not active.size:
                break
        return self._result(curves, now, d, e)

    def _step(self, now: Floats, d: Floats, e: Floats, damping: Floats) -> tuple[Floats, Floats]:
        """Return the next start and end."""
        q, g, r1, r2, a11, a12, a22 = now[:7]
        a11, a22 = a11 * (1 + damping), a22 * (1 + damping)
        scale = g / (np.maximum(a11 * a22 - a12**2, 1e-20) * np.maximum(q, 1e-12))
        d_step = (a22 * r1 - a12 * r2) * scale
        e_step = (a11 * r2 - a12 * r1) * scale
        d_new = np.clip(d + np.clip(d_step, -LONGEST_STEP_S, LONGEST_STEP_S), *self.delay_range_s)
        e_new = e + np.clip(e_step, -LONGEST_STEP_S, LONGEST_STEP_S)
        return d_new, np.clip(e_new, d_new + self.mtt_range_s[0], d_new + self.mtt_range_s[1])

    def _normal(self, data: Floats, voxels: int, columns: Indices, d: Floats, e: Floats) -> Floats:
        """Return the normal equations at starts `d` and ends `e` of some voxels, all by interpolation in tables.

        Rows: data on the box, box on itself; gradient (2) and normal matrix (11, 12, 22) of start and end after the box was
        projected out; box on its two derivatives; share of the curve's sum of squares that the box explains.
        """
        i, x = self._split(d)
        j, y = self._split(e)
        p_d, h_d = self._data_at(data, voxels, columns, i, x)
        p_e, h_e = self._data_at(data, voxels, columns, j, y)
        gg_d, gf_d, ff_d = (t[i] + x * (t[i + 1] - t[i]) for t in self._diagonals)
        gg_e, gf_e, ff_e = (t[j] + y * (t[j + 1] - t[j]) for t in self._diagonals)
        gg = self._cross(self._gg, i, x, j, y)
        g_d_f_e = self._cross(self._gf, i, x, j, y)
        g_e_f_d = self._cross(self._gf, j, y, i, x)
        ff = self._cross(self._ff, i, x, j, y)
        q, g = p_d - p_e, np.maximum(gg_d + gg_e - 2.0 * gg, 1e-12)
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
            off = np.log(mtt * np.float32(1.0 / TYPICAL_MTT_S))
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
        place = (shift - np.float32(self._origin)) * np.float32(1.0 / SHIFT_STEP_S)
        node = np.clip(place.astype(np.int64), 0, self._count - 2)
        return node, place - node.astype(np.float32)

    def _data_at(self, data: Floats, voxels: int, columns: Indices, node: Indices, x: Floats) -> tuple[Floats, Floats]:
        """Return p and -p' of each voxel: a cubic through values and slopes at both nodes, and its slope."""
        below = node * voxels + columns
        p0, p1 = data[below], data[below + voxels]
        slopes = data[self._count * voxels :]
        m0, m1 = -SHIFT_STEP_S * slopes[below], -SHIFT_STEP_S * slopes[below + voxels]
        c2, c3 = 3.0 * (p1 - p0) - 2.0 * m0 - m1, 2.0 * (p0 - p1) + m0 + m1
        return p0 + x * (m0 + x * (c2 + x * c3)), (m0 + x * (2.0 * c2 + 3.0 * x * c3)) * np.float32(-1.0 / SHIFT_STEP_S)

    def _cross(self, table: Floats, i: Indices, x: Floats, j: Indices, y: Floats) -> Floats:
        """Return a table of two shifts, bilinear."""
        at = i * self._count + j
        low = table[at] + y * (table[at + 1] - table[at])
        at = at + self._count
        high = table[at] + y * (table[at + 1] - table[at])
        return np.asarray(low + x * (high - low))

    def _result(self, curves: Curves, now: Floats, d: Floats, e: Floats) -> BoxFit:
        q, g, _, _, a11, a12, a22, w1, w2, _ = now
        power = np.einsum("vt,vt->v", curves, curves)
        flow = np.maximum(q, 0.0) / g
        determinant = np.maximum(a11 * a22 - a12**2, 1e-20)
        i11, i22, i12 = a22 / determinant, a11 / determinant, -a12 / determinant
        spread = w1**2 * i11 + 2.0 * w1 * w2 * i12 + w2**2 * i22
        square = np.maximum(flow, 1e-12) ** 2
        return BoxFit(
            flow / np.float32(self._scale), d, e, np.maximum(power - flow * q, 0.0), power,
            (1.0 / g + spread / g**2) / np.float32(self._scale**2), (i11 + i22 - 2.0 * i12) / square, i11 / square,
        )  # fmt: skip
