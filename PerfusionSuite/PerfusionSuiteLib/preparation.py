# SPDX-License-Identifier: Apache-2.0
"""From a series of any modality to what the later steps need: one function per modality, one result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import fitting, prepare, regional
from .core import (
    Concentration,
    InputFunction,
    InvalidInputError,
    MotionReport,
    PerfusionSeries,
    ProgressCallback,
    QualityFinding,
    TissueMasks,
    part_of,
)
from .core.geometry import BoolArray, FloatArray, check_same_grid
from .core.memory import give_back_freed, release_zeros
from .core.series import check_enough_times
from .lesion.core_network import check_modality
from .settings import Settings, UserInputs

VESSEL_SHARE = 0.2
"""A curve that reaches this share of the arterial peak is blood rather than tissue."""

LOOK_AT_BORDERS = "Look at the maps along borders of brain, fluid and bone, where traces can remain."


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a modality's preparation hands on: the later steps are the same for all.

    `avoid` are voxels that no artery may be taken from; `density_image` shows bone and calcification (CT only); `courses` (T, n)
    are the courses of motion that correction left, at the times of the concentration.
    """

    series: PerfusionSeries
    motion: MotionReport | None
    masks: TissueMasks
    concentration: Concentration
    avoid: BoolArray
    density_image: NDArray[np.float32] | None
    k2: NDArray[np.float32] | None = None
    courses: FloatArray | None = None


