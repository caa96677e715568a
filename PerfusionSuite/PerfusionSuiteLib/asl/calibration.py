# SPDX-License-Identifier: Apache-2.0
"""What turns signal into perfusion: M0 of relaxed tissue, the efficiency of labeling, the field strength, a vendor's factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.asl import AslSeries
from ..core.errors import GridMismatchError, InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, voxel_sizes
from ..prepare.in_plane import shrink
from .relaxation import PARTITION_ML_PER_G, relaxation_at

LABELING_EFFICIENCY = {"pcasl": 0.85, "casl": 0.68, "pasl": 0.98}
"""Share of the magnetization that labeling inverts (Alsop 2015, table 3; CASL: Wang 2005)."""

PULSE_EFFICIENCY = 0.95
"""What each background-suppression pulse leaves of the label (Garcia 2005)."""

USUAL_FIELD_T = 3.0
USUAL_PULSES, USUAL_PULSES_GE = 2, 5

CSF_T1_S = 4.3
BLOOD_OF_CSF, BLOOD_OF_WHITE = 0.87, 1.19
"""Equilibrium magnetization of blood over that of fluid and of white matter (Wong 1998; Chappell 2018, chapter 6)."""

REFERENCES = ("voxelwise", "csf", "white-matter")
M0Reference = Literal["voxelwise", "csf", "white-matter"]

_LOW_SHARE = 0.25
_TOLD_PERCENT = 0.5


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How a scan is calibrated; None takes what the scan says.

    Parameters
    ----------
    m0_reference : {"voxelwise", "csf", "white-matter"}
        Each voxel by its own M0, or all by the M0 of blood that a reference region gives.
    reference_mask : ndarray of bool, shape (I, J, K), optional
        The region; needed for ``csf`` (pure fluid, such as the ventricles) and ``white-matter``.
    m0_value : float, signal, optional
        Replaces any M0 of the scan.
    m0_repetition_s : float, s, optional
        Repetition time of the M0 scan.
    m0_t1_s : float, s, optional
        T1 in the correction of incomplete relaxation; by default that of gray matter.
    m0_smoothing_mm : float, mm
        Full width at half maximum of a smoothing of M0 within the brain; 0 for none.
    fill_m0_edges : bool
        Continue M0 from inside into the outermost voxels of the brain, which hold too little of it.
    labeling_efficiency : float, optional
        Inversion efficiency, background suppression not included.
    suppression_pulses : int, optional
        Number of background-suppression pulses.
    field_strength_t : float, T, optional
        Of the magnet.
    scaling : float, optional
        What a vendor multiplied difference images by, relative to M0.
    """

    m0_reference: M0Reference = "voxelwise"
    reference_mask: BoolArray | None = None
    m0_value: float | None = None
    m0_repetition_s: float | None = None
    m0_t1_s: float | None = None
    m0_smoothing_mm: float = 0.0
    fill_m0_edges: bool = False
    labeling_efficiency: float | None = None
    suppression_pulses: int | None = None
    field_strength_t: float | None = None
    scaling: float | None = None

    def __post_init__(self) -> None:
        if self.m0_reference not in REFERENCES:
            msg = f"There is no M0 reference '{self.m0_reference}'. Use one of {', '.join(REFERENCES)}."
            raise InvalidInputError(msg)
        if self.m0_reference != "voxelwise" and self.reference_mask is None:
            msg = f"The M0 reference '{self.m0_reference}' needs a mask of that region. Give one, or use 'voxelwise'."
            raise InvalidInputError(msg)
        ranges = (
            ("M0", self.m0_value, 0.0, np.inf, ""), ("repetition time of M0", self.m0_repetition_s, 0.2, 60.0, " s"),
            ("T1 of the M0 correction", self.m0_t1_s, 0.1, 10.0, " s"),
            ("M0 smoothing", self.m0_smoothing_mm, -1e-9, 60.0, " mm"),
            ("labeling efficiency", self.labeling_efficiency, 0.0, 1.0, ""),
            ("number of background-suppression pulses", self.suppression_pulses, -0.5, 20.0, ""),
            ("field strength", self.field_strength_t, 0.5, 12.0, " T"), ("scaling", self.scaling, 0.0, np.inf, ""),
        )  # fmt: skip
        for name, value, low, high, unit in ranges:
            if value is not None and not low < value <= high:
                msg = f"The {name} is {value:g}{unit}, but it must be above {max(low, 0.0):g} and at most {high:g}{unit}."
                raise InvalidInputError(msg)


