# SPDX-License-Identifier: Apache-2.0
"""What a CT scanner adds: correlated noise, streaks, cupping, drift, rounding, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..core.geometry import FloatArray
from .acquisition import Protocol
from .draws import stream

NOISE_HU = {"clean": 2.0, "typical": 4.0, "hard": 6.0}
"""Standard deviation of a brain voxel in one frame by recipe; of 5 mm slices when the grid is drawn."""


@dataclass(frozen=True)
class Degrader:
    """Turns exact CT numbers of a frame into what a scanner delivers.

    Parameters
    ----------
    seed : int
        The patient.
    amplitude : ndarray, shape (K, J, I), HU
        Standard deviation of the noise.
    streak_share : ndarray, shape (K, J, I)
        Share (0 to 1) of the noise's variance that is streaks.
    gain, streak_gain : ndarray, shape (J, I // 2 + 1)
        Filters in frequency space, of mean square 1.
    offset : ndarray, shape (K, J, I), HU
        Cupping, bias between slices, dark bands between petrous bones.
    drift_hu_per_s : float, HU/s
        Slow drift of all CT numbers.
    padding : float, HU
        Value outside the field of view.
    outside : ndarray of bool, shape (J, I)
        Where padding goes.
    parameters : dict
        What was drawn.
    """

    seed: int
    amplitude: NDArray[np.float32]
    streak_share: NDArray[np.float32]
    gain: NDArray[np.float32]
    streak_gain: NDArray[np.float32]
    offset: NDArray[np.float32]
    drift_hu_per_s: float
    padding: float
    outside: NDArray[np.bool_]
    parameters: dict[str, Any]

    def degrade(self, image: NDArray[np.float32], frame: int, time_s: float) -> NDArray[np.float32]:
        """Return a frame as delivered.

        Parameters
        ----------
        image : ndarray, shape (K, J, I), HU
            Exact averages over voxels.
        frame : int
            Number of the frame: its own random stream.
        time_s : float, s
            Its time.

        Returns
        -------
        ndarray, shape (K, J, I), HU
            Whole numbers; exact ones when there is no noise.
        """
        dirty = image + self.offset + np.float32(self.drift_hu_per_s * time_s)
        if self.amplitude.any():  # rounding without noise would be an error that no scan has
            dirty = np.rint(dirty + self.noise(frame))
        delivered: NDArray[np.float32] = np.clip(dirty, -1024.0, 3071.0).astype(np.float32)
        delivered[:, self.outside] = self.padding
        return delivered

    def noise(self, frame: int) -> NDArray[np.float32]:
        """Return the noise of a frame, HU, shape (K, J, I)."""
        rng = stream(self.seed, "noise", frame)
        fine = self._filtered(rng, self.gain)
        streaks = self._filtered(rng, self.streak_gain)
        mixed: NDArray[np.float32] = self.amplitude * (
            np.sqrt(1.0 - self.streak_share) * fine + np.sqrt(self.streak_share) * streaks
        )
        return mixed

    def _filtered(self, rng: np.random.Generator, gain: NDArray[np.float32]) -> NDArray[np.float32]:
        white = rng.standard_normal(self.amplitude.shape, dtype=np.float32)
        shaped: NDArray[np.float32] = fft.irfft2(fft.rfft2(white, workers=2) * gain, s=white.shape[1:], workers=2)
        return shaped


def noise_gain(shape: tuple[int, int], spacing_mm: tuple[float, float], cutoff_per_mm: float) -> NDArray[np.float32]:
    """Return the amplitude spectrum of filtered back-projection: a ramp rolled off by the kernel.

    Parameters
    ----------
    shape : tuple of int
        (J, I).
    spacing_mm : tuple of float, mm
        Of J and I.
    cutoff_per_mm : float, 1/mm
        Where the kernel rolls off.

    Returns
    -------
    ndarray, shape (J, I // 2 + 1)
        Mean square 1 over all frequencies, so that noise keeps its standard deviation.
    """
    f = np.hypot(np.fft.fftfreq(shape[0], spacing_mm[0])[:, None], np.fft.rfftfreq(shape[1], spacing_mm[1])[None])
    power = (f + 0.04 * cutoff_per_mm) * np.exp(-((f / cutoff_per_mm) ** 2))
    return _normalized(power, shape)


def streak_gain(shape: tuple[int, int], spacing_mm: tuple[float, float]) -> NDArray[np.float32]:
    """Return the amplitude spectrum of streaks that run from side to side, through the petrous bones."""
    fj, fi = np.fft.fftfreq(shape[0], spacing_mm[0])[:, None], np.fft.rfftfreq(shape[1], spacing_mm[1])[None]
    power = np.abs(fj) * np.exp(-((fj / 0.25) ** 2)) * np.exp(-((fi / 0.012) ** 2)) + 1e-12
    return _normalized(power, shape)


def _normalized(power: FloatArray, shape: tuple[int, int]) -> NDArray[np.float32]:
    twice = np.full(power.shape[1], 2.0)
    twice[0] = 1.0
    if shape[1] % 2 == 0:
        twice[-1] = 1.0
    gain: NDArray[np.float32] = np.sqrt(power / ((power * twice).sum() / (shape[0] * shape[1]))).astype(np.float32)
    return gain


def draw_degrader(
    seed: int, recipe: str, noise_hu: float | None, protocol: Protocol, brain: NDArray[np.float32], bone: NDArray[np.float32]
) -> Degrader:
    """Draw the imperfections of a scan.

    Parameters
    ----------
    seed : int
        The patient.
    recipe : {"clean", "typical", "hard"}
        Difficulty.
    noise_hu : float or None, HU
        Root-mean-square noise of brain voxels; None takes the recipe's.
    protocol : Protocol
        Grid.
    brain, bone : ndarray, shape (K, J, I)
        Volume fractions.

    Returns
    -------
    Degrader
        The scanner.
    """
    rng = stream(seed, "scanner", 1)
    level = ("clean", "typical", "hard").index(recipe)
    drawn: dict[str, Any] = {
        "cutoff_per_mm": rng.uniform(0.22, 0.38), "cupping_hu": rng.uniform((0, 0.5, 1.5)[level], (0, 2.5, 4.0)[level]),
        "slice_bias_hu": rng.uniform(0.0, (0.0, 0.6, 1.2)[level]), "drift_hu_per_min": rng.normal(0.0, (0.0, 0.0, 0.5)[level]),
        "streaks": rng.uniform((0.0, 0.3, 0.6)[level], (0.1, 0.8, 1.2)[level]),
        "dark_band_hu": rng.uniform((0, 1, 3)[level], (0, 4, 9)[level]),
        "padding": float((-1024.0, -1024.0, -2048.0, -3024.0)[int(rng.integers(0, 4))]) if level else -1024.0,
    }  # fmt: skip
    hard_noise = rng.uniform(5.0, 8.0)
    drawn["noise_hu"] = (hard_noise if recipe == "hard" else NOISE_HU[recipe]) if noise_hu is None else float(noise_hu)
    dense = _bone_shadow(bone, protocol)
    radius = _radius(protocol)
    variance = 0.65 + 0.5 * np.exp(-((radius / 60.0) ** 2)) + 1.6 * dense
    inside = brain > 0.5
    rms = float(np.sqrt(variance[inside].mean())) if inside.any() else 1.0
    share = np.clip(drawn["streaks"] * dense / (0.6 + dense), 0.0, 0.85)
    biases = ndimage.gaussian_filter1d(rng.standard_normal(400), 1.0)[: protocol.shape[2]] if protocol.shape[2] <= 400 else 0.0
    offset = -drawn["cupping_hu"] * np.exp(-((radius / 55.0) ** 2)) - drawn["dark_band_hu"] * np.clip(dense, 0, 1.5) * inside
    offset = offset + drawn["slice_bias_hu"] * np.broadcast_to(np.asarray(biases), (protocol.shape[2],))[:, None, None]
    plane = (protocol.shape[1], protocol.shape[0])
    spacing = (protocol.spacing_mm[1], protocol.spacing_mm[0])
    return Degrader(
        seed,
        (drawn["noise_hu"] * np.sqrt(variance) / rms).astype(np.float32),
        share.astype(np.float32),
        noise_gain(plane, spacing, drawn["cutoff_per_mm"]),
        streak_gain(plane, spacing),
        offset.astype(np.float32),
        drawn["drift_hu_per_min"] / 60.0,
        drawn["padding"],
        radius[0] > 0.5 * min(plane[0] * spacing[0], plane[1] * spacing[1]) if level else np.zeros(plane, bool),
        drawn,
    )


def _radius(protocol: Protocol) -> FloatArray:
    """Return the distance from the axis of rotation in mm, shape (1, J, I)."""
    i = (np.arange(protocol.shape[0]) - (protocol.shape[0] - 1) / 2.0) * protocol.spacing_mm[0]
    j = (np.arange(protocol.shape[1]) - (protocol.shape[1] - 1) / 2.0) * protocol.spacing_mm[1]
    radius: FloatArray = np.hypot(j[:, None], i[None])[None]
    return radius


def _bone_shadow(bone: NDArray[np.float32], protocol: Protocol) -> NDArray[np.float32]:
    """Return how much dense bone beyond the vault lies to the left and right of each voxel, about 0 to 1."""
    sigma = (0.0, 7.0 / protocol.spacing_mm[1], 32.0 / protocol.spacing_mm[0])
    shadow = ndimage.gaussian_filter(bone, sigma, mode="constant")
    vault = np.quantile(shadow.reshape(shadow.shape[0], -1).max(axis=1), 0.1) if shadow.size else 0.0
    dense: NDArray[np.float32] = np.clip((shadow - 0.75 * vault) / 0.3, 0.0, 1.5).astype(np.float32)
    return dense
