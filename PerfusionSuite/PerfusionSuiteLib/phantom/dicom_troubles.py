# SPDX-License-Identifier: Apache-2.0
"""What happens to DICOM files between scanner and reader: losses, copies, other files, removed headers, midnight."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ..core.errors import InvalidInputError
from .dicom_clutter import add_clutter, add_reconstruction

_CLOCKS = ("AcquisitionTime", "ContentTime", "SeriesTime", "StudyTime")
_DATES = ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")
_TIMES = (*_CLOCKS[:2], "AcquisitionDateTime", "TriggerTime", "TemporalPositionIdentifier", "NumberOfTemporalPositions")
_PERSONAL = (
    "PatientName",
    "PatientID",
    "StudyID",
    "AccessionNumber",
    "DeviceSerialNumber",
    "PatientBirthDate",
    "StudyDescription",
)


@dataclass(slots=True)
class _Folder:
    """Single-frame files of a scan, with the number of slices that tells frame and slice from the instance number."""

    path: Path
    files: list[Path]
    slices: int

    def frame_of(self, image: Dataset) -> int:
        """Frame of an image, from 0."""
        return (int(image.InstanceNumber) - 1) // self.slices

    @property
    def lost_frame(self) -> int:
        """The frame that troubles happen to: a third of the way through."""
        return len(self.files) // self.slices // 3


def trouble_folder(folder: str | Path, troubles: Iterable[str]) -> None:
    """Let things happen to a folder of single-frame DICOM files.

    Parameters
    ----------
    folder : path-like
        As `write_dicom` left it, one echo.
    troubles : iterable of str
        Names out of `TROUBLES`, in the order in which they happen.

    Raises
    ------
    InvalidInputError
        If a name is unknown or the folder does not hold single-frame images.
    """
    for name in troubles:
        if name not in TROUBLES:
            msg = f"The trouble '{name}' is unknown. Choose one of: {', '.join(TROUBLES)}."
            raise InvalidInputError(msg)
        TROUBLES[name](_folder(Path(folder)))


def _folder(path: Path) -> _Folder:
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.startswith("IM"))
    headers = [pydicom.dcmread(file, specific_tags=["ImagePositionPatient", "NumberOfFrames"]) for file in files]
    if not headers or any("NumberOfFrames" in header or "ImagePositionPatient" not in header for header in headers):
        msg = f"'{path.name}' holds no single-frame DICOM images. Choose the vendor generic, siemens, ge, philips or canon."
        raise InvalidInputError(msg)
    return _Folder(path, files, len({tuple(header.ImagePositionPatient) for header in headers}))


def _edit(folder: _Folder, change: Callable[[Dataset], bool | None]) -> None:
    """Change every file; what `change` answers with False is removed."""
    for path in folder.files:
        image = pydicom.dcmread(path)
        if change(image) is False:
            path.unlink()
        else:
            image.save_as(path)


def _lose_slice(folder: _Folder) -> None:
    lost = folder.lost_frame * folder.slices + folder.slices // 2 + 1
    _edit(folder, lambda image: int(image.InstanceNumber) != lost)


def _lose_frame(folder: _Folder) -> None:
    _edit(folder, lambda image: folder.frame_of(image) != folder.lost_frame)


def _double_frame(folder: _Folder) -> None:
    """Send one frame twice, the second time with new identifiers."""
    for path in folder.files:
        image = pydicom.dcmread(path)
        if folder.frame_of(image) == folder.lost_frame:
            uid = generate_uid(entropy_srcs=[str(image.SOPInstanceUID), "again"])
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = uid
            image.save_as(path.with_name(f"{path.stem}-again{path.suffix}"))


def _anonymize(folder: _Folder) -> None:
    """Take away dates, names and who reserved private elements, as strict profiles do."""

    def strip(image: Dataset) -> None:
        for name in (*_DATES, "FrameOfReferenceUID", "AcquisitionDateTime"):
            if name in image:
                delattr(image, name)
        for name in _PERSONAL:
            setattr(image, name, "")
        for tag in [element.tag for element in image if element.tag.is_private_creator]:
            del image[tag]
        image.PatientIdentityRemoved = "YES"

    _edit(folder, strip)


def _cross_midnight(folder: _Folder) -> None:
    """Let the clock pass midnight in the middle of the scan, while the dates stay."""
    found = [pydicom.dcmread(path, specific_tags=list(_CLOCKS)) for path in folder.files]
    name = next((clock for clock in _CLOCKS if len({image.get(clock) for image in found}) > 1), _CLOCKS[0])
    times = sorted(_moment(str(image.get(name))) for image in found)
    shift = datetime(1900, 1, 2) - times[len(times) // 2]

    def move(image: Dataset) -> None:
        for clock in _CLOCKS:
            if clock in image:
                setattr(image, clock, (_moment(str(image.get(clock))) + shift).strftime("%H%M%S.%f"))
        if "AcquisitionDateTime" in image:
            del image.AcquisitionDateTime

    _edit(folder, move)


def _moment(text: str) -> datetime:
    whole, _, part = text.partition(".")
    return datetime.strptime(whole, "%H%M%S") + timedelta(seconds=float(f"0.{part or 0}"))


def _take_times(folder: _Folder) -> None:
    """Leave nothing that says when an image was taken, only their order."""

    def strip(image: Dataset) -> None:
        for name in _TIMES:
            if name in image:
                delattr(image, name)
        image.remove_private_tags()

    _edit(folder, strip)


def _take_names(folder: _Folder) -> None:
    """Put files into sub-folders under names without an ending, as on a disk that a scanner wrote."""
    for number, path in enumerate(folder.files):
        place = folder.path / f"S{number % 3:03d}"
        place.mkdir(exist_ok=True)
        path.rename(place / f"IM{number * 7919 % 100_000:05d}")


TROUBLES: dict[str, Callable[[_Folder], None]] = {
    "missing-slice": _lose_slice,
    "missing-frame": _lose_frame,
    "duplicate-frame": _double_frame,
    "clutter": lambda folder: add_clutter(folder.path, pydicom.dcmread(folder.files[0])),
    "second-reconstruction": lambda folder: add_reconstruction(folder.path, folder.files),
    "anonymous": _anonymize,
    "midnight": _cross_midnight,
    "no-times": _take_times,
    "no-extension": _take_names,
}
"""What can happen, by name."""
