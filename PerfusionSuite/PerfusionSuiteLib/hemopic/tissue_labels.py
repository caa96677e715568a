# SPDX-License-Identifier: Apache-2.0
"""Four tissue classes ("seg4") from structural labels, by the published table, a corrected one, or a user's own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import InvalidInputError
from ..core.files import write_json, write_text
from ..core.geometry import check_affine

BACKGROUND, GRAY, WHITE, CSF, BRAIN_STEM = range(5)
CLASS_NAMES = {"background": 0, "gray matter": 1, "white matter": 2, "csf": 3, "brain stem": 4}
_OTHER_SPELLINGS = {"gm": 1, "grey matter": 1, "gray": 1, "grey": 1, "wm": 2, "white": 2, "ventricles": 3, "brainstem": 4}
_OTHER = "other"

RIGHT_TO_LEFT = MappingProxyType(
    {41: 2, 42: 3, 43: 4, 44: 5, 46: 7, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 58: 26, 60: 28}
)
"""FreeSurfer's labels of the right side and those of the left."""

_Label = TypeVar("_Label", bound=np.integer[Any])
_LABEL_RANGE = 1 << 20
_EDGE = 1e-3


@dataclass(frozen=True, slots=True)
class TissueTable:
    """Which structure belongs to which class.

    Parameters
    ----------
    name : str
        What reports call it.
    classes : mapping of int to int
        Class (0 to 4) of each structural label.
    other : int
        Class of every label that is not listed; 0 stays background.
    """

    name: str
    classes: Mapping[int, int]
    other: int = GRAY

    def __post_init__(self) -> None:
        wrong = sorted({value for value in (*self.classes.values(), self.other) if value not in range(5)})
        if wrong:
            msg = f"The tissue table '{self.name}' names the class {wrong[0]}, but classes are 0 to 4. Correct it."
            raise InvalidInputError(msg)


def _table(name: str, *, white: tuple[int, ...], csf: tuple[int, ...], stem: tuple[int, ...]) -> TissueTable:
    classes = dict.fromkeys(white, WHITE) | dict.fromkeys(csf, CSF) | dict.fromkeys(stem, BRAIN_STEM) | {0: BACKGROUND}
    return TissueTable(name, MappingProxyType(dict(sorted(classes.items()))))


PUBLISHED = _table("published", white=(2, 41), csf=(4, 5, 14, 24, 43, 44), stem=(16,))
"""As the published program has it: the fourth ventricle (15) and cerebellar white matter (7, 46) count as gray matter."""

CORRECTED = _table(
    "corrected",
    white=(2, 7, 41, 46, 77, *range(251, 256), 5001, 5002),
    csf=(4, 5, 14, 15, 24, 31, 43, 44, 63, 72),
    stem=(16,),
)
"""The fourth ventricle (15) is CSF and cerebellar white matter (7, 46) white. Labels that only FreeSurfer's full segmentations
have are added: hypointensities, corpus callosum and unsegmented white matter; choroid plexus and fifth ventricle as CSF."""

TABLES: Mapping[str, TissueTable] = MappingProxyType({table.name: table for table in (PUBLISHED, CORRECTED)})
"""Tables by name."""


def collapse(labels: NDArray[Any], table: TissueTable = CORRECTED) -> NDArray[np.uint8]:
    """Reduce structural labels to background, gray matter, white matter, CSF and brain stem.

    Parameters
    ----------
    labels : ndarray
        Structural labels, whole numbers.
    table : TissueTable
        What belongs where.

    Returns
    -------
    ndarray of uint8
        0 background, 1 gray matter, 2 white matter, 3 CSF, 4 brain stem.

    Raises
    ------
    InvalidInputError
        If the image holds fractions.
    """
    whole = whole_numbers(labels)
    low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
    if high - low > _LABEL_RANGE:
        msg = f"The label image holds numbers from {low} to {high}, which are no structural labels. Give a segmentation."
        raise InvalidInputError(msg)
    classes = np.array([table.classes.get(label, table.other) for label in range(low, high + 1)], np.uint8)
    classes[-low] = BACKGROUND
    reduced: NDArray[np.uint8] = classes[whole - low]
    return reduced


def symmetric(labels: NDArray[Any]) -> NDArray[np.int16]:
    """Replace the labels of the right side by those of the left.

    Parameters
    ----------
    labels : ndarray
        Structural labels.

    Returns
    -------
    ndarray of int16
        The same with `RIGHT_TO_LEFT` applied.
    """
    whole = whole_numbers(labels)
    merged = whole.astype(np.int16)
    for right, left in RIGHT_TO_LEFT.items():
        merged[whole == right] = left
    return merged


