# SPDX-License-Identifier: Apache-2.0
"""Which kind of residue a scan has, among the families of a fit of the whole volume. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .manifold import Manifold
from .residue_shape import chosen_shape, excesses
from .response_table import shape_of
from .spatial_start import Dictionary

Tensor = Any

FAMILIES = ("box", "gamma:5", "gamma:3", "gamma:2", "gamma:1.5", "exponential")
SAMPLE = 6000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for which family.

    Parameters
    ----------
    family : str
        The winner.
    residual : mapping of str to float
        Median variance of what each family leaves of the clearest averaged curves, relative to the best family of each curve.
    """

    family: str
    residual: Mapping[str, float]


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
    left = []
    for manifold in manifolds:
        dictionary = Dictionary(manifold, *priors, fine=True)
        left.append(dictionary.best(sample, noise)[1].double().cpu().numpy())
    excess = excesses(np.stack(left), energy.double().cpu().numpy())
    best = chosen_shape(excess, [shape_of(family) for family in families])
    return Evidence(families[best], {family: float(np.exp(value)) for family, value in zip(families, excess, strict=True)})
