# SPDX-License-Identifier: Apache-2.0
"""One scan kept as several series: phases that follow each other, and slabs of a moving table that take turns."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from ..core.geometry import FloatArray
from .dicom_clock import unwrap_midnight
from .dicom_headers import orientation_of
from .dicom_stack import Stack, stack_of

_LONGEST_PAUSE_S = 60.0
_CLOCKS = ("frame_acquisition_datetime", "acquisition_datetime", "acquisition_time", "content_time")
_RELATIVE = ("midscan", "dynamic_begin", "trigger_time")
_SAME_PLACE_MM = 0.1
_IN_LINE_MM = 0.5
_MIN_OVERLAP = 0.8
_MIN_SLAB_FRAMES = 3


def joined_phases(stacks: list[Stack]) -> list[Stack]:
    """Join stacks on the same slices whose times follow each other without a long pause.

    Parameters
    ----------
    stacks : list of Stack
        On one grid, each from one series.

    Returns
    -------
    list of Stack
        Fewer or the same.
    """
    rest, result = list(stacks), []
    while rest:
        first = rest.pop(0)
        same = [other for other in rest if _same_slices(first, other)]
        members = _consecutive([first, *same]) if same else []
        if len(members) > 1:
            rest = [other for other in rest if all(other is not member for member in members)]
            rest += [first] if all(first is not member for member in members) else []
            result.append(merged(members, "phases"))
        else:
            result.append(first)
    return result


def joined_slabs(stacks: list[Stack]) -> list[Stack]:
    """Join stacks whose slices continue each other and whose times take turns, as a table that goes back and forth leaves them.

    Parameters
    ----------
    stacks : list of Stack
        On one grid.

    Returns
    -------
    list of Stack
        Fewer or the same.
    """
    rest = sorted(stacks, key=lambda stack: float(stack.positions_mm[0]))
    result: list[Stack] = []
    while rest:
        current = rest.pop(0)
        while (partner := next((other for other in rest if _take_turns(current, other)), None)) is not None:
            rest = [other for other in rest if other is not partner]
            current = merged([current, partner], "slabs")
        result.append(current)
    return result


def merged(members: list[Stack], how: str) -> Stack:
    """Make one stack of several.

    Parameters
    ----------
    members : list of Stack
        On one grid.
    how : {"phases", "slabs"}
        Why they belong together.

    Returns
    -------
    Stack
        All their images.
    """
    images = [image for member in members for image in member.images]
    ways = tuple(dict.fromkeys([*(way for member in members for way in member.joined), how]))
    return stack_of(images, sum(member.series for member in members), ways)


def _same_slices(a: Stack, b: Stack) -> bool:
    same = a.positions_mm.shape == b.positions_mm.shape
    return same and bool(np.allclose(a.positions_mm, b.positions_mm, atol=_SAME_PLACE_MM))


def _clock_times(stacks: list[Stack]) -> list[list[FloatArray]]:
    """Times of each stack by every clock that all of its images have."""
    found = []
    for clock in _CLOCKS:
        if any(clock not in image.clocks for stack in stacks for image in stack.images):
            continue
        flat = unwrap_midnight(np.array([image.clocks[clock] for stack in stacks for image in stack.images]))
        parts = np.split(flat, np.cumsum([len(stack.images) for stack in stacks])[:-1])
        found.append([_finer(stack, part) for stack, part in zip(stacks, parts, strict=True)])
    return found


def _finer(stack: Stack, clock: FloatArray) -> FloatArray:
    """Add times within the acquisition to a clock that only says when the acquisition began."""
    if float(np.ptp(clock)) > 0.0:
        return clock
    for name in _RELATIVE:
        if all(name in image.clocks for image in stack.images):
            within: FloatArray = np.array([image.clocks[name] for image in stack.images])
            return np.asarray(clock + within)
    return clock


def _consecutive(stacks: list[Stack]) -> list[Stack]:
    """Return the stacks when one clock shows that they follow each other, else nothing."""
    if stacks[0].derived:
        return []  # several maps of one scan share a grid too
    for parts in _clock_times(stacks):
        order = sorted(range(len(stacks)), key=lambda n: float(parts[n].min()))
        pauses = [float(parts[b].min() - parts[a].max()) for a, b in pairwise(order)]
        if all(0.0 < pause <= _LONGEST_PAUSE_S for pause in pauses):
            return [stacks[n] for n in order]
    return []


def _take_turns(lower: Stack, upper: Stack) -> bool:
    if lower.derived or min(lower.frames, upper.frames) < _MIN_SLAB_FRAMES or abs(lower.frames - upper.frames) > 1:
        return False
    if not _continues(lower, upper):
        return False
    for parts in _clock_times([lower, upper]):
        shortest = min(float(np.ptp(part)) for part in parts)
        if shortest > 0.0:
            shared = min(float(part.max()) for part in parts) - max(float(part.min()) for part in parts)
            return shared >= _MIN_OVERLAP * shortest
    return False


def _continues(lower: Stack, upper: Stack) -> bool:
    """Whether the upper slab begins one slice above the end of the lower one, in line with it."""
    directions = orientation_of(lower.images[0])
    if directions is None or any(image.position is None for stack in (lower, upper) for image in stack.images):
        return False
    ends = [_corner(lower, 0), _corner(lower, -1), _corner(upper, 0)]
    gap = float(upper.positions_mm[0] - lower.positions_mm[-1])
    steps = [float(np.median(np.diff(stack.positions_mm))) for stack in (lower, upper) if stack.positions_mm.size > 1]
    step = steps[0] if steps else lower.images[0].thickness
    if not (math.isfinite(step) and 0.5 * step <= gap <= 1.5 * step):
        return False
    expected = ends[2]
    if lower.positions_mm.size > 1:  # slices of a tilted gantry slide sideways
        slope = (ends[1] - ends[0]) / (lower.positions_mm[-1] - lower.positions_mm[0])
        expected = ends[1] + gap * slope
    apart = expected - ends[2]
    return float(np.linalg.norm(apart - (apart @ directions[2]) * directions[2])) <= _IN_LINE_MM


def _corner(stack: Stack, place: int) -> FloatArray:
    k = range(stack.positions_mm.size)[place]
    corner: FloatArray = np.array(stack.images[int(np.flatnonzero(stack.slice_of == k)[0])].position)
    return corner
