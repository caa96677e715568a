# SPDX-License-Identifier: Apache-2.0
"""The network of QTMnet: a 3D U-Net without normalization, with channel and spatial attention at its bottom. Needs PyTorch.

The publication (Hu et al., arXiv 2311.10640) gives no channel counts; the plan below is that of Cicek et al., MICCAI 2016, with
twice as many channels per level. Voxels are 2 x 2 x 4 mm, so the first pooling leaves the third axis alone.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import nn
from torch.nn import functional

POOLS: tuple[tuple[int, int, int], ...] = ((2, 2, 1), (2, 2, 2), (2, 2, 2))
"""By how much each level is smaller than the one above, along each axis."""

DIVISOR = (8, 8, 4)
"""Sizes of images are filled up with zeros to multiples of this."""

TILE, TILES = (16, 16, 8), 32
"""Larger images are seen in parts of the size of a cube, so many at once."""

SMALLEST = 0.001
"""Components of curves that are smaller (in units of the scaled label density) are not blown up to size 1."""

LIMITS = (-0.5, 2.0)
"""Of the linear sum, in units of the reference perfusion: an artery is no reason for more."""

SMALLEST_SIDE = 2
"""Images of so few voxels along an axis are never computed in bfloat16."""

HIDDEN = 64
"""Width of the perceptron that sees single voxels."""

REDUCTION, KERNEL = 8, 7
"""Of the attention: channels over hidden units, and width of the spatial kernel (Woo et al., ECCV 2018, take 16 and 7)."""


class Attention(nn.Module):
    """Convolutional block attention (CBAM; Woo et al., ECCV 2018, equations 1 to 3) in three dimensions.

    Parameters
    ----------
    channels : int
        Channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Conv3d(2, 1, KERNEL, padding=KERNEL // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh channels, then places.

        Parameters
        ----------
        x : Tensor, shape (N, C, I, J, K)
            Features.

        Returns
        -------
        Tensor, shape (N, C, I, J, K)
            Weighted features.
        """
        gate = torch.sigmoid(self.channel(x.mean((2, 3, 4))) + self.channel(x.amax((2, 3, 4))))
        x = x * gate[:, :, None, None, None]
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(seen))


def _pair(before: int, after: int, slope: float) -> nn.Sequential:
    first, second = nn.Conv3d(before, after, 3, padding=1), nn.Conv3d(after, after, 3, padding=1)
    return nn.Sequential(first, nn.LeakyReLU(slope), second, nn.LeakyReLU(slope))


class VoxelRegression(nn.Module):
    """A regression of each voxel's curve that knows the noise: what the U-Net only has to correct.

    Curves are turned into principal components of the training. A linear sum takes each by its share of signal (Wiener); a small
    perceptron corrects it from the components over their usual size with the noise, logarithms of which keep arteries, a hundred
    times as bright as tissue, from deciding.

    Parameters
    ----------
    delays : int
        Images, without that of the noise.
    noise_channel : bool
        Whether the noise comes as one more image.
    slope : float
        Of the leaky rectifiers.
    """

    basis: torch.Tensor
    sizes: torch.Tensor

    def __init__(self, delays: int, noise_channel: bool, slope: float) -> None:
        super().__init__()
        self.register_buffer("basis", torch.eye(delays))
        self.register_buffer("sizes", torch.ones(delays))
        self.weights = nn.Parameter(torch.zeros(delays))
        first, second = nn.Conv3d(delays + int(noise_channel), HIDDEN, 1), nn.Conv3d(HIDDEN, HIDDEN, 1)
        self.bend = nn.Sequential(first, nn.LeakyReLU(slope), second, nn.LeakyReLU(slope), nn.Conv3d(HIDDEN, 1, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate perfusion voxel by voxel.

        Parameters
        ----------
        x : Tensor, shape (N, channels, I, J, K)
            Scaled label density, and the noise where it is told.

        Returns
        -------
        components : Tensor, shape (N, channels, I, J, K)
            Compressed components, and the noise.
        flow : Tensor, shape (N, 1, I, J, K)
            Perfusion over its reference value.
        """
        delays = self.sizes.numel()
        found = torch.einsum("ed,ndijk->neijk", self.basis, x[:, :delays])
        told = x[:, delays:]
        noise = told.square() if told.shape[1] else x.new_zeros(())
        signal = self.sizes.square()[:, None, None, None]
        flow = (self.weights[:, None, None, None] * found * signal / (signal + noise)).sum(1, keepdim=True)
        scaled = found / (signal + noise + SMALLEST**2).sqrt()
        components = torch.cat([scaled.sign() * scaled.abs().log1p(), 10.0 * told], 1)
        return components, flow.clamp(*LIMITS) + self.bend(components)


class QtmNetwork(nn.Module):
    """Perfusion from the label that was seen at several delays.

    Parameters
    ----------
    delays : int
        Images.
    base : int
        Channels of the first level; each further one has twice as many.
    noise_channel : bool
        Whether the standard deviation of the noise comes as one more image.
    slope : float
        Of the leaky rectifiers; 0 is the plain one of the publication.
    regression : bool
        Begin with a regression of each voxel's curve, so that the U-Net learns only what a voxel by itself does not tell.
    """

    def __init__(
        self, delays: int, base: int = 16, *, noise_channel: bool = False, slope: float = 0.01, regression: bool = False
    ) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(len(POOLS) + 1)]
        entering = [delays + int(noise_channel) + int(regression), *widths]
        self.down = nn.ModuleList(_pair(before, after, slope) for before, after in zip(entering, widths[:-1], strict=False))
        self.bottom = nn.Sequential(*_pair(widths[-2], widths[-1], slope), Attention(widths[-1]))
        levels = tuple(reversed(range(len(POOLS))))
        self.up = nn.ModuleList(nn.ConvTranspose3d(widths[at + 1], widths[at], POOLS[at], stride=POOLS[at]) for at in levels)
        self.join = nn.ModuleList(_pair(2 * widths[at], widths[at], slope) for at in levels)
        self.out = nn.Conv3d(base, 1, 1)
        self.regression = VoxelRegression(delays, noise_channel, slope) if regression else None
        self._initialize(slope)

    def _initialize(self, slope: float) -> None:
        """Draw weights after He et al. (ICCV 2015), because nothing normalizes features on the way."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=slope, nonlinearity="leaky_relu")
                nn.init.zeros_(module.bias)
        # No rectifier follows last layers, and an output near zero is nearer to any perfusion than a large one.
        for last in (self.out,) if self.regression is None else (self.out, self.regression.bend[-1]):
            nn.init.normal_(last.weight, std=0.1 / last.in_channels**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Estimate perfusion.

        Parameters
        ----------
        x : Tensor, shape (N, channels, I, J, K)
            Scaled label density, and the noise where it is told; sizes must be divisible by `DIVISOR`.

        Returns
        -------
        Tensor, shape (N, 1, I, J, K)
            Perfusion over its reference value.
        """
        if self.regression is None:
            return self._body(x)
        with exact(x):
            components, flow = self.regression(x.float())
        return flow + self._body(torch.cat([components, flow], 1))

    def _body(self, x: torch.Tensor) -> torch.Tensor:
        kept = []
        for level, pool in zip(self.down, POOLS, strict=True):
            x = _applied(level, x)
            kept.append(x)
            x = functional.max_pool3d(x, pool)
        x = _applied(self.bottom, x)
        for up, join in zip(self.up, self.join, strict=True):
            larger = up(x)
            x = _applied(join, torch.cat([larger, kept.pop().to(larger.dtype)], 1))
        with exact(x):
            return self.out(x.float())


