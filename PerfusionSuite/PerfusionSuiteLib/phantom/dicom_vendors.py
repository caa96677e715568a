# SPDX-License-Identifier: Apache-2.0
"""Single-frame DICOM headers of a phantom in the manner of several scanner makers; everything in them is invented."""

from __future__ import annotations

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage

from .dicom_plan import Place, Plan, da, ds_number, ds_numbers, shared_header, tm


def classic_image(plan: Plan, place: Place) -> Dataset:
    """Make the header of one single-frame image.

    Parameters
    ----------
    plan : Plan
        What all images share.
    place : Place
        Echo, frame, slice and series.

    Returns
    -------
    Dataset
        Header without pixels.
    """
    echo, frame, k = place.echo, place.frame, place.k
    uid = plan.uid("image", frame, k, echo) if echo else plan.uid("image", frame, k)
    sop_class = CTImageStorage if plan.modality == "CT" else MRImageStorage
    image = shared_header(plan, sop_class, uid, place.series, ["ORIGINAL", "PRIMARY", "AXIAL"])
    image.InstanceNumber = instance_number(plan, place)
    image.ImageOrientationPatient, image.PixelSpacing = plan.orientation, plan.pixel_spacing
    image.ImagePositionPatient = ds_numbers(plan.position(k))
    image.SliceLocation = ds_number(float(plan.normal @ plan.position(k)))
    image.SliceThickness = ds_number(plan.slice_step)
    image.RescaleIntercept, image.RescaleSlope = ds_number(plan.intercept), ds_number(plan.slope)
    if plan.modality == "CT":
        image.RescaleType, image.KVP, image.ConvolutionKernel = "HU", "80", "PHANTOM"
    else:
        set_sequence(image, plan, echo)
    TIMING[plan.vendor, plan.modality](image, plan, place)
    return image


def instance_number(plan: Plan, place: Place) -> int:
    """Return the number of an image within the scan, from 1.

    Parameters
    ----------
    plan : Plan
        What all images share.
    place : Place
        The image.

    Returns
    -------
    int
        Echoes run fastest, then slices, then frames.
    """
    return (place.frame * plan.shape[2] + place.k) * max(len(plan.echo_times_s), 1) + place.echo + 1


def set_sequence(image: Dataset, plan: Plan, echo: int) -> None:
    """Write what an MR image says about its pulse sequence.

    Parameters
    ----------
    image : Dataset
        The header; changed.
    plan : Plan
        What all images share.
    echo : int
        Number of the echo, from 0.
    """
    image.EchoTime = ds_number(1e3 * plan.echo_times_s[echo])
    image.RepetitionTime = ds_number(1e3 * (plan.repetition_time_s or 0.0))
    if plan.flip_deg is not None:
        image.FlipAngle = ds_number(plan.flip_deg)
    if plan.field_t is not None:
        image.MagneticFieldStrength = ds_number(plan.field_t)
    image.EchoNumbers = echo + 1
    image.ScanningSequence, image.SequenceVariant, image.MRAcquisitionType = "EP", "NONE", "2D"


def _acquisition_time(image: Dataset, plan: Plan, place: Place) -> None:
    clock = plan.clock(plan.slice_times_s[place.k, place.frame])
    image.AcquisitionDate, image.AcquisitionTime = da(clock), tm(clock)
    image.ContentDate, image.ContentTime = image.AcquisitionDate, image.AcquisitionTime
    image.AcquisitionNumber = place.frame + 1


def _acquisition_datetime(image: Dataset, plan: Plan, place: Place) -> None:
    _acquisition_time(image, plan, place)
    image.AcquisitionDateTime = image.AcquisitionDate + image.AcquisitionTime


def _one_acquisition(image: Dataset, plan: Plan) -> None:
    image.AcquisitionDate, image.AcquisitionTime = da(plan.start), tm(plan.start)
    image.ContentDate, image.ContentTime = image.AcquisitionDate, image.AcquisitionTime
    image.AcquisitionNumber = 1


def _private_midscan(image: Dataset, plan: Plan, place: Place) -> None:
    _one_acquisition(image, plan)
    private = image.private_block(0x0019, "GEMS_ACQU_01", create=True)
    private.add_new(0x24, "DS", f"{plan.slice_times_s[place.k, place.frame]:.6f}")


def _trigger_time(image: Dataset, plan: Plan, place: Place) -> None:
    _one_acquisition(image, plan)
    image.TriggerTime = ds_number(round(1e3 * float(plan.slice_times_s[place.k, place.frame]), 3))
    image.TemporalPositionIdentifier, image.NumberOfTemporalPositions = place.frame + 1, plan.shape[3]


def _temporal_position(image: Dataset, plan: Plan, place: Place) -> None:
    _one_acquisition(image, plan)
    clock = plan.clock(plan.slice_times_s[place.k, place.frame])
    image.ContentDate, image.ContentTime = da(clock), tm(clock)
    image.TemporalPositionIdentifier, image.NumberOfTemporalPositions = place.frame + 1, plan.shape[3]


def _dynamic_begin(image: Dataset, plan: Plan, place: Place) -> None:
    _one_acquisition(image, plan)
    image.TemporalPositionIdentifier, image.NumberOfTemporalPositions = place.frame + 1, plan.shape[3]
    private = image.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    private.add_new(0xA0, "FL", float(plan.slice_times_s[place.k, place.frame]))


def _volume_time(image: Dataset, plan: Plan, place: Place) -> None:
    """One rotation takes all slices at once; a table that moves takes each position at its own time."""
    _acquisition_time(image, plan, place)
    image.SeriesTime = tm(plan.clock(plan.frame_times_s[place.frame]))


TIMING: dict[tuple[str, str], Callable[[Dataset, Plan, Place], None]] = {
    ("generic", "CT"): _acquisition_time,
    ("generic", "MR"): _acquisition_time,
    ("siemens", "CT"): _acquisition_datetime,
    ("siemens", "MR"): _acquisition_time,
    ("ge", "CT"): _private_midscan,
    ("ge", "MR"): _trigger_time,
    ("philips", "CT"): _temporal_position,
    ("philips", "MR"): _dynamic_begin,
    ("canon", "CT"): _volume_time,
}
"""Where each maker puts the time of an image."""
