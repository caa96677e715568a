# SPDX-License-Identifier: Apache-2.0
"""Factors by which scanners multiply ASL images, and which must not enter perfusion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from .asl_fields import HOW_TO_GIVE
from .notes import Notes

GE_FACTOR = 32.0
"""General Electric sums its averages and multiplies the difference by this (3D FSE; qtmnet section 14)."""

OPTION = "DifferenceScaling"
"""Field of ours by which a user gives the factor."""

_LARGEST_SHARE = 0.04
"""Label cannot be more than this part of M0 in tissue (a mean over the bright part of the head)."""


def difference_scaling(
    fields: Mapping[str, Any], data: NDArray[np.float32], kinds: tuple[str, ...], m0: NDArray[np.float32] | None, notes: Notes
) -> float:
    """Return what the scanner multiplied difference images by.

    Parameters
    ----------
    fields : mapping
        BIDS fields; ``DifferenceScaling`` (ours) gives the factor.
    data : ndarray, shape (I, J, K, V)
        The scan.
    kinds : tuple of str
        What each volume is.
    m0 : ndarray, shape (I, J, K), optional
        M0 image.
    notes : Notes
        Gets the decision.

    Returns
    -------
    float
        1 when differences have the scale of M0.

    Raises
    ------
    InvalidInputError
        If the given factor is not positive.

    Notes
    -----
    GE's factor of 32 times the number of averages is taken only when it is seen: when differences are too large a part of M0 to
    be label, and plausible after division.
    """
    given = fields.get(OPTION)
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
            msg = f"{OPTION} is {given!r}, but it must be a number above 0."
            raise InvalidInputError(msg)
        notes.decide(f"Difference images were divided by {float(given):g} ({OPTION}).")
        return float(given)
    share = _share_of_m0(data, kinds, m0)
    if share is None or share <= _LARGEST_SHARE:
        return 1.0
    averages = _averages(fields)
    factor = GE_FACTOR * (averages or 0.0)
    maker = str(fields.get("Manufacturer", "")).upper()
    if maker.startswith("GE") and averages is not None and 2e-4 < share / factor <= _LARGEST_SHARE:
        message = (
            f"Difference images are {share:.0%} of M0; they were divided by {factor:g}: 32 times {averages:g} averages (GE)."
        )
        notes.decide(message)
        notes.find("difference_scaling", "info", message, f"Give {OPTION} when the factor is another one.")
        return factor
    message = f"Difference images are {share:.0%} of M0, far more than label can be; a factor of the scanner is not known."
    notes.find("difference_scale_unknown", "error", message, f"Give {OPTION} {HOW_TO_GIVE}.")
    return 1.0


def _share_of_m0(data: NDArray[np.float32], kinds: tuple[str, ...], m0: NDArray[np.float32] | None) -> float | None:
    """Mean difference over M0 where M0 is bright; None when the scan has no difference images or no M0."""
    names = np.array(kinds)
    difference = np.flatnonzero(names == "deltam")
    included = np.flatnonzero(names == "m0scan")
    image = m0 if m0 is not None else data[..., included].mean(axis=-1) if included.size else None
    if image is None or not difference.size or not np.isfinite(image).all() or float(image.max()) <= 0:
        return None
    bright = image > 0.5 * float(np.percentile(image, 98))
    level = float(image[bright].mean())
    means = [abs(float(np.nanmean(data[..., n][bright]))) for n in difference]
    return max(means) / level if level > 0 else None


def _averages(fields: Mapping[str, Any]) -> float | None:
    for name in ("NumberOfExcitations", "NumberOfAverages", "TotalAcquiredPairs"):
        value = fields.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1:
            return float(value)
    return None


def philips_divisor(fields: Mapping[str, Any]) -> float:
    """Return what values of a converted Philips scan must be divided by to compare with another scan.

    Parameters
    ----------
    fields : mapping
        Sidecar as converters write it (``PhilipsRescaleSlope``, ``PhilipsScaleSlope``, ``UsePhilipsFloatNotDisplayScaling``).

    Returns
    -------
    float
        1 when values are already the scanner's own. Display values are rescale slope x scale slope times those.
    """
    if fields.get("UsePhilipsFloatNotDisplayScaling") not in (0, False):
        return 1.0
    slopes = [fields.get(name) for name in ("PhilipsRescaleSlope", "PhilipsScaleSlope")]
    if not all(isinstance(slope, int | float) and not isinstance(slope, bool) and slope > 0 for slope in slopes):
        return 1.0
    return float(np.prod([float(slope) for slope in slopes if slope is not None]))
