# SPDX-License-Identifier: Apache-2.0
"""Regions whose mean curves a model was fitted to, as they travel from a regional method to tables, charts and viewers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GridMismatchError
from .findings import QualityFinding
from .geometry import FloatArray, check_affine
from .series import check_times


@dataclass(frozen=True, slots=True)
class RegionFit:
    """Regions of a brain with one fitted curve each.

    Parameters
    ----------
    labels : ndarray of int32, shape (I, J, K)
        Number of the region of each voxel, 0 outside.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    rows : tuple of mapping
        One row of the table for each fitted region, all with the same keys in the same order; ``roi_id`` is its number.
    times_s : ndarray, shape (T,), s
        Times of the curves.
    observed, fitted : ndarray, shape (R, T)
        Mean curve of each region and the model's, in the order of `rows`; NaN where a fit failed.
    reference : ndarray, shape (T,)
        The curve that went in: arterial input, or the reference curve of methods without one.
    unit : str
        Unit of the curves.
    relative : bool
        True when flow and volume are only known up to one factor of the whole scan (no arterial input).
    findings : tuple of QualityFinding
        What was odd.
    """

    labels: NDArray[np.int32]
    affine: FloatArray
    rows: tuple[Mapping[str, Any], ...]
    times_s: FloatArray
    observed: NDArray[np.float32]
    fitted: NDArray[np.float32]
    reference: FloatArray
    unit: str = "1/s"
    relative: bool = True
    findings: tuple[QualityFinding, ...] = field(default=())

    def __post_init__(self) -> None:
        check_affine(self.affine)
        shape = (len(self.rows), np.size(check_times(self.times_s, np.size(self.reference))))
        if self.observed.shape != shape or self.fitted.shape != shape or self.labels.ndim != 3:
            msg = (
                f"{len(self.rows)} regions with curves {self.observed.shape} and {self.fitted.shape} do not fit {shape[1]} times."
            )
            raise GridMismatchError(msg)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each region, such as ``GM 3``."""
        return tuple(f"{row.get('tissue') or 'Cluster'} {int(row['roi_id'])}" for row in self.rows)

    @property
    def tissues(self) -> tuple[str, ...]:
        """Tissue of each region: ``GM WM CSF BrainStem``, empty when it has none."""
        return tuple(str(row.get("tissue") or "") for row in self.rows)
