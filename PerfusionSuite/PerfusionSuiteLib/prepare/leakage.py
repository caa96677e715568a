# SPDX-License-Identifier: Apache-2.0
"""Correction of DSC curves for contrast that leaks out of the vessels of a tumor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, no_progress
from ..core.series import check_times
from ..core.values import Concentration, TissueMasks

MODELS: Mapping[str, str] = MappingProxyType(
    {
        "bsw": "Leakage without return (Boxerman, Schmainda and Weisskoff 2006)",
        "bidirectional": "Leakage with return to the blood (Leu 2016)",
    }
)
"""Names of the models and what they are."""

RETURN_RATES_S: FloatArray = np.concatenate([[0.0], np.geomspace(1e-4, 0.2, 59)])
LEAST_VOXELS, LEAST_PEAK_OVER_NOISE = 500, 5.0
LAST_FRAMES = 10
CHUNK = 16384
_WORST_CONDITION = 1e6


@dataclass(frozen=True, slots=True)
class LeakageFit:
    """What the fit of a leakage model found.

    Parameters
    ----------
    corrected : ndarray, shape (N, T), 1/s
        Curves without leakage.
    k1 : ndarray, shape (N,)
        Blood volume relative to the reference (CAPLEX Q.LC1.001).
    k2 : ndarray, shape (N,), 1/s
        Leakage (Q.LC1.002): positive where it brightens the signal (T1), negative where it darkens it (T2*).
    return_rate : ndarray, shape (N,), 1/s
        Rate of return; 0 for the model without.
    """

    corrected: NDArray[np.float32]
    k1: NDArray[np.float32]
    k2: NDArray[np.float32]
    return_rate: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LeakageResult:
    """A corrected scan.

    Parameters
    ----------
    concentration : Concentration
        Corrected curves; the given ones when the correction was refused.
    k2 : ndarray, shape (I, J, K), 1/s, or None
        Map of leakage; None when refused.
    reference : ndarray of bool, shape (I, J, K)
        Tissue that the reference curve was taken from.
    findings : tuple of QualityFinding
        What was odd.
    """

    concentration: Concentration
    k2: NDArray[np.float32] | None
    reference: BoolArray
    findings: tuple[QualityFinding, ...] = ()


def fit_leakage(
    curves: NDArray[np.float32],
    reference: ArrayLike,
    times_s: ArrayLike,
    *,
    model: str = "bidirectional",
    first_frame: int = 0,
    progress: ProgressCallback | None = None,
) -> LeakageFit:
    """Fit the leakage of many voxels at once and subtract it.

    Parameters
    ----------
    curves : ndarray, shape (N, T), 1/s
        Delta R2*.
    reference : array-like, shape (T,), 1/s
        Mean curve of tissue that does not leak. Never an arterial curve.
    times_s : array-like, shape (T,), s
        Frame times.
    model : {"bsw", "bidirectional"}
        A name of `MODELS`.
    first_frame : int
        Frame of the bolus' arrival; frames before carry no information.
    progress : callable, optional
        Called between chunks.

    Returns
    -------
    LeakageFit
        Corrected curves and parameters.

    Raises
    ------
    InvalidInputError
        If the model is unknown or the reference cannot tell volume from leakage.

    Notes
    -----
    ``c(t) = K1 r(t) - K2 int_0^t r(s) exp(-k (t - s)) ds`` with k = 0 for BSW. For a fixed k the model is linear, so that each
    rate is two rows of an orthonormal basis: the rate that explains most of a voxel's curve is found by one matrix product per
    chunk over all rates, then refined by a parabola.

    References
    ----------
    Boxerman et al., AJNR 27:859 (2006); Leu et al., AJNR 37:1440 (2016).
    """
    if model not in MODELS:
        msg = f"There is no leakage model '{model}'. Choose one of: {', '.join(MODELS)}."
        raise InvalidInputError(msg)
    times = check_times(times_s, curves.shape[1])
    tissue = np.asarray(reference, np.float64)
    rates = RETURN_RATES_S[:1] if model == "bsw" else RETURN_RATES_S
    lost = np.stack([leaked(tissue, times, rate) for rate in rates])
    bases = _bases(tissue, lost, first_frame)
    report = progress or no_progress
    n = curves.shape[0]
    result = LeakageFit(*(np.empty(s, np.float32) for s in (curves.shape, n, n, n)))
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        _fit_chunk(np.asarray(curves[part], np.float32), tissue, times, lost, bases, rates, first_frame, result, part)
        report(min((start + CHUNK) / n, 1.0), "Leakage correction")
    return result


def leaked(reference: FloatArray, times_s: FloatArray, rate: float) -> FloatArray:
    """Integrate the reference with exponential return, exactly for a curve that is linear between frames.

    Parameters
    ----------
    reference : ndarray, shape (T,)
        Reference curve.
    times_s : ndarray, shape (T,), s
        Frame times.
    rate : float, 1/s
        Rate of return; 0 for none.

    Returns
    -------
    ndarray, shape (T,)
        ``int_0^t r(s) exp(-rate (t - s)) ds``, from the first frame on.
    """
    result = np.zeros_like(reference)
    steps = np.diff(times_s)
    x = rate * steps
    small = x < 1e-4
    safe = np.where(small, 1.0, x)
    one = steps * np.where(small, 1.0 - x / 2.0 + x * x / 6.0, -np.expm1(-safe) / safe)
    ramp = steps * np.where(small, 0.5 - x / 6.0 + x * x / 24.0, (1.0 + np.expm1(-safe) / safe) / safe)
    keep = np.exp(-x)
    for n in range(steps.size):  # a few dozen frames, once per rate
        result[n + 1] = keep[n] * result[n] + one[n] * reference[n] + ramp[n] * (reference[n + 1] - reference[n])
    return result


def _bases(tissue: FloatArray, lost: FloatArray, first: int) -> NDArray[np.float32]:
    """Return orthonormal rows that span each rate's model, shape (2 R, T); zero before the bolus."""
    rows = np.zeros((2 * lost.shape[0], tissue.size))
    for n, one in enumerate(lost):
        design = np.stack([tissue[first:], -one[first:]], axis=1)
        scale = np.linalg.norm(design, axis=0)
        if not (scale > 0).all() or np.linalg.cond(design / np.where(scale > 0, scale, 1.0)) > _WORST_CONDITION:
            msg = "The reference curve cannot tell blood volume from leakage. Choose a reference with a clear first pass."
            raise InvalidInputError(msg)
        rows[2 * n : 2 * n + 2, first:] = np.linalg.qr(design)[0].T
    return rows.astype(np.float32)


