# SPDX-License-Identifier: Apache-2.0
"""Group DICOM images into stacks: same series, grid, kernel, echo; phases kept as several series are joined."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from ..core.series import MIN_FRAMES
from .candidates import SeriesCandidate
from .dicom_clock import unwrap_midnight
from .dicom_headers import ImageHeader, orientation_of

_LONGEST_PAUSE_S = 60.0
_CLOCKS = ("frame_acquisition_datetime", "acquisition_datetime", "acquisition_time", "content_time")


@dataclass(slots=True)
class Stack:
    """Images on one grid, at any number of times.

    Parameters
    ----------
    images : list of ImageHeader
        In no particular order.
    positions_mm : ndarray, shape (K,), mm
        Slice positions along the normal, increasing.
    slice_of : ndarray of int, shape (len(images),)
        Slice of each image.
    series : int
        Number of DICOM series that were joined.
    """

    images: list[ImageHeader]
    positions_mm: FloatArray
    slice_of: NDArray[np.int64]
    series: int = 1

    @property
    def uids(self) -> tuple[str, ...]:
        """SeriesInstanceUIDs."""
        return tuple(dict.fromkeys(image.series_uid for image in self.images))

    @property
    def frames(self) -> int:
        """Images at a typical position."""
        return int(np.median(np.bincount(self.slice_of))) if self.images else 0


def _rounded(values: tuple[float, ...] | None, digits: int) -> tuple[float, ...] | None:
    return None if values is None else tuple(round(value, digits) + 0.0 for value in values)


def _finite(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def grid_key(image: ImageHeader) -> tuple[Any, ...]:
    """Return what images of one reconstruction have in common.

    Parameters
    ----------
    image : ImageHeader
        An image.

    Returns
    -------
    tuple
        Hashable; study, frame of reference, matrix, orientation, spacing, thickness, kernel, echo, image type.
    """
    layout = image.pixels
    return (
        image.study_uid,
        image.frame_of_reference_uid,
        image.modality,
        layout.columns,
        layout.rows,
        layout.samples,
        _rounded(image.orientation, 3),
        _rounded(image.spacing, 3),
        _finite(image.thickness, 2),
        image.kernel,
        _finite(image.echo_time_ms, 2),
        image.image_type,
    )


def stacks_of(images: list[ImageHeader]) -> list[Stack]:
    """Group images into stacks and join phases.

    Parameters
    ----------
    images : list of ImageHeader
        All images of a folder.

    Returns
    -------
    list of Stack
        One per series and reconstruction, phases joined, in the order of their series UIDs.
    """
    groups: dict[tuple[Any, ...], dict[str, list[ImageHeader]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        groups[grid_key(image)][image.series_uid].append(image)
    stacks: list[Stack] = []
    for by_series in groups.values():
        stacks += _joined([_stack(members) for members in by_series.values()])
    return sorted(stacks, key=lambda stack: stack.uids)


def _stack(images: list[ImageHeader], series: int = 1) -> Stack:
    directions = orientation_of(images[0])
    if directions is None or any(image.position is None for image in images):
        return Stack(images, np.zeros(1), np.zeros(len(images), np.int64), series)
    along = np.array([image.position for image in images]) @ directions[2]
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    real = steps[steps > 0.05]
    tolerance = max(0.05, 0.1 * float(np.median(real))) if real.size else 0.05
    slice_of = np.empty(len(images), np.int64)
    slice_of[order] = np.concatenate([[0], np.cumsum(steps > tolerance)])
    count = np.bincount(slice_of)
    return Stack(images, np.bincount(slice_of, along) / count, slice_of, series)


def _joined(stacks: list[Stack]) -> list[Stack]:
    """Join stacks on the same slices whose times follow each other without a long pause."""
    rest, result = list(stacks), []
    while rest:
        first = rest.pop(0)
        same = [other for other in rest if _same_slices(first, other)]
        members = _consecutive([first, *same]) if same else []
        if len(members) > 1:
            rest = [other for other in rest if all(other is not member for member in members)]
            rest += [first] if all(first is not member for member in members) else []
            result.append(_stack([image for member in members for image in member.images], len(members)))
        else:
            result.append(first)
    return result


def _same_slices(a: Stack, b: Stack) -> bool:
    return a.positions_mm.shape == b.positions_mm.shape and bool(np.allclose(a.positions_mm, b.positions_mm, atol=0.1))


def _consecutive(stacks: list[Stack]) -> list[Stack]:
    """Return the stacks when one clock shows that they follow each other, else nothing."""
    if "DERIVED" in stacks[0].images[0].image_type[:1]:
        return []  # several maps of one scan share a grid too
    for clock in _CLOCKS:
        if any(clock not in image.clocks for stack in stacks for image in stack.images):
            continue
        flat = unwrap_midnight(np.array([image.clocks[clock] for stack in stacks for image in stack.images]))
        parts = np.split(flat, np.cumsum([len(stack.images) for stack in stacks])[:-1])
        order = sorted(range(len(stacks)), key=lambda n: float(parts[n].min()))
        pauses = [float(parts[b].min() - parts[a].max()) for a, b in pairwise(order)]
        if all(0.0 < pause <= _LONGEST_PAUSE_S for pause in pauses):
            return [stacks[n] for n in order]
    return []


def candidate_of(stack: Stack, index: int) -> SeriesCandidate:
    """Describe a stack in technical words and say whether it can be used.

    Parameters
    ----------
    stack : Stack
        A group of images.
    index : int
        Its number.

    Returns
    -------
    SeriesCandidate
        With the stack as its content.
    """
    image = stack.images[0]
    words = [image.modality or "unknown modality"]
    if math.isfinite(image.thickness):
        words.append(f"{image.thickness:g} mm")
    if image.kernel:
        words.append(f"kernel {image.kernel}")
    if math.isfinite(image.echo_time_ms) and image.modality == "MR":
        words.append(f"TE {image.echo_time_ms:g} ms")
    if stack.series > 1:
        words.append(f"joined from {stack.series} series")
    reason = _why_not(stack)
    return SeriesCandidate(
        index,
        "dicom",
        " ".join(words),
        image.modality,
        stack.frames,
        stack.positions_mm.size,
        (image.pixels.columns, image.pixels.rows),
        not reason,
        reason,
        stack.uids,
        (),
        stack,
    )


def _why_not(stack: Stack) -> str:
    image = stack.images[0]
    kind = " ".join(image.image_type)
    checks = (
        (image.modality not in {"CT", "MR"}, f"modality {image.modality or 'unknown'} is neither CT nor MR"),
        (image.pixels.samples != 1 or not image.photometric.startswith("MONO"), "color pictures instead of measurements"),
        ("LOCALIZER" in kind, "a localizer"),
        ("MOSAIC" in kind, "slices of a volume lie in one mosaic picture; convert it to NIfTI"),
        ("ASL" in kind, "arterial spin labeling has no bolus"),
        (orientation_of(image) is None or image.spacing is None, "images without position, orientation or pixel spacing"),
        (any(item.position is None for item in stack.images), "images without a position"),
        (stack.frames < 2, "only one frame"),
        (stack.frames < MIN_FRAMES, f"only {stack.frames} frames, at least {MIN_FRAMES} are needed"),
    )
    return next((reason for failed, reason in checks if failed), "")
