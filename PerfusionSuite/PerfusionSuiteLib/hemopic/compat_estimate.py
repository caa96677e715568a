# SPDX-License-Identifier: Apache-2.0
"""Tissue labels of a subject from its own series, where there is neither FreeSurfer nor a label image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray
from ..core.nifti import read_volume
from ..core.nifti_like import source_header
from ..core.progress import ProgressCallback
from .physical_features import curve_features
from .subjects import FLOW, SERIES, Subject
from .tissue_estimate import estimate_tissue
from .tracer import as_series, tracer_curves

_LARGEST_SHARE = 0.8
_FEWEST = 1000


def estimate_labels(subject: Subject, *, progress: ProgressCallback | None = None) -> NDArray[np.uint8]:
    """Estimate gray matter, white matter and CSF from the subject's raw series.

    Parameters
    ----------
    subject : Subject
        Folder with ``MR_4DPWI`` and ``MR_rCBF``; the brain is where the supplied flow is positive.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    ndarray of uint8, shape (I, J, K)
        0 outside, 1 gray matter, 2 white matter, 3 CSF; the brain stem is not told from white matter.

    Raises
    ------
    InvalidInputError
        If a file is missing or the flow map does not show where the brain is.
    """
    paths = subject.need(SERIES, FLOW)
    flow, affine = read_volume(paths[FLOW])
    raw, _ = read_volume(paths[SERIES])
    series = as_series(raw.reshape(source_header(paths[SERIES]).sizes))
    if series.shape[:3] != flow.shape:
        names = paths[SERIES].name, paths[FLOW].name
        msg = f"'{names[0]}' has {series.shape[:3]} voxels but '{names[1]}' has {flow.shape}. Resample one of them."
        raise GridMismatchError(msg)
    brain = _brain(flow, paths[FLOW].name)
    curves, end, _ = tracer_curves(series, progress=progress)
    index = np.flatnonzero(brain.ravel())
    # Areas alone are compared, so the unknown interval does not matter here.
    features = curve_features(curves[brain], np.arange(series.shape[3], dtype=np.float64))
    baseline = np.asarray(series[..., :end], np.float32).mean(axis=3)[brain]
    labels = np.zeros(brain.shape, np.uint8)
    labels[brain] = estimate_tissue(features, baseline, index, brain.shape, affine)
    return labels


def _brain(flow: NDArray[np.generic], name: str) -> BoolArray:
    positive = np.isfinite(flow) & (np.nan_to_num(flow) > 0)
    brain: BoolArray = np.zeros(positive.shape, bool)
    for k in range(positive.shape[2]):  # flow may be zero in a core: such holes belong to the brain
        brain[..., k] = ndimage.binary_fill_holes(ndimage.binary_closing(positive[..., k], iterations=2))
    if not _FEWEST <= np.count_nonzero(brain) <= _LARGEST_SHARE * brain.size:
        found = f"{np.count_nonzero(brain)} of {brain.size} voxels"
        msg = f"'{name}' does not show where the brain is ({found}). Give labels (--labels FILE)."
        raise InvalidInputError(msg)
    return brain
