# SPDX-License-Identifier: Apache-2.0
"""What fits of whole volumes are compared on: a phantom's curves with their artery, guide and truth, under a named condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.values import Concentration

PHANTOMS: Mapping[str, str] = {
    "tiles": "7 x 7 tiles of known flow, transit time and delay (Kudo et al. 2013)",
    "brain": "analytic brain with a right-sided stroke",
    "crop": "64 x 64 x 8 voxels around the stroke of the analytic brain",
    "patients": "digital CTP patients of recipe clean, still",
}
"""What estimators can be compared on."""

PAPER_CLIP: Mapping[str, tuple[float, float]] = {
    "cbf": (0.0, 150.0), "cbv": (0.0, 10.0), "mtt": (0.0, 30.0), "delay": (0.0, 10.0), "tmax": (0.0, 20.0),
}  # fmt: skip
"""Ranges that maps of phantoms are limited to before they are compared (de Vries et al., Med Image Anal 90:102971, 2023)."""

BORDER_PX = 2
FIRST_FRAMES = 4
TEMPORAL_KERNEL = (0.25, 0.5, 0.25)


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """Which phantom is scanned how.

    Parameters
    ----------
    phantom : str
        A key of `PHANTOMS`.
    family : str
        Residue of all tissue: ``box``, ``exponential``, ``linear`` or ``gamma:K``.
    noise_hu : float, HU
        Noise of a voxel and frame.
    gaussian_px : float
        Standard deviation of an in-plane Gaussian that replaces the filter of every method (0: none does).
    half_frames : bool
        Every other frame is left out.
    """

    phantom: str = "crop"
    family: str = "box"
    noise_hu: float = 2.0
    gaussian_px: float = 0.0
    half_frames: bool = False

    def __post_init__(self) -> None:
        if self.phantom not in PHANTOMS:
            msg = f"There is no phantom '{self.phantom}'. Choose one of: {', '.join(PHANTOMS)}."
            raise InvalidInputError(msg)
        if not (self.noise_hu >= 0 and 0 <= self.gaussian_px <= 20):
            msg = f"Noise of {self.noise_hu} HU and a Gaussian of {self.gaussian_px} pixels make no sense. Correct them."
            raise InvalidInputError(msg)

    @property
    def name(self) -> str:
        """In words."""
        words = [self.phantom, self.family, f"{self.noise_hu:g} HU"]
        words += [f"Gaussian {self.gaussian_px:g} px"] if self.gaussian_px else []
        return ", ".join([*words, "half of the frames"] if self.half_frames else words)

    @property
    def slug(self) -> str:
        """For names of files."""
        return self.name.replace(", ", "-").replace(" ", "").replace(":", "").replace(".", "p").lower()

    def as_columns(self) -> dict[str, Any]:
        """Return the fields as cells of a table.

        Returns
        -------
        dict
            By the name of the field.
        """
        return asdict(self)


FACTORS = tuple(f.name for f in fields(FieldCondition))


@dataclass(frozen=True, slots=True)
class FieldScan:
    """A phantom ready for estimators.

    Parameters
    ----------
    concentration : Concentration
        Enhancement of all voxels of the brain.
    aif : ndarray, shape (T,), HU
        Arterial input after partial-volume scaling.
    guide : ndarray, shape (I, J, K), HU
        Mean over time.
    truth : mapping of str to ndarray, shape (I, J, K)
        ``cbf cbv mtt delay tmax``; ``cbf_healthy`` where it is known.
    masks : mapping of str to ndarray of bool
        ``scored`` (what counts), ``inner`` (`scored` without borders of tiles), ``hypoperfusion``, ``core``, and ``uniform``
        (`scored` without rims of the lesion) where the phantom says it.
    filtered : bool
        Whether noise reduction has been done already, for every method alike.
    """

    concentration: Concentration
    aif: FloatArray
    guide: NDArray[np.float32]
    truth: Mapping[str, NDArray[np.float32]]
    masks: Mapping[str, BoolArray]
    filtered: bool = False


def make_scan(series: Any, truth: Any, condition: FieldCondition) -> FieldScan:
    """Turn a phantom into what estimators are given.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.
    truth : PhantomTruth
        What is true about it.
    condition : FieldCondition
        Prefilter and frames; phantom, family and noise are taken as done.

    Returns
    -------
    FieldScan
        Curves minus their mean before the artery's contrast arrives. The artery of the tiles is measured in the image and scaled
        by the vein (mean of the first frames subtracted, areas over all frames); elsewhere it is the true one at the frame times.
    """
    kept = slice(None, None, 2 if condition.half_frames else 1)
    data, times = series.data[..., kept], series.times_s[kept]
    frames = _baseline_frames(truth, times)
    brain = np.asarray(truth.masks["brain"], bool)
    baseline = data[..., :frames].mean(axis=3)
    enhancement = np.where(brain[..., None], data - baseline[..., None], 0.0).astype(np.float32)
    artery = np.asarray(truth.fractions["artery"]) > 0
    aif = (
        _measured_artery(data, artery, truth, min(FIRST_FRAMES, frames))
        if condition.phantom == "tiles"
        else np.interp(times, truth.fine_times_s, truth.fine_aif)
    )
    mask = brain & ~np.asarray(truth.masks["csf"], bool) & ~np.asarray(truth.masks["bone"], bool)
    if condition.phantom == "tiles":
        mask &= np.asarray(truth.masks["scored"], bool).any(axis=(0, 1))  # the section of the vessels holds no tissue to fit
    if condition.gaussian_px:
        enhancement = paper_filter(enhancement, condition.gaussian_px, mask)
        aif = correlate1d(aif, TEMPORAL_KERNEL, mode="nearest")
    concentration = Concentration(enhancement, series.affine, times, mask, baseline.astype(np.float32), baseline_frames=frames)
    scored = np.asarray(truth.masks["scored"], bool) & mask & np.isfinite(truth.maps["cbf"])
    masks = {
        "scored": scored,
        "inner": scored & _away_from_borders(truth, condition),
        "hypoperfusion": np.asarray(truth.masks["hypoperfusion"], bool),
        "core": np.asarray(truth.masks["core"], bool),
    }
    if "uniform" in truth.masks:
        masks["uniform"] = masks["scored"] & truth.masks["uniform"]
    guide = np.asarray(data.mean(axis=3), np.float32)
    return FieldScan(concentration, np.asarray(aif, float), guide, truth.maps, masks, bool(condition.gaussian_px))


def paper_filter(data: NDArray[np.float32], sigma_px: float, mask: BoolArray) -> NDArray[np.float32]:
    """Smooth as for the published phantom experiments: a truncated Gaussian in plane, then three frames weighted 1, 2, 1.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T)
        Curves.
    sigma_px : float
        Standard deviation of the Gaussian in pixels, cut off at ``ceil(2 sigma)``.
    mask : ndarray of bool, shape (I, J, K)
        What takes part; outside nothing is averaged in.

    Returns
    -------
    ndarray of float32, shape (I, J, K, T)
        Smoothed curves, zero outside the mask.
    """
    reach = int(np.ceil(2.0 * sigma_px))
    steps = np.linspace(-reach, reach, 2 * reach + 1)
    kernel = np.exp(-0.5 * (steps / sigma_px) ** 2)
    kernel /= kernel.sum()
    inside = mask.astype(np.float32)
    weight, smooth = inside, data * inside[..., None]
    for axis in (0, 1):
        weight = correlate1d(weight, kernel, axis=axis, mode="constant")
        smooth = correlate1d(smooth, kernel, axis=axis, mode="constant")
    smooth = np.where(mask[..., None], smooth / np.maximum(weight, 1e-6)[..., None], 0.0)
    return np.asarray(correlate1d(smooth, TEMPORAL_KERNEL, axis=3, mode="nearest"), np.float32)


def _baseline_frames(truth: Any, times_s: FloatArray) -> int:
    aif = np.asarray(truth.fine_aif)
    arrival = float(np.asarray(truth.fine_times_s)[np.argmax(aif > 0.01 * aif.max())])
    return max(1, int((times_s <= arrival).sum()))


def _measured_artery(data: NDArray[Any], artery: BoolArray, truth: Any, first: int) -> FloatArray:
    curves = [data[where].mean(axis=0, dtype=np.float64) for where in (artery, np.asarray(truth.fractions["vein"]) > 0)]
    aif, vof = (curve - curve[:first].mean() for curve in curves)
    return np.asarray(aif * (vof.sum() / aif.sum()))


def _away_from_borders(truth: Any, condition: FieldCondition) -> BoolArray:
    """Leave out the pixels on either side of each inner border between tiles, in both directions."""
    shape = np.shape(truth.maps["cbf"])
    if condition.phantom != "tiles":
        return np.ones(shape, bool)
    tile = int(truth.parameters["tile_px"])
    margin = tile // 2
    keep = np.ones(shape, bool)
    for border in (margin + tile * number for number in range(1, 7)):
        keep[border - BORDER_PX : border + BORDER_PX] = False
        keep[:, border - BORDER_PX : border + BORDER_PX] = False
    return keep
