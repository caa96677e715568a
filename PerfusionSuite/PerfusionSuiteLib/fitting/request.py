# SPDX-License-Identifier: Apache-2.0
"""What a fitting method is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback
from ..deconvolution.problem import Problem


@dataclass(frozen=True, slots=True)
class FitRequest:
    """One checked request.

    Parameters
    ----------
    problem : Problem
        Curves, AIF and times.
    settings : mapping
        Every setting of the method, defaults filled in.
    factor : float, mL s / 100 g / min
        From `core.constants.flow_factor`.
    affine : ndarray, shape (4, 4), mm, optional
        Voxel to RAS, for methods that look at neighbours.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``; methods that only run on the CPU ignore it.
    progress : callable, optional
        Progress and cancelling.
    """

    problem: Problem
    settings: Mapping[str, Any]
    factor: float
    affine: FloatArray | None = None
    device: str = "auto"
    progress: ProgressCallback | None = None
