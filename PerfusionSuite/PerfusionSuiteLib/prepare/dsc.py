# SPDX-License-Identifier: Apache-2.0
"""DSC-MRI: from signal to the change of relaxation over the voxel's own baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress
from ..core.series import PerfusionSeries, check_enough_times
from ..core.values import Concentration, TissueMasks
from .arrival import arrival_time
from .dsc_frames import WANTED_BASELINE, bright_head, frames_before_bolus, quick_change
from .dsc_signal import Relaxation, check_signal, echo_time, relaxation, signal_noise
from .in_plane import grow
from .noise import noise_sd
from .timing import gap_finding

EDGE_MM = 3.0
"""The concentration reaches this far beyond the brain mask, so that sinuses at its edge stay available for curves."""

TALLEST_SHARE, LOST_SHARE = 0.005, 0.2
TRUNCATED_MARGIN_S = 8.0


@dataclass(frozen=True, slots=True)
class DscConcentration:
    """Change of relaxation, and where it cannot be trusted.

    Parameters
    ----------
    concentration : Concentration
        Delta R2* in 1/s.
    saturated : ndarray of bool, shape (I, J, K)
        Voxels whose signal sank into the noise: no artery and no reference may be taken from them.
    """

    concentration: Concentration
    saturated: BoolArray


def dsc_concentration(
    series: PerfusionSeries,
    masks: TissueMasks,
    *,
    second_echo: PerfusionSeries | None = None,
    progress: ProgressCallback | None = None,
) -> DscConcentration:
    """Turn MR signal into the change of R2*.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI in its steady state (see `drop_dummies`), motion-corrected.
    masks : TissueMasks
        Of this scan.
    second_echo : PerfusionSeries, optional
        The same scan at a second, later echo: the ratio of the two does not see changes of T1.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    DscConcentration
        Delta R2*, zero outside its mask, the brain and a 3 mm edge. It is proportional to concentration with one factor in
        capillaries; blood in large vessels bends away from it.

    Raises
    ------
    InvalidInputError
        If the echo time is missing or impossible, values are negative, or fewer than three frames are free of contrast.
    TimingError
        If there are fewer than 10 frames or they span less than 20 s.
    """
    echoes = _checked(series, second_echo)
    if masks.brain.shape != series.shape:
        msg = f"The brain mask has {masks.brain.shape} voxels but the scan has {series.shape}. Use masks of this scan."
        raise GridMismatchError(msg)
    report = progress or no_progress
    head = bright_head(series)
    mask, missing = _usable(series, second_echo, masks, head)
    report(0.2, "Baseline")
    frames = frames_before_bolus(quick_change(series, masks.brain & mask), series.times_s)
    signals = tuple(s.data[mask] for s in (series, second_echo) if s is not None)
    noise = tuple(signal_noise(s, head, frames) for s in (series, second_echo) if s is not None)
    report(0.4, "Change of relaxation")
    found = relaxation(signals, echoes, frames, noise)
    data = np.zeros_like(series.data)
    data[mask] = found.curves
    baseline, saturated = np.zeros(series.shape, np.float32), np.zeros(series.shape, bool)
    baseline[...] = series.data[..., :frames].mean(axis=-1)
    saturated[mask] = found.saturated
    tissue = data[masks.tissue & mask & ~saturated]
    tissue = tissue if tissue.size else found.curves
    artery = quick_change(series, masks.brain & mask)
    findings = (
        *missing,
        *_short_baseline(frames, series),
        *gap_finding(series.times_s, artery),
        *_lost_arteries(found),
        *_truncated(tissue, series.times_s),
    )
    report(1.0, "Change of relaxation")
    sd = noise_sd(tissue, frames)
    concentration = Concentration(data, series.affine, series.times_s, mask, baseline, "1/s", sd, frames, findings)
    return DscConcentration(concentration, saturated)


def check_dsc(series: PerfusionSeries) -> None:
    """Refuse a series that cannot be analyzed, before any work is done.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.

    Raises
    ------
    InvalidInputError
        If the echo time is missing or impossible, or values are negative.
    TimingError
        If there are fewer than 10 frames or they span less than 20 s.
    """
    echo_time(series)
    check_signal(series)
    check_enough_times(series.times_s)


def _checked(series: PerfusionSeries, second: PerfusionSeries | None) -> tuple[float, ...]:
    """Return the echo times of one or two series that fit together."""
    check_dsc(series)
    first = echo_time(series)
    if second is None:
        return (first,)
    check_dsc(second)
    if second.data.shape != series.data.shape or not np.allclose(second.affine, series.affine, atol=1e-2):
        msg = (
            f"The second echo has {second.data.shape} voxels and frames but the first has {series.data.shape}, "
            "or it lies elsewhere. Give both echoes of one scan."
        )
        raise GridMismatchError(msg)
    later = echo_time(second)
    if not later > first + 1e-3:
        msg = f"The second echo time ({1e3 * later:g} ms) must be later than the first ({1e3 * first:g} ms). Exchange the two."
        raise InvalidInputError(msg)
    return first, later


def _usable(
    series: PerfusionSeries, second: PerfusionSeries | None, masks: TissueMasks, head: BoolArray
) -> tuple[BoolArray, tuple[QualityFinding, ...]]:
    """Return where there is signal in all frames, and say what had to be left out."""
    finite = np.isfinite(series.data).all(axis=3)
    if second is not None:
        finite &= np.isfinite(second.data).all(axis=3)
    wanted = masks.brain | (grow(masks.brain, EDGE_MM, voxel_sizes(series.affine)) & head)
    lit = series.data[..., :3].min(axis=3) > 0
    missing = int((wanted & ~finite).sum())
    mask: BoolArray = wanted & finite & lit
    if not (mask & masks.brain).any():
        msg = f"None of the {int(masks.brain.sum())} brain voxels has signal in all frames. Check the series."
        raise InvalidInputError(msg)
    if not missing:
        return mask, ()
    share = 100.0 * missing / int(wanted.sum())
    text = f"{missing} voxels ({share:.1f} % of the brain) have missing values in some frame and were left out."
    return mask, (QualityFinding("nonfinite_voxels", "warning" if share > 1 else "info", text, "Check the source images."),)


def _short_baseline(frames: int, series: PerfusionSeries) -> tuple[QualityFinding, ...]:
    if frames >= WANTED_BASELINE:
        return ()
    text = f"Only {frames} frames every {series.interval_s:.1f} s are free of contrast; {WANTED_BASELINE} are wanted."
    advice = "The noise of the baseline enters every map; start the scan earlier before the injection."
    return (QualityFinding("short_baseline", "warning", text, advice),)


def _lost_arteries(found: Relaxation) -> tuple[QualityFinding, ...]:
    """Say that large vessels have no signal left at their peak."""
    peak = np.partition(found.curves, -3, axis=1)[:, -3]
    tall = np.argsort(-peak, kind="stable")[: max(20, round(TALLEST_SHARE * peak.size))]
    share = float(found.saturated[tall].mean())
    if share <= LOST_SHARE:
        return ()
    text = f"The signal of {share:.0%} of the voxels with most contrast sinks into the noise, so that their peak is cut off."
    advice = "The artery is taken from vessels with signal left; a smaller vessel is better than a large one."
    return (QualityFinding("arterial_signal_lost", "warning", text, advice),)


def _truncated(tissue: NDArray[np.float32], times: FloatArray) -> tuple[QualityFinding, ...]:
    """Say that the scan ended before contrast left the tissue."""
    mean = tissue.mean(axis=0, dtype=np.float64)
    smooth = np.convolve(np.pad(mean, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    peak = float(times[int(np.argmax(smooth))])
    if peak <= times[-1] - TRUNCATED_MARGIN_S:
        return ()
    arrival = float(arrival_time(smooth, times))
    text = f"Tissue holds most contrast at {peak:.0f} s, {times[-1] - peak:.0f} s before the scan ends (arrival {arrival:.0f} s)."
    return (QualityFinding("truncated_tissue", "warning", text, "Maps underestimate volume and flow; scan longer."),)