class Clock:
    """Collects how long each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        give_back_freed()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)


def check_inputs(series: PerfusionSeries, settings: Settings, inputs: UserInputs) -> None:
    """Refuse what cannot work before any work is done."""
    if series.modality not in ("ctp", "dsc"):
        msg = f"This chain analyses CT perfusion and DSC-MRI, but the series is of modality '{series.modality}'. Choose another."
        raise InvalidInputError(msg)
    regional.check_regional(series.modality, settings, inputs)
    check_enough_times(series.times_s)
    if series.modality == "ctp" and (inputs.second_echo is not None or settings.leakage_correction in prepare.LEAKAGE[1:]):
        msg = "A second echo and the correction of leakage belong to DSC-MRI, but the series is CT. Leave them out."
        raise InvalidInputError(msg)
    if settings.preset_used.core_rule == "adc" and inputs.adc is None:
        msg = f"The preset '{settings.preset}' needs a map of apparent diffusion (ADC). Give one, or choose another preset."
        raise InvalidInputError(msg)
    if settings.preset_used.core_rule == "network":
        check_modality(settings.preset_used.core_network, series.modality)
    for name in ("brain_mask", "roi_mask", "contra_mask", "sss", "torcula", "adc", "tissue_labels"):
        volume = getattr(inputs, name)
        if volume is not None:
            check_same_grid(f"The {name.replace('_', ' ')}", volume.shape, series.affine, series.shape, series.affine)


def prepare_ctp(
    series: PerfusionSeries,
    settings: Settings,
    inputs: UserInputs,
    memory: tuple[bool, bool],
    clock: Clock,
    progress: ProgressCallback,
) -> Prepared:
    """CT: common times, motion, masks, enhancement; `memory` says whether to overwrite and whether to keep the series."""
    overwrite, keep = memory
    given = series.data
    series, motion = _still_series(series, settings, overwrite, clock, part_of(progress, 0.0, 0.76))
    free = not keep and (overwrite or series.data is not given)
    del given
    masks, concentration, courses = _concentration(series, settings, inputs, free, clock, part_of(progress, 0.76, 1.0))
    return Prepared(series, motion, masks, concentration, masks.bone, concentration.baseline, courses=courses)


def without_remaining_motion(prepared: Prepared, aif: InputFunction, clock: Clock, progress: ProgressCallback) -> Prepared:
    """Take what motion correction left out of the curves, given an arterial curve that tells what enhancement looks like."""
    courses, concentration, motion = prepared.courses, prepared.concentration, prepared.motion
    if courses is None or motion is None or not (motion.applied or courses.shape[1]):
        return prepared
    noise_sd = prepare.noise_sd(concentration.data[concentration.mask], concentration.baseline_frames)
    findings = []
    with clock.step("remaining_motion"):
        if courses.shape[1]:
            tallest = VESSEL_SHARE * float(aif.values.max())
            expected = fitting.expected_moments(concentration.times_s, aif.values)
            concentration = prepare.without_courses(
                concentration, courses, tallest, expected, noise_sd, overwrite=True, progress=part_of(progress, 0.0, 0.5)
            )
            text = "The skull still moves after motion correction; the courses of that motion were taken out of the curves."
            findings.append(QualityFinding("remaining_motion", "info", text, LOOK_AT_BORDERS))
        other = ~prepared.masks.tissue
        concentration, count = prepare.without_leaks(
            concentration, motion, prepared.series.times_s, other, noise_sd, overwrite=True, progress=part_of(progress, 0.5, 1.0)
        )
    if count:
        text = f"In {count} voxels beside steep edges, above all bone, what the moved head left was estimated and taken out."
        findings.append(QualityFinding("motion_leaks", "info", text, LOOK_AT_BORDERS))
    return replace(prepared, concentration=replace(concentration, findings=(*concentration.findings, *findings)))


def prepare_dsc(
    series: PerfusionSeries, settings: Settings, inputs: UserInputs, clock: Clock, progress: ProgressCallback
) -> Prepared:
    """MR: steady state, motion, masks, change of relaxation, leakage."""
    leakage = settings.leakage_correction
    if leakage == "auto":
        leakage = "bsw" if settings.preset == "tumor" else "none"
    with clock.step("preparation"):
        found = prepare.prepare_dsc(
            series,
            second_echo=inputs.second_echo,
            brain=inputs.brain_mask,
            motion_correction=settings.motion_correction,
            leakage=leakage,
            progress=progress,
        )
    _check_regions(inputs, found.masks)
    return Prepared(found.series, found.motion, found.masks, found.concentration, found.saturated, None, found.k2)


def _check_regions(inputs: UserInputs, masks: TissueMasks) -> None:
    """Refuse regions that hold no tissue."""
    for name, words in (("roi_mask", "region"), ("contra_mask", "contralateral")):
        mask = getattr(inputs, name)
        if mask is not None and not (mask & masks.tissue).any():
            msg = f"The {words} mask ({int(mask.sum())} voxels) contains no brain tissue. Draw it on tissue."
            raise InvalidInputError(msg)


def _still_series(
    series: PerfusionSeries, settings: Settings, overwrite: bool, clock: Clock, progress: ProgressCallback
) -> tuple[PerfusionSeries, MotionReport | None]:
    """Bring all slices to common times and the head to one place."""
    with clock.step("timing"):
        progress(0.0, "Frame times")
        common = prepare.common_times(series)
        if overwrite and common is not series:
            series.data.fill(0.0)
            release_zeros(series.data)
        overwrite, series = overwrite or common is not series, common
    if not settings.motion_correction:
        return series, None
    with clock.step("motion"):
        return prepare.correct_motion(series, overwrite=overwrite, progress=progress)


def _concentration(
    series: PerfusionSeries, settings: Settings, inputs: UserInputs, overwrite: bool, clock: Clock, progress: ProgressCallback
) -> tuple[TissueMasks, Concentration, FloatArray | None]:
    """Find the brain and turn HU into enhancement on a uniform time grid; also courses of motion that are left."""
    with clock.step("masks"):
        progress(0.0, "Brain mask")
        masks = prepare.tissue_masks(series, brain=inputs.brain_mask)
    _check_regions(inputs, masks)
    with clock.step("concentration"):
        progress(0.5, "Enhancement")
        courses = prepare.motion_courses(series, masks) if settings.motion_correction else None
        concentration = prepare.regular_times(prepare.ct_concentration(series, masks, overwrite=overwrite))
    if courses is not None:
        at = concentration.times_s
        courses = np.stack([np.interp(at, series.times_s, course) for course in courses.T], axis=1) if courses.size else courses
    return masks, concentration, courses
