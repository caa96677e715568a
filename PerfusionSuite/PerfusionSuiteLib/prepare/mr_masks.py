# SPDX-License-Identifier: Apache-2.0
"""Brain, cerebrospinal fluid and large vessels in a DSC-MRI scan: what has signal, and what loses it as the bolus passes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.series import PerfusionSeries
from ..core.values import TissueMasks
from .dsc_frames import bright_head, frames_before_bolus, quick_change
from .in_plane import grow, largest_component, shrink, smooth_in_plane
from .skull import brain_findings, drop_partial_ends
from .slices import cut_off_finding

PASS_S = 20.0
LOST_SIGNAL_SHARE = 0.15
LEAST_DROP_SHARE, LEAST_DROP_OVER_NOISE = 0.2, 3.0
OPENING_MM, CLOSING_MM = 3.0, 6.0
RIM_MM = 1.5
LEAST_HEAD_SHARE = 0.4
EMPTY_AREA_SHARE, NO_AREA_SHARE = 0.2, 0.12
EMPTY_BRIGHTNESS, EMPTY_PERCENTILE, LEAST_EMPTY = 0.6, 70.0, 10
TISSUE_AREA_SHARES = 0.5, 1.6
LEAST_FLUID, LEAST_SHARE, LEAST_CONTRAST = 0.5, 0.3, 2.0
"""Where brightness says that half or more of a voxel is fluid it must hold as much less contrast than tissue, and none were it
less than 0.3: that may be wet tissue. Brightness says nothing where fluid is not brighter than tissue by twice what tissue itself
varies (short echo and repetition times)."""

SHADING_MM = 25.0
VESSEL_AREA_RATIO, VESSEL_PEAK_RATIO, VESSEL_NOISE_RATIO = 2.0, 2.4, 4.0
"""Lower than for CT: per amount of contrast, large vessels change R2* less than capillaries do."""

THICKEST_VESSEL_MM = 12.0
LATE_S, LATE_PEAK_RATIO = 2.5, 1.6
"""Tissue behind a blocked artery is late and holds little contrast at once; what is late and tall is a vein."""

RIM_AREA_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class _Passage:
    """Summaries of the bolus in every voxel, after slight smoothing in plane.

    Parameters
    ----------
    baseline : ndarray, shape (I, J, K)
        Mean signal before contrast.
    drop : ndarray, shape (I, J, K)
        Relative loss of signal, averaged over the passage.
    area, peak : ndarray, shape (I, J, K)
        Mean over all frames and largest 3-frame mean of ``-ln(S / S_BL)``.
    ttp : ndarray, shape (I, J, K), s
        Time of the largest 3-frame mean.
    noise : float
        Standard deviation of ``-ln(S / S_BL)`` of a frame.
    """

    baseline: NDArray[np.float32]
    drop: NDArray[np.float32]
    area: NDArray[np.float32]
    peak: NDArray[np.float32]
    ttp: NDArray[np.float32]
    noise: float


def mr_tissue_masks(
    series: PerfusionSeries, *, brain: BoolArray | None = None, second_echo: PerfusionSeries | None = None
) -> TissueMasks:
    """Find brain, cerebrospinal fluid and large vessels in a DSC scan.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI in its steady state, motion-corrected.
    brain : ndarray of bool, shape (I, J, K), optional
        A user's brain mask; it is used as it is.
    second_echo : PerfusionSeries, optional
        The same frames at a later echo, which tells fluid better: it is brighter there, and contrast takes more signal away.

    Returns
    -------
    TissueMasks
        ``bone`` is empty: MR shows none. Where air takes the signal away is not brain.

    Raises
    ------
    InvalidInputError
        If no brain is found.
    GridMismatchError
        If the user's mask has another shape.
    """
    spacing = voxel_sizes(series.affine)
    head = bright_head(series)
    if not head.any():
        msg = "The series has no bright part that could be a head. Choose a DSC-MRI series."
        raise InvalidInputError(msg)
    curve = quick_change(series, head)
    frames = frames_before_bolus(curve, series.times_s)
    passage = _summarise(series, head, frames, curve, spacing)
    findings: tuple[QualityFinding, ...] = ()
    if brain is None:
        mask, left_out = drop_partial_ends(_find_brain(passage, head, spacing))
        findings = (
            *brain_findings(mask, left_out, spacing), *_fragment_finding(mask, head), *cut_off_finding(mask, series.affine),
        )  # fmt: skip
    else:
        mask = np.asarray(brain) > 0
        if mask.shape != series.shape:
            msg = f"The brain mask has {mask.shape} voxels but the scan has {series.shape}. Resample it to the scan's grid."
            raise GridMismatchError(msg)
    if not mask.any():
        msg = "No brain was found: nothing with signal loses it as the bolus passes. Give a brain mask or check the series."
        raise InvalidInputError(msg)
    vessel = _find_vessels(passage, mask, spacing)
    later = passage if second_echo is None else _summarise(second_echo, head, frames, curve, spacing)
    csf = _find_csf(later, mask, spacing) & ~vessel
    return TissueMasks(mask, csf, vessel, np.zeros_like(mask), findings)


def _fragment_finding(brain: BoolArray, head: BoolArray) -> tuple[QualityFinding, ...]:
    """Warn when little of the head was taken for brain, as when a moving head was read as the bolus."""
    share = float(brain.sum() / head.sum())
    if share >= LEAST_HEAD_SHARE:
        return ()
    text = f"Only {100 * share:.0f} % of the bright head loses signal as brain does; more than half is usual."
    advice = "Look at the brain mask; correct motion, or give a brain mask."
    return (QualityFinding("mask_fragments", "warning", text, advice),)


def _summarise(series: PerfusionSeries, head: BoolArray, frames: int, curve: FloatArray, spacing: FloatArray) -> _Passage:
    """Average over baseline, passage and all frames, slice by slice."""
    start = float(series.times_s[frames])
    passing = (series.times_s >= start) & (
        series.times_s <= max(start + PASS_S, float(series.times_s[int(curve.argmax())]) + 8.0)
    )
    shape = series.shape
    baseline, drop = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    area, peak, ttp = (np.zeros(shape, np.float32) for _ in range(3))
    sigma = (1.0 / spacing[0], 1.0 / spacing[1], 0.0)
    differences: list[NDArray[np.float32]] = []
    for k in range(shape[2]):
        signal = ndimage.gaussian_filter(np.nan_to_num(series.data[:, :, k]), sigma, truncate=3.0)
        level = signal[..., :frames].mean(axis=-1)
        baseline[:, :, k] = level
        safe = np.maximum(level, 1e-6)
        drop[:, :, k] = 1.0 - signal[..., passing].mean(axis=-1) / safe
        inside = head[:, :, k]
        change = -np.log(np.maximum(signal[inside], 0.01 * safe[inside][:, None]) / safe[inside][:, None])
        area[:, :, k][inside] = change.mean(axis=-1)
        running = (change[:, :-2] + change[:, 1:-1] + change[:, 2:]) / 3.0
        peak[:, :, k][inside] = running.max(axis=-1)
        ttp[:, :, k][inside] = series.times_s[running.argmax(axis=-1) + 1]
        differences.append(np.diff(change[:, : max(frames, 4)], 2, axis=1).ravel()[::3])
    spread = np.concatenate(differences)
    noise = 1.4826 * float(np.median(np.abs(spread - np.median(spread)))) / float(np.sqrt(6.0))
    drop[~head] = 0.0
    return _Passage(baseline, drop, area, peak, ttp, noise)


def _find_brain(passage: _Passage, head: BoolArray, spacing: FloatArray) -> BoolArray:
    """Grow what loses signal into a filled brain, without scalp, eyes and places without signal."""
    smooth = smooth_in_plane(passage.drop, 2.0, spacing)
    sure = head & (smooth > 0)
    typical = float(np.median(smooth[sure])) if sure.any() else 0.0
    typical = float(np.median(smooth[smooth > 0.5 * typical])) if typical > 0 else 0.0
    perfused = head & (smooth > max(LEAST_DROP_SHARE * typical, LEAST_DROP_OVER_NOISE * passage.noise / 6.0))
    core = largest_component(shrink(perfused, OPENING_MM, spacing))
    seed = grow(core, OPENING_MM, spacing) & perfused
    level = float(np.median(passage.baseline[seed])) if seed.any() else 0.0
    signal = passage.baseline > LOST_SIGNAL_SHARE * level
    closed = shrink(grow(seed, CLOSING_MM, spacing), CLOSING_MM, spacing)
    filled = np.stack([ndimage.binary_fill_holes(closed[:, :, k]) for k in range(closed.shape[2])], axis=2)
    inside = filled & signal
    parts = largest_component(shrink(inside, RIM_MM, spacing))
    brain: BoolArray = grow(parts, RIM_MM, spacing) & inside
    return brain


def _find_vessels(passage: _Passage, brain: BoolArray, spacing: FloatArray) -> BoolArray:
    """Voxels with far more contrast than tissue can have; single ones are noise."""
    area, peak = float(np.median(passage.area[brain])), float(np.median(passage.peak[brain]))
    large = passage.area > VESSEL_AREA_RATIO * max(area, 0.0)
    tall = passage.peak > VESSEL_PEAK_RATIO * max(peak, 0.0)
    significant = passage.peak > max(2.0 * peak, VESSEL_NOISE_RATIO * passage.noise)
    usual = float(np.median(passage.ttp[brain & (passage.peak > peak)]))
    late = (passage.ttp > usual + LATE_S) & (passage.peak > LATE_PEAK_RATIO * peak)
    significant |= late & (passage.peak > VESSEL_NOISE_RATIO * passage.noise)
    vessel = brain & (large | tall | late) & significant
    half = 0.5 * THICKEST_VESSEL_MM
    vessel &= ~grow(
        shrink(vessel, half, spacing), half + 3.0, spacing
    )  # a tumor may hold as much blood, but no vessel is as thick
    labels, _ = ndimage.label(vessel, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: BoolArray = sizes[labels] >= 2
    return kept


def _find_csf(passage: _Passage, brain: BoolArray, spacing: FloatArray) -> BoolArray:
    """Fluid: as bright as what holds no contrast (the coil's shading divided out), and with as little contrast as that leaves.

    How bright fluid is depends on field, echo and repetition time, so that the scan itself tells it. Tissue that died is no
    brighter than before, and holds some contrast until the scan ends.
    """
    typical = max(float(np.median(passage.area[brain])), 1e-6)
    area = smooth_in_plane(np.where(brain, passage.area, 0.0).astype(np.float32), 1.0, spacing) / typical
    tissue = brain & (area > TISSUE_AREA_SHARES[0]) & (area < TISSUE_AREA_SHARES[1])
    shading = np.maximum(_local_mean(passage.baseline, tissue, spacing), np.float32(1e-6))
    bright = (passage.baseline / shading).astype(np.float32)
    none = area < NO_AREA_SHARE
    share = _fluid_share(bright, tissue, shrink(brain, 2.0 * float(spacing[:2].min()), spacing) & (area < EMPTY_AREA_SHARE))
    if share is None:
        fluid = none & (bright > EMPTY_BRIGHTNESS)
    else:
        left = (np.minimum(share, 1.0) - LEAST_SHARE) / (1.0 - LEAST_SHARE)
        fluid = ((share > LEAST_FLUID) & (area < left)) | (none & (share > 0))
    rim = brain & ~shrink(brain, float(spacing[:2].min()), spacing)
    thin = rim & (area < RIM_AREA_SHARE)  # brain shares these voxels with the fluid and the bone around it
    found: BoolArray = brain & (fluid | thin)
    return found


def _fluid_share(bright: NDArray[np.float32], tissue: BoolArray, empty: BoolArray) -> NDArray[np.float32] | None:
    """Return how much of each voxel is fluid by its brightness; None where brightness does not tell fluid from tissue."""
    pure = bright[empty & (bright > EMPTY_BRIGHTNESS)]
    if pure.size < LEAST_EMPTY or not tissue.any():
        return None
    middle = float(np.median(bright[tissue]))
    contrast = float(np.percentile(pure, EMPTY_PERCENTILE)) - middle
    if contrast < LEAST_CONTRAST * 1.4826 * float(np.median(np.abs(bright[tissue] - middle))):
        return None
    share: NDArray[np.float32] = ((bright - middle) / contrast).astype(np.float32)
    return share


def _local_mean(image: NDArray[np.float32], mask: BoolArray, spacing: FloatArray) -> NDArray[np.float32]:
    """Mean of an image over the mask within some centimeters."""
    sigma = SHADING_MM / spacing
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma, truncate=2.0)
    total = ndimage.gaussian_filter(np.where(mask, image, 0.0).astype(np.float32), sigma, truncate=2.0)
    middle = float(np.median(image[mask])) if mask.any() else 0.0
    mean: NDArray[np.float32] = np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), middle).astype(np.float32)
    return mean
