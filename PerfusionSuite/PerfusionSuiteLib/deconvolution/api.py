# SPDX-License-Identifier: Apache-2.0
"""`deconvolve`: from concentration curves and an arterial input to perfusion maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR, flow_factor
from ..core.progress import ProgressCallback
from .engine import run
from .maps import check_constants, make_maps, spread
from .problem import make_problem
from .registry import find_method
from .threads import own_threads


def deconvolve(
    concentration: Any,
    aif: Any,
    times_s: Any,
    *,
    method: str = "osvd",
    mask: Any = None,
    density: float = BRAIN_DENSITY_G_PER_ML,
    hematocrit_factor: float = HEMATOCRIT_FACTOR,
    residue: bool = False,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> dict[str, NDArray[Any]]:
    """Compute perfusion maps by deconvolution.

    Parameters
    ----------
    concentration : array-like, shape (..., T)
        Tissue curves, time last. Non-uniform frame times are resampled inside.
    aif : array-like, shape (T,)
        Arterial input in the unit of `concentration`.
    times_s : array-like, shape (T,), s
        Frame times.
    method : str
        A key of `METHODS`.
    mask : array-like of bool, shape (...), optional
        Voxels to compute; all by default.
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.
    residue : bool
        Also return the flow-scaled residues.
    progress : callable, optional
        Called with the finished fraction; may raise to cancel.
    **options
        Settings of the method; see `METHODS[method].options`.

    Returns
    -------
    dict of ndarray, shape (...)
        ``cbf`` in mL/100 g/min: maximum of the residue. ``cbv`` in mL/100 g: ratio of the areas, negative ones kept.
        ``mtt`` in s: their ratio. ``tmax`` in s: time of the maximum. ``delay`` in s: where the residue rises through half its
        maximum, or the fitted arrival for delay-corrected methods. All float32, NaN where not computed. ``quality``: uint8
        `QualityCode`. On request ``residue`` of shape (..., W) in 1/s, and ``residue_times_s`` of shape (W,) (for
        delay-corrected methods counted from the voxel's own arrival).

    Raises
    ------
    InvalidInputError
        If curve, AIF, times, mask, method or an option cannot be used.

    References
    ----------
    Østergaard et al., MRM 36:715 (1996); Wu et al., MRM 50:164 (2003); Calamante et al., MRM 50:1237 (2003). OSIPI CAPLEX
    G.MI1.003, Q.PH1.001, Q.PH1.003, Q.PH1.006.
    """
    check_constants(density, hematocrit_factor)
    chosen = find_method(method)
    settings = chosen.complete(options)
    problem = make_problem(concentration, aif, times_s, mask)
    with own_threads():  # many small decompositions: threads of the library would only wait for each other
        estimator = chosen.prepare(problem, settings)
    raw = run(problem, estimator, residue=residue, progress=progress)
    maps = make_maps(problem, raw, flow_factor(density, hematocrit_factor))
    if raw.residue is not None:
        maps["residue"] = spread(problem, raw.residue)
        maps["residue_times_s"] = np.asarray(estimator.lags_s, np.float64)
    return maps
