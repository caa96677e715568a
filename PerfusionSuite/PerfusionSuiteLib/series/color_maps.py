# SPDX-License-Identifier: Apache-2.0
"""Finished maps in a folder of DICOM files: which series is which quantity, in color, gray or as a parametric map."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, part_of
from .color_bar import RgbImage
from .dicom_files import read_headers
from .dicom_geometry import grid_of
from .dicom_headers import ImageHeader, floats, text
from .dicom_load import rescaled
from .dicom_pixels import FrameReader
from .dicom_stack import stack_of
from .discover import find_files
from .notes import Notes

Kind = Literal["parametric", "gray", "color"]

KEYWORDS: dict[str, str] = {
    "tmax": r"T-?MAXD?",
    "cbf": r"R?CBFD?",
    "cbv": r"R?CBVD?",
    "mtt": r"MTTD?",
    "ttp": r"TTP[DM]?",
}
"""Words in SeriesDescription (or ImageType) by quantity; a letter at the end is how one maker marks its maps."""

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_PREFERENCE: tuple[Kind, ...] = ("parametric", "gray", "color")
_SPACING_NAMES = ("NominalScannedPixelSpacing", "ImagerPixelSpacing")
_READ_ERRORS = (RuntimeError, OSError, ValueError, AttributeError, KeyError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class MapSeries:
    """One map of a folder.

    Parameters
    ----------
    index : int
        Number to select it by.
    quantity : str
        A key of `KEYWORDS`.
    kind : {"parametric", "gray", "color"}
        How it is stored, the best first.
    images : tuple of ImageHeader
        One per slice, in order of the normal.
    lossy : bool
        Whether its pixels were compressed with losses.
    unit : str
        Unit that the files state, empty when they state none.
    """

    index: int
    quantity: str
    kind: Kind
    images: tuple[ImageHeader, ...]
    lossy: bool = False
    unit: str = ""

    @property
    def words(self) -> str:
        """Technical description: free text of the header could name a patient."""
        image = self.images[0]
        return f"{self.index}: {self.quantity} in {self.kind}, {image.columns} x {image.rows} x {len(self.images)}"


def find_map_series(folder: str | Path, notes: Notes, progress: ProgressCallback | None = None) -> list[MapSeries]:
    """List the maps in a folder.

    Parameters
    ----------
    folder : path-like
        Searched with all folders in it.
    notes : Notes
        Gets what was left aside and why.
    progress : callable, optional
        Called between files.

    Returns
    -------
    list of MapSeries
        In the order of their series UIDs.

    Raises
    ------
    InvalidInputError
        If the folder has no DICOM files or none of its series is a map.
    """
    paths = find_files(folder).dicom
    if not paths:
        msg = f"There are no DICOM files in '{folder}'. Choose the folder of the color maps."
        raise InvalidInputError(msg)
    by_series: dict[str, list[ImageHeader]] = {}
    for header in read_headers(paths, progress).headers:
        by_series.setdefault(header.series_uid, []).append(header)
    found: list[MapSeries] = []
    for uid in sorted(by_series):
        made = _map_series(len(found) + 1, by_series[uid], notes)
        if made is not None:
            found.append(made)
    if not found:
        keys = ", ".join(KEYWORDS)
        msg = f"None of the {len(by_series)} series is a map: no description names {keys}. Choose the folder of the color maps."
        raise InvalidInputError(msg)
    return found


def _map_series(index: int, headers: list[ImageHeader], notes: Notes) -> MapSeries | None:
    """Judge one series; None when it is no map that can be read."""
    facts = _facts_of(headers[0].pixels.path)
    quantity = quantity_of(facts["words"])
    if quantity is None:
        return None
    image = headers[0]
    if facts["class"] == PARAMETRIC_MAP:
        kind: Kind = "parametric"
    elif image.pixels.samples == 3 or image.photometric.startswith("PALETTE"):
        kind = "color"
    elif image.rescaled or facts["unit"]:
        kind = "gray"
    else:
        notes.decide(f"A gray {quantity} series that does not say how its numbers become values was left aside.")
        return None
    for header in headers:
        header.spacing = header.spacing or facts["spacing"]
    if any(header.position is None or header.orientation is None or header.spacing is None for header in headers):
        notes.decide(f"A {quantity} series without position, orientation or pixel spacing was left aside.")
        return None
    stack = stack_of(headers)
    order = np.argsort(stack.slice_of, kind="stable")
    if len(headers) != stack.positions_mm.size:
        notes.decide(f"A {quantity} series with several images at one position was left aside.")
        return None
    return MapSeries(index, quantity, kind, tuple(headers[n] for n in order), facts["lossy"], facts["unit"])


def quantity_of(words: str) -> str | None:
    """Return the quantity that a description names.

    Parameters
    ----------
    words : str
        SeriesDescription and values of ImageType.

    Returns
    -------
    str or None
        A key of `KEYWORDS`; None when none or several are named, or the values are relative (in %).
    """
    if "%" in words:
        return None
    named = {key for key, pattern in KEYWORDS.items() if re.search(rf"(?:^|[^A-Z0-9]){pattern}(?:$|[^A-Z0-9])", words.upper())}
    return named.pop() if len(named) == 1 else None


def _facts_of(path: Path) -> dict[str, Any]:
    """What the common header reader does not keep; free text stays inside of this file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True, defer_size=1024)
    description, kinds = text(dataset, "SeriesDescription"), [str(word) for word in dataset.get("ImageType") or ()]
    spacing = next((floats(dataset, name, 2) for name in _SPACING_NAMES if floats(dataset, name, 2)), None)
    mapping = _value_mapping(dataset, 0)
    return {
        "words": description if quantity_of(description) else " ".join(kinds),
        "class": text(dataset, "SOPClassUID"),
        "lossy": text(dataset, "LossyImageCompression") == "01",
        "spacing": spacing,
        "unit": mapping[2] if mapping else "",
    }


