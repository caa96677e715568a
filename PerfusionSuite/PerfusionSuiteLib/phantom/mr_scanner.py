# SPDX-License-Identifier: Apache-2.0
"""What an MR scanner adds: the coil's shading, Rician noise, drift, whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from .acquisition import Protocol
from .draws import smooth_field, stream

SNR = {"clean": 100.0, "typical": 50.0, "hard": 27.0}
"""Mean signal of brain over the standard deviation of the noise in one frame, by recipe."""


@dataclass(frozen=True)
class Receiver:
    """Turns exact signals of a frame into what a scanner delivers.

    Parameters
    ----------
    seed : int
        The patient.
    shading : ndarray, shape (K, J, I)
        Sensitivity of the coils, about 1.
    sd : ndarray, shape (K, J, I)
        Standard deviation of the noise in each of two channels; all 0 for none.
    drift_per_s : float, 1/s
        Relative drift of the signal.
    parameters : dict
        What was drawn.
    """

    seed: int
    shading: NDArray[np.float32]
    sd: NDArray[np.float32]
    drift_per_s: float
    parameters: dict[str, Any]

    def deliver(self, image: NDArray[np.float32], frame: int, echo: int, time_s: float) -> NDArray[np.float32]:
        """Return a frame as delivered.

        Parameters
        ----------
        image : ndarray, shape (K, J, I)
            Exact signal.
        frame, echo : int
            Their own random streams.
        time_s : float, s
            Time of the frame.

        Returns
        -------
        ndarray, shape (K, J, I)
            Magnitudes; whole numbers when there is noise, exact ones when there is none.
        """
        shaded = image * self.shading * np.float32(1.0 + self.drift_per_s * time_s)
        if not self.sd.any():
            return shaded
        rng = stream(self.seed, "noise", 10_000 * (echo + 1) + frame)
        real = shaded + self.sd * rng.standard_normal(image.shape, dtype=np.float32)
        imaginary = self.sd * rng.standard_normal(image.shape, dtype=np.float32)
        magnitude: NDArray[np.float32] = np.rint(np.hypot(real, imaginary)).astype(np.float32)
        return magnitude


def draw_receiver(
    seed: int, recipe: str, snr: float | None, protocol: Protocol, baseline: NDArray[np.float32], tissue: NDArray[np.bool_]
) -> Receiver:
    """Draw the imperfections of a scan.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.
    snr : float or None
        Mean signal of brain tissue over the noise; infinite for none; None takes the recipe's.
    protocol : Protocol
        Grid.
    baseline : ndarray, shape (K, J, I)
        Signal of the first echo without contrast.
    tissue : ndarray of bool, shape (K, J, I)
        Brain tissue.

    Returns
    -------
    Receiver
        The scanner.

    Raises
    ------
    InvalidInputError
        If the SNR is not positive.
    """
    if snr is not None and not snr > 0:
        msg = f"The signal-to-noise ratio is {snr:g}, but it must be above 0. Give infinity (inf) for no noise."
        raise InvalidInputError(msg)
    rng = stream(seed, "scanner", 7)
    level = ("clean", "typical", "hard").index(recipe)
    hard = float(rng.uniform(20.0, 35.0))
    drawn: dict[str, Any] = {
        "shading": float(rng.uniform(0.05, 0.2)), "drift_percent_per_min": float(rng.normal(0.0, (0.0, 0.3, 0.8)[level])),
        "snr": snr if snr is not None else (hard if recipe == "hard" else SNR[recipe]),
    }  # fmt: skip
    shading = 1.0 + drawn["shading"] * _slow(rng, protocol)
    mean = float((baseline * shading)[tissue].mean()) if tissue.any() else 1.0
    sd = 0.0 if math.isinf(drawn["snr"]) else mean / drawn["snr"]
    spread = 1.0 + 0.12 * _slow(rng, protocol)
    spread /= np.sqrt((spread[tissue] ** 2).mean()) if tissue.any() else 1.0
    drawn["noise_sd"] = sd
    if math.isinf(drawn["snr"]):
        drawn["snr"] = None  # JSON has no infinity
    drift = drawn["drift_percent_per_min"] / 6000.0 if sd else 0.0
    return Receiver(seed, shading.astype(np.float32), (sd * spread).astype(np.float32), drift, drawn)


def _slow(rng: np.random.Generator, protocol: Protocol) -> NDArray[np.float32]:
    """Return a very smooth field over the field of view, shape (K, J, I)."""
    small = smooth_field(rng, (8, 8, 8), 3.0)
    at = np.meshgrid(*[np.linspace(1.5, 5.5, n) for n in protocol.shape[::-1]], indexing="ij")
    field: NDArray[np.float32] = ndimage.map_coordinates(small, at, order=3, mode="nearest").astype(np.float32)
    return field
