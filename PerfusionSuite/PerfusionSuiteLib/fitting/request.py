# SPDX-License-Identifier: Apache-2.0
"""What a fitting method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.fields import FittedField
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback
from ..core.watch import FitWatch, NoWatch
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
    guide : ndarray, shape (I, J, K), optional
        Static image of the scan (time mean, HU) whose edges may guide methods that look at neighbors.
    gray : ndarray, shape (M,), optional
        Share of gray matter in the voxels to compute, for methods that let gray and white matter differ.
    watch : FitWatch
        Takes losses, previews and notes, and names the folder for checkpoints.
    """

    problem: Problem
    settings: Mapping[str, Any]
    factor: float
    affine: FloatArray | None = None
    device: str = "auto"
    progress: ProgressCallback | None = None
    guide: NDArray[np.float32] | None = None
    gray: NDArray[np.float32] | None = None
    watch: FitWatch = field(default_factory=NoWatch)

    @property
    def mask(self) -> BoolArray:
        """Voxels to compute, in the shape of the maps."""
        inside = np.ones(int(np.prod(self.problem.shape)), bool)
        if self.problem.index is not None:
            inside[:] = False
            inside[self.problem.index] = True
        return inside.reshape(self.problem.shape)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The outcome of a fit.

    Parameters
    ----------
    maps : dict of ndarray
        Maps by quantity in the shape of the request, NaN where not computed.
    field : FittedField, optional
        What was learned, for methods that describe the scan as a field.
    """

    maps: dict[str, NDArray[Any]]
    field: FittedField | None = None
