# SPDX-License-Identifier: Apache-2.0
"""Finding and reading finished maps: a results folder, flat or with BIDS names, files of other software, any orientation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import input_function
from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray, check_same_grid
from ..core.maps import PerfusionMap, PerfusionMaps
from ..core.nifti import read_volume
from ..core.quantities import QUANTITIES, RELATIVE
from ..core.values import InputFunction, TissueMasks
from .imported_maps import import_findings

MAP_KEYS = ("cbf", "cbv", "mtt", "tmax", "rcbf", "delay", "ttp", "adc", "baseline", "mip")
"""Maps that are looked for."""

_MAP_NAME = re.compile(rf"^(?:(?P<prefix>.*?)[_-])?(?P<key>{'|'.join(MAP_KEYS)})\.nii(?:\.gz)?$", re.IGNORECASE)
_TISSUE = ("brain", "csf", "vessel", "bone")


@dataclass(frozen=True, slots=True)
class FinishedMaps:
    """What a folder of maps holds.

    Parameters
    ----------
    maps : PerfusionMaps
        All maps on the grid of Tmax.
    masks : TissueMasks or None
        Those of an earlier run, when all four are there: the same tissue then counts.
    aif, vof : InputFunction or None
        Curves, when there are files.
    case_id : str
        Name of the case.
    method : str
        How Tmax was made; empty when nobody says.
    modality : str
        Of the scan; empty when nobody says.
    notes : tuple of str
        What was done to read them.
    findings : tuple of QualityFinding
        What the maps themselves are: those of an import lie beside them.
    """

    maps: PerfusionMaps
    masks: TissueMasks | None
    aif: InputFunction | None
    vof: InputFunction | None
    case_id: str
    method: str = ""
    modality: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
    findings: tuple[QualityFinding, ...] = ()


def read_finished_maps(
    place: Path,
    *,
    named: Mapping[str, Path | None] | None = None,
    aif: Path | None = None,
    vof: Path | None = None,
) -> FinishedMaps:
    """Read maps, and what lies beside them.

    Parameters
    ----------
    place : Path
        A folder with maps (``tmax.nii.gz``, ``sub-01_desc-perfusion_tmax.nii.gz``, ``case_Tmax.nii``), a BIDS folder of one
        subject, or the Tmax map itself.
    named : mapping of str to Path, optional
        Files of maps by key, which win over what is found.
    aif, vof : Path, optional
        Curve files, which win over those in the folder.

    Returns
    -------
    FinishedMaps
        What was found.

    Raises
    ------
    InvalidInputError
        If Tmax is missing, two files could be one map, or a file cannot be read.
    GridMismatchError
        If a map or mask lies on another grid than Tmax; flipped and permuted axes are put right.
    """
    given = {key: Path(path) for key, path in (named or {}).items() if path is not None}
    names = _names_of(Path(place), given)
    files = {**names.maps, **given}
    if "tmax" not in files:
        msg = (
            f"There is no tmax.nii.gz in '{place}'. Give a folder with maps named cbf, cbv, mtt and tmax (.nii.gz), "
            "or name the file with --tmax."
        )
        raise InvalidInputError(msg)
    values, affine = read_volume(files["tmax"])
    if values.ndim != 3:
        msg = f"'{files['tmax'].name}' has {values.ndim} dimensions; a map has 3. Give the Tmax map, not the scan."
        raise InvalidInputError(msg)
    read = {"tmax": values}
    for key, path in files.items():
        if key != "tmax":
            read[key] = read_on_grid(path, f"{QUANTITIES[key].symbol} map", values.shape, affine)
    facts = _facts(names.metrics)
    units = dict.fromkeys(("cbf", "cbv"), RELATIVE) if facts.get("flow_scale") == RELATIVE else {}
    if facts.get("modality", "ctp") not in ("", "ctp"):
        units["baseline"] = "a.u."  # of MR, it says nothing of density
    maps = PerfusionMaps(
        [PerfusionMap(read[key], affine, QUANTITIES[key], unit=units.get(key, "")) for key in MAP_KEYS if key in read]
    )
    return FinishedMaps(
        maps,
        _tissue(names, maps),
        _curve(aif or names.curve("aif"), "aif", names, maps),
        _curve(vof or names.curve("vof"), "vof", names, maps),
        facts.get("case_id") or names.case_id,
        facts.get("method", ""),
        facts.get("modality", ""),
        tuple(f"{key}: {path.name}" for key, path in files.items()),
        import_findings(files["tmax"].parent),
    )


def holds_maps(place: Path) -> bool:
    """Tell whether a path is a Tmax map, or a folder with one.

    Parameters
    ----------
    place : Path
        File or folder.

    Returns
    -------
    bool
        False for a scan.
    """
    if place.is_file():
        match = _MAP_NAME.match(place.name)
        return match is not None and match["key"].lower() == "tmax"
    return place.is_dir() and any(_prefixes(folder) for folder in _folders(place))


def read_mask_on_grid(path: Path, name: str, shape: tuple[int, ...], affine: FloatArray) -> BoolArray:
    """Read a mask and bring it to the axes of a grid.

    Parameters
    ----------
    path : Path
        NIfTI file.
    name : str
        What it is called in a message.
    shape : tuple of int
        The grid.
    affine : ndarray, shape (4, 4), mm
        Its voxel to RAS.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        The mask.

    Raises
    ------
    InvalidInputError
        If it is empty.
    GridMismatchError
        If it lies on another grid.
    """
    mask: BoolArray = np.asarray(read_on_grid(path, name, shape, affine) > 0)
    if not mask.any():
        msg = f"The {name} '{path.name}' is empty. Draw the region and save it again."
        raise InvalidInputError(msg)
    return mask


def read_on_grid(path: Path, name: str, shape: tuple[int, ...], affine: FloatArray) -> NDArray[Any]:
    """Read a volume and turn its axes to those of a grid; nothing is interpolated.

    Parameters
    ----------
    path : Path
        NIfTI file.
    name : str
        What it is called in a message.
    shape : tuple of int
        The grid.
    affine : ndarray, shape (4, 4), mm
        Its voxel to RAS.

    Returns
    -------
    ndarray, shape (I, J, K)
        The values.

    Raises
    ------
    GridMismatchError
        If the voxels lie elsewhere.
    """
    values, own = read_volume(path)
    step = np.linalg.inv(own) @ affine
    order = np.abs(step[:3, :3]).argmax(axis=0)
    if values.ndim == 3 and sorted(order) == [0, 1, 2]:
        turned, matrix = values.transpose(order), np.zeros((4, 4))
        matrix[3, 3] = 1.0
        for axis, source in enumerate(order):
            flipped = step[source, axis] < 0
            matrix[source, axis] = -1.0 if flipped else 1.0
            if flipped:
                turned, matrix[source, 3] = np.flip(turned, axis), values.shape[source] - 1.0
        values, own = np.ascontiguousarray(turned), own @ matrix
    check_same_grid(f"The {name} '{path.name}'", values.shape, own, tuple(shape), affine)
    return values


@dataclass(frozen=True, slots=True)
class _Names:
    """Where things lie: beside a map, under flat or under BIDS names."""

    folder: Path
    maps: dict[str, Path]
    prefix: str
    case_id: str

    @property
    def _is_bids(self) -> bool:
        return self.prefix.endswith("_desc-perfusion")

    def mask(self, stem: str) -> Path:
        if self._is_bids:
            return self.folder / f"{self.prefix.removesuffix('perfusion')}{stem}_mask.nii.gz"
        return self.folder / "masks" / f"{stem}.nii.gz"

    def curve(self, kind: str) -> Path | None:
        path = self.folder / (f"{self.prefix.removesuffix('perfusion')}{kind}_perf.tsv" if self._is_bids else f"{kind}.csv")
        return path if path.is_file() else None

    @property
    def metrics(self) -> Path:
        bids = f"{self.prefix.removesuffix('perfusion')}metrics_perf.json"
        return self.folder / (bids if self._is_bids else "metrics.json")


def _names_of(place: Path, given: Mapping[str, Path]) -> _Names:
    if place.is_file():
        match = _MAP_NAME.match(place.name)
        prefix = (match["prefix"] or "") if match else ""
        beside = _maps_in(place.parent, prefix) if match and match["key"].lower() == "tmax" else {}
        return _Names(place.parent, {**beside, "tmax": place}, prefix, prefix or place.parent.resolve().name)
    if not place.is_dir():
        msg = f"'{place}' is neither a folder with maps nor a map. Check the path."
        raise InvalidInputError(msg)
    holders = [folder for folder in _folders(place) if _prefixes(folder)]
    if not holders:
        return _Names(place, _maps_in(place, None), "", place.resolve().name)
    found = [(folder, prefix) for folder in holders for prefix in _prefixes(folder)]
    if len(found) > 1 and "tmax" not in given:
        named = ", ".join(sorted({prefix or folder.name for folder, prefix in found})[:4])
        msg = f"'{place}' holds the Tmax maps of more than one case or method ({named}). Give one, with --tmax if need be."
        raise InvalidInputError(msg)
    folder, prefix = found[0]
    subject = prefix.partition("_")[0] if prefix.startswith("sub-") else ""
    return _Names(folder, _maps_in(folder, prefix), prefix, subject or place.resolve().name)


def _folders(place: Path) -> list[Path]:
    """The folder and those of BIDS in which maps lie."""
    inner = [folder for pattern in ("perf", "ses-*/perf", "sub-*/perf", "sub-*/ses-*/perf") for folder in place.glob(pattern)]
    return [place, *sorted(folder for folder in inner if folder.is_dir())]


def _prefixes(folder: Path) -> list[str]:
    """What stands before ``tmax`` in the names of a folder's Tmax maps."""
    matches = (_MAP_NAME.match(path.name) for path in sorted(folder.iterdir()) if path.is_file())
    return list(dict.fromkeys(match["prefix"] or "" for match in matches if match and match["key"].lower() == "tmax"))


