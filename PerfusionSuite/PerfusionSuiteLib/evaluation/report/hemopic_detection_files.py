# SPDX-License-Identifier: Apache-2.0
"""What lesion detection leaves in the folder of one patient: table, curves, pictures, and images on request."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.files import write_json
from ...core.nifti import write_volume
from ...results.pictures.canvas import save
from ...results.tables import write_rows
from ..hemopic_case import Case
from ..hemopic_discrimination import COLUMNS, CORRECTED_COLUMNS, Detection, Scores
from ..hemopic_study import HemopicDesign
from .hemopic_pictures import draw_detection

_MOST_POINTS = 2000


def write_patient(
    folder: Path, case: Case, scores: Sequence[Scores], rows: Sequence[Mapping[str, Any]], design: HemopicDesign
) -> Path:
    """Write what was found in a patient.

    Parameters
    ----------
    folder : Path
        Gets ``patient_<N>``.
    case : Case
        The patient.
    scores : sequence of Scores
        Maps.
    rows : sequence of mapping
        Their rows of the table.
    design : HemopicDesign
        What was measured.

    Returns
    -------
    Path
        The folder of the patient.
    """
    target = folder / f"patient_{case.patient}"
    columns = COLUMNS if design.definitions == "published" else CORRECTED_COLUMNS
    write_rows(target / "patient_metrics.csv", rows, columns)
    for each in scores:
        if each.detection is not None:
            name = f"{each.method}_{each.metric}"
            write_rows(target / f"roc_curve_{name}.csv", _roc_rows(each.detection))
            write_rows(target / f"pr_curve_{name}.csv", _pr_rows(each.detection))
    if importlib.util.find_spec("matplotlib"):
        save(draw_detection(case.patient, scores, precision=False), target / "roc_curves.png")
        save(draw_detection(case.patient, scores, precision=True), target / "pr_curves.png")
    if design.volumes:
        _write_images(target, case, scores)
    write_json(
        target / "run_info.json",
        {
            "patient": case.patient,
            "definitions": design.definitions,
            "relative_mode": design.relative_mode,
            "brain": "mask" if case.brain_mask is not None else "labels" if case.labels is not None else "positive CBF",
            "brain_voxels": int(case.brain.sum()),
            "lesion_voxels": int(case.need_lesion().sum()),
            "common_mask": design.definitions == "corrected",
            "maps": [f"{each.method} {each.metric}: {each.valid.sum()} voxels, {each.rule}" for each in scores],
            "notes": case.notes,
        },
    )
    return target


def _write_images(target: Path, case: Case, scores: Sequence[Scores]) -> None:
    write_volume(target / "brain_mask.nii.gz", case.brain, case.affine, dtype=np.uint8)
    write_volume(target / "lesion_mask.nii.gz", case.need_lesion(), case.affine, dtype=np.uint8)
    for each in scores:
        for kind, values in (("relative", each.relative), ("score", each.score)):
            image = np.full(case.shape, np.nan, np.float32)
            image[each.valid] = values
            write_volume(target / f"{kind}_{each.method}_{each.metric}.nii.gz", image, case.affine)


def _roc_rows(found: Detection) -> list[dict[str, float]]:
    curve = found.roc
    at = _some(curve.sensitivity.size)
    numbers = zip(curve.cutoffs[at], 1.0 - curve.specificity[at], curve.sensitivity[at], strict=True)
    return [{"threshold": float(c), "fpr": float(f), "tpr": float(t)} for c, f, t in numbers]


def _pr_rows(found: Detection) -> list[dict[str, float]]:
    at = _some(found.recall.size)
    numbers = zip(found.roc.cutoffs[1:][at], found.recall[at], found.precision[at], strict=True)
    return [{"threshold": float(c), "recall": float(r), "precision": float(p)} for c, r, p in numbers]


def _some(count: int) -> NDArray[np.int64]:
    """Points that a picture needs: with one per voxel the file would be larger than the map. Areas rest on all of them."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(np.int64))
