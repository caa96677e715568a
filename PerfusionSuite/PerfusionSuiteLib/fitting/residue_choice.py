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
from .residue_shape import APART, inverse_shape, misfits, shape_from
from .response_table import family_of, shape_of
from .spatial_start import Dictionary
from .tissue_classes import PURE, may_choose

Tensor = Any

FAMILIES = ("box", "gamma:10", "gamma:5", "gamma:3", "gamma:2", "gamma:1.5", "exponential")
SAMPLE = 6000
FOUND_AT = (0.05, 0.92)
"""Inverse shapes found for boxes and exponentials (see `residue_shape.shape_from`): development patients 201 to 216, 1.15 mm,
4 HU, with both and with mixed residues."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for which family.

    Parameters
    ----------
    family : str
        The one that fits the whole scan best, which may lie between those that were tried.
    against : mapping of str to float
        What speaks against each family that was tried: `residue_shape.misfits` above the least.
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
    total = energy.double().cpu().numpy()
    shapes = [shape_of(family) for family in families]
    against = misfits(left, total)
    tissues = None
    if gray is not None:
        share = gray[::step]
        parts = (share >= PURE, share <= 1.0 - PURE)
        if all(may_choose(stands_out[part]) for part in parts):
            here = [part[stands_out] for part in parts]
            first, second = (inverse_shape(misfits(left[:, n], total[n]), shapes) for n in here)
            if abs(first - second) >= APART:
                tissues = family_of(shape_from(first, FOUND_AT)), family_of(shape_from(second, FOUND_AT))
    family = family_of(shape_from(inverse_shape(against, shapes), FOUND_AT))
    return Evidence(family, dict(zip(families, (against - against.min()).tolist(), strict=True)), tissues)
