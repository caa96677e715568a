# SPDX-License-Identifier: Apache-2.0
"""DICOM headers of a phantom in the manner of several scanner makers; everything in them is invented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from ..core.errors import InvalidInputError
from ..core.geometry import LPS_TO_RAS, FloatArray, voxel_sizes
from ..core.series import PerfusionSeries

VENDORS = ("generic", "siemens", "ge", "philips", "canon")
"""Manners of writing DICOM, see `write_dicom`."""

_MANUFACTURERS = {
    "generic": "Perfusion Suite phantom",
    "siemens": "SIEMENS (phantom)",
    "ge": "GE MEDICAL SYSTEMS (phantom)",
    "philips": "Philips (phantom)",
    "canon": "Canon (phantom)",
}
_START = datetime(2000, 1, 1, 9, 30, 0)  # DICOM times carry no zone
_IMPLEMENTATION = UID("1.2.826.0.1.3680043.8.498.1")


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
    echo_time_s, repetition_time_s : float or None, s
        Of MR data.
    compress : bool
        Whether pixels are compressed.
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
    echo_time_s: float | None
    repetition_time_s: float | None
    compress: bool

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


def plan_of(series: PerfusionSeries, vendor: str, seed: int, *, compress: bool) -> Plan:
    """Decide how a series is stored.

    Parameters
    ----------
    series : PerfusionSeries
        The scan.
    vendor : str
        One of `VENDORS`.
    seed : int
        Makes the UIDs.
    compress : bool
        Whether pixels are compressed.

    Returns
    -------
    Plan
        Numbers and times shared by all images.

    Raises
    ------
    InvalidInputError
        If the modality cannot be written in this manner, or rows and columns are not perpendicular.
    """
    if series.modality not in {"ctp", "dsc"} or (series.modality == "dsc" and vendor == "canon"):
        msg = f"A series of modality '{series.modality}' cannot be written as '{vendor}' DICOM. Choose the vendor 'generic'."
        raise InvalidInputError(msg)
    lps = LPS_TO_RAS @ series.affine
    sizes = voxel_sizes(lps)
    if abs(float(lps[:3, 0] @ lps[:3, 1])) > 1e-4 * float(sizes[0] * sizes[1]):
        msg = "DICOM images need perpendicular rows and columns, but the first two axes of this series are not. Resample it."
        raise InvalidInputError(msg)
    largest = float(np.nanmax(series.data))
    slope, intercept, bits = 1.0, -1024.0, 12 if largest < 3071.5 else 16
    if series.modality == "dsc":
        slope, intercept, bits = max(largest / 65535.0, 1.0), 0.0, 16
    slice_times = series.acquisition.slice_times_s
    shared = np.broadcast_to(series.times_s, (series.shape[2], series.times_s.size))
    times = np.array(shared if slice_times is None else slice_times, np.float64)
    echoes = series.acquisition.echo_times_s
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
        echoes[0] if echoes else (0.03 if series.modality == "dsc" else None),
        series.acquisition.repetition_time_s or (series.interval_s if series.modality == "dsc" else None),
        compress,
    )


def classic_image(plan: Plan, k: int, frame: int) -> Dataset:
    """Make the header of one single-frame image.

    Parameters
    ----------
    plan : Plan
        What all images share.
    k, frame : int
        Slice and frame.

    Returns
    -------
    Dataset
        Header without pixels.
    """
    image = _shared_header(plan, CTImageStorage if plan.modality == "CT" else MRImageStorage, plan.uid("image", frame, k))
    image.InstanceNumber = frame * plan.shape[2] + k + 1
    image.ImageOrientationPatient, image.PixelSpacing = _orientation(plan), _pixel_spacing(plan)
    image.ImagePositionPatient = _numbers(_position(plan, k))
    image.SliceLocation = _number(_position(plan, k)[2])
    image.SliceThickness = _number(_slice_step(plan))
    image.RescaleIntercept, image.RescaleSlope = _number(plan.intercept), _number(plan.slope)
    if plan.modality == "CT":
        image.RescaleType, image.KVP, image.ConvolutionKernel = "HU", "80", "PHANTOM"
    else:
        image.EchoTime, image.RepetitionTime = (
            _number(1e3 * (plan.echo_time_s or 0)),
            _number(1e3 * (plan.repetition_time_s or 0)),
        )
        image.ScanningSequence, image.SequenceVariant, image.MRAcquisitionType = "EP", "NONE", "2D"
    _TIMING[plan.vendor](image, plan, k, frame)
    return image


def _acquisition_time(image: Dataset, plan: Plan, k: int, frame: int) -> None:
    clock = plan.clock(plan.slice_times_s[k, frame])
    image.AcquisitionDate, image.AcquisitionTime = _date(clock), _time(clock)
    image.ContentDate, image.ContentTime = image.AcquisitionDate, image.AcquisitionTime
    image.AcquisitionNumber = frame + 1


def _acquisition_datetime(image: Dataset, plan: Plan, k: int, frame: int) -> None:
    _acquisition_time(image, plan, k, frame)
    image.AcquisitionDateTime = image.AcquisitionDate + image.AcquisitionTime


def _private_midscan(image: Dataset, plan: Plan, k: int, frame: int) -> None:
    image.AcquisitionDate, image.AcquisitionTime = _date(plan.start), _time(plan.start)
    image.ContentDate, image.ContentTime = image.AcquisitionDate, image.AcquisitionTime
    image.AcquisitionNumber = 1
    private = image.private_block(0x0019, "GEMS_ACQU_01", create=True)
    private.add_new(0x24, "DS", f"{plan.slice_times_s[k, frame]:.6f}")


def _temporal_position(image: Dataset, plan: Plan, k: int, frame: int) -> None:
    clock = plan.clock(plan.slice_times_s[k, frame])
    image.AcquisitionDate, image.AcquisitionTime = _date(plan.start), _time(plan.start)
    image.ContentDate, image.ContentTime = _date(clock), _time(clock)
    image.AcquisitionNumber = 1
    image.TemporalPositionIdentifier, image.NumberOfTemporalPositions = frame + 1, plan.shape[3]


_TIMING = {
    "generic": _acquisition_time,
    "siemens": _acquisition_datetime,
    "ge": _private_midscan,
    "philips": _temporal_position,
}


def enhanced_image(plan: Plan, places: Sequence[tuple[int, int]]) -> Dataset:
    """Make the header of a multi-frame image that holds the whole scan.

    Parameters
    ----------
    plan : Plan
        What all frames share.
    places : sequence of tuple of int
        Slice and frame in time of each stored frame, in stored order.

    Returns
    -------
    Dataset
        Header without pixels.
    """
    image = _shared_header(plan, EnhancedCTImageStorage, plan.uid("multi-frame"))
    image.InstanceNumber, image.NumberOfFrames = 1, len(places)
    image.ContentDate, image.ContentTime = _date(plan.start), _time(plan.start)
    image.AcquisitionDateTime = _date(plan.start) + _time(plan.start)
    image.AcquisitionNumber, image.VolumetricProperties = 1, "VOLUME"
    image.PixelPresentation, image.VolumeBasedCalculationTechnique = "MONOCHROME", "NONE"
    image.BurnedInAnnotation, image.LossyImageCompression, image.PresentationLUTShape = "NO", "00", "IDENTITY"
    image.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=plan.uid("dimensions"))]
    image.DimensionIndexSequence = [
        _dimension(plan, 0x00209056, 0x00209111),
        _dimension(plan, 0x00209128, 0x00209111),
        _dimension(plan, 0x00209057, 0x00209111),
    ]
    frame_type = _item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], PixelPresentation="MONOCHROME")
    frame_type.VolumetricProperties, frame_type.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    measures = _item(PixelSpacing=_pixel_spacing(plan), SliceThickness=_number(_slice_step(plan)))
    rescale = _item(RescaleIntercept=_number(plan.intercept), RescaleSlope=_number(plan.slope), RescaleType="HU")
    image.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[measures],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=_orientation(plan))],
            PixelValueTransformationSequence=[rescale],
            CTImageFrameTypeSequence=[frame_type],
            CTReconstructionSequence=[_item(ConvolutionKernel="PHANTOM")],
            CTXRayDetailsSequence=[_item(KVP="80")],
        )
    ]
    image.PerFrameFunctionalGroupsSequence = [_enhanced_frame(plan, k, frame) for k, frame in places]
    return image


def _enhanced_frame(plan: Plan, k: int, frame: int) -> Dataset:
    clock = plan.clock(plan.slice_times_s[k, frame])
    content = _item(
        FrameAcquisitionNumber=frame + 1,
        FrameAcquisitionDateTime=_date(clock) + _time(clock),
        FrameReferenceDateTime=_date(clock) + _time(clock),
        FrameAcquisitionDuration=500.0,
        DimensionIndexValues=[1, frame + 1, k + 1],
        StackID="1",
        InStackPositionNumber=k + 1,
        TemporalPositionIndex=frame + 1,
    )
    position = _item(ImagePositionPatient=_numbers(_position(plan, k)))
    return _item(FrameContentSequence=[content], PlanePositionSequence=[position])


def _shared_header(plan: Plan, sop_class: UID, sop_uid: UID) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = sop_class, sop_uid
    image.file_meta.ImplementationClassUID = _IMPLEMENTATION
    image.SpecificCharacterSet, image.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL"]
    if sop_class == EnhancedCTImageStorage:
        image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = sop_class, sop_uid, plan.modality
    image.StudyDate, image.StudyTime = _date(plan.start), _time(plan.start)
    image.SeriesDate, image.SeriesTime = image.StudyDate, image.StudyTime
    image.Manufacturer, image.ManufacturerModelName = _MANUFACTURERS[plan.vendor], "Digital phantom"
    image.DeviceSerialNumber, image.SoftwareVersions = "0", "1"
    image.StudyDescription, image.SeriesDescription = "Digital phantom", "Perfusion"
    image.PatientName, image.PatientID = f"Phantom^{plan.seed}", f"PHANTOM-{plan.seed}"
    image.PatientBirthDate = image.PatientSex = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.PatientPosition, image.BodyPartExamined, image.PositionReferenceIndicator = "HFS", "HEAD", ""
    image.StudyInstanceUID, image.SeriesInstanceUID = plan.uid("study"), plan.uid("series")
    image.FrameOfReferenceUID = plan.uid("frame of reference")
    image.StudyID, image.SeriesNumber = "1", 2
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.Columns, image.Rows = plan.shape[:2]
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, plan.bits, plan.bits - 1
    image.WindowCenter, image.WindowWidth = ("40", "80") if plan.modality == "CT" else ("500", "1000")
    return image


def _item(**values: object) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _dimension(plan: Plan, index: int, group: int) -> Dataset:
    return _item(DimensionOrganizationUID=plan.uid("dimensions"), DimensionIndexPointer=index, FunctionalGroupPointer=group)


def _orientation(plan: Plan) -> list[DSfloat]:
    return _numbers((plan.lps[:3, :2] / voxel_sizes(plan.lps)[:2]).T.ravel())


def _position(plan: Plan, k: int) -> FloatArray:
    place: FloatArray = plan.lps[:3, 3] + k * plan.lps[:3, 2]
    return place


def _pixel_spacing(plan: Plan) -> list[DSfloat]:
    sizes = voxel_sizes(plan.lps)
    return _numbers(np.array([sizes[1], sizes[0]]))


def _slice_step(plan: Plan) -> float:
    """Distance of slices along their normal; shorter than the step between their corners when the gantry is tilted."""
    normal = np.cross(plan.lps[:3, 0], plan.lps[:3, 1])
    return float(abs(normal @ plan.lps[:3, 2]) / np.linalg.norm(normal))


def _number(value: float) -> DSfloat:
    return DSfloat(float(value), auto_format=True)


def _numbers(values: FloatArray) -> list[DSfloat]:
    return [_number(value) for value in values]


def _date(clock: datetime) -> str:
    return clock.strftime("%Y%m%d")


def _time(clock: datetime) -> str:
    return clock.strftime("%H%M%S.%f")
