# SPDX-License-Identifier: Apache-2.0
"""How the front end of a job looks on while a fit runs in its worker: losses, previews that were asked for, notes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..core import InvalidInputError, QualityFinding
from ..core.files import written_beside
from ..core.findings import Severity
from ..core.watch import Preview
from .report import Report

LOSS_S = 0.25
"""Losses are said no more often than this; the whole record comes with the result."""

PREVIEW_S = 2.0
PREVIEW_SHARE = 0.1
"""Previews come no more often than this, and take no more than this share of the time."""


class JobWatch:
    """Says what a fit tells as events of its job, and keeps its checkpoint in the job's folder.

    A preview is made while the job's folder holds the file ``preview`` with the names of the maps that are wanted
    (see `Job.ask_preview`); each is then written as ``preview-NAME.npy``.

    Parameters
    ----------
    report : Report
        Says the events.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._folder = report.folder
        self._last_loss = -LOSS_S
        self._next_preview = 0.0
        self.checkpoint: Path | None = report.folder.checkpoint_folder

    def loss(self, step: int, steps: int, parts: Mapping[str, float]) -> None:
        """Say the losses of a step, unless others were said a moment ago."""
        self._report.be_patient()
        now = time.perf_counter()
        if step < steps and now - self._last_loss < LOSS_S:
            return
        self._last_loss = now
        self._report.emit("loss", step=int(step), steps=int(steps), parts={key: float(value) for key, value in parts.items()})

    def preview(self, make: Preview) -> None:
        """Write the maps that somebody asked for, when it is time."""
        now = time.perf_counter()
        if now < self._next_preview:
            return
        wanted = self._wanted()
        if not wanted:
            return
        maps = make()
        files = {key: f"preview-{key}.npy" for key in wanted if key in maps}
        written = {}
        for key, file in files.items():
            # A front end that reads the last one (Windows) or a full disk must not end the fit.
            with suppress(InvalidInputError), written_beside(self._folder.path / file) as place, place.open("wb") as stream:
                np.save(stream, np.asarray(maps[key], np.float32), allow_pickle=False)
                written[key] = file
        took = time.perf_counter() - now
        self._next_preview = time.perf_counter() + max(PREVIEW_S, took / PREVIEW_SHARE)
        if written:
            self._report.emit("preview", maps=written)

    def note(self, code: str, message: str, advice: str = "", severity: Severity = "warning", **facts: Any) -> None:
        """Say something that the user should know now; it comes with the results as well."""
        self._report.finding(QualityFinding(code, severity, message, advice))

    def _wanted(self) -> list[str]:
        try:
            return self._folder.preview_file.read_text(encoding="utf-8").split()
        except OSError:
            return []
