# SPDX-License-Identifier: Apache-2.0
"""Fits of the mean curves of regions: parameters, how well they are known, status, and the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .physical_solver import TOLERANCE, Priors, Solution, Solver, Values, parameter_sds, solve
from .regions import Regions

LEAST_VOXELS = 20
_ROWS = 32768
POOR_LOSS = 0.5
LEAST_SNR = 3.0
NOT_INFORMED = 0.8
"""Posterior over prior variance from which on a parameter counts as not informed by the data."""

REGION_MODEL_ERROR = 0.03
"""Root mean square of what no model explains of a region's mean curve, as a share of the curve's."""


@dataclass(frozen=True, slots=True)
class RegionSolution:
    """Fits of all regions, in the order of their numbers.

    Parameters
    ----------
    counts : ndarray of int, shape (R,)
        Voxels whose curves were averaged.
    observed, fitted : ndarray, shape (R, T)
        Mean curves and what the model makes of them.
    solution : Solution
        Parameters.
    delay_s : ndarray, shape (R,), s
        Arrival.
    sds : mapping of str to ndarray, shape (R,)
        From `parameter_sds`.
    influence : mapping of str to ndarray, shape (R,)
        Posterior over prior variance of ``mtt`` and ``delay``.
    loss : ndarray, shape (R,)
        Share of the curve's square that the model leaves.
    status : tuple of str
        ``ok``, ``too_few_voxels``, ``no_tracer``, ``low_snr``, ``poor_fit``, ``at_bound`` or ``not_converged``.
    """

    counts: NDArray[np.int64]
    observed: Values
    fitted: Values
    solution: Solution
    delay_s: Values
    sds: Mapping[str, FloatArray]
    influence: Mapping[str, FloatArray]
    loss: FloatArray
    status: tuple[str, ...]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Regions whose parameters may be used."""
        return np.array([status == "ok" for status in self.status], bool)


