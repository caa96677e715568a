# SPDX-License-Identifier: Apache-2.0
"""Numbers and findings that tell how far a vascular curve can be trusted (classical-perfusion 7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import FloatArray
from ..core.values import InputFunction
from . import gamma_variate
from .features import curve_features

WEAK_PEAK_HU = 15.0
WEAK_CNR = 5.0
LATE_GAP_S = 1.0
SHORT_COVERAGE_S = 25.0
UNUSABLE_COVERAGE_S = 8.0
TRUNCATED_TAIL = 0.3
GAP_FACTOR = 1.8
SATURATED_SHARE = 0.2


def describe(
    times_s: FloatArray,
    values: FloatArray,
    *,
    voxels: int = 0,
    tissue_ttp_s: float = float("nan"),
    saturated_fraction: float = 0.0,
) -> dict[str, float]:
    """Return the quality numbers of one curve.

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Sample times.
    values : ndarray, shape (T,)
        Curve with its baseline at zero.
    voxels : int
        Number of voxels it was averaged over.
    tissue_ttp_s : float, s
        Time to peak of brain tissue.
    saturated_fraction : float
        Part of the voxels whose signal was clipped at the peak.

    Returns
    -------
    dict of str to float
        ``voxels peak bat_s ttp_s rise_s fwhm_s first_moment_s area baseline_sd cnr tail saturated_fraction fit_rms
        tissue_ttp_gap_s coverage_s``.
    """
    f = curve_features(values[None], times_s)
    fitted = gamma_variate.fit(values, times_s)
    peak, sd = float(f.peak[0]), float(f.baseline_sd[0])
    return {
        "voxels": float(voxels),
        "peak": peak,
        "bat_s": float(f.bat_s[0]),
        "ttp_s": float(f.ttp_s[0]),
        "rise_s": float(f.rise_s[0]),
        "fwhm_s": float(f.fwhm_s[0]),
        "first_moment_s": float(f.first_moment_s[0]),
        "area": float(f.first_pass_area[0]),
        "baseline_sd": sd,
        "cnr": peak / sd if sd > 0 else float("inf"),
        "tail": float(f.tail[0]),
        "saturated_fraction": saturated_fraction,
        "fit_rms": fitted.rms,
        "tissue_ttp_gap_s": tissue_ttp_s - float(f.ttp_s[0]),
        "coverage_s": float(times_s[-1]) - float(f.ttp_s[0]),
    }


def warning(code: str, message: str, advice: str) -> QualityFinding:
    """Return a finding of severity ``warning``.

    Parameters
    ----------
    code, message, advice : str
        See `QualityFinding`.

    Returns
    -------
    QualityFinding
        The finding.
    """
    return QualityFinding(code, "warning", message, advice)


def judge_aif(quality: Mapping[str, float], times_s: FloatArray, unit: str) -> tuple[QualityFinding, ...]:
    """Turn the quality numbers of an arterial curve into findings.

    Parameters
    ----------
    quality : mapping
        What `describe` returned, before any scaling.
    times_s : ndarray, shape (T,), s
        Sample times.
    unit : {"HU", "1/s"}
        Unit of the curve.

    Returns
    -------
    tuple of QualityFinding
        ``aif_weak aif_late aif_coverage_short gap_in_first_pass aif_saturated``, as they apply.
    """
    found = []
    peak, cnr = quality["peak"], quality["cnr"]
    if (unit == "HU" and peak < WEAK_PEAK_HU) or cnr < WEAK_CNR:
        found.append(
            warning(
                "aif_weak",
                f"The arterial curve peaks at {peak:.3g} {unit}, {cnr:.0f} times its noise.",
                "Check its place; relative maps and Tmax are more reliable than absolute values.",
            )
        )
    gap = quality["tissue_ttp_gap_s"]
    if gap < LATE_GAP_S:
        found.append(
            warning(
                "aif_late",
                f"The arterial curve peaks {gap:.1f} s before the tissue, at least 1 s is expected.",
                "Choose an artery that fills earlier.",
            )
        )
    if quality["coverage_s"] < SHORT_COVERAGE_S:
        found.append(_short_coverage(quality["coverage_s"]))
    if quality["saturated_fraction"] > SATURATED_SHARE:
        found.append(
            warning(
                "aif_saturated",
                f"The signal is clipped in {quality['saturated_fraction']:.0%} of the arterial voxels.",
                "Choose a smaller vessel.",
            )
        )
    return (*found, *_gap(quality, times_s))


def _short_coverage(coverage_s: float) -> QualityFinding:
    """Say how much of the passage is missing; a scan that ends while the artery is bright tells nothing of late tissue."""
    message = f"The scan ends {coverage_s:.0f} s after the arterial peak, {SHORT_COVERAGE_S:.0f} s are wanted."
    if coverage_s < UNUSABLE_COVERAGE_S:
        return QualityFinding("aif_coverage_short", "error", message, "Do not use maps and volumes of this scan; scan longer.")
    return warning("aif_coverage_short", message, "Late tissue may be cut off: read delays, CBV and MTT with care.")


def judge_vof(quality: Mapping[str, float]) -> tuple[QualityFinding, ...]:
    """Turn the quality numbers of a venous curve into findings.

    Parameters
    ----------
    quality : mapping
        What `describe` returned.

    Returns
    -------
    tuple of QualityFinding
        ``truncated_venous`` when the last three frames exceed 30 % of the peak.
    """
    if quality["tail"] <= TRUNCATED_TAIL:
        return ()
    return (
        warning(
            "truncated_venous",
            f"The venous curve ends at {quality['tail']:.0%} of its peak, the limit is 30 %.",
            "The scan was too short for absolute CBV and MTT; the venous area is taken from a fit.",
        ),
    )


def saturated_fraction(curves: NDArray[np.float32], unit: str) -> float:
    """Return the part of the curves that stay exactly at their maximum, as a clipped signal does.

    Parameters
    ----------
    curves : ndarray, shape (n, T)
        Unfiltered curves.
    unit : {"HU", "1/s"}
        A floored MR signal counts from two equal frames on, integer CT numbers from three.

    Returns
    -------
    float
        Between 0 and 1.
    """
    if curves.shape[0] == 0:
        return 0.0
    equal = (curves >= curves.max(axis=1, keepdims=True)) & (curves > 0)
    need = 2 if unit == "1/s" else 3
    run = np.ones((equal.shape[0], equal.shape[1] - need + 1), bool)
    for shift in range(need):
        run &= equal[:, shift : equal.shape[1] - need + 1 + shift]
    return float(run.any(axis=1).mean())


def with_findings(curve: InputFunction, *findings: QualityFinding, **changes: object) -> InputFunction:
    """Return a curve with further findings and their codes as flags.

    Parameters
    ----------
    curve : InputFunction
        The curve.
    *findings : QualityFinding
        What to add.
    **changes : object
        Further fields to replace.

    Returns
    -------
    InputFunction
        A new curve.
    """
    codes = [f.code for f in findings if f.code not in curve.flags]
    return replace(
        curve,
        flags=(*curve.flags, *codes),
        findings=(*curve.findings, *findings),
        **changes,  # type: ignore[arg-type]  # fields
    )


def require_bolus(values: FloatArray, times_s: FloatArray, kind: str) -> None:
    """Refuse a curve without a positive first pass.

    Parameters
    ----------
    values : ndarray, shape (T,)
        Curve.
    times_s : ndarray, shape (T,), s
        Sample times.
    kind : {"aif", "vof"}
        For the message.

    Raises
    ------
    InvalidInputError
        If the maximum or the first-pass area is not positive, a value is missing, or an arterial curve was cut off at its
        peak or begins after it.
    """
    name = kind.upper()
    if not np.isfinite(values).all():
        msg = f"The {name} has missing values. Give a finite number for each time."
        raise InvalidInputError(msg)
    if float(values.max()) <= 0 or float(curve_features(values[None], times_s).first_pass_area[0]) <= 0:
        msg = f"The {name} has no positive bolus: its maximum is {float(values.max()):.3g}. Choose another place."
        raise InvalidInputError(msg)
    if kind == "aif":
        _require_passage(values, times_s)


def _require_passage(values: FloatArray, times_s: FloatArray) -> None:
    """Refuse an artery whose passage lies outside of the scan."""
    if int(values.argmax()) == values.size - 1 and float(values.max()) > 0:
        msg = (
            f"The arterial curve still rises when the scan ends at {times_s[-1]:.0f} s, so the bolus was not recorded. "
            "Choose a longer scan, or an earlier artery."
        )
        raise InvalidInputError(msg)
    area = float(np.trapezoid(values, times_s))
    if area < 0 < float(values.max()):
        msg = (
            f"The arterial curve lies below its baseline for most of the scan (area {area:.0f}), so contrast was there from the "
            "start or the baseline is wrong. Choose a scan that starts before the bolus, or another artery."
        )
        raise InvalidInputError(msg)


def baseline_shift(values: FloatArray, times_s: FloatArray, noise_sd: float) -> float:
    """Return by how much a curve starts below zero because its baseline frames already held contrast.

    Parameters
    ----------
    values : ndarray, shape (T,)
        Mean curve of a vessel.
    times_s : ndarray, shape (T,), s
        Sample times.
    noise_sd : float
        Noise of one sample of this curve.

    Returns
    -------
    float
        Mean before the arrival where that is clearly negative (below -3 % of the peak and three standard errors), else 0.
    """
    arrival = curve_features(values[None], times_s).bat_s[0]
    count = max(int((times_s <= arrival - 0.5 * float(np.median(np.diff(times_s)))).sum()), 1)
    level = float(values[:count].mean())
    limit = max(0.03 * float(values.max()), 3.0 * noise_sd / float(np.sqrt(count)))
    return level if level < -limit else 0.0


def _gap(quality: Mapping[str, float], times_s: FloatArray) -> tuple[QualityFinding, ...]:
    steps = np.diff(times_s)
    pass_end = quality["ttp_s"] + quality["fwhm_s"]
    inside = (times_s[1:] > quality["bat_s"]) & (times_s[:-1] < pass_end)
    widest = float(steps[inside].max()) if inside.any() else 0.0
    usual = float(np.median(steps))
    if widest <= GAP_FACTOR * usual:
        return ()
    return (
        warning(
            "gap_in_first_pass",
            f"Frames are missing in the first pass: a gap of {widest:.1f} s instead of {usual:.1f} s.",
            "Look at the curve; its peak may be underestimated.",
        ),
    )
