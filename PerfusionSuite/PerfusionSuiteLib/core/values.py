# SPDX-License-Identifier: Apache-2.0
"""What rooms hand to each other after a series was read, besides maps: masks, concentration, curves, lesions, a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GridMismatchError, InvalidInputError
from .fields import FittedField
from .findings import QualityFinding
from .geometry import BoolArray, FloatArray, check_affine
from .maps import PerfusionMaps
from .regions import RegionFit
from .series import PerfusionSeries, check_times


@dataclass(frozen=True, slots=True)
class TissueMasks:
    """What each voxel is made of, decided before any perfusion model.

    Parameters
    ----------
    brain : ndarray of bool, shape (I, J, K)
        Inside the skull, cerebrospinal fluid included.
    csf : ndarray of bool, shape (I, J, K)
        Cerebrospinal fluid within the brain mask.
    vessel : ndarray of bool, shape (I, J, K)
        Large vessels.
    bone : ndarray of bool, shape (I, J, K)
        Bone and calcification.
    findings : tuple of QualityFinding
        What was odd.
    """

    brain: BoolArray
    csf: BoolArray
    vessel: BoolArray
    bone: BoolArray
    findings: tuple[QualityFinding, ...] = ()

    @property
    def tissue(self) -> BoolArray:
        """Brain without CSF and large vessels."""
        return self.brain & ~self.csf & ~self.vessel & ~self.bone


@dataclass(frozen=True, slots=True)
class MotionReport:
    """Estimated head motion, one row per frame of the input.

    Parameters
    ----------
    translation_mm : ndarray, shape (T, 3), mm
        Shift of the head's center relative to the reference in RAS.
    rotation_deg : ndarray, shape (T, 3), degrees
        Rotation vector about the center: about the R, A and S axes.
    applied : bool
        False when the head was still enough for the data to be left untouched.
    dropped : tuple of int
        Frames that were left out.
    findings : tuple of QualityFinding
        What was odd.
    center_mm : ndarray, shape (3,), mm
        The head's center in RAS: a point x of the reference lies at ``R (x - center) + center + translation`` in a frame.
    """

    translation_mm: FloatArray
    rotation_deg: FloatArray
    applied: bool
    dropped: tuple[int, ...] = ()
    findings: tuple[QualityFinding, ...] = ()
    center_mm: FloatArray = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True, slots=True)
class Concentration:
    """Indicator concentration (up to a constant) in every voxel.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, T), HU or 1/s
        Enhancement (CT) or delta R2* (DSC), zero outside the mask.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s : ndarray, shape (T,), s
        Frame times, the same for all slices.
    mask : ndarray of bool, shape (I, J, K)
        Where it was computed.
    baseline : ndarray, shape (I, J, K), HU or signal
        Mean before contrast arrival.
    unit : str
        ``HU`` or ``1/s``.
    noise_sd : float
        Standard deviation of the noise of a voxel and frame, before noise reduction.
    baseline_frames : int
        Number of frames the baseline was averaged over.
    findings : tuple of QualityFinding
        What was odd.
    """

    data: NDArray[np.float32]
    affine: FloatArray
    times_s: FloatArray
    mask: BoolArray
    baseline: NDArray[np.float32]
    unit: str = "HU"
    noise_sd: float = float("nan")
    baseline_frames: int = 1
    findings: tuple[QualityFinding, ...] = ()

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.mask.shape != self.data.shape[:3] or self.baseline.shape != self.data.shape[:3]:
            msg = (
                f"Concentration {self.data.shape}, mask {self.mask.shape} and baseline {self.baseline.shape} do not fit together."
            )
            raise GridMismatchError(msg)
        check_times(self.times_s, self.data.shape[3])
        check_affine(self.affine)


REFERENCE_LABEL = "reference curve"
"""What stands in for an artery in methods without one: the mean curve of tissue."""


@dataclass(frozen=True, slots=True)
class InputFunction:
    """A vascular curve: arterial input (AIF) or venous output (VOF).

    Parameters
    ----------
    times_s : ndarray, shape (T,), s
        Sample times.
    values : ndarray, shape (T,)
        Enhancement in the unit of the concentration; of an AIF, after partial-volume scaling.
    voxels : ndarray of int, shape (n, 3)
        Where it was measured (empty for a curve from a file).
    kind : {"aif", "vof", "reference"}
        Artery, vein, or the tissue curve that stands in for an artery in methods without one.
    score : float
        Quality of the choice, larger is better; NaN for a manual one.
    flags : tuple of str
        Codes of the findings about this curve.
    scale : float
        Factor of the partial-volume scaling that `values` contain.
    origin : str
        ``automatic``, ``manual``, ``mask`` or ``file``.
    quality : mapping
        Numbers of classical-perfusion 7.7: peak, bat_s, ttp_s, fwhm_s, cnr, tail, ...
    findings : tuple of QualityFinding
        What was odd, in words.
    """

    times_s: FloatArray
    values: FloatArray
    voxels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    kind: str = "aif"
    score: float = float("nan")
    flags: tuple[str, ...] = ()
    scale: float = 1.0
    origin: str = "automatic"
    quality: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[QualityFinding, ...] = ()

    def __post_init__(self) -> None:
        check_times(self.times_s, np.size(self.values))
        if not np.isfinite(self.values).all():
            msg = f"The {self.label} has missing values. Give a finite number for each time."
            raise InvalidInputError(msg)

    @property
    def label(self) -> str:
        """What the curve is called: ``AIF``, ``VOF``, or ``reference curve``, which is no artery."""
        return REFERENCE_LABEL if self.kind == "reference" else self.kind.upper()


@dataclass(frozen=True, slots=True)
class LesionMasks:
    """Lesions and the regions that their metrics rest on, all of shape (I, J, K).

    Parameters
    ----------
    hypoperfusion, core, penumbra : ndarray of bool
        The lesions; penumbra is hypoperfusion without core.
    tissue : ndarray of bool
        Voxels that were allowed to count.
    reference : ndarray of bool
        Normal tissue that relative maps refer to.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    side : {"left", "right", "bilateral", "none"}
        The patient's affected side.
    midplane : ndarray, shape (4,)
        Mid-sagittal plane ``n . x = d`` in RAS mm: unit normal pointing to the right, then d.
    extra : mapping of str to ndarray of bool
        Further regions such as ``sss`` and ``torcula``.
    thresholds : mapping
        The thresholds that were applied.
    findings : tuple of QualityFinding
        What was odd.
    """

    hypoperfusion: BoolArray
    core: BoolArray
    penumbra: BoolArray
    tissue: BoolArray
    reference: BoolArray
    affine: FloatArray
    side: str = "none"
    midplane: FloatArray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    extra: Mapping[str, BoolArray] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[QualityFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers of one case, nested as in ``metrics.json`` (ct-perfusion-auto section 17).

    Parameters
    ----------
    values : mapping
        Plain JSON values; None where a number does not exist.
    notes : mapping of str to str
        Why a value is None.
    """

    values: Mapping[str, Any]
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that one run produced.

    Parameters
    ----------
    series : PerfusionSeries
        The scan after preparation (motion-corrected, common frame times); its values are NaN when they were released.
    masks : TissueMasks
        Brain, CSF, vessels, bone.
    concentration : Concentration
        Enhancement without noise reduction, the one that curves are read from.
    aif : InputFunction
        Arterial input, scaled.
    vof : InputFunction or None
        Venous output, when one was found.
    maps : PerfusionMaps
        Quantitative maps.
    lesions : LesionMasks
        Lesions.
    metrics : Metrics
        Numbers.
    motion : MotionReport or None
        Head motion, None when it was not estimated.
    settings : mapping
        The settings of the run.
    findings : tuple of QualityFinding
        All findings in the order of the chain.
    seconds : mapping of str to float, s
        Time each step took.
    fitted : FittedField, optional
        What the fit learned, for methods that describe the scan as a field.
    regions : RegionFit, optional
        Regions and their curves, from methods that fit regions.
    """

    series: PerfusionSeries
    masks: TissueMasks
    concentration: Concentration
    aif: InputFunction
    vof: InputFunction | None
    maps: PerfusionMaps
    lesions: LesionMasks
    metrics: Metrics
    motion: MotionReport | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[QualityFinding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    fitted: FittedField | None = None
    regions: RegionFit | None = None
