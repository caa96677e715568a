# SPDX-License-Identifier: Apache-2.0
"""`fit`: from concentration curves and an arterial input to perfusion maps, by a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ..core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR, flow_factor
from ..core.errors import InvalidInputError
from ..core.geometry import check_affine
from ..core.progress import ProgressCallback
from ..deconvolution.maps import check_constants
from ..deconvolution.problem import make_problem
from .registry import find_method
from .request import FitRequest


def fit(
    concentration: Any,
    aif: Any,
    times_s: Any,
    *,
    method: str = "nlr",
    affine: Any = None,
    mask: Any = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    density: float = BRAIN_DENSITY_G_PER_ML,
    hematocrit_factor: float = HEMATOCRIT_FACTOR,
    progress: ProgressCallback | None = None,
) -> tuple[dict[str, NDArray[Any]], None]:
    """Fit a perfusion model to every curve.

    Parameters
    ----------
    concentration : array-like, shape (..., T)
        Tissue curves, time last. Frame times need not be uniform.
    aif : array-like, shape (T,)
        Arterial input in the unit of `concentration`.
    times_s : array-like, shape (T,), s
        Frame times.
    method : str
        A key of `METHODS`.
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

    Returns
    -------
    maps : dict of ndarray, shape (...)
        ``cbf`` in mL/100 g/min, ``cbv`` in mL/100 g, ``mtt``, ``delay`` and ``tmax`` = delay + MTT / 2 in s, their standard
        errors ``cbf_sd``, ``mtt_sd``, ``delay_sd``, and ``fit_error``: residual over noise. Float32, NaN where not computed.
        ``quality``: uint8 `deconvolution.QualityCode`.
    field : None
        Reserved for methods that fit a continuous field.

    Raises
    ------
    InvalidInputError
        If curve, AIF, times, mask, method, device or a setting cannot be used.
    """
    check_constants(density, hematocrit_factor)
    chosen = find_method(method)
    complete = chosen.complete(settings)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        msg = f"There is no device '{device}'. Use auto, cpu, cuda or cuda:0."
        raise InvalidInputError(msg)
    checked = None if affine is None else check_affine(affine)
    problem = make_problem(concentration, aif, times_s, mask)
    request = FitRequest(problem, complete, flow_factor(density, hematocrit_factor), checked, device, progress)
    return chosen.fit(request), None
