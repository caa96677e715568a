# SPDX-License-Identifier: Apache-2.0
"""Display images of finished maps, as scanners write them: RGB DICOM with the color bar, text and symbols burnt in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from ..core.errors import InvalidInputError
from ..core.files import written_beside
from ..core.geometry import LPS_TO_RAS, FloatArray, voxel_sizes
from .color_bars import RgbImage, draw_bar, draw_cube, draw_text, flow_colors, time_colors
from .dicom_plan import ds_number, ds_numbers

DESCRIPTIONS: Mapping[str, str] = {"tmax": "TMAXD", "cbf": "CBFD", "cbv": "CBVD", "mtt": "MTTD"}
"""How the imitated maker names its series."""

FULL_SCALE: Mapping[str, float] = {"tmax": 12.0, "mtt": 15.0, "cbf": 100.0, "cbv": 100.0}
"""What the highest color stands for."""

MARKS = ("bar", "text", "cube")
_LEAST_ROWS, _LEAST_COLUMNS = 300, 256
_BAR_ROOM = 64
_SOFTWARE = UID("1.2.826.0.1.3680043.8.498.1")


@dataclass(frozen=True, slots=True)
class DisplayStyle:
    """How maps are shown.

    Parameters
    ----------
    marks : tuple of str
        What is burnt in: ``bar``, ``text``, ``cube``.
    full_scale : mapping of str to float
        What the highest color stands for.
    text_color : tuple of int
        RGB of the text.
    zoom : int
        Pixels per voxel; 0 makes pictures of at least 300 rows.
    """

    marks: tuple[str, ...] = MARKS
    full_scale: Mapping[str, float] | None = None
    text_color: tuple[int, int, int] = (255, 255, 255)
    zoom: int = 0


def healthy_maps(
    shape: tuple[int, int, int] = (384, 440, 33), spacing_mm: tuple[float, float, float] = (0.5, 0.5, 3.0)
) -> tuple[dict[str, NDArray[np.float32]], FloatArray]:
    """Return the maps of a brain in which all is well: Tmax 2 s everywhere.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    spacing_mm : tuple of float, mm
        Voxel size.

    Returns
    -------
    maps : dict of str to ndarray, shape (I, J, K)
        ``tmax cbf cbv mtt``; NaN outside of the brain.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS, centered.
    """
    sizes = np.array(spacing_mm)
    affine = np.diag([-sizes[0], -sizes[1], sizes[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2.0)
    axes = [(affine[a, a] * np.arange(shape[a]) + affine[a, 3]) / radius for a, radius in enumerate((68.0, 84.0, 70.0))]
    inside = axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2 <= 1.0
    values = {"tmax": 2.0, "cbf": 50.0, "cbv": 40.0, "mtt": 4.8}  # volumes of this maker run to 100, which is no unit
    return {key: np.where(inside, np.float32(value), np.float32(np.nan)) for key, value in values.items()}, affine


def color_pictures(values: NDArray[np.floating], quantity: str, style: DisplayStyle) -> RgbImage:
    """Paint the slices of a map.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        The map; NaN is black.
    quantity : str
        A key of `DESCRIPTIONS`.
    style : DisplayStyle
        How.

    Returns
    -------
    ndarray of uint8, shape (K, rows, columns, 3)
        RGB; the first voxel is the upper left pixel, room for the bar is added on the right and below.
    """
    colors = time_colors() if quantity in {"tmax", "mtt"} else flow_colors()
    full = (style.full_scale or FULL_SCALE)[quantity]
    zoom = style.zoom or max(1, -(-_LEAST_COLUMNS // values.shape[0]))
    level = np.clip(np.rint(np.nan_to_num(values) / full * (len(colors) - 1)), 0, len(colors) - 1).astype(int)
    painted = np.where(np.isfinite(values)[..., None], colors[level], np.uint8(0)).transpose(2, 1, 0, 3)
    painted = np.repeat(np.repeat(painted, zoom, axis=1), zoom, axis=2)
    room = _BAR_ROOM if "bar" in style.marks else 0
    rows = max(painted.shape[1], _LEAST_ROWS if room else 0)
    pictures = np.zeros((len(painted), rows, painted.shape[2] + room, 3), np.uint8)
    pictures[:, : painted.shape[1], : painted.shape[2]] = painted
    for number, picture in enumerate(pictures):
        _burn_in(picture, colors, f"{full:g}", number, style)
    return pictures


def _burn_in(picture: RgbImage, colors: RgbImage, label: str, number: int, style: DisplayStyle) -> None:
    if "bar" in style.marks:
        left = picture.shape[1] - 40
        draw_bar(picture, colors, 20, left)
        draw_text(picture, label, 16, left + 18, style.text_color)
        draw_text(picture, "0", 20 + len(colors) - 8, left + 18, style.text_color)
    if "text" in style.marks:
        draw_text(picture, "PHANTOM", 4, 4, style.text_color)
        draw_text(picture, f"SL {number + 1}", 20, 4, style.text_color)
        draw_text(picture, "R", picture.shape[0] // 2, 2, style.text_color)
    if "cube" in style.marks:
        draw_cube(picture, picture.shape[0] - 40, 4)


def write_color_maps(
    maps: Mapping[str, NDArray[np.floating]],
    affine: FloatArray,
    folder: str | Path,
    *,
    seed: int = 0,
    style: DisplayStyle | None = None,
    quantities: Sequence[str] = tuple(DESCRIPTIONS),
) -> list[Path]:
    """Write maps as RGB secondary captures with positions, a series per map.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (I, J, K)
        By quantity.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS; the slice axis may run either way.
    folder : path-like
        Where to write.
    seed : int
        Makes UIDs and the invented patient; equal seeds give equal files.
    style : DisplayStyle, optional
        How they are shown.
    quantities : sequence of str
        Which maps.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InvalidInputError
        If a quantity has no color scale, or rows and columns are not perpendicular.
    """
    style = style or DisplayStyle()
    unknown = [key for key in quantities if key not in DESCRIPTIONS]
    if unknown:
        msg = f"There is no color scale for {', '.join(unknown)}. Choose of {', '.join(DESCRIPTIONS)}."
        raise InvalidInputError(msg)
    files = []
    for number, key in enumerate(key for key in quantities if key in maps):
        pictures = color_pictures(maps[key], key, style)
        zoom = style.zoom or max(1, -(-_LEAST_COLUMNS // maps[key].shape[0]))
        for k, picture in enumerate(pictures):
            image = _header(LPS_TO_RAS @ affine, k, zoom, seed, (number + 1, DESCRIPTIONS[key]))
            image.Rows, image.Columns = picture.shape[:2]
            image.PixelData = picture.tobytes() + b"\0" * (picture.size % 2)
            image["PixelData"].VR = "OB"
            path = Path(folder) / f"{DESCRIPTIONS[key]}{k + 1:03d}.dcm"
            with written_beside(path) as temporary:
                image.save_as(temporary, enforce_file_format=True)
            files.append(path)
    return files


def _header(lps: FloatArray, k: int, zoom: int, seed: int, series: tuple[int, str]) -> Dataset:
    number, description = series
    sizes = voxel_sizes(lps)
    rows, columns = lps[:3, 0] / sizes[0], lps[:3, 1] / sizes[1]
    if abs(float(rows @ columns)) > 1e-4:
        msg = "DICOM images need perpendicular rows and columns, but the first two axes of these maps are not. Resample them."
        raise InvalidInputError(msg)
    spacing = sizes[:2] / zoom
    first = lps[:3, 3] + k * lps[:3, 2] - 0.5 * (zoom - 1) * (rows * spacing[0] + columns * spacing[1])
    image = Dataset()
    image.file_meta = FileMetaDataset()
    uid = _uid(seed, number, "image", k)
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, uid
    image.file_meta.TransferSyntaxUID, image.file_meta.ImplementationClassUID = ExplicitVRLittleEndian, _SOFTWARE
    image.SpecificCharacterSet, image.ImageType = "ISO_IR 100", ["DERIVED", "SECONDARY", "OTHER"]
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = SecondaryCaptureImageStorage, uid, "CT"
    image.PatientName, image.PatientID = f"Phantom^{seed}", f"PHANTOM-{seed}"
    image.PatientBirthDate = image.PatientSex = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.StudyInstanceUID, image.SeriesInstanceUID = _uid(seed, 0, "study"), _uid(seed, number, "series")
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = _uid(seed, 0, "frame of reference"), ""
    image.StudyID, image.SeriesNumber, image.InstanceNumber = "1", 100 + number, k + 1
    image.StudyDate, image.StudyTime = "20000101", "093000"
    image.Manufacturer, image.SeriesDescription, image.ConversionType = "Perfusion Suite phantom", description, "WSD"
    image.ImageOrientationPatient = ds_numbers(np.concatenate([rows, columns]))
    image.ImagePositionPatient, image.PixelSpacing = ds_numbers(first), ds_numbers([spacing[1], spacing[0]])
    image.SliceThickness = ds_number(float(abs(np.cross(rows, columns) @ lps[:3, 2])))
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.BurnedInAnnotation = "YES"
    return image


def _uid(seed: int, *parts: object) -> UID:
    return generate_uid(entropy_srcs=["/".join(["perfusion-suite colormaps", str(seed), *map(str, parts)])])
