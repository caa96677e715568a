# SPDX-License-Identifier: Apache-2.0
"""Mean label density of regions over the delays, with a kinetic model fitted to the mean: noise hardly biases it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslDifference
from ..core.geometry import BoolArray
from ..core.progress import no_progress
from . import multi, single, weighted_delay
from .kinetic import label_density
from .request import AslRequest, Curves, curves_of

_LEAST_VOXELS = 10
_MODEL_STEP_S = 0.05
_KINETIC = ("asl-single", "asl-multi", "asl-multi-wd")


def model_of(method: str | None, delays: int) -> str:
    """Return which kinetic model is fitted to mean curves.

    Parameters
    ----------
    method : str or None
        The method of the run.
    delays : int
        Number of post-label delays.

    Returns
    -------
    str
        The method itself where it is a kinetic model; beside a network ``asl-multi``, or ``asl-single`` with one delay.
    """
    if method is not None and method in _KINETIC:
        return method
    return "asl-multi" if delays > 1 else "asl-single"


def region_curves(
    difference: AslDifference,
    regions: Mapping[str, BoolArray],
    *,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    tissue: Mapping[str, NDArray[Any]] | None = None,
    t1_blood_s: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Fit a kinetic model to the mean difference signal of regions.

    In single voxels flow is kept from being negative, which raises the mean of noisy regions; the mean signal of a region has
    so little noise that this plays no part.

    Parameters
    ----------
    difference : AslDifference
        Difference images.
    regions : mapping of str to ndarray of bool, shape (I, J, K)
        Regions; those of fewer than 10 usable voxels are left out.
    method : str, optional
        Method of the run; `model_of` tells which model that means.
    options : mapping, optional
        Every option of `method`; used when it is a kinetic model.
    tissue : mapping of str to ndarray, optional
        Fractions ``gm`` and ``wm``, for T1 of tissue.
    t1_blood_s : float, s, optional
        T1 of arterial blood, for the model beside a network.

    Returns
    -------
    dict
        By region: ``method`` (the model), ``cbf`` (mL/100 g/min; None without M0), ``att`` (s; None where the model knows
        none), ``cbf_sd``, ``att_sd``, ``delays_s`` (mean over slices), ``observed`` (mL/g), ``observed_sd``, and with an
        arrival time ``fitted`` and the model's course ``model_s``, ``model``.
    """
    name = model_of(method, difference.post_label_delays_s.size)
    fit = _fit_of(name, dict(options or {}) if name == method and options else None, t1_blood_s, difference, dict(tissue or {}))
    curves = fit.curves()
    found: dict[str, dict[str, Any]] = {}
    for region, voxels in regions.items():
        inside = voxels[difference.mask] & curves.usable
        if int(inside.sum()) >= _LEAST_VOXELS:
            found[region] = fit.of(_mean_of(curves, inside))
    return found


def _fit_of(
    name: str,
    options: Mapping[str, Any] | None,
    t1_blood_s: float | None,
    difference: AslDifference,
    tissue: Mapping[str, NDArray[Any]],
) -> _Fit:
    """A model with its options, the defaults where the run used another method."""
    defaults = {"asl-single": single.OPTIONS, "asl-multi": multi.OPTIONS, "asl-multi-wd": weighted_delay.OPTIONS}[name]
    chosen = {**defaults, **({"t1_blood": t1_blood_s} if options is None else options)}
    if name == "asl-multi":  # in a mean without noise, whatever the model misses would pass for label in arteries
        chosen["arterial"] = False
    return _Fit(name, AslRequest(difference, chosen, tissue, "cpu", no_progress))


@dataclass(frozen=True, slots=True)
class _Fit:
    """A kinetic model and what it is asked."""

    name: str
    request: AslRequest

    def curves(self) -> Curves:
        """All voxels as the model sees them."""
        return curves_of(weighted_delay.one_tissue(self.request) if self.name == "asl-multi-wd" else self.request)

    def of(self, curve: Curves) -> dict[str, Any]:
        """Fit one curve and draw the model through it."""
        maps = self._fitted(curve)
        flow, arrival = float(maps["cbf"][0]), float(maps["att"][0]) if "att" in maps else float("nan")
        spread = {key: float(maps[key][0]) if key in maps else None for key in ("cbf_sd", "att_sd")}
        delays = curve.post_label_delays_s + float(curve.slice_delay_s[0])
        facts: dict[str, Any] = {
            "method": self.name,
            "cbf": None if curve.relative else flow,
            "att": arrival if np.isfinite(arrival) else None,
            **(dict.fromkeys(spread) if curve.relative else spread),
            "delays_s": delays.tolist(),
            "observed": curve.density[0].tolist(),
            "observed_sd": None if curve.noise is None else (curve.noise[0] * curve.weights).tolist(),
        }
        return facts | (_drawn(curve, flow, arrival, delays) if np.isfinite(arrival) else {})

    def _fitted(self, curve: Curves) -> dict[str, Any]:
        if self.name == "asl-single":
            return single.fit_curves(curve, self.request)
        if self.name == "asl-multi-wd":
            return weighted_delay.fit_curves(curve, self.request.options)
        return multi.fit_curves(curve, self.request.options)


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
        mixture=None if curves.mixture is None else curves.mixture[inside].mean(axis=0, keepdims=True),
    )


def _drawn(curve: Curves, flow: float, arrival: float, delays: NDArray[Any]) -> dict[str, Any]:
    """The model at the delays, and its course."""
    shown = np.arange(0.0, float(delays.max()) + 0.5, _MODEL_STEP_S)
    duration = np.interp(shown, delays, curve.label_durations_s)
    return {
        "fitted": _model(curve, flow, arrival, delays, curve.label_durations_s).tolist(),
        "model_s": shown.tolist(),
        "model": _model(curve, flow, arrival, shown, duration).tolist(),
    }


def _model(curve: Curves, flow: float, arrival: float, delays: NDArray[Any], durations: NDArray[Any]) -> NDArray[np.float64]:
    course = label_density(
        flow, arrival, delays, durations, labeling=curve.labeling, t1_blood_s=curve.t1_blood_s,
        t1_tissue_s=float(curve.t1_tissue_s[0]), partition=curve.partition,
    )  # fmt: skip
    return np.asarray(course, np.float64)
