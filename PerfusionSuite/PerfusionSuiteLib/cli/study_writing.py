# SPDX-License-Identifier: Apache-2.0
"""All results of a study in one folder, or none: files, scene, DICOM objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from .. import results
from ..core import AslStudy, InvalidInputError, ProgressCallback, QualityFinding, Study, part_of
from ..core.files import staged_folder
from .dicom_options import DicomWriter, earlier_objects

WRITER_GROUP = "perfusion_suite.writers"

WRITERS: dict[str, Callable[..., list[Path]]] = {}
"""Writers that an application brings along, where the package is not installed and has no entry points."""

NO_SLICE_PICTURES = QualityFinding(
    "no_slice_pictures",
    "warning",
    "Pictures of Slicer's slice views were left out, because this machine has no working OpenGL library.",
    "Install one (Debian and Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri) and run again; the scene is complete.",
)


def scene_writer() -> Callable[..., list[Path]]:
    """Find the writer of Slicer scenes among the installed entry points.

    Returns
    -------
    callable
        ``writeScene(study, folder, progress=...)``.

    Raises
    ------
    InvalidInputError
        If it is not installed.
    """
    if "mrb" in WRITERS:
        return WRITERS["mrb"]
    found = {entry.name: entry for entry in entry_points(group=WRITER_GROUP)}
    try:
        return found["mrb"].load()  # type: ignore[no-any-return]  # entry points are untyped
    except (KeyError, ImportError) as error:
        msg = "A 3D Slicer scene needs the package 'slicer-core'. Run 'make setup', or leave out --mrb."
        raise InvalidInputError(msg) from error


def earlier_results(study: Study | AslStudy, folder: Path, *, layout: str = "flat") -> set[Path]:
    """Name what an earlier run may have left in a folder, so that results of two runs never lie side by side.

    Parameters
    ----------
    study : Study
        The study that is written now.
    folder : Path
        Output folder.
    layout : {"flat", "bids"}
        Names of the files.

    Returns
    -------
    set of Path
        Files relative to `folder`.
    """
    others = (folder / "scene.mrb", *folder.glob("qa/slicer_*.png"), folder / "truth.csv")
    scene = {path.relative_to(folder) for path in others}
    return results.outdated_names(study, layout) | scene | earlier_objects(folder)


def write_study(
    study: Study | AslStudy,
    folder: Path,
    *,
    layout: str = "flat",
    writer: Callable[..., list[Path]] | None = None,
    dicom: DicomWriter | None = None,
    truth: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    published: Callable[[], None] | None = None,
) -> list[Path]:
    """Write all results of a study, or nothing.

    Parameters
    ----------
    study : Study
        The study.
    folder : Path
        Output folder.
    layout : {"flat", "bids"}
        Names of the files.
    writer : callable, optional
        Writer of the scene.
    dicom : callable, optional
        Writer of DICOM objects.
    truth : mapping, optional
        Scores against a phantom's truth, from ``evaluation.score_study``.
    progress : callable, optional
        Progress.
    published : callable, optional
        Called as soon as all results are in their place.

    Returns
    -------
    list of Path
        The files that were written, relative to `folder`.
    """
    with staged_folder(folder, outdated=earlier_results(study, folder, layout=layout), published=published) as staging:
        missing: tuple[QualityFinding, ...] = ()
        if writer is not None:
            made = writer(study, staging, progress=part_of(progress, 0.0, 0.6))
            missing = () if any(path.suffix == ".png" for path in made) else (NO_SLICE_PICTURES,)
        progress_of_files = part_of(progress, 0.6 if writer else 0.0, 1.0)
        results.write(study, staging, layout=layout, extra_findings=missing, progress=progress_of_files)
        if dicom is not None:
            dicom(staging, None)
        if truth is not None:
            results.write_truth_comparison(truth, staging)
        return sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