def _value_mapping(dataset: pydicom.Dataset, frame: int) -> tuple[float, float, str] | None:
    """Slope, intercept and unit (UCUM) of the real world values of a frame."""
    groups = [*(dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]]
    groups += [*(dataset.get("SharedFunctionalGroupsSequence") or []), dataset]
    for group in groups:
        for item in group.get("RealWorldValueMappingSequence") or ():
            slope, intercept = item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept")
            units = item.get("MeasurementUnitsCodeSequence")
            if slope is not None and intercept is not None and units:
                return float(slope), float(intercept), str(units[0].CodeValue)
    return None


def choose_map(found: list[MapSeries], quantity: str, select: int | None, notes: Notes) -> MapSeries | None:
    """Take the series of a quantity: numbers rather than pictures.

    Parameters
    ----------
    found : list of MapSeries
        What the folder holds.
    quantity : str
        A key of `KEYWORDS`.
    select : int, optional
        The user's choice.
    notes : Notes
        Gets the decision.

    Returns
    -------
    MapSeries or None
        None when there is none.

    Raises
    ------
    InvalidInputError
        If several are equally good, or the wanted one is none of this quantity.
    """
    mine = [item for item in found if item.quantity == quantity]
    if select is not None:
        wanted = [item for item in found if item.index == select]
        if not wanted:
            msg = f"There is no series {select} here. Choose one of: {'; '.join(item.words for item in found)}."
            raise InvalidInputError(msg)
        return MapSeries(select, quantity, wanted[0].kind, wanted[0].images, wanted[0].lossy, wanted[0].unit)
    if not mine:
        return None
    best = min(_PREFERENCE.index(item.kind) for item in mine)
    equal = [item for item in mine if _PREFERENCE.index(item.kind) == best]
    if len(equal) > 1:
        msg = f"{len(equal)} series are {quantity} maps ({'; '.join(item.words for item in equal)}). Choose one with --series."
        raise InvalidInputError(msg)
    if len(mine) > 1:
        notes.decide(f"The {equal[0].kind} series of {quantity} was preferred to {len(mine) - 1} other(s).")
    return equal[0]


def grid_of_maps(series: MapSeries, notes: Notes) -> FloatArray:
    """Return the affine of a map.

    Parameters
    ----------
    series : MapSeries
        The map.
    notes : Notes
        Gets findings about tilt and uneven spacing.

    Returns
    -------
    ndarray, shape (4, 4), mm
        Voxel (column, row, slice) to RAS.
    """
    return grid_of(list(series.images), notes)


