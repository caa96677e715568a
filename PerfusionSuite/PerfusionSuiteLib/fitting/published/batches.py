# SPDX-License-Identifier: Apache-2.0
"""What a step looks at: random samples, samples in the order of a shuffled epoch, or whole curves of random voxels."""

from __future__ import annotations

import torch
from torch import Tensor

from .losses import Batch
from .scan import NormalizedScan


class Draws:
    """Draws batches from a scan; all chance comes from one generator, whose state can be kept.

    Parameters
    ----------
    scan : NormalizedScan
        Where the fit runs, on its device.
    batch : int
        Samples of a step.
    batch_of : {"points", "curves"}
        Single samples, or whole curves.
    by_epoch : bool
        Points without replacement until all were seen, as the original does.
    artery_at_batch : bool
        Weigh frames of the arterial loss by how often the batch holds them.
    generator : torch.Generator
        Source of chance, on the device of the scan.
    """

    def __init__(
        self,
        scan: NormalizedScan,
        *,
        batch: int,
        batch_of: str,
        by_epoch: bool,
        artery_at_batch: bool,
        generator: torch.Generator,
    ) -> None:
        self._scan, self._generator = scan, generator
        self._voxels, self._frames = scan.curves.shape
        self._batch = batch if by_epoch is False else min(batch, self._voxels * self._frames)
        self._batch_of, self._by_epoch, self._at_batch = batch_of, by_epoch, artery_at_batch
        self._first, self._last = float(scan.times[0]), float(scan.times[-1])
        self._order: Tensor | None = None
        self._next = 0

    def per_epoch(self) -> int:
        """Steps after which every sample was seen."""
        return max(1, int(self._voxels * self._frames) // self._batch)

    def state(self) -> dict[str, Tensor]:
        """What the next batches depend on."""
        state = {"rng": self._generator.get_state(), "next": torch.tensor([self._next])}
        if self._order is not None:
            state["order"] = self._order
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        self._generator.set_state(state["rng"].cpu())
        self._next = int(state["next"][0])
        order = state.get("order")
        self._order = None if order is None else order.to(self._scan.curves.device)

    def draw(self) -> Batch:
        """Return the next batch."""
        return self._curves() if self._batch_of == "curves" else self._points()

    def _curves(self) -> Batch:
        scan = self._scan
        count = max(1, round(self._batch / self._frames))
        voxels = self._whole_numbers(self._voxels, count)
        values = scan.curves[voxels]
        return Batch(scan.positions[voxels], scan.times[None], values, self._times_like(values))

    def _points(self) -> Batch:
        scan = self._scan
        chosen = self._of_epoch() if self._by_epoch else self._whole_numbers(self._voxels * self._frames, self._batch)
        voxels = torch.div(chosen, self._frames, rounding_mode="floor")
        frames = chosen - voxels * self._frames
        values = scan.curves[voxels, frames][:, None]
        share = torch.bincount(frames, minlength=self._frames) / chosen.numel() if self._at_batch else None
        return Batch(scan.positions[voxels], scan.times[frames][:, None], values, self._times_like(values), share)

    def _of_epoch(self) -> Tensor:
        if self._order is None or self._next + self._batch > self._order.numel():
            total = self._voxels * self._frames
            self._order = torch.randperm(total, generator=self._generator, device=self._scan.curves.device)
            self._next = 0
        start = self._next
        self._next += self._batch
        return self._order[start : self._next]

    def _whole_numbers(self, below: int, count: int) -> Tensor:
        return torch.randint(0, below, (count,), generator=self._generator, device=self._scan.curves.device)

    def _times_like(self, values: Tensor) -> Tensor:
        share = torch.rand(values.shape, generator=self._generator, device=values.device)
        return share * (self._last - self._first) + self._first
