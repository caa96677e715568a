# SPDX-License-Identifier: Apache-2.0
"""How good QTMnet is beside kinetic models: cubes that it never saw, simulated brains with known perfusion, and a user's scan.

What is simulated comes from the caller; this room does not know how it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from .. import asl
from ..asl.qtm import predict
from ..asl.qtm_grid import Resampling
from ..asl.qtm_weights import S_REF, VOXEL_MM, Protocol, QtmWeights
from ..asl.relaxation import PARTITION_ML_PER_G
from ..core.asl import AslDifference
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, no_progress, part_of
from . import qtmnet_estimators as estimators
from .qtmnet_estimators import KINETIC, NETWORK, REGRESSION, Scores, scores_of

COLUMNS = ("part", "subject", "condition", "method", "region", "measure", "value", "unit")

CLEAN = "as trained"
NOISES = (0.0, 0.01, 0.02, 0.05, 0.1)
"""In units of `S_REF`."""

GUIDED = "asl-multi with tissue"
"""`asl-multi` that is told the fractions of gray and white matter, and with them T1 of tissue."""

PURE = 0.9
"""Fraction from which on a voxel counts as gray or white matter alone."""

UNITS: Mapping[str, str] = {
    "nrmse_percent": "%", "bias": "mL/100g/min", "correlation": "1", "coverage_68": "%", "mean": "mL/100g/min",
}  # fmt: skip

SMOOTHED_VOXELS = 2.0

_PSF_SD = 1.5 / 2.3548
"""Of the blur of a 3D spin-echo readout along the slice axis, in voxels (FWHM 1.5)."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SimulatedBrain:
    """A brain with known perfusion.

    Parameters
    ----------
    name : str
        Of the subject.
    density : ndarray, shape (I, J, K, D), mL/g
        Label density at the network's delays.
    flow : ndarray, shape (I, J, K), mL/100 g/min
        The truth.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    gray, white : ndarray, shape (I, J, K)
        Volume fractions.
    lesion : ndarray of bool, shape (I, J, K)
        Where flow is low.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    """

    name: str
    density: NDArray[np.float32]
    flow: NDArray[np.float32]
    mask: BoolArray
    gray: NDArray[np.float32]
    white: NDArray[np.float32]
    lesion: BoolArray
    affine: FloatArray

    def regions(self) -> dict[str, BoolArray]:
        """Return where errors are counted."""
        found = {
            "all voxels": self.mask,
            "gray matter": self.mask & (self.gray >= PURE),
            "white matter": self.mask & (self.white >= PURE),
            "lesion": self.mask & self.lesion,
        }
        return {name: where for name, where in found.items() if where.any()}

    def difference(self, protocol: Protocol, noise: float, seed: int) -> AslDifference:
        """Return the brain as a scan, with noise in units of `S_REF`."""
        delays = self.density.shape[3]
        density = estimators.with_noise(self.density, noise, seed)
        return AslDifference(
            delta_m=density,
            post_label_delays_s=np.array(protocol.post_label_delays_s),
            label_durations_s=np.full(delays, protocol.label_duration_s),
            m0=np.full(self.mask.shape, PARTITION_ML_PER_G / 2.0, np.float32),
            noise_sd=np.full(density.shape, noise * S_REF, np.float32) if noise else None,
            mask=self.mask,
            affine=self.affine,
            labeling="pcasl",
            labeling_efficiency=1.0,
            field_strength_t=3.0,
            slice_delays_s=np.zeros(self.mask.shape[2]),
            repetitions=np.ones(delays, np.int64),
        )


