# SPDX-License-Identifier: Apache-2.0
"""Arterial spin labeling as it travels: the scan with what each volume is, and what one run makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInputError
from .findings import QualityFinding
from .geometry import BoolArray, FloatArray, check_affine, voxel_sizes
from .maps import PerfusionMaps
from .series import Acquisition, Source
from .values import LesionMasks, Metrics, MotionReport, TissueMasks

LabelingType = Literal["pcasl", "casl", "pasl"]

VOLUME_TYPES = ("control", "label", "deltam", "m0scan", "cbf", "noRF", "n/a")
"""What a volume can be, in the words of BIDS (``volume_type`` of aslcontext.tsv)."""


@dataclass(frozen=True, slots=True)
class AslSeries:
    """An ASL scan: volumes without a common time axis, each with its own type and delay.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, V), signal
        Stored as float32.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    volume_types : tuple of str, length V
        Words of `VOLUME_TYPES`.
    post_label_delays_s : ndarray, shape (V,), s
        From the end of labeling to the picture ((P)CASL), or from the labeling pulse to the picture (PASL, inversion time);
        NaN for volumes without label (M0).
    label_durations_s : ndarray, shape (V,), s
        Labeling duration ((P)CASL), or the bolus cut-off time (PASL); NaN where there is none.
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    m0 : ndarray, shape (I, J, K), optional
        Signal of fully relaxed tissue from a separate scan, on the grid of `data`.
    m0_value : float, optional
        One number instead of an M0 image (``M0Estimate`` of BIDS).
    m0_repetition_s : float, s, optional
        Repetition time of the M0 scan, for the correction of incomplete relaxation.
    labeling_efficiency : float, optional
        As the scanner states it; None leaves it to the model's value for the labeling.
    background_suppression_pulses : int, optional
        Number of inversion pulses between labeling and picture; 0 without suppression, None when it is not known.
    field_strength_t : float, T, optional
        Of the magnet; decides the relaxation times of blood and tissue.
    scaling : float
        Factor that the vendor multiplied difference images by, relative to M0 (1 when there is none).
    slice_delays_s : ndarray, shape (K,), s, optional
        How much later than the first each slice is read (2D readouts).
    acquisition : Acquisition
        Technical facts.
    source : Source
        Where it came from.

    Raises
    ------
    InvalidInputError
        If counts, types or the affine do not fit together.
    """

    data: NDArray[np.float32]
    affine: FloatArray
    volume_types: tuple[str, ...]
    post_label_delays_s: FloatArray
    label_durations_s: FloatArray
    labeling: LabelingType = "pcasl"
    m0: NDArray[np.float32] | None = None
    m0_value: float | None = None
    m0_repetition_s: float | None = None
    labeling_efficiency: float | None = None
    background_suppression_pulses: int | None = None
    field_strength_t: float | None = None
    scaling: float = 1.0
    slice_delays_s: FloatArray | None = None
    acquisition: Acquisition = field(default_factory=Acquisition)
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        data = np.ascontiguousarray(self.data, dtype=np.float32)
        if data.ndim != 4 or 0 in data.shape:
            msg = f"An ASL series must have 4 dimensions (I, J, K, volume), not the shape {data.shape}. Choose the ASL series."
            raise InvalidInputError(msg)
        volumes = data.shape[3]
        for name in ("volume_types", "post_label_delays_s", "label_durations_s"):
            count = len(getattr(self, name))
            if count != volumes:
                msg = f"The ASL series has {volumes} volumes but {count} entries of {name}. Give one entry for each volume."
                raise InvalidInputError(msg)
        unknown = sorted(set(self.volume_types) - set(VOLUME_TYPES))
        if unknown:
            msg = f"Volumes of type {', '.join(map(repr, unknown))} are unknown. Use {', '.join(VOLUME_TYPES)}."
            raise InvalidInputError(msg)
        if self.m0 is not None and self.m0.shape != data.shape[:3]:
            msg = f"The M0 image has shape {self.m0.shape}, the ASL series {data.shape[:3]}. Resample M0 to the series."
            raise InvalidInputError(msg)
        if self.slice_delays_s is not None and np.shape(self.slice_delays_s) != data.shape[2:3]:
            msg = f"{np.size(self.slice_delays_s)} slice times were given for {data.shape[2]} slices. Give one for each slice."
            raise InvalidInputError(msg)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "affine", check_affine(self.affine))
        for name in ("post_label_delays_s", "label_durations_s"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))

    @property
    def modality(self) -> Literal["asl"]:
        """Always ``asl``."""
        return "asl"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Spatial shape (I, J, K)."""
        return self.data.shape[:3]

    @property
    def delays_s(self) -> FloatArray:
        """The different post-label delays in s, in rising order."""
        return np.unique(np.round(self.post_label_delays_s[np.isfinite(self.post_label_delays_s)], 4))

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Voxel spacing in mm."""
        sizes = voxel_sizes(self.affine)
        return float(sizes[0]), float(sizes[1]), float(sizes[2])

    def of_type(self, *types: str) -> BoolArray:
        """Return which volumes are of one of the types, shape (V,)."""
        return np.isin(np.array(self.volume_types), types)


@dataclass(frozen=True, slots=True)
class AslDifference:
    """Difference images and what turns them into perfusion: what every ASL model is given.

    Parameters
    ----------
    delta_m : ndarray, shape (I, J, K, D), signal
        Control minus label, averaged over the repetitions of each delay; a vendor's scaling is divided out.
    post_label_delays_s, label_durations_s : ndarray, shape (D,), s
        Of each delay, rising; see `AslSeries`.
    m0 : ndarray, shape (I, J, K), signal, or None
        Calibrated signal of fully relaxed tissue; None gives relative results.
    noise_sd : ndarray, shape (I, J, K, D), signal, or None
        Standard error of `delta_m` from the scatter of repetitions or of the background.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    labeling_efficiency : float
        Inversion efficiency times the loss by background suppression.
    field_strength_t : float, T
        Of the magnet.
    slice_delays_s : ndarray, shape (K,), s
        How much later than the first each slice is read; zeros for 3D readouts.
    repetitions : ndarray of int, shape (D,)
        Number of pairs that were averaged.
    findings : tuple of QualityFinding
        What was odd or assumed.
    """

    delta_m: NDArray[np.float32]
    post_label_delays_s: FloatArray
    label_durations_s: FloatArray
    m0: NDArray[np.float32] | None
    noise_sd: NDArray[np.float32] | None
    mask: BoolArray
    affine: FloatArray
    labeling: LabelingType
    labeling_efficiency: float
    field_strength_t: float
    slice_delays_s: FloatArray
    repetitions: NDArray[np.int64]
    findings: tuple[QualityFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class AslStudy:
    """Everything that one run of an ASL scan produced.

    Parameters
    ----------
    series : AslSeries
        The scan after motion correction.
    difference : AslDifference
        What the model was given.
    masks : TissueMasks
        Brain; CSF, vessel and bone are empty where they are not known.
    maps : PerfusionMaps
        Quantitative maps (``cbf``, with several delays ``att``, their standard errors, ``quality``).
    metrics : Metrics
        Numbers of the case.
    motion : MotionReport or None
        Head motion, None when it was not estimated.
    settings : mapping
        The settings of the run.
    findings : tuple of QualityFinding
        All findings in the order of the chain.
    seconds : mapping of str to float, s
        Time each step took.
    lesions : LesionMasks or None
        Low flow against the other side as ``hypoperfusion``, with side and mid-sagittal plane; core and penumbra are empty.
        None when it was not looked for.
    tissue : mapping of str to ndarray, shape (I, J, K)
        Fractions ``gm`` and ``wm``, 0 to 1, when they are known or were estimated.
    """

    series: AslSeries
    difference: AslDifference
    masks: TissueMasks
    maps: PerfusionMaps
    metrics: Metrics
    motion: MotionReport | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[QualityFinding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    lesions: LesionMasks | None = None
    tissue: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
