# SPDX-License-Identifier: Apache-2.0
"""`fit`: from concentration curves and an arterial input to perfusion maps, by a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.choosing import check_device
from ..core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR, flow_factor
from ..core.errors import GridMismatchError, InvalidInputError
from ..core.fields import FittedField
from ..core.geometry import check_affine
from ..core.progress import ProgressCallback
from ..core.watch import FitWatch, NoWatch
from ..deconvolution.maps import check_constants
from ..deconvolution.problem import Problem, make_problem
from .registry import find_method
from .request import FitRequest


def fit(
    concentration: Any,
    aif: Any,
    times_s: Any,
    *,
    method: str = "spatial",
    affine: Any = None,
    mask: Any = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    density: float = BRAIN_DENSITY_G_PER_ML,
    hematocrit_factor: float = HEMATOCRIT_FACTOR,
    progress: ProgressCallback | None = None,
    guide: Any = None,
    gray: Any = None,
    watch: FitWatch | None = None,
) -> tuple[dict[str, NDArray[Any]], FittedField | None]:
    """Fit a perfusion model to every curve.

    Parameters
    ----------
    concentration : array-like, shape (..., T)
        Tissue curves, time last; (I, J, K, T) for methods that look at neighbors. Frame times need not be uniform.
    aif : array-like, shape (T,)
        Arterial input in the unit of `concentration`.
    times_s : array-like, shape (T,), s
        Frame times.
    method : str
        A key of `METHODS`. The default looks at neighbors and needs PyTorch, curves on a grid and the affine.
    affine : array-like, shape (4, 4), mm, optional
        Voxel to RAS, for methods that look at neighbours.
    mask : array-like of bool, shape (...), optional
        Voxels to compute; all by default.
    settings : mapping, optional
        Settings of the method; see `METHODS[method].options`.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``; a method that only runs on the CPU ignores it.
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.
    progress : callable, optional
        Called with the finished fraction; may raise to cancel.
    guide : array-like, shape (I, J, K), optional
        Static image of the scan, such as the mean over time in HU, for methods that can use its edges.
    gray : array-like, shape (...), optional
        Share of gray matter, 0 to 1, for methods that let gray and white matter have residues of their own (see
        `prepare.gray_share`). Without it methods that look at neighbors read it off the guide.
    watch : FitWatch, optional
        Takes losses, previews and notes while a long fit runs, and names the folder for checkpoints.

    Returns
    -------
    maps : dict of ndarray, shape (...)
        ``cbf`` in mL/100 g/min, ``cbv`` in mL/100 g, ``mtt``, ``delay`` and ``tmax`` = delay + MTT / 2 in s, their standard
        errors ``cbf_sd``, ``mtt_sd``, ``delay_sd``, ``tmax_sd`` and ``fit_error``, residual over noise, where a method has them.
        Float32, NaN where not computed. ``quality``: uint8 `deconvolution.QualityCode`.
    field : FittedField or None
        What was learned, from methods that describe the scan as a field.

    Raises
    ------
    InvalidInputError
        If curve, AIF, times, mask, method, device or a setting cannot be used.
    """
    check_constants(density, hematocrit_factor)
    chosen = find_method(method)
    complete = chosen.complete(settings)
    check_device(device)
    checked = None if affine is None else check_affine(affine)
    problem = make_problem(concentration, aif, times_s, mask)
    if chosen.on_grid and (len(problem.shape) != 3 or checked is None):
        msg = f"The method '{chosen.name}' looks at neighbors. Give curves of shape (I, J, K, T) together with the affine."
        raise InvalidInputError(msg)
    request = FitRequest(
        problem, complete, flow_factor(density, hematocrit_factor), checked, device, progress,
        _check_guide(guide, problem.shape), _check_gray(gray, problem), watch or NoWatch(),
    )  # fmt: skip
    fitted = chosen.fit(request)
    return fitted.maps, fitted.field


def _check_guide(guide: Any, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    if guide is None:
        return None
    image = np.asarray(guide, np.float32)
    if image.shape != shape:
        msg = f"The guide has shape {image.shape} but the maps have shape {shape}. Resample the guide to the series."
        raise GridMismatchError(msg)
    return image


def _check_gray(gray: Any, problem: Problem) -> NDArray[np.float32] | None:
    """Shares of the voxels to compute."""
    if gray is None:
        return None
    share = np.asarray(gray, np.float32)
    if share.shape != problem.shape:
        msg = f"The share of gray matter has shape {share.shape}, the maps have {problem.shape}. Give one number for each voxel."
        raise GridMismatchError(msg)
    chosen = share.ravel() if problem.index is None else share.ravel()[problem.index]
    if not ((chosen >= 0) & (chosen <= 1)).all():
        msg = "The share of gray matter must lie between 0 and 1 in every voxel to compute. Correct the image."
        raise InvalidInputError(msg)
    return chosen
