# SPDX-License-Identifier: Apache-2.0
"""Enhanced multi-frame CT and MR: the header of one file that holds a whole phantom scan."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage

from .dicom_plan import Place, Plan, da, ds_number, ds_numbers, item, shared_header, tm

_CONTENT, _TEMPORAL, _STACK, _IN_STACK = 0x00209111, 0x00209128, 0x00209056, 0x00209057


def enhanced_image(plan: Plan, places: Sequence[Place]) -> Dataset:
    """Make the header of a multi-frame image that holds the whole scan.

    Parameters
    ----------
    plan : Plan
        What all frames share.
    places : sequence of Place
        Echo, frame in time and slice of each stored frame, in stored order.

    Returns
    -------
    Dataset
        Header without pixels.
    """
    tomography = plan.modality == "CT"
    kind = ["ORIGINAL", "PRIMARY", "VOLUME" if tomography else "PERFUSION", "NONE"]
    sop_class = EnhancedCTImageStorage if tomography else EnhancedMRImageStorage
    image = shared_header(plan, sop_class, plan.uid("multi-frame"), 0, kind)
    image.InstanceNumber, image.NumberOfFrames = 1, len(places)
    image.ContentDate, image.ContentTime = da(plan.start), tm(plan.start)
    image.AcquisitionDateTime = da(plan.start) + tm(plan.start)
    image.AcquisitionNumber, image.VolumetricProperties = 1, "VOLUME"
    image.PixelPresentation, image.VolumeBasedCalculationTechnique = "MONOCHROME", "NONE"
    image.BurnedInAnnotation, image.LossyImageCompression, image.PresentationLUTShape = "NO", "00", "IDENTITY"
    if plan.field_t is not None:
        image.MagneticFieldStrength = ds_number(plan.field_t)
    image.DimensionOrganizationSequence = [item(DimensionOrganizationUID=plan.uid("dimensions"))]
    image.DimensionIndexSequence = [_dimension(plan, index) for index in (_STACK, _TEMPORAL, _IN_STACK)]
    image.SharedFunctionalGroupsSequence = [_shared_groups(plan, kind)]
    image.PerFrameFunctionalGroupsSequence = [_frame_groups(plan, place) for place in places]
    return image


def _shared_groups(plan: Plan, kind: list[str]) -> Dataset:
    frame_type = item(FrameType=kind, PixelPresentation="MONOCHROME")
    frame_type.VolumetricProperties, frame_type.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    rescale = item(RescaleIntercept=ds_number(plan.intercept), RescaleSlope=ds_number(plan.slope))
    rescale.RescaleType = "HU" if plan.modality == "CT" else "US"
    measures = item(PixelSpacing=plan.pixel_spacing, SliceThickness=ds_number(plan.slice_step))
    shared = item(
        PixelMeasuresSequence=[measures],
        PlaneOrientationSequence=[item(ImageOrientationPatient=plan.orientation)],
        PixelValueTransformationSequence=[rescale],
    )
    if plan.modality == "CT":
        shared.CTImageFrameTypeSequence = [frame_type]
        shared.CTReconstructionSequence = [item(ConvolutionKernel="PHANTOM")]
        shared.CTXRayDetailsSequence = [item(KVP="80")]
    else:
        shared.MRImageFrameTypeSequence = [frame_type]
        repetition = 1e3 * (plan.repetition_time_s or 0.0)
        flip = 90.0 if plan.flip_deg is None else plan.flip_deg
        shared.MRTimingAndRelatedParametersSequence = [item(RepetitionTime=ds_number(repetition), FlipAngle=ds_number(flip))]
    return shared


def _frame_groups(plan: Plan, place: Place) -> Dataset:
    seconds = float(plan.slice_times_s[place.k, place.frame])
    relative = plan.vendor == "philips-enhanced"
    clock = plan.start if relative else plan.clock(seconds)
    content = item(
        FrameAcquisitionNumber=place.frame + 1,
        FrameAcquisitionDateTime=da(clock) + tm(clock),
        FrameReferenceDateTime=da(clock) + tm(clock),
        FrameAcquisitionDuration=500.0,
        DimensionIndexValues=[1, place.frame + 1, place.k + 1],
        StackID="1",
        InStackPositionNumber=place.k + 1,
        TemporalPositionIndex=place.frame + 1,
    )
    position = item(ImagePositionPatient=ds_numbers(plan.position(place.k)))
    groups = item(FrameContentSequence=[content], PlanePositionSequence=[position])
    if plan.modality == "MR":
        groups.MREchoSequence = [item(EffectiveEchoTime=1e3 * plan.echo_times_s[place.echo])]
    if relative and plan.modality == "CT":
        groups.TemporalPositionSequence = [item(TemporalPositionTimeOffset=seconds)]
    elif relative:
        groups.add_new((0x2005, 0x0014), "LO", "Philips MR Imaging DD 005")
        groups.add_new((0x2005, 0x140F), "SQ", [_philips_item(seconds)])
    return groups


def _philips_item(seconds: float) -> Dataset:
    """Make the private item in which the maker repeats the classic header of a frame."""
    private = Dataset()
    private.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0xA0, "FL", seconds)
    return private


def _dimension(plan: Plan, index: int) -> Dataset:
    return item(DimensionOrganizationUID=plan.uid("dimensions"), DimensionIndexPointer=index, FunctionalGroupPointer=_CONTENT)