def read_colors(series: MapSeries, progress: ProgressCallback | None = None) -> RgbImage:
    """Read the pictures of a color series.

    Parameters
    ----------
    series : MapSeries
        Of kind ``color``; RGB, YBR or palette, compressed or not.
    progress : callable, optional
        Called between slices.

    Returns
    -------
    ndarray of uint8, shape (slices, rows, columns, 3)
        RGB.

    Raises
    ------
    InvalidInputError
        If a picture cannot be decoded or their sizes differ.
    """
    report = part_of(progress, 0.0, 1.0)
    held: tuple[Path | None, NDArray[Any]] = (None, np.zeros(0))
    pictures = []
    for number, image in enumerate(series.images):
        if image.photometric.startswith("PALETTE"):
            pictures.append(_from_palette(image))
        else:
            if held[0] != image.pixels.path:
                held = (image.pixels.path, _frames(image.pixels.path))
            pictures.append(held[1][image.frame])
        report((number + 1) / len(series.images), "Reading pictures")
    if len({picture.shape for picture in pictures}) > 1:
        msg = f"The pictures of the {series.quantity} series differ in size. Export the series again."
        raise InvalidInputError(msg)
    return np.stack(pictures).astype(np.uint8, copy=False)


def _from_palette(image: ImageHeader) -> NDArray[Any]:
    """Colors of a picture that stores the number of each color."""
    stored = FrameReader().stored(image)
    try:
        dataset = pydicom.dcmread(image.pixels.path, stop_before_pixels=True)
        if stored is None:
            raise ValueError  # told below
        colors: NDArray[Any] = apply_color_lut(stored, dataset)
    except _READ_ERRORS as error:
        msg = "A picture of the color maps has a palette that cannot be applied. Export it as RGB."
        raise InvalidInputError(msg) from error
    return colors if colors.dtype == np.uint8 else (colors >> 8).astype(np.uint8)


def _frames(path: Path) -> NDArray[Any]:
    """All frames of a file as RGB, shape (frames, rows, columns, 3)."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        values: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        msg = "A picture of the color maps cannot be decoded. Copy the files again, or export them without compression."
        raise InvalidInputError(msg) from error
    values = values[None] if values.ndim == 3 else values
    if values.ndim != 4 or values.shape[-1] != 3:
        msg = f"A picture of the color maps has {values.ndim} dimensions instead of rows, columns and 3 colors. Export it as RGB."
        raise InvalidInputError(msg)
    return values


def read_numbers(series: MapSeries) -> NDArray[np.float32]:
    """Read the values of a gray or parametric series.

    Parameters
    ----------
    series : MapSeries
        Of kind ``gray`` or ``parametric``.

    Returns
    -------
    ndarray of float32, shape (columns, rows, slices)
        Values in the unit of the files; NaN where they hold none.

    Raises
    ------
    InvalidInputError
        If a file cannot be decoded.
    """
    reader, held = FrameReader(), _Held()
    slices = []
    for image in series.images:
        try:
            values = held.frame(image) if series.kind == "parametric" else _gray(reader, image)
        except _READ_ERRORS as error:
            msg = f"An image of the {series.quantity} series cannot be decoded. Copy the files again."
            raise InvalidInputError(msg) from error
        slices.append(values.T)
    return np.stack(slices, axis=2).astype(np.float32)


def _gray(reader: FrameReader, image: ImageHeader) -> NDArray[Any]:
    stored = reader.stored(image)
    if stored is None:
        message = "no pixels"
        raise ValueError(message)
    mapping = _value_mapping(pydicom.dcmread(image.pixels.path, stop_before_pixels=True), image.frame)
    return rescaled(stored, image) if mapping is None else stored * mapping[0] + mapping[1]


class _Held:
    """The parametric map file that was read last."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._dataset = pydicom.Dataset()

    def frame(self, image: ImageHeader) -> NDArray[Any]:
        if self._path != image.pixels.path:
            self._path, self._dataset = image.pixels.path, pydicom.dcmread(image.pixels.path)
        dataset = self._dataset
        stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)[image.frame].astype(np.float64)
        padding = dataset.get("FloatPixelPaddingValue", dataset.get("PixelPaddingValue"))
        mapping = _value_mapping(dataset, image.frame)
        slope, intercept = mapping[:2] if mapping else (1.0, 0.0)
        values: NDArray[Any] = stored * slope + intercept
        return values if padding is None else np.where(stored == float(padding), np.nan, values)
