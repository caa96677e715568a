# SPDX-License-Identifier: Apache-2.0
"""Perfusion and arrival time from several delays: the general kinetic model, solved exactly in flow at every arrival time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, no_progress
from .arrival_grid import ArrivalGrid, GridFit, fit_on_grid, residual_noise
from .arterial import Arterial, arterial_patterns, fit_arteries
from .kinetic import FLOW_UNIT, tissue_rate, unit_response
from .model_error import model_error
from .request import AslRequest, Curves, curves_of

OPTIONS: Mapping[str, Any] = {
    "estimate": "mean",
    "att_prior_s": 1.3,
    "att_prior_sd_s": 0.4,
    "att_max": 3.0,
    "arterial": False,
    "partition": 0.9,
    "t1_blood": None,
    "t1_tissue": None,
    "t1_gm": None,
    "t1_wm": None,
}
"""``estimate``: ``mean`` over all arrival times by their probability, or ``mode``, the most probable arrival time.
``att_prior_s``, ``att_prior_sd_s``: what is expected of the arrival time; it counts in proportion to the squared noise.
``arterial``: also fit an arterial blood volume and its arrival. ``t1_*``: None takes them from the magnet."""

STEP_S = 0.01
_RATE_BIN = 0.004
"""1/s; a bin's rates differ by what 22 mL/100 g/min of flow change, its mean is used: less than 0.1 % of flow."""
_CHUNK = 4096
_FLOW_OF_RELATIVE = 40.0
"""mL/100 g/min; without M0 the flow that carries label away is unknown, and this is the brain's mean."""
_ROUGH_NOISE = 0.1
"""Part of the mean density that is taken for noise when two delays leave no residual and nothing else tells it."""


def fit(request: AslRequest) -> dict[str, Any]:
    """Fit flow and arrival time, with their standard errors.

    Parameters
    ----------
    request : AslRequest
        The measurement and `OPTIONS`.

    Returns
    -------
    dict of ndarray, shape (N,)
        ``cbf``, ``cbf_sd`` in mL/100 g/min, ``att``, ``att_sd`` in s, ``fit_error`` (residual over noise), with the arterial
        compartment ``abv`` in mL/100 g and ``abat`` in s; ``early``, ``bound``, ``usable``, ``calibrated``.

    Raises
    ------
    InvalidInputError
        If there are fewer than two delays or an option cannot be used.

    Notes
    -----
    Standard errors hold the noise and what the model may be wrong by (`model_error`); the arrival of label that came before the
    first picture is as uncertain as what is expected of it.
    The model is `kinetic.unit_response`; T1' is first that of tissue without flow and then updated once with the flow that was
    found. See `arrival_grid.fit_on_grid` for the estimate, qtmnet section 14 for the expectation of the arrival time.

    References
    ----------
    Buxton et al., Magn Reson Med 40:383 (1998); Woods et al., Magn Reson Med 89:2024 (2023), multi-delay recommendations;
    Golub and Pereyra, SIAM J Numer Anal 10:413 (1973), variable projection.
    """
    return fit_curves(curves_of(request), request.options, request.progress)


def fit_curves(curves: Curves, options: Mapping[str, Any], progress: ProgressCallback = no_progress) -> dict[str, Any]:
    """Fit flow and arrival time to curves, see `fit`.

    Parameters
    ----------
    curves : Curves
        Label densities.
    options : mapping
        `OPTIONS`.
    progress : callable
        Progress.

    Returns
    -------
    dict of ndarray, shape (N,)
        See `fit`.

    Raises
    ------
    InvalidInputError
        See `fit`.
    """
    grid = _grid(options, curves)
    curves = curves if curves.noise is not None else _with_noise_from_residuals(curves, grid)
    artery = _arteries(curves, grid) if options["arterial"] else None
    if artery is not None:
        curves = replace(curves, density=curves.density - artery.part * curves.weights)
    mean = options["estimate"] == "mean"
    progress(0.1, "Arrival times")
    flow = np.full(len(curves.density), _FLOW_OF_RELATIVE if curves.relative else 0.0)
    found = _fitted(curves, grid, flow, mean=mean)
    progress(0.55, "Arrival times")
    if not curves.relative:
        found = _fitted(curves, grid, np.clip(FLOW_UNIT * found.flow, 0.0, 200.0), mean=mean)
    progress(1.0, "Arrival times")
    return _result(curves, grid, found, artery)


def _grid(options: Mapping[str, Any], curves: Curves) -> ArrivalGrid:
    """Check the options and the delays."""
    if curves.post_label_delays_s.size < 2:
        msg = "The scan has one post-label delay, but asl-multi needs at least two. Use asl-single."
        raise InvalidInputError(msg)
    if options["estimate"] not in ("mean", "mode"):
        msg = f"There is no estimate {options['estimate']!r}. Choose 'mean' or 'mode'."
        raise InvalidInputError(msg)
    latest, spread, expected = (float(options[name]) for name in ("att_max", "att_prior_sd_s", "att_prior_s"))
    if not (0.1 <= latest <= 10.0 and spread > 0 and 0 <= expected <= latest):
        msg = (
            f"Arrival times up to {latest:g} s with an expectation of {expected:g} ± {spread:g} s cannot be right. "
            "Give att_max between 0.1 and 10 s, att_prior_s below it and a positive att_prior_sd_s."
        )
        raise InvalidInputError(msg)
    return ArrivalGrid(np.arange(0.0, latest + STEP_S / 2, STEP_S), expected, spread)


