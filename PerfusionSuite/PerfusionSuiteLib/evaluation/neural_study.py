# SPDX-License-Identifier: Apache-2.0
"""The comparison of fits on phantoms: every method under every condition, measured against the truth.

Phantoms come from the caller (this room does not know how they are made). Rows are written as they are made, so that the
same call goes on where it was stopped, and a method that fails leaves a row that says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import CancelledError, InvalidInputError
from ..core.files import written_beside
from ..core.progress import ProgressCallback, no_progress, part_of
from .neural_estimate import MAPS, Estimator, estimate
from .neural_scan import FACTORS, FieldCondition, FieldScan, make_scan
from .neural_scores import score
from .row_file import FAILED, append_rows, code_fingerprint, read_rows, refuse_other_code

ROWS, FOLDER, TRUTH = "rows.csv", "slices", "truth"
COLUMNS = ("condition", *FACTORS, "seed", "method", "subject", "region", "measure", "value", "unit", "code")

MakePhantom = Callable[[FieldCondition, int, ProgressCallback], tuple[Any, Any]]
"""Takes a condition, a seed and progress; gives a series and its truth."""


@dataclass(frozen=True, slots=True)
class FieldDesign:
    """What is compared.

    Parameters
    ----------
    conditions : sequence of FieldCondition
        Phantoms and how they are scanned.
    seeds : sequence of int
        Anatomies, or noise of the tiles.
    estimators : sequence of Estimator
        Methods.
    device : str
        For methods that can use a GPU.
    """

    conditions: Sequence[FieldCondition]
    seeds: Sequence[int]
    estimators: Sequence[Estimator]
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.conditions or not self.seeds or not self.estimators:
            msg = "A comparison needs at least one condition, one seed and one method."
            raise InvalidInputError(msg)
        names = [how.name for how in self.estimators]
        if len(set(names)) < len(names):
            msg = f"The methods {', '.join(names)} contain one twice. Name each once."
            raise InvalidInputError(msg)


def run_field_study(
    design: FieldDesign,
    out: Path,
    *,
    make_phantom: MakePhantom,
    any_code: bool = False,
    progress: ProgressCallback | None = None,
) -> list[dict[str, Any]]:
    """Make all rows that are missing in ``rows.csv`` and return those of the design.

    Parameters
    ----------
    design : FieldDesign
        What is compared.
    out : Path
        Folder; rows that are there already are not made again, but a method that failed is tried again.
    make_phantom : callable
        How phantoms are made.
    any_code : bool
        Go on with rows that other versions of the code have made.
    progress : callable, optional
        Progress and cancelling, which keeps the rows that are finished.

    Returns
    -------
    list of dict
        Rows with the keys `COLUMNS`.

    Raises
    ------
    InvalidInputError
        If the folder holds rows of other code, or cannot be written to.
    CancelledError
        If the user asked to stop.
    """
    report = progress or no_progress
    rows = read_rows(out / ROWS, COLUMNS)
    refuse_other_code(rows, out, any_code=any_code)
    done = {_place(row) for row in rows if row["subject"] != FAILED}
    places = [(condition, seed) for condition in design.conditions for seed in design.seeds]
    for number, (condition, seed) in enumerate(places):
        missing = [how for how in design.estimators if (condition.name, seed, how.name) not in done]
        share = part_of(report, number / len(places), (number + 1) / len(places))
        if missing:
            _work(condition, seed, missing, design, out, make_phantom, share)
    report(1.0, "All methods have been measured")
    return rows_of(design, out)


def rows_of(design: FieldDesign, out: Path) -> list[dict[str, Any]]:
    """Read the rows of a design.

    Parameters
    ----------
    design : FieldDesign
        What is compared.
    out : Path
        Its folder.

    Returns
    -------
    list of dict
        Without those of other designs that share the folder, and without failures that a later attempt has overcome.
    """
    names = {condition.name for condition in design.conditions}
    methods = {how.name for how in design.estimators}
    rows = read_rows(out / ROWS, COLUMNS)
    ours = [row for row in rows if row["condition"] in names and row["seed"] in design.seeds and row["method"] in methods]
    measured = {_place(row) for row in ours if row["subject"] != FAILED}
    failed = {_place(row): row for row in ours if row["subject"] == FAILED and _place(row) not in measured}
    return [row for row in ours if row["subject"] != FAILED] + list(failed.values())


def _place(row: dict[str, Any]) -> tuple[str, int, str]:
    return row["condition"], row["seed"], row["method"]


def _work(
    condition: FieldCondition,
    seed: int,
    missing: Sequence[Estimator],
    design: FieldDesign,
    out: Path,
    make_phantom: MakePhantom,
    progress: ProgressCallback,
) -> None:
    """Make one phantom and measure the methods that are missing."""
    where = f"{condition.name}, seed {seed}"
    series, truth = make_phantom(condition, seed, _named(part_of(progress, 0.0, 0.2), f"{where}: phantom"))
    scan = make_scan(series, truth, condition)
    del series
    kept = seed == design.seeds[0]
    if kept:
        keep_slice(out, condition, TRUTH, scan.truth, scan)
    for number, how in enumerate(missing):
        start, end = (0.2 + 0.8 * at / len(missing) for at in (number, number + 1))
        facts = {
            "condition": condition.name,
            **condition.as_columns(),
            "seed": seed,
            "method": how.name,
            "code": code_fingerprint(),
        }
        steps = _named(part_of(progress, start, end), f"{where}: {how.name}")
        try:
            found = estimate(how, scan, device=design.device, progress=steps)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever befalls one method, the others are measured
            failed = {"subject": FAILED, "region": str(error)[:200], "measure": type(error).__name__, "value": 1.0, "unit": "1"}
            append_rows(out / ROWS, [{**facts, **failed}], COLUMNS)
            continue
        if kept:
            keep_slice(out, condition, how.name, found.maps, scan)
        append_rows(out / ROWS, [{**facts, **row} for row in score(found, scan)], COLUMNS)


def _named(progress: ProgressCallback, name: str) -> ProgressCallback:
    def step(fraction: float, stage: str) -> None:
        progress(fraction, name)

    return step


def keep_slice(out: Path, condition: FieldCondition, name: str, maps: Any, scan: FieldScan) -> Path:
    """Keep one slice of maps for pictures.

    Parameters
    ----------
    out : Path
        Folder of the comparison.
    condition : FieldCondition
        Whose.
    name : str
        Method, or `TRUTH`.
    maps : mapping of str to ndarray
        The maps.
    scan : FieldScan
        The phantom; the slice is the one with the largest core, else with the largest lesion.

    Returns
    -------
    Path
        The file.
    """
    at = shown_slice(scan)
    content: dict[str, NDArray[Any]] = {key: np.asarray(maps[key][:, :, at], np.float32) for key in MAPS if key in maps}
    content["mask"] = scan.masks["scored"][:, :, at]
    path = slice_path(out, condition, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **content)
    return path


def shown_slice(scan: FieldScan) -> int:
    """Return the slice that pictures show.

    Parameters
    ----------
    scan : FieldScan
        The phantom.

    Returns
    -------
    int
        Largest core, then largest lesion; of equal ones (tiles) the last but one, which has the blood volume of the publication.
    """
    for name in ("core", "hypoperfusion", "scored"):
        area = (scan.masks[name] & scan.masks["scored"]).sum(axis=(0, 1))
        best = np.flatnonzero(area == area.max())
        if area.max() > 0:
            return int(best[-2] if best.size > 1 else best[0])
    return 0


def slice_path(out: Path, condition: FieldCondition, name: str) -> Path:
    """Return where the slice of a method is kept.

    Parameters
    ----------
    out : Path
        Folder of the comparison.
    condition : FieldCondition
        Which.
    name : str
        Method, or `TRUTH`.

    Returns
    -------
    Path
        A compressed numpy archive.
    """
    return out / FOLDER / f"{condition.slug}-{re.sub('[^A-Za-z0-9.]+', '-', name).strip('-')}.npz"


def read_slice(out: Path, condition: FieldCondition, name: str) -> dict[str, NDArray[Any]] | None:
    """Read a slice that was kept.

    Parameters
    ----------
    out, condition, name
        As for `slice_path`.

    Returns
    -------
    dict of ndarray or None
        Maps and ``mask``; None when there is none.
    """
    path = slice_path(out, condition, name)
    if not path.is_file():
        return None
    with np.load(path) as stored:
        return dict(stored)
