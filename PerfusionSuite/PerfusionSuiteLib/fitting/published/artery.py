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

RATE = 5e-3
"""After 600 steps of this rate the largest misfit was below a hundredth of the peak in two development patients; with the rate of
the common training, 1e-3, it was 2 and 10 hundredths."""


def fit_artery(fields: Fields, scan: NormalizedScan, steps: int, norm: str) -> None:
    """Train the arterial network in place.

    Parameters
    ----------
    fields : Fields
        On the CPU, where steps this small are fastest.
    scan : NormalizedScan
        On the CPU.
    steps : int
        Steps of Adam; 0 leaves the network as it is.
    norm : {"l1", "l2"}
        As in the common training.
    """
    if not steps:
        return
    optimizer = torch.optim.Adam(fields.aif.parameters(), RATE, fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(share_done(step, steps), RATE)
        loss = reduced(fields.artery(scan.times) - scan.aif, norm)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