def _groups(curves: Curves, rate: FloatArray) -> Iterator[tuple[NDArray[np.int64], float, float]]:
    """Voxels that share a slice delay and nearly a rate: their numbers, the delay and the mean rate."""
    keys = np.stack([np.round(curves.slice_delay_s, 4), np.round(rate / _RATE_BIN)], axis=1)
    _, member = np.unique(keys, axis=0, return_inverse=True)
    member = member.ravel()
    order = np.argsort(member, kind="stable")
    edges = np.flatnonzero(np.diff(member[order], prepend=-1, append=member.size))
    for low, high in pairwise(edges):
        here = order[low:high]
        yield here, float(curves.slice_delay_s[here[0]]), float(rate[here].mean())


def _responses(curves: Curves, grid: ArrivalGrid, shift: float, rate: float) -> FloatArray:
    """Responses of all arrival times, each delay divided by its relative noise."""
    response = unit_response(
        grid.arrival_s[:, None],
        curves.post_label_delays_s + shift,
        curves.label_durations_s,
        labeling=curves.labeling,
        t1_blood_s=curves.t1_blood_s,
        rate_per_s=rate,
    )
    return np.asarray(response / curves.weights)


def _fitted(curves: Curves, grid: ArrivalGrid, flow: FloatArray, *, mean: bool) -> GridFit:
    """Fit all voxels, given the flow that T1' contains."""
    size = len(curves.density)
    rate = tissue_rate(curves.t1_tissue_s, flow, partition=curves.partition)
    noise = curves.noise if curves.noise is not None else np.zeros(size)
    scaled = curves.density / curves.weights
    parts: list[NDArray[Any]] = [*(np.empty(size) for _ in range(5)), np.empty(size, np.int64)]
    for here, shift, shared in _groups(curves, rate):
        responses = _responses(curves, grid, shift, shared)
        for start in range(0, here.size, _CHUNK):
            some = here[start : start + _CHUNK]
            for part, values in zip(parts, fit_on_grid(scaled[some], responses, noise[some], grid, mean=mean), strict=True):
                part[some] = values
    return GridFit(*parts)


def _with_noise_from_residuals(curves: Curves, grid: ArrivalGrid) -> Curves:
    """Take the noise from what a first fit leaves, when repetitions do not tell it."""
    size = len(curves.density)
    free = ArrivalGrid(grid.arrival_s, grid.expected_s, 1e3)
    first = _fitted(replace(curves, noise=np.zeros(size)), free, np.zeros(size), mean=False)
    noise = residual_noise(first.residual, curves.density.shape[1], curves.usable & (first.flow > 0))
    if not np.isfinite(noise):
        used = curves.density[curves.usable]
        noise = _ROUGH_NOISE * float(np.abs(used).mean()) if used.size else 0.0
    return replace(curves, noise=np.full(size, noise))


def _arteries(curves: Curves, grid: ArrivalGrid) -> Arterial:
    """Fit the arterial compartment of all voxels."""
    size, noise = len(curves.density), curves.noise
    found = Arterial(np.zeros(size), np.full(size, np.nan), np.zeros_like(curves.density))
    rate = tissue_rate(curves.t1_tissue_s, _FLOW_OF_RELATIVE, partition=curves.partition)
    scaled = curves.density / curves.weights
    for here, shift, shared in _groups(curves, rate):
        arrivals, courses = arterial_patterns(
            curves.post_label_delays_s + shift,
            curves.label_durations_s,
            labeling=curves.labeling,
            t1_blood_s=curves.t1_blood_s,
            latest_s=float(grid.arrival_s[-1]),
        )
        some = fit_arteries(
            scaled[here], _responses(curves, grid, shift, shared), np.zeros(here.size) if noise is None else noise[here],
            grid.penalty, arrivals, courses / curves.weights,
        )  # fmt: skip
        for all_of_it, values in zip(found, some, strict=True):
            all_of_it[here] = values
    return found


def _result(curves: Curves, grid: ArrivalGrid, found: GridFit, artery: Arterial | None) -> dict[str, Any]:
    """Name and scale the estimates."""
    positive = found.flow > 0
    first = curves.post_label_delays_s + (0.0 if curves.labeling != "pasl" else -curves.label_durations_s)
    arrived = float(first.min()) + curves.slice_delay_s  # before that, all label is in the first picture
    noise = curves.noise if curves.noise is not None else np.zeros(len(positive))
    left = np.sqrt(found.residual / max(curves.density.shape[1] - 2, 1))
    maps: dict[str, Any] = {
        "cbf": FLOW_UNIT * found.flow,
        "att": np.where(positive, found.arrival, np.nan),
        "early": positive & (grid.arrival_s[found.best] <= arrived + STEP_S / 2),
        "bound": positive & (found.best == grid.arrival_s.size - 1),
        "usable": curves.usable,
        "calibrated": curves.calibrated,
        "relative": curves.relative,
    }
    if (noise > 0).any():
        flow = np.full(noise.shape, _FLOW_OF_RELATIVE) if curves.relative else np.clip(maps["cbf"], 0.0, 200.0)
        rate = tissue_rate(curves.t1_tissue_s, flow, partition=curves.partition)
        model = model_error(curves, grid.arrival_s, rate, flow, found.arrival)
        maps["att_sd"] = np.where(positive, np.hypot(found.arrival_sd, model.arrival), np.nan)
        maps["fit_error"] = left / np.maximum(noise, 1e-12)
        maps["cbf_sd"] = np.hypot(FLOW_UNIT * found.flow_sd, model.flow * maps["cbf"])
    if artery is not None:
        maps["abat"], maps["abv"] = artery.arrival, 100.0 * artery.volume
    return maps
