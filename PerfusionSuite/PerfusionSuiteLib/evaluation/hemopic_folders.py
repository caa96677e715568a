# SPDX-License-Identifier: Apache-2.0
"""Where the maps, lesions and labels of fitted DSC patients lie: published folders, older names of them, results of ``run``."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import InvalidInputError
from ..hemopic.subjects import DISPLAY, FLOW, LABELS, PARTITION_FOLDER, TRACER, TRANSIT, VOLUME, is_filled

MODEL, DATA = "hemopic", "deconv"
"""Names of the two sources of maps that the published evaluation compares: the fit, and the supplied deconvolution maps."""

KEYS = ("cbf", "cbv", "mtt", "tmax", "ttp", "delay")
"""Maps that are compared, by the key of their quantity."""

FIT_STEMS: Mapping[str, tuple[str, ...]] = {
    "cbf": ("HemoPIC_CBF", "Model_CBF_raw", "Model_CBF_scaled", "cbf"),
    "cbv": ("HemoPIC_CBV", "Model_CBV_raw", "Model_CBV_scaled", "cbv"),
    "mtt": ("HemoPIC_MTT", "Model_MTT_raw_clamped", "Model_MTT_scaled", "mtt"),
    "tmax": ("HemoPIC_Tmax", "tmax"),
    "ttp": ("HemoPIC_TTP", "ttp"),
    "delay": ("HemoPIC_delay", "delay"),
    "lesion": ("masks/lesion", "lesion"),
    "labels": ("masks/tissue_labels", "tissue_labels"),
    "brain": ("masks/brain", "brain"),
    "regions": ("roi_labels_seg4_within_kmeans", "regions"),
    "display": ("baseline",),
}
DATA_STEMS: Mapping[str, tuple[str, ...]] = {
    "cbf": (FLOW,),
    "cbv": (VOLUME,),
    "mtt": (TRANSIT,),
    "tmax": ("MR_Tmax",),
    "ttp": ("MR_TTP",),
    "lesion": ("OT",),
    "labels": (f"{PARTITION_FOLDER}/{LABELS.removesuffix('.nii.gz')}",),
    "display": (f"{PARTITION_FOLDER}/{DISPLAY.removesuffix('.nii.gz')}",),
    "curves": (TRACER,),
    "brain": ("brain_mask",),
}
BIDS_NAMES: Mapping[str, str] = {
    **{key: f"sub-*_desc-perfusion_{key}.nii.gz" for key in KEYS},
    "brain": "sub-*_desc-brain_mask.nii.gz",
    "regions": "sub-*_desc-regions_dseg.nii.gz",
}
_INNER = ("", "global/core", "global", "core", "perf")
_NUMBER = re.compile(r"(\d+)(?:_kmeans)?$")
_SUFFIXES = (".nii.gz", ".nii")
_SHARED = ("lesion", "labels", "brain", "regions", "display", "curves")


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """The files of one patient.

    Parameters
    ----------
    patient : str
        Number at the end of the folder's name, or the whole name where there is none.
    name : str
        Name of the folder.
    fit : Path
        Folder that holds the fitted maps.
    maps : mapping of str to mapping
        Files of maps by source and key.
    other : mapping of str to Path
        ``lesion labels brain regions display curves``, those that exist.
    """

    patient: str
    name: str
    fit: Path
    maps: Mapping[str, Mapping[str, Path]]
    other: Mapping[str, Path] = field(default_factory=dict)


def find_cases(
    fits: Path,
    data: Path | None,
    *,
    patients: Sequence[str] = (),
    compared: Mapping[str, Path] | None = None,
    names: Mapping[str, str] | None = None,
    pattern: str = "*",
) -> tuple[list[CaseFiles], list[tuple[str, str]]]:
    """Find the patients of a fit root.

    Parameters
    ----------
    fits : Path
        Folder with one folder per patient (``training_<N>``, ``p<N>/global``, ... or any names), or the results of one patient.
    data : Path or None
        Folder with a folder per patient of the same name or number, as the published program wants it; the folder of one
        patient; or a lesion mask.
    patients : sequence of str
        Only these, by number or name; all when empty.
    compared : mapping of str to Path, optional
        Further sources of maps by name, each a folder like `fits`.
    names : mapping of str to str, optional
        Other file stems by key, for example ``lesion`` to ``mask_hypoperfusion``; they are looked for in every folder.
    pattern : str
        Which folders of `fits` are patients, as a shell pattern.

    Returns
    -------
    cases : list of CaseFiles
        In the order of their numbers.
    skipped : list of tuple of str
        Name of a folder and why it is no patient.

    Raises
    ------
    InvalidInputError
        If there is no patient.
    """
    if not fits.is_dir():
        msg = f"'{fits}' is not a folder. Give the folder with the fitted patients, or the results of one."
        raise InvalidInputError(msg)
    single = bool(_found(fits, FIT_STEMS, names, ("cbf", "cbv", "mtt", "tmax")))
    folders = [fits] if single else sorted((path for path in fits.glob(pattern) if _is_open(path)), key=_order)
    cases: list[CaseFiles] = []
    skipped: list[tuple[str, str]] = []
    for folder in folders:
        patient = patient_of(folder.resolve().name)
        if patients and not {patient, folder.name} & set(patients):
            continue
        inner = fitted_folder(folder, names)
        if inner is None:
            skipped.append((folder.name, "there are no fitted maps"))
            continue
        cases.append(_case(inner, folder.resolve().name, patient, data, compared or {}, names or {}, single=single))
    if not cases:
        asked = f" with the numbers {', '.join(patients)}" if patients else ""
        msg = f"There are no fitted patients{asked} in '{fits}'. Give a folder whose folders hold HemoPIC_CBF or cbf (.nii.gz)."
        raise InvalidInputError(msg)
    return cases, skipped


def patient_of(name: str) -> str:
    """Return the number of a patient.

    Parameters
    ----------
    name : str
        Name of a folder, such as ``training_22`` or ``p22_kmeans``.

    Returns
    -------
    str
        The number without leading zeros, or the name when it does not end in one.
    """
    match = _NUMBER.search(name)
    return str(int(match[1])) if match else name


def fitted_folder(folder: Path, names: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder below a patient's that holds the fitted maps.

    Parameters
    ----------
    folder : Path
        Of the patient.
    names : mapping of str to str, optional
        Other file stems by key.

    Returns
    -------
    Path or None
        None when there are none.
    """
    for inner in _INNER:
        place = folder / inner
        if place.is_dir() and _found(place, FIT_STEMS, names, KEYS):
            return place
    return None


