# SPDX-License-Identifier: Apache-2.0
"""Windows of cases, changed at random, for a network of the infarct core. Needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..core.errors import InvalidInputError
from ..lesion.core_unet import fitting_window, resampled
from ..lesion.core_weights import raster
from .core_cases import CoreCase
from .core_plan import Augmentation, Plan


class Windows:
    """Cases on the raster of the network, from which windows are taken.

    Parameters
    ----------
    cases : sequence of CoreCase
        To learn from.
    plan : Plan
        Inputs, raster, window and changes.
    device : torch.device
        Where windows are made.
    """

    def __init__(self, cases: Sequence[CoreCase], plan: Plan, device: Any) -> None:
        self._plan, self._device = plan, device
        self._images: list[torch.Tensor] = []
        self._cores: list[torch.Tensor] = []
        self._places: list[tuple[torch.Tensor, torch.Tensor]] = []
        for case in cases:
            image, core, allowed = on_raster(case, plan)
            self._images.append(image.half())
            self._cores.append(core.half())
            inside = torch.nonzero((image != 0).any(0))
            if not len(inside):
                msg = f"The maps of the case '{case.name}' are empty. Leave it out."
                raise InvalidInputError(msg)
            wanted = torch.nonzero(allowed)
            self._places.append((inside, wanted if len(wanted) else inside))

    def __len__(self) -> int:
        return len(self._images)

    def make(self, number: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Take a window of a case.

        Parameters
        ----------
        number : int
            Which case.
        draw : torch.Generator
            Of the changes.

        Returns
        -------
        image : Tensor, shape (1, C, I, J, K)
            Inputs.
        core : Tensor, shape (1, I, J, K)
            1 for core, 0 for background.
        """
        image, core = self._images[number], self._cores[number]
        size = fitting_window(image.shape[1:], self._plan.window)
        inside, wanted = self._places[number]
        places = wanted if _chance(draw) < self._plan.centered else inside
        middle = places[int(torch.randint(len(places), (1,), generator=draw))].double()
        both = torch.cat([image, core[None]]).to(self._device, torch.float32)
        seen = _sampled(both, _within(middle, size, image.shape[1:]), size, _change(self._plan.augmentation, draw))
        channels = seen[:-1]
        if self._plan.augmentation.gain:
            factor = torch.exp(self._plan.augmentation.gain * torch.randn(len(channels), generator=draw)).to(channels)
            channels = channels * factor[:, None, None, None]
        return channels[None], (seen[-1:] > 0.5).long()


def on_raster(case: CoreCase, plan: Plan) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bring a case to the raster of the network.

    Parameters
    ----------
    case : CoreCase
        With the inputs of the plan.
    plan : Plan
        Inputs and voxel size.

    Returns
    -------
    image : Tensor, shape (C, I, J, K)
        Inputs.
    core, allowed : Tensor of bool, shape (I, J, K)
        True core, and where it may lie.
    """
    order = [case.inputs.index(name) for name in plan.inputs]
    size = raster(case.core.shape, case.affine, plan.voxel_mm)
    image = torch.from_numpy(np.asarray(case.image[order], np.float32))
    masks = torch.from_numpy(np.stack([case.core, case.allowed]).astype(np.float32))
    image, masks = resampled(image, size), resampled(masks, size) > 0.5
    return image, masks[0], masks[1]


def _within(middle: torch.Tensor, size: Sequence[int], shape: Sequence[int]) -> torch.Tensor:
    """Move the middle of a window so that the window lies in the image, or around it when the image is smaller."""
    half = 0.5 * (torch.tensor(size, dtype=torch.float64) - 1)
    last = torch.tensor(shape, dtype=torch.float64) - 1
    low, high = torch.minimum(half, 0.5 * last), torch.maximum(last - half, 0.5 * last)
    return torch.minimum(torch.maximum(middle, low), high)


def _chance(draw: torch.Generator) -> float:
    return float(torch.rand(1, generator=draw))


def _change(how: Augmentation, draw: torch.Generator) -> torch.Tensor:
    """Return the matrix (2, 2) that takes places of a window in plane to places of the image."""
    chances = torch.rand(6, generator=draw).tolist()
    angle = math.radians(how.turn_deg) * (2.0 * chances[1] - 1.0) if chances[0] < how.rotate else 0.0
    scale = 1.0 + how.stretch * (2.0 * chances[3] - 1.0) if chances[2] < how.zoom else 1.0
    mirror = -1.0 if chances[4] < how.flip else 1.0
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    return turn @ torch.diag(torch.tensor([mirror, 1.0], dtype=torch.float64)) / scale


def _sampled(image: torch.Tensor, middle: torch.Tensor, size: Sequence[int], change: torch.Tensor) -> torch.Tensor:
    """Read a window around a place, turned and scaled in plane; whole slices are read as they are."""
    axes = [torch.arange(n, dtype=torch.float64) - 0.5 * (n - 1) for n in size]
    shape = torch.tensor(image.shape[1:], dtype=torch.float64)
    first = round(float(middle[2] + axes[2][0]))
    slices = [min(max(first + n, -1), int(shape[2])) for n in range(size[2])]
    plane = torch.stack(torch.meshgrid(axes[0], axes[1], indexing="ij"), dim=-1) @ change.T + middle[:2]
    # grid_sample wants the last axis first, and places in units of half the image.
    unit = (2.0 * plane + 1.0) / shape[:2] - 1.0
    grid = unit.flip(-1)[None].to(image.device, torch.float32)
    empty = torch.zeros_like(image[..., :1])
    kept = [image[..., n : n + 1] if 0 <= n < image.shape[3] else empty for n in slices]
    stack = torch.cat(kept, dim=3).movedim(3, 1).flatten(0, 1)[None]
    found = functional.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.reshape(len(image), size[2], size[0], size[1]).movedim(1, 3)
