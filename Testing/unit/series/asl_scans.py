# SPDX-License-Identifier: Apache-2.0
"""Small ASL scans for round trips: numbers that tell voxels and volumes apart, not a model of a head."""

from __future__ import annotations

import numpy as np

from PerfusionSuiteLib.core import Acquisition, AslSeries, Source

SHAPE = (12, 10, 4)
AFFINE = np.array([[-4.0, 0, 0, 22.0], [0, -4.0, 0, 18.0], [0, 0, 6.0, -9.0], [0, 0, 0, 1]])


def asl_scan(
    *,
    labeling: str = "pcasl",
    delays: tuple[float, ...] = (1.0, 1.8),
    duration: float = 1.5,
    m0: str = "separate",
    content: str = "pairs",
    pulses: int = 2,
    slices_s: float = 0.0,
    pairs: int = 2,
) -> AslSeries:
    """Return a scan whose every voxel differs from the others."""
    kinds: list[str] = ["m0scan"] if m0 == "included" else []
    times: list[float] = [float("nan")] if m0 == "included" else []
    if content == "deltam":
        kinds, times = [*kinds, *["deltam"] * len(delays)], [*times, *delays]
    else:
        for _ in range(pairs):
            for delay in delays:
                kinds, times = [*kinds, "control", "label"], [*times, delay, delay]
    rng = np.random.default_rng(3)
    level = np.array([{"control": 200.0, "label": 196.0, "deltam": 6.0, "m0scan": 1000.0}[kind] for kind in kinds])
    data = np.rint((level + rng.uniform(0.0, 0.5, (*SHAPE, len(kinds))) * level) * 4.0).astype(np.float32) / 4.0
    image = np.rint(rng.uniform(800.0, 1200.0, SHAPE)).astype(np.float32)
    labeled = np.isfinite(times)
    return AslSeries(
        data, AFFINE, tuple(kinds), np.array(times), np.where(labeled, duration, np.nan), labeling,
        m0=image if m0 == "separate" else None,
        m0_value=1000.0 if m0 == "estimate" else None,
        m0_repetition_s=6.0 if m0 in {"separate", "included"} else None,
        background_suppression_pulses=pulses,
        field_strength_t=3.0,
        slice_delays_s=slices_s * np.arange(SHAPE[2]) if slices_s else None,
        acquisition=Acquisition("made up", None, False, "", (0.014,), 4.5),
        source=Source("phantom", "case-01"),
    )  # fmt: skip