def cube_rows(
    weights: QtmWeights,
    density: NDArray[np.float32],
    flow: NDArray[np.float32],
    *,
    subject: str,
    condition: str,
    noise: float = 0.0,
    seed: int = 0,
    part: str = "cubes",
    progress: ProgressCallback | None = None,
) -> Iterator[Row]:
    """Score all methods on cubes.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    density : ndarray, shape (N, D, I, J, K), mL/g
        Label density.
    flow : ndarray, shape (N, I, J, K), mL/100 g/min
        The truth.
    subject, condition, part : str
        What rows say about them.
    noise : float
        Added, in units of `S_REF`.
    seed : int
        Of the noise.
    progress : callable, optional
        Progress and cancelling.

    Yields
    ------
    dict
        With the keys `COLUMNS`.
    """
    tell = progress or no_progress
    seen = estimators.with_noise(density, noise, seed)
    place = {"part": part, "subject": subject, "condition": condition, "region": "all voxels"}
    found, variance = estimators.network(weights, seen, noise, progress=part_of(tell, 0.0, 0.6))
    yield from _scored({**place, "method": NETWORK}, scores_of(found, flow))
    from ..asl.qtm import error_of

    error = error_of(found, variance, noise * S_REF, weights)
    covered = 100.0 * float((np.abs(found - flow) <= error).mean())
    yield _row({**place, "method": NETWORK}, "coverage_68", covered)
    yield from _scored({**place, "method": REGRESSION}, scores_of(estimators.regression(weights, seen, noise), flow))
    for number, name in enumerate(KINETIC):
        tell(0.6 + 0.4 * number / len(KINETIC), f"{condition}: {name}")
        yield from _scored({**place, "method": name}, scores_of(estimators.kinetic(name, seen, weights.protocol, noise), flow))


