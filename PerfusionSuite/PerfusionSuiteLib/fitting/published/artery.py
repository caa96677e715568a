# SPDX-License-Identifier: Apache-2.0
"""The arterial curve fitted alone, ahead of everything else.

It has some fifty samples, its network hardly six hundred weights: a second makes it right, while in the common training it lags
behind for thousands of steps, in which the tissue model sees a wrong artery.
"""

from __future__ import annotations

import torch

from .fields import Fields
from .losses import reduced
from .scan import NormalizedScan
from .schedule import one_cycle, share_done


def fit_artery(fields: Fields, scan: NormalizedScan, steps: int, rate: float, norm: str) -> None:
    """Train the arterial network in place.

    Parameters
    ----------
    fields : Fields
        On the CPU, where steps this small are fastest.
    scan : NormalizedScan
        On the CPU.
    steps : int
        Steps of Adam; 0 leaves the network as it is.
    rate : float
        Highest learning rate.
    norm : {"l1", "l2"}
        As in the common training.
    """
    if not steps:
        return
    optimizer = torch.optim.Adam(fields.aif.parameters(), rate, fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(share_done(step, steps), rate)
        loss = reduced(fields.artery(scan.times) - scan.aif, norm)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
