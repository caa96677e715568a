# SPDX-License-Identifier: Apache-2.0
"""Partial-volume scaling: an arterial voxel shares its space with tissue, a large vein does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.values import InputFunction
from . import gamma_variate
from .quality import TRUNCATED_TAIL, describe, warning, with_findings

POOR_FIT = 0.10
HOPELESS_TAIL = 0.5
"""A venous curve that ends above this part of its peak says nothing about its area unless a fit succeeds."""

LARGE_FACTOR = 4.0


@dataclass(frozen=True, slots=True)
class AreaRatio:
    """How the venous area compares with the arterial one.

    Parameters
    ----------
    factor : float
        Area of the VOF over area of the AIF; NaN when it could not be determined.
    from_fit : bool
        True when the areas are those of fitted gamma variates.
    fit_rms : float
        The worse of the two residuals, over the peak.
    """

    factor: float
    from_fit: bool
    fit_rms: float


def area_ratio(aif: InputFunction, vof: InputFunction) -> AreaRatio:
    """Compare the areas of a venous and an arterial curve.

    Two estimates are used. One is the ratio of the first-pass areas of fitted gamma variates. The other compares sampled
    areas up to the same age of the bolus: the artery is cut as long before the end of the scan as it precedes the vein, so that
    both curves hold the same part of the recirculation. Where the venous curve is cut off the fits are used alone; where
    they miss, the sampled areas alone, unless the curve ends above half of its peak; otherwise the geometric mean of both.

    Parameters
    ----------
    aif, vof : InputFunction
        Curves with their baseline at zero.

    Returns
    -------
    AreaRatio
        NaN as factor when the venous curve ends above half of its peak and a fit misses by more than 10 % of the peak.
    """
    a = gamma_variate.fit(aif.values, aif.times_s)
    v = gamma_variate.fit(vof.values, vof.times_s)
    rms = max(float(a.rms), float(v.rms))
    usable = bool(a.success) and bool(v.success) and rms <= POOR_FIT
    fitted = float(v.area) / float(a.area) if usable else float("nan")
    artery, vein = describe(aif.times_s, aif.values), describe(vof.times_s, vof.values)
    if vein["tail"] > HOPELESS_TAIL or (usable and vein["tail"] > TRUNCATED_TAIL):
        return AreaRatio(fitted, True, rms)
    delay = max(vein["first_moment_s"] - artery["first_moment_s"], 0.0)
    end = float(vof.times_s[-1])
    sampled = _area_until(vof, end) / max(_area_until(aif, end - delay), 1e-12)
    if not usable:
        return AreaRatio(sampled, False, rms)
    return AreaRatio(float(np.sqrt(max(fitted * sampled, 0.0))), True, rms)


def _area_until(curve: InputFunction, end_s: float) -> float:
    times = np.concatenate([curve.times_s[curve.times_s < end_s], [end_s]])
    return float(np.trapezoid(np.interp(times, curve.times_s, curve.values), times))


def scale_to_vof(aif: InputFunction, vof: InputFunction | None, *, max_factor: float = 10.0) -> InputFunction:
    """Scale the arterial curve so that its first-pass area equals the venous one.

    Parameters
    ----------
    aif : InputFunction
        The measured arterial curve.
    vof : InputFunction or None
        The venous curve; without one the AIF is returned unscaled with the findings ``vof_missing`` and
        ``absolute_values_unreliable``.
    max_factor : float
        Largest factor that is applied.

    Returns
    -------
    InputFunction
        With the factor in `scale` and in ``quality["scale"]``. A ratio below 1 is taken as 1; above 4 ``aif_scaled_large`` is
        flagged, above `max_factor` it is limited; when the venous area cannot be determined the curve is not scaled.

    Raises
    ------
    InvalidInputError
        If `max_factor` is below 1 or the AIF was scaled already.
    """
    if not max_factor >= 1.0:
        msg = f"The largest scale factor is {max_factor:g}. Give a number of at least 1."
        raise InvalidInputError(msg)
    if aif.scale != 1.0:
        msg = f"The arterial curve was already scaled by {aif.scale:g}. Start from the measured curve."
        raise InvalidInputError(msg)
    if vof is None:
        missing = warning("vof_missing", "No vein was found, so the arterial curve was not scaled.", "Mark a large vein by hand.")
        return with_findings(aif, missing, _unreliable("no venous curve is available"), quality={**aif.quality, "scale": 1.0})
    ratio = area_ratio(aif, vof)
    delay = float(vof.times_s[int(np.argmax(vof.values))] - aif.times_s[int(np.argmax(aif.values))])
    quality = {**aif.quality, "area_ratio": ratio.factor, "aif_vof_delay_s": delay, "scale_fit_rms": ratio.fit_rms}
    if not np.isfinite(ratio.factor):
        reason = f"the venous curve is cut off and its fit misses by {100 * ratio.fit_rms:.0f} % of the peak"
        return with_findings(aif, _unreliable(reason), quality={**quality, "scale": 1.0})
    factor = float(np.clip(ratio.factor, 1.0, max_factor))
    findings = []
    if ratio.factor > LARGE_FACTOR:
        limited = f", limited to {max_factor:g}" if ratio.factor > max_factor else ""
        findings.append(
            warning(
                "aif_scaled_large",
                f"The venous area is {ratio.factor:.1f} times the arterial one{limited}.",
                "The arterial voxels hold little blood; check both curves and read absolute values with care.",
            )
        )
    if not ratio.from_fit and "truncated_venous" in vof.flags:
        findings.append(_unreliable("the venous curve is cut off and was compared with the artery up to the same age only"))
    elif ratio.factor > max_factor:
        findings.append(_unreliable(f"the scale factor {ratio.factor:.1f} exceeds {max_factor:g}"))
    return with_findings(aif, *findings, values=aif.values * factor, scale=factor, quality={**quality, "scale": factor})


def _unreliable(reason: str) -> QualityFinding:
    return warning("absolute_values_unreliable", f"CBF and CBV are not absolute: {reason}.", "Use relative maps and Tmax.")
