# SPDX-License-Identifier: Apache-2.0
"""What derived DICOM objects inherit: patient and study, place in space, and the images they refer to."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid
from pydicom.valuerep import DA, TM

from .. import __version__
from ..core.errors import InvalidInputError
from ..core.geometry import LPS_TO_RAS, FloatArray, voxel_sizes
from ..series.dicom_reference import on_grid

MAKER: Mapping[str, str] = {
    "manufacturer": "Perfusion Suite contributors",
    "manufacturer_model_name": "Perfusion Suite",
    "software_versions": __version__,
    "device_serial_number": "none",
}
"""Who made the objects."""

_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "IssuerOfPatientID", "OtherPatientIDs", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime",
    "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "PatientIdentityRemoved", "DeidentificationMethod",
    "PositionReferenceIndicator", "TimezoneOffsetFromUTC",
)  # fmt: skip
_REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
_CLOCKS = {"StudyDate": DA, "PatientBirthDate": DA, "StudyTime": TM}
_SQUARE = 1e-4


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image (or one frame of a multi-frame image) that a slice was made from.

    Parameters
    ----------
    sop_class, sop_instance, series : str
        Identifiers.
    frame : int
        From 1; 0 for a file that is one image.
    """

    sop_class: str
    sop_instance: str
    series: str
    frame: int = 0


