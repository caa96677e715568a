# SPDX-License-Identifier: Apache-2.0
"""From fitted parameters to maps, with a reason wherever there is no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import BoolArray
from ..deconvolution.codes import QualityCode
from .physical_regions import LEAST_SNR, POOR_LOSS, at_bound
from .physical_solver import TOLERANCE, Priors, Solution, Solver, Values, parameter_sds

STANDING = 20.0 * TOLERANCE
"""A last step longer than this means that a fit has not converged."""

SYSTEMATIC: Mapping[str, float] = MappingProxyType({"ln_cbf": 0.155, "ln_cbv": 0.11, "ln_mtt": 0.15, "delay": 0.21, "tmax": 0.2})
"""Standard deviations of what no residual shows: contrast per volume of blood that differs between tissues and near vessels,
dispersion, mixed voxels, the assumed transit of the reference tissue. Read off simulated patients (development seeds 101 to 110,
that of flow again on odd seeds from 101 to 109 and 201 to 205; without an artery, after one scale of the scan) as what has to be
added to the standard errors from noise for 68 % coverage. Added unless the setting ``systematic`` is off, as it is right for
curves and inputs that are known exactly."""


@dataclass(frozen=True, slots=True)
class VoxelFit:
    """Fits of all voxels.

    Parameters
    ----------
    solver : Solver
        The surface.
    solution : Solution
        Parameters.
    priors : Priors
        What was known before.
    variance, rest : ndarray, shape (n,)
        Noise variance used, and what lies outside of all responses.
    finite : ndarray of bool, shape (n,)
        Curves without missing samples.
    systematic : bool
        Whether `SYSTEMATIC` is added to the standard errors.
    dispersion : ndarray, shape (n,), optional
        Share of the delay that is dispersion, where it was fitted for each voxel.
    """

    solver: Solver
    solution: Solution
    priors: Priors
    variance: Values
    rest: Values
    finite: BoolArray
    systematic: bool = True
    dispersion: Values | None = None


def voxel_maps(fit: VoxelFit, flow: float) -> dict[str, NDArray[Any]]:
    """Return maps as vectors over voxels.

    Parameters
    ----------
    fit : VoxelFit
        Fits.
    flow : float
        Factor from amplitude over MTT to flow.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``cbf cbv mtt delay tmax``, their standard deviations ``*_sd``, ``prior_mtt`` and ``prior_delay`` (posterior over prior
        variance), ``fit_error`` (residual over noise) and ``quality``.
    """
    solution, surface = fit.solution, fit.solver.surface
    mtt = np.exp(solution.log_mtt)
    delay = solution.centre_s - surface.centre_share * mtt
    cbv = solution.volume * np.float32(flow / 60.0)
    cbf = solution.volume / mtt * np.float32(flow)
    sds = parameter_sds(solution, surface.centre_share)
    added = SYSTEMATIC if fit.systematic else dict.fromkeys(SYSTEMATIC, 0.0)
    sd = {name: np.sqrt(sds[name] ** 2 + added[name] ** 2) for name in added}
    quality = _quality(fit)
    freedom = max(surface.frames.freedom - surface.rank, 1)
    pure = np.maximum(fit.rest / freedom, 1e-20)
    maps = {
        "cbf": cbf, "cbv": cbv, "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt,
        "cbf_sd": cbf * sd["ln_cbf"], "cbv_sd": cbv * sd["ln_cbv"], "mtt_sd": mtt * sd["ln_mtt"],
        "delay_sd": sd["delay"], "tmax_sd": sd["tmax"],
        "prior_mtt": np.minimum((sds["ln_mtt"] / fit.priors.log_mtt_sd) ** 2, 1.0),
        "prior_delay": np.minimum((sds["delay"] / fit.priors.delay_sd_s) ** 2, 1.0),
        "fit_error": np.sqrt(solution.misfit / (pure * max(surface.rank - 3, 1))),
    }  # fmt: skip
    if fit.dispersion is not None:
        maps["dispersion"] = fit.dispersion
    good = quality == QualityCode.OK
    found: dict[str, NDArray[Any]] = {}
    for name in list(maps):  # one by one, which never holds all of them twice
        found[name] = np.where(good, maps.pop(name), np.float32(np.nan)).astype(np.float32, copy=False)
    found["quality"] = quality
    return found


def _quality(fit: VoxelFit) -> NDArray[np.uint8]:
    """Return the reason of each voxel; where several apply the gravest."""
    solution, surface = fit.solution, fit.solver.surface
    freedom = max(surface.frames.freedom - surface.rank, 1)
    noise = np.sqrt(np.maximum(fit.rest / freedom, 1e-20))
    loss = (solution.misfit + fit.rest) / np.maximum(solution.energy + fit.rest, 1e-20)
    height = np.sqrt(np.maximum(solution.energy - solution.misfit, 0.0))  # of the whole curve, in units of one sample
    expected = fit.rest / freedom * surface.frames.freedom / np.maximum(solution.energy + fit.rest, 1e-20)
    code = np.full(len(noise), QualityCode.OK, np.uint8)
    code[solution.moved > STANDING] = QualityCode.NOT_CONVERGED
    code[at_bound(fit.solver, solution)] = QualityCode.AT_BOUND
    code[(loss > POOR_LOSS) & (loss > 2.0 * expected)] = QualityCode.POOR_FIT
    code[height < LEAST_SNR * noise] = QualityCode.LOW_SNR
    code[~(solution.volume > 1e-10)] = QualityCode.NO_ENHANCEMENT
    code[~fit.finite] = QualityCode.NOT_FINITE
    return code
