# SPDX-License-Identifier: Apache-2.0
"""Control minus label, pair by pair in the order of the scan, and pairs that do not fit the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslSeries
from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray

LEAST_PAIRS = 4
"""Below so many pairs of one delay no pair can be told to be odd."""

ODD_FACTOR, ODD_SPREADS = 1.6, 4.0
MOST_ODD_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Pair:
    """One difference image.

    Parameters
    ----------
    delay_s, label_s : float, s
        Post-label delay and labeling duration.
    control, label : int
        Volumes it comes from; the same for an image that the scanner subtracted.
    """

    delay_s: float
    label_s: float
    control: int
    label: int

    @property
    def group(self) -> tuple[float, float]:
        """What pairs that may be averaged share."""
        return round(self.delay_s, 4), round(self.label_s, 4)


def pairs_of(series: AslSeries) -> tuple[list[Pair], tuple[QualityFinding, ...]]:
    """Pair controls with labels of the same delay in the order of the scan.

    Parameters
    ----------
    series : AslSeries
        The scan.

    Returns
    -------
    list of Pair
        In the order of the scan.
    tuple of QualityFinding
        ``unpaired_volumes`` when some were left over.

    Raises
    ------
    InvalidInputError
        If there is nothing to subtract, or a labeled volume has no delay or duration.
    """
    kinds = np.array(series.volume_types)
    _check_times(series)
    waiting: dict[tuple[float, float], list[int]] = {}
    pairs: list[Pair] = []
    for n in np.flatnonzero((kinds == "control") | (kinds == "label")):
        delay, label = float(series.post_label_delays_s[n]), float(series.label_durations_s[n])
        queue = waiting.setdefault((round(delay, 4), round(label, 4)), [])
        if queue and kinds[queue[0]] != kinds[n]:
            other = queue.pop(0)
            control, labeled = (int(n), other) if kinds[n] == "control" else (other, int(n))
            pairs.append(Pair(delay, label, control, labeled))
        else:
            queue.append(int(n))
    left = sorted(n for queue in waiting.values() for n in queue)
    if not pairs:
        pairs = [
            Pair(float(series.post_label_delays_s[n]), float(series.label_durations_s[n]), int(n), int(n))
            for n in np.flatnonzero(kinds == "deltam")
        ]
        left = left if pairs else []
    if not pairs:
        raise InvalidInputError(_nothing_to_subtract(kinds))
    return pairs, _left_over(left, len(kinds))


def _check_times(series: AslSeries) -> None:
    """Refuse labeled volumes without delay, and a bolus of unknown length."""
    used = series.of_type("control", "label", "deltam")
    missing = np.flatnonzero(used & ~np.isfinite(series.post_label_delays_s))
    if missing.size:
        msg = f"Volume {missing[0] + 1} has no post-label delay. Give PostLabelingDelay in seconds for each volume."
        raise InvalidInputError(msg)
    if not np.isfinite(series.label_durations_s[used]).all():
        what, name = ("labeling duration", "LabelingDuration")
        if series.labeling == "pasl":
            what, name = "bolus", "BolusCutOffDelayTime"
        msg = (
            f"The {what} of this {series.labeling.upper()} scan has no known length. Give {name} in seconds in the JSON sidecar."
        )
        raise InvalidInputError(msg)


def _nothing_to_subtract(kinds: NDArray[np.str_]) -> str:
    found = ", ".join(f"{int((kinds == kind).sum())} {kind}" for kind in sorted(set(kinds.tolist())))
    if "cbf" in kinds:
        return (
            f"The scan holds only perfusion maps that the scanner computed ({found}). Give the scan that they were computed from."
        )
    return f"The scan has no pair of control and label ({found}). Check the volume types (aslcontext.tsv)."


def _left_over(left: list[int], total: int) -> tuple[QualityFinding, ...]:
    if not left:
        return ()
    listed = ", ".join(str(n + 1) for n in left[:8])
    text = f"{len(left)} of {total} volumes have no partner of the same delay and were left out (volume {listed})."
    return (QualityFinding("unpaired_volumes", "warning", text, "Check the order of volumes in aslcontext.tsv."),)


def difference_images(data: NDArray[np.float32], pairs: Sequence[Pair], scaling: float) -> NDArray[np.float32]:
    """Subtract.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, V)
        The scan after motion correction.
    pairs : sequence of Pair
        What is subtracted from what.
    scaling : float
        A vendor's factor on images that the scanner subtracted.

    Returns
    -------
    ndarray of float32, shape (I, J, K, P)
        One image per pair.
    """
    result = np.empty((*data.shape[:3], len(pairs)), np.float32)
    for n, pair in enumerate(pairs):
        if pair.control == pair.label:
            result[..., n] = data[..., pair.control] / np.float32(scaling)
        else:
            result[..., n] = data[..., pair.control] - data[..., pair.label]
    return result


def odd_pairs(images: NDArray[np.float32], pairs: Sequence[Pair], mask: BoolArray) -> tuple[int, ...]:
    """Find pairs that differ much more from those of their delay than the others do.

    Parameters
    ----------
    images : ndarray, shape (I, J, K, P)
        Difference images.
    pairs : sequence of Pair
        Their delays.
    mask : ndarray of bool, shape (I, J, K)
        Brain.

    Returns
    -------
    tuple of int
        Odd pairs, the worst 30 % of a delay at most.

    Notes
    -----
    Each pair's root-mean-square distance from the median of its delay is compared with that of all pairs: odd is what lies 60 %
    and 4 robust standard deviations above their median.
    """
    values = images[mask].astype(np.float64)
    groups: dict[tuple[float, float], list[int]] = {}
    for n, pair in enumerate(pairs):
        groups.setdefault(pair.group, []).append(n)
    distance = np.full(len(pairs), np.nan)
    for members in groups.values():
        if len(members) >= LEAST_PAIRS:
            middle = np.nanmedian(values[:, members], axis=1, keepdims=True)
            distance[members] = np.sqrt(np.nanmean((values[:, members] - middle) ** 2, axis=0))
    judged = np.isfinite(distance)
    if not judged.any():
        return ()
    usual = float(np.median(distance[judged]))
    spread = 1.4826 * float(np.median(np.abs(distance[judged] - usual)))
    odd: list[int] = []
    for members in groups.values():
        worst = sorted(
            (n for n in members if distance[n] > max(ODD_FACTOR * usual, usual + ODD_SPREADS * spread)),
            key=lambda n: -distance[n],
        )
        odd += worst[: int(MOST_ODD_SHARE * len(members))]
    return tuple(sorted(odd))
