# SPDX-License-Identifier: Apache-2.0
"""Perfusion and arrival time from the weighted delay, as published; our `asl-multi` is the better one under noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .kinetic import FLOW_UNIT, tissue_rate, unit_response
from .request import AslRequest, Curves, curves_of

OPTIONS: Mapping[str, Any] = {
    "t1_tissue": 1.2,
    "t1_gm": None,
    "t1_wm": None,
    "t1_blood": None,
    "partition": 0.9,
    "att_max": 3.0,
}
"""``t1_tissue``: one T1 of tissue for all voxels, as published; None takes it from the magnet and the tissue fractions."""

_STEP_S = 0.01


def fit(request: AslRequest) -> dict[str, Any]:
    """Read the arrival time off the weighted delay, then the flow off the sum of all delays.

    Parameters
    ----------
    request : AslRequest
        The measurement and `OPTIONS`.

    Returns
    -------
    dict of ndarray, shape (N,)
        ``cbf`` in mL/100 g/min, ``att`` in s; ``bound`` and ``early`` (arrival outside of what delays can tell), ``usable``,
        ``calibrated``, ``relative``.

    Raises
    ------
    InvalidInputError
        If there are fewer than two delays.

    Notes
    -----
    ``WD = sum(PLD dM) / sum(dM)`` of the model rises with the arrival time and is inverted on a 10 ms grid; it is flat while all
    label has arrived before the first picture.

    References
    ----------
    Dai et al., Magn Reson Med 67:1252 (2012); Hu et al., arXiv 2311.10640, equation 7 with t = LD + PLD.
    """
    return fit_curves(curves_of(one_tissue(request)), request.options)


def fit_curves(curves: Curves, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fit flow and arrival time to curves, see `fit`.

    Parameters
    ----------
    curves : Curves
        Label densities, of a request without fractions where the options name one T1 of tissue (`one_tissue`).
    options : mapping
        `OPTIONS`.

    Returns
    -------
    dict of ndarray, shape (N,)
        See `fit`.

    Raises
    ------
    InvalidInputError
        See `fit`.
    """
    if curves.post_label_delays_s.size < 2:
        msg = "The scan has one post-label delay, but asl-multi-wd needs at least two. Use asl-single."
        raise InvalidInputError(msg)
    grid = np.arange(0.0, float(options["att_max"]) + _STEP_S / 2, _STEP_S)
    size = curves.density.shape[0]
    cbf, att = np.zeros(size), np.full(size, np.nan)
    early, bound = np.zeros(size, bool), np.zeros(size, bool)
    keys = np.stack([curves.slice_delay_s, np.round(curves.t1_tissue_s, 2)], axis=1)
    groups, member = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(member.ravel(), kind="stable")
    edges = np.searchsorted(member.ravel()[order], np.arange(len(groups) + 1))
    for at, (shift, t1) in enumerate(groups):
        here = order[edges[at] : edges[at + 1]]
        cbf[here], att[here], early[here], bound[here] = _inverted(curves, here, grid, float(shift), float(t1))
    flags = {"usable": curves.usable, "calibrated": curves.calibrated, "relative": curves.relative}
    return {"cbf": cbf, "att": att, "early": early, "bound": bound, **flags}


def one_tissue(request: AslRequest) -> AslRequest:
    """Return the request without fractions of tissue when its options name one T1 for all of it.

    Parameters
    ----------
    request : AslRequest
        With `OPTIONS`.

    Returns
    -------
    AslRequest
        The same, or one without fractions.
    """
    if request.options["t1_tissue"] is None:
        return request
    return AslRequest(request.difference, request.options, {}, request.device, request.progress)


def _inverted(
    curves: Curves, here: np.ndarray[Any, Any], grid: FloatArray, shift: float, t1_tissue: float
) -> tuple[FloatArray, FloatArray, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Flow and arrival time of the voxels of one slice delay and tissue."""
    delays = curves.post_label_delays_s + shift
    model = unit_response(
        grid[:, None],
        delays,
        curves.label_durations_s,
        labeling=curves.labeling,
        t1_blood_s=curves.t1_blood_s,
        rate_per_s=tissue_rate(t1_tissue),
    )
    total = model.sum(axis=1)
    known = total > 1e-9
    weighted = (model[known] @ delays) / total[known]
    rising = np.maximum.accumulate(weighted)
    first = int(np.flatnonzero(rising > rising[0] + 1e-6)[0]) - 1 if (rising > rising[0] + 1e-6).any() else 0
    last = int(rising.argmax())
    sums = curves.density[here].sum(axis=1)
    safe = np.where(sums > 0, sums, 1.0)
    measured = (curves.density[here] @ delays) / safe
    att = np.interp(measured, rising[first : last + 1], grid[known][first : last + 1])
    att = np.where(sums > 0, att, np.nan)
    response = np.interp(np.nan_to_num(att, nan=0.0), grid, total)
    cbf = np.where(sums > 0, FLOW_UNIT * sums / np.maximum(response, 1e-9), 0.0)
    return cbf, att, measured <= rising[first], measured >= rising[last]
