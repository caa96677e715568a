# SPDX-License-Identifier: Apache-2.0
"""Posterior means over many explanations of a curve: arrival and transit time, for the kind of residue that fits the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..deconvolution.codes import QualityCode
from ..deconvolution.engine import for_blocks
from ..deconvolution.levels import noise_sd
from ..deconvolution.maps import spread
from ..deconvolution.problem import Curves, Problem
from .artery_error import EXACT, checked_error
from .request import FitRequest, Fitted
from .transit_atoms import TransitAtoms, transit_atoms

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "shapes": (1.0, 2.0, float("inf")),
        "dispersion": 0.25,
        "mtt_spread": 0.6,
        "noise_sd": None,
        "noise_factor": 1.5,
        "model_error": 0.02,
        "artery_error": EXACT,
    }
)
"""Shapes of the transit-time distributions to choose from (1: exponential residue, infinity: box), and the share of a delay that
is dispersion. Standard deviation of ln MTT around ln 6 s. Noise of a sample (None: estimated from the curves), times a factor
because what averaging neighbors leaves of the noise is correlated in time; the error of the model as a share of the curve. How
well the arterial input is known: standard deviations that it adds to flow (share) and Tmax (s); a run of a scan says so itself
(`artery_error`)."""

SCATTER, SCATTER_S = 0.2, 0.3
"""Standard deviations of flow (share) and Tmax (s) that a single curve does not show: tissues mixed by averaging and within
voxels, vessels nearby, dispersion, the steps of the dictionary. Chosen by eye on five development patients of CT (seeds below
100, 4 HU) as what 68 % intervals lacked when the error that is common to a whole scan had been taken out."""

TYPICAL_MTT_S = 6.0
DELAYS_S = np.linspace(-3.0, 16.0, 39)
MTTS_S = np.geomspace(1.5, 26.0, 15)
COMPONENTS = 12
SHAPE_SAMPLE = 4000
"""Curves that the shape is judged by."""

LARGEST_VOTE = 2.0
"""Log evidence by which one curve can prefer one of two shapes."""

BLOCK_VOXELS = 512
"""The weights of a block stay in the cache."""

BOX_ADVANTAGE = 0.4
"""Dispersion, mixed voxels and averaging of neighbors round the edges of a box, never the reverse. On development patients with
true boxes other shapes win by up to 0.55 votes, with true gamma and exponential residues by 0.5 to 1.7; to take these for boxes
is the graver error, for normal white matter then is late."""

_NAMES = ("cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd", "tmax_sd")


class Explanations:
    """The dictionary in a few numbers per curve, and the weighing of its atoms.

    Parameters
    ----------
    atoms : TransitAtoms
        Curves of one shape.
    mtt_spread : float
        Prior standard deviation of ln MTT.

    Notes
    -----
    Curves and atoms are centered in time, so that an unknown baseline needs no parameter. For Gaussian noise of variance v and a
    flat prior of the blood volume the evidence of an atom g for a curve c is ``exp((c.g)^2 / (2 v |g|^2)) / |g|`` times the
    prior of its transit time.
    """

    def __init__(self, atoms: TransitAtoms, mtt_spread: float) -> None:
        centered = atoms.curves - atoms.curves.mean(axis=1, keepdims=True)
        length = np.linalg.norm(centered, axis=1)
        seen = length > 1e-3 * length.max()  # what arrives after the scan leaves no curve
        centered, delay, mtt = centered[seen], atoms.delay_s[seen], atoms.mtt_s[seen]
        _, vectors = np.linalg.eigh(centered.T @ centered)
        basis = vectors[:, ::-1][:, :COMPONENTS]
        few = centered @ basis
        norm = np.linalg.norm(few, axis=1)
        rate, tmax = 1.0 / (norm * mtt), delay + 0.5 * mtt
        prior = -0.5 * (np.log(mtt / TYPICAL_MTT_S) / mtt_spread) ** 2 - np.log(norm)
        self.basis = np.ascontiguousarray(basis, dtype=np.float32)
        self.unit = np.ascontiguousarray((few / norm[:, None]).T, dtype=np.float32)
        self.prior = (prior - prior.max()).astype(np.float32)
        self.times = np.stack([delay, tmax, tmax**2, np.ones_like(mtt)], axis=1).astype(np.float32)
        self.amounts = np.stack([1.0 / norm, rate], axis=1).astype(np.float32)
        self.squares = (rate**2).astype(np.float32)

    def scores(self, curves: Curves, variance: Curves) -> tuple[Curves, Curves]:
        """Weigh every atom for every curve.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.
        variance : ndarray, shape (n,)
            Noise variance.

        Returns
        -------
        score, along : ndarray, shape (n, A)
            Log evidence of each atom, and the length of each curve along it.
        """
        few = (curves - curves.mean(axis=1, keepdims=True)) @ self.basis
        along = np.maximum(few @ self.unit, 0.0)
        score = along * along
        score *= (np.float32(0.5) / variance)[:, None]
        score += self.prior
        return score, along

    def means(self, curves: Curves, variance: Curves) -> dict[str, Curves]:
        """Return posterior means.

        Parameters
        ----------
        curves : ndarray, shape (n, T)
            Curves.
        variance : ndarray, shape (n,)
            Noise variance.

        Returns
        -------
        dict of ndarray, shape (n,)
            ``delay``, ``tmax``, ``tmax_sd`` in s, ``volume`` (share of blood), ``flow``, ``flow_sd`` in 1/s.
        """
        score, along = self.scores(curves, variance)
        score -= score.max(axis=1, keepdims=True)
        weight = np.exp(score, out=score)
        sums = weight @ self.times
        total = sums[:, 3]
        delay, tmax, tmax_square = (sums[:, n] / total for n in range(3))
        weight *= along
        volume, flow = (weight @ self.amounts / total[:, None]).T
        weight *= along
        flow_square = weight @ self.squares / total
        return {
            "delay": delay,
            "tmax": tmax,
            "tmax_sd": np.sqrt(np.maximum(tmax_square - tmax**2, 0.0)),
            "volume": volume,
            "flow": flow,
            "flow_sd": np.sqrt(np.maximum(flow_square - flow**2, 0.0)),
        }


def _number(value: Any, name: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        msg = f"{name} must be a number from {low:g} to {high:g}, not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return number


def _shapes(value: Any) -> tuple[float, ...]:
    try:
        shapes = tuple(float(shape) for shape in value)
    except (TypeError, ValueError):
        shapes = ()
    if not shapes or not all(shape >= 1.0 for shape in shapes):
        msg = f"shapes must be numbers of at least 1 (1: exponential residue, inf: box), not {value!r}. Correct the setting."
        raise InvalidInputError(msg)
    return shapes


@dataclass(frozen=True, slots=True)
class _Noise:
    """Variance that a curve may differ from its model by."""

    least: float
    model_error: float

    def variance(self, curves: Curves) -> Curves:
        variance: Curves = (self.least + self.model_error**2 * curves.var(axis=1)).astype(np.float32)
        return variance


def _noise(problem: Problem, settings: Mapping[str, Any]) -> _Noise:
    given = settings["noise_sd"]
    sigma = noise_sd(problem.sample(2000)) if given is None else _number(given, "noise_sd", 1e-12, 1e12)
    factor = _number(settings["noise_factor"], "noise_factor", 0.1, 100.0)
    error = _number(settings["model_error"], "model_error", 1e-4, 1.0)
    return _Noise(max(sigma * factor, 1e-6 * float(problem.aif.max())) ** 2, error)


def _best_explanations(problem: Problem, settings: Mapping[str, Any], noise: _Noise) -> tuple[Explanations, float]:
    """Explanations of the shape that fits the scan best, and that shape.

    A single curve cannot tell a box from an exponential, but thousands together can, two shapes at a time. Each has a vote of
    limited weight, for vessels and mixed voxels fit no shape well and would outweigh all tissue.
    """
    shapes = _shapes(settings["shapes"])
    spread_of_mtt = _number(settings["mtt_spread"], "mtt_spread", 0.05, 5.0)
    dispersion = _number(settings["dispersion"], "dispersion", 0.0, 0.9)
    sample = problem.sample(SHAPE_SAMPLE).astype(np.float32)
    found: list[Explanations] = []
    evidence = []
    for shape in shapes:
        atoms = transit_atoms(
            problem.times_s, problem.aif, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=shape, dispersion=dispersion
        )  # fmt: skip
        explanations = Explanations(atoms, spread_of_mtt)
        if len(shapes) == 1 or not len(sample):
            return explanations, shape
        found.append(explanations)
        evidence.append(explanations.scores(sample, noise.variance(sample))[0].max(axis=1))
    score = np.stack(evidence)
    duels = np.clip(score[:, None] - score[None], -LARGEST_VOTE, LARGEST_VOTE).mean(axis=2)
    box = np.isinf(shapes).astype(float)
    duels += BOX_ADVANTAGE * (box[:, None] - box[None])
    best = int(((duels > 0).sum(axis=1) + 1e-3 * duels.mean(axis=1)).argmax())  # who wins most duels
    return found[best], shapes[best]


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
    explanations, shape = _best_explanations(problem, request.settings, noise)
    values = {name: np.empty(problem.count, np.float32) for name in _NAMES}
    quality = np.zeros(problem.count, np.uint8)
    factor = np.float32(request.factor)
    share, seconds = checked_error(request.settings["artery_error"])
    of_flow, of_time = np.float32(np.hypot(SCATTER, share)), np.float32(np.hypot(SCATTER_S, seconds))

    def work(start: int, stop: int) -> None:
        curves = problem.curves(start, stop)
        finite: BoolArray = np.asarray(np.isfinite(curves).all(axis=1))
        curves = np.where(finite[:, None], curves, np.float32(0))
        found = explanations.means(curves, noise.variance(curves))
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
    maps["shape"] = np.asarray(shape)
    return Fitted(maps)