def mean_curves(curves: NDArray[Any], number: NDArray[np.int32], regions: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Average the curves of each region.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement.
    number : ndarray of int, shape (n,)
        Region of each curve from 1 on; 0 for none.
    regions : int
        Number of regions.

    Returns
    -------
    mean : ndarray, shape (R, T)
        Means over voxels; NaN for a region without any.
    counts : ndarray of int, shape (R,)
        Voxels.
    """
    counts = np.bincount(number, minlength=regions + 1)[1:]
    sums = np.zeros((regions + 1, curves.shape[1]))
    for start in range(0, len(number), _ROWS):  # in parts, which keeps the working copies small
        own = number[start : start + _ROWS]
        order = np.argsort(own, kind="stable")
        present, first = np.unique(own[order], return_index=True)
        sums[present] += np.add.reduceat(curves[start : start + _ROWS][order].astype(np.float64), first, axis=0)
    mean: FloatArray = np.where(counts[:, None] > 0, sums[1:] / np.maximum(counts, 1)[:, None], np.nan)
    return mean, counts


def fit_regions(
    curves: NDArray[Any], regions: Regions, solver: Solver, priors: tuple[float, float, float, float]
) -> RegionSolution:
    """Fit the mean curve of each region.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Enhancement.
    regions : Regions
        Region of each curve.
    solver : Solver
        Responses in all directions.
    priors : tuple of float
        Typical MTT in s, standard deviation of ln MTT, delay in s, its standard deviation.

    Returns
    -------
    RegionSolution
        One fit per region.
    """
    surface, count = solver.surface, len(regions.tissue)
    observed, counts = mean_curves(curves, regions.number, count)
    filled = np.nan_to_num(observed).astype(np.float32)
    few, rest = surface.compress(filled)
    energy = np.einsum("nr,nr->n", few, few) + rest
    noise = _frame_noise(filled)
    variance = region_variance(solver, filled, few, rest)
    prior = Priors.same(count, *priors)
    solution = solve(solver, few, variance, prior)
    fitted = fitted_curves(solver, solution, filled)
    loss = np.asarray((solution.misfit + rest) / np.maximum(energy, 1e-20), np.float64)
    sds = parameter_sds(solution, surface.centre_share)
    status = _statuses(solver, solution, counts, fitted, noise, loss)
    influence = {"mtt": (sds["ln_mtt"] / prior.log_mtt_sd) ** 2, "delay": (sds["delay"] / prior.delay_sd_s) ** 2}
    delay = (solution.centre_s - surface.centre_share * np.exp(solution.log_mtt)).astype(np.float32)
    return RegionSolution(counts, observed.astype(np.float32), fitted, solution, delay, sds, influence, loss, status)


def region_variance(solver: Solver, curves: Values, few: Values, rest: Values) -> Values:
    """Return the variance by which mean curves may differ from the model.

    Parameters
    ----------
    solver : Solver
        Responses.
    curves : ndarray, shape (n, T)
        Mean curves.
    few, rest : ndarray
        From `Surface.compress`.

    Returns
    -------
    ndarray, shape (n,)
        Noise of the mean, and a share of the curve that no model explains.
    """
    energy = np.einsum("nr,nr->n", few, few) + rest
    total = _frame_noise(curves) ** 2 + REGION_MODEL_ERROR**2 * energy / solver.surface.frames.freedom
    found: Values = np.maximum(total, 1e-20).astype(np.float32)
    return found


def _frame_noise(curves: Values) -> Values:
    """Standard deviation of the noise of each curve, from second differences."""
    second = curves[:, :-2] - 2.0 * curves[:, 1:-1] + curves[:, 2:]
    return np.asarray(1.4826 * np.median(np.abs(second), axis=1) / np.sqrt(6.0), np.float32)


def fitted_curves(solver: Solver, solution: Solution, curves: Values) -> Values:
    """Return the model's curves on the frames, with the constant that fits best.

    Parameters
    ----------
    solver : Solver
        Responses.
    solution : Solution
        Parameters.
    curves : ndarray, shape (n, T)
        Measured curves.

    Returns
    -------
    ndarray, shape (n, T)
        Fitted curves.
    """
    response, share = solver.surface.nodes.response, solver.surface.centre_share
    result = np.empty_like(curves)
    for n in range(len(curves)):
        mtt = float(np.exp(solution.log_mtt[n]))
        delay = np.array([float(solution.centre_s[n]) - share * mtt])
        shape = response.curves(delay, mtt)[0][0] * float(solution.volume[n])
        result[n] = shape + float((curves[n] - shape) @ solver.surface.frames.share)
    return result


def _statuses(
    solver: Solver, solution: Solution, counts: NDArray[np.int64], fitted: Values, noise: Values, loss: Any
) -> tuple[str, ...]:
    """Return the first reason that applies, per region."""
    height = fitted.max(axis=1) - fitted.min(axis=1)
    bound = at_bound(solver, solution)
    result = []
    for n in range(len(counts)):
        reasons = (
            ("too_few_voxels", counts[n] < LEAST_VOXELS),
            ("no_tracer", not solution.volume[n] > 1e-10 or not height[n] > 0),
            ("low_snr", height[n] < LEAST_SNR * noise[n]),
            ("poor_fit", loss[n] > POOR_LOSS),
            ("at_bound", bound[n]),
            ("not_converged", solution.moved[n] > 20.0 * TOLERANCE),
        )
        result.append(next((name for name, wrong in reasons if wrong), "ok"))
    return tuple(result)


def at_bound(solver: Solver, solution: Solution) -> NDArray[np.bool_]:
    """Tell which fits stopped at the border of the table.

    Parameters
    ----------
    solver : Solver
        The table.
    solution : Solution
        Fits.

    Returns
    -------
    ndarray of bool, shape (n,)
        True at a bound.
    """
    surface = solver.surface
    low, high = surface.log_mtt_range
    delay = solution.centre_s - surface.centre_share * np.exp(solution.log_mtt)
    found: NDArray[np.bool_] = (
        (solution.log_mtt < low + 0.02)
        | (solution.log_mtt > high - 0.02)
        | (delay < surface.delay_range[0] + 0.02)
        | (solution.centre_s > surface.centre_range[1] - 0.1)
    )
    return found


def table_rows(fit: RegionSolution, regions: Regions, sizes: NDArray[np.int64], flow: float) -> list[dict[str, Any]]:
    """Return one row per region, with the columns of hemopic.md section 5.11 and those of section 10.5.

    Parameters
    ----------
    fit : RegionSolution
        Fits.
    regions : Regions
        Tissue of each region.
    sizes : ndarray of int, shape (R,)
        Voxels of each region.
    flow : float
        Factor from amplitude over MTT to flow; a sixtieth of it turns amplitude into volume.

    Returns
    -------
    list of dict
        Rows; what does not apply is NaN.
    """
    rows = []
    nan = float("nan")
    for n, tissue in enumerate(regions.tissue):
        ok = fit.status[n] == "ok"
        mtt, volume = float(np.exp(fit.solution.log_mtt[n])), float(fit.solution.volume[n])
        known = {name: float(values[n]) for name, values in fit.sds.items()}
        delay = float(fit.delay_s[n])
        rows.append(
            {
                "roi_id": n + 1, "tissue": tissue, "n_vox_all": int(sizes[n]), "n_vox_fit": int(fit.counts[n]),
                "F_prior": nan, "V_prior": nan, "Cin_prior": nan, "R_fit": nan, "C_wk_fit": nan, "tau_fit": nan,
                "F_fit": flow * volume / mtt if ok else nan, "V_fit": flow / 60.0 * volume if ok else nan, "Cin_bar_fit": nan,
                "loss": float(fit.loss[n]), "success": ok, "message": fit.status[n],
                "delay": delay if ok else nan, "mtt": mtt if ok else nan, "status": fit.status[n],
                "cv_cbf": known["ln_cbf"] if ok else nan, "cv_cbv": known["ln_cbv"] if ok else nan,
                "cv_mtt": known["ln_mtt"] if ok else nan, "sd_delay": known["delay"] if ok else nan,
                "not_informed": " ".join(name for name in ("mtt", "delay") if fit.influence[name][n] > NOT_INFORMED),
                "prior_influence_mtt": float(fit.influence["mtt"][n]), "prior_influence_delay": float(fit.influence["delay"][n]),
            }
        )  # fmt: skip
    return rows
