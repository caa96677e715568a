# SPDX-License-Identifier: Apache-2.0
"""All of the preparation of a DSC-MRI scan: steady state, motion, masks, change of relaxation, leakage."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, voxel_sizes
from ..core.progress import ProgressCallback, part_of
from ..core.series import PerfusionSeries
from ..core.values import Concentration, MotionReport, TissueMasks
from .dsc import check_dsc, dsc_concentration
from .dsc_frames import drop_dummies
from .dsc_motion import correct_dsc_motion
from .dsc_signal import echo_time
from .in_plane import smooth_in_plane
from .leakage import correct_leakage
from .motion_leaks import without_leaks
from .mr_masks import LOST_SIGNAL_SHARE, mr_tissue_masks
from .timing import common_times, regular_times

FIRST_FRAMES = 5
NOISE_MM, NOISE_RATIO, NOISE_OVER_PEAK = 3.0, 2.5, 0.5
"""Voxels whose noise, averaged over some millimeters, is 2.5 times that of the brain and half of what tissue reaches at its peak
tell nothing: their Tmax is a lottery."""

TOLD_ML = 1.0
LEAK_NOISE = 4.0
"""Noise for which `without_leaks` was made, to which curves are scaled for it."""


LEAKAGE = ("none", "bsw", "bidirectional")
"""Choices for the correction of leakage."""


@dataclass(frozen=True, slots=True)
class PreparedDsc:
    """A DSC scan that is ready for its input function.

    Parameters
    ----------
    series : PerfusionSeries
        Steady frames at one head position.
    motion : MotionReport or None
        Head motion; None when it was not estimated.
    masks : TissueMasks
        Brain, fluid, vessels.
    concentration : Concentration
        Delta R2*, corrected for leakage when that was asked for; with all findings of this room.
    saturated : ndarray of bool, shape (I, J, K)
        Voxels that no curve may be taken from.
    k2 : ndarray, shape (I, J, K), 1/s, or None
        Leakage, when it was corrected.
    """

    series: PerfusionSeries
    motion: MotionReport | None
    masks: TissueMasks
    concentration: Concentration
    saturated: BoolArray
    k2: NDArray[np.float32] | None = None


def prepare_dsc(
    series: PerfusionSeries,
    *,
    second_echo: PerfusionSeries | None = None,
    brain: BoolArray | None = None,
    motion_correction: bool = True,
    leakage: str = "none",
    progress: ProgressCallback | None = None,
) -> PreparedDsc:
    """Prepare a DSC-MRI scan.

    Parameters
    ----------
    series : PerfusionSeries
        As read.
    second_echo : PerfusionSeries, optional
        The same scan at a later echo.
    brain : ndarray of bool, shape (I, J, K), optional
        A user's brain mask.
    motion_correction : bool
        Estimate head motion and correct it when there is any.
    leakage : {"none", "bsw", "bidirectional"}
        How curves are corrected for contrast that leaves the vessels. It takes late tissue for leaky one, so leave it out for
        stroke.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    PreparedDsc
        Everything that later steps need.

    Raises
    ------
    InvalidInputError
        If the echo time is missing, values are no MR magnitudes, there is no baseline, or no brain is found.
    """
    report = part_of(progress, 0.0, 1.0)
    check_dsc(series)
    report(0.0, "Frame times")
    series = drop_dummies(common_times(series))
    second = None if second_echo is None else _same_frames(common_times(second_echo), series)
    motion = None
    if motion_correction:
        series, second, motion = correct_dsc_motion(series, second_echo=second, progress=part_of(progress, 0.0, 0.7))
    report(0.7, "Brain mask")
    masks = mr_tissue_masks(series, brain=brain, second_echo=second)
    if second is not None and brain is None:
        masks = _with_both_echoes(masks, second)
    found = dsc_concentration(series, masks, second_echo=second, progress=part_of(progress, 0.75, 0.85))
    concentration, k2 = found.concentration, None
    if second is None and motion is not None and motion.applied:
        # Of two echoes the ratio is taken, in which both lose alike beside edges.
        concentration = _without_remaining_motion(concentration, series, motion, masks)
    if brain is None:
        masks, left_out = _without_noise(masks, concentration)
        concentration = replace(concentration, findings=(*concentration.findings, *left_out))
    if leakage != "none":
        result = correct_leakage(
            concentration, masks, model=leakage, saturated=found.saturated, progress=part_of(progress, 0.85, 1.0)
        )
        concentration, k2 = result.concentration, result.k2
        concentration = replace(concentration, findings=(*concentration.findings, *result.findings))
    concentration = replace(concentration, findings=(*concentration.findings, *_dual(second)))
    return PreparedDsc(series, motion, masks, regular_times(concentration), found.saturated, k2)


def _with_both_echoes(masks: TissueMasks, second: PerfusionSeries) -> TissueMasks:
    """Leave out where air takes the signal of the second echo away, as masks of the first leave out where it takes that."""
    level = np.median(second.data[..., :FIRST_FRAMES], axis=-1)
    lit = level > LOST_SIGNAL_SHARE * float(np.median(level[masks.brain]))
    return replace(masks, brain=masks.brain & lit, csf=masks.csf & lit, vessel=masks.vessel & lit)


def _without_remaining_motion(
    concentration: Concentration, series: PerfusionSeries, motion: MotionReport, masks: TissueMasks
) -> Concentration:
    """Take out what moving thick slices back left beside edges: its course is that of the pose, but looks like a late bolus."""
    scale = LEAK_NOISE / max(concentration.noise_sd, 1e-6)
    level = np.maximum(concentration.baseline, LOST_SIGNAL_SHARE * float(np.median(concentration.baseline[masks.brain])))
    gain = (scale / echo_time(series) / level).astype(np.float32)
    scaled = replace(concentration, data=concentration.data * np.float32(scale))
    cleaned, count = without_leaks(scaled, motion, series.times_s, ~masks.tissue, LEAK_NOISE, gain=gain, overwrite=True)
    if not count:
        return concentration
    cleaned.data[...] /= np.float32(scale)
    text = f"In {count} voxels beside steep edges what the moved head left was estimated and taken out."
    advice = "Look twice at lesions along the edge of the brain, above all in the highest and lowest slices."
    return replace(cleaned, findings=(*concentration.findings, QualityFinding("motion_leaks", "info", text, advice)))


def _without_noise(masks: TissueMasks, concentration: Concentration) -> tuple[TissueMasks, tuple[QualityFinding, ...]]:
    """Leave out of the brain where little signal, above all over air, makes curves of noise."""
    spacing = voxel_sizes(concentration.affine)
    inside = masks.brain & concentration.mask
    known = inside & ~masks.vessel
    variance = concentration.data[..., : concentration.baseline_frames].var(axis=-1)
    total = smooth_in_plane(np.where(known, variance, 0.0).astype(np.float32), NOISE_MM, spacing)
    weight = smooth_in_plane(known.astype(np.float32), NOISE_MM, spacing)
    noise = np.sqrt(total / np.maximum(weight, 1e-3))
    tissue = masks.tissue & concentration.mask
    peak = np.median(_tallest(concentration.data[tissue])) if tissue.any() else np.inf
    lost = known & (noise > max(NOISE_RATIO * float(np.median(noise[inside])), NOISE_OVER_PEAK * float(peak)))
    kept = replace(masks, brain=masks.brain & ~lost, csf=masks.csf & ~lost)
    if (volume_ml := float(lost.sum() * np.prod(spacing)) / 1e3) < TOLD_ML:
        return kept, ()
    text = f"{volume_ml:.0f} mL of brain were left out: little signal is left there, as near air, and its curves are noise."
    advice = "A lesion there cannot be seen; a shorter echo time shows more of it."
    return kept, (QualityFinding("signal_lost", "info", text, advice),)


def _tallest(curves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest mean of three frames of each curve."""
    tallest: NDArray[np.float32] = ((curves[:, :-2] + curves[:, 1:-1] + curves[:, 2:]) / np.float32(3.0)).max(axis=1)
    return tallest


def _same_frames(second: PerfusionSeries, series: PerfusionSeries) -> PerfusionSeries:
    """Leave out of the second echo what was left out of the first."""
    extra = second.times_s.size - series.times_s.size
    if extra < 0 or not np.allclose(second.times_s[extra:], series.times_s, atol=0.5 * series.interval_s):
        msg = f"The second echo has {second.times_s.size} frames at other times than the first. Give both echoes of one scan."
        raise GridMismatchError(msg)
    return replace(second, data=second.data[..., extra:], times_s=series.times_s)


def _dual(second: PerfusionSeries | None) -> tuple[QualityFinding, ...]:
    if second is None:
        return ()
    text = "Two echoes were combined, so that changes of T1 (leaked contrast) do not enter the curves."
    return (QualityFinding("dual_echo", "info", text),)
