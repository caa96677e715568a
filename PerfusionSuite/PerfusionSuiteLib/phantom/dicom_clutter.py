# SPDX-License-Identifier: Apache-2.0
"""What lies beside a dynamic series in the folder of a study: localizer, MIP, color map, dose report, DICOMDIR, texts."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage, SecondaryCaptureImageStorage, generate_uid

_DOSE_REPORT = UID("1.2.840.10008.5.1.4.1.1.88.67")
_OFFSET_HU = 20


def add_clutter(folder: Path, image: Dataset) -> None:
    """Put other objects of the same study beside a series.

    Parameters
    ----------
    folder : Path
        Where the series lies.
    image : Dataset
        One of its images.
    """
    for n in range(2):
        localizer = _copy(image, "localizer", n)
        localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        localizer.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        localizer.save_as(folder / f"LOC{n}.dcm")
    for n in range(12):  # as many as a short dynamic series has frames
        projection = _copy(image, "mip", n)
        projection.ImageType = ["DERIVED", "SECONDARY", "AXIAL", "MIP"]
        projection.AcquisitionTime = projection.ContentTime = f"1200{n:02d}.0"
        projection.save_as(folder / f"MIP{n:02d}.dcm")
    for n in range(4):
        picture = _copy(image, "map", n)
        picture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        picture.SOPClassUID = picture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        picture.ImageType = ["DERIVED", "SECONDARY", "CBF"]
        picture.SamplesPerPixel, picture.PhotometricInterpretation, picture.PlanarConfiguration = 3, "RGB", 0
        picture.BitsAllocated, picture.BitsStored, picture.HighBit = 8, 8, 7
        picture.PixelData = np.zeros((picture.Rows, picture.Columns, 3), np.uint8).tobytes()
        picture["PixelData"].VR = "OB"
        picture.save_as(folder / f"MAP{n}.dcm", implicit_vr=False, little_endian=True)
    _dose_report(image).save_as(folder / "DOSE.dcm", enforce_file_format=True)
    (folder / "README.txt").write_text("Invented study of a digital phantom.\n")
    _directory(image).save_as(folder / "DICOMDIR", enforce_file_format=True)


def add_reconstruction(folder: Path, files: list[Path]) -> None:
    """Add the same scan with a sharper kernel and 20 HU more, so that a mix-up shows.

    Parameters
    ----------
    folder : Path
        Where the series lies.
    files : list of Path
        Its files.
    """
    for number, path in enumerate(files):
        image = pydicom.dcmread(path)
        again = _copy(image, "sharp", number)
        again.ConvolutionKernel = "PHANTOM-SHARP"
        again.RescaleIntercept = str(float(image.get("RescaleIntercept", 0)) + _OFFSET_HU)
        again.InstanceNumber = image.InstanceNumber
        again.save_as(folder / f"SHARP{number:05d}.dcm")


def _copy(image: Dataset, what: str, number: int) -> Dataset:
    """Copy an image into a series of its own."""
    made = deepcopy(image)
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[str(image.StudyInstanceUID), what])
    uid = generate_uid(entropy_srcs=[str(image.StudyInstanceUID), what, str(number)])
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid
    made.InstanceNumber = number + 1
    return made


def _dose_report(image: Dataset) -> Dataset:
    report = Dataset()
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = _DOSE_REPORT
    uid = generate_uid(entropy_srcs=[str(image.StudyInstanceUID), "dose"])
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = uid
    report.Modality, report.StudyInstanceUID = "SR", image.StudyInstanceUID
    report.SeriesInstanceUID = generate_uid(entropy_srcs=[str(image.StudyInstanceUID), "dose series"])
    report.PatientID, report.PatientName, report.StudyID = image.PatientID, image.PatientName, "1"
    report.ValueType, report.CompletionFlag, report.VerificationFlag = "CONTAINER", "COMPLETE", "UNVERIFIED"
    return report


def _directory(image: Dataset) -> Dataset:
    """Make a DICOMDIR that lists the patient, as a viewer's disk has it."""
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(image.StudyInstanceUID), "directory"])
    directory.FileSetID = "PHANTOM"
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    patient = Dataset()
    patient.OffsetOfTheNextDirectoryRecord = patient.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    patient.RecordInUseFlag, patient.DirectoryRecordType = 0xFFFF, "PATIENT"
    patient.PatientID, patient.PatientName = image.PatientID, image.PatientName
    directory.DirectoryRecordSequence = [patient]
    return directory
