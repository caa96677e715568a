# SPDX-License-Identifier: Apache-2.0
"""Brain mask of an ASL scan, from its M0 or control image and from where labeled blood arrives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, voxel_sizes
from ..prepare.dsc_frames import otsu
from ..prepare.in_plane import grow, largest_component, shrink
from ..prepare.skull import brain_findings, drop_partial_ends
from ..prepare.slices import cut_off_finding

BRIGHT_SHARE = 0.55
OPENINGS_MM = (4.0, 6.0, 8.0, 10.0)
LARGEST_ML = 1750.0
CLOSING_MM, RIM_MM = 8.0, 1.5


def brain_of(image: NDArray[np.float32], affine: FloatArray) -> tuple[BoolArray, tuple[QualityFinding, ...]]:
    """Find the brain in an image of the whole head.

    Parameters
    ----------
    image : ndarray, shape (I, J, K), signal
        M0 or mean control image.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Brain with its fluid.
    tuple of QualityFinding
        What is odd about it.

    Raises
    ------
    InvalidInputError
        If the image holds nothing bright.

    Notes
    -----
    What is bright is opened by growing radii until the largest part that stays together has the size of a brain: bone and fluid
    without signal part it from the scalp, and narrow bridges break first.
    """
    spacing = voxel_sizes(affine)
    smooth = np.nan_to_num(np.asarray(image, np.float32))
    smooth = ndimage.gaussian_filter(smooth, 1.0 / spacing, truncate=3.0)
    if not float(smooth.max()) > 0:
        msg = "The image has no bright part that could be a brain. Check the M0 and control images, or give a brain mask."
        raise InvalidInputError(msg)
    bright = smooth > BRIGHT_SHARE * otsu(smooth)
    level = float(np.median(smooth[bright])) if bright.any() else 0.0
    bright &= smooth > 0.35 * level
    part = _opened(bright, spacing)
    closed = shrink(grow(part, CLOSING_MM, spacing), CLOSING_MM, spacing)
    filled = np.stack([ndimage.binary_fill_holes(closed[:, :, k]) for k in range(closed.shape[2])], axis=2)
    whole = largest_component(filled)
    brain, left_out = drop_partial_ends(whole)
    return brain, (*brain_findings(brain, left_out, spacing), *cut_off_finding(brain, affine))


def _opened(bright: BoolArray, spacing: FloatArray) -> BoolArray:
    """The largest part that stays together, opened only as much as is needed to part it from the scalp."""
    volume = float(np.prod(spacing)) / 1000.0
    part = bright
    for radius in OPENINGS_MM:
        step = max(radius, 1.01 * float(spacing[:2].min()))
        core = largest_component(shrink(bright, step, spacing))
        part = grow(core, step + RIM_MM, spacing) & bright
        if part.sum() * volume <= LARGEST_ML:
            break
    return part
