# SPDX-License-Identifier: Apache-2.0
"""Fields whose values are known everywhere."""

from __future__ import annotations

import numpy as np

from PerfusionSuiteLib.core import FittedField

TIMES = np.linspace(0.0, 60.0, 121)
FACTOR = 6000.0 * 0.55 / 0.75 / 1.05
AFFINE = np.array([[-2.0, 0.1, 0.0, 30.0], [0.1, 2.0, 0.0, -25.0], [0.0, 0.0, 4.0, 10.0], [0.0, 0.0, 0.0, 1.0]])
SHAPE = (17, 15, 6)


def arterial(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 8.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def smooth_parameters(points_mm: np.ndarray) -> np.ndarray:
    """ln volume, center and ln MTT, each linear in RAS mm."""
    x, y, z = points_mm[..., 0], points_mm[..., 1], points_mm[..., 2]
    return np.stack([-3.3 + 0.004 * x - 0.002 * z, 5.0 + 0.02 * y + 0.01 * z, 1.6 + 0.003 * x + 0.004 * y], axis=-1)


def ball() -> np.ndarray:
    index = np.indices(SHAPE).reshape(3, -1).T - (np.array(SHAPE) - 1) / 2
    return (((index / [8.0, 7.0, 4.0]) ** 2).sum(axis=1) <= 1.0).reshape(SHAPE)


def raster(family: str = "box", dispersion: float = 0.0) -> FittedField:
    points = np.indices(SHAPE).reshape(3, -1).T @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    values = smooth_parameters(points).reshape(*SHAPE, 3).astype(np.float32)
    mask = ball()
    values[~mask] = np.nan
    weights = {name: values[..., at] for at, name in enumerate(("log_volume", "center_s", "log_mtt"))}
    history = {"step": np.linspace(1, 5, 5), "seconds": np.linspace(0.1, 0.5, 5), "loss": np.array([5.0, 4.0, 3.0, 2.5, 2.4])}
    settings = {"factor": FACTOR, "family": family, "dispersion": dispersion}
    return FittedField("spatial", "raster", weights, SHAPE, AFFINE, mask, TIMES, arterial(TIMES), settings, history)