def _applied(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Apply a part; PyTorch 2.13 returns wrong gradients for 2 x 2 x 2 voxels in bfloat16 on a CPU."""
    if min(x.shape[2:]) > SMALLEST_SIDE:
        return part(x)
    with exact(x):
        return part(x.float())


def exact(x: torch.Tensor) -> Any:
    """Return a context in which nothing is computed with fewer digits than float32.

    Parameters
    ----------
    x : Tensor
        Tells the device.

    Returns
    -------
    context manager
        For a ``with`` statement.
    """
    return torch.autocast(x.device.type, enabled=False)


def padded(x: torch.Tensor) -> torch.Tensor:
    """Fill up with zeros behind, to sizes that the network can halve.

    Parameters
    ----------
    x : Tensor, shape (N, C, I, J, K)
        Images.

    Returns
    -------
    Tensor
        Sizes are multiples of `DIVISOR`.
    """
    behind = [-size % step for size, step in zip(x.shape[2:], DIVISOR, strict=True)]
    pads: list[int] = []
    for width in reversed(behind):
        pads += [0, width]
    return functional.pad(x, pads)


def estimate(network: QtmNetwork, x: torch.Tensor) -> torch.Tensor:
    """Apply the network to images of any size, in overlapping tiles as large as the images of its training.

    The attention looks at means and maxima of whole images, which for a head are others than for a cube.

    Parameters
    ----------
    network : QtmNetwork
        The network.
    x : Tensor, shape (N, C, I, J, K)
        Scaled label density.

    Returns
    -------
    Tensor, shape (N, 1, I, J, K)
        Perfusion over its reference value; 0 where a whole tile has no label.
    """
    sizes: Any = x.shape[2:]
    if all(size <= edge for size, edge in zip(sizes, TILE, strict=True)):
        return network(padded(x))[:, :, : sizes[0], : sizes[1], : sizes[2]]
    margins = [(edge // 2, edge // 2 + -size % (edge // 2)) for size, edge in zip(sizes, TILE, strict=True)]
    wide = functional.pad(x, [width for pair in reversed(margins) for width in pair])
    weight = _tile_weight().to(x.device)
    total, share = torch.zeros_like(wide[:, :1]), torch.zeros_like(wide[:1, :1])
    steps = [range(0, n - edge + 1, edge // 2) for n, edge in zip(wide.shape[2:], TILE, strict=True)]
    places = [tuple(slice(at, at + edge) for at, edge in zip(first, TILE, strict=True)) for first in product(*steps)]
    places = [where for where in places if bool(wide[(slice(None), 0, *where)].any())]
    for start in range(0, len(places), TILES):
        chosen = places[start : start + TILES]
        found = network(torch.cat([wide[(slice(None), slice(None), *where)] for where in chosen])).chunk(len(chosen))
        for where, part in zip(chosen, found, strict=True):
            total[(slice(None), slice(None), *where)] += weight * part
            share[(slice(None), slice(None), *where)] += weight
    mean = total / share.clamp(min=1e-9)
    inside = tuple(slice(pair[0], pair[0] + size) for pair, size in zip(margins, sizes, strict=True))
    return mean[(slice(None), slice(None), *inside)]


def _tile_weight() -> torch.Tensor:
    """Return weights of a tile's voxels, shape `TILE`: squares of the distance to its nearest border along each axis."""
    weight = torch.ones(TILE)
    for axis, edge in enumerate(TILE):
        place = torch.arange(edge) + 0.5
        shape = [edge if other == axis else 1 for other in range(3)]
        weight = weight * torch.minimum(place, edge - place).square().reshape(shape)
    return weight
