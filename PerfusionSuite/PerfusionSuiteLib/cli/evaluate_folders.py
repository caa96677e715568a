# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate maps RESULT TRUTH``: finished maps beside a truth or beside another software's maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import evaluation, lesion, results
from ..core import InvalidInputError, PerfusionMaps, TissueMasks
from ..core.files import check_output_folder, staged_folder
from ..core.geometry import BoolArray

_LESIONS = ("hypoperfusion", "core", "penumbra")
_MAPS = ("cbf", "cbv", "mtt", "tmax", "delay")


def compare_folders(result: Path, truth: Path, out: Path | None) -> int:
    """Compare finished maps with their truth or with other maps, and print the numbers.

    Parameters
    ----------
    result : Path
        Folder of the maps, as ``run`` writes it or with files of the same names.
    truth : Path
        Folder of a digital patient's truth, or of reference maps.
    out : Path or None
        Where to write the comparison as files.

    Returns
    -------
    int
        Exit code.

    Raises
    ------
    InvalidInputError
        If a folder holds no maps.
    GridMismatchError
        If the two do not share one grid.
    """
    if out is not None:
        check_output_folder(out)
    study = read_result(result)
    is_truth = (truth / "truth.json").is_file()
    known = read_truth(truth) if is_truth else read_reference(truth)
    scores = evaluation.score_study(study, known)
    print(evaluation.as_text(scores))
    print(evaluation.agreement_text(scores))
    if out is not None:
        with staged_folder(out) as staging:
            if is_truth:
                results.write_truth_comparison(scores, staging)
            results.write_rows(staging / "errors.csv", evaluation.as_rows(scores))
            evaluation.write_agreement(study, known, staging)
        print(f"Tables and pictures are in {out}.")
    return 0


def read_result(folder: Path) -> Any:
    """Read finished maps with their masks and curves.

    Parameters
    ----------
    folder : Path
        As ``run`` writes it. Lesions that are missing are segmented from the maps.

    Returns
    -------
    object
        With ``maps masks lesions aif vof`` as a `Study` has them.

    Raises
    ------
    InvalidInputError
        If there are no maps.
    """
    found = results.read_finished_maps(folder)
    maps, masks = found.maps, found.masks
    lesions = _lesions(folder, maps)
    if lesions is None:
        lesions = lesion.segment(maps, masks=masks, method=found.method or None)[1]
        brain = lesions.extra["brain"]
    else:
        brain = lesions.tissue
    if masks is None:
        none = np.zeros_like(brain)
        masks = TissueMasks(brain, none, none, none)
    return SimpleNamespace(maps=maps, masks=masks, lesions=lesions, aif=found.aif, vof=found.vof)


def _lesions(folder: Path, maps: PerfusionMaps) -> Any | None:
    paths = {name: folder / "masks" / f"{name}_mask.nii.gz" for name in _LESIONS}
    paths["tissue"] = folder / "masks" / "tissue.nii.gz"
    if not all(path.is_file() for path in paths.values()):
        return None
    found = {
        name: np.asarray(results.read_on_grid(path, f"{name} mask", maps.shape, maps.affine) > 0) for name, path in paths.items()
    }
    return SimpleNamespace(**found, side=_side(folder), midplane=None)


def _side(folder: Path) -> str | None:
    try:
        side = json.loads((folder / "metrics.json").read_text(encoding="utf-8")).get("affected_side")
    except (OSError, ValueError, AttributeError):
        return None
    return side if isinstance(side, str) else None


def read_truth(folder: Path) -> Any:
    """Read the truth of a digital patient.

    Parameters
    ----------
    folder : Path
        As ``phantom`` writes it: ``truth.json``, maps, ``fraction_*``, ``mask_*`` and curves.

    Returns
    -------
    object
        With the attributes that `evaluation.score_study` reads.

    Raises
    ------
    InvalidInputError
        If a file is missing or damaged.
    """
    try:
        facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        with (folder / "curves.csv").open(encoding="utf-8", newline="") as stream:
            curves = _columns(stream)
        about = {
            "affine": np.array(facts["affine"], float),
            "side": facts["side"],
            "midplane": np.array(facts["midplane"], float),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"The truth in '{folder}' cannot be read ({error}). Give a folder that 'perfusion-suite phantom' has written."
        raise InvalidInputError(msg) from error
    maps = {key: results.read_volume(folder / f"{key}.nii.gz")[0] for key in _MAPS if (folder / f"{key}.nii.gz").is_file()}
    return SimpleNamespace(
        maps=maps,
        masks={name: values > 0 for name, values in _volumes(folder, "mask_").items()},
        fractions=_volumes(folder, "fraction_"),
        times_s=curves["time_s"],
        aif=curves["aif"],
        vof=curves["vof"],
        **about,
    )


def _columns(stream: Any) -> dict[str, Any]:
    rows = list(csv.DictReader(stream))
    return {key: np.array([float(row[key]) for row in rows]) for key in ("time_s", "aif", "vof")}


def _volumes(folder: Path, prefix: str) -> dict[str, Any]:
    paths = sorted(folder.glob(f"{prefix}*.nii.gz"))
    return {path.name.removeprefix(prefix).removesuffix(".nii.gz"): results.read_volume(path)[0] for path in paths}


def read_reference(folder: Path) -> Any:
    """Read the maps of another software, or of another run, as the truth to compare with.

    Parameters
    ----------
    folder : Path
        Maps and, when there are, masks named as ``run`` names them.

    Returns
    -------
    object
        With the attributes that `evaluation.score_study` reads; lesions only when their masks exist.

    Raises
    ------
    InvalidInputError
        If there are no maps.
    """
    maps = results.read_finished_maps(folder).maps
    found: dict[str, BoolArray] = {}
    for name, stem in {**{lesion_name: f"{lesion_name}_mask" for lesion_name in _LESIONS}, "brain": "brain"}.items():
        path = folder / "masks" / f"{stem}.nii.gz"
        if path.is_file():
            found[name] = np.asarray(results.read_on_grid(path, f"{name} mask", maps.shape, maps.affine) > 0)
    return SimpleNamespace(
        maps={key: maps[key].values for key in _MAPS if key in maps},
        masks=found,
        fractions={},
        affine=maps.affine,
        side=_side(folder),
    )
