# SPDX-License-Identifier: Apache-2.0
"""The voxel grid of a stack from the positions of its images, gantry tilt included."""

from __future__ import annotations

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import LPS_TO_RAS, FloatArray, check_affine
from .dicom_headers import ImageHeader, orientation_of
from .notes import Notes

_TILT_DEG = 0.5
_UNEVEN = 0.05


def grid_of(slices: list[ImageHeader], notes: Notes) -> FloatArray:
    """Return the affine of a stack.

    Parameters
    ----------
    slices : list of ImageHeader
        One image per slice, in the order of the slices.
    notes : Notes
        Gets findings about tilt and uneven spacing.

    Returns
    -------
    ndarray, shape (4, 4), mm
        Voxel (column, row, slice) to RAS. The slice axis follows the image corners, so that a tilted gantry gives a
        sheared grid rather than a straightened one.

    Raises
    ------
    InvalidInputError
        If position, orientation or spacing is missing, or the slices do not lie on a line.
    """
    image = slices[0]
    directions = orientation_of(image)
    if directions is None or image.spacing is None or any(item.position is None for item in slices):
        msg = "The DICOM images have no position, orientation or pixel spacing. Choose the original series."
        raise InvalidInputError(msg)
    places = np.array([item.position for item in slices])
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = directions[0] * image.spacing[1], directions[1] * image.spacing[0]
    lps[:3, 3] = places[0]
    if len(slices) == 1:
        lps[:3, 2] = directions[2] * _single_step(image, notes)
    else:
        lps[:3, 2] = (places[-1] - places[0]) / (len(slices) - 1)
        _check_line(places, lps, notes)
        _check_tilt(lps[:3, 2], directions[2], notes)
    return check_affine(LPS_TO_RAS @ lps)


def _single_step(image: ImageHeader, notes: Notes) -> float:
    steps = [step for step in (image.slice_spacing, image.thickness) if np.isfinite(step) and step > 0]
    if steps:
        return float(steps[0])
    message = "The scan is one slice whose thickness is not known; 1 mm was taken, so that volumes in mL are wrong."
    notes.find("unknown_thickness", "error", message, "Use the original series, or judge areas and ratios only.")
    return 1.0


def _check_line(places: FloatArray, lps: FloatArray, notes: Notes) -> None:
    expected = lps[:3, 3] + np.arange(len(places))[:, None] * lps[:3, 2]
    step = float(np.linalg.norm(lps[:3, 2]))
    worst = float(np.linalg.norm(places - expected, axis=1).max())
    if worst <= max(_UNEVEN * step, 0.05):
        return
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    message = f"Slices are {steps.min():.2f} to {steps.max():.2f} mm apart; positions are off by up to {worst:.2f} mm."
    severe = float(steps.max()) > 1.5 * float(steps.min())
    advice = "Volumes and distances along the slice axis are wrong where slices are missing. Export the series again."
    notes.find("uneven_slices", "error" if severe else "warning", message, advice)


def _check_tilt(step: FloatArray, normal: FloatArray, notes: Notes) -> None:
    cosine = float(abs(step @ normal) / np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(min(cosine, 1.0))))
    if tilt > _TILT_DEG:
        notes.decide(f"The gantry was tilted by {tilt:.1f} degrees; the sheared grid was kept.")
        message = f"The gantry was tilted by {tilt:.1f} degrees, so that slices are stacked obliquely."
        notes.find("gantry_tilt", "info", message, "Nothing to do; viewers that cannot show sheared grids straighten them.")
