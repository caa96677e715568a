# SPDX-License-Identifier: Apache-2.0
"""What a kinetic model itself may be wrong by: relaxation times, dispersion, tissues and fluid that share a voxel.

The numbers come from digital patients of development (seeds 101 to 104, recipes clean and typical), so that one standard error
covers about two thirds of their voxels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage, special

from ..core.geometry import FloatArray
from .kinetic import unit_response
from .request import Curves

TISSUE_T1, BLOOD_T1 = 0.03, 0.04
"""Relative standard deviation of T1 of tissue between people and places, and of arterial blood (hematocrit, oxygenation)."""

WHITE_SHORTER, WHITE_BELOW, WHITE_WIDTH = 0.55, 28.0, 6.0
"""Where tissue is not known: by how much ln(T1) of white matter may lie below that which is assumed (0.47 at 3 T, 0.54 at
7 T), and the flow (mL/100 g/min) below which a voxel is rather white matter than gray, with the width of the transition."""

FLOW_ELSE, ARRIVAL_ELSE_S = 0.02, 0.02
"""Dispersion, arrival that differs within a voxel, outflow: of flow relative to it, and of arrival time."""

MIXTURE, FLUID = 0.10, 1.2
"""Of flow relative to it: where gray and white matter, which differ in flow, arrival and T1, share a voxel by halves; and per
fraction of fluid, whose M0 is larger than that of tissue and divides the label of the voxel."""

_RATES, _EVERY, _CHANGE = 5, 5, 0.06


class ModelError(NamedTuple):
    """Standard deviations that the model adds: of flow relative to it, and of arrival in s; shape (N,)."""

    flow: FloatArray
    arrival: FloatArray


def model_error(curves: Curves, arrivals_s: FloatArray, rate: FloatArray, flow: FloatArray, found_s: FloatArray) -> ModelError:
    """Return what the model adds to the noise of flow and arrival time.

    Parameters
    ----------
    curves : Curves
        What was fitted.
    arrivals_s : ndarray, shape (A,), s
        Arrival times that were tried.
    rate : ndarray, shape (N,), 1/s
        Rate of tissue that the fit assumed in each voxel.
    flow : ndarray, shape (N,), mL/100 g/min
        Flow that it found.
    found_s : ndarray, shape (N,), s
        Arrival time that it found.

    Returns
    -------
    ModelError
        Root of the sum of squares of all parts, taken as independent.

    Notes
    -----
    Curves are computed with another T1 of tissue or of blood and fitted as if it were the assumed one: what flow and arrival
    change by, per relative change of T1, is a table over arrival time and rate.
    """
    rates = np.linspace(float(rate.min()), float(rate.max()) + 1e-6, _RATES)
    place = np.stack([
        np.clip((rate - rates[0]) / (rates[1] - rates[0]), 0, _RATES - 1),
        np.clip(found_s / (arrivals_s[_EVERY] - arrivals_s[0]), 0, (arrivals_s.size - 1) // _EVERY),
    ])  # fmt: skip
    tissue = np.full(rate.shape, TISSUE_T1)
    if curves.mixture is None:
        tissue = np.hypot(tissue, WHITE_SHORTER * np.sqrt(special.expit((WHITE_BELOW - flow) / WHITE_WIDTH)))
    of_flow, of_arrival = np.full(rate.shape, FLOW_ELSE**2), np.full(rate.shape, ARRIVAL_ELSE_S**2)
    for spread, changes in ((tissue, (1.0 + _CHANGE, 1.0)), (BLOOD_T1, (1.0, 1.0 + _CHANGE))):
        for total, table in zip((of_flow, of_arrival), _sensitivity(curves, arrivals_s, rates, changes), strict=True):
            total += (spread * ndimage.map_coordinates(table, place, order=1, mode="nearest")) ** 2
    if curves.mixture is not None:
        of_flow += (MIXTURE * curves.mixture[:, 0]) ** 2 + (FLUID * curves.mixture[:, 1]) ** 2
    return ModelError(np.expm1(np.sqrt(of_flow)), np.sqrt(of_arrival))


def _sensitivity(
    curves: Curves, arrivals_s: FloatArray, rates: FloatArray, changes: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Change of ln(flow), and of arrival, per relative change of T1 of tissue or blood; shape (rates, every fifth arrival)."""
    late = float(curves.slice_delay_s.mean())
    some = arrivals_s[::_EVERY, None]

    def responses(arrival: FloatArray, rate: float, blood: float) -> FloatArray:
        found = unit_response(
            arrival, curves.post_label_delays_s + late, curves.label_durations_s, labeling=curves.labeling,
            t1_blood_s=blood * curves.t1_blood_s, rate_per_s=rate,
        )  # fmt: skip
        return np.asarray(found / curves.weights)

    flows, arrivals = np.zeros((rates.size, some.size)), np.zeros((rates.size, some.size))
    for row, rate in enumerate(rates):
        assumed = responses(arrivals_s[:, None], float(rate), 1.0)
        power = np.einsum("ad,ad->a", assumed, assumed)
        power = np.where(power > 1e-8 * power.max(), power, np.inf)
        results = []
        for curve in (responses(some, float(rate), 1.0), responses(some, float(rate) / changes[0], changes[1])):
            product = curve @ assumed.T
            best = (np.maximum(product, 0.0) ** 2 / power).argmax(axis=1)
            results.append((product[np.arange(some.size), best] / power[best], arrivals_s[best]))
        (usual, usual_s), (other, other_s) = results
        known = (usual > 0) & (other > 0)
        flows[row, known] = np.log(other[known] / usual[known]) / _CHANGE
        arrivals[row] = np.where(known, other_s - usual_s, 0.0) / _CHANGE
    return flows, arrivals
