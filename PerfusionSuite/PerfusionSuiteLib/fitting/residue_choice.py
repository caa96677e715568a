# SPDX-License-Identifier: Apache-2.0
"""Which kind of residue a scan has, or its gray and its white matter, among the families of a fit of the whole volume.

Needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .manifold import Manifold
from .residue_shape import chosen_shape, evidence_against
from .response_table import shape_of
from .spatial_start import Dictionary
from .tissue_classes import PURE, may_choose

Tensor = Any

FAMILIES = ("box", "gamma:10", "gamma:5", "gamma:3", "gamma:2", "gamma:1.5", "exponential")
SAMPLE = 6000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for which family.

    Parameters
    ----------
    family : str
        The one that fits the whole scan best.
    against : mapping of str to float
        What speaks against each family; see `residue_shape.evidence_against`.
    tissues : tuple of str, optional
        Families of gray and of white matter, where they differ.
    """

    family: str
    against: Mapping[str, float]
    tissues: tuple[str, str] | None = None


def choose_family(
    families: Sequence[str],
    manifolds: Sequence[Manifold],
    few: Tensor,
    variance: Tensor,
    priors: tuple[float, float, float],
    gray: NDArray[np.float32] | None = None,
) -> Evidence:
    """Let the curves of a scan choose.

    Parameters
    ----------
    families : sequence of str
        Names, in the order of their shapes.
    manifolds : sequence of Manifold
        Their surfaces, in one common basis.
    few : tensor, shape (N, rank)
        Averaged curves in that basis.
    variance : tensor, shape (N,)
        Noise variance of one of these numbers.
    priors : tuple of float
        Typical transit time in s, spread of its logarithm, spread of early arrivals in s; see `Dictionary`.
    gray : ndarray, shape (N,), optional
        Share of gray matter; with it gray and white matter choose for themselves as well.

    Returns
    -------
    Evidence
        The winner and why.
    """
    step = max(1, few.shape[0] // SAMPLE)
    sample, noise = few[::step].contiguous(), variance[::step].contiguous()
    energy = sample.square().sum(1)
    seen = energy > 4.0 * sample.shape[1] * noise  # vessels and tissue, not fluid
    stands_out = seen.cpu().numpy()
    if int(seen.sum()) <= 50:
        seen = torch.ones_like(seen)
    sample, noise, energy = sample[seen], noise[seen], energy[seen]
    dictionaries = (Dictionary(manifold, *priors, fine=True) for manifold in manifolds)
    left = np.stack([dictionary.best(sample, noise)[1].double().cpu().numpy() for dictionary in dictionaries])
    total, spread = energy.double().cpu().numpy(), noise.double().cpu().numpy()
    shapes = [shape_of(family) for family in families]
    against = evidence_against(left, total, spread)
    tissues = None
    if gray is not None:
        share = gray[::step]
        parts = (share >= PURE, share <= 1.0 - PURE)
        if all(may_choose(stands_out[part]) for part in parts):
            here = [part[stands_out] for part in parts]
            of = [chosen_shape(evidence_against(left[:, n], total[n], spread[n]), shapes) for n in here]
            tissues = (families[of[0]], families[of[1]]) if of[0] != of[1] else None
    return Evidence(families[chosen_shape(against, shapes)], dict(zip(families, against.tolist(), strict=True)), tissues)
