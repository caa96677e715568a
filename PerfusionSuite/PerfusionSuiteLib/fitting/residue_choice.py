# SPDX-License-Identifier: Apache-2.0
"""Which kind of residue a scan has: every curve votes between two families at a time. Needs PyTorch.

A single curve cannot tell a box from an exponential, but thousands together can. Each vote has a limited weight, for vessels and
mixed voxels fit no family well and would outweigh all tissue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .manifold import Manifold
from .spatial_start import Dictionary

Tensor = Any

FAMILIES = ("box", "gamma:2", "exponential")
LARGEST_VOTE = 2.0
SAMPLE = 6000
BOX_ADVANTAGE = 0.1
"""Mixed voxels and averaging round the edges of a box, never the reverse."""

TIE = 0.15
"""Below this mean vote the family that leaves the smaller residual is taken: gamma residues of shape 1 and 2 differ so little."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for which family.

    Parameters
    ----------
    family : str
        The winner.
    residual : mapping of str to float
        Variance of what each family leaves of the averaged curves, relative to the least.
    votes : mapping of str to float
        Mean vote of a curve for each family in its worst duel.
    """

    family: str
    residual: Mapping[str, float]
    votes: Mapping[str, float]


def choose_family(
    families: Sequence[str], manifolds: Sequence[Manifold], few: Tensor, variance: Tensor, priors: tuple[float, float, float]
) -> Evidence:
    """Let the curves of a scan choose.

    Parameters
    ----------
    families : sequence of str
        Names.
    manifolds : sequence of Manifold
        Their surfaces, in one common basis.
    few : tensor, shape (N, rank)
        Averaged curves in that basis.
    variance : tensor, shape (N,)
        Noise variance of one of these numbers.
    priors : tuple of float
        Typical transit time in s, spread of its logarithm, spread of early arrivals in s; see `Dictionary`.

    Returns
    -------
    Evidence
        The winner and why.
    """
    step = max(1, few.shape[0] // SAMPLE)
    sample, noise = few[::step].contiguous(), variance[::step].contiguous()
    energy = sample.square().sum(1)
    seen = energy > 4.0 * sample.shape[1] * noise
    if int(seen.sum()) > 50:
        sample, noise, energy = sample[seen], noise[seen], energy[seen]
    scores, left = [], []
    for manifold in manifolds:
        dictionary = Dictionary(manifold, *priors, fine=True)
        score, misfit = dictionary.best(sample, noise)
        scores.append(score.double().cpu().numpy())
        left.append(float(torch.median(misfit / noise)))
    score = np.stack(scores)
    duels = np.clip(score[:, None] - score[None], -LARGEST_VOTE, LARGEST_VOTE).mean(axis=2)
    box = np.array([BOX_ADVANTAGE if family == "box" else 0.0 for family in families])
    duels += box[:, None] - box[None]
    np.fill_diagonal(duels, np.inf)
    against = duels.min(axis=1)
    near = against >= min(float(against.max()), 0.0) - TIE
    best = int(np.where(near, left, np.inf).argmin())
    least = max(min(left), 1e-12)
    return Evidence(
        families[best],
        {family: value / least for family, value in zip(families, left, strict=True)},
        {family: float(value) for family, value in zip(families, against, strict=True)},
    )
