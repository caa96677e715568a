# SPDX-License-Identifier: Apache-2.0
"""Partial-volume scaling: an arterial voxel shares its space with tissue, a large vein does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.values import InputFunction
from . import gamma_variate, transport
from .pool import smoothed
from .quality import TRUNCATED_TAIL, describe, warning, with_findings

POOR_FIT = 0.10
HOPELESS_TAIL = 0.5
"""A venous curve that ends above this part of its peak says nothing about its area unless a fit succeeds."""

LEAST_DELAY_S, MOST_FLICKER, LEAST_RATIO = 2.0, 0.06, 1.3
"""What a venous curve must show for the ratio of sampled areas to count where every fit fails."""

LARGE_FACTOR = 4.0
LEAST_FACTOR = 0.85
MUCH_MOTION, LARGE_MISFIT, COARSE_FIT, SMALL_ARTERY = 0.08, 0.10, 0.02, 3.0
"""Where ``aif_uncertain`` is raised: chosen on 83 development patients so that nine of ten bad curves are told."""

NARROW_VEIN = 1.33
"""How far the chosen venous voxels stand out from the next ones where no vein is wide enough to fill a voxel. Of 24 development
patients 6 stood out further; the arterial area of all 6 was more than 5 % too small, and of one of the others (by 32 %)."""

UNSURE_FACTOR = 0.10
"""Relative standard deviation of the factor from which on absolute values are called unreliable."""


@dataclass(frozen=True, slots=True)
class AreaRatio:
    """How the venous area compares with the arterial one.

    Parameters
    ----------
    factor : float
        Area of the VOF over area of the AIF; NaN when it could not be determined.
    from_fit : bool
        True when a fit carries it; False for sampled areas alone.
    fit_rms : float
        Residual of the fit, over the peak.
    sd : float
        Relative standard deviation of the factor; NaN when it was not fitted as transport.
    """

    factor: float
    from_fit: bool
    fit_rms: float
    sd: float = float("nan")


def area_ratio(aif: InputFunction, vof: InputFunction) -> AreaRatio:
    """Compare the areas of a venous and an arterial curve.

    The vein is fitted as the delayed and dispersed artery (see `transport`), which serves truncated curves as well as whole ones.
    Where that fit misses by more than 6 % of the peak, the ratio of areas is used: of the first passes by fitted gamma variates
    and of the samples up to the same age of the bolus (the artery is cut as long before the end of the scan as it precedes the
    vein, so that both hold the same part of the recirculation), or their geometric mean. A vein above half of its peak at the end
    that no gamma variate fits either is compared by its samples alone, if it is late, tall and no jitter.

    Parameters
    ----------
    aif, vof : InputFunction
        Curves with their baseline at zero.

    Returns
    -------
    AreaRatio
        NaN as factor when no fit succeeds and the venous curve, above half of its peak at the end, does not look like a vein.
    """
    passage = transport.fit(aif, vof)
    if passage.fits:
        return AreaRatio(passage.factor, True, passage.rms, passage.factor_sd)
    return _ratio_of_areas(aif, vof)


def _ratio_of_areas(aif: InputFunction, vof: InputFunction) -> AreaRatio:
    a = gamma_variate.fit(aif.values, aif.times_s)
    v = gamma_variate.fit(vof.values, vof.times_s)
    rms = max(a.rms, v.rms)
    usable = a.success and v.success and rms <= POOR_FIT
    fitted = v.area / a.area if usable else float("nan")
    artery, vein = describe(aif.times_s, aif.values), describe(vof.times_s, vof.values)
    if not usable and vein["tail"] > HOPELESS_TAIL:
        return AreaRatio(_ratio_at_same_age(aif, vof, artery, vein), False, rms)
    if usable and vein["tail"] > TRUNCATED_TAIL:
        return AreaRatio(fitted, True, rms)
    delay = max(vein["first_moment_s"] - artery["first_moment_s"], 0.0)
    end = float(vof.times_s[-1])
    sampled = _area_until(vof, end) / max(_area_until(aif, end - delay), 1e-12)
    if not usable:
        return AreaRatio(sampled, False, rms)
    return AreaRatio(float(np.sqrt(max(fitted * sampled, 0.0))), True, rms)


def _ratio_at_same_age(aif: InputFunction, vof: InputFunction, artery: dict[str, float], vein: dict[str, float]) -> float:
    """Return the ratio of what the vein shows to near the end and the artery up to as long before, or NaN for what is no vein.

    A vein that no fit serves, because the head moved or the scan ended early, still tells far better how much blood the
    artery's voxels hold than no scaling does, provided that it is late, taller than the artery, and no jitter. The median over
    several ends keeps out what moves in last.
    """
    rise, end = _first_half_peak(vof), float(vof.times_s[-1])
    delay = rise - _first_half_peak(aif)
    high = vof.values > 0.5 * vein["peak"]
    flicker = float(np.median(np.abs(vof.values - smoothed(vof.values))[high])) / max(vein["peak"], 1e-12)  # jerks may be
    late = delay >= LEAST_DELAY_S and end - delay > artery["ttp_s"]
    if not late or vein["peak"] <= artery["peak"] or flicker > MOST_FLICKER:
        return float("nan")
    ends = np.linspace(0.5 * (rise + end), end, 9)
    ratio = float(np.median([_area_until(vof, e) / max(_area_until(aif, e - delay), 1e-12) for e in ends]))
    return ratio if ratio >= LEAST_RATIO else float("nan")


def _first_half_peak(curve: InputFunction) -> float:
    """Return when a curve first exceeds half of its peak; bone that moves in later does not change it."""
    values = smoothed(curve.values)
    level = 0.5 * float(values.max())
    after = max(int(np.argmax(values >= level)), 1)
    return float(np.interp(level, values[after - 1 : after + 1], curve.times_s[after - 1 : after + 1]))


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
        With the factor in `scale` and in ``quality["scale"]``. ``aif_uncertain`` tells when motion, the vein, or
        little blood in the arterial voxels make a wrong curve likely. A ratio below 1 is taken as 1; above 4
        ``aif_scaled_large`` is flagged, above `max_factor` it is limited; when the venous area cannot be determined the
        curve is not scaled.

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
    doubts = _doubts(aif, vof, ratio)
    if doubts is not None:
        aif = with_findings(aif, doubts)
    quality = {
        **aif.quality,
        "area_ratio": ratio.factor,
        "aif_vof_delay_s": delay,
        "scale_fit_rms": ratio.fit_rms,
        "scale_sd": ratio.sd,
    }
    if not np.isfinite(ratio.factor):
        reason = f"the venous curve is cut off and its fit misses by {100 * ratio.fit_rms:.0f} % of the peak"
        return with_findings(aif, _unreliable(reason), quality={**quality, "scale": 1.0})
    factor = float(np.clip(ratio.factor, 1.0, max_factor))
    findings = _judged(ratio, max_factor)
    return with_findings(aif, *findings, values=aif.values * factor, scale=factor, quality={**quality, "scale": factor})


def _judged(ratio: AreaRatio, max_factor: float) -> list[QualityFinding]:
    """Say whether the factor is large and whether it can be relied on."""
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
    if np.isnan(ratio.sd):
        findings.append(_unreliable("the venous curve is no delayed and dispersed copy of the arterial one"))
    elif ratio.factor < LEAST_FACTOR:
        findings.append(_unreliable(f"the vein shows {ratio.factor:.0%} of the arterial area, so it is no large vein"))
    elif ratio.sd > UNSURE_FACTOR:
        findings.append(_unreliable(f"the ratio of venous to arterial area is known to {ratio.sd:.0%} only"))
    elif ratio.factor > max_factor:
        findings.append(_unreliable(f"the scale factor {ratio.factor:.1f} exceeds {max_factor:g}"))
    return findings


def _doubts(aif: InputFunction, vof: InputFunction, ratio: AreaRatio) -> QualityFinding | None:
    """Say what speaks against the choice of voxels; any of it alone comes with a wrong curve about every other time."""
    motion, misfit = aif.quality.get("motion_share", 0.0), vof.quality.get("misfit", 0.0)
    reasons = []
    if motion > MUCH_MOTION:
        reasons.append(f"motion of the head makes {motion:.0%} of the arterial curve")
    if misfit > LARGE_MISFIT:
        reasons.append(f"{misfit:.0%} of the venous curve is no delayed artery")
    elif ratio.fit_rms > COARSE_FIT:
        reasons.append(f"the venous curve differs from a delayed artery by {ratio.fit_rms:.1%} of its peak")
    if ratio.factor > SMALL_ARTERY:
        reasons.append(f"the arterial voxels hold only about {1.0 / ratio.factor:.0%} blood")
    if vof.quality.get("stands_out", 1.0) > NARROW_VEIN:
        reasons.append("no vein seems wide enough to fill a voxel, so the curve may be scaled too little")
    if not reasons:
        return None
    advice = "Check the places of both curves; a thicker artery or less motion would make CBF and CBV surer."
    return warning("aif_uncertain", f"The arterial curve is uncertain: {'; '.join(reasons)}.", advice)


def _unreliable(reason: str) -> QualityFinding:
    return warning("absolute_values_unreliable", f"CBF and CBV are not absolute: {reason}.", "Use relative maps and Tmax.")