def _fit_chunk(
    curves: NDArray[np.float32],
    tissue: FloatArray,
    times: FloatArray,
    lost: FloatArray,
    bases: NDArray[np.float32],
    rates: FloatArray,
    first: int,
    result: LeakageFit,
    part: slice,
) -> None:
    """Fit one block of voxels into the result."""
    explained = (curves @ bases.T).reshape(curves.shape[0], rates.size, 2)
    power = np.einsum("nrc,nrc->nr", explained, explained)
    best = power.argmax(axis=1)
    position = best + _vertex(power, best)
    rate = np.interp(position, np.arange(rates.size), rates)
    low = np.clip(np.floor(position).astype(int), 0, max(rates.size - 2, 0))
    share = np.clip(position - low, 0.0, 1.0)
    if rates.size > 1:
        kernel = (1.0 - share)[:, None] * lost[low] + share[:, None] * lost[low + 1]
    else:
        kernel = np.broadcast_to(lost[0], curves.shape)
    y, a, b = curves[:, first:].astype(np.float64), tissue[first:], -kernel[:, first:]
    aa, ab, bb = float(a @ a), b @ a, np.einsum("nt,nt->n", b, b)
    ay, by = y @ a, np.einsum("nt,nt->n", b, y)
    determinant = aa * bb - ab * ab
    k1, k2 = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
    result.corrected[part] = curves + k2[:, None] * kernel
    result.k1[part], result.k2[part], result.return_rate[part] = k1, k2, rate


def _vertex(power: NDArray[np.float32], best: NDArray[np.int64]) -> FloatArray:
    """Return the offset of a parabola's vertex through the best rate and its neighbors, -0.5 to 0.5."""
    if power.shape[1] < 3:
        return np.zeros(best.size)
    rows, middle = np.arange(best.size), np.clip(best, 1, power.shape[1] - 2)
    left, here, right = (power[rows, middle + d].astype(np.float64) for d in (-1, 0, 1))
    bend = left - 2.0 * here + right
    offset = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    inner: FloatArray = np.where(best == middle, np.clip(offset, -0.5, 0.5), 0.0)
    return inner


