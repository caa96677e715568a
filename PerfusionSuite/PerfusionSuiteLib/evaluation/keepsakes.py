# SPDX-License-Identifier: Apache-2.0
"""What pictures of a study need beyond its table: histograms of true and estimated values, and the maps of example patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.files import written_beside
from ..core.quantities import QUANTITIES
from .head_pose import seen_truth

FOLDER = "cases"
BINS = 60
HISTOGRAMS = {"cbf": QUANTITIES["cbf"].display_range, "tmax": (-2.0, 16.0)}
"""Window of the histograms by map."""

EXAMPLE_MAPS = ("cbf", "cbv", "mtt", "tmax")
_GOOD_HYPOPERFUSION_ML, _GOOD_CORE_ML = 10.0, 5.0


def keep_case(out: Path, seed: int, method: str, study: Any, truth: Any) -> None:
    """Keep the histograms of an analysis, and its maps while no better example is there.

    Parameters
    ----------
    out : Path
        Folder of the study; ``cases/`` is made in it.
    seed : int
        The patient.
    method : str
        How the maps were made.
    study, truth
        As for `patient_rows`.
    """
    truth = seen_truth(study, truth)
    counted = np.asarray(truth.masks["scored"], bool) & np.asarray(study.masks.brain, bool)
    content = {key: histogram(study.maps[key].values, truth.maps[key], counted, key) for key in HISTOGRAMS}
    _save(out / FOLDER / f"histogram-{seed}-{method}.npz", content)
    if example_seed(out) in (None, seed) or (_is_good(truth.volumes_ml) and not _good_examples(out)):
        _save(out / FOLDER / f"maps-{seed}-{method}.npz", _maps(study))
        _save(out / FOLDER / f"maps-{seed}-truth.npz", _truth(study, truth))


def histogram(estimate: NDArray[Any], known: Any, counted: NDArray[np.bool_], key: str) -> NDArray[np.int32]:
    """Count voxels by true and estimated value; what lies outside of the window counts at its edge.

    Parameters
    ----------
    estimate, known : ndarray, shape (I, J, K)
        Maps.
    counted : ndarray of bool, shape (I, J, K)
        Voxels that count.
    key : str
        A key of `HISTOGRAMS`.

    Returns
    -------
    ndarray of int, shape (BINS, BINS)
        First axis: truth.
    """
    truth = np.asarray(known)
    valid = counted & np.isfinite(estimate) & np.isfinite(truth)
    low, high = HISTOGRAMS[key]
    edges = np.linspace(low, high, BINS + 1)
    true, estimated = (np.clip(values[valid], low, high) for values in (truth, np.asarray(estimate)))
    counts: NDArray[np.int32] = np.histogram2d(true, estimated, bins=(edges, edges))[0].astype(np.int32)
    return counts


def read_histograms(out: Path, seeds: Any, method: str) -> dict[str, NDArray[np.int64]]:
    """Add up the histograms of patients.

    Parameters
    ----------
    out : Path
        Folder of the study.
    seeds : iterable of int
        Patients.
    method : str
        Which maps.

    Returns
    -------
    dict of str to ndarray of int, shape (BINS, BINS)
        By the key of the map; empty when none was kept.
    """
    total: dict[str, NDArray[np.int64]] = {}
    for seed in seeds:
        path = out / FOLDER / f"histogram-{seed}-{method}.npz"
        if path.is_file():
            with np.load(path) as stored:
                total = {key: total.get(key, np.int64(0)) + stored[key].astype(np.int64) for key in HISTOGRAMS}
    return total


@dataclass(frozen=True, slots=True)
class Example:
    """An example patient: the truth and what each method made of it.

    Parameters
    ----------
    seed : int
        The patient.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    truth : mapping of str to ndarray
        Maps and masks ``brain hypoperfusion core``.
    methods : mapping of str to mapping
        The same of each method.
    """

    seed: int
    affine: NDArray[np.float64]
    truth: dict[str, NDArray[Any]]
    methods: dict[str, dict[str, NDArray[Any]]]


def read_example(out: Path, seeds: Any, methods: Any) -> Example | None:
    """Read the example patient.

    Parameters
    ----------
    out : Path
        Folder of the study.
    seeds : iterable of int
        Patients of the study.
    methods : iterable of str
        Which methods, in order.

    Returns
    -------
    Example or None
        None when none of these patients was kept.
    """
    kept = [seed for seed in _good_examples(out) or _examples(out) if seed in set(seeds)]
    if not kept:
        return None
    seed = kept[0]
    with np.load(out / FOLDER / f"maps-{seed}-truth.npz") as stored:
        truth = dict(stored)
    found = {}
    for method in methods:
        path = out / FOLDER / f"maps-{seed}-{method}.npz"
        if path.is_file():
            with np.load(path) as stored:
                found[method] = dict(stored)
    return Example(seed, truth.pop("affine").astype(float), truth, found)


def example_seed(out: Path) -> int | None:
    """Return the patient whose maps are kept as an example.

    Parameters
    ----------
    out : Path
        Folder of the study.

    Returns
    -------
    int or None
        One with a lesion if there is one.
    """
    kept = _good_examples(out) or _examples(out)
    return kept[0] if kept else None


def _examples(out: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in (out / FOLDER).glob("maps-*-truth.npz"))


def _good_examples(out: Path) -> list[int]:
    good = []
    for seed in _examples(out):
        with np.load(out / FOLDER / f"maps-{seed}-truth.npz") as stored:
            if bool(stored["good"]):
                good.append(seed)
    return good


def _is_good(volumes_ml: Any) -> bool:
    return bool(volumes_ml["hypoperfusion"] >= _GOOD_HYPOPERFUSION_ML and volumes_ml["core"] >= _GOOD_CORE_ML)


def _maps(study: Any) -> dict[str, NDArray[Any]]:
    lesions = {name: np.asarray(getattr(study.lesions, name), bool) for name in ("hypoperfusion", "core")}
    return {key: study.maps[key].values.astype(np.float32) for key in EXAMPLE_MAPS} | lesions


def _truth(study: Any, truth: Any) -> dict[str, NDArray[Any]]:
    masks = {name: np.asarray(truth.masks[name], bool) for name in ("brain", "hypoperfusion", "core")}
    maps = {key: np.asarray(truth.maps[key], np.float32) for key in EXAMPLE_MAPS}
    about = {"affine": np.asarray(truth.affine), "good": np.array(_is_good(truth.volumes_ml))}
    return maps | masks | about | {"baseline": study.concentration.baseline}


def _save(path: Path, content: dict[str, NDArray[Any]]) -> None:
    with written_beside(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **content)
