# SPDX-License-Identifier: Apache-2.0
"""Frames of a DSC scan: which came before the steady state, which before the contrast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.series import PerfusionSeries
from .arrival import arrival_time
from .in_plane import shrink

MOST_DUMMIES = 5
DUMMY_CHANGE = 0.01
LEAST_BASELINE, WANTED_BASELINE = 3, 5
POOL_SHARE, EARLY_SHARE = 0.01, 0.25
EDGE_MM, LEAST_INSIDE = 5.0, 0.25
"""Where bright borders on dark, a head that still moves loses more signal than a short echo does to the bolus; of a mask that
would lose more than three quarters of its voxels with its edge, the edge counts, too."""


def bright_head(series: PerfusionSeries, frame: NDArray[np.float32] | None = None) -> BoolArray:
    """Return where there is signal: brighter than the threshold that separates head from background best (Otsu 1979).

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.
    frame : ndarray, shape (I, J, K), optional
        Image to divide; by default the median of the first frames.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The bright part.
    """
    image = np.median(series.data[..., :5], axis=-1) if frame is None else frame
    image = np.nan_to_num(np.asarray(image, np.float32))
    bright: BoolArray = image > 0.6 * otsu(image)
    return bright


def otsu(image: NDArray[np.float32]) -> float:
    """Return the threshold that divides an image into two classes of least variance.

    Parameters
    ----------
    image : ndarray
        Finite values.

    Returns
    -------
    float
        The threshold.
    """
    top = float(np.percentile(image, 99.5))
    counts, edges = np.histogram(image, 256, (min(0.0, float(image.min())), max(top, 1e-6)))
    middle = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts).astype(float)
    above = below[-1] - below
    first = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (first / below - (first[-1] - first) / above) ** 2
    return float(middle[int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def quick_change(series: PerfusionSeries, head: BoolArray, first: int = 0) -> FloatArray:
    """Estimate the arterial curve before any mask exists, in units of ``-ln S``.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.
    head : ndarray of bool, shape (I, J, K)
        Where there is signal.
    first : int
        Frames to ignore at the start.

    Returns
    -------
    ndarray, shape (T - first,)
        Mean curve of the voxels with the largest loss of signal that come first, away from the edge of the head.

    Raises
    ------
    InvalidInputError
        If no voxel has finite signal in all frames.
    """
    inside = shrink(head, EDGE_MM, voxel_sizes(series.affine))
    curves = series.data[inside if inside.sum() > LEAST_INSIDE * head.sum() else head][:, first:]
    curves = curves[np.isfinite(curves).all(axis=1)]
    if not curves.shape[0]:
        msg = "The series has no voxel with finite signal in all frames. Check the series."
        raise InvalidInputError(msg)
    level = np.median(curves[:, :3], axis=1)
    keep = level > 0.3 * float(np.median(level))
    change = -np.log(np.maximum(curves[keep], 1e-3 * level[keep, None]) / level[keep, None])
    steady = (change[:, :-2] + change[:, 1:-1] + change[:, 2:]) / 3.0
    tall = np.argsort(-steady.max(axis=1), kind="stable")[: max(12, round(POOL_SHARE * change.shape[0]))]
    when = arrival_time(change[tall], series.times_s[first:])
    when = np.where(np.isfinite(when), when, np.inf)
    early = tall[np.argsort(when, kind="stable")[: max(6, round(EARLY_SHARE * tall.size))]]
    curve: FloatArray = change[early].mean(axis=0, dtype=np.float64)
    return curve


def drop_dummies(series: PerfusionSeries) -> PerfusionSeries:
    """Leave out the frames at the start that are brighter than the steady state.

    Parameters
    ----------
    series : PerfusionSeries
        DSC-MRI.

    Returns
    -------
    PerfusionSeries
        The same object when there are none. Times keep counting from the first frame of the scan.

    Notes
    -----
    At most five frames, as long as the mean signal of the head exceeds the median of the following five frames by more than 1 %.
    """
    head = bright_head(series)
    if not head.any():
        return series
    mean = series.data[head].mean(axis=0, dtype=np.float64)
    count = 0
    while count < min(MOST_DUMMIES, mean.size - 6):
        following = np.median(mean[count + 1 : count + 6])
        if mean[count] <= (1.0 + DUMMY_CHANGE) * following or _in_bolus(mean, count):
            break
        count += 1
    if not count:
        return series
    times = series.acquisition.slice_times_s
    acquisition = series.acquisition if times is None else replace(series.acquisition, slice_times_s=times[:, count:])
    which = "The first frame was" if count == 1 else f"The first {count} frames were"
    text = f"{which} left out: the signal had not reached its steady state."
    finding = QualityFinding("dummy_scans_dropped", "info", text)
    source = replace(series.source, findings=(*series.source.findings, finding))
    return replace(series, data=series.data[..., count:], times_s=series.times_s[count:], acquisition=acquisition, source=source)


def _in_bolus(mean: FloatArray, frame: int) -> bool:
    """Tell whether the signal goes on falling after a frame, as in a bolus, instead of settling."""
    lost = mean[frame] - mean[frame + 1 : frame + 6]
    return bool(lost[0] < 0.5 * lost.max())


def frames_before_bolus(curve: FloatArray, times_s: FloatArray) -> int:
    """Count the frames that are surely free of contrast.

    Parameters
    ----------
    curve : ndarray, shape (T,)
        Arterial curve that rises with contrast.
    times_s : ndarray, shape (T,), s
        Frame times.

    Returns
    -------
    int
        All frames earlier than one frame before arterial arrival.

    Raises
    ------
    InvalidInputError
        If fewer than three frames are free of contrast.
    """
    arrival = float(arrival_time(curve, times_s))
    if not np.isfinite(arrival):
        msg = "No bolus is seen in the scan: no voxel loses signal. Check that this is the series with contrast."
        raise InvalidInputError(msg)
    count = int(np.searchsorted(times_s, arrival, side="right")) - 1
    if count < LEAST_BASELINE:
        msg = (
            f"Contrast arrives {arrival - times_s[0]:.1f} s after the first usable frame, so that only {max(count, 0)} frame(s) "
            f"are free of it; {LEAST_BASELINE} are needed for a baseline. Choose a scan that starts earlier."
        )
        raise InvalidInputError(msg)
    return count
