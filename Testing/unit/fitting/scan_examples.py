# SPDX-License-Identifier: Apache-2.0
"""Small scans of an ellipsoid whose perfusion is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from field_examples import FACTOR, arterial

from PerfusionSuiteLib.fitting.curve_model import CurveModel

TIMES = np.linspace(0.0, 58.5, 40)
SHAPE = (20, 24, 4)
AFFINE = np.array([[7.0, 0.0, 0.0, -66.0], [0.0, 7.0, 0.0, -80.0], [0.0, 0.0, 10.0, -15.0], [0.0, 0.0, 0.0, 1.0]])


def ellipsoid() -> np.ndarray:
    points = (np.indices(SHAPE).reshape(3, -1).T - (np.array(SHAPE) - 1) / 2) / [9.0, 11.0, 3.5]
    return ((points**2).sum(axis=1) <= 1.0).reshape(SHAPE)


def truth(seed: int = 0) -> dict[str, np.ndarray]:
    """Gray and white matter in rings, and a side that is late and poor; the seed varies the amounts."""
    draw = np.random.default_rng(seed)
    x, y, _ = (np.indices(SHAPE) - ((np.array(SHAPE) - 1) / 2)[:, None, None, None]) / np.array([9, 11, 3.5])[:, None, None, None]
    ring = 0.5 + 0.5 * np.tanh(8 * (np.hypot(x, y) - 0.62))
    ill = 0.5 + 0.5 * np.tanh(6 * (x - 0.25 - 0.2 * draw.random()))
    cbv = (2.0 + 2.0 * ring) * (1 + 0.1 * draw.standard_normal())
    mtt = (4.0 + 1.0 * draw.random()) * (1 + 0.9 * ill)
    delay = 0.5 + 0.5 * draw.random() + 2.5 * ill
    return {"cbv": cbv, "mtt": mtt, "delay": delay, "cbf": 60 * cbv / mtt, "tmax": delay + mtt / 2}


def scan(seed: int = 0, noise: float = 1.0) -> dict[str, Any]:
    """Return arguments of `fitting.fit`, box residue."""
    maps, mask = truth(seed), ellipsoid()
    curves = np.zeros((*SHAPE, TIMES.size), np.float32)
    model = CurveModel(TIMES, arterial(TIMES))
    curves[mask] = model.curves(maps["cbf"][mask] / FACTOR, maps["mtt"][mask], maps["delay"][mask], TIMES)
    curves += noise * np.random.default_rng(seed + 99).standard_normal(curves.shape).astype(np.float32)
    return {"concentration": curves, "aif": arterial(TIMES), "times_s": TIMES, "affine": AFFINE, "mask": mask}
