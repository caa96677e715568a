# SPDX-License-Identifier: Apache-2.0
"""A small made-up head with skull, ventricles, vessels and a bolus, at any pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core import PerfusionSeries


@dataclass(frozen=True)
class Head:
    """A series with its truth."""

    series: PerfusionSeries
    brain: np.ndarray
    ventricles: np.ndarray
    sinus: np.ndarray


def gamma_bolus(times_s: np.ndarray, start_s: float, height: float, width_s: float) -> np.ndarray:
    x = np.maximum(times_s - start_s, 0.0) / (3.0 * width_s)
    return height * x**3 * np.exp(3.0 * (1.0 - x))


def rigid(rotation_deg: Sequence[float], shift_mm: Sequence[float]) -> np.ndarray:
    """Matrix of a rotation about the origin followed by a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(rotation_deg)).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def _lumpy_radius(x: np.ndarray) -> np.ndarray:
    """Normalised radius of a head that is no ellipsoid, so that each rotation can be seen."""
    azimuth = np.arctan2(x[:, 1], x[:, 0])
    height = np.arctan2(x[:, 2] - 20, np.hypot(x[:, 0], x[:, 1]))
    lumps = 0.03 * np.cos(height) * np.sin(3 * azimuth + 0.4) + 0.025 * np.sin(4 * height) * np.cos(height) * np.sin(azimuth)
    lumps += 0.02 * np.sin(3 * height + 0.3) * np.cos(2 * azimuth) * np.cos(height)
    return np.sqrt((x[:, 0] / 66) ** 2 + (x[:, 1] / 83) ** 2 + ((x[:, 2] - 20) / 80) ** 2) * (1 + lumps)


def make_head(
    shape: tuple[int, int, int] = (72, 72, 6),
    mm: tuple[float, float, float] = (3.0, 3.0, 6.0),
    frames: int = 30,
    interval_s: float = 1.5,
    noise_hu: float = 3.0,
    poses: Sequence[np.ndarray | None] | None = None,
    bolus_s: float = 10.0,
    skull_gap: bool = False,
) -> Head:
    """Make a head; `poses[t]` moves it in RAS mm in frame t."""
    affine = np.diag([-mm[0], -mm[1], mm[2], 1.0])
    affine[:3, 3] = [mm[0] * (shape[0] - 1) / 2, mm[1] * (shape[1] - 1) / 2, -10.0]
    times = interval_s * np.linspace(0, frames - 1, frames)
    voxels = np.indices(shape).reshape(3, -1).T.astype(float)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    grey, white = gamma_bolus(times, bolus_s, 10.0, 2.4), gamma_bolus(times, bolus_s + 0.5, 5.0, 2.6)
    artery, vein = gamma_bolus(times, bolus_s - 2, 160.0, 1.9), gamma_bolus(times, bolus_s + 4, 220.0, 2.4)
    data = np.empty((*shape, frames), np.float32)
    truth: dict[str, np.ndarray] = {}
    for t in range(frames):
        x = world
        if poses is not None and poses[t] is not None:
            back = np.linalg.inv(poses[t])
            x = world @ back[:3, :3].T + back[:3, 3]
        r = _lumpy_radius(x)
        edge = [1.0 / (1.0 + np.exp(np.clip((r - limit) / 0.012, -50, 50))) for limit in (1.15, 1.09, 1.0)]
        bone = edge[1] - edge[2]
        if skull_gap:
            bone = np.where((x[:, 1] > 60) & (np.abs(x[:, 0]) < 12), 0.0, bone)
        hu = -1000 + 1040 * edge[0] + 1000 * bone - 8 * (r < 0.86)
        ventricle = ((np.abs(x[:, 0]) - 12) / 8) ** 2 + (x[:, 1] / 25) ** 2 + ((x[:, 2] - 10) / 30) ** 2 < 1
        sinus = (np.hypot(x[:, 0] / 6, (x[:, 1] + 70) / 7) < 1) & (r < 0.99)
        middle = (np.hypot((x[:, 1] - 10) / 4, (x[:, 2] - 8) / 5) < 1) & (np.abs(x[:, 0]) < 45)
        hu += np.where(r > 0.86, grey[t], white[t]) * (r < 0.97)
        hu[ventricle], hu[middle], hu[sinus] = 5.0, 42 + artery[t], 42 + vein[t]
        petrous = (np.hypot(x[:, 1] + 15 - 0.4 * np.abs(x[:, 0]), x[:, 2] + 2) < 7) & (np.abs(x[:, 0]) > 20) & (r < 1.05)
        hu[petrous] = 900.0
        data[..., t] = hu.reshape(shape)
        if t == 0:
            truth = {
                "brain": ((r < 1.0) & ~petrous).reshape(shape),
                "ventricles": (ventricle & (r < 1) & ~middle).reshape(shape),
                "sinus": sinus.reshape(shape),
            }
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, data.shape).astype(np.float32), (0.6, 0.6, 0, 0))
    data += np.float32(noise_hu) * noise / noise.std()
    return Head(PerfusionSeries(data, affine, times), **truth)


@pytest.fixture(scope="session")
def a_head() -> Head:
    """A still head of 72 x 72 x 6 voxels with 3 HU of noise."""
    return make_head()


@pytest.fixture(scope="session")
def head_maker() -> Callable[..., Head]:
    """The factory itself."""
    return make_head
