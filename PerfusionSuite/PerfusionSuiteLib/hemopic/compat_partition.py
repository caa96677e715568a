# SPDX-License-Identifier: Apache-2.0
"""The tissue partition of a subject as files: labels from where they can be had, four classes, the perfusion grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.files import staged_folder
from ..core.nifti import read_volume
from ..core.nifti_like import SourceHeader, source_header, write_like
from ..core.progress import ProgressCallback, part_of
from .compat_estimate import estimate_labels
from .subjects import DIFFUSION, DISPLAY, FLOW, LABELS, PARTITION_FOLDER, Subject, is_filled
from .synthseg import SEGMENTATION, SYMMETRIC, segment
from .tissue_labels import PUBLISHED, TissueTable, collapse, display_image, resample_nearest

SYNTHSEG_FOLDER = "synthseg"
_OLDER = tuple(f"MR_ADC_resample_synthseg{end}{kind}" for end in ("_sym", "") for kind in (".nii.gz", ".nii"))


@dataclass(frozen=True, slots=True)
class PartitionChoices:
    """How tissue is partitioned.

    Parameters
    ----------
    table : TissueTable
        Which structure belongs to which class; the published one by default.
    labels : Path, optional
        Label image to take instead of looking for one.
    estimate : bool
        Estimate the classes from the subject's own series instead; no label image and no FreeSurfer is needed.
    threads : int, optional
        Of ``mri_synthseg``.
    overwrite : bool
        Replace a partition that exists.
    """

    table: TissueTable = PUBLISHED
    labels: Path | None = None
    estimate: bool = False
    threads: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition that was written.

    Parameters
    ----------
    path : Path
        The label file.
    source : str
        Name of the label image it came from, or words about the estimate.
    voxels : dict of int to int
        Voxels of each class.
    """

    path: Path
    source: str
    voxels: dict[int, int]


def partition_subject(
    subject: Subject, choices: PartitionChoices, *, progress: ProgressCallback | None = None
) -> Partition | None:
    """Write the tissue labels of a subject on its perfusion grid.

    Parameters
    ----------
    subject : Subject
        Folder with ``MR_rCBF`` or ``MR_ADC``.
    choices : PartitionChoices
        What to take and how.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Partition or None
        What was written; None when both files exist already.

    Raises
    ------
    InvalidInputError
        If no grid or no label image is there, or no voxel of brain falls on the grid.
    MissingPackageError
        If labels must be made first and FreeSurfer is not installed.
    """
    folder = subject.folder / PARTITION_FOLDER
    if not choices.overwrite and is_filled(folder / LABELS) and is_filled(folder / DISPLAY):
        return None
    reference = subject.find(FLOW, DIFFUSION)
    if reference is None:
        msg = f"{FLOW}.nii[.gz] is missing in '{subject.name}', and {DIFFUSION} too, so there is no grid. Put one of them there."
        raise InvalidInputError(msg)
    header = source_header(reference)
    on_grid, source = _classes(subject, choices, header, progress)
    if not on_grid.any():
        msg = f"No labeled voxel of '{source}' falls on the grid of '{reference.name}'. Check that both are of one patient."
        raise InvalidInputError(msg)
    _write(folder, on_grid, display_image(on_grid), header)
    counts = np.bincount(on_grid.ravel(), minlength=5)
    return Partition(folder / LABELS, source, {kind: int(counts[kind]) for kind in range(1, 5)})


def _classes(
    subject: Subject, choices: PartitionChoices, header: SourceHeader, progress: ProgressCallback | None
) -> tuple[NDArray[np.uint8], str]:
    """Return the classes on the perfusion grid, and in words where they come from."""
    if choices.estimate:
        return estimate_labels(subject, progress=progress), "the built-in estimate"
    source = choices.labels or find_labels(subject) or _made(subject, choices, part_of(progress, 0.0, 0.8))
    part_of(progress, 0.8, 1.0)(0.0, "Tissue classes")
    labels, affine = read_volume(source)
    if labels.ndim != 3:
        msg = f"The label image '{source.name}' has {labels.ndim} dimensions, not 3. Give one label per voxel."
        raise GridMismatchError(msg)
    return resample_nearest(collapse(labels, choices.table), affine, _grid(header), header.affine), source.name


def find_labels(subject: Subject) -> Path | None:
    """Find the structural labels that a subject has: the symmetric file first, then the plain one, then older names.

    Parameters
    ----------
    subject : Subject
        The subject.

    Returns
    -------
    Path or None
        A label image.
    """
    folder = subject.folder / SYNTHSEG_FOLDER
    places = [folder / SYMMETRIC, folder / SEGMENTATION, *(place / name for name in _OLDER for place in (folder, subject.folder))]
    return next((path for path in places if is_filled(path)), None)


def _made(subject: Subject, choices: PartitionChoices, progress: ProgressCallback) -> Path:
    image = subject.find(DIFFUSION)
    if image is None:
        msg = f"{DIFFUSION}.nii is missing in '{subject.name}', and there are no labels. Put it there, or give --labels FILE."
        raise InvalidInputError(msg)
    return segment(image, subject.folder / SYNTHSEG_FOLDER, threads=choices.threads, progress=progress)


def _grid(header: SourceHeader) -> tuple[int, int, int]:
    first = (*header.sizes, 1, 1)[:3]
    return first[0], first[1], first[2]


def _write(folder: Path, labels: NDArray[np.uint8], display: NDArray[np.uint8], header: SourceHeader) -> None:
    with staged_folder(folder) as staging:
        write_like(staging / LABELS, labels, header, dtype=np.uint8)
        write_like(staging / DISPLAY, display, header, dtype=np.uint8)
