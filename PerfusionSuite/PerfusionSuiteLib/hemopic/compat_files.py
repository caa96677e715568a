# SPDX-License-Identifier: Apache-2.0
"""A subject's fit as files with the published names, columns and keys; folders are never deleted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import GridMismatchError, InvalidInputError
from ..core.files import staged_folder, write_json, write_text
from ..core.findings import QualityFinding
from ..core.geometry import check_same_grid
from ..core.nifti import read_volume
from ..core.nifti_like import SourceHeader, read_curves, source_header, write_like
from ..core.progress import ProgressCallback, part_of
from .compat_regions import without_gaps
from .compat_run import CompatChoices, CompatFit, check_inputs, run_compat, valid_interval
from .subjects import FLOW, LABELS, TRACER, TRANSIT, VOLUME, Subject, is_filled

MAP_FILES = {"cbf": "HemoPIC_CBF.nii.gz", "cbv": "HemoPIC_CBV.nii.gz", "mtt": "HemoPIC_MTT.nii.gz"}
REGION_FILE = "roi_labels_seg4_within_kmeans.nii.gz"
TABLE_FILE = "roi_fit_summary.csv"
RECORD_FILE = "run_info_core.json"
FILES = (*MAP_FILES.values(), REGION_FILE, TABLE_FILE, RECORD_FILE)
_PRIORS = {"cbf": FLOW, "cbv": VOLUME, "mtt": TRANSIT}


@dataclass(frozen=True, slots=True)
class FittedSubject:
    """A fit that was written.

    Parameters
    ----------
    folder : Path
        Where.
    fit : CompatFit
        Maps, regions and record.
    findings : tuple of QualityFinding
        What was odd about files and fit.
    """

    folder: Path
    fit: CompatFit
    findings: tuple[QualityFinding, ...]


def is_fitted(subject: Subject, out: str | Path, choices: CompatChoices) -> bool:
    """Return whether the files of a finished fit with the same choices are there.

    Parameters
    ----------
    subject : Subject
        Whose fit.
    out : path-like
        Holds a folder named as the subject's.
    choices : CompatChoices
        Clusters and seed.

    Returns
    -------
    bool
        False also when a file is missing or was made with other choices.
    """
    target = Path(out) / subject.folder.absolute().name
    if not all(is_filled(target / name) for name in FILES):
        return False
    try:
        record = json.loads((target / RECORD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {"k_gm": choices.k_gm, "k_wm": choices.k_wm, "seed": choices.seed}
    return isinstance(record, dict) and wanted == {name: record.get(name) for name in wanted}


def fit_subject(
    subject: Subject,
    out: str | Path,
    choices: CompatChoices,
    *,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> FittedSubject:
    """Fit a subject and write its results.

    Parameters
    ----------
    subject : Subject
        Folder with tracer file, maps and tissue labels.
    out : path-like
        Gets a folder named as the subject's.
    choices : CompatChoices
        Clusters and seed.
    overwrite : bool
        Replace the files of an earlier fit; other files in the folder stay.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    FittedSubject
        The fit and where it lies.

    Raises
    ------
    InvalidInputError
        If an input is missing or unusable, or results exist and shall not be replaced.
    """
    target = Path(out) / subject.folder.absolute().name
    present = [name for name in FILES if (target / name).exists()]
    if present and not overwrite:
        msg = (
            f"'{target.name}' already holds {present[0]} in the output folder. Add --overwrite, or choose another output folder."
        )
        raise InvalidInputError(msg)
    paths = subject.need(TRACER, FLOW, VOLUME, TRANSIT, LABELS)
    part_of(progress, 0.0, 1.0)(0.0, "Reading")
    labels, _ = read_volume(paths[LABELS])
    header = source_header(paths[FLOW])
    priors = {name: read_volume(paths[stem])[0] for name, stem in _PRIORS.items()}
    tracer = source_header(paths[TRACER])
    check_inputs(_series_sizes(tracer), labels, priors)
    wanted = labels > 0
    dt_s = valid_interval(tracer.spacings[3])
    curves = without_gaps(read_curves(paths[TRACER], wanted), wanted, dt_s)
    fit = run_compat(curves, labels, priors, choices, affine=header.affine, progress=part_of(progress, 0.2, 0.95))
    part_of(progress, 0.95, 1.0)(0.0, "Writing")
    write_fit(fit, target, header, subject.number)
    return FittedSubject(target, fit, (*fit.regions.findings, *_about_grids(paths, labels.shape, header)))


def write_fit(fit: CompatFit, folder: str | Path, header: SourceHeader, patient: int | None) -> None:
    """Write maps, regions, table and record.

    Parameters
    ----------
    fit : CompatFit
        What was fitted.
    folder : path-like
        Where; other files in it stay.
    header : SourceHeader
        Of the CBF map, whose grid the results share.
    patient : int or None
        Number of the subject; None for a folder of another name, which may be a person's and stays out of the record.
    """
    with staged_folder(folder) as staging:
        for name, file in MAP_FILES.items():
            write_like(staging / file, fit.maps[name], header, dtype=np.float32)
        write_like(staging / REGION_FILE, fit.regions.labels, header, dtype=np.int32)
        write_text(staging / TABLE_FILE, table_text(fit.regions.rows))
        write_json(staging / RECORD_FILE, {"patient": patient, **fit.record})


def table_text(rows: tuple[Mapping[str, Any], ...]) -> str:
    """Return the regions' table as CSV.

    Parameters
    ----------
    rows : tuple of mapping
        One per region, all with the same columns.

    Returns
    -------
    str
        Numbers with all their digits.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _series_sizes(header: SourceHeader) -> tuple[int, ...]:
    sizes = header.sizes
    if len(sizes) == 5 and sizes[3] == 1:
        return (*sizes[:3], sizes[4])
    if len(sizes) != 4:
        msg = f"The tracer file has the axes {sizes}; (I, J, K, T) or (I, J, K, 1, T) is needed. Run 'hemopic convert' again."
        raise GridMismatchError(msg)
    return sizes


def _about_grids(paths: Mapping[str, Path], shape: tuple[int, ...], header: SourceHeader) -> list[QualityFinding]:
    """Compare places, which the published program does not: it lays arrays on each other by their indices."""
    found = []
    for stem in (TRACER, VOLUME, TRANSIT, LABELS):
        try:
            check_same_grid(paths[stem].name, shape, source_header(paths[stem]).affine, shape, header.affine)
        except GridMismatchError as error:
            message = f"{error} The arrays were laid on each other by their indices, as the published program does."
            found.append(QualityFinding("compat_grid", "warning", message, "Check that all files are of one scan."))
    return found
