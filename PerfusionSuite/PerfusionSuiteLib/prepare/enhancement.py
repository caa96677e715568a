# SPDX-License-Identifier: Apache-2.0
"""CT: from Hounsfield units to enhancement over the voxel's own unenhanced baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.memory import release_zeros, sparse_zeros
from ..core.progress import ProgressCallback, no_progress
from ..core.series import PerfusionSeries, check_enough_times
from ..core.values import Concentration, TissueMasks
from .arrival import arterial_curve, brightest_curve, frames_before_contrast, running_median
from .calm import calm_region
from .hounsfield import check_ct
from .in_plane import grow, shrink
from .noise import noise_sd
from .slices import without_unenhanced_slices
from .timing import SAMPLED_INTERVAL, gap_finding

EDGE_MM = 2.0
"""The concentration reaches this far beyond the brain mask, so that sinuses at its edge stay available for curves."""

SOFT_MAX_HU, BONE_MARGIN_MM = 90.0, 3.0

TRUNCATED_TAIL = 0.3
TRUNCATED_MARGIN_S = 8.0
VENOUS_DELAY_S = 2.0
FEWEST_CALM = 1000


def ct_concentration(
    series: PerfusionSeries, masks: TissueMasks, *, overwrite: bool = False, progress: ProgressCallback | None = None
) -> Concentration:
    """Turn Hounsfield units into enhancement.

    Parameters
    ----------
    series : PerfusionSeries
        CT perfusion in HU, motion-corrected, all slices on one time axis.
    masks : TissueMasks
        Brain, vessels and bone of this scan.
    overwrite : bool
        Write the enhancement into the memory of the given series, whose values are lost.
    progress : callable, optional
        Called after each slice; may raise `CancelledError`.

    Returns
    -------
    Concentration
        Enhancement in HU (iodine concentration up to a factor that cancels between tissue and artery), zero outside its mask. The
        mask is the brain with its large vessels and a 2 mm edge, without bone.

    Raises
    ------
    InvalidInputError
        If the series is not CT in HU, or no brain voxel has finite values.
    TimingError
        If there are fewer than 10 frames or they span less than 20 s.

    Notes
    -----
    The baseline is the mean of all frames up to one frame before contrast reaches the arteries, at most 10.
    With fewer than two such frames it is the smallest 3-frame running mean before the voxel's peak.
    """
    check_ct(series)
    check_enough_times(series.times_s)
    if masks.brain.shape != series.shape:
        msg = f"The brain mask has {masks.brain.shape} voxels but the scan has {series.shape}. Use masks of this scan."
        raise GridMismatchError(msg)
    report = progress or no_progress
    slices = range(series.shape[2])
    finite: BoolArray = np.stack([np.isfinite(series.data[:, :, k]).all(axis=2) for k in slices], axis=2)
    mask, missing = _usable(masks, finite, series)
    report(0.1, "Baseline")
    arterial = arterial_curve(series.data[_away_from_bone(series, masks, mask)], series.times_s)
    frames = frames_before_contrast(arterial, series.times_s)
    data = series.data if overwrite else sparse_zeros(series.data.shape)
    baseline = np.where(finite, series.data[..., 0], 0.0).astype(np.float32)
    for k in slices:
        report(0.2 + 0.6 * k / series.shape[2], "Enhancement")
        source = series.data[:, :, k]
        _subtract_baseline(source, mask[:, :, k], frames, source if overwrite else data[:, :, k], baseline[:, :, k])
    release_zeros(data)
    mask, unenhanced = without_unenhanced_slices(data, mask, masks.brain)
    tissue = data[masks.tissue & mask] if (masks.tissue & mask).any() else data[mask]
    report(0.9, "Checks")
    findings = (
        *missing,
        *unenhanced,
        *_short_baseline(frames, series),
        *gap_finding(series.times_s, arterial),
        *_truncation(tissue, data[_undisturbed(baseline, mask, series.affine)], arterial, series.times_s),
    )
    sampled = float(series.acquisition.details.get(SAMPLED_INTERVAL, series.interval_s))
    sd = noise_sd(tissue, frames, lag=max(1, round(sampled / max(series.interval_s, 1e-6))))
    report(1.0, "Enhancement")
    return Concentration(data, series.affine, series.times_s, mask, baseline, "HU", sd, max(frames, 1), findings)


def _usable(masks: TissueMasks, finite: BoolArray, series: PerfusionSeries) -> tuple[BoolArray, tuple[QualityFinding, ...]]:
    """Where enhancement is computed, and what had to be left out."""
    wanted = grow(masks.brain, EDGE_MM, voxel_sizes(series.affine)) | masks.vessel
    padded = series.data.min(axis=3) <= -500.0  # air and padding at the rim are no tissue
    wanted &= (~masks.bone & ~padded) | masks.brain
    missing = int((wanted & ~finite).sum())
    mask = wanted & finite
    if not (mask & masks.brain).any():
        msg = f"None of the {int(masks.brain.sum())} brain voxels has finite values in all frames. Check the series."
        raise InvalidInputError(msg)
    if not missing:
        return mask, ()
    share = 100.0 * missing / int(wanted.sum())
    text = f"{missing} voxels ({share:.1f} % of the brain) have missing values in some frame and were left out."
    return mask, (QualityFinding("nonfinite_voxels", "warning" if share > 1 else "info", text, "Check the source images."),)


def _soft(image: NDArray[np.float32], mask: BoolArray) -> BoolArray:
    """Voxels of the mask without a part of bone, whose curves would show every movement of the head."""
    return mask & (image > -20.0) & (image < SOFT_MAX_HU)


def _undisturbed(baseline: NDArray[np.float32], mask: BoolArray, affine: FloatArray) -> BoolArray:
    """Where a tall late curve is a vein rather than bone that motion brought in; all soft voxels when there is no such place."""
    soft = _soft(baseline, mask)
    calm = soft & calm_region(baseline, mask, affine)
    return calm if calm.sum() >= FEWEST_CALM else soft


def _away_from_bone(series: PerfusionSeries, masks: TissueMasks, mask: BoolArray) -> BoolArray:
    """Where arteries are looked for; the whole mask when nothing is left of it."""
    early = series.data[..., : min(3, series.times_s.size)].min(axis=3)  # even when contrast is there from the start
    inner = _soft(early, mask & shrink(masks.brain, BONE_MARGIN_MM, voxel_sizes(series.affine)))
    return inner if inner.sum() >= 100 else mask


def _subtract_baseline(
    source: NDArray[np.float32], mask: BoolArray, frames: int, data: NDArray[np.float32], baseline: NDArray[np.float32]
) -> None:
    """Write enhancement and baseline of one slice in place."""
    if frames >= 2:
        level = source[..., :frames].mean(axis=2)
    else:
        level = _lowest_running_mean(source, mask)
    baseline[...] = np.where(np.isfinite(level), level, baseline)
    curves = source[mask] - level[mask][:, None]
    if data is source:
        data[...] = 0.0
    data[mask] = curves


def _lowest_running_mean(source: NDArray[np.float32], mask: BoolArray) -> NDArray[np.float32]:
    """Smallest 3-frame running mean before each voxel's peak; the first frame outside the mask."""
    level = source[..., 0].copy()
    curves = source[mask]
    running = (curves[:, :-2] + curves[:, 1:-1] + curves[:, 2:]) / np.float32(3.0)
    peak = np.argmax(running, axis=1)
    before = np.arange(running.shape[1])[None, :] <= peak[:, None]
    level[mask] = np.where(before, running, np.inf).min(axis=1) if curves.shape[0] else level[mask]
    return level


