# SPDX-License-Identifier: Apache-2.0
"""Posterior means over many explanations of a curve: arrival and transit time, for the kind of residue that fits the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..deconvolution.codes import QualityCode
from ..deconvolution.engine import for_blocks
from ..deconvolution.levels import noise_sd
from ..deconvolution.maps import spread
from ..deconvolution.problem import Curves, Problem
from .artery_error import EXACT, checked_error
from .explanations import Explanations, energies
from .option_checks import checked_flag, checked_number
from .request import FitRequest, Fitted
from .residue_shape import APART, best_inverse, shape_from
from .residue_words import tell_residues
from .response_table import family_of
from .tissue_classes import PURE, may_choose
from .transit_atoms import transit_atoms

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "found_at": (0.0, 1.0),
        "shapes": (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, float("inf")),
        "tissues": True,
        "dispersion": 0.25,
        "mtt_spread": 0.6,
        "noise_sd": None,
        "noise_factor": 1.5,
        "model_error": 0.02,
        "artery_error": EXACT,
    }
)
"""Shapes of the transit-time distributions to choose between (1: exponential residue, infinity: box), and the inverse shapes
that boxes and exponentials are found at (`residue_shape.shape_from`, if both may be chosen; a run that filters noise says so
itself); whether gray and white matter may have one each, where the request tells them apart; the share of a delay that is
dispersion. Standard deviation of ln MTT around ln 6 s. Noise of a sample (None: estimated from the curves), times a factor
because what averaging neighbors leaves of the noise is correlated in time; the error of the model as a share of the curve. How
well the arterial input is known: standard deviations that it adds to flow (share) and Tmax (s); a run of a scan says so itself
(`artery_error`)."""

SCATTER, SCATTER_S = 0.2, 0.3
"""Standard deviations of flow (share) and Tmax (s) that a single curve does not show: tissues mixed by averaging and within
voxels, vessels nearby, dispersion, the steps of the dictionary. Chosen by eye on five development patients of CT (seeds below
100, 4 HU) as what 68 % intervals lacked when the error that is common to a whole scan had been taken out."""

DELAYS_S = np.linspace(-3.0, 16.0, 39)
MTTS_S = np.geomspace(1.5, 26.0, 15)
SHAPE_SAMPLE, SEEN = 8000, 2.0
"""Curves that the shape is judged by; variance of those that stand out of the noise, in terms of what is taken for noise."""

FOUND_AT_FILTERED = (0.13, 1.0)
"""Inverse shapes found for boxes and exponentials behind the similarity filter, which averages more than boxes bear: development
patients 201 to 216, 1.15 mm, 4 HU."""

BLOCK_VOXELS = 512
"""The weights of a block stay in the cache."""

_NAMES = ("cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd", "tmax_sd")


def _shapes(value: Any) -> tuple[float, ...]:
    try:
        shapes = tuple(float(shape) for shape in value)
    except (TypeError, ValueError):
        shapes = ()
    if not shapes or not all(shape >= 1.0 for shape in shapes):
        msg = f"shapes must be numbers of at least 1 (1: exponential residue, inf: box), not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return shapes


def _range(value: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not 0.0 <= low < high <= 1.0:
        msg = f"found_at must be two rising numbers from 0 to 1, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return low, high


@dataclass(frozen=True, slots=True)
class _Noise:
    """Variance that a curve may differ from its model by."""

    least: float
    model_error: float

    def variance(self, curves: Curves) -> Curves:
        variance: Curves = (self.least + self.model_error**2 * curves.var(axis=1)).astype(np.float32)
        return variance


def _noise(problem: Problem, settings: Mapping[str, Any]) -> _Noise:
    measured = settings["noise_sd"] is None
    sigma = noise_sd(problem.sample(2000)) if measured else checked_number(settings, "noise_sd", 1e-12, 1e12)
    factor = checked_number(settings, "noise_factor", 0.1, 100.0)
    error = checked_number(settings, "model_error", 1e-4, 1.0)
    return _Noise(max(sigma * factor, 1e-6 * float(problem.aif.max())) ** 2, error)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Explanations of the shape that fits the scan best, and those of gray and of white matter where they differ."""

    whole: Explanations
    tissues: tuple[Explanations, Explanations] | None = None

    def means(self, curves: Curves, variance: Curves, gray: NDArray[np.float32] | None) -> dict[str, Curves]:
        """Posterior means, those of gray and of white matter mixed by the share of gray matter in each voxel."""
        if self.tissues is None or gray is None:
            return self.whole.means(curves, variance)
        found: dict[str, Curves] = {}
        for tissue, share in zip(self.tissues, (gray, np.float32(1) - gray), strict=True):
            here = np.flatnonzero(share > 0)
            for name, values in tissue.means(curves[here], variance[here]).items():
                mean = found.setdefault(name, np.zeros(len(curves), np.float32))
                mean[here] += share[here] * values
        return found


