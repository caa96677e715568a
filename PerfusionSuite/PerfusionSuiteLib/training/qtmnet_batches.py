# SPDX-License-Identifier: Apache-2.0
"""Batches that QTMnet learns from: cubes are turned, blanked and made noisy. Needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..asl.qtm_weights import Q_REF, S_REF, VOXEL_MM, Protocol
from ..core.errors import InvalidInputError
from .qtmnet_data import Cubes

ARTERY_SHARES = (0.01, 0.4)
"""Volume of a large artery in a voxel of 16 mm3, which is between one of 0.2 mm and one of 2.8 mm that crosses it."""

ENTRY_S, ARTERY_TRANSIT_S = (0.2, 2.2), 0.8
"""When the fastest label reaches a place, and the longest further way as time of plug flow."""

COARSER = (2.0, 1.5)
"""By how much larger voxels can be, in plane and along the third axis."""

WIDTH_MM, MOST_ARTERIES, STREAMLINES, VOXEL_ARTERIES = (1.0, 2.2), 3, 12, 0.3


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How a batch differs from the cubes it is made of.

    Parameters
    ----------
    mirror : bool
        Flips of all axes and exchange of the first two.
    noise : float
        Largest standard deviation of the noise, in units of `S_REF`; each cube has its own.
    clean : float
        Share of cubes that stay without noise.
    blank : float
        Share of cubes of which a random half-space is emptied, as outside the head.
    gain : float
        Largest deviation of a common factor from 1, for errors of M0 and efficiency.
    arteries : float
        Share of cubes that large arteries pass through: those of a head are larger than any that feeds a cube.
    coarse : float
        Share of batches that are scanned with larger voxels, whose noise is smooth on those of the network.
    """

    mirror: bool = True
    noise: float = 0.0
    clean: float = 0.0
    blank: float = 0.0
    gain: float = 0.0
    arteries: float = 0.0
    coarse: float = 0.0

    def check(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        InvalidInputError
            If a value is out of range.
        """
        limits = {"noise": 1.0, "clean": 1.0, "blank": 1.0, "gain": 0.5, "arteries": 1.0, "coarse": 1.0}
        for name, most in limits.items():
            if not 0.0 <= getattr(self, name) <= most:
                msg = f"The augmentation '{name}' is {getattr(self, name)!r}. Choose a number from 0 to {most:g}."
                raise InvalidInputError(msg)


@dataclass(frozen=True, slots=True)
class Batches:
    """Makes batches.

    Parameters
    ----------
    x, y : Tensor
        Label density over `S_REF`, shape (N, D, I, J, K), and perfusion over `Q_REF`, shape (N, 1, I, J, K).
    augmentation : Augmentation
        What is done to them.
    noise_channel : bool
        Tell the noise in one more image.
    scale : {"physical", "image-max"}
        See `QtmWeights.scale`.
    protocol : Protocol
        When the cubes are seen.
    """

    x: torch.Tensor
    y: torch.Tensor
    augmentation: Augmentation
    noise_channel: bool
    scale: str
    protocol: Protocol

    @classmethod
    def of(cls, cubes: Cubes, augmentation: Augmentation, *, noise_channel: bool, scale: str, device: Any) -> Batches:
        """Lay cubes onto a device."""
        x = torch.from_numpy(cubes.density / np.float32(S_REF)).to(device)
        y = torch.from_numpy(cubes.flow[:, None] / np.float32(Q_REF)).to(device)
        return cls(x, y, augmentation, noise_channel, scale, cubes.protocol)

    def make(self, numbers: NDArray[Any], draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Make a batch.

        Parameters
        ----------
        numbers : ndarray of int, shape (B,)
            Which cubes.
        draw : torch.Generator
            Of the CPU: the same draws on every device.

        Returns
        -------
        x : Tensor, shape (B, channels, I, J, K)
            Input.
        y : Tensor, shape (B, 1, I, J, K)
            Target.
        """
        how = self.augmentation
        rows = torch.from_numpy(np.asarray(numbers, np.int64)).to(self.x.device)
        x, y = self.x[rows], self.y[rows]
        if how.mirror:
            x, y = mirrored(x, y, draw)
        if how.arteries:
            x = x + passing_arteries(x.shape[2:], self.protocol, how.arteries, len(x), draw).to(x.device)
        if how.gain:
            x = x * (1.0 + how.gain * (2.0 * self._uniform(len(x), draw) - 1.0))
        x, y, sd = self.noisy(x, y, draw)
        if how.blank:
            kept = half_spaces(x.shape[2:], how.blank, len(x), draw).to(x.device)
            x, y = x * kept, y * kept
        x, factor = self.scaled(x, sd)
        return x, y / factor

    def noisy(self, x: torch.Tensor, y: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Add noise, to some batches that of larger voxels, which blur what is seen as well.

        Parameters
        ----------
        x : Tensor, shape (B, D, I, J, K)
            Label density over `S_REF`.
        y : Tensor, shape (B, 1, I, J, K)
            Target.
        draw : torch.Generator
            Of the CPU.

        Returns
        -------
        x, y : Tensor
            Changed; the target is blurred alike, because it goes back to the voxels of the scan.
        sd : Tensor, shape (B, 1, 1, 1, 1)
            Standard deviation of the noise in x.
        """
        how, size = self.augmentation, x.shape[2:]
        sd = how.noise * self._uniform(len(x), draw) * (self._uniform(len(x), draw) >= how.clean)
        if how.coarse and float(torch.rand((), generator=draw)) < how.coarse:
            factors = 1.0 + torch.rand(2, generator=draw) * (torch.tensor(COARSER) - 1.0)
            fewer = [max(1, round(n / float(factors[axis // 2]))) for axis, n in enumerate(size)]
            x, y = (rescaled(functional.adaptive_avg_pool3d(part, fewer), size) for part in (x, y))
            noise = rescaled(torch.randn((*x.shape[:2], *fewer), generator=draw), size)
            noise = noise / noise.square().mean((1, 2, 3, 4), keepdim=True).sqrt()
        elif how.noise:
            noise = torch.randn(x.shape, generator=draw)
        else:
            return x, y, sd
        return x + sd * noise.to(x.device), y, sd

    def voxels(self, curves: torch.Tensor, flows: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Make a batch of single voxels, as one image of one row.

        Parameters
        ----------
        curves : Tensor, shape (D, B)
            Label density over `S_REF`.
        flows : Tensor, shape (B,)
            Perfusion over `Q_REF`.
        draw : torch.Generator
            Of the CPU.

        Returns
        -------
        x : Tensor, shape (1, channels, B, 1, 1)
            Input with noise of its own for each voxel.
        y : Tensor, shape (1, 1, B, 1, 1)
            Target.
        """
        how, count = self.augmentation, flows.numel()
        sd = how.noise * torch.rand(count, generator=draw) * (torch.rand(count, generator=draw) >= how.clean)
        if how.arteries:
            passing = arterial_curves(self.protocol, count, draw) * artery_volumes(count, draw)[:, None]
            curves = curves + (passing * (torch.rand((count, 1), generator=draw) < VOXEL_ARTERIES * how.arteries)).T.to(
                curves.device
            )
        x = curves + (sd * torch.randn((curves.shape[0], count), generator=draw)).to(curves.device)
        if self.noise_channel:
            x = torch.cat([x, sd[None].to(curves.device)])
        return x[None, :, :, None, None], flows[None, None, :, None, None]

    def _uniform(self, count: int, draw: torch.Generator) -> torch.Tensor:
        return torch.rand((count, 1, 1, 1, 1), generator=draw).to(self.x.device)

    def scaled(self, x: torch.Tensor, sd: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Divide by each image's maximum where asked, and add the image of the noise.

        Parameters
        ----------
        x : Tensor, shape (B, D, I, J, K)
            Label density over `S_REF`.
        sd : Tensor, shape (B, 1, 1, 1, 1)
            Noise in the same unit.

        Returns
        -------
        x : Tensor, shape (B, channels, I, J, K)
            Input of the network.
        factor : Tensor, shape (B, 1, 1, 1, 1)
            What its output is multiplied with for perfusion over `Q_REF`.
        """
        factor = torch.ones_like(sd)
        if self.scale == "image-max":
            factor = x.amax((1, 2, 3, 4), keepdim=True).clamp(min=1e-3)
            x, sd = x / factor, sd / factor
        if self.noise_channel:
            x = torch.cat([x, sd.expand(len(x), 1, *x.shape[2:])], 1)
        return x, factor


def rescaled(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Interpolate images linearly.

    Parameters
    ----------
    x : Tensor, shape (B, channels, I, J, K)
        Images.
    size : sequence of int
        Voxels to interpolate to.

    Returns
    -------
    Tensor
        Of that size.
    """
    return functional.interpolate(x, tuple(size), mode="trilinear", align_corners=False)


def mirrored(x: torch.Tensor, y: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Flip axes and exchange the first two, each cube by its own draw.

    Parameters
    ----------
    x, y : Tensor, shape (B, channels, I, I, K)
        Images and target.
    draw : torch.Generator
        Of the CPU.

    Returns
    -------
    x, y : Tensor
        Turned alike.
    """
    for axes in ((2,), (3,), (4,), ()):
        chosen = (torch.rand((len(x), 1, 1, 1, 1), generator=draw) < 0.5).to(x.device)
        if axes:
            x, y = (torch.where(chosen, part.flip(axes), part) for part in (x, y))
        elif x.shape[2] == x.shape[3]:
            x, y = (torch.where(chosen, part.transpose(2, 3), part) for part in (x, y))
    return x, y


def artery_volumes(count: int, draw: torch.Generator) -> torch.Tensor:
    """Draw how much of a voxel arteries fill, over `S_REF`: from 1 to 40 %, small ones as often as large ones.

    Parameters
    ----------
    count : int
        Number of draws.
    draw : torch.Generator
        Of the CPU.

    Returns
    -------
    Tensor, shape (count,)
        Volumes.
    """
    low, high = (math.log(share / S_REF) for share in ARTERY_SHARES)
    return torch.exp(low + (high - low) * torch.rand(count, generator=draw))


def arterial_curves(protocol: Protocol, count: int, draw: torch.Generator) -> torch.Tensor:
    """Draw what is seen of labeled blood in an artery: laminar flow that reached the place some time ago.

    Parameters
    ----------
    protocol : Protocol
        When it is seen.
    count : int
        Number of draws.
    draw : torch.Generator
        Of the CPU.

    Returns
    -------
    Tensor, shape (count, D)
        Share of the blood that is labeled, with decay (qtmnet section 7, volume average over the cross-section).
    """
    seen = protocol.label_duration_s + torch.tensor(protocol.post_label_delays_s)
    entry = ENTRY_S[0] + (ENTRY_S[1] - ENTRY_S[0]) * torch.rand((count, 1, 1), generator=draw)
    lines = (torch.arange(STREAMLINES) + 0.5) / STREAMLINES
    arrival = entry + ARTERY_TRANSIT_S * torch.rand((count, 1, 1), generator=draw) / (2.0 * lines[:, None])
    inside = (seen > arrival) & (seen < arrival + protocol.label_duration_s)
    return (inside * torch.exp(-arrival / protocol.t1_blood_s)).mean(1)


def passing_arteries(shape: Sequence[int], protocol: Protocol, share: float, count: int, draw: torch.Generator) -> torch.Tensor:
    """Draw arteries that pass through cubes on straight lines.

    Parameters
    ----------
    shape : sequence of int
        Voxels, of `VOXEL_MM`.
    protocol : Protocol
        When they are seen.
    share : float
        Of the cubes that have some.
    count : int
        Number of cubes.
    draw : torch.Generator
        Of the CPU.

    Returns
    -------
    Tensor, shape (count, D, I, J, K)
        Label density over `S_REF`.
    """
    places, edge = _places(shape)
    vessels = count * MOST_ARTERIES
    point = torch.rand((vessels, 3), generator=draw) * edge
    direction = functional.normalize(torch.randn((vessels, 3), generator=draw), dim=1)
    off = places[None] - point[:, :, None, None, None]
    along = torch.einsum("bc,bcijk->bijk", direction, off)
    width = WIDTH_MM[0] + (WIDTH_MM[1] - WIDTH_MM[0]) * torch.rand((vessels, 1, 1, 1), generator=draw)
    tube = torch.exp(-0.5 * (off.square().sum(1) - along.square()) / width**2)
    ends = torch.rand((vessels, 1, 1, 1), generator=draw) < 0.5
    tube = torch.where(ends & (along < 0.0), torch.zeros(()), tube)
    there = (torch.rand((count, 1), generator=draw) < share) & (torch.rand((count, MOST_ARTERIES), generator=draw) < 0.6)
    strength = artery_volumes(vessels, draw)[:, None] * arterial_curves(protocol, vessels, draw) * there.reshape(-1, 1)
    label = strength[:, :, None, None, None] * tube[:, None]
    return label.reshape(count, MOST_ARTERIES, *label.shape[1:]).sum(1)


def _places(shape: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the places of voxels in mm, shape (3, I, J, K), and the size of the image."""
    grids = torch.meshgrid(*(torch.arange(n) * size for n, size in zip(shape, VOXEL_MM, strict=True)), indexing="ij")
    return torch.stack(grids), torch.tensor([n * size for n, size in zip(shape, VOXEL_MM, strict=True)])


def half_spaces(shape: Sequence[int], share: float, count: int, draw: torch.Generator) -> torch.Tensor:
    """Draw masks that leave out a half-space, behind a plane of any direction through any point.

    Parameters
    ----------
    shape : sequence of int
        Voxels, of `VOXEL_MM`.
    share : float
        Of the masks that leave out something.
    count : int
        Number of masks.
    draw : torch.Generator
        Of the CPU.

    Returns
    -------
    Tensor, shape (count, 1, I, J, K)
        1 where something is kept.
    """
    places, edge = _places(shape)
    point = torch.rand((count, 3), generator=draw) * edge
    direction = torch.randn((count, 3), generator=draw)
    side = torch.einsum("bc,cijk->bijk", direction, places) - (direction * point).sum(1)[:, None, None, None]
    whole = torch.rand((count, 1, 1, 1), generator=draw) >= share
    return ((side > 0) | whole).float()[:, None]
