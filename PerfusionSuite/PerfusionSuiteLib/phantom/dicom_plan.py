# SPDX-License-Identifier: Apache-2.0
"""What all images of one DICOM export share: grid, clock, scaling, invented identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import DSfloat

from ..core.errors import InvalidInputError
from ..core.geometry import LPS_TO_RAS, FloatArray, voxel_sizes
from ..core.series import PerfusionSeries

VENDORS = ("generic", "siemens", "siemens-mosaic", "ge", "philips", "philips-enhanced", "canon", "enhanced")
"""Manners of writing DICOM, see `write_dicom`."""

MULTIFRAME = ("philips-enhanced", "enhanced")
"""Manners that put the whole scan into one file."""

_MANUFACTURERS = {
    "generic": "Perfusion Suite phantom",
    "siemens": "SIEMENS (phantom)",
    "siemens-mosaic": "SIEMENS (phantom)",
    "ge": "GE MEDICAL SYSTEMS (phantom)",
    "philips": "Philips (phantom)",
    "philips-enhanced": "Philips (phantom)",
    "canon": "Canon (phantom)",
    "enhanced": "Perfusion Suite phantom",
}
_START = datetime(2000, 1, 1, 9, 30, 0)  # DICOM times carry no zone
_IMPLEMENTATION = UID("1.2.826.0.1.3680043.8.498.1")
_NOT_FOR = {"ctp": ("siemens-mosaic",), "dsc": ("canon",)}


@dataclass(frozen=True, slots=True)
class Place:
    """One image of an export.

    Parameters
    ----------
    echo, frame, k : int
        Echo, time point and slice, from 0.
    series : int
        Number of the DICOM series it goes to, from 0.
    """

    echo: int
    frame: int
    k: int
    series: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the images of one export share.

    Parameters
    ----------
    vendor : str
        One of `VENDORS`.
    seed : int
        Makes the UIDs.
    modality : {"CT", "MR"}
        DICOM modality.
    shape : tuple of int
        (I, J, K, T).
    lps : ndarray, shape (4, 4), mm
        Voxel to LPS.
    slice_times_s : ndarray, shape (K, T), s
        Acquisition time of each image.
    frame_times_s : ndarray, shape (T,), s
        Time of each frame.
    slope, intercept : float
        Stored value to HU or signal.
    bits : int
        Bits in use.
    echo_times_s : tuple of float, s
        Of MR data, one per echo.
    repetition_time_s : float or None, s
        Of MR data.
    flip_deg, field_t : float or None, degrees and tesla
        Of MR data, when known.
    """

    vendor: str
    seed: int
    modality: str
    shape: tuple[int, int, int, int]
    lps: FloatArray
    slice_times_s: FloatArray
    frame_times_s: FloatArray
    slope: float
    intercept: float
    bits: int
    echo_times_s: tuple[float, ...]
    repetition_time_s: float | None
    flip_deg: float | None = None
    field_t: float | None = None

    def uid(self, *parts: object) -> UID:
        """Return a UID that depends on the seed and on `parts` only."""
        return generate_uid(entropy_srcs=["/".join(["perfusion-suite", self.vendor, str(self.seed), *map(str, parts)])])

    @property
    def start(self) -> datetime:
        """Invented clock time of the first frame."""
        return _START + timedelta(seconds=self.seed % 3600)

    def clock(self, seconds: float) -> datetime:
        """Return the invented clock time of a moment of the scan, to a microsecond."""
        return self.start + timedelta(microseconds=round(1e6 * float(seconds)))

    def position(self, k: int) -> FloatArray:
        """Return the center of the first pixel of a slice in LPS."""
        place: FloatArray = self.lps[:3, 3] + k * self.lps[:3, 2]
        return place

    @property
    def normal(self) -> FloatArray:
        """Unit vector across the slices, the way rows and columns turn."""
        across = np.cross(self.lps[:3, 0], self.lps[:3, 1])
        normal: FloatArray = across / np.linalg.norm(across)
        return normal

    @property
    def slice_step(self) -> float:
        """Distance of slices along their normal; shorter than between their corners when the gantry is tilted."""
        return float(abs(self.normal @ self.lps[:3, 2]))

    @property
    def orientation(self) -> list[DSfloat]:
        """Directions of rows and columns."""
        return ds_numbers((self.lps[:3, :2] / voxel_sizes(self.lps)[:2]).T.ravel())

    @property
    def pixel_spacing(self) -> list[DSfloat]:
        """Between rows and between columns."""
        sizes = voxel_sizes(self.lps)
        return ds_numbers([sizes[1], sizes[0]])


