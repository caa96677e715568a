# SPDX-License-Identifier: Apache-2.0
"""Where the spatial fit starts: every voxel against a dictionary of responses, one matrix product for all of them.

Needs PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .manifold import CENTRE_NODES, MTT_NODES, Manifold
from .row_blocks import for_rows

Tensor = Any

CENTRE_STRIDE, MTT_STRIDE = 4, 3
CPU_ROWS, GPU_ROWS = 1024, 131072
"""Rows per product: the scores of a block stay in the cache of a processor core, or fill a GPU."""


class Dictionary:
    """Responses on a coarser grid of the surface, with the prior of their transit times.

    Parameters
    ----------
    manifold : Manifold
        The surface.
    typical_mtt_s : float, s
        Median of the log-normal prior of the transit time.
    mtt_spread : float
        Standard deviation of ln MTT.
    early_sd_s : float, s
        How far an arrival may well lie before the arterial input's.
    fine : bool
        Use more responses, to compare families.
    """

    def __init__(
        self, manifold: Manifold, typical_mtt_s: float, mtt_spread: float, early_sd_s: float, fine: bool = False
    ) -> None:
        by_centre, by_mtt = (2, 2) if fine else (CENTRE_STRIDE, MTT_STRIDE)
        rows = np.arange(0, CENTRE_NODES, by_centre)[:, None] * MTT_NODES + np.arange(1, MTT_NODES, by_mtt)
        rows = rows[manifold.allowed.ravel()[rows]]
        table = manifold.flat[torch.from_numpy(rows).to(manifold.device), : manifold.rank]
        norm = table.norm(dim=1)
        seen = norm > 1e-3 * norm.max()  # what arrives after the scan leaves no curve
        rows, norm, table = rows[seen.cpu().numpy()], norm[seen], table[seen]
        centre, log_mtt = manifold.centres[rows // MTT_NODES], manifold.log_mtts[rows % MTT_NODES]
        delay = centre - manifold.centre_share * np.exp(log_mtt)
        prior = -0.5 * ((log_mtt - math.log(typical_mtt_s)) / mtt_spread) ** 2 - 0.5 * (np.minimum(delay, 0.0) / early_sd_s) ** 2
        self.unit = (table / norm[:, None]).T.contiguous()
        self.norm = norm
        self.prior = torch.tensor(prior, dtype=torch.float32, device=manifold.device) - norm.log()
        self.times = torch.tensor(np.stack([centre, log_mtt], 1), dtype=torch.float32, device=manifold.device)
        self.device, self.rows = manifold.device, manifold.rows(CPU_ROWS, GPU_ROWS)

    def best(self, few: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return log score and squared misfit of the best response of every curve.

        Parameters
        ----------
        few : tensor, shape (n, rank)
            Projected curves.
        variance : tensor, shape (n,)
            Noise variance.

        Returns
        -------
        score, misfit : tensor, shape (n,)
            Log posterior up to a constant of the curve, and what is left of its square.
        """
        score, misfit = torch.empty_like(variance), torch.empty_like(variance)

        def work(here: slice) -> None:
            along = (few[here] @ self.unit).clamp_min_(0.0).square_()
            misfit[here] = few[here].square().sum(1) - along.amax(dim=1)
            score[here] = along.mul_((0.5 / variance[here])[:, None]).add_(self.prior).amax(dim=1)

        for_rows(few.shape[0], self.rows, self.device, work)
        return score, misfit

    def means(self, few: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Average the parameters of all responses by their probability.

        Parameters
        ----------
        few : tensor, shape (n, rank)
            Projected curves.
        variance : tensor, shape (n,)
            Noise variance.

        Returns
        -------
        theta : tensor, shape (3, n)
            ln CBV (at least a millionth of the largest), centre time, ln MTT.
        evidence : tensor, shape (n,)
            Log of the best score.
        """
        theta = torch.empty((3, few.shape[0]), dtype=torch.float32, device=self.device)
        evidence = torch.empty(few.shape[0], dtype=torch.float32, device=self.device)
        weights = torch.cat([self.times, (1.0 / self.norm)[:, None], torch.ones_like(self.norm)[:, None]], dim=1)

        def work(here: slice) -> None:
            along = (few[here] @ self.unit).clamp_min_(0.0)
            score = along.square().mul_((0.5 / variance[here])[:, None]).add_(self.prior)
            best = score.amax(dim=1, keepdim=True)
            score.sub_(best).exp_()
            sums = score @ weights[:, [0, 1, 3]]
            volume = (score.mul_(along) @ weights[:, 2]) / sums[:, 2]
            theta[0, here] = volume
            theta[1, here], theta[2, here] = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]
            evidence[here] = best[:, 0]

        for_rows(few.shape[0], self.rows, self.device, work)
        return theta, evidence
