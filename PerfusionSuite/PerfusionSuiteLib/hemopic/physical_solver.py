# SPDX-License-Identifier: Apache-2.0
"""Fit of many curves at once: amplitude eliminated linearly, arrival and transit time by damped Gauss-Newton steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, no_progress
from .physical_arrays import Array
from .physical_surface import Surface

STEPS = 12
TOLERANCE = 1e-3
"""Largest step in units of ln MTT and s that counts as standing still."""

LARGEST_STEP = (1.5, 0.5)
"""Most that a step may change centre time (s) and ln MTT."""

ATOM_CENTRE_S = 0.6
ATOM_MTT_STRIDE = 4

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Priors:
    """What is known before a curve is looked at, per curve.

    Parameters
    ----------
    log_mtt, log_mtt_sd : ndarray, shape (n,)
        Mean and standard deviation of ln MTT (MTT in s).
    delay_s, delay_sd_s : ndarray, shape (n,), s
        Mean and standard deviation of the delay.
    """

    log_mtt: Values
    log_mtt_sd: Values
    delay_s: Values
    delay_sd_s: Values

    @classmethod
    def same(cls, count: int, mtt_s: float, log_mtt_sd: float, delay_s: float, delay_sd_s: float) -> Priors:
        """Return one prior for all curves."""
        numbers = (np.log(mtt_s), log_mtt_sd, delay_s, delay_sd_s)
        return cls(*(np.full(count, number, np.float32) for number in numbers))

    def stacked(self) -> Values:
        """Return all four as an array, shape (n, 4)."""
        return np.stack([self.log_mtt, self.log_mtt_sd, self.delay_s, self.delay_sd_s], axis=1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Solution:
    """Most probable parameters of each curve and how well they are known.

    Parameters
    ----------
    volume : ndarray, shape (n,)
        Amplitude: blood volume in units of the input.
    centre_s, log_mtt : ndarray, shape (n,)
        Centre time in s and ln MTT.
    misfit : ndarray, shape (n,)
        Sum of squares left of the projected curve.
    energy : ndarray, shape (n,)
        Sum of squares of the projected curve.
    covariance : ndarray, shape (n, 6)
        Of (ln volume, centre, ln MTT): 00, 01, 02, 11, 12, 22; per unit of the noise variance that was given.
    moved : ndarray, shape (n,)
        Length of the last step; above `TOLERANCE` the fit has not converged.
    """

    volume: Values
    centre_s: Values
    log_mtt: Values
    misfit: Values
    energy: Values
    covariance: Values
    moved: Values


def empty_solution(count: int) -> Solution:
    """Return room for the fits of `count` curves."""
    one = [np.empty(count, np.float32) for _ in range(6)]
    return Solution(one[0], one[1], one[2], one[3], one[4], np.empty((count, 6), np.float32), one[5])


class Solver:
    """Fits curves to one surface.

    Parameters
    ----------
    surface : Surface
        The family's responses.
    """

    def __init__(self, surface: Surface) -> None:
        self.surface, self.arrays = surface, surface.arrays
        nodes = surface.nodes
        stride = max(1, round(ATOM_CENTRE_S / float(nodes.centres[1] - nodes.centres[0])))
        few = surface.few[::stride, ::ATOM_MTT_STRIDE]
        centre, log_mtt = np.meshgrid(nodes.centres[::stride], nodes.log_mtts[::ATOM_MTT_STRIDE], indexing="ij")
        norm = np.linalg.norm(few, axis=2)
        delay = centre - nodes.centre_share * np.exp(log_mtt)
        seen = (delay >= surface.delay_range[0] - 1e-6) & (norm > 0.02 * norm.max())
        self._unit = self.arrays.put((few[seen] / norm[seen][:, None]).T)
        self._atoms = np.stack([centre[seen], log_mtt[seen], delay[seen]], axis=1)
        self._where = self.arrays.put(np.column_stack([self._atoms[:, :2], np.ones(len(self._atoms))]))
        self._prior_terms = self.arrays.put(
            np.stack([np.ones(len(self._atoms)), *(self._atoms[:, c] ** p for c in (1, 2) for p in (1, 2))])
        )

    def starts(self, few: Array, variance: Array, priors: Array) -> tuple[Array, Array]:
        """Average arrival and transit time over all atoms by their probability."""
        xp = self.arrays
        along = xp.clip(few @ self._unit, 0.0, 3.0e38)
        score = along * along * (0.5 / variance)[:, None]
        mean, sd, delay, delay_sd = (priors[:, n] for n in range(4))
        per_l, per_d = 0.5 / (sd * sd), 0.5 / (delay_sd * delay_sd)
        weights = xp.stack([0.0 * per_l, 2.0 * mean * per_l, -per_l, 2.0 * delay * per_d, -per_d])
        score = score + weights @ self._prior_terms
        score = xp.exp(score - xp.greatest(score))
        sums = score @ self._where
        return sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]

    def state(self, few: Array, variance: Array, priors: Array, centre: Array, log_mtt: Array) -> dict[str, Array]:
        """Objective, gradient and normal matrix at a point."""
        xp, r = self.arrays, self.surface.rank
        found = self.surface.look(centre, log_mtt)
        g, gc, gl = found[:, :r], found[:, r : 2 * r], found[:, 2 * r :]
        gg = xp.clip(xp.dot(g, g), 1e-30, 3.0e38)
        volume = xp.clip(xp.dot(g, few) / gg, 1e-12, 3.0e38)
        left = few - volume[:, None] * g
        misfit = xp.dot(left, left)
        bc, bl = xp.dot(g, gc) / gg, xp.dot(g, gl) / gg
        scale = volume * volume / variance
        share, mtt = self.surface.centre_share, xp.exp(log_mtt)
        mean, sd, delay, delay_sd = (priors[:, n] for n in range(4))
        pl, pd = 1.0 / (sd * sd), 1.0 / (delay_sd * delay_sd)
        off_l, off_d, turn = log_mtt - mean, centre - share * mtt - delay, -share * mtt
        return {
            "value": 0.5 * (misfit / variance + off_l * off_l * pl + off_d * off_d * pd),
            "misfit": misfit, "volume": volume, "gg": gg, "bc": bc, "bl": bl,
            "cc": scale * (xp.dot(gc, gc) - bc * bc * gg) + pd,
            "cl": scale * (xp.dot(gc, gl) - bc * bl * gg) + pd * turn,
            "ll": scale * (xp.dot(gl, gl) - bl * bl * gg) + pl + pd * turn * turn,
            "dc": volume * (xp.dot(gc, left)) / variance - pd * off_d,
            "dl": volume * (xp.dot(gl, left)) / variance - pl * off_l - pd * off_d * turn,
        }  # fmt: skip

    def improve(self, few: Array, variance: Array, priors: Array, centre: Array, log_mtt: Array) -> Solution:
        """Take damped Gauss-Newton steps from given starts; those who stand still are left out."""
        xp = self.arrays
        centre, log_mtt = self.surface.bounded(centre, log_mtt)
        now = self.state(few, variance, priors, centre, log_mtt)
        damping, moved = 0.0 * centre + 1e-2, 0.0 * centre + 1e3
        for _ in range(STEPS):
            cc, ll, cl = now["cc"] * (1.0 + damping), now["ll"] * (1.0 + damping), now["cl"]
            det = xp.clip(cc * ll - cl * cl, 1e-20, 3.0e38)
            step_c = xp.clip((ll * now["dc"] - cl * now["dl"]) / det, -LARGEST_STEP[0], LARGEST_STEP[0])
            step_l = xp.clip((cc * now["dl"] - cl * now["dc"]) / det, -LARGEST_STEP[1], LARGEST_STEP[1])
            to_c, to_l = self.surface.bounded(centre + step_c, log_mtt + step_l)
            then = self.state(few, variance, priors, to_c, to_l)
            better = then["value"] <= now["value"]
            step = abs(to_c - centre) + abs(to_l - log_mtt)
            moved = xp.where(better, step, moved * 0.5)
            centre, log_mtt = xp.where(better, to_c, centre), xp.where(better, to_l, log_mtt)
            now = {key: xp.where(better, then[key], now[key]) for key in now}
            damping = xp.clip(xp.where(better, damping * 0.2, damping * 8.0), 1e-4, 1e6)
            if float((moved > TOLERANCE).sum()) < 0.002 * moved.shape[0]:
                break
        return self._solution(few, variance, now, centre, log_mtt, moved)

    def _solution(
        self, few: Array, variance: Array, now: dict[str, Array], centre: Array, log_mtt: Array, moved: Array
    ) -> Solution:
        xp = self.arrays
        det = xp.clip(now["cc"] * now["ll"] - now["cl"] * now["cl"], 1e-20, 3.0e38)
        s11, s22, s12 = now["ll"] / det, now["cc"] / det, -now["cl"] / det
        bc, bl, volume = now["bc"], now["bl"], now["volume"]
        s01, s02 = -(bc * s11 + bl * s12), -(bc * s12 + bl * s22)
        s00 = variance / (volume * volume * now["gg"]) + bc * bc * s11 + 2.0 * bc * bl * s12 + bl * bl * s22
        parts = (volume, centre, log_mtt, now["misfit"], xp.dot(few, few), xp.stack([s00, s01, s02, s11, s12, s22]), moved)
        return Solution(*[xp.take(part) for part in parts])


def solve(
    solver: Solver,
    few: Values,
    variance: Values,
    priors: Priors,
    *,
    start: tuple[Values, Values] | None = None,
    progress: ProgressCallback | None = None,
    stage: str = "Fitting",
) -> Solution:
    """Fit all curves in blocks.

    Parameters
    ----------
    solver : Solver
        The surface.
    few : ndarray, shape (n, rank)
        Projected curves.
    variance : ndarray, shape (n,)
        Noise variance of one projected number.
    priors : Priors
        Of each curve.
    start : tuple of ndarray, shape (n,), optional
        Centre times and ln MTT to begin with; by default averages over a dictionary.
    progress : callable, optional
        Progress and cancelling.
    stage : str
        What progress says.

    Returns
    -------
    Solution
        Of all curves.
    """
    count, xp = few.shape[0], solver.arrays
    known = priors.stacked()
    result = empty_solution(count)
    variance = np.asarray(variance, np.float32)

    def work(here: slice) -> None:
        curves, noise, prior = xp.put(few[here]), xp.put(variance[here]), xp.put(known[here])
        if start is None:
            begin = solver.starts(curves, noise, prior)
        else:
            begin = (xp.put(start[0][here]), xp.put(start[1][here]))
        found = solver.improve(curves, noise, prior, *begin)
        for name in Solution.__slots__:
            getattr(result, name)[here] = getattr(found, name)

    xp.each(count, work, progress or no_progress, stage)
    return result


def negative_log_posterior(
    solution: Solution, variance: Values, priors: Priors, centre_share: float, rest: Values | float = 0.0
) -> NDArray[Any]:
    """Return how improbable fits are, up to a constant of the curve.

    Parameters
    ----------
    solution : Solution
        Fits.
    variance : ndarray, shape (n,)
        Noise variance they were made with.
    priors : Priors
        Of each curve.
    centre_share : float
        Of the family.
    rest : ndarray, shape (n,), optional
        What lies outside of the surface's directions, to compare fits in different ones.

    Returns
    -------
    ndarray, shape (n,)
        Half the misfit over the noise, and half the squared deviations from the prior.
    """
    delay = solution.centre_s - centre_share * np.exp(solution.log_mtt)
    off = ((solution.log_mtt - priors.log_mtt) / priors.log_mtt_sd) ** 2 + ((delay - priors.delay_s) / priors.delay_sd_s) ** 2
    value: NDArray[Any] = 0.5 * ((solution.misfit + rest) / variance + off)
    return value


def parameter_sds(solution: Solution, centre_share: float) -> dict[str, FloatArray | Any]:
    """Return standard deviations of what is reported.

    Parameters
    ----------
    solution : Solution
        Fits.
    centre_share : float
        Of the family.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``ln_cbv``, ``ln_cbf``, ``ln_mtt``, ``delay``, ``tmax``: standard deviations of logarithms and of times in s.
    """
    s00, _, s02, s11, s12, s22 = solution.covariance.T
    mtt = np.exp(solution.log_mtt)

    def time(turn: Any) -> Any:
        return np.sqrt(np.maximum(s11 + 2.0 * turn * s12 + turn**2 * s22, 0.0))

    return {
        "ln_cbv": np.sqrt(np.maximum(s00, 0.0)),
        "ln_cbf": np.sqrt(np.maximum(s00 - 2.0 * s02 + s22, 0.0)),
        "ln_mtt": np.sqrt(np.maximum(s22, 0.0)),
        "delay": time(-centre_share * mtt),
        "tmax": time((0.5 - centre_share) * mtt),
    }
