# SPDX-License-Identifier: Apache-2.0
"""How QTMnet is trained: values of a training, and presets of them. Needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..asl.qtm_weights import SCALES
from ..core.errors import InvalidInputError
from .qtmnet_batches import Augmentation


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Parameters
    ----------
    preset : str
        Name of what the other values started from.
    epochs : int
        Times that every cube is seen.
    base : int
        Channels of the network's first level.
    slope : float
        Of its leaky rectifiers.
    regression : bool
        Begin with a regression of perfusion from the curves of single voxels, which the U-Net corrects.
    noise_channel : bool
        Tell the network the noise.
    scale : {"physical", "image-max"}
        What images are divided by.
    optimizer : {"adamw", "sgd"}
        SGD has a momentum of 0.9.
    rate, rate_end : float
        Learning rate at the start and the end of a half cosine.
    decay : float
        Weight decay of AdamW.
    clip : float
        Largest norm of the gradient; 0 does not clip.
    batch : int
        Cubes of a step.
    smoothness : float
        Weight of the gradient of the output in the loss.
    augmentation : Augmentation
        What is done to cubes.
    pieces : float
        Share of the steps that learn from pieces of brains, where there are brains.
    held_out : float
        Share of the cubes that is kept back to score.
    seed : int
        Of weights, draws and split.
    minutes : float, optional
        Time limit; the schedule then comes to its end within it.
    half : bool
        Convolutions in bfloat16, which halves the time where the processor knows it.
    """

    preset: str = "default"
    epochs: int = 40
    base: int = 16
    slope: float = 0.01
    regression: bool = True
    noise_channel: bool = True
    scale: str = "physical"
    optimizer: str = "adamw"
    rate: float = 1e-3
    rate_end: float = 1e-6
    decay: float = 1e-4
    clip: float = 1.0
    batch: int = 16
    smoothness: float = 0.01
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(noise=0.08, clean=0.2, blank=0.5, gain=0.05, arteries=0.5, coarse=0.2)
    )
    pieces: float = 0.5
    held_out: float = 0.1
    seed: int = 0
    minutes: float | None = None
    half: bool = False

    def check(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        InvalidInputError
            If a value is out of range.
        """
        for name in ("epochs", "base", "rate", "rate_end", "batch", "held_out", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"{name} is {value!r}, but it must be above 0. Correct it."
                raise InvalidInputError(msg)
        if not self.pieces < 1.0:
            msg = f"pieces is {self.pieces!r}, but some steps must learn from cubes. Choose a number below 1."
            raise InvalidInputError(msg)
        if self.optimizer not in ("adamw", "sgd") or self.scale not in SCALES:
            msg = f"'{self.optimizer}' with scale '{self.scale}' is unknown. Choose adamw or sgd, and {' or '.join(SCALES)}."
            raise InvalidInputError(msg)
        self.augmentation.check()


PRESETS: Mapping[str, Plan] = {
    "default": Plan(),
    "published": Plan(
        preset="published", base=32, slope=0.0, regression=False, noise_channel=False, scale="image-max", optimizer="sgd",
        clip=0.0, decay=0.0, batch=8, augmentation=Augmentation(mirror=False),
    ),
}  # fmt: skip
"""``published``: Hu et al.'s optimizer, schedule and scale; batch, channels and smoothness are not published."""
