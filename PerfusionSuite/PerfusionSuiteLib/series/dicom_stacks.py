# SPDX-License-Identifier: Apache-2.0
"""Group DICOM images into stacks: same study, grid, kernel, echo; say of each stack whether it can be used."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

from ..core.series import MIN_FRAMES
from .candidates import SeriesCandidate
from .dicom_headers import ImageHeader, orientation_of
from .dicom_joining import joined_phases, joined_slabs
from .dicom_stack import Stack, stack_of

_PROJECTION = re.compile(r"(^|[ _-])(T?MIP|MINIP|MAX_?IP|MIN_?IP|PROJECTION|PROJECTION IMAGE)($|[ _-])")
_PHASE = {"P", "PHASE", "PHASE MAP", "REAL", "IMAGINARY"}
_USUAL_ECHO_MS = 30.0
_SHARP_WORDS = ("BONE", "SHARP", "EDGE", "LUNG", "DETAIL", "ULTRA")
_SHARP_NUMBER = 45


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
        image.columns,
        image.rows,
        layout.samples,
        _rounded(image.orientation, 3),
        _rounded(image.spacing, 3),
        _finite(image.thickness, 2),
        image.kernel,
        _finite(image.echo_time_ms, 2) or image.echo,
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
        stacks += joined_slabs(joined_phases([stack_of(members) for members in by_series.values()]))
    return sorted(stacks, key=lambda stack: (stack.uids, stack.images[0].echo_time_ms, stack.images[0].echo))


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
    elif image.echo > 0 and image.modality == "MR":
        words.append(f"echo {image.echo}")
    if stack.derived:
        words.append("derived")
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
        (image.columns, image.rows),
        not reason,
        reason,
        stack.uids,
        (),
        stack,
        _preference(image),
        echo_s=image.echo_time_ms / 1000.0 if image.modality == "MR" else math.nan,
    )


def _preference(image: ImageHeader) -> tuple[float, str]:
    """How far an image is from what perfusion needs, and in which respect: computed, sharp, an unusual echo time."""
    if "DERIVED" in image.image_type[:1]:
        return 3.0, "is original rather than derived"
    if image.modality == "MR" and math.isfinite(image.echo_time_ms):
        return abs(image.echo_time_ms - _USUAL_ECHO_MS) / 1000.0, f"has the echo time closest to {_USUAL_ECHO_MS:g} ms"
    number = re.search(r"(\d+)", image.kernel)
    sharp = any(word in image.kernel.upper() for word in _SHARP_WORDS) or (number and int(number[1]) >= _SHARP_NUMBER)
    thin = -image.thickness / 1000.0 if math.isfinite(image.thickness) else 0.0
    return (2.0 if sharp else 1.0) + thin, "has the smoother kernel or the thicker slices"


def _undivided(image: ImageHeader) -> bool:
    return "MOSAIC" in image.image_type and image.tile is None


def _is_projection(image: ImageHeader) -> bool:
    return any(_PROJECTION.search(word) for word in image.image_type)


def _why_not(stack: Stack) -> str:
    image = stack.images[0]
    kind = " ".join(image.image_type)
    checks = (
        (image.modality not in {"CT", "MR"}, f"modality {image.modality or 'unknown'} is neither CT nor MR"),
        (image.pixels.samples != 1 or not image.photometric.startswith("MONO"), "color pictures instead of measurements"),
        ("LOCALIZER" in kind, "a localizer"),
        (_undivided(image), "a mosaic picture that does not say how many slices it holds; convert it to NIfTI"),
        (image.modality == "MR" and _PHASE.intersection(image.image_type), "phase or other parts instead of the magnitude"),
        (_is_projection(image), "projections (MIP) instead of slices"),
        ("ASL" in kind, "arterial spin labeling has no bolus"),
        (orientation_of(image) is None or image.spacing is None, "images without position, orientation or pixel spacing"),
        (any(item.position is None for item in stack.images), "images without a position"),
        (stack.frames < 2, "only one frame"),
        (stack.frames < MIN_FRAMES, f"only {stack.frames} frames, at least {MIN_FRAMES} are needed"),
    )
    return next((reason for failed, reason in checks if failed), "")
