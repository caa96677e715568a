# SPDX-License-Identifier: Apache-2.0
"""ReSPPINN: a physics-informed neural field over a hash encoding for the whole volume, optionally from a learned start.

Independent implementation of the published description (de Vries et al., MIDL; hash encoding: Müller et al. 2022; Reptile: Nichol
et al. 2018). PyTorch is imported when a fit starts.
"""

from __future__ import annotations

from .devices import require_torch
from .published.choices import RESPPINN as OPTIONS
from .request import FitRequest, Fitted

__all__ = ["OPTIONS", "fit"]


def fit(request: FitRequest) -> Fitted:
    """Fit the whole volume.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid, affine and settings (see `OPTIONS`).

    Returns
    -------
    Fitted
        Maps as `fitting.fit` documents them, and a field of kind ``hash``.

    Raises
    ------
    InvalidInputError
        If a setting, the device or the learned start cannot be used.
    MissingPackageError
        If PyTorch is not installed.

    References
    ----------
    de Vries et al., ReSPPINN, Medical Imaging with Deep Learning; de Vries et al., Med Image Anal 90:102971 (2023).
    """
    require_torch("resppinn")
    from .published import volume

    return volume.fit(request)
