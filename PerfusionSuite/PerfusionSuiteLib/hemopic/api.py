# SPDX-License-Identifier: Apache-2.0
"""`fit`: from DSC concentration curves to maps and regions, with or without an arterial input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.choosing import check_device
from ..core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR, flow_factor
from ..core.errors import GridMismatchError, InvalidInputError, TimingError
from ..core.geometry import BoolArray, FloatArray, check_affine
from ..core.progress import ProgressCallback
from ..core.regions import RegionFit
from ..core.series import check_enough_times, check_times
from ..core.values import InputFunction
from ..core.watch import FitWatch, NoWatch
from ..deconvolution.maps import check_constants
from ..deconvolution.problem import check_aif
from .compat_run import fit_compat
from .physical_reference import find_reference
from .physical_run import PhysicalRequest, curve_noise_sd, fit_physical
from .physical_settings import check_settings
from .registry import find_method


def fit(
    concentration: Any,
    times_s: Any,
    *,
    method: str = "hemopic",
    mask: Any = None,
    affine: Any,
    baseline: Any = None,
    aif: Any = None,
    labels: Any = None,
    priors: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    density: float = BRAIN_DENSITY_G_PER_ML,
    hematocrit_factor: float = HEMATOCRIT_FACTOR,
    progress: ProgressCallback | None = None,
    watch: FitWatch | None = None,
) -> tuple[dict[str, NDArray[Any]], RegionFit]:
    """Fit regional and voxelwise hemodynamics of a DSC-MRI scan.

    Parameters
    ----------
    concentration : array-like, shape (I, J, K, T)
        Change of the relaxation rate, or anything proportional to concentration.
    times_s : array-like, shape (T,), s
        Frame times; they need not be uniform.
    method : {"hemopic", "hemopic-compat"}
        Physical mode, or the published one, which needs `labels` and `priors`.
    mask : array-like of bool, shape (I, J, K), optional
        Voxels to compute; all by default.
    affine : array-like, shape (4, 4), mm
        Voxel to RAS.
    baseline : array-like, shape (I, J, K), optional
        Signal before contrast; helps the built-in estimate of tissue classes.
    aif : array-like, shape (T,), optional
        Arterial input in the unit of `concentration`. Without it flow and volume are relative: right up to one factor of the
        scan.
    labels : array-like of int, shape (I, J, K), optional
        0 background, 1 gray matter, 2 white matter, 3 fluid, 4 brain stem.
    priors : mapping of array-like, shape (I, J, K), optional
        Finished maps ``cbf``, ``cbv``, ``mtt``, for ``hemopic-compat`` only.
    settings : mapping, optional
        Settings of the method; see `METHODS[method].options`.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``; matters with an arterial input only.
    progress : callable, optional
        Called with the finished fraction; may raise to cancel.
    watch : FitWatch, optional
        Takes notes.

    Returns
    -------
    maps : dict of ndarray, shape (I, J, K)
        ``cbf``, ``cbv``, ``mtt``, ``delay`` (after the input: the artery, or the mean arrival at early normal tissue), ``tmax`` =
        delay + MTT / 2; ``cbf_sd cbv_sd mtt_sd delay_sd tmax_sd``; ``prior_mtt`` and ``prior_delay``, posterior over prior
        variance; ``fit_error``; ``dispersion`` when fitted by voxel; ``quality``: uint8 `deconvolution.QualityCode`. NaN where a
        map has no value. The published mode gives ``cbf cbv mtt`` alone.
    regions : RegionFit
        Regions, their table, observed and fitted curves.

    Raises
    ------
    InvalidInputError
        If curves, times, a curve, a map, the method, the device or a setting cannot be used.
    """
    check_constants(density, hematocrit_factor)
    chosen = find_method(method)
    complete = chosen.complete(settings)
    check_device(device)
    data, times = _check_series(concentration, times_s)
    place = check_affine(affine)
    inside = _check_grid(mask, data.shape[:3], "mask")
    if inside is not None and not inside.any():
        msg = "The mask is empty. Check the brain mask, or leave it out to compute every voxel."
        raise InvalidInputError(msg)
    tissue = _check_grid(labels, data.shape[:3], "tissue label image")
    if chosen.needs_priors:
        return _compat(data, times, tissue, priors, inside, complete, place, progress)
    check_enough_times(times)
    checked = check_settings(complete)
    if checked.input == "aif" and aif is None:
        msg = "The setting input=aif asks for an arterial curve, but none was given. Give aif=, or choose input=reference."
        raise InvalidInputError(msg)
    index = np.arange(int(np.prod(data.shape[:3]))) if inside is None else np.flatnonzero(inside.ravel())
    image = _check_grid(baseline, data.shape[:3], "baseline image")
    request = PhysicalRequest(
        curves=np.ascontiguousarray(data.reshape(-1, times.size)[index], dtype=np.float32),
        index=index,
        shape=data.shape[:3],
        affine=place,
        times_s=times,
        settings=checked,
        aif=None if aif is None else check_aif(aif, times),
        labels=None if tissue is None else tissue.ravel()[index].astype(np.uint8),
        baseline=None if image is None else image.ravel()[index].astype(np.float32),
        factor=flow_factor(density, hematocrit_factor),
        device=device,
        progress=progress,
        watch=watch or NoWatch(),
    )
    return fit_physical(request)


def reference_curve(concentration: Any, times_s: Any, *, mask: Any = None) -> InputFunction:
    """Return the curve that stands in for an artery: the mean of early normal tissue.

    Parameters
    ----------
    concentration : array-like, shape (I, J, K, T)
        Change of the relaxation rate.
    times_s : array-like, shape (T,), s
        Frame times.
    mask : array-like of bool, shape (I, J, K), optional
        Brain; all voxels by default.

    Returns
    -------
    InputFunction
        Of kind ``reference``, with the voxels it was averaged over.

    Raises
    ------
    InvalidInputError
        If no voxel enhances.
    """
    data, times = _check_series(concentration, times_s)
    inside = _check_grid(mask, data.shape[:3], "mask")
    index = np.arange(int(np.prod(data.shape[:3]))) if inside is None else np.flatnonzero(inside.ravel())
    curves = np.asarray(data.reshape(-1, times.size)[index], np.float32)
    whole = np.isfinite(curves).all(axis=1)
    curves, index = curves[whole], index[whole]
    if not index.size:
        msg = "No voxel of the mask has a complete curve, so there is no reference curve. Check the mask and the series."
        raise InvalidInputError(msg)
    found = find_reference(curves, times, curve_noise_sd(curves))
    voxels = np.stack(np.unravel_index(index[found.chosen], data.shape[:3]), axis=1).astype(np.int64)
    return InputFunction(times, found.curve, voxels, kind="reference")


def _check_series(concentration: Any, times_s: Any) -> tuple[NDArray[Any], FloatArray]:
    data = np.asarray(concentration)
    if data.ndim == 5 and data.shape[3] == 1:
        data = data[:, :, :, 0]
    if data.ndim != 4 or data.size == 0:
        msg = f"HemoPIC needs curves of shape (I, J, K, T), not {data.shape}. Give the whole series."
        raise InvalidInputError(msg)
    if data.dtype.kind not in "fiu":
        msg = f"Concentration must be real numbers, not {data.dtype}. Convert the series first."
        raise InvalidInputError(msg)
    if np.size(times_s) != data.shape[-1]:
        msg = f"The series has {data.shape[-1]} frames but {np.size(times_s)} frame times. Give one time for each frame."
        raise TimingError(msg)
    return data, check_times(times_s, data.shape[-1])


def _check_grid(image: Any, shape: tuple[int, ...], name: str) -> Any:
    if image is None:
        return None
    values = np.asarray(image)
    if values.shape != shape:
        msg = f"The {name} has shape {values.shape} but the maps have shape {shape}. Resample it to the series."
        raise GridMismatchError(msg)
    return values.astype(bool) if name == "mask" else values


def _compat(
    data: NDArray[Any],
    times: FloatArray,
    labels: NDArray[Any] | None,
    priors: Mapping[str, Any] | None,
    mask: BoolArray | None,
    settings: Mapping[str, Any],
    affine: FloatArray,
    progress: ProgressCallback | None,
) -> tuple[dict[str, NDArray[Any]], RegionFit]:
    """Run the published mode."""
    if labels is None or priors is None:
        msg = "The method hemopic-compat needs tissue labels and finished maps cbf, cbv and mtt. Give them, or choose hemopic."
        raise InvalidInputError(msg)
    interval = float(np.median(np.diff(times))) if times.size > 1 else 1.0
    maps = {name: np.asarray(values) for name, values in priors.items()}
    found, regions = fit_compat(data, interval, labels, maps, mask=mask, affine=affine, progress=progress, **settings)
    return dict(found), regions
