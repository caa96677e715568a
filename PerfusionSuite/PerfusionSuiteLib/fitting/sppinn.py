# SPDX-License-Identifier: Apache-2.0
"""SPPINN: physics-informed neural fields slice by slice, as published for phantoms, for patients, and as re-implemented later.

Independent implementation of the published description (de Vries et al., 2023). PyTorch is imported when a fit starts.
"""

from __future__ import annotations

from .devices import require_torch
from .published.choices import SPPINN as OPTIONS
from .request import FitRequest, Fitted

__all__ = ["OPTIONS", "fit"]


def fit(request: FitRequest) -> Fitted:
    """Fit slice by slice.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid, affine and settings (see `OPTIONS`).

    Returns
    -------
    Fitted
        Maps as `fitting.fit` documents them, and a field of kind ``slices``.

    Raises
    ------
    InvalidInputError
        If a setting or the device cannot be used, or no slice has enough samples.
    MissingPackageError
        If PyTorch is not installed.

    References
    ----------
    de Vries et al., Med Image Anal 90:102971 (2023); de Vries et al., ReSPPINN, Medical Imaging with Deep Learning.
    """
    require_torch("sppinn")
    from .published import slices

    return slices.fit(request)