def field_strength(series: AslSeries, settings: CalibrationSettings) -> tuple[float, tuple[QualityFinding, ...]]:
    """Return the field strength and what was assumed about it.

    Parameters
    ----------
    series : AslSeries
        The scan.
    settings : CalibrationSettings
        What the user gave.

    Returns
    -------
    float, T
        The field strength; 3 when nobody knows.
    tuple of QualityFinding
        ``field_strength_assumed`` then.
    """
    known = settings.field_strength_t or series.field_strength_t
    if known is not None:
        return float(known), ()
    text = f"The scan does not say its field strength; {USUAL_FIELD_T:g} T were assumed, which decides the T1 of blood."
    advice = "Give MagneticFieldStrength in the JSON sidecar, or the field strength in the settings."
    return USUAL_FIELD_T, (QualityFinding("field_strength_assumed", "warning", text, advice),)


def labeling_efficiency(series: AslSeries, settings: CalibrationSettings) -> tuple[float, tuple[QualityFinding, ...]]:
    """Return the inversion efficiency times the loss by background suppression.

    Parameters
    ----------
    series : AslSeries
        The scan.
    settings : CalibrationSettings
        What the user gave.

    Returns
    -------
    float
        Between 0 and 1.
    tuple of QualityFinding
        What it is made of.
    """
    given = settings.labeling_efficiency if settings.labeling_efficiency is not None else series.labeling_efficiency
    inversion = LABELING_EFFICIENCY[series.labeling] if given is None else float(given)
    pulses, assumed = _pulses(series, settings)
    total = inversion * PULSE_EFFICIENCY**pulses
    origin = f"usual for {series.labeling.upper()}" if given is None else "as given"
    text = (
        f"Labeling efficiency {total:.3f}: inversion {inversion:.2f} ({origin}) times {PULSE_EFFICIENCY:g} for each of "
        f"{pulses} background-suppression pulses."
    )
    finding = QualityFinding("labeling_efficiency", "info", text, "Give another labeling efficiency when it was measured.")
    return total, (finding, *assumed)


def _pulses(series: AslSeries, settings: CalibrationSettings) -> tuple[int, tuple[QualityFinding, ...]]:
    """Number of pulses; scans that say only that the background was suppressed get the usual number."""
    if settings.suppression_pulses is not None:
        return settings.suppression_pulses, ()
    if series.background_suppression_pulses is not None:
        return series.background_suppression_pulses, ()
    suppressed = series.acquisition.details.get("background_suppression")
    advice = "Give BackgroundSuppressionNumberPulses in the JSON sidecar; each pulse changes CBF by 5 %."
    if suppressed:
        count = USUAL_PULSES_GE if "GE" in series.acquisition.manufacturer.upper().split() else USUAL_PULSES
        text = f"The background was suppressed by an unknown number of pulses; {count} were assumed."
        return count, (QualityFinding("suppression_pulses_assumed", "warning", text, advice),)
    if suppressed is None:
        text = "The scan does not say whether the background was suppressed; no loss of label was assumed."
        return 0, (QualityFinding("suppression_unknown", "warning", text, advice),)
    return 0, ()


