# SPDX-License-Identifier: Apache-2.0
"""A made-up head: five arteries with partial volume, veins, a stroke territory, flicker and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHAPE = (64, 72, 6)
AFFINE = np.array([[-2.8, 0, 0, 89.0], [0, -2.8, 0, 100.0], [0, 0, 6.0, -15.0], [0, 0, 0, 1]])
ARTERIES = ((20, 26, 1.0), (44, 27, 0.7), (32, 16, 0.5), (14, 34, 0.35), (50, 40, 0.25))
SINUS = (32, 65)
OTHER_VEIN = (12, 50)
BLOOD_PEAK = 300.0


def bolus(times: np.ndarray, start: float, height: float, beta: float = 1.6, alpha: float = 3.0) -> np.ndarray:
    x = np.maximum(times - start, 0.0) / (alpha * beta)
    return height * x**alpha * np.exp(alpha * (1.0 - x))


@dataclass(frozen=True)
class Scene:
    concentration: np.ndarray
    times: np.ndarray
    mask: np.ndarray
    baseline: np.ndarray
    artery: np.ndarray
    vein: np.ndarray
    aif: np.ndarray
    vof: np.ndarray


def make(cnr: float = 40.0, seed: int = 0, duration: float = 60.0, blood_peak: float = BLOOD_PEAK) -> Scene:
    """CNR is the peak of pure arterial blood over the noise of one voxel and frame."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, duration, int(duration / 1.5) + 1)
    i, j, _ = np.indices(SHAPE)
    r = np.hypot((i - 31.5) / 26.0, (j - 35.5) / 32.0)
    mask = r < 1.0
    fine = np.linspace(0.0, duration + 40.0, int((duration + 40.0) / 0.1) + 1)

    def recirculating(start: float) -> np.ndarray:
        first = bolus(fine, start, 1.0)
        return first + 0.2 * np.interp(fine - 16.0, fine, bolus(fine, start, 1.0, beta=3.5), left=0.0)

    def tissue(start: float, mtt: float) -> np.ndarray:
        box = np.exp(-fine / mtt) / mtt * 0.1
        return np.interp(times, fine, np.convolve(recirculating(start), box)[: fine.size])

    arterial = recirculating(8.0)
    vein_fine = np.convolve(np.interp(fine - 2.5, fine, arterial, left=0.0), np.exp(-fine / 3.5) / 3.5 * 0.1)[: fine.size]
    aif, vof = blood_peak * np.interp(times, fine, arterial), blood_peak * np.interp(times, fine, vein_fine)
    stroke = mask & (np.hypot(i - 46, j - 40) < 13)
    volume = np.where(rng.random(SHAPE) < 0.5, 0.045, 0.025)
    data = np.zeros((*SHAPE, times.size))
    data[mask] = volume[mask, None] * blood_peak * tissue(9.0, 4.0)
    data[stroke] = 0.8 * volume[stroke, None] * blood_peak * tissue(13.0, 9.0)
    artery, vein = np.zeros(SHAPE), np.zeros(SHAPE)
    for x, y, part in ARTERIES:
        delay = 5.0 if stroke[x, y, 0] else 0.0
        curve = blood_peak * np.interp(times - delay, fine, arterial, left=0.0)
        for dx, dy, share in ((0, 0, 1.0), (1, 0, 0.8), (0, 1, 0.8), (1, 1, 0.6)):
            for z in range(1, 5):
                f = part * share
                data[x + dx, y + dy, z] = f * curve + (1 - f) * data[x + dx, y + dy, z]
                artery[x + dx, y + dy, z] = f
    for (x, y), radius in ((SINUS, 2.0), (OTHER_VEIN, 1.2)):
        for a, b in np.argwhere(np.hypot(i[..., 0] - x, j[..., 0] - y) <= radius):
            data[a, b], vein[a, b] = vof, 1.0
    data += rng.normal(0.0, blood_peak / cnr, data.shape)
    flicker = rng.random(data.shape) < 2e-4
    data[flicker] += 0.8 * blood_peak
    data[~mask] = 0.0
    baseline = np.where(mask, 35.0, -1000.0) + np.where((r >= 1.15) & (r < 1.3), 1900.0, 0.0)
    return Scene(data.astype(np.float32), times, mask, baseline, artery, vein, aif, vof)
