# SPDX-License-Identifier: Apache-2.0
"""Gray and white matter for an ASL scan from files: fractions or labels on any grid, given or found in BIDS derivatives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .core import AslSeries, GridMismatchError, InvalidInputError, QualityFinding
from .core.geometry import FloatArray
from .core.nifti import read_volume
from .hemopic.tissue_labels import BRAIN_STEM, GRAY, WHITE, collapse, whole_numbers

_POINTS = 4
"""A finer map is read at so many points along each axis of a voxel and averaged."""

_FOREIGN_SPACE = re.compile(r"_space-(?!T1w|T2w|asl|aslref|ASL|individual|orig)[A-Za-z0-9]+")
"""A template, or another space that is not the patient's."""

_LABELS = ("desc-aparcaseg_dseg", "desc-aseg_dseg", "desc-synthseg_dseg", "dseg")
"""Label maps of fMRIPrep and its relatives, the richest first; a plain ``dseg`` holds 1 gray, 2 white matter, 3 fluid."""

_ENDS = (".nii.gz", ".nii")


@dataclass(frozen=True, slots=True)
class TissueFiles:
    """Where gray and white matter of a scan can be read.

    Parameters
    ----------
    gm, wm : Path or None
        Fractions, both or none.
    labels : Path or None
        A label map, when there are no fractions.
    """

    gm: Path | None = None
    wm: Path | None = None
    labels: Path | None = None

    @property
    def finding(self) -> QualityFinding:
        """What a user must know about files that nobody named."""
        names = ", ".join(path.name for path in (self.gm, self.wm, self.labels) if path is not None)
        text = f"Gray and white matter were taken from derivatives beside the scan ({names}), placed by their headers."
        advice = "Register them to the scan if the head moved in between; --no-tissue leaves them out."
        return QualityFinding("tissue_from_derivatives", "info", text, advice)


def fraction_on(path: Path, scan: AslSeries) -> NDArray[np.float32]:
    """Read a fraction of tissue and average it over the scan's voxels by the positions that both files state.

    Parameters
    ----------
    path : Path
        A NIfTI file on any grid, 0 to 1.
    scan : AslSeries
        The scan.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        The fraction, 0 where the file ends.

    Raises
    ------
    InvalidInputError
        If it is no volume, or no fraction.
    GridMismatchError
        If it lies elsewhere.
    """
    values, affine = read_volume(path)
    values = np.nan_to_num(np.asarray(values, np.float32))
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        msg = f"'{path.name}' has {values.ndim} dimensions; a fraction of tissue has 3. Choose another file."
        raise InvalidInputError(msg)
    top, low = float(values.max(initial=0.0)), float(values.min(initial=0.0))
    if top > 1.01 or low < -0.01:
        what = "Divide percent by 100" if 1.01 < top <= 100.5 else "Give fractions, or a label map with --tissue-labels"
        msg = f"'{path.name}' reaches from {low:g} to {top:g}, but a fraction of tissue lies between 0 and 1. {what}."
        raise InvalidInputError(msg)
    found = _averaged(values, affine, scan)
    if not found.any():
        msg = f"'{path.name}' holds no tissue where the scan lies. Give fractions of this patient, in the space of the scan."
        raise GridMismatchError(msg)
    return found


