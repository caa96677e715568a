# SPDX-License-Identifier: Apache-2.0
"""What a user of the compatibility mode should know about a result; the published program says none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..core.findings import QualityFinding
from ..core.geometry import FloatArray
from .compat_fit import FittedRegion
from .compat_model import EPSILON
from .compat_regions import RegionData

POOR_LOSS = 0.5
WEAK_PEAK = 0.02
SHORT_SERIES = 10


def findings_of(
    data: Sequence[RegionData],
    fits: Sequence[FittedRegion],
    given: Mapping[str, FloatArray],
    *,
    filled: int,
    voxels: int,
    frames: int,
) -> tuple[QualityFinding, ...]:
    """Collect what is odd about the regions, the given maps and the painted ones.

    Parameters
    ----------
    data : sequence of RegionData
        Regions.
    fits : sequence of FittedRegion
        What was found for each.
    given : mapping of ndarray, shape (N,)
        The supplied maps in the brain.
    filled : int
        Voxels that took a neighbor's value.
    voxels : int
        Voxels of the brain.
    frames : int
        Number of frames.

    Returns
    -------
    tuple of QualityFinding
        In the order of importance.
    """
    found = [*_about_maps(given, voxels), *_about_regions(data, fits)]
    if filled:
        message = f"{filled} of {voxels} voxels belong to no fitted region and took the nearest voxel's values."
        found.append(QualityFinding("compat_filled", "warning", message, "Do not read values there."))
    if frames < SHORT_SERIES:
        message = f"The series has only {frames} frames; the published settings expect 40 to 80."
        found.append(QualityFinding("compat_short_series", "warning", message, "Use the whole series."))
    return tuple(found)


def _about_maps(given: Mapping[str, FloatArray], voxels: int) -> list[QualityFinding]:
    found = []
    for name, values in given.items():
        usable = int(np.count_nonzero(np.isfinite(values) & (values > 0)))
        if usable < voxels // 2:
            message = (
                f"The supplied {name.upper()} map has a positive value in only {usable} of {voxels} voxels, "
                "and this mode rests on the supplied maps."
            )
            found.append(QualityFinding("compat_prior_missing", "error" if not usable else "warning", message, "Supply a map."))
    return found


def _about_regions(data: Sequence[RegionData], fits: Sequence[FittedRegion]) -> list[QualityFinding]:
    found = []
    failed = [region.number for region, fit in zip(data, fits, strict=True) if not fit.success]
    highest = max(float(region.observed.max()) for region in data)
    poor = [
        region.number
        for region, fit in zip(data, fits, strict=True)
        if fit.success and (fit.loss > POOR_LOSS or region.observed.max() < WEAK_PEAK * highest)
    ]
    empty = [region.number for region in data if region.priors.flow <= EPSILON or region.priors.volume <= EPSILON]
    edges = [region.number for region, fit in zip(data, fits, strict=True) if fit.success and "tau" in fit.at_bound]
    for numbers, code, words, advice in (
        (failed, "compat_fallback", "could not be fitted and show the supplied maps' medians", "Do not read their values."),
        (
            poor,
            "compat_no_tracer",
            "hold hardly any tracer (misfit above 0.5, or a peak below 2 % of the highest)",
            "Do not read their values.",
        ),
        (empty, "compat_no_prior", "have fewer than 20 positive values in a supplied map", "Check the supplied maps."),
        (edges, "compat_tau_at_bound", "ended with the time constant at its bound", "Their curves are not explained."),
    ):
        if numbers:
            message = f"{len(numbers)} of {len(data)} regions {words}: {', '.join(map(str, numbers))}."
            found.append(QualityFinding(code, "warning", message, advice))
    return found