def _short_baseline(frames: int, series: PerfusionSeries) -> tuple[QualityFinding, ...]:
    """Say that the scan began too late."""
    if frames >= 2:
        return ()
    text = (
        f"Contrast arrives within the first frames: only {frames} frame(s) every {series.interval_s:.1f} s are free of contrast."
    )
    advice = "Blood volume and flow may be underestimated; start the scan earlier after the injection."
    return (QualityFinding("short_baseline", "warning", text, advice),)


def _truncation(
    tissue: NDArray[np.float32], curves: NDArray[np.float32], arterial: FloatArray, times: FloatArray
) -> tuple[QualityFinding, ...]:
    """Say that the scan ended too early for veins or tissue."""
    findings = []
    venous = _venous_curve(curves, float(times[int(np.argmax(arterial))]), times)
    if venous is not None and venous.max() > 0:
        tail = float(venous[-3:].mean() / venous.max())
        if tail > TRUNCATED_TAIL:
            text = f"The scan ends while the veins are still at {100 * tail:.0f} % of their peak."
            advice = "Blood volume and transit time are less reliable; scan for 60 s or longer."
            findings.append(QualityFinding("truncated_venous", "info" if tail < 0.5 else "warning", text, advice))
    mean = tissue.mean(axis=0, dtype=np.float64)
    smooth = np.convolve(np.pad(mean, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    peak = float(times[int(np.argmax(smooth))])
    if peak > times[-1] - TRUNCATED_MARGIN_S:
        span = times[-1] - times[0]
        text = f"The brain is brightest at {peak - times[0]:.0f} s of {span:.0f} s: the scan ends before it washes out."
        findings.append(QualityFinding("truncated_tissue", "warning", text, "Maps underestimate volume and flow; scan longer."))
    return tuple(findings)


def _venous_curve(curves: NDArray[np.float32], arterial_peak_s: float, times: FloatArray) -> FloatArray | None:
    """Mean of tall curves that peak well after the arteries; None when there are too few."""
    _, rows = brightest_curve(curves, 0.01)
    tall = running_median(curves[rows])
    late = times[np.argmax(tall, axis=1)] >= arterial_peak_s + VENOUS_DELAY_S
    if late.sum() < 3:
        return None
    mean: FloatArray = tall[late].mean(axis=0, dtype=np.float64)
    return mean
