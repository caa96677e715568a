# SPDX-License-Identifier: Apache-2.0
"""From a series of any modality to what the later steps need: one function per modality, one result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import prepare
from .core import (
    Concentration,
    InvalidInputError,
    MotionReport,
    PerfusionSeries,
    ProgressCallback,
    TissueMasks,
    part_of,
)
from .core.geometry import BoolArray, check_same_grid
from .core.series import check_enough_times
from .settings import Settings, UserInputs


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a modality's preparation hands on: the later steps are the same for all.

    `avoid` are voxels that no artery may be taken from; `density_image` shows bone and calcification (CT only).
    """

    series: PerfusionSeries
    motion: MotionReport | None
    masks: TissueMasks
    concentration: Concentration
    avoid: BoolArray
    density_image: NDArray[np.float32] | None
    k2: NDArray[np.float32] | None = None


class Clock:
    """Collects how long each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def check_inputs(series: PerfusionSeries, settings: Settings, inputs: UserInputs) -> None:
    """Refuse what cannot work before any work is done."""
    if series.modality not in ("ctp", "dsc"):
        msg = f"This chain analyses CT perfusion and DSC-MRI, but the series is of modality '{series.modality}'. Choose another."
        raise InvalidInputError(msg)
    check_enough_times(series.times_s)
    if series.modality == "ctp" and (inputs.second_echo is not None or settings.leakage_correction in prepare.LEAKAGE[1:]):
        msg = "A second echo and the correction of leakage belong to DSC-MRI, but the series is CT. Leave them out."
        raise InvalidInputError(msg)
    if settings.preset_used.core_rule == "adc" and inputs.adc is None:
        msg = f"The preset '{settings.preset}' needs a map of apparent diffusion (ADC). Give one, or choose another preset."
        raise InvalidInputError(msg)
    for name in ("brain_mask", "roi_mask", "contra_mask", "sss", "torcula", "adc"):
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
    masks, concentration = _concentration(series, inputs, free, clock, part_of(progress, 0.76, 1.0))
    return Prepared(series, motion, masks, concentration, masks.bone, concentration.baseline)


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
        overwrite, series = overwrite or common is not series, common
    if not settings.motion_correction:
        return series, None
    with clock.step("motion"):
        return prepare.correct_motion(series, overwrite=overwrite, progress=progress)


def _concentration(
    series: PerfusionSeries, inputs: UserInputs, overwrite: bool, clock: Clock, progress: ProgressCallback
) -> tuple[TissueMasks, Concentration]:
    """Find the brain and turn HU into enhancement on a uniform time grid."""
    with clock.step("masks"):
        progress(0.0, "Brain mask")
        masks = prepare.tissue_masks(series, brain=inputs.brain_mask)
    _check_regions(inputs, masks)
    with clock.step("concentration"):
        progress(0.5, "Enhancement")
        concentration = prepare.regular_times(prepare.ct_concentration(series, masks, overwrite=overwrite))
    return masks, concentration
