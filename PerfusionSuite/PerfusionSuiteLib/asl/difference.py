# SPDX-License-Identifier: Apache-2.0
"""From an ASL scan to what every model is given: motion, brain, pairs, noise and calibration in one call."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.asl import AslDifference, AslSeries
from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress, part_of
from ..core.values import MotionReport
from .brain import brain_of
from .calibration import CalibrationSettings, calibrated_m0, field_strength, labeling_efficiency
from .motion import correct_asl_motion
from .pairs import Pair, difference_images, odd_pairs, pairs_of

MOVED_MM, MOVED_DEG = 2.0, 2.0
"""A pair whose head moved more between control and label holds edges of the still brain."""

NOISE_FWHM_MM = 12.0
"""The scatter of few repetitions tells little about one voxel; that of its neighborhood does."""

_DROPPED_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class DifferenceSettings:
    """How difference images are made.

    Parameters
    ----------
    motion_correction : bool
        Estimate head motion and correct it.
    drop_odd_pairs : bool
        Leave out pairs that do not fit the others of their delay, or within which the head moved by more than 2 mm or 2 degrees.
    calibration : CalibrationSettings
        How the scan is calibrated.
    """

    motion_correction: bool = True
    drop_odd_pairs: bool = True
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)


def difference_of(
    series: AslSeries,
    *,
    mask: BoolArray | None = None,
    settings: DifferenceSettings | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[AslDifference, MotionReport | None]:
    """Make the difference image of each delay with its noise, and what calibrates it.

    Parameters
    ----------
    series : AslSeries
        The scan.
    mask : ndarray of bool, shape (I, J, K), optional
        Brain; by default found in M0 or the mean control image.
    settings : DifferenceSettings, optional
        Choices.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    AslDifference
        Difference images and calibration; its ``findings`` say what was assumed.
    MotionReport or None
        Head motion; None when it was not estimated.

    Raises
    ------
    InvalidInputError
        If there are no pairs, delays or bolus durations are missing, no brain is found, or M0 cannot be used.
    GridMismatchError
        If a mask has another shape.
    """
    choices, report = settings or DifferenceSettings(), progress or no_progress
    pairs, told = pairs_of(series)
    findings = [*series.source.findings, *told]
    moved, motion = series, None
    if choices.motion_correction:
        moved, motion = correct_asl_motion(series, progress=part_of(report, 0.0, 0.75))
        findings += motion.findings if motion is not None else _motion_unseen(series)
    images = difference_images(moved.data, pairs, choices.calibration.scaling or moved.scaling)
    anatomy = _anatomy(moved)
    brain, seen = _brain(anatomy, images, moved, mask)
    report(0.85, "Averaging pairs")
    kept, dropped = _kept_pairs(images, pairs, brain, motion, choices.drop_odd_pairs)
    delta, noise, times, counts = _averaged(images, pairs, kept, brain, voxel_sizes(moved.affine))
    efficiency, assumed = labeling_efficiency(moved, choices.calibration)
    tesla, which = field_strength(moved, choices.calibration)
    m0, how = calibrated_m0(
        moved, brain, choices.calibration, included=_mean_of(moved, "m0scan"), control=_mean_of(moved, "control")
    )
    findings += [*seen, *dropped, *assumed, *which, *how, *_swapped(delta, brain)]
    report(1.0, "Difference images")
    late = np.zeros(series.shape[2]) if series.slice_delays_s is None else np.asarray(series.slice_delays_s, np.float64)
    return AslDifference(
        delta, times[:, 0], times[:, 1], m0, noise, brain, moved.affine, moved.labeling, efficiency, tesla, late, counts,
        tuple(findings),
    ), motion  # fmt: skip


def _motion_unseen(series: AslSeries) -> tuple[QualityFinding, ...]:
    if series.data.shape[3] == 1:
        return ()
    text = "Head motion was not estimated: the scan holds only images that the scanner subtracted."
    return (QualityFinding("motion_not_estimated", "info", text, "Use the controls and labels when they are at hand."),)


def _mean_of(series: AslSeries, kind: str) -> NDArray[np.float32] | None:
    chosen = series.of_type(kind)
    return series.data[..., chosen].mean(axis=-1, dtype=np.float32) if chosen.any() else None


def _anatomy(series: AslSeries) -> NDArray[np.float32] | None:
    """The image that shows the brain best: M0, else controls."""
    if series.m0 is not None:
        return series.m0
    included = _mean_of(series, "m0scan")
    return included if included is not None else _mean_of(series, "control")


def _brain(
    anatomy: NDArray[np.float32] | None, images: NDArray[np.float32], series: AslSeries, mask: BoolArray | None
) -> tuple[BoolArray, tuple[QualityFinding, ...]]:
    if mask is None:
        image = images.mean(axis=-1) if anatomy is None else anatomy
        found, findings = brain_of(image, series.affine)
        if not found.any():
            msg = "No brain was found in the M0 or control image. Give a brain mask."
            raise InvalidInputError(msg)
        return found, findings
    given = np.asarray(mask) > 0
    if given.shape != series.shape:
        msg = f"The brain mask has {given.shape} voxels but the scan has {series.shape}. Resample it to the scan's grid."
        raise GridMismatchError(msg)
    if not given.any():
        msg = "The brain mask is empty. Draw it on the brain, or leave it out."
        raise InvalidInputError(msg)
    return given, ()


def _kept_pairs(
    images: NDArray[np.float32], pairs: list[Pair], brain: BoolArray, motion: MotionReport | None, drop: bool
) -> tuple[list[int], tuple[QualityFinding, ...]]:
    """Pairs to average, and a sentence about those that are left out."""
    everything = list(range(len(pairs)))
    if not drop:
        return everything, ()
    jumped = [] if motion is None else [n for n, pair in enumerate(pairs) if _jumped(pair, motion)]
    odd = odd_pairs(images, pairs, brain)
    allowed = {group: int(_DROPPED_SHARE * sum(p.group == group for p in pairs)) for group in {p.group for p in pairs}}
    left_out: list[int] = []
    for n in dict.fromkeys([*odd, *jumped]):
        if allowed[pairs[n].group] > 0:
            allowed[pairs[n].group] -= 1
            left_out.append(n)
    if not left_out:
        return everything, ()
    listed = ", ".join(str(n + 1) for n in sorted(left_out))
    text = f"{len(left_out)} of {len(pairs)} pairs of control and label do not fit the others and were left out (pair {listed})."
    finding = QualityFinding("pairs_left_out", "warning" if len(left_out) > 0.1 * len(pairs) else "info", text)
    return [n for n in everything if n not in left_out], (finding,)


def _jumped(pair: Pair, motion: MotionReport) -> bool:
    shift = motion.translation_mm[pair.label] - motion.translation_mm[pair.control]
    turn = motion.rotation_deg[pair.label] - motion.rotation_deg[pair.control]
    return bool(np.linalg.norm(shift) > MOVED_MM or np.linalg.norm(turn) > MOVED_DEG)


def _averaged(
    images: NDArray[np.float32], pairs: list[Pair], kept: list[int], brain: BoolArray, spacing: FloatArray
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, FloatArray, NDArray[np.int64]]:
    """Mean and standard error of each delay, with delays and durations in rising order of the time of the picture."""
    groups: dict[tuple[float, float], list[int]] = {}
    for n in kept:
        groups.setdefault(pairs[n].group, []).append(n)
    order = sorted(groups, key=lambda group: (group[0] + group[1], group[0])) if _mixed(groups) else sorted(groups)
    counts = np.array([len(groups[group]) for group in order], np.int64)
    mean = np.stack([images[..., groups[group]].mean(axis=-1, dtype=np.float64) for group in order], axis=-1).astype(np.float32)
    variance = _pair_variance(images, [groups[group] for group in order], mean, brain, spacing)
    noise = None if variance is None else np.sqrt(variance[..., None] / counts).astype(np.float32)
    return mean, noise, np.array(order, np.float64), counts


def _mixed(groups: dict[tuple[float, float], list[int]]) -> bool:
    """Whether labeling durations differ between delays."""
    return len({label for _, label in groups}) > 1


def _pair_variance(
    images: NDArray[np.float32], groups: list[list[int]], mean: NDArray[np.float32], brain: BoolArray, spacing: FloatArray
) -> NDArray[np.float64] | None:
    """Variance of one pair, pooled over delays and smoothed; from the texture of the images where nothing was repeated."""
    freedom = sum(len(members) - 1 for members in groups)
    if freedom < 1:
        level = _texture_noise(mean, brain)
        return None if level is None else np.full(mean.shape[:3], level**2)
    total = np.zeros(mean.shape[:3])
    for d, members in enumerate(groups):
        if len(members) > 1:
            total += ((images[..., members].astype(np.float64) - mean[..., d, None]) ** 2).sum(axis=-1)
    sigma = NOISE_FWHM_MM / 2.355 / spacing
    weight = ndimage.gaussian_filter(brain.astype(np.float64), sigma, truncate=3.0)
    inside = ndimage.gaussian_filter(np.where(brain, total / freedom, 0.0), sigma, truncate=3.0) / np.maximum(weight, 1e-9)
    smooth: NDArray[np.float64] = np.where(brain, inside, total / freedom)
    return smooth


def _texture_noise(mean: NDArray[np.float32], brain: BoolArray) -> float | None:
    """Noise from second differences along the first two axes within the brain, which hardly see smooth perfusion."""
    levels = []
    for axis in (0, 1):
        if mean.shape[axis] < 3:
            continue
        first, middle, last = (np.roll(brain, shift, axis) for shift in (1, 0, -1))
        inside = first & middle & last
        second = (np.roll(mean, 1, axis) - 2.0 * mean + np.roll(mean, -1, axis))[inside]
        if second.size:
            levels.append(1.4826 * float(np.median(np.abs(second - np.median(second)))) / np.sqrt(6.0))
    level = min(levels, default=0.0)
    return level if level > 0 else None


def _swapped(delta: NDArray[np.float32], brain: BoolArray) -> tuple[QualityFinding, ...]:
    """Say when the brain as a whole would lose blood, which happens when controls and labels are exchanged."""
    values = delta[brain].mean(axis=0, dtype=np.float64)
    spread = float(np.std(delta[brain].mean(axis=1)) / np.sqrt(max(int(brain.sum()), 1)))
    if float(values.mean()) > -5.0 * max(spread, 1e-12):
        return ()
    text = "Control minus label is negative in the brain as a whole; the two are probably exchanged."
    return (QualityFinding("control_label_swapped", "error", text, "Correct the order in aslcontext.tsv."),)