def _chosen(request: FitRequest, noise: _Noise) -> _Chosen:
    """Let the scan choose, and its gray and white matter."""
    problem, settings = request.problem, request.settings
    shapes = _shapes(settings["shapes"])
    spread_of_mtt = checked_number(settings, "mtt_spread", 0.05, 5.0)
    dispersion = checked_number(settings, "dispersion", 0.0, 0.9)
    share = request.gray if checked_flag(settings, "tissues") else None
    found_at = _range(settings["found_at"]) if {1.0, float("inf")} <= set(shapes) else (0.0, 1.0)

    def of_shape(shape: float) -> Explanations:
        atoms = transit_atoms(
            problem.times_s, problem.aif, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=shape, dispersion=dispersion
        )  # fmt: skip
        return Explanations(atoms, spread_of_mtt, shape)

    if len(shapes) == 1:
        return _Chosen(of_shape(shapes[0]))
    candidates = [of_shape(shape) for shape in sorted(set(shapes))]
    rows = np.arange(0, problem.count, max(1, problem.count // SHAPE_SAMPLE))
    curves = problem.at(rows)
    finite = np.isfinite(curves).all(axis=1)
    rows, curves = rows[finite], curves[finite]
    variance = noise.variance(curves)
    whole = of_shape(shape_from(best_inverse(candidates, curves, variance), found_at))
    if share is None:
        return _Chosen(whole)
    seen = energies(curves) > SEEN * curves.shape[1] * noise.least
    gray = share[rows]
    parts = (gray >= PURE, gray <= 1.0 - PURE)
    if not all(may_choose(seen[part]) for part in parts):
        return _Chosen(whole)
    first, second = (best_inverse(candidates, curves[part & seen], variance[part & seen]) for part in parts)
    if abs(first - second) < APART:
        return _Chosen(whole)
    return _Chosen(whole, (of_shape(shape_from(first, found_at)), of_shape(shape_from(second, found_at))))


def fit(request: FitRequest) -> Fitted:
    """Weigh every arrival and transit time of each curve by its probability and average them.

    Parameters
    ----------
    request : FitRequest
        Curves and settings (see `OPTIONS`).

    Returns
    -------
    Fitted
        Maps as `fitting.fit` documents them, with standard errors ``cbf_sd`` and ``tmax_sd`` (posterior, `SCATTER` and the
        artery's error), and ``shape``: the shape of the transit-time distribution that was chosen for the scan.

    References
    ----------
    Mouridsen et al., NeuroImage 33:570 (2006); Boutelier et al., IEEE Trans Med Imaging 31:1381 (2012); here by a dictionary
    instead of sampling, with the kind of residue chosen by the scan.
    """
    problem = request.problem
    noise = _noise(problem, request.settings)
    chosen = _chosen(request, noise)
    tell_residues(request.watch, *(family_of(one.shape) for one in chosen.tissues or (chosen.whole,)))
    values = {name: np.empty(problem.count, np.float32) for name in _NAMES}
    quality = np.zeros(problem.count, np.uint8)
    factor = np.float32(request.factor)
    share, seconds = checked_error(request.settings["artery_error"])
    of_flow, of_time = np.float32(np.hypot(SCATTER, share)), np.float32(np.hypot(SCATTER_S, seconds))

    def work(start: int, stop: int) -> None:
        curves = problem.curves(start, stop)
        finite: BoolArray = np.asarray(np.isfinite(curves).all(axis=1))
        curves = np.where(finite[:, None], curves, np.float32(0))
        found = chosen.means(curves, noise.variance(curves), None if request.gray is None else request.gray[start:stop])
        cbf, cbv = found["flow"] * factor, found["volume"] * (factor / np.float32(60))
        flowing = np.asarray(cbf > 0)
        code = np.full(stop - start, QualityCode.OK, np.uint8)
        code[~flowing] = QualityCode.NO_ENHANCEMENT
        code[~finite] = QualityCode.NOT_FINITE
        mtt = np.divide(np.float32(60) * cbv, cbf, out=np.full_like(cbf, np.nan), where=flowing)
        cbf_sd, tmax_sd = np.hypot(found["flow_sd"] * factor, of_flow * cbf), np.hypot(found["tmax_sd"], of_time)
        block = (cbf, cbv, mtt, found["delay"], found["tmax"], cbf_sd, tmax_sd)
        for name, numbers in zip(_NAMES, block, strict=True):
            values[name][start:stop] = np.where(code == QualityCode.OK, numbers, np.float32(np.nan))
        quality[start:stop] = code

    for_blocks(problem.count, work, request.progress, "Posterior means", BLOCK_VOXELS)
    maps = {name: spread(problem, array) for name, array in values.items()}
    maps["quality"] = spread(problem, quality, QualityCode.OUTSIDE_MASK)
    maps["shape"] = np.asarray(chosen.whole.shape if chosen.tissues is None else [one.shape for one in chosen.tissues])
    return Fitted(maps)