def calibrated_m0(
    series: AslSeries,
    mask: BoolArray,
    settings: CalibrationSettings,
    *,
    included: NDArray[np.float32] | None = None,
    control: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32] | None, tuple[QualityFinding, ...]]:
    """Return the signal of fully relaxed tissue.

    Parameters
    ----------
    series : AslSeries
        The scan.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    settings : CalibrationSettings
        What the user gave.
    included : ndarray, shape (I, J, K), optional
        Mean of the M0 volumes within the series, after motion correction.
    control : ndarray, shape (I, J, K), optional
        Mean control image; used as M0 when there is no other and the background was not suppressed.

    Returns
    -------
    ndarray of float32, shape (I, J, K), or None
        None when the scan has nothing to calibrate with.
    tuple of QualityFinding
        What was done.

    Raises
    ------
    GridMismatchError
        If the reference mask has another shape.
    InvalidInputError
        If the reference region is empty, or M0 is not positive in the brain.

    Notes
    -----
    Incomplete relaxation is corrected by ``1 / (1 - exp(-TR / T1))`` (Alsop 2015). A reference region gives M0 of blood, which
    is multiplied by the partition coefficient of 0.9 mL/g, since models expect M0 of tissue.
    """
    image, findings = _m0_image(series, settings, included, control)
    if image is None:
        return None, findings
    inside = image[mask & np.isfinite(image)]
    if not inside.size or float(np.median(inside)) <= 0:
        msg = "M0 is not positive in the brain, so that perfusion cannot be calibrated. Check the M0 image and the brain mask."
        raise InvalidInputError(msg)
    if settings.m0_reference != "voxelwise":
        image, told = _by_reference(image, series, settings)
        return image, (*findings, *told)
    if settings.fill_m0_edges:
        image = _filled_edges(image, mask, voxel_sizes(series.affine))
    if settings.m0_smoothing_mm > 0:
        image = _smoothed(image, mask, settings.m0_smoothing_mm / 2.355 / voxel_sizes(series.affine))
    return image, (*findings, *_low_m0(image, mask))


def _m0_image(
    series: AslSeries, settings: CalibrationSettings, included: NDArray[np.float32] | None, control: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32] | None, tuple[QualityFinding, ...]]:
    """M0 from the best source: given, separate, included, one number, control images."""
    value = settings.m0_value if settings.m0_value is not None else series.m0_value
    repetition = settings.m0_repetition_s or series.m0_repetition_s
    if settings.m0_value is not None or (series.m0 is None and included is None and value is not None):
        text = f"One M0 of {value:g} was used for all voxels, so that the coil's shading stays in the perfusion map."
        finding = QualityFinding("m0_value", "info", text, "Use an M0 image when there is one.")
        return np.full(series.shape, value, np.float32), (finding,)
    if series.m0 is not None or included is not None:
        image = np.asarray(series.m0 if series.m0 is not None else included, np.float32)
        return _relaxed(image, repetition, series, settings)
    pulses = settings.suppression_pulses if settings.suppression_pulses is not None else series.background_suppression_pulses
    if control is not None and pulses == 0:
        text = "There is no M0 scan; the mean control image was used, since the background was not suppressed."
        finding = QualityFinding("m0_from_control", "warning", text, "Use an M0 scan when there is one.")
        relaxed, told = _relaxed(control, repetition or series.acquisition.repetition_time_s, series, settings)
        return relaxed, (finding, *told)
    why = "no control images" if control is None else "a suppressed background (or one that nobody knows of)"
    text = f"There is no M0, and {why}, so that perfusion is relative: its ratios mean something, its numbers do not."
    return None, (QualityFinding("m0_missing", "warning", text, "Give an M0 image or an M0 value."),)