def reference_tissue(concentration: Concentration, masks: TissueMasks, saturated: BoolArray | None = None) -> BoolArray:
    """Find tissue whose signal returns to its baseline.

    Parameters
    ----------
    concentration : Concentration
        Delta R2*.
    masks : TissueMasks
        Of this scan.
    saturated : ndarray of bool, shape (I, J, K), optional
        Left out as well.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Brain without vessels and fluid where the mean of the last ten frames' signal does not exceed the baseline by more than
        one standard deviation of the baseline (Boxerman 2006), nor lies as far below it as only leakage takes it.
    """
    c = concentration
    tissue = masks.tissue & c.mask
    if saturated is not None:
        tissue &= ~saturated
    curves = c.data[tissue]
    late = curves[:, -LAST_FRAMES:].mean(axis=1)
    height = np.partition(curves, -3, axis=1)[:, -3]
    sd = max(c.noise_sd, 1e-9)
    own = curves[:, : c.baseline_frames].std(axis=1) if c.baseline_frames >= 5 else np.full(curves.shape[0], sd)
    not_brighter = late >= -np.minimum(own, 2.0 * sd)
    rest = late / np.maximum(height, 1e-9)
    usual = float(np.median(rest)) if rest.size else 0.0
    spread = 1.4826 * float(np.median(np.abs(rest - usual))) if rest.size else 0.0
    found = np.zeros_like(tissue)
    found[tissue] = not_brighter & (rest <= usual + 2.0 * spread) & (height > 3.0 * sd)
    return found


def correct_leakage(
    concentration: Concentration,
    masks: TissueMasks,
    *,
    model: str = "bidirectional",
    saturated: BoolArray | None = None,
    progress: ProgressCallback | None = None,
) -> LeakageResult:
    """Remove the effect of leaked contrast from a scan.

    Parameters
    ----------
    concentration : Concentration
        Delta R2*.
    masks : TissueMasks
        Of this scan.
    model : {"bsw", "bidirectional"}
        A name of `MODELS`.
    saturated : ndarray of bool, shape (I, J, K), optional
        Voxels that cannot serve as reference.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    LeakageResult
        Corrected curves of tissue and K2; the given curves with the finding ``reference_weak`` when there are fewer than 500
        reference voxels or their curve is not five times its noise. Vessels keep their curves.

    Raises
    ------
    InvalidInputError
        If the curves are not those of MR, or the model is unknown.
    """
    if concentration.unit != "1/s":
        msg = f"Leakage correction needs DSC-MRI, but the curves are in {concentration.unit}. Leave it out."
        raise InvalidInputError(msg)
    if model not in MODELS:
        msg = f"There is no leakage model '{model}'. Choose one of: {', '.join(MODELS)}."
        raise InvalidInputError(msg)
    reference = reference_tissue(concentration, masks, saturated)
    count = int(reference.sum())
    curve = concentration.data[reference].mean(axis=0, dtype=np.float64) if count else np.zeros(concentration.times_s.size)
    if count < LEAST_VOXELS or float(curve.max()) < LEAST_PEAK_OVER_NOISE * concentration.noise_sd:
        return LeakageResult(concentration, None, reference, (_weak(count, float(curve.max()), concentration.noise_sd),))
    fitted = concentration.mask & ~masks.vessel
    first = max(concentration.baseline_frames - 1, 0)
    try:
        found = fit_leakage(
            concentration.data[fitted], curve, concentration.times_s, model=model, first_frame=first, progress=progress
        )
    except InvalidInputError:
        return LeakageResult(concentration, None, reference, (_weak(count, float(curve.max()), concentration.noise_sd),))
    data, k2 = concentration.data.copy(), np.full(concentration.mask.shape, np.nan, np.float32)
    data[fitted], k2[fitted] = found.corrected, found.k2
    name = "BSW" if model == "bsw" else "bidirectional"
    text = f"Curves were corrected for leakage ({name} model, reference of {count} voxels)."
    finding = QualityFinding("leakage_corrected", "info", text, "K2 > 0: the signal grows brighter by T1; K2 < 0: darker by T2*.")
    return LeakageResult(replace(concentration, data=data), k2, reference, (finding,))


def _weak(count: int, peak: float, noise: float) -> QualityFinding:
    text = (
        f"Leakage was not corrected: the reference has {count} voxels ({LEAST_VOXELS} are needed) and peaks at {peak:.2g} 1/s, "
        f"{peak / max(noise, 1e-9):.0f} times the noise ({LEAST_PEAK_OVER_NOISE:g} are needed)."
    )
    return QualityFinding("reference_weak", "warning", text, "Blood volume in tumors may be far off; check the brain mask.")