def plan_of(echoes: Sequence[PerfusionSeries], vendor: str, seed: int) -> Plan:
    """Decide how a scan is stored.

    Parameters
    ----------
    echoes : sequence of PerfusionSeries
        The scan; several only for MR with several echoes.
    vendor : str
        One of `VENDORS`.
    seed : int
        Makes the UIDs.

    Returns
    -------
    Plan
        Numbers and times shared by all images.

    Raises
    ------
    InvalidInputError
        If the modality cannot be written in this manner, echoes differ in size, or rows and columns are not perpendicular.
    """
    series = echoes[0]
    if series.modality not in _NOT_FOR or vendor in _NOT_FOR[series.modality]:
        msg = f"A series of modality '{series.modality}' cannot be written as '{vendor}' DICOM. Choose the vendor 'generic'."
        raise InvalidInputError(msg)
    if any(other.data.shape != series.data.shape for other in echoes) or (len(echoes) > 1 and series.modality != "dsc"):
        msg = "Echoes of one scan must be MR data of one size. Give series of the same scan."
        raise InvalidInputError(msg)
    lps = LPS_TO_RAS @ series.affine
    sizes = voxel_sizes(lps)
    if abs(float(lps[:3, 0] @ lps[:3, 1])) > 1e-4 * float(sizes[0] * sizes[1]):
        msg = "DICOM images need perpendicular rows and columns, but the first two axes of this series are not. Resample it."
        raise InvalidInputError(msg)
    largest = max(float(np.nanmax(echo.data)) for echo in echoes)
    slope, intercept, bits = 1.0, -1024.0, 12 if largest < 3071.5 else 16
    if series.modality == "dsc":
        slope, intercept, bits = max(largest / 65535.0, 1.0), 0.0, 16
    slice_times = series.acquisition.slice_times_s
    shared = np.broadcast_to(series.times_s, (series.shape[2], series.times_s.size))
    times = np.array(shared if slice_times is None else slice_times, np.float64)
    times_of_echoes = tuple((echo.acquisition.echo_times_s or (0.03,))[0] for echo in echoes)
    return Plan(
        vendor,
        seed,
        "CT" if series.modality == "ctp" else "MR",
        (*series.shape, series.times_s.size),
        lps,
        times - series.times_s[0],
        series.times_s - series.times_s[0],
        slope,
        intercept,
        bits,
        times_of_echoes if series.modality == "dsc" else (),
        series.acquisition.repetition_time_s or (series.interval_s if series.modality == "dsc" else None),
        series.acquisition.details.get("flip_angle_deg"),
        series.acquisition.details.get("field_strength_t"),
    )


def shared_header(plan: Plan, sop_class: UID, sop_uid: UID, series: int, image_type: list[str]) -> Dataset:
    """Make the part of a header that does not depend on the image.

    Parameters
    ----------
    plan : Plan
        What all images share.
    sop_class, sop_uid : UID
        Kind and identifier of the object.
    series : int
        Number of the DICOM series, from 0.
    image_type : list of str
        Value of ImageType.

    Returns
    -------
    Dataset
        Header without place, time and pixels.
    """
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = sop_class, sop_uid
    image.file_meta.ImplementationClassUID = _IMPLEMENTATION
    image.SpecificCharacterSet, image.ImageType = "ISO_IR 100", image_type
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = sop_class, sop_uid, plan.modality
    image.StudyDate, image.StudyTime = da(plan.start), tm(plan.start)
    image.SeriesDate, image.SeriesTime = image.StudyDate, image.StudyTime
    image.Manufacturer, image.ManufacturerModelName = _MANUFACTURERS[plan.vendor], "Digital phantom"
    image.DeviceSerialNumber, image.SoftwareVersions = "0", "1"
    image.StudyDescription, image.SeriesDescription = "Digital phantom", "Perfusion"
    image.PatientName, image.PatientID = f"Phantom^{plan.seed}", f"PHANTOM-{plan.seed}"
    image.PatientBirthDate = image.PatientSex = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.PatientPosition, image.BodyPartExamined, image.PositionReferenceIndicator = "HFS", "HEAD", ""
    image.StudyInstanceUID = plan.uid("study")
    image.SeriesInstanceUID = plan.uid("series", series) if series else plan.uid("series")
    image.FrameOfReferenceUID = plan.uid("frame of reference")
    image.StudyID, image.SeriesNumber = "1", 2 + series
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.Columns, image.Rows = plan.shape[:2]
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, plan.bits, plan.bits - 1
    image.WindowCenter, image.WindowWidth = ("40", "80") if plan.modality == "CT" else ("500", "1000")
    return image


def item(**values: object) -> Dataset:
    """Make the item of a sequence.

    Parameters
    ----------
    **values : object
        Elements by keyword.

    Returns
    -------
    Dataset
        The item.
    """
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def ds_number(value: float) -> DSfloat:
    """Return a number as a decimal string of at most 16 characters.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    DSfloat
        Its DICOM form.
    """
    return DSfloat(float(value), auto_format=True)


def ds_numbers(values: Sequence[float] | FloatArray) -> list[DSfloat]:
    """Return numbers as decimal strings.

    Parameters
    ----------
    values : sequence of float
        The numbers.

    Returns
    -------
    list of DSfloat
        Their DICOM form.
    """
    return [ds_number(float(value)) for value in values]


def da(clock: datetime) -> str:
    """Return a DICOM date.

    Parameters
    ----------
    clock : datetime
        A moment.

    Returns
    -------
    str
        YYYYMMDD.
    """
    return clock.strftime("%Y%m%d")


def tm(clock: datetime) -> str:
    """Return a DICOM time.

    Parameters
    ----------
    clock : datetime
        A moment.

    Returns
    -------
    str
        HHMMSS.FFFFFF.
    """
    return clock.strftime("%H%M%S.%f")
