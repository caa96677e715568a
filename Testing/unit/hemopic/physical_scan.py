# SPDX-License-Identifier: Apache-2.0
"""A small scan with known flow, volume, transit time and delay, whose curves share no code with the fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from PerfusionSuiteLib.core.constants import flow_factor

AFFINE = np.diag([3.0, 3.0, 5.0, 1.0])
STEP_S = 0.02


def artery(times_s: Any) -> NDArray[np.float64]:
    """Gamma variate from 12 s on, peak 500 at 16 s, with a weak second pass."""
    t = np.maximum(np.asarray(times_s, float) - 12.0, 0.0) / 4.0
    again = np.maximum(np.asarray(times_s, float) - 24.0, 0.0) / 8.0
    return 500.0 * (t**3 * np.exp(3.0 * (1.0 - t)) + 0.2 * again**2 * np.exp(2.0 * (1.0 - again)))


def tissue(
    times_s: Any, cbv: float, mtt_s: float, delay_s: float, *, box: bool = False, spread_s: float = 0.0
) -> NDArray[np.float64]:
    """Tissue with an exponential or box residue behind vessels that spread the bolus, by sums over a fine axis."""
    fine = np.arange(0.0, np.max(times_s) + 2.0, STEP_S)
    middle = fine + 0.5 * STEP_S
    rho = (middle < mtt_s) * 1.0 if box else np.exp(-middle / mtt_s)
    source = artery(fine)
    if spread_s > 0.0:
        kernel = middle * np.exp(-2.0 * middle / spread_s)
        source = np.convolve(source, kernel / kernel.sum())[: fine.size]
    curve = np.convolve(source, rho)[: fine.size] * STEP_S * 60.0 * cbv / mtt_s / flow_factor()
    return np.interp(np.asarray(times_s) - delay_s, middle, curve, left=0.0)


@dataclass(frozen=True)
class Scan:
    """Curves, times and truth; healthy tissue with a late, slow quarter."""

    data: NDArray[np.float64]
    times_s: NDArray[np.float64]
    truth: dict[str, NDArray[np.float64]]
    labels: NDArray[np.uint8]

    @property
    def late(self) -> NDArray[np.bool_]:
        """The late quarter."""
        return self.truth["delay"] > 2.5


def scan(times_s: Any, *, noise: float = 0.0, seed: int = 0, size: int = 24) -> Scan:
    """Make a scan of `size` x `size` x 2 voxels."""
    rng = np.random.default_rng(seed)
    times = np.asarray(times_s, float)
    shape = (size, size, 2)
    grey = (np.arange(size) // 3 % 2 == 0)[:, None, None] & np.ones(shape, bool)
    late = np.zeros(shape, bool)
    late[: size // 2, : size // 2] = True
    truth = {
        "cbv": np.where(grey, 4.0, 2.5), "mtt": np.where(late, 10.0, np.where(grey, 4.0, 5.0)), "delay": np.where(late, 4.0, 1.0)
    }  # fmt: skip
    truth["cbf"] = 60.0 * truth["cbv"] / truth["mtt"]
    data = np.empty((*shape, times.size))
    kinds = np.stack([truth[key].ravel() for key in ("cbv", "mtt", "delay")], axis=1)
    for kind in np.unique(kinds, axis=0):
        here = (kinds == kind).all(axis=1).reshape(shape)
        data[here] = tissue(times, *kind)
    data += noise * rng.normal(size=data.shape)
    return Scan(data, times, truth, np.where(grey, 1, 2).astype(np.uint8))
