# SPDX-License-Identifier: Apache-2.0
"""What the pictures take from a study, turned and cropped once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.geometry import BoolArray, voxel_volume_ml
from ...core.values import Study
from ..map_study import AnyStudy, modality_of
from .views import View, view_of

_RIM_MM = 4.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A study as pictures see it.

    Parameters
    ----------
    study : Study or MapStudy
        The study.
    view : View
        How its grid is turned and cropped.
    brain, tissue, hypoperfusion, core, penumbra : ndarray of bool, shape (R, A, S)
        Turned masks.
    baseline : ndarray, shape (R, A, S)
        Turned baseline within the brain, NaN elsewhere (the skull would outshine it).
    baseline_window : tuple of float
        Its display window.
    backdrop : str
        What the baseline is, in words: maps of other software may come with none, and blood volume or flow then takes its place.
    backdrop_unit : str
        Its unit.
    """

    study: AnyStudy
    view: View
    brain: BoolArray
    tissue: BoolArray
    hypoperfusion: BoolArray
    core: BoolArray
    penumbra: BoolArray
    baseline: NDArray[np.float32]
    baseline_window: tuple[float, float]
    backdrop: str = "baseline"
    backdrop_unit: str = "HU"

    def inner_baseline(self) -> NDArray[np.float32]:
        """Return the baseline without the rim of the brain, for projections.

        Returns
        -------
        ndarray, shape (R, A, S)
            NaN within 4 mm of the skull, whose blurred edge would cover everything in a maximum, and
            where calcification or bone exceeds the window.
        """
        right, anterior = (max(1, round(_RIM_MM / float(size))) for size in self.view.sizes_mm[:2])
        cross = np.hypot(*np.meshgrid(
            np.arange(-right, right + 1) / right, np.arange(-anterior, anterior + 1) / anterior, indexing="ij"
        )) <= 1.0  # fmt: skip
        inner = ndimage.binary_erosion(self.brain, cross[:, :, None])
        keep = inner & (self.baseline <= self.baseline_window[1])
        return np.where(keep, self.baseline, np.nan).astype(np.float32)

    def volume_ml(self, mask: BoolArray) -> float:
        """Return the volume of a turned mask.

        Parameters
        ----------
        mask : ndarray of bool
            The mask.

        Returns
        -------
        float, mL
            Its volume.
        """
        return float(mask.sum()) * voxel_volume_ml(self.view.affine)


def scene_of(study: AnyStudy) -> Scene:
    """Prepare a study for the pictures.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    Scene
        What pictures need.
    """
    masks, lesions = study.masks, study.lesions
    view = view_of(masks.brain, lesions.affine)
    gray, words, unit = _backdrop(study)
    baseline = np.where(masks.brain & ~masks.bone, gray, np.nan).astype(np.float32)
    return Scene(
        study,
        view,
        view.turn(masks.brain),
        view.turn(lesions.tissue if lesions.tissue.any() else masks.brain),
        view.turn(lesions.hypoperfusion),
        view.turn(lesions.core),
        view.turn(lesions.penumbra),
        view.turn(baseline),
        _window(study, baseline, words),
        words,
        unit,
    )


def drawn_values(study: AnyStudy, key: str) -> NDArray[np.float32]:
    """Return a map as pictures show it: without fluid, where nothing flows and noise would look like tissue.

    Parameters
    ----------
    study : Study or MapStudy
        The study.
    key : str
        Quantity of the map.

    Returns
    -------
    ndarray, shape (I, J, K)
        Its values, NaN in fluid; an image of the head is shown as it is.
    """
    item = study.maps[key]
    return item.values if item.quantity.unit == "HU" else np.where(study.masks.csf, np.float32(np.nan), item.values)


def reading_note(study: AnyStudy) -> str:
    """Return how pictures with maps are to be read.

    Parameters
    ----------
    study : Study or MapStudy
        The study.

    Returns
    -------
    str
        Sides, and what `drawn_values` leaves out.
    """
    note = "Radiological convention: the patient's right is on the left."
    return f"{note} Fluid is not drawn on maps." if study.masks.csf.any() else note


def _backdrop(study: AnyStudy) -> tuple[NDArray[np.float32], str, str]:
    """The gray image under the lesions: baseline, or what comes nearest to it."""
    if isinstance(study, Study):
        return study.concentration.baseline, "baseline", "HU" if study.series.modality == "ctp" else "signal"
    for key in ("baseline", "cbv", "cbf", "rcbf"):
        if key in study.maps:
            unit = "signal" if key == "baseline" and study.modality != "ctp" else study.maps[key].unit
            return study.maps[key].values, "baseline" if key == "baseline" else study.maps[key].quantity.symbol, unit
    return study.masks.brain.astype(np.float32), "brain", ""


def _window(study: AnyStudy, baseline: NDArray[np.float32], backdrop: str) -> tuple[float, float]:
    if modality_of(study) == "ctp" and backdrop == "baseline":
        return study.maps["baseline"].quantity.display_range if "baseline" in study.maps else (0.0, 80.0)
    values = baseline[np.isfinite(baseline)]  # MR signal has no absolute scale
    low, high = np.percentile(values, [1.0, 99.5]) if values.size else (0.0, 1.0)
    return (0.0 if backdrop != "baseline" else float(low)), float(max(high, low + 1e-6))
