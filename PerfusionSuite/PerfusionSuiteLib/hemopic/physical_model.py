# SPDX-License-Identifier: Apache-2.0
"""What curves of a scan are compared with: the input, the family of residues that the scan chose, and the noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .physical_arrays import Arrays, NumpyArrays
from .physical_families import Residue, find_residue
from .physical_reference import blind_artery
from .physical_response import Input, Response, make_input
from .physical_settings import PhysicalSettings
from .physical_solver import Priors, Solver, negative_log_posterior, solve
from .physical_surface import DELAY_RANGE_S, Frames, Nodes, Surface, find_basis, tabulate

SAMPLE = 4000
"""Curves that the family is judged by."""

LARGEST_VOTE = 2.0
"""Log evidence by which one curve can prefer one of two families: vessels and mixed voxels fit none and would outweigh tissue."""

BEYOND_S = 20.0
"""How long inputs are continued behind the last frame; negative delays look there."""

MODEL_ERROR = 0.02
"""Root mean square of what no model explains, as a share of the curve's; added to the noise."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the scan chose.

    Parameters
    ----------
    nodes : Nodes
        The chosen response on its grid.
    votes : mapping of str to float
        Mean vote of a curve for each candidate in its worst duel.
    """

    nodes: Nodes
    votes: Mapping[str, float]

    @property
    def response(self) -> Response:
        """Input, family, dispersion, and the curves that follow."""
        return self.nodes.response


def curve_noise(surface: Surface, few: NDArray[Any], rest: NDArray[Any]) -> NDArray[np.float32]:
    """Return the noise variance of each curve: what lies outside of all responses, plus a share of the curve.

    Parameters
    ----------
    surface : Surface
        The responses.
    few, rest : ndarray
        From `Surface.compress`.

    Returns
    -------
    ndarray, shape (n,)
        Variance of one number of `few`.
    """
    freedom = max(surface.frames.freedom - surface.rank, 1)
    energy = np.einsum("nr,nr->n", few, few)
    least = 1e-8 * float(np.median(energy) if energy.size else 1.0) + 1e-30
    variance: NDArray[np.float32] = (
        np.maximum(rest / freedom, least) + MODEL_ERROR**2 * energy / max(surface.frames.freedom, 1)
    ).astype(np.float32)  # fmt: skip
    return variance


def choose_model(
    curves: NDArray[Any], times_s: FloatArray, curve: FloatArray, settings: PhysicalSettings, *, blind: bool
) -> Model:
    """Let the curves of a scan choose the family.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Tissue.
    times_s : ndarray, shape (T,), s
        Frame times.
    curve : ndarray, shape (T,)
        Arterial input, or the reference curve when `blind`.
    settings : PhysicalSettings
        Families, assumed transit time, dispersion.
    blind : bool
        Whether the transit of the reference tissue has to be taken out of `curve`.

    Returns
    -------
    Model
        The family that wins most duels between two.
    """
    sources = {
        name: _source(find_residue(name), times_s, curve, settings, blind=blind) for name in settings.families(blind=blind)
    }
    candidates = [
        Response(times_s, source, find_residue(name), share) for name, source in sources.items() for share in settings.dispersions
    ]
    sample = curves[:: max(1, len(curves) // SAMPLE)][:SAMPLE]
    nodes = [tabulate(response, DELAY_RANGE_S) for response in candidates]
    if len(candidates) == 1 or not len(sample):
        return Model(nodes[0], {})
    score = np.stack(_scores(nodes, np.asarray(sample, np.float32), settings)).astype(np.float64)
    duels = np.clip(score[:, None] - score[None], -LARGEST_VOTE, LARGEST_VOTE).mean(axis=2)
    best = int(((duels > 0).sum(axis=1) + 1e-3 * duels.mean(axis=1)).argmax())
    np.fill_diagonal(duels, np.inf)
    votes = {response.name: float(vote) for response, vote in zip(candidates, duels.min(axis=1), strict=True)}
    return Model(nodes[best], votes)


def _source(residue: Residue, times_s: FloatArray, curve: FloatArray, settings: PhysicalSettings, *, blind: bool) -> Input:
    if blind:
        return blind_artery(times_s, curve, residue, settings.reference_mtt_s, BEYOND_S)
    return make_input(times_s, curve, BEYOND_S)


def _scores(nodes: list[Nodes], sample: NDArray[np.float32], settings: PhysicalSettings) -> list[NDArray[np.float32]]:
    """Log posterior of each candidate's best fit to each curve, in one common basis."""
    frames, arrays = Frames(np.ones(sample.shape[1])), NumpyArrays()
    basis = find_basis(nodes, frames, settings.rank + 2)
    found = []
    for node in nodes:
        surface = Surface(node, frames, arrays, basis=basis)
        few, rest = surface.compress(sample)
        priors = Priors.same(len(few), settings.typical_mtt_s, settings.ln_mtt_sd, 0.0, settings.delay_sd_s)
        variance = curve_noise(surface, few, rest)
        solution = solve(Solver(surface), few, variance, priors)
        found.append(-negative_log_posterior(solution, variance, priors, surface.centre_share))
    return found


def make_solver(model: Model, frames: Frames, arrays: Arrays, rank: int | None) -> Solver:
    """Prepare fits to a model.

    Parameters
    ----------
    model : Model
        Input and family.
    frames : Frames
        Weights of the frames.
    arrays : Arrays
        Library that computes.
    rank : int or None
        Directions that curves are told in; None for all.

    Returns
    -------
    Solver
        Ready to fit.
    """
    return Solver(Surface(model.nodes, frames, arrays, rank))
