# SPDX-License-Identifier: Apache-2.0
"""Enhanced multi-frame DICOM: functional groups of each frame become an `ImageHeader`."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from .asl_dicom_tags import asl_of
from .dicom_clock import seconds_of_datetime
from .dicom_headers import ImageHeader, PixelLayout, classic_header, floats, number, set_rescale, text
from .dicom_private import PHILIPS_FRAME, private_clocks

_NOTHING = DataElement(PHILIPS_FRAME, "SQ", [])


def frame_headers(dataset: Dataset, layout: PixelLayout) -> list[ImageHeader]:
    """Split the header of a multi-frame file into one per frame.

    Parameters
    ----------
    dataset : Dataset
        An enhanced CT or MR image.
    layout : PixelLayout
        Its pixels.

    Returns
    -------
    list of ImageHeader
        In stored order. What a frame does not say itself comes from the shared groups, then from the top level.
    """
    shared = classic_header(dataset, layout)
    # The clock of the file says when the scan began, not when a frame was taken.
    file_clocks, shared.clocks = shared.clocks, {}
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        _apply(shared, group)
    headers = []
    for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        header = replace(shared, frame=index, clocks=dict(shared.clocks), details=dict(shared.details))
        header.sop_uid = f"{shared.sop_uid}#{index}"
        header.instance = max(shared.instance, 0) * len(dataset.PerFrameFunctionalGroupsSequence) + index
        _apply(header, group)
        # A file per time point says its time at the top level only.
        header.clocks = {**file_clocks, **header.clocks}
        headers.append(header)
    return headers


def _first(group: Dataset, name: str) -> Dataset | None:
    sequence = group.get(name)
    return sequence[0] if sequence else None


def _apply(header: ImageHeader, group: Dataset) -> None:
    """Take over whatever a functional group says."""
    position, orientation = _first(group, "PlanePositionSequence"), _first(group, "PlaneOrientationSequence")
    if position is not None:
        header.position = floats(position, "ImagePositionPatient", 3)
    if orientation is not None:
        header.orientation = floats(orientation, "ImageOrientationPatient", 6)
    measures = _first(group, "PixelMeasuresSequence")
    if measures is not None:
        header.spacing, header.thickness = floats(measures, "PixelSpacing", 2), number(measures, "SliceThickness")
        header.slice_spacing = number(measures, "SpacingBetweenSlices")
    transformation = _first(group, "PixelValueTransformationSequence")
    if transformation is not None:
        set_rescale(header, transformation)
    _apply_technique(header, group)
    if header.modality == "MR":
        header.asl = {**header.asl, **asl_of(group)}
    offset = _first(group, "TemporalPositionSequence")
    if offset is not None and number(offset, "TemporalPositionTimeOffset") == number(offset, "TemporalPositionTimeOffset"):
        header.clocks["temporal_offset"] = number(offset, "TemporalPositionTimeOffset")
    content = _first(group, "FrameContentSequence")
    if content is not None:
        _apply_content(header, content)
    repeated = group.get(PHILIPS_FRAME, _NOTHING).value
    for private in repeated if isinstance(repeated, Sequence) else ():  # bytes when an archive lost the type
        header.clocks.update({name: value for name, value in private_clocks(private).items() if value == value})
        header.asl = {**header.asl, **asl_of(private)}


def _apply_technique(header: ImageHeader, group: Dataset) -> None:
    reconstruction, echo = _first(group, "CTReconstructionSequence"), _first(group, "MREchoSequence")
    if reconstruction is not None:
        header.kernel = text(reconstruction, "ConvolutionKernel") or header.kernel
    if echo is not None:
        header.echo_time_ms = number(echo, "EffectiveEchoTime")
    timing, xray = _first(group, "MRTimingAndRelatedParametersSequence"), _first(group, "CTXRayDetailsSequence")
    if timing is not None:
        header.repetition_time_ms = number(timing, "RepetitionTime")
        if number(timing, "FlipAngle") == number(timing, "FlipAngle"):
            header.details["flip_angle_deg"] = number(timing, "FlipAngle")
    if xray is not None and number(xray, "KVP") == number(xray, "KVP"):
        header.details["kvp"] = number(xray, "KVP")
    for name in ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"):
        frame_type = _first(group, name)
        if frame_type is not None and frame_type.get("FrameType"):
            header.image_type = tuple(str(item).upper() for item in frame_type.FrameType)


def _apply_content(header: ImageHeader, content: Dataset) -> None:
    clocks = {
        "frame_acquisition_datetime": seconds_of_datetime(content.get("FrameAcquisitionDateTime", "")),
        "reference_datetime": seconds_of_datetime(content.get("FrameReferenceDateTime", "")),
        "temporal_position": number(content, "TemporalPositionIndex"),
    }
    header.clocks.update({name: value for name, value in clocks.items() if value == value})
    acquisition = number(content, "FrameAcquisitionNumber")
    if acquisition == acquisition:
        header.acquisition = int(acquisition)