@dataclass(frozen=True, slots=True)
class DicomSource:
    """Everything that a derived object takes over.

    Parameters
    ----------
    header : Dataset
        Stands for a source image: patient, study, frame of reference, grid; without pixels.
    by_slice : tuple of ImageReference
        The image of each slice; empty when the grid is another one or there is no DICOM source.
    images : tuple of ImageReference
        All images to refer to.
    affine : ndarray, shape (4, 4), mm
        Voxel to LPS.
    shape : tuple of int
        (I, J, K).
    technique : str
        ``ctp``, ``dsc`` or ``asl``; empty when it is not known.
    """

    header: Dataset
    by_slice: tuple[ImageReference, ...]
    images: tuple[ImageReference, ...]
    affine: FloatArray
    shape: tuple[int, int, int]
    technique: str = ""

    @property
    def modality(self) -> str:
        """``CT`` or ``MR``."""
        return str(self.header.Modality)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep complaints about odd values of the source out of logs and off the screen: they quote names and numbers of the patient.

    Yields
    ------
    None
        Nothing.
    """
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def source_of(
    dicom: Mapping[str, Any],
    shape: tuple[int, int, int],
    affine: FloatArray,
    *,
    case_id: str = "case",
    modality: str = "ctp",
    deidentify: bool = False,
) -> DicomSource:
    """Return what objects derived from a scan take over.

    Parameters
    ----------
    dicom : mapping
        ``Source.dicom`` of a series; empty when it was no DICOM scan, which makes a new study of its own.
    shape : tuple of int
        (I, J, K) of the results.
    affine : ndarray, shape (4, 4), mm
        Their voxel to RAS.
    case_id : str
        Name of the patient in a study of its own.
    modality : str
        ``ctp``, ``dsc`` or ``asl``.
    deidentify : bool
        Make a study of its own that neither names the patient nor refers to the source.

    Returns
    -------
    DicomSource
        Header, references and grid.

    Raises
    ------
    InvalidInputError
        If rows and columns are not perpendicular, which DICOM cannot express, or a source file has vanished.
    """
    lps = LPS_TO_RAS @ np.asarray(affine, float)
    sizes = voxel_sizes(lps)
    if abs(float(lps[:3, 0] @ lps[:3, 1])) > _SQUARE * float(sizes[0] * sizes[1]):
        msg = "DICOM images need perpendicular rows and columns, but the first two axes of the maps are not. Resample the maps."
        raise InvalidInputError(msg)
    if dicom and not deidentify:
        with quiet():
            header, images = _from_files(dicom)
        by_slice = images if on_grid(dicom, shape, np.asarray(affine, float)) else ()
    else:
        header, images, by_slice = _new_study(case_id, deidentify=deidentify), (), ()
        header.Modality = "CT" if modality == "ctp" else "MR"
    header.SOPClassUID = MRImageStorage if header.Modality == "MR" else CTImageStorage
    header.SOPInstanceUID, header.SeriesInstanceUID = generate_uid(), generate_uid()
    header.Columns, header.Rows = shape[:2]
    header.ImagePositionPatient = [float(v) for v in lps[:3, 3]]
    header.ImageOrientationPatient = [float(v) for v in (lps[:3, :2] / sizes[:2]).T.ravel()]
    header.PixelSpacing, header.SliceThickness = [float(sizes[1]), float(sizes[0])], slice_step(lps)
    return DicomSource(header, by_slice, images, lps, shape, modality)


def slice_step(lps: FloatArray) -> float:
    """Return the distance of slices along their normal; shorter than between corners when the gantry was tilted.

    Parameters
    ----------
    lps : ndarray, shape (4, 4), mm
        Voxel to LPS.

    Returns
    -------
    float, mm
        The distance.
    """
    normal = np.cross(lps[:3, 0], lps[:3, 1])
    return float(abs(normal @ lps[:3, 2]) / np.linalg.norm(normal))


def _from_files(dicom: Mapping[str, Any]) -> tuple[Dataset, tuple[ImageReference, ...]]:
    """Patient and study of the first file, and a reference to each."""
    headers: dict[str, Dataset] = {}
    try:
        for path in dict.fromkeys(dicom["files"]):
            headers[path] = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except OSError as error:
        msg = "A file of the source scan has vanished while the results were made. Run again, or leave out --dicom."
        raise InvalidInputError(msg) from error
    first = headers[dicom["files"][0]]
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"  # names are decoded here and written as Unicode
    for name in _STUDY:
        if name in first and first[name].VR != "SQ":
            setattr(header, name, _usable(name, first[name].value))
    for name in _REQUIRED:
        if name not in header:
            setattr(header, name, "")
    header.StudyInstanceUID = first.get("StudyInstanceUID") or generate_uid()
    header.FrameOfReferenceUID = first.get("FrameOfReferenceUID") or generate_uid()
    header.Modality = first.get("Modality") or "CT"
    if any(not h.get("SOPInstanceUID") for h in headers.values()):
        return header, ()  # what has no identifier cannot be referred to
    references = tuple(
        ImageReference(str(h.SOPClassUID), str(h.SOPInstanceUID), str(h.get("SeriesInstanceUID", "")), int(frame))
        for h, frame in zip((headers[path] for path in dicom["files"]), dicom["frame_numbers"], strict=True)
    )
    return header, references


def _usable(name: str, value: Any) -> Any:
    """Return a value of the source, empty where it is none that DICOM allows: objects with it could not be written."""
    if name == "PatientSex":
        return value if value in {"M", "F", "O"} else ""
    kind = _CLOCKS.get(name)
    if kind is None:
        return str(value) if name == "PatientName" else value
    try:
        return str(value) if value and kind(str(value)) is not None else ""
    except ValueError:
        return ""


def _new_study(case_id: str, *, deidentify: bool) -> Dataset:
    header = Dataset()
    for name in _REQUIRED:
        setattr(header, name, "")
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientName, header.PatientID, header.StudyID = f"{case_id[:60]}^", case_id[:64], "1"
    header.StudyInstanceUID, header.FrameOfReferenceUID = generate_uid(), generate_uid()
    if deidentify:
        header.PatientIdentityRemoved = "YES"
        header.DeidentificationMethod = "New study without identity, dates and references"
    return header


def plane_positions(source: DicomSource) -> list[list[float]]:
    """Return the position of each slice.

    Parameters
    ----------
    source : DicomSource
        Its grid.

    Returns
    -------
    list of list of float, mm
        Center of the first pixel in LPS, one per slice.
    """
    first, step = source.affine[:3, 3], source.affine[:3, 2]
    return [[float(v) for v in first + k * step] for k in range(source.shape[2])]


def refer(dataset: Dataset, source: DicomSource, slices: Sequence[int], derivation: Dataset) -> None:
    """Let an object refer to the images it was made from, and to nothing that does not exist.

    Parameters
    ----------
    dataset : Dataset
        A multi-frame object; changed.
    source : DicomSource
        What it was made from.
    slices : sequence of int
        Slice that each of its frames shows.
    derivation : Dataset
        Code of how frames were derived.
    """
    for name in ("SourceImageSequence", "ReferencedSeriesSequence", "StudiesContainingOtherReferencedInstancesSequence"):
        if name in dataset:
            delattr(dataset, name)
    if source.images:
        dataset.ReferencedSeriesSequence = _by_series(source.images)
    for group, k in zip(dataset.PerFrameFunctionalGroupsSequence, slices, strict=True):
        if "DerivationImageSequence" in group:
            del group.DerivationImageSequence
        if source.by_slice:
            group.DerivationImageSequence = [_derivation(source.by_slice[k], derivation)]


def _by_series(images: Sequence[ImageReference]) -> list[Dataset]:
    series: dict[str, dict[str, Dataset]] = {}
    for image in images:
        series.setdefault(image.series, {})[image.sop_instance] = _instance(image)
    made = []
    for uid, instances in series.items():
        item = Dataset()
        item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, list(instances.values())
        made.append(item)
    return made


def _instance(image: ImageReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class, image.sop_instance
    return item


def _derivation(image: ImageReference, code: Dataset) -> Dataset:
    reference = _instance(image)
    if image.frame:
        reference.ReferencedFrameNumber = image.frame
    reference.SpatialLocationsPreserved = "YES"
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    reference.PurposeOfReferenceCodeSequence = [purpose]
    item = Dataset()
    item.SourceImageSequence, item.DerivationCodeSequence = [reference], [code]
    return item


def slices_of(dataset: Dataset, source: DicomSource) -> list[int]:
    """Return the slice that each frame of an object shows, by its position.

    Parameters
    ----------
    dataset : Dataset
        A multi-frame object on the grid of `source`.
    source : DicomSource
        The grid.

    Returns
    -------
    list of int
        One per frame.
    """
    places = np.array(plane_positions(source))
    found = []
    for group in dataset.PerFrameFunctionalGroupsSequence:
        here = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        found.append(int(np.linalg.norm(places - here, axis=1).argmin()))
    return found
