# SPDX-License-Identifier: Apache-2.0
"""Less noise for less detail: difference images smoothed within the brain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..core.asl import AslDifference
from ..core.errors import InvalidInputError
from ..core.geometry import voxel_sizes


def smoothed_difference(difference: AslDifference, fwhm_mm: float) -> AslDifference:
    """Smooth difference images by a Gaussian that takes nothing from outside of the brain.

    Parameters
    ----------
    difference : AslDifference
        Difference images; M0 stays as it is, since it has little noise.
    fwhm_mm : float, mm
        Full width at half maximum; 0 changes nothing.

    Returns
    -------
    AslDifference
        With the noise that is left.

    Raises
    ------
    InvalidInputError
        If the width cannot be meant.

    Notes
    -----
    Images are divided by M0 before and multiplied by it after, so that the border of fluid does not darken tissue. The noise of
    neighbors counts as independent: its standard error falls by the root of the sum of squared weights.
    """
    if not 0.0 <= fwhm_mm <= 30.0:
        msg = f"A smoothing of {fwhm_mm:g} mm cannot be meant. Give 0 to 30 mm, for example 5."
        raise InvalidInputError(msg)
    if fwhm_mm == 0.0:
        return difference
    mask, sigma = difference.mask, fwhm_mm / 2.355 / voxel_sizes(difference.affine)
    m0 = np.ones(mask.shape, np.float32) if difference.m0 is None else difference.m0
    usable = mask & np.isfinite(difference.delta_m).all(axis=3) & np.isfinite(m0) & (m0 > 0)
    weight = ndimage.gaussian_filter(usable.astype(np.float32), sigma)
    images = np.array(difference.delta_m, np.float32)
    for at in range(images.shape[3]):
        share = np.where(usable, images[..., at] / np.where(usable, m0, 1.0), 0.0).astype(np.float32)
        smooth = ndimage.gaussian_filter(share, sigma) / np.maximum(weight, 1e-3) * m0
        images[..., at] = np.where(usable, smooth, images[..., at])
    noise = difference.noise_sd
    if noise is not None:
        point = np.zeros([2 * int(np.ceil(4 * s)) + 1 for s in sigma])
        point[tuple(n // 2 for n in point.shape)] = 1.0
        left = float(np.sqrt((ndimage.gaussian_filter(point, sigma) ** 2).sum()))
        noise = (noise * np.float32(left)).astype(np.float32)
    return replace(difference, delta_m=images, noise_sd=noise)
