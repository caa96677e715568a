# SPDX-License-Identifier: Apache-2.0
"""Random draws: one seed gives independent streams by subject, so that a change of noise leaves the anatomy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SUBJECTS = ("anatomy", "vessels", "bolus", "tissue", "lesion", "scanner", "motion", "noise", "fate")


def stream(seed: int, subject: str, *sub: int) -> np.random.Generator:
    """Return the stream of random numbers of one subject of one patient.

    Parameters
    ----------
    seed : int
        The patient.
    subject : str
        One of `SUBJECTS`.
    *sub : int
        Further key, for example a frame number.

    Returns
    -------
    numpy.random.Generator
        Independent of all other subjects and keys.
    """
    key = (SUBJECTS.index(subject), *sub)
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=key))


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], fwhm_voxels: float) -> NDArray[np.float32]:
    """Return a Gaussian random field of mean 0 and standard deviation 1.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream.
    shape : tuple of int
        Shape of the lattice.
    fwhm_voxels : float
        Full width at half maximum of the smoothing, in lattice steps.

    Returns
    -------
    ndarray, shape `shape`
        The field.
    """
    field = rng.standard_normal(shape, dtype=np.float32)
    field = ndimage.gaussian_filter(field, fwhm_voxels / 2.355, mode="wrap")
    normal: NDArray[np.float32] = ((field - field.mean()) / field.std()).astype(np.float32)
    return normal


def lognormal(rng: np.random.Generator, median: float, sigma: float, low: float, high: float) -> float:
    """Return a log-normal number within bounds.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream.
    median, sigma : float
        Median and standard deviation of the logarithm.
    low, high : float
        Bounds; values beyond are clipped.

    Returns
    -------
    float
        The draw.
    """
    return float(np.clip(median * np.exp(sigma * rng.standard_normal()), low, high))
