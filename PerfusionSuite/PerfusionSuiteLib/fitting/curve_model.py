# SPDX-License-Identifier: Apache-2.0
"""Tissue curves of the fitted model at any times: flow, transit time and delay applied to an arterial input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import FloatArray
from .response_table import ResponseTable

_DELAY_STEP_S = 0.2
_TRANSIT_NODES = 64
"""Nodes of the table that curves are interpolated from by cubic splines; for an undispersed box no table is needed."""


class CurveModel:
    """Curves of tissue below one arterial input.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Frame times.
    aif : ndarray, shape (T,)
        Arterial input.
    family : str
        Residue, see `response_table.shape_of`.
    dispersion : float
        Share of a positive delay that is spread by the vessels.
    """

    def __init__(self, times_s: FloatArray, aif: FloatArray, family: str = "box", dispersion: float = 0.0) -> None:
        self._table = ResponseTable(times_s, aif, family, dispersion)
        self._exact = bool(np.isinf(self._table.shape)) and dispersion == 0.0

    def curves(self, flow: NDArray[Any], mtt: NDArray[Any], delay: NDArray[Any], times_s: FloatArray) -> NDArray[np.float32]:
        """Return tissue curves.

        Parameters
        ----------
        flow : ndarray, shape (n,), 1/s
            Flow.
        mtt, delay : ndarray, shape (n,), s
            Mean transit time and arrival.
        times_s : ndarray, shape (T,), s
            Where to evaluate, in the time of the scan.

        Returns
        -------
        ndarray, shape (n, T)
            In the unit of the arterial input; NaN where a parameter is.
        """
        flow, mtt, delay = (np.asarray(values, np.float64) for values in (flow, mtt, delay))
        known = np.isfinite(flow) & np.isfinite(mtt) & np.isfinite(delay)
        found = np.full((flow.size, np.size(times_s)), np.nan, np.float32)
        if known.any():
            area = self._boxes if self._exact else self._interpolated
            found[known] = flow[known, None] * area(mtt[known], delay[known], np.asarray(times_s, np.float64))
        return found

    def _boxes(self, mtt: FloatArray, delay: FloatArray, times_s: FloatArray) -> FloatArray:
        since = times_s - delay[:, None]
        area: FloatArray = self._table.integral(since) - self._table.integral(since - mtt[:, None])
        return area

    def _interpolated(self, mtt: FloatArray, delay: FloatArray, times_s: FloatArray) -> FloatArray:
        self._table.times_s = np.asarray(times_s, np.float64)
        steps = max(4, int(np.ceil(np.ptp(delay) / _DELAY_STEP_S)) + 1)
        delays = np.linspace(delay.min() - 1e-6, delay.max() + 1e-6, steps)
        logs = np.linspace(np.log(mtt.min()) - 1e-6, np.log(mtt.max()) + 1e-6, _TRANSIT_NODES)
        table = np.stack([self._table.curves(delays, float(np.exp(node))) for node in logs], axis=1)
        at = np.stack([(values - nodes[0]) / (nodes[1] - nodes[0]) for values, nodes in ((delay, delays), (np.log(mtt), logs))])
        found: FloatArray = np.empty((mtt.size, times_s.size))
        for frame in range(times_s.size):
            found[:, frame] = ndimage.map_coordinates(table[:, :, frame], at, order=3, mode="nearest")
        found *= mtt[:, None]
        return found
