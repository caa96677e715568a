# SPDX-License-Identifier: Apache-2.0
"""Noise reduction in space before deconvolution; curves keep their temporal resolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.choosing import chosen, refuse_unknown
from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray, voxel_sizes
from ..core.progress import ProgressCallback, no_progress
from ..core.values import Concentration
from .neighbors import distance_mm, smooth_curves, weighted_average
from .noise import noise_sd
from .similarity import similarity

GAUSSIAN_MM = {"HU": 2.0, "1/s": 1.0}
BILATERAL_SIGMA_MM = 3.0
THIN_SLICE_MM = 3.0


@dataclass(frozen=True, slots=True)
class NoiseMethod:
    """A way to reduce noise.

    Parameters
    ----------
    name : str
        What users call it.
    title : str
        Name for people.
    apply : callable
        Takes the concentration, the mask of voxels that take part, a guide or None, progress and the method's own options;
        returns curves of shape (N, T) in the order of the mask.
    """

    name: str
    title: str
    apply: Callable[..., NDArray[np.float32]]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the method's own options."""
        parameters = signature(self.apply).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuse options that the method does not have.

        Parameters
        ----------
        options : mapping
            Options by name.

        Raises
        ------
        InvalidInputError
            Naming the unknown ones and those there are.
        """
        refuse_unknown(f"The noise reduction '{self.name}'", self.options, options, "option")


def gaussian(
    concentration: Concentration,
    mask: BoolArray,
    guide: NDArray[np.float32] | None,
    progress: ProgressCallback,
    *,
    sigma_mm: float | None = None,
) -> NDArray[np.float32]:
    """Smooth in plane with a Gaussian, normalised within the mask.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    guide : ndarray or None
        Not used.
    progress : callable
        Called after each slice.
    sigma_mm : float, mm, optional
        Standard deviation; 2 mm for CT, 1 mm for MR by default.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Smoothed curves of the voxels in the mask.
    """
    width = GAUSSIAN_MM.get(concentration.unit, 2.0) if sigma_mm is None else float(sigma_mm)
    _check_positive("sigma_mm", width)
    spacing = voxel_sizes(concentration.affine)
    sigma = (width / spacing[0], width / spacing[1])
    return smooth_curves(concentration.data, mask, sigma, progress=progress)


def bilateral(
    concentration: Concentration,
    mask: BoolArray,
    guide: NDArray[np.float32] | None,
    progress: ProgressCallback,
    *,
    sigma_mm: float = BILATERAL_SIGMA_MM,
) -> NDArray[np.float32]:
    """Average with neighbors whose whole time curve is alike (time-intensity profile similarity).

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    guide : ndarray or None
        Curves that likeness is judged by, instead of the data.
    progress : callable
        Called after each slice.
    sigma_mm : float, mm
        Standard deviation of the spatial weight.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Averaged curves of the voxels in the mask.

    References
    ----------
    Mendrik et al., Phys Med Biol 56:3857 (2011). The width in likeness is such that two curves that differ by noise alone get
    the weight 1/2.
    """
    _check_positive("sigma_mm", sigma_mm)
    curves = concentration.data[mask]
    profiles = curves if guide is None else guide[mask]
    sd = noise_sd(profiles, concentration.baseline_frames)
    pair = 2.0 * max(sd, 1e-6) ** 2
    spacing = voxel_sizes(concentration.affine)
    thick = 1 if spacing[2] <= THIN_SLICE_MM and mask.shape[2] > 1 else 0
    span = range(-3, 4)
    box = [(i, j, k) for i in span for j in span for k in range(-thick, thick + 1) if (i, j, k) != (0, 0, 0)]
    offsets = [(o, float(np.exp(-0.5 * (distance_mm(o, spacing) / sigma_mm) ** 2))) for o in box]
    features = (profiles / np.sqrt(profiles.shape[1] * pair)).astype(np.float32)

    def weight_of(distance: NDArray[np.float32]) -> NDArray[np.float32]:
        weight: NDArray[np.float32] = np.exp2(-(distance * distance)).astype(np.float32)
        return weight

    return weighted_average(curves, features, mask, offsets, weight_of, progress)


def none(
    concentration: Concentration, mask: BoolArray, guide: NDArray[np.float32] | None, progress: ProgressCallback
) -> NDArray[np.float32]:
    """Leave the curves as they are.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that take part.
    guide : ndarray or None
        Not used.
    progress : callable
        Called once.

    Returns
    -------
    ndarray of float32, shape (N, T)
        The curves of the voxels in the mask.
    """
    progress(1.0, "Noise reduction")
    curves: NDArray[np.float32] = concentration.data[mask]
    return curves


NOISE_METHODS: Mapping[str, NoiseMethod] = MappingProxyType(
    {
        method.name: method
        for method in (
            NoiseMethod("similarity", "Average of similar curves", similarity),
            NoiseMethod("gaussian", "Gaussian in plane", gaussian),
            NoiseMethod("bilateral", "Time-profile bilateral", bilateral),
            NoiseMethod("none", "None", none),
        )
    }
)
"""All ways to reduce noise by name."""


def reduce_noise(
    concentration: Concentration,
    *,
    method: str = "similarity",
    guide: NDArray[Any] | None = None,
    exclude: BoolArray | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Concentration:
    """Reduce noise in space before curves are deconvolved.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    method : str
        A name of `NOISE_METHODS`.
    guide : ndarray, shape (I, J, K, T), optional
        Curves that likeness is judged by instead of the data themselves.
    exclude : ndarray of bool, shape (I, J, K), optional
        Vessels, fluid and bone: they keep their own curves and never enter the curve of tissue.
    progress : callable, optional
        Called between slices; may raise `CancelledError`.
    **options
        Options of the method.

    Returns
    -------
    Concentration
        A copy with smoother curves; ``noise_sd`` still tells the noise before.

    Raises
    ------
    InvalidInputError
        If there is no such method or option.
    GridMismatchError
        If a mask or the guide has another shape.
    """
    curves = smoothed_curves(concentration, method=method, guide=guide, exclude=exclude, progress=progress, **options)
    if method == "none":
        return concentration
    data = np.zeros_like(concentration.data)
    data[concentration.mask] = curves
    return replace(concentration, data=data)


def smoothed_curves(
    concentration: Concentration,
    *,
    method: str = "similarity",
    guide: NDArray[Any] | None = None,
    exclude: BoolArray | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> NDArray[np.float32]:
    """Reduce noise as `reduce_noise` does, but return the curves alone: a fifth of the memory of a scan.

    Parameters
    ----------
    concentration : Concentration
        Enhancement.
    method, guide, exclude, progress, **options
        As in `reduce_noise`, with the same errors.

    Returns
    -------
    ndarray of float32, shape (N, T)
        Curves of all voxels of ``concentration.mask``, in its order.

    Raises
    ------
    InvalidInputError
        If there is no such method or option.
    GridMismatchError
        If a mask or the guide has another shape.
    """
    way = chosen(method, NOISE_METHODS, "noise reduction")
    way.check(options)
    shape = concentration.data.shape
    for name, array, wanted in (("excluded region", exclude, shape[:3]), ("guide", guide, shape)):
        if array is not None and np.shape(array) != wanted:
            msg = f"The {name} has shape {np.shape(array)}, expected {wanted}. Use one on the grid of the scan."
            raise GridMismatchError(msg)
    mask = concentration.mask if exclude is None else concentration.mask & ~exclude
    if method == "none" or not mask.any():
        return concentration.data[concentration.mask]
    profiles = None if guide is None else np.asarray(guide, np.float32)
    smooth = way.apply(concentration, mask, profiles, progress or no_progress, **options)
    curves = concentration.data[concentration.mask]
    curves[mask[concentration.mask]] = smooth
    return curves


def _check_positive(name: str, value: float) -> None:
    """Refuse a width that is not positive."""
    if not (np.isfinite(value) and value > 0):
        msg = f"The option {name} is {value!r}; a positive number is expected. Correct the settings."
        raise InvalidInputError(msg)
