# SPDX-License-Identifier: Apache-2.0
"""Mean label density of regions over the delays, with the kinetic model fitted to the mean: noise hardly biases it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslDifference
from ..core.geometry import BoolArray
from ..core.progress import no_progress
from . import multi
from .kinetic import label_density
from .request import AslRequest, Curves, curves_of
from .single import flow_per_density

_LEAST_VOXELS = 10
_MODEL_STEP_S = 0.05


def region_curves(
    difference: AslDifference,
    regions: Mapping[str, BoolArray],
    *,
    tissue: Mapping[str, NDArray[Any]] | None = None,
    t1_blood_s: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Fit the kinetic model to the mean difference signal of regions.

    In single voxels flow is kept from being negative, which raises the mean of noisy regions; the mean signal of a region has
    so little noise that this plays no part.

    Parameters
    ----------
    difference : AslDifference
        Difference images.
    regions : mapping of str to ndarray of bool, shape (I, J, K)
        Regions; those of fewer than 10 usable voxels are left out.
    tissue : mapping of str to ndarray, optional
        Fractions ``gm`` and ``wm``, for T1 of tissue.
    t1_blood_s : float, s, optional
        T1 of arterial blood.

    Returns
    -------
    dict
        By region: ``cbf`` (mL/100 g/min; None without M0), ``att`` (s; None with fewer than two delays), ``cbf_sd``, ``att_sd``,
        ``delays_s`` (mean over slices), ``observed`` and ``fitted`` (mL/g), ``observed_sd``, and the model's course
        ``model_s``, ``model``.
    """
    options = {**multi.OPTIONS, "t1_blood": t1_blood_s}
    curves = curves_of(AslRequest(difference, options, dict(tissue or {}), "cpu", no_progress))
    found: dict[str, dict[str, Any]] = {}
    for name, region in regions.items():
        inside = region[difference.mask] & curves.usable
        if int(inside.sum()) >= _LEAST_VOXELS:
            found[name] = _fitted(_mean_of(curves, inside), options)
    return found


def _mean_of(curves: Curves, inside: BoolArray) -> Curves:
    """One curve: the mean of some voxels, noise being independent between them."""
    noise = None
    if curves.noise is not None:
        noise = np.array([float(np.sqrt((curves.noise[inside] ** 2).mean() / inside.sum()))])
    return replace(
        curves,
        density=curves.density[inside].mean(axis=0, keepdims=True),
        noise=noise,
        usable=np.ones(1, bool),
        calibrated=np.ones(1, bool),
        slice_delay_s=curves.slice_delay_s[inside].mean(keepdims=True),
        t1_tissue_s=1.0 / (1.0 / curves.t1_tissue_s[inside]).mean(keepdims=True),
    )


def _fitted(curve: Curves, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fit one curve and draw the model through it."""
    several = curve.post_label_delays_s.size > 1
    if several:
        maps = multi.fit_curves(curve, options)
        flow, arrival = float(maps["cbf"][0]), float(maps["att"][0])
        spread = {key: float(maps[key][0]) if key in maps else None for key in ("cbf_sd", "att_sd")}
    else:
        factor = float(flow_per_density(curve, 0, {"decay": "blood"})[0])
        flow, arrival = max(float(curve.density[0, 0]) * factor, 0.0), float("nan")
        spread = {"cbf_sd": None if curve.noise is None else float(curve.noise[0]) * factor, "att_sd": None}
    delays = curve.post_label_delays_s + float(curve.slice_delay_s[0])
    shown = np.arange(0.0, float(delays.max()) + 0.5, _MODEL_STEP_S)
    duration = np.interp(shown, delays, curve.label_durations_s) if several else np.full(shown.size, curve.label_durations_s[0])
    facts: dict[str, Any] = {
        "cbf": None if curve.relative else flow,
        "att": arrival if several and np.isfinite(arrival) else None,
        **(dict.fromkeys(spread) if curve.relative else spread),
        "delays_s": delays.tolist(),
        "observed": curve.density[0].tolist(),
        "observed_sd": None if curve.noise is None else (curve.noise[0] * curve.weights).tolist(),
    }
    if several and np.isfinite(arrival):
        facts |= {
            "fitted": _model(curve, flow, arrival, delays, curve.label_durations_s).tolist(),
            "model_s": shown.tolist(),
            "model": _model(curve, flow, arrival, shown, duration).tolist(),
        }
    return facts


def _model(curve: Curves, flow: float, arrival: float, delays: NDArray[Any], durations: NDArray[Any]) -> NDArray[np.float64]:
    course = label_density(
        flow, arrival, delays, durations, labeling=curve.labeling, t1_blood_s=curve.t1_blood_s,
        t1_tissue_s=float(curve.t1_tissue_s[0]), partition=curve.partition,
    )  # fmt: skip
    return np.asarray(course, np.float64)