def _maps_in(folder: Path, prefix: str | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _MAP_NAME.match(path.name)
        if match and path.is_file() and prefix in (None, match["prefix"] or ""):
            found.setdefault(match["key"].lower(), path)  # .nii before .nii.gz of one name would be the same map
    return found


def _tissue(names: _Names, maps: PerfusionMaps) -> TissueMasks | None:
    paths = {name: names.mask(name) for name in _TISSUE}
    if not all(path.is_file() for path in paths.values()):
        return None
    found = {name: np.asarray(read_on_grid(path, f"{name} mask", maps.shape, maps.affine) > 0) for name, path in paths.items()}
    return TissueMasks(found["brain"], found["csf"], found["vessel"], found["bone"])


def _curve(path: Path | None, kind: str, names: _Names, maps: PerfusionMaps) -> InputFunction | None:
    """Read a curve at its own times, and where it was measured."""
    if path is None:
        return None
    curve = input_function.from_csv(path, None, kind=kind)
    place = names.mask(kind)
    if path != names.curve(kind) or not place.is_file():
        return curve
    return replace(curve, voxels=np.argwhere(read_on_grid(place, f"{kind.upper()} mask", maps.shape, maps.affine) > 0))


def _facts(path: Path) -> dict[str, str]:
    """How the maps were made, from ``metrics.json`` of an earlier run: Tmax means something else for each method."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        facts = {"method": values["method"]["name"], "case_id": values["case_id"]}
        facts["modality"] = (values.get("acquisition") or {}).get("modality")
        facts["flow_scale"] = values.get("flow_scale")
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {key: value for key, value in facts.items() if isinstance(value, str) and value}
