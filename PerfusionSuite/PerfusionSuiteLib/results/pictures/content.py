# SPDX-License-Identifier: Apache-2.0
"""What the pictures take from a study, turned and cropped once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.geometry import BoolArray, voxel_volume_ml
from ...core.values import Study
from .views import View, view_of

_RIM_MM = 4.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A study as pictures see it.

    Parameters
    ----------
    study : Study
        The study.
    view : View
        How its grid is turned and cropped.
    brain, tissue, hypoperfusion, core, penumbra : ndarray of bool, shape (R, A, S)
        Turned masks.
    baseline : ndarray, shape (R, A, S)
        Turned baseline within the brain, NaN elsewhere (the skull would outshine it).
    baseline_window : tuple of float
        Its display window.
    """

    study: Study
    view: View
    brain: BoolArray
    tissue: BoolArray
    hypoperfusion: BoolArray
    core: BoolArray
    penumbra: BoolArray
    baseline: NDArray[np.float32]
    baseline_window: tuple[float, float]

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


def scene_of(study: Study) -> Scene:
    """Prepare a study for the pictures.

    Parameters
    ----------
    study : Study
        The study.

    Returns
    -------
    Scene
        What pictures need.
    """
    masks, lesions = study.masks, study.lesions
    view = view_of(masks.brain, lesions.affine)
    baseline = np.where(masks.brain & ~masks.bone, study.concentration.baseline, np.nan).astype(np.float32)
    return Scene(
        study,
        view,
        view.turn(masks.brain),
        view.turn(lesions.tissue if lesions.tissue.any() else masks.brain),
        view.turn(lesions.hypoperfusion),
        view.turn(lesions.core),
        view.turn(lesions.penumbra),
        view.turn(baseline),
        _window(study, baseline),
    )


def _window(study: Study, baseline: NDArray[np.float32]) -> tuple[float, float]:
    if study.series.modality == "ctp" and "baseline" in study.maps:
        return study.maps["baseline"].quantity.display_range
    if study.series.modality == "ctp":
        return 0.0, 80.0
    values = baseline[np.isfinite(baseline)]  # MR signal has no absolute scale
    low, high = np.percentile(values, [1.0, 99.5]) if values.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))
