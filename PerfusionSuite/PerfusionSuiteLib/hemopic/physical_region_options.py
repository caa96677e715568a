# SPDX-License-Identifier: Apache-2.0
"""What can be asked for beyond the fits of regions: bootstrap, profile likelihood and the Windkessel extension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .physical_regions import RegionSolution, region_variance
from .physical_settings import PhysicalSettings
from .physical_solver import Priors, Solver, Values, solve
from .regions import Regions
from .windkessel import PRESSURE_DROP_MMHG, fit_windkessel

PROFILE_REACH = 1.0
PROFILE_POINTS = 41
FIXED_SD = 2e-3
"""Prior standard deviation of ln MTT that holds it at a point of the profile."""

Rows = list[dict[str, Any]]


def bootstrap(
    curves: NDArray[Any], regions: Regions, solver: Solver, fit: RegionSolution, settings: PhysicalSettings, rows: Rows
) -> None:
    """Add standard deviations over mean curves of voxels drawn with replacement, as ``boot_*`` columns.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement.
    regions : Regions
        Region of each curve.
    solver : Solver
        Responses in all directions.
    fit : RegionSolution
        Fits of the mean curves.
    settings : PhysicalSettings
        Number of samples, seed, prior.
    rows : list of dict
        Table to add to.

    References
    ----------
    Efron, Ann Stat 7:1 (1979). Voxels of a region are not independent where noise was reduced or partial volume shared.
    """
    rng = np.random.default_rng(settings.seed)
    for n, row in enumerate(rows):
        names = ("boot_cv_cbf", "boot_cv_cbv", "boot_cv_mtt", "boot_sd_delay")
        row.update(dict.fromkeys(names, float("nan")))
        members = np.flatnonzero(regions.number == n + 1)
        if fit.status[n] != "ok" or not members.size:
            continue
        drawn = rng.multinomial(members.size, np.full(members.size, 1.0 / members.size), size=settings.bootstrap)
        means = (drawn.astype(np.float32) @ np.asarray(curves[members], np.float32)) / np.float32(members.size)
        few, rest = solver.surface.compress(means)
        prior = Priors.same(len(means), settings.typical_mtt_s, settings.ln_mtt_sd, 0.0, settings.delay_sd_s)
        found = solve(solver, few, region_variance(solver, means, few, rest), prior)
        delay = found.centre_s - solver.surface.centre_share * np.exp(found.log_mtt)
        log_volume = np.log(found.volume)
        spreads = np.stack([log_volume - found.log_mtt, log_volume, found.log_mtt, delay]).std(axis=1)
        row.update({name: float(spread) for name, spread in zip(names, spreads, strict=True)})


def profile(solver: Solver, fit: RegionSolution, settings: PhysicalSettings, rows: Rows) -> None:
    """Add the range of transit times whose likelihood is within 1/2 of the largest, as ``mtt_low`` and ``mtt_high``.

    Parameters
    ----------
    solver : Solver
        Responses in all directions.
    fit : RegionSolution
        Fits of the mean curves.
    settings : PhysicalSettings
        Prior of the delay.
    rows : list of dict
        Table to add to.
    """
    offsets = np.linspace(-PROFILE_REACH, PROFILE_REACH, PROFILE_POINTS).astype(np.float32)
    for n, row in enumerate(rows):
        row.update(mtt_low=float("nan"), mtt_high=float("nan"))
        if fit.status[n] != "ok":
            continue
        curve: Values = np.repeat(fit.observed[n : n + 1], PROFILE_POINTS, axis=0)
        few, rest = solver.surface.compress(curve)
        variance = region_variance(solver, curve, few, rest)
        same = Priors.same(PROFILE_POINTS, 1.0, FIXED_SD, 0.0, settings.delay_sd_s)
        prior = Priors(fit.solution.log_mtt[n] + offsets, same.log_mtt_sd, same.delay_s, same.delay_sd_s)
        begin = (np.full(PROFILE_POINTS, fit.solution.centre_s[n], np.float32), prior.log_mtt)
        found = solve(solver, few, variance, prior, start=begin)
        rise = 0.5 * (found.misfit - found.misfit.min()) / variance
        inside = prior.log_mtt[rise <= 0.5]
        row.update(mtt_low=float(np.exp(inside.min())), mtt_high=float(np.exp(inside.max())))


def windkessel(solver: Solver, fit: RegionSolution, rows: Rows, *, absolute: bool) -> None:
    """Add the Windkessel extension of each region to the table.

    Parameters
    ----------
    solver : Solver
        Responses in all directions.
    fit : RegionSolution
        Fits of the mean curves.
    rows : list of dict
        Table: ``tau_fit``, ``outflow_ratio``, ``wk_mtt``, ``wk_delay``, ``wk_gain``, ``wk_identified``, and where flow is
        absolute and the fit means something ``R_fit`` (mmHg min 100 g / mL) and ``C_wk_fit`` (tau / R).
    absolute : bool
        Whether flow is absolute.
    """
    response, frames = solver.surface.nodes.response, solver.surface.frames
    for n, row in enumerate(rows):
        row.update(
            outflow_ratio=float("nan"), wk_mtt=float("nan"), wk_delay=float("nan"), wk_gain=float("nan"), wk_identified=False
        )
        if fit.status[n] != "ok":
            continue
        curve = fit.observed[n].astype(np.float64)
        few, rest = solver.surface.compress(fit.observed[n : n + 1])
        variance = float(region_variance(solver, fit.observed[n : n + 1], few, rest)[0])
        start = (float(np.exp(fit.solution.log_mtt[n])), float(fit.delay_s[n]))
        found = fit_windkessel(curve, response.times_s, response.source, start, variance, frames.weights)
        row.update(
            tau_fit=found.tau_s, outflow_ratio=found.outflow_ratio, wk_mtt=found.mtt_s, wk_delay=found.delay_s,
            wk_gain=found.gain, wk_identified=found.identified,
        )  # fmt: skip
        if absolute and found.identified and row["F_fit"] > 0:
            row["R_fit"] = PRESSURE_DROP_MMHG / row["F_fit"]
            row["C_wk_fit"] = found.tau_s / row["R_fit"]
