# SPDX-License-Identifier: Apache-2.0
"""Perfusion from one delay: the equation of the consensus, with every factor that vendors and papers put into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .kinetic import FLOW_UNIT, tissue_rate, unit_response
from .request import AslRequest, Curves, curves_of, relaxation_of

OPTIONS: Mapping[str, Any] = {
    "delay_s": None,
    "decay": "blood",
    "arrival_s": 1.3,
    "partition": 0.9,
    "t1_blood": None,
    "t1_tissue": None,
    "t1_gm": None,
    "t1_wm": None,
    "saturation_s": None,
    "averages": 1,
    "vendor_factor": 1.0,
}
"""``delay_s``: which delay to use (None: the one nearest to the recommended 1.8 s). ``decay``: ``blood`` (consensus) or
``tissue`` (label decays like tissue after ``arrival_s``). ``saturation_s``: time between the saturation of M0 and its picture.
``averages`` (NEX) and ``vendor_factor`` (SF): what difference images were multiplied by and reading has not divided out."""

RECOMMENDED_DELAY_S = 1.8
"""Alsop 2015: 1.8 s for the healthy up to 70 years; 2 s for patients."""


def fit(request: AslRequest) -> dict[str, Any]:
    """Quantify one delay.

    Parameters
    ----------
    request : AslRequest
        The measurement and `OPTIONS`.

    Returns
    -------
    dict of ndarray, shape (N,)
        ``cbf`` and, where the noise is known, ``cbf_sd``, in mL/100 g/min; ``usable``, ``calibrated``, ``relative``.

    Raises
    ------
    InvalidInputError
        If an option cannot be used.

    Notes
    -----
    ``CBF = 6000 lambda (1 - exp(-ST/T1t)) exp(PLD/T1b) dM / (2 alpha T1b (1 - exp(-LD/T1b)) NEX SF M0)``; for PASL
    ``6000 lambda exp(TI/T1b) dM / (2 alpha TI1 M0)`` with the bolus duration TI1.

    References
    ----------
    Alsop et al., Magn Reson Med 73:102 (2015), equations 1 and 2; Hu et al., arXiv 2311.10640, equation 6.
    """
    return fit_curves(curves_of(request), request)


def fit_curves(curves: Curves, request: AslRequest) -> dict[str, Any]:
    """Quantify one delay of curves, see `fit`.

    Parameters
    ----------
    curves : Curves
        Label densities.
    request : AslRequest
        `OPTIONS` and the magnet.

    Returns
    -------
    dict of ndarray, shape (N,)
        See `fit`.

    Raises
    ------
    InvalidInputError
        See `fit`.
    """
    at = chosen_delay(curves.post_label_delays_s, request.options["delay_s"])
    factor = flow_per_density(curves, at, request.options) * _published_factor(request)
    cbf = np.maximum(curves.density[:, at] * factor, 0.0)
    flags = {"usable": curves.usable, "calibrated": curves.calibrated, "relative": curves.relative}
    found: dict[str, Any] = {"cbf": cbf, **flags}
    if curves.noise is not None:
        found["cbf_sd"] = curves.noise * curves.weights[at] * factor
    return found


def chosen_delay(delays_s: FloatArray, wanted_s: Any) -> int:
    """Return which delay is used.

    Parameters
    ----------
    delays_s : ndarray, shape (D,), s
        The delays of the scan.
    wanted_s : float or None, s
        The delay that a user asked for.

    Returns
    -------
    int
        Its index.

    Raises
    ------
    InvalidInputError
        If the scan has no such delay.
    """
    if wanted_s is None:
        return int(np.abs(delays_s - RECOMMENDED_DELAY_S).argmin())
    at = int(np.abs(delays_s - float(wanted_s)).argmin())
    if abs(float(delays_s[at]) - float(wanted_s)) > 0.02:
        listed = ", ".join(f"{delay:g}" for delay in delays_s)
        msg = f"The scan has no post-label delay of {float(wanted_s):g} s. It has {listed} s; choose one of these as delay_s."
        raise InvalidInputError(msg)
    return at


def flow_per_density(curves: Curves, at: int, options: Mapping[str, Any]) -> FloatArray:
    """Return what turns the label density of one delay into flow.

    Parameters
    ----------
    curves : Curves
        Times and relaxation.
    at : int
        Which delay.
    options : mapping
        ``decay`` and ``arrival_s``.

    Returns
    -------
    ndarray, shape (N,), mL/100 g/min per mL/g
        The factor.

    Raises
    ------
    InvalidInputError
        If there is no such decay.
    """
    delay = curves.post_label_delays_s[at] + curves.slice_delay_s
    duration, blood = float(curves.label_durations_s[at]), curves.t1_blood_s
    if options["decay"] == "tissue":
        rate = tissue_rate(curves.t1_tissue_s)
        arrival = float(options["arrival_s"])
        response = unit_response(arrival, delay, duration, labeling=curves.labeling, t1_blood_s=blood, rate_per_s=rate)
        if not (response > 0).all():
            msg = f"Label that arrives at {arrival:g} s has not arrived at the picture. Choose an earlier arrival_s."
            raise InvalidInputError(msg)
        return FLOW_UNIT / response
    if options["decay"] != "blood":
        msg = f"There is no decay {options['decay']!r}. Choose 'blood' or 'tissue'."
        raise InvalidInputError(msg)
    effective = duration if curves.labeling == "pasl" else blood * -np.expm1(-duration / blood)
    return np.asarray(FLOW_UNIT * np.exp(delay / blood) / effective)


def _published_factor(request: AslRequest) -> float:
    """Saturation of M0, averages and vendor's factor; 1 by default."""
    options = request.options
    averages, vendor = float(options["averages"]), float(options["vendor_factor"])
    if averages <= 0 or vendor <= 0:
        msg = f"Averages of {averages:g} and a vendor's factor of {vendor:g} cannot be right. Give positive numbers."
        raise InvalidInputError(msg)
    waited = options["saturation_s"]
    saturation = 1.0 if waited is None else float(-np.expm1(-float(waited) / relaxation_of(request).tissue))
    return saturation / (averages * vendor)
