# SPDX-License-Identifier: Apache-2.0
"""The systematic study on digital patients: every method under every condition, measured against the truth.

Patients and analyses come from the caller (this room knows neither the phantom nor the chain), numbers go to a table that grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import CancelledError, InvalidInputError, PerfusionError
from ..core.progress import ProgressCallback, no_progress, part_of
from .conditions import Condition
from .keepsakes import keep_case
from .patient_rows import patient_rows, residue_class
from .row_file import FAILED, append_rows, code_fingerprint, read_rows, refuse_other_code

ROWS = "rows.csv"

MakePatient = Callable[[Condition, int, ProgressCallback], tuple[Any, Any]]
"""Takes condition, seed and progress; gives a series and its truth."""

Analyze = Callable[[Any, str, str, Any, ProgressCallback], Any]
"""Takes a series, noise reduction (empty: the default one), method, an earlier study of the same series (or None) whose
preparation is used again, and progress; gives a study."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is studied.

    Parameters
    ----------
    conditions : sequence of Condition
        The first one is the reference.
    seeds : sequence of int
        Patients.
    methods : sequence of str
        Methods; the first one is the default method.
    """

    conditions: Sequence[Condition]
    seeds: Sequence[int]
    methods: Sequence[str]

    def __post_init__(self) -> None:
        if not self.conditions or not self.seeds or not self.methods:
            msg = "A study needs at least one condition, one patient and one method."
            raise InvalidInputError(msg)

    @property
    def base(self) -> Condition:
        """The reference condition."""
        return self.conditions[0]


@dataclass(frozen=True, slots=True)
class _Job:
    """All analyses of one scan that are still to be made."""

    scan: Condition
    seed: int
    wanted: tuple[tuple[Condition, str], ...]


def run_study(
    design: Design,
    out: Path,
    *,
    make_patient: MakePatient,
    analyze: Analyze,
    any_code: bool = False,
    progress: ProgressCallback | None = None,
) -> list[dict[str, Any]]:
    """Make all rows that are missing in ``rows.csv`` and return all of them.

    Parameters
    ----------
    design : Design
        What is studied.
    out : Path
        Folder of the study; rows that are there already are not made again.
    make_patient, analyze : callable
        How patients are made and analyzed.
    any_code : bool
        Go on with rows that other versions of the code have made.
    progress : callable, optional
        Called between steps; may raise `CancelledError`, which keeps the rows that are finished.

    Returns
    -------
    list of dict
        Rows of ``rows.csv``, those of other designs included.

    Raises
    ------
    InvalidInputError
        If the folder holds rows of other code, or cannot be written to.
    CancelledError
        If the user asked to stop.
    """
    report = progress or no_progress
    jobs = _missing(design, out, any_code=any_code)
    for number, job in enumerate(jobs):
        _work(job, design, out, make_patient, analyze, part_of(report, number / len(jobs), (number + 1) / len(jobs)))
    report(1.0, "All patients are analyzed")
    return read_rows(out / ROWS)


def _missing(design: Design, out: Path, *, any_code: bool) -> list[_Job]:
    rows = read_rows(out / ROWS)
    refuse_other_code(rows, out, any_code=any_code)
    done = {(row["condition"], row["seed"], row["method"]) for row in rows}
    scans = list(dict.fromkeys(condition.same_scan() for condition in design.conditions))
    jobs = []
    for scan in scans:
        conditions = [condition for condition in design.conditions if condition.same_scan() == scan]
        for seed in design.seeds:
            pairs = ((condition, method) for condition in conditions for method in design.methods)
            if wanted := tuple(pair for pair in pairs if (pair[0].name, seed, pair[1]) not in done):
                jobs.append(_Job(scan, seed, wanted))
    return jobs


def _work(job: _Job, design: Design, out: Path, make_patient: MakePatient, analyze: Analyze, progress: ProgressCallback) -> None:
    """Make one patient and all analyses of the scan that are missing; each is written when it is done."""
    where = f"{job.scan.name}, seed {job.seed}"
    series, truth = make_patient(job.scan, job.seed, _named(part_of(progress, 0.0, 0.4), f"{where}: patient"))
    drawn = {"drawn_site": str(truth.parameters["lesion"]["site"]), "drawn_residue": residue_class(truth)}
    earlier = None
    for number, (condition, method) in enumerate(job.wanted):
        start, end = (0.4 + 0.6 * at / len(job.wanted) for at in (number, number + 1))
        steps = _named(part_of(progress, start, end), f"{where}: {method}")
        facts = {"condition": condition.name, **condition.as_columns(), "seed": job.seed, **drawn, "method": method}
        facts["code"] = code_fingerprint()
        try:
            study = analyze(series, condition.noise_reduction, method, earlier, steps)
        except CancelledError:
            raise
        except PerfusionError as error:  # a patient that cannot be analyzed is a result
            append_rows(out / ROWS, [{**facts, "subject": FAILED, "measure": type(error).__name__, "value": 1.0, "unit": "1"}])
            continue
        earlier = earlier or study
        if condition == design.base:
            keep_case(out, job.seed, method, study, truth)
        append_rows(out / ROWS, [{**facts, **row} for row in patient_rows(study, truth)])


def _named(progress: ProgressCallback, name: str) -> ProgressCallback:
    def step(fraction: float, stage: str) -> None:
        progress(fraction, name)

    return step
