# SPDX-License-Identifier: Apache-2.0
"""One fitted DSC patient in memory: maps of every source, lesion and tissue on one grid, and what its voxels are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.nifti import read_volume
from ..core.quantities import QUANTITIES, RELATIVE
from ..results.map_files import read_on_grid
from .hemopic_folders import DATA, MODEL, CaseFiles

Definitions = Literal["corrected", "published"]
GM, WM, CSF, BRAIN_STEM = 1, 2, 3, 4
"""Values of the tissue labels."""


@dataclass(frozen=True, slots=True)
class Case:
    """A patient's maps with what they are judged by.

    Parameters
    ----------
    patient, name : str
        Number, and name of the folder.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    maps : mapping of str to mapping
        Arrays of shape (I, J, K) by source and key.
    lesion : ndarray of bool, shape (I, J, K), or None
        The lesion mask.
    labels : ndarray of uint8, shape (I, J, K), or None
        1 gray matter, 2 white matter, 3 CSF, 4 brain stem.
    brain_mask : ndarray of bool, shape (I, J, K), or None
        A brain mask of its own.
    display : ndarray, shape (I, J, K), or None
        Image to draw lesions on.
    files : CaseFiles
        Where everything came from.
    notes : tuple of str
        What could not be read, and why.
    relative : bool
        Whether flow and volume have no unit, as the numbers beside the maps say.
    """

    patient: str
    name: str
    affine: FloatArray
    maps: Mapping[str, Mapping[str, NDArray[np.float32]]]
    lesion: BoolArray | None
    labels: NDArray[np.uint8] | None
    brain_mask: BoolArray | None
    display: NDArray[np.float32] | None
    files: CaseFiles
    notes: tuple[str, ...] = field(default=())
    relative: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return next(iter(next(iter(self.maps.values())).values())).shape

    @property
    def brain(self) -> BoolArray:
        """Brain with CSF: the mask, else labeled voxels, else where the supplied (or fitted) flow is positive (6.6)."""
        if self.brain_mask is not None:
            return self.brain_mask
        if self.labels is not None:
            return self.labels > 0
        flow = self.maps.get(DATA, {}).get("cbf")
        flow = self.maps.get(MODEL, {}).get("cbf") if flow is None else flow
        return positive(next(iter(next(iter(self.maps.values())).values())) if flow is None else flow)

    @property
    def tissue(self) -> BoolArray:
        """Brain without CSF; the whole brain when tissue is not labeled."""
        return self.brain if self.labels is None else (self.labels > 0) & (self.labels != CSF)

    def values(self, source: str, key: str) -> NDArray[np.float32] | None:
        """Return a map.

        Parameters
        ----------
        source, key : str
            Which.

        Returns
        -------
        ndarray, shape (I, J, K), or None
            None when there is none.
        """
        return self.maps.get(source, {}).get(key)

    def unit(self, key: str) -> str:
        """Return the unit of a map.

        Parameters
        ----------
        key : str
            Which.

        Returns
        -------
        str
            Of its quantity, or ``relative``.
        """
        return RELATIVE if self.relative and key in ("cbf", "cbv") else QUANTITIES[key].unit

    def need_lesion(self) -> BoolArray:
        """Return the lesion.

        Returns
        -------
        ndarray of bool, shape (I, J, K)
            The mask.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        if self.lesion is None:
            msg = (
                f"Patient {self.patient} has no lesion mask. Put OT.nii.gz into its data folder, "
                "or name it with --names lesion=STEM."
            )
            raise InvalidInputError(msg)
        return self.lesion

    def need_labels(self) -> NDArray[np.uint8]:
        """Return the tissue labels.

        Returns
        -------
        ndarray of uint8, shape (I, J, K)
            The labels.

        Raises
        ------
        InvalidInputError
            If there are none.
        """
        if self.labels is None:
            msg = (
                f"Patient {self.patient} has no tissue labels. Run 'hemopic partition' first, "
                "or name them with --names labels=STEM."
            )
            raise InvalidInputError(msg)
        return self.labels