def whole_numbers(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as integers.

    Parameters
    ----------
    labels : ndarray
        A label image of any type.

    Returns
    -------
    ndarray of int32
        The labels.

    Raises
    ------
    InvalidInputError
        If it holds fractions, which labels that were resampled with interpolation have.
    """
    if np.issubdtype(labels.dtype, np.integer):
        return labels.astype(np.int32)
    rounded = np.rint(np.nan_to_num(labels))
    if not np.allclose(rounded, np.nan_to_num(labels), atol=1e-3):
        msg = "The label image holds fractions, so it was resampled with interpolation. Give one resampled by nearest neighbor."
        raise InvalidInputError(msg)
    whole: NDArray[np.int32] = rounded.astype(np.int32)
    return whole


def display_image(seg4: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the published gray image of a partition.

    Parameters
    ----------
    seg4 : ndarray of uint8
        Tissue classes.

    Returns
    -------
    ndarray of uint8
        150 in gray matter, 240 in white matter, 0 elsewhere.
    """
    return np.array([0, 150, 240, 0, 0], np.uint8)[seg4]


def resample_nearest(
    labels: NDArray[_Label], affine: ArrayLike, shape: tuple[int, int, int], target_affine: ArrayLike
) -> NDArray[_Label]:
    """Bring labels onto another grid: each voxel takes the label nearest to its center in the patient.

    Parameters
    ----------
    labels : ndarray of int, shape (I, J, K)
        Tissue classes, or labels of structures.
    affine, target_affine : array-like, shape (4, 4), mm
        Voxel to RAS of both grids.
    shape : tuple of int
        Of the target.

    Returns
    -------
    ndarray, shape `shape`
        Of the same type; 0 where the center lies outside of the labels' voxel centers.
    """
    to_source = np.linalg.inv(check_affine(affine)) @ check_affine(target_affine)
    moved = np.zeros(shape, labels.dtype)
    plane = np.indices(shape[:2]).reshape(2, -1)
    last = np.array(labels.shape)[:, None] - 1
    for k in range(shape[2]):
        centers = to_source[:3, :2] @ plane + (to_source[:3, 2] * k + to_source[:3, 3])[:, None]
        # Headers hold single precision: the centers of an outermost slice must not fall outside by rounding.
        inside = ((centers >= -_EDGE) & (centers <= last + _EDGE)).all(axis=0)
        nearest = np.clip(np.floor(centers[:, inside] + 0.5).astype(np.intp), 0, last)
        flat = np.zeros(plane.shape[1], labels.dtype)
        flat[inside] = labels[tuple(nearest)]
        moved[..., k] = flat.reshape(shape[:2])
    return moved


def read_table(path: str | Path) -> TissueTable:
    """Read a table of a user's own.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``label,class`` or JSON with an object of the same, each class a number from 0 to 4 or a name
        (background, gray matter, white matter, csf, brain stem). The label ``other`` gives the class of all others.

    Returns
    -------
    TissueTable
        The table, named after the file.

    Raises
    ------
    InvalidInputError
        If it cannot be read or a row makes no sense.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8-sig")
        rows = list(_rows_of_json(text) if place.suffix.lower() == ".json" else _rows_of_csv(text))
    except (OSError, ValueError, UnicodeDecodeError) as error:
        msg = f"The tissue table '{place.name}' cannot be read ({error}). Write CSV with the columns label,class, or JSON."
        raise InvalidInputError(msg) from error
    if not rows:
        msg = f"The tissue table '{place.name}' has no rows. Write one per label: label,class."
        raise InvalidInputError(msg)
    classes: dict[int, int] = {}
    other = GRAY
    for label, kind in rows:
        number = _class_of(kind, place.name)
        if label.strip().lower() == _OTHER:
            other = number
        else:
            classes[_label_of(label, place.name)] = number
    return TissueTable(place.name, MappingProxyType(classes), other)


def _rows_of_csv(text: str) -> list[tuple[str, str]]:
    reader = csv.DictReader(io.StringIO(text))
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    if not {"label", "class"} <= names.keys():
        msg = f"the columns are {', '.join(names) or 'missing'}"
        raise ValueError(msg)
    return [(row[names["label"]] or "", row[names["class"]] or "") for row in reader]


def _rows_of_json(text: str) -> list[tuple[str, str]]:
    content = json.loads(text)
    if isinstance(content, dict):
        return [(str(label), str(kind)) for label, kind in content.items()]
    msg = "it holds no object"
    raise ValueError(msg)


def _class_of(text: str, name: str) -> int:
    word = text.strip().lower()
    known = CLASS_NAMES | _OTHER_SPELLINGS
    if word in known:
        return known[word]
    if word in {"0", "1", "2", "3", "4"}:
        return int(word)
    msg = f"'{text}' in the tissue table '{name}' is no class. Write 0 to 4, or one of {', '.join(CLASS_NAMES)}."
    raise InvalidInputError(msg)


def _label_of(text: str, name: str) -> int:
    try:
        return int(text.strip())
    except ValueError as error:
        msg = f"'{text}' in the tissue table '{name}' is no label. Write a whole number, or 'other' for all that are not listed."
        raise InvalidInputError(msg) from error


def write_table(table: TissueTable, path: str | Path) -> Path:
    """Write a table to edit.

    Parameters
    ----------
    table : TissueTable
        The table.
    path : path-like
        CSV or JSON by its ending.

    Returns
    -------
    Path
        The file, which `read_table` reads.
    """
    words = {number: name for name, number in CLASS_NAMES.items()}
    rows = [(str(label), words[kind]) for label, kind in table.classes.items()] + [(_OTHER, words[table.other])]
    if Path(path).suffix.lower() == ".json":
        return write_json(path, dict(rows))
    return write_text(path, "label,class\n" + "".join(f"{label},{kind}\n" for label, kind in rows))
