# SPDX-License-Identifier: Apache-2.0
"""The network that draws infarct cores: a 3D U-Net, applied in windows that overlap. Needs PyTorch.

Channels, window, overlap and blending are those of the publication (Fast and robust CT perfusion, 2025: 16, 16, 32, 32, 64
channels, Gaussian blending, overlap 0.5). Strides and normalization are not published: slices are few, so two of the four steps
down leave their axis alone, and instances are normalized.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.nn import functional

CHANNELS = (16, 16, 32, 32, 64)
STRIDES: tuple[tuple[int, int, int], ...] = ((2, 2, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1))
DIVISOR = (16, 16, 4)
"""Products of the strides: windows are multiples of this."""

LEAST = (32, 32, 4)
"""Smallest window: at the bottom of the network more than one voxel must be left, or there is nothing to normalize by."""

SLOPE = 0.01
OVERLAP, BLEND_SIGMA, LEAST_BLEND = 0.5, 0.125, 1e-3
"""Of windows: shared part of their side, standard deviation of the blending weights over the side, and their smallest value."""

Size = tuple[int, int, int]


def _pair(before: int, after: int, stride: Size = (1, 1, 1)) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, step in ((before, stride), (after, (1, 1, 1))):
        layers += [nn.Conv3d(channels, after, 3, stride=step, padding=1, bias=False), nn.InstanceNorm3d(after, affine=True)]
        layers.append(nn.LeakyReLU(SLOPE))
    return nn.Sequential(*layers)


class CoreNetwork(nn.Module):
    """Background and infarct core from maps.

    Parameters
    ----------
    inputs : int
        Channels of the image.
    channels : sequence of int
        Of the levels.
    """

    def __init__(self, inputs: int, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.first = _pair(inputs, channels[0])
        pairs = list(zip(channels[:-1], channels[1:], STRIDES, strict=True))
        self.down = nn.ModuleList(_pair(upper, lower, stride) for upper, lower, stride in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose3d(lower, upper, stride, stride) for upper, lower, stride in pairs)
        self.joined = nn.ModuleList(_pair(2 * upper, upper) for upper, _, _ in pairs)
        self.last = nn.Conv3d(channels[0], 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify voxels.

        Parameters
        ----------
        x : Tensor, shape (N, C, I, J, K)
            Sizes are multiples of `DIVISOR`.

        Returns
        -------
        Tensor, shape (N, 2, I, J, K)
            Logits of background and core.
        """
        x = self.first(x)
        upper = []
        for level in self.down:
            upper.append(x)
            x = level(x)
        for number in range(len(self.down) - 1, -1, -1):
            x = self.joined[number](torch.cat([upper[number], self.up[number](x)], dim=1))
        found: torch.Tensor = self.last(x)
        return found


def probability(network: CoreNetwork, image: torch.Tensor, window: Size, half: bool = False) -> torch.Tensor:
    """Return the probability of core, window by window.

    Parameters
    ----------
    network : CoreNetwork
        In evaluation mode.
    image : Tensor, shape (C, I, J, K)
        On the device of the network.
    window : tuple of int
        Largest window; smaller where the image is.
    half : bool
        Convolutions in bfloat16.

    Returns
    -------
    Tensor, shape (I, J, K)
        Between 0 and 1.
    """
    shape = tuple(int(n) for n in image.shape[1:])
    size = fitting_window(shape, window)
    padded = functional.pad(image, [n for axis in (2, 1, 0) for n in (0, max(size[axis] - shape[axis], 0))])
    weight = blending(size).to(image.device)
    total = torch.zeros((2, *padded.shape[1:]), device=image.device)
    with torch.inference_mode(), torch.autocast(image.device.type, torch.bfloat16, enabled=half):
        for start in product(*(starts(int(n), side) for n, side in zip(padded.shape[1:], size, strict=True))):
            part = tuple(slice(at, at + side) for at, side in zip(start, size, strict=True))
            seen = padded[(slice(None), *part)][None]
            found = network(seen)[0].float().softmax(0)[1] if bool((seen != 0).any()) else seen.new_zeros(size)
            total[(0, *part)] += weight * found
            total[(1, *part)] += weight
    blended = total[0] / total[1]
    return blended[tuple(slice(0, n) for n in shape)]


def fitting_window(shape: Sequence[int], window: Size) -> Size:
    """Return a window that is no larger than needed for an image, a multiple of `DIVISOR`, and at least `LEAST`."""
    i, j, k = (max(least, -(-min(n, most) // by) * by) for n, most, by, least in zip(shape, window, DIVISOR, LEAST, strict=True))
    return i, j, k


def starts(length: int, side: int) -> list[int]:
    """Return where windows begin along an axis, so that they share half of their side or more and cover everything."""
    if length <= side:
        return [0]
    count = -(-(length - side) // max(1, round(side * (1.0 - OVERLAP)))) + 1
    return [round(number * (length - side) / (count - 1)) for number in range(count)]


def blending(size: Size) -> torch.Tensor:
    """Return the weights of a window: a Gaussian around its middle that never vanishes.

    Parameters
    ----------
    size : tuple of int
        Of the window.

    Returns
    -------
    Tensor, shape size
        At most 1.
    """
    weight = torch.ones(size)
    for axis, side in enumerate(size):
        place = (torch.arange(side) - 0.5 * (side - 1)) / (BLEND_SIGMA * side)
        shape = [1, 1, 1]
        shape[axis] = side
        weight = weight * torch.exp(-0.5 * place.square()).reshape(shape)
    return weight.clamp_min(LEAST_BLEND)


def resampled(image: torch.Tensor, shape: Sequence[int], mode: str = "trilinear") -> torch.Tensor:
    """Bring channels to another number of voxels over the same extent.

    Parameters
    ----------
    image : Tensor, shape (C, I, J, K)
        Channels.
    shape : sequence of int
        Wanted numbers of voxels.
    mode : str
        Of ``torch.nn.functional.interpolate``.

    Returns
    -------
    Tensor, shape (C, *shape)
        The same image where nothing changes.
    """
    if tuple(image.shape[1:]) == tuple(shape):
        return image
    options: dict[str, Any] = {} if mode.startswith("nearest") else {"align_corners": False}
    found: torch.Tensor = functional.interpolate(image[None], size=tuple(shape), mode=mode, **options)[0]
    return found