def blurred(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur cubes along the slice axis, as a 3D spin-echo readout does.

    Parameters
    ----------
    density : ndarray, shape (N, D, I, J, K)
        Label density.

    Returns
    -------
    ndarray
        Of the same shape; FWHM 1.5 voxels.
    """
    return np.asarray(gaussian_filter1d(density, _PSF_SD, axis=4, mode="nearest"), np.float32)


def coarser(density: NDArray[np.float32], flow: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scan cubes with voxels of 4 x 4 x 4 mm.

    Parameters
    ----------
    density : ndarray, shape (N, D, I, J, K)
        Label density.
    flow : ndarray, shape (N, I, J, K)
        The truth.

    Returns
    -------
    density, flow : ndarray
        Averaged over blocks of 2 x 2 x 1 voxels.
    """

    def average(values: NDArray[np.float32]) -> NDArray[np.float32]:
        *first, i, j, k = values.shape
        blocks = values.reshape(*first, i // 2, 2, j // 2, 2, k)
        return np.asarray(blocks.mean(axis=(len(first) + 1, len(first) + 3)), np.float32)

    return average(density), average(flow)


def coarse_rows(
    weights: QtmWeights, density: NDArray[np.float32], flow: NDArray[np.float32], *, subject: str, condition: str
) -> Iterator[Row]:
    """Score all methods on cubes that were scanned with 4 mm voxels; the network sees them interpolated to its own.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    density, flow : ndarray
        As for `cube_rows`, on the network's voxels.
    subject, condition : str
        What rows say about them.

    Yields
    ------
    dict
        With the keys `COLUMNS`.
    """
    low, truth = coarser(density, flow)
    place = {"part": "cubes", "subject": subject, "condition": condition, "region": "all voxels"}
    way = Resampling.between(low.shape[2:], (4.0, 4.0, 4.0), VOXEL_MM)
    mask = np.ones(low.shape[2:], bool)
    finer = np.stack([np.moveaxis(way.forth(np.moveaxis(one, 0, 3), mask)[0], 3, 0) for one in low])
    inside = np.ones(finer.shape[2:], bool)
    found = np.stack([way.home(one, inside, mask) for one in estimators.network(weights, finer)[0]])
    yield from _scored({**place, "method": NETWORK}, scores_of(found, truth))
    yield from _scored({**place, "method": REGRESSION}, scores_of(estimators.regression(weights, low), truth))
    for name in KINETIC:
        yield from _scored({**place, "method": name}, scores_of(estimators.kinetic(name, low, weights.protocol), truth))


def brain_maps(
    weights: QtmWeights,
    brain: SimulatedBrain,
    *,
    noise: float = 0.0,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> dict[str, dict[str, NDArray[Any]]]:
    """Quantify a simulated brain by all methods.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    brain : SimulatedBrain
        The brain.
    noise : float
        Added, in units of `S_REF`.
    seed : int
        Of the noise.
    device : str
        For the network.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    dict of dict of ndarray
        Maps by method.
    """
    tell = progress or no_progress
    scan = brain.difference(weights.protocol, noise, seed)
    found = {NETWORK: predict(scan, weights=weights, device=device, progress=part_of(tell, 0.0, 0.6))}
    delays = np.array(weights.protocol.post_label_delays_s)
    for number, (name, (method, options)) in enumerate(KINETIC.items()):
        tell(0.6 + 0.1 * number, f"{brain.name}: {name}")
        wanted = options.get("delay_s", delays[0])
        settings = options if np.abs(delays - wanted).min() < 1e-3 else {}
        found[name] = asl.quantify(scan, method=method, settings=settings)
    tell(0.9, f"{brain.name}: {GUIDED}")
    found[GUIDED] = asl.quantify(scan, method="asl-multi", tissue={"gm": brain.gray, "wm": brain.white})
    return found


def brain_rows(brain: SimulatedBrain, maps: Mapping[str, Mapping[str, NDArray[Any]]], condition: str) -> Iterator[Row]:
    """Score the maps of a simulated brain.

    Parameters
    ----------
    brain : SimulatedBrain
        The truth.
    maps : mapping
        From `brain_maps`.
    condition : str
        What rows say.

    Yields
    ------
    dict
        With the keys `COLUMNS`; regions are all voxels of the brain, pure gray and white matter, and the lesion.
    """
    for method, content in maps.items():
        for region, where in brain.regions().items():
            place = {"part": "brain", "subject": brain.name, "condition": condition, "method": method, "region": region}
            yield from _scored(place, scores_of(content["cbf"], brain.flow, where))
            if "cbf_sd" in content and np.isfinite(content["cbf_sd"][where]).any():
                known = where & np.isfinite(content["cbf_sd"])
                hit = np.abs(content["cbf"] - brain.flow)[known] <= content["cbf_sd"][known]
                yield _row(place, "coverage_68", 100.0 * float(hit.mean()))


def scan_rows(name: str, maps: Mapping[str, Mapping[str, NDArray[Any]]], regions: Mapping[str, BoolArray]) -> Iterator[Row]:
    """Compare maps of a real scan with the network's.

    Parameters
    ----------
    name : str
        Of the scan, without anything that names the patient.
    maps : mapping
        By method, with `NETWORK` and ``asl-multi`` among them.
    regions : mapping of str to ndarray of bool
        Where.

    Yields
    ------
    dict
        Means by method, and how far the network is from ``asl-multi``.
    """
    key = "cbf" if "cbf" in maps[NETWORK] else "rcbf"
    for region, where in regions.items():
        place = {"part": "scan", "subject": name, "condition": key, "region": region}
        for method, content in maps.items():
            known = content[key][where & np.isfinite(content[key])]
            if known.size:
                yield _row({**place, "method": method}, "mean", float(known.mean()))
        both = where & np.isfinite(maps[NETWORK][key]) & np.isfinite(maps["asl-multi"][key])
        if both.any():
            apart = scores_of(maps[NETWORK][key], maps["asl-multi"][key], both)
            yield from _scored({**place, "method": f"{NETWORK} against asl-multi"}, apart)


def high_flow(maps: Mapping[str, Mapping[str, NDArray[Any]]], difference: AslDifference) -> BoolArray:
    """Return the half of a brain with more flow, by the mean of all methods, smoothed so that noise does not choose.

    Parameters
    ----------
    maps : mapping
        By method.
    difference : AslDifference
        Its mask counts.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Mostly gray matter.
    """
    key = "cbf" if "cbf" in maps[NETWORK] else "rcbf"
    mean = np.mean([np.nan_to_num(content[key]) for content in maps.values()], axis=0)
    share = gaussian_filter(difference.mask.astype(np.float32), SMOOTHED_VOXELS)
    smooth = gaussian_filter(np.where(difference.mask, mean, 0.0), SMOOTHED_VOXELS) / np.maximum(share, 1e-6)
    return np.asarray(difference.mask & (smooth > np.median(smooth[difference.mask])))


def values_of(rows: Sequence[Row], **wanted: str) -> list[float]:
    """Return the values of the rows that agree with what is wanted.

    Parameters
    ----------
    rows : sequence of dict
        With the keys `COLUMNS`.
    **wanted : str
        Columns and their texts.

    Returns
    -------
    list of float
        In the order of the rows.
    """
    return [float(row["value"]) for row in rows if all(row[key] == text for key, text in wanted.items())]


def _scored(place: Mapping[str, str], scores: Scores) -> Iterator[Row]:
    for measure, value in scores.as_dict().items():
        yield _row(place, measure, value)


def _row(place: Mapping[str, str], measure: str, value: float) -> Row:
    return {**place, "measure": measure, "value": value, "unit": UNITS[measure]}
