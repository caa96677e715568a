# SPDX-License-Identifier: Apache-2.0
"""How a network of the infarct core is trained."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..core.errors import InvalidInputError
from ..lesion.core_image import INPUTS


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is changed at random in a case.

    Parameters
    ----------
    flip : float
        Probability that left and right change places.
    rotate, turn_deg : float
        Probability of a rotation in plane, and the largest angle in degrees.
    zoom, stretch : float
        Probability of another size, and by how much it differs at most.
    gain : float
        Standard deviation of the logarithm of a factor on each channel: the reference of relative maps is never exact.
    """

    flip: float = 0.5
    rotate: float = 0.5
    turn_deg: float = 15.0
    zoom: float = 0.3
    stretch: float = 0.1
    gain: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A training; the defaults train the network that comes with the software, `published` is the publication's.

    Parameters
    ----------
    inputs : tuple of str
        Channels, see `lesion.core_image.INPUTS`.
    voxel_mm : float, mm
        In-plane voxel size.
    window : tuple of int
        Voxels seen at once, in training and at use.
    rate : float
        Highest learning rate of Adam; it falls to nothing along a cosine (OneCycle without warm-up).
    warm_up : float
        Share of the steps in which the rate rises first.
    epochs : int
        Times that every case is seen.
    minutes : float, optional
        Time limit, within which the schedule comes to its end.
    centered : float
        Share of the windows that are placed on tissue where a core may lie; the others lie anywhere in the brain.
    select : bool
        Keep the epoch of best running mean (ten epochs) of Dice on the kept case instead of the last one.
    augmentation : Augmentation
        Random changes.
    seed : int
        Of weights, order and changes.
    half : bool
        Convolutions in bfloat16.
    """

    inputs: tuple[str, ...] = ("rcbf", "rcbv", "tmax")
    voxel_mm: float = 1.2
    window: tuple[int, int, int] = (96, 96, 12)
    rate: float = 2e-3
    warm_up: float = 0.05
    epochs: int = 60
    minutes: float | None = None
    centered: float = 0.8
    select: bool = False
    augmentation: Augmentation = Augmentation(gain=0.05)
    seed: int = 0
    half: bool = False

    def check(self) -> None:
        """Refuse what cannot be trained.

        Raises
        ------
        InvalidInputError
            If a value is out of range.
        """
        unknown = [name for name in self.inputs if name not in INPUTS]
        if unknown or not self.inputs:
            msg = f"There is no network input '{unknown[0] if unknown else ''}'. Use {', '.join(INPUTS)}."
            raise InvalidInputError(msg)
        if self.epochs < 1 or not self.rate > 0 or not 0.3 <= self.voxel_mm <= 5.0 or min(self.window) < 4:
            msg = (
                f"A training of {self.epochs} epochs at rate {self.rate:g} in voxels of {self.voxel_mm:g} mm and windows of "
                f"{self.window} cannot be done. Choose at least 1 epoch, a positive rate, 0.3 to 5 mm, and windows of 4 or more."
            )
            raise InvalidInputError(msg)
        if self.minutes is not None and not self.minutes > 0:
            msg = f"A time limit of {self.minutes:g} min leaves no time. Choose a positive one."
            raise InvalidInputError(msg)

    def plain(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "augmentation"}
        values |= {name: list(values[name]) for name in ("inputs", "window")}
        how = self.augmentation
        return values | {"augmentation": {item.name: getattr(how, item.name) for item in fields(how)}}


PUBLISHED = Plan(
    inputs=("rcbf",), voxel_mm=0.91, window=(256, 256, 20), rate=5e-5, warm_up=0.0, epochs=500, centered=0.0, select=True,
    augmentation=Augmentation(),
)  # fmt: skip
"""Relative flow alone, windows of 256 x 256 x 20 voxels of 0.91 mm, Adam at 5e-5, 500 epochs (Fast and robust CTP, 2025)."""
