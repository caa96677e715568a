# SPDX-License-Identifier: Apache-2.0
"""What is known about a digital patient: maps, masks, curves, motion, and every drawn parameter."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.files import write_json, written_beside
from ..core.geometry import LPS_TO_RAS, BoolArray, FloatArray, voxel_sizes

_UNITS = {
    "cbf": "mL/100g/min", "cbv": "mL/100g", "mtt": "s", "delay": "s", "tmax": "s", "ktrans": "1/min", "adc": "1e-6 mm2/s",
    "adc_measured": "1e-6 mm2/s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PhantomTruth:
    """The truth that comes with a digital patient, on the acquisition grid of the scan.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (I, J, K)
        ``cbf`` (mL/100 g/min), ``cbv`` (mL/100 g), ``mtt``, ``delay``, ``tmax`` (s); weighted by
        tissue volume within a voxel, NaN where there is no tissue. ``tmax`` is delay + MTT / 2.
    fractions : mapping of str to ndarray, shape (I, J, K)
        Volume fractions ``gm wm deep csf artery vein bone``.
    masks : mapping of str to ndarray of bool, shape (I, J, K)
        ``brain csf vessel bone hypoperfusion core penumbra fate old_infarct``; ``late_by_nature`` (Tmax above 6 s though no
        vessel is blocked: neither lesion nor normal), ``scored`` (at most 20 % vessel, bone and fluid each, and not late by
        nature), ``pure`` (``scored`` with at most 2 % vessel: a method's error rather than a
        vessel's contrast), ``core_drawn`` (the core as drawn, before any threshold on flow).
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s : ndarray, shape (T,), s
        Frame times.
    aif, vof : ndarray, shape (T,), HU or 1/s
        True concentration at the feeding artery and in the sagittal sinus at the frame times.
    fine_times_s : ndarray, shape (F,), s
        The 0.1 s axis of the forward model.
    fine_aif, fine_vof : ndarray, shape (F,)
        The same curves on the fine axis.
    frame_transforms : ndarray, shape (T, 4, 4), mm
        Rigid motion of the head in RAS: takes a point of the still head to where it is in a frame.
    side : {"left", "right", "bilateral", "none"}
        The patient's affected side.
    midplane : ndarray, shape (4,)
        Mid-sagittal plane ``n . x = d`` in RAS mm: unit normal pointing to the right, then d.
    volumes_ml : mapping of str to float, mL
        Volumes of the lesion masks.
    parameters : mapping
        Every drawn parameter, nested by subject, as plain JSON values.
    curve_unit : {"HU", "mM"}
        Unit of the curves.
    """

    maps: Mapping[str, NDArray[np.float32]]
    fractions: Mapping[str, NDArray[np.float32]]
    masks: Mapping[str, BoolArray]
    affine: FloatArray
    times_s: FloatArray
    aif: FloatArray
    vof: FloatArray
    fine_times_s: FloatArray
    fine_aif: FloatArray
    fine_vof: FloatArray
    frame_transforms: FloatArray
    side: str = "none"
    midplane: FloatArray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    curve_unit: str = "HU"


def write_truth(truth: PhantomTruth, folder: str | Path) -> Path:
    """Write the truth as NIfTI images, a JSON file and two CSV files.

    Parameters
    ----------
    truth : PhantomTruth
        What to write.
    folder : path-like
        Gets ``<map>.nii.gz``, ``fraction_<tissue>.nii.gz``, ``mask_<name>.nii.gz``, ``truth.json``,
        ``curves.csv`` (frame times) and ``curves_fine.csv`` (0.1 s); made when missing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to.
    """
    target = Path(folder)
    for name, values in truth.maps.items():
        _write_image(target / f"{name}.nii.gz", np.asarray(values, np.float32), truth.affine)
    for name, values in truth.fractions.items():
        _write_image(target / f"fraction_{name}.nii.gz", np.asarray(values, np.float32), truth.affine)
    for name, mask in truth.masks.items():
        _write_image(target / f"mask_{name}.nii.gz", np.asarray(mask, np.uint8), truth.affine)
    write_json(
        target / "truth.json",
        {
            "side": truth.side,
            "midplane": truth.midplane,
            "volumes_ml": truth.volumes_ml,
            "affine": truth.affine,
            "times_s": truth.times_s,
            "frame_transforms": truth.frame_transforms,
            "units": {**_UNITS, "aif": truth.curve_unit, "vof": truth.curve_unit},
            "parameters": truth.parameters,
        },
    )
    _write_curves(target / "curves.csv", truth.times_s, truth.aif, truth.vof)
    _write_curves(target / "curves_fine.csv", truth.fine_times_s, truth.fine_aif, truth.fine_vof)
    return target


def _write_image(path: Path, values: NDArray[Any], affine: FloatArray) -> None:
    lps = LPS_TO_RAS @ affine
    spacing = voxel_sizes(affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    with written_beside(path) as temporary:
        sitk.WriteImage(image, str(temporary), True)


def _write_curves(path: Path, times_s: FloatArray, aif: FloatArray, vof: FloatArray) -> None:
    with written_beside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["time_s", "aif", "vof"])
        writer.writerows(zip(times_s.tolist(), aif.tolist(), vof.tolist(), strict=True))