def label_fractions(path: Path, scan: AslSeries) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read a label map and count its gray and white matter within the scan's voxels.

    Parameters
    ----------
    path : Path
        Labels on any grid: 1 gray matter, 2 white matter, 3 CSF, 4 brain stem, or those of FreeSurfer or SynthSeg.
    scan : AslSeries
        The scan.

    Returns
    -------
    gray, white : ndarray of float32, shape (I, J, K)
        Fractions.

    Raises
    ------
    InvalidInputError
        If the file holds no labels.
    GridMismatchError
        If no gray or no white matter lies where the scan is.
    """
    values, affine = read_volume(path)
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    if values.ndim != 3:
        msg = f"'{path.name}' has {values.ndim} dimensions; a label map has 3. Choose another file."
        raise InvalidInputError(msg)
    whole = whole_numbers(values)
    plain = whole.min(initial=0) >= 0 and whole.max(initial=0) <= BRAIN_STEM
    classes = whole if plain else collapse(whole)
    parts = [_averaged((classes == kind).astype(np.float32), affine, scan) for kind in (GRAY, WHITE)]
    missing = next((name for name, part in zip(("gray", "white"), parts, strict=True) if not part.any()), None)
    if missing is not None:
        msg = f"The labels '{path.name}' hold no {missing} matter where the scan lies. Give labels of this patient with both."
        raise GridMismatchError(msg)
    return parts[0], parts[1]


def _averaged(values: NDArray[np.float32], affine: FloatArray, scan: AslSeries) -> NDArray[np.float32]:
    """Mean of a map over each voxel of the scan; a coarser map is interpolated."""
    to_file = np.linalg.inv(affine) @ scan.affine
    coarser = np.abs(to_file[:3, :3]).max(axis=0) > 1.2  # a step of the scan spans more than a voxel of the file
    steps = [np.array([0.0]) if not wide else (np.arange(_POINTS) + 0.5) / _POINTS - 0.5 for wide in coarser]
    order = 0 if coarser.any() else 1  # reading between the points of a finer map would blur it beyond the voxel
    index = np.indices(scan.shape, dtype=np.float64).reshape(3, -1)
    total = np.zeros(index.shape[1])
    offsets = np.array(np.meshgrid(*steps, indexing="ij")).reshape(3, -1).T
    for offset in offsets:
        place = to_file[:3, :3] @ (index + offset[:, None]) + to_file[:3, 3:]
        inside = ((place > -0.501) & (place < np.array(values.shape)[:, None] - 0.499)).all(axis=0)
        total += inside * ndimage.map_coordinates(values, place, order=order, mode="nearest", output=np.float64)
    return (total / len(offsets)).reshape(scan.shape).astype(np.float32)


def tissue_beside(images: Path) -> TissueFiles | None:
    """Look for gray and white matter of an ASL scan in the derivatives of its BIDS data set.

    Parameters
    ----------
    images : Path
        ``sub-*_asl.nii.gz`` of a data set.

    Returns
    -------
    TissueFiles or None
        Fractions ``*_label-GM_probseg`` and ``*_label-WM_probseg`` in the patient's own space (fMRIPrep, ASLPrep), else a label
        map ``*_dseg``; those of the scan's own session first. None when there is nothing, or where several could be meant.
    """
    entities = dict(part.split("-", 1) for part in images.name.split("_")[:-1] if "-" in part)
    subject, session = entities.get("sub"), entities.get("ses")
    root = next((folder for folder in images.absolute().parents if folder.name == f"sub-{subject}"), None)
    if subject is None or root is None:
        return None
    places = list(_places(root.parent, subject, session))
    for place in places:
        gray, white = (_only(place, f"label-{name}_probseg") for name in ("GM", "WM"))
        if gray is not None and white is not None:
            return TissueFiles(gray, white)
    for place in places:
        for name in _LABELS:
            labels = _only(place, name)
            if labels is not None:
                return TissueFiles(labels=labels)
    return None


def _places(root: Path, subject: str, session: str | None) -> Iterator[Path]:
    """Folders of derivatives that may hold tissue: beside the perfusion first, of the session first."""
    derivatives = root / "derivatives"
    pipelines = sorted(item for item in derivatives.iterdir() if item.is_dir()) if derivatives.is_dir() else []
    for level in [f"ses-{session}", ""] if session else [""]:
        for kind in ("perf", "anat"):
            for pipeline in (*pipelines, derivatives):
                place = pipeline / f"sub-{subject}" / level / kind
                if place.is_dir():
                    yield place


def _only(place: Path, ending: str) -> Path | None:
    """The one file of a name in the patient's own space."""
    found = [path for end in _ENDS for path in sorted(place.glob(f"sub-*_{ending}{end}")) if not _FOREIGN_SPACE.search(path.name)]
    if ending == "dseg":
        found = [path for path in found if "_desc-" not in path.name and "_label-" not in path.name]
    near = [path for path in found if re.search(r"_space-(asl|ASL)", path.name)] or found
    return near[0] if len(near) == 1 else None


def check_place(tissue: dict[str, NDArray[Any]], brain: NDArray[np.bool_]) -> tuple[QualityFinding, ...]:
    """Say when fractions of tissue do not lie in the brain of the scan.

    Parameters
    ----------
    tissue : dict of str to ndarray
        ``gm`` and ``wm``; may be empty.
    brain : ndarray of bool, shape (I, J, K)
        Brain of the scan.

    Returns
    -------
    tuple of QualityFinding
        ``tissue_misplaced`` when a fifth of them lies outside.

    Raises
    ------
    GridMismatchError
        When most of it does, or hardly any of the brain is tissue.
    """
    if not tissue:
        return ()
    total = np.nan_to_num(np.asarray(tissue["gm"], np.float32)) + np.nan_to_num(np.asarray(tissue["wm"], np.float32))
    amount, inside = float(total.sum()), float(total[brain].sum())
    within, filled = (inside / amount if amount else 0.0), float((total[brain] > 0.2).mean()) if brain.any() else 0.0
    shares = (f"{100.0 * within:.0f} %", f"{100.0 * filled:.0f} %")
    words = f"{shares[0]} of the gray and white matter lie in the brain of the scan, of which they fill {shares[1]}"
    if within < 0.5 or filled < 0.3:
        msg = f"Only {words}. Give fractions of this head that are registered to the scan, or leave them out (--no-tissue)."
        raise GridMismatchError(msg)
    if within < 0.8 or filled < 0.6:
        advice = "Compare them with M0 in the pictures, and register them to the scan."
        return (QualityFinding("tissue_misplaced", "warning", f"Only {words}.", advice),)
    return ()
