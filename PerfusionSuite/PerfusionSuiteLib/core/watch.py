# SPDX-License-Identifier: Apache-2.0
"""How a long fit lets others look on, and where it keeps what it needs to go on after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .findings import QualityFinding, Severity

Preview = Callable[[], Mapping[str, NDArray[np.float32]]]


class FitWatch(Protocol):
    """Somebody who looks on while a fit runs; every call is cheap and may be ignored."""

    @property
    def checkpoint(self) -> Path | None:
        """Folder for what a later fit can go on from; None when nothing shall be kept."""

    def loss(self, step: int, steps: int, parts: Mapping[str, float]) -> None:
        """Take the losses of a step.

        Parameters
        ----------
        step, steps : int
            Step that is done, and how many there are.
        parts : mapping of str to float
            The total as ``loss``, and its parts.
        """

    def preview(self, make: Preview) -> None:
        """Take maps of the present state; `make` is only called when somebody wants to see them now.

        Parameters
        ----------
        make : callable
            Returns maps by quantity, shape (I, J, K).
        """

    def note(self, code: str, message: str, advice: str = "", severity: Severity = "warning", **facts: Any) -> None:
        """Take something that the user should know, such as that a fit went on with smaller batches.

        Parameters
        ----------
        code : str
            Short name.
        message, advice : str
            One sentence each.
        severity : {"info", "warning"}
            Of the finding that it becomes.
        **facts
            Numbers behind it.
        """


class NoWatch:
    """Nobody looks on."""

    checkpoint: Path | None = None

    def loss(self, step: int, steps: int, parts: Mapping[str, float]) -> None:
        """Ignore the losses."""

    def preview(self, make: Preview) -> None:
        """Want no preview."""

    def note(self, code: str, message: str, advice: str = "", severity: Severity = "warning", **facts: Any) -> None:
        """Ignore the note."""


class NoteKeeper:
    """Passes everything on and keeps the notes as findings.

    Parameters
    ----------
    watch : FitWatch
        Who looks on.
    """

    def __init__(self, watch: FitWatch) -> None:
        self._watch = watch
        self.checkpoint: Path | None = watch.checkpoint
        self.loss = watch.loss
        self.preview = watch.preview
        self.findings: tuple[QualityFinding, ...] = ()

    def note(self, code: str, message: str, advice: str = "", severity: Severity = "warning", **facts: Any) -> None:
        """Keep a note as a finding and pass it on."""
        self.findings = (*self.findings, QualityFinding(code, severity, message, advice))
        self._watch.note(code, message, advice, severity, **facts)
