# SPDX-License-Identifier: Apache-2.0
"""Simulated brains that QTMnet learns from piece by piece: cubes have no trunks, cortex, ventricles, nor blood from far away.

Needs PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..asl.qtm_weights import DELAY_TOLERANCE_S, Q_REF, S_REF, Protocol
from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray
from ..core.nifti import read_volume
from .qtmnet_batches import Augmentation, Batches, mirrored

PIECE = (16, 16, 8)
"""Voxels of a piece: those of a cube."""

FLOWS = (0.4, 1.4)
"""Factors on flow and label of a piece.

Where flow and wall shear rate change by q and 1 / sqrt(q), vessels keep their times of passage and arteries hold q times as much
label: the same trees with another flow. Without them a network would learn how much flow simulated gray and white matter have.
"""

_JITTER = 4


@dataclass(frozen=True, slots=True)
class Brain:
    """A simulated brain, empty outside its mask as a scan is for the network.

    Parameters
    ----------
    name : str
        BIDS label of the subject, which is the seed.
    density : ndarray, shape (D, I, J, K), mL/g
        Label density.
    flow : ndarray, shape (I, J, K), mL/100 g/min
        True perfusion.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    """

    name: str
    density: NDArray[np.float32]
    flow: NDArray[np.float32]
    mask: BoolArray


def read_brain(folder: str | Path, protocol: Protocol) -> Brain:
    """Read a brain of ``phantom asl-brain``.

    Parameters
    ----------
    folder : path-like
        Where it was written.
    protocol : Protocol
        That it must have been made with.

    Returns
    -------
    Brain
        Label density without noise, and perfusion.

    Raises
    ------
    InvalidInputError
        If there is none, or it was made with another protocol.
    """
    root = Path(folder)
    names = sorted(path.name[4:] for path in root.glob("sub-*"))
    if not names or not (root / "truth" / "label_density.nii.gz").is_file():
        msg = f"'{root}' holds no simulated brain. Make one with 'perfusion-suite phantom asl-brain'."
        raise InvalidInputError(msg)
    facts = json.loads((root / "truth" / "truth.json").read_text(encoding="utf-8"))
    found = [float(facts["label_duration_s"]), *map(float, facts["post_label_delays_s"])]
    wanted = [protocol.label_duration_s, *protocol.post_label_delays_s]
    if len(found) != len(wanted) or not np.allclose(found, wanted, rtol=0.0, atol=DELAY_TOLERANCE_S):
        words = Protocol(found[0], tuple(found[1:])).words()
        msg = f"The brain '{root.name}' has {words}, but the training {protocol.words()}. Make it with these --delays."
        raise InvalidInputError(msg)
    if not names[0].isdigit():
        msg = f"The subject of '{root.name}' is {names[0]}, not the seed of a simulated brain. Keep its name."
        raise InvalidInputError(msg)
    maps = {name: read_volume(root / "truth" / f"{name}.nii.gz")[0] for name in ("label_density", "cbf", "mask_scored")}
    mask = np.asarray(maps["mask_scored"] > 0)
    density = np.where(mask[..., None], maps["label_density"] / 1000.0, 0.0)
    flow = np.where(mask, np.nan_to_num(maps["cbf"]), 0.0)
    return Brain(names[0], np.ascontiguousarray(np.moveaxis(density, 3, 0), np.float32), np.asarray(flow, np.float32), mask)


def read_brains(folders: Sequence[str | Path], protocol: Protocol) -> tuple[list[Brain], Brain | None]:
    """Read brains, of which the last one is kept back.

    Parameters
    ----------
    folders : sequence of path-like
        Where they lie; none is allowed.
    protocol : Protocol
        Of the training.

    Returns
    -------
    trained : list of Brain
        To learn from.
    kept : Brain or None
        To score, and to learn how large errors are.

    Raises
    ------
    InvalidInputError
        If there is only one, or two are the same.
    """
    brains = [read_brain(folder, protocol) for folder in folders]
    if len(brains) == 1 or len({brain.name for brain in brains}) < len(brains):
        msg = "Give two or more different brains: the last one is kept back to score the network."
        raise InvalidInputError(msg)
    return (brains[:-1], brains[-1]) if brains else ([], None)


class Pieces:
    """Draws pieces of brains.

    Parameters
    ----------
    brains : sequence of Brain
        To learn from.
    batches : Batches
        Of the cubes that are learned from, too: scale and noise are theirs.
    """

    def __init__(self, brains: Sequence[Brain], batches: Batches) -> None:
        self._batches, self._device = batches, batches.x.device
        margins = [(size // 2, size // 2) for size in PIECE]
        self._x = [torch.from_numpy(np.pad(brain.density / np.float32(S_REF), [(0, 0), *margins])) for brain in brains]
        self._y = [torch.from_numpy(np.pad(brain.flow / np.float32(Q_REF), margins)[None]) for brain in brains]
        self._middles = [torch.from_numpy(np.argwhere(brain.mask)) for brain in brains]

    def make(self, count: int, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Make a batch.

        Parameters
        ----------
        count : int
            Number of pieces.
        draw : torch.Generator
            Of the CPU: the same draws on every device.

        Returns
        -------
        x : Tensor, shape (count, channels, I, J, K)
            Input.
        y : Tensor, shape (count, 1, I, J, K)
            Target.
        """
        how: Augmentation = self._batches.augmentation
        x, y = (torch.stack(parts).to(self._device) for parts in zip(*(self._cut(draw) for _ in range(count)), strict=True))
        x, y = mirrored(x, y, draw)
        inside = (x != 0).any(1, keepdim=True)
        factor = FLOWS[0] + (FLOWS[1] - FLOWS[0]) * self._uniform(count, draw)
        x, y = x * factor * (1.0 + how.gain * (2.0 * self._uniform(count, draw) - 1.0)), y * factor
        x, y, sd = self._batches.noisy(x, y, draw)
        x, scale = self._batches.scaled(x * inside, sd)
        return x, y / scale

    def _cut(self, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut out a piece around any place of any brain."""
        number = int(torch.randint(len(self._x), (1,), generator=draw))
        middles, size = self._middles[number], self._y[number].shape[1:]
        place = middles[int(torch.randint(len(middles), (1,), generator=draw))] + torch.randint(
            -_JITTER, _JITTER + 1, (3,), generator=draw
        )
        first = [min(max(int(at), 0), whole - edge) for at, whole, edge in zip(place, size, PIECE, strict=True)]
        where = tuple(slice(at, at + edge) for at, edge in zip(first, PIECE, strict=True))
        return self._x[number][(slice(None), *where)], self._y[number][(slice(None), *where)]

    def _uniform(self, count: int, draw: torch.Generator) -> Any:
        return torch.rand((count, 1, 1, 1, 1), generator=draw).to(self._device)