def _case(
    inner: Path,
    name: str,
    patient: str,
    data: Path | None,
    compared: Mapping[str, Path],
    names: Mapping[str, str],
    *,
    single: bool,
) -> CaseFiles:
    maps = {MODEL: _found(inner, FIT_STEMS, names, KEYS)}
    other = _found(inner, FIT_STEMS, names, _SHARED)
    if data is not None and data.is_file():
        other["lesion"] = data
    elif data is not None:
        place = _patient_folder(data, name, patient, single=single)
        if place is not None:
            maps[DATA] = _found(place, DATA_STEMS, names, KEYS)
            other |= _found(place, DATA_STEMS, names, _SHARED)
    for source, root in compared.items():
        place = _patient_folder(root, name, patient, single=single)
        fitted = fitted_folder(place, names) if place is not None else None
        maps[source] = _found(fitted, FIT_STEMS, names, KEYS) if fitted is not None else {}
    return CaseFiles(patient, name, inner, {source: found for source, found in maps.items() if found}, other)


def _patient_folder(root: Path, name: str, patient: str, *, single: bool) -> Path | None:
    if (root / name).is_dir():
        return root / name
    if root.is_dir():
        for place in sorted(root.iterdir(), key=_order):
            if _is_open(place) and patient.isdigit() and patient_of(place.name) == patient:
                return place
    return root if single and root.is_dir() else None


def _found(
    folder: Path, stems: Mapping[str, tuple[str, ...]], names: Mapping[str, str] | None, keys: Sequence[str]
) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for key in keys:
        given = (names or {}).get(key)
        tried = (given,) if given else stems.get(key, ())
        paths = (folder / f"{stem}{suffix}" for stem in tried for suffix in _SUFFIXES)
        path = next((path for path in paths if is_filled(path)), None)
        if path is None and not given and key in BIDS_NAMES and stems is FIT_STEMS:
            path = next(iter(sorted(folder.glob(BIDS_NAMES[key]))), None)
        if path is not None:
            found[key] = path
    return found


def read_table(folder: Path, stems: Sequence[str]) -> tuple[str, list[list[str]]] | None:
    """Read a table of a fit.

    Parameters
    ----------
    folder : Path
        Of the fit.
    stems : sequence of str
        Names without ending, the wanted one first; with BIDS names they stand in ``desc-``.

    Returns
    -------
    name : str
        Of the file.
    rows : list of list of str
        Head and rows.
        None instead of both when there is no such table.

    Raises
    ------
    InvalidInputError
        If it cannot be read or is empty.
    """
    for stem in stems:
        plain = [folder / f"{stem}.csv"] if (folder / f"{stem}.csv").is_file() else []
        for path in (*plain, *sorted(folder.glob(f"sub-*_desc-{stem.replace('_', '')}_perf.tsv"))):
            try:
                with path.open(encoding="utf-8", newline="") as stream:
                    rows = list(csv.reader(stream, delimiter="\t" if path.suffix == ".tsv" else ","))
            except (OSError, ValueError) as error:
                msg = f"'{path.name}' cannot be read ({error}). Copy it again."
                raise InvalidInputError(msg) from error
            if not rows:
                msg = f"'{path.name}' is empty. Fit the patient again."
                raise InvalidInputError(msg)
            return path.name, rows
    return None


def _is_open(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _order(path: Path) -> tuple[int, str]:
    number = patient_of(path.name)
    return (int(number) if number.isdigit() else -1, path.name)