def read_case(files: CaseFiles, *, definitions: Definitions = "corrected", sources: Iterable[str] | None = None) -> Case:
    """Read a patient.

    Parameters
    ----------
    files : CaseFiles
        From `find_cases`.
    definitions : {"corrected", "published"}
        Published: arrays are put on each other by their indices when their shapes are equal. Corrected: by their place in the
        patient, with axes turned where need be.
    sources : iterable of str, optional
        Only these sources of maps.

    Returns
    -------
    Case
        The patient; a map that cannot be read is left out with a note.

    Raises
    ------
    InvalidInputError
        If no map can be read.
    GridMismatchError
        If lesion or labels lie elsewhere.
    """
    wanted = {name: found for name, found in files.maps.items() if sources is None or name in set(sources)}
    grid: tuple[tuple[int, ...], FloatArray] | None = None
    maps: dict[str, dict[str, NDArray[np.float32]]] = {}
    notes: list[str] = []
    for source, found in wanted.items():
        for key, path in found.items():
            try:
                values, affine = _map(path, grid, definitions)
            except InvalidInputError as error:
                notes.append(f"{source} {key}: {error}")
                continue
            grid = grid or (values.shape, affine)
            maps.setdefault(source, {})[key] = values
    if grid is None:
        msg = f"No map of patient {files.patient} can be read ({'; '.join(notes) or 'there is none'}). Check its folder."
        raise InvalidInputError(msg)
    other = {key: read_beside(path, key, grid, definitions) for key, path in files.other.items() if key != "curves"}
    lesion, labels, brain = other.get("lesion"), other.get("labels"), other.get("brain")
    return Case(
        patient=files.patient,
        name=files.name,
        affine=grid[1],
        maps=maps,
        lesion=None if lesion is None else lesion > 0,
        labels=None if labels is None else labels.astype(np.uint8),
        brain_mask=None if brain is None else brain > 0,
        display=other.get("display"),
        files=files,
        notes=tuple(notes),
        relative=_is_relative(files.fit / "metrics.json"),
    )


def _is_relative(numbers: Path) -> bool:
    """Return whether the numbers of a run, where there are any, call its flow relative."""
    try:
        found = json.loads(numbers.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("flow_scale") == RELATIVE


def _map(
    path: Path, grid: tuple[tuple[int, ...], FloatArray] | None, definitions: Definitions
) -> tuple[NDArray[np.float32], FloatArray]:
    if grid is None:
        values, affine = read_volume(path)
        if values.ndim != 3:
            msg = f"'{path.name}' has {values.ndim} dimensions; a map has 3. Give the map, not the scan."
            raise GridMismatchError(msg)
        return values.astype(np.float32), affine
    return np.asarray(read_beside(path, path.name, grid, definitions), np.float32), grid[1]


def read_beside(path: Path, name: str, grid: tuple[tuple[int, ...], FloatArray], definitions: Definitions) -> NDArray[Any]:
    """Read an image that must lie on the grid of the maps.

    Parameters
    ----------
    path : Path
        NIfTI file.
    name : str
        What it is called in a message.
    grid : tuple
        Shape and affine of the maps.
    definitions : {"corrected", "published"}
        See `read_case`.

    Returns
    -------
    ndarray, shape (I, J, K)
        The values.

    Raises
    ------
    GridMismatchError
        If it lies elsewhere, or, published, has another shape.
    """
    if definitions == "corrected":
        return read_on_grid(path, name, grid[0], grid[1])
    values = read_volume(path)[0]
    if values.shape != grid[0]:
        msg = f"'{path.name}' has {values.shape} voxels but the maps have {grid[0]}. Resample it to the maps."
        raise GridMismatchError(msg)
    return values


def positive(values: NDArray[Any]) -> BoolArray:
    """Return where a map is finite and above zero.

    Parameters
    ----------
    values : ndarray
        The map.

    Returns
    -------
    ndarray of bool
        Of the same shape.
    """
    result: BoolArray = np.isfinite(values) & (np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) > 0)
    return result


def fingerprint(case: Case) -> str:
    """Return a number that two entries of one subject share, whatever their names and headers.

    Parameters
    ----------
    case : Case
        The patient.

    Returns
    -------
    str
        SHA-256 of the lesion and the supplied maps (of the fitted ones where none are supplied).
    """
    digest = hashlib.sha256(repr(case.shape).encode())
    if case.lesion is not None:
        digest.update(np.packbits(case.lesion).tobytes())
    source = DATA if case.maps.get(DATA) else next(iter(case.maps))
    for key in sorted(case.maps[source]):
        values = np.nan_to_num(case.maps[source][key], nan=-1.0, posinf=-1.0, neginf=-1.0)
        digest.update(key.encode() + np.asarray(values, np.float32).tobytes())
    return digest.hexdigest()


def duplicates(prints: Mapping[str, str]) -> dict[str, str]:
    """Find entries that are the same subject as another one.

    Parameters
    ----------
    prints : mapping of str to str
        Fingerprint of each patient.

    Returns
    -------
    dict of str to str
        Each later entry and the first one that it equals.
    """
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for patient, mark in prints.items():
        if mark in first:
            found[patient] = first[mark]
        else:
            first[mark] = patient
    return found