def _relaxed(
    image: NDArray[np.float32], repetition_s: float | None, series: AslSeries, settings: CalibrationSettings
) -> tuple[NDArray[np.float32], tuple[QualityFinding, ...]]:
    """Correct incomplete relaxation, and say by how much."""
    if repetition_s is None:
        text = "The repetition time of the M0 scan is unknown, so that incomplete relaxation was not corrected (CBF too high)."
        advice = "Give RepetitionTimePreparation of the M0 scan in its JSON sidecar."
        return image, (QualityFinding("m0_repetition_unknown", "warning", text, advice),)
    t1 = settings.m0_t1_s or relaxation_at(field_strength(series, settings)[0]).tissue
    if settings.m0_reference == "csf":
        t1 = settings.m0_t1_s or CSF_T1_S
    share = 1.0 - float(np.exp(-repetition_s / t1))
    percent = 100.0 * (1.0 / share - 1.0)
    if percent < _TOLD_PERCENT:
        return (image / np.float32(share)).astype(np.float32), ()
    text = f"M0 was raised by {percent:.1f} %, since tissue with a T1 of {t1:.2f} s relaxes incompletely in {repetition_s:g} s."
    return (image / np.float32(share)).astype(np.float32), (QualityFinding("m0_relaxation", "info", text),)


def _by_reference(
    image: NDArray[np.float32], series: AslSeries, settings: CalibrationSettings
) -> tuple[NDArray[np.float32], tuple[QualityFinding, ...]]:
    """One M0 for all voxels from a region whose relation to blood is known."""
    region = np.asarray(settings.reference_mask, bool)
    if region.shape != series.shape:
        msg = f"The reference mask has {region.shape} voxels but the scan has {series.shape}. Resample it to the scan's grid."
        raise GridMismatchError(msg)
    values = image[region & np.isfinite(image)]
    if not values.size or float(np.median(values)) <= 0:
        msg = "The reference region holds no voxel with a positive M0. Draw it again on the scan."
        raise InvalidInputError(msg)
    ratio = BLOOD_OF_CSF if settings.m0_reference == "csf" else BLOOD_OF_WHITE
    tissue = PARTITION_ML_PER_G * ratio * float(np.median(values))
    name = "fluid" if settings.m0_reference == "csf" else "white matter"
    text = f"One M0 was used for all voxels: {ratio:g} times that of {values.size} voxels of {name}, as M0 of blood."
    return np.full(series.shape, tissue, np.float32), (QualityFinding("m0_reference", "info", text),)


def _filled_edges(image: NDArray[np.float32], mask: BoolArray, spacing: NDArray[np.floating]) -> NDArray[np.float32]:
    """Continue M0 of the inner brain into its outermost voxels."""
    inner = shrink(mask, float(spacing[:2].min()), spacing)
    middle = float(np.median(image[inner])) if inner.any() else 0.0
    inner &= image > _LOW_SHARE * middle
    weight = ndimage.gaussian_filter(inner.astype(np.float32), 4.0 / spacing, truncate=4.0)
    total = ndimage.gaussian_filter(np.where(inner, image, 0.0).astype(np.float32), 4.0 / spacing, truncate=4.0)
    near = total / np.maximum(weight, 1e-6)
    result: NDArray[np.float32] = np.where(mask & ~inner & (weight > 1e-3), near, image).astype(np.float32)
    return result


def _smoothed(image: NDArray[np.float32], mask: BoolArray, sigma: NDArray[np.floating]) -> NDArray[np.float32]:
    """Smooth within the brain only, so that air does not lower M0 at its border."""
    usable = mask & np.isfinite(image)
    weight = ndimage.gaussian_filter(usable.astype(np.float32), sigma, truncate=3.0)
    total = ndimage.gaussian_filter(np.where(usable, image, 0.0).astype(np.float32), sigma, truncate=3.0)
    result: NDArray[np.float32] = np.where(usable, total / np.maximum(weight, 1e-6), image).astype(np.float32)
    return result


def _low_m0(image: NDArray[np.float32], mask: BoolArray) -> tuple[QualityFinding, ...]:
    """Say when part of the brain has hardly any M0, so that its perfusion would be huge."""
    inside = image[mask]
    share = float((~(inside > _LOW_SHARE * np.nanmedian(inside))).mean())
    if share < 0.02:
        return ()
    text = f"M0 is below a quarter of its usual value in {share:.0%} of the brain mask; perfusion is too high there."
    return (QualityFinding("m0_low", "warning", text, "Check the brain mask, or fill the edges of M0."),)
