# SPDX-License-Identifier: Apache-2.0
"""What ``run`` offers for methods that fit for minutes: their options, losses as events, and going on after an interruption."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core import CancelledError
from ..core.findings import Severity
from ..core.watch import Preview
from .console import ConsoleProgress

CHECKPOINT = ".checkpoint"
"""Folder inside the output folder."""


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Parameters
    ----------
    parser : ArgumentParser
        Of a command that fits.
    """
    parser.add_argument("--device", help="auto (default), cpu or cuda[:n], for methods that can use a GPU")
    parser.add_argument(
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="option of the method, such as steps=500 (may be repeated; 'methods --options' lists them)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with a fit that was interrupted on its way to OUT")


@contextmanager
def watched_fit(console: ConsoleProgress, output: Path, *, resume: bool) -> Iterator[ConsoleWatch]:
    """Look on while a run fits; what an interrupted fit reached stays in the output folder, and goes when the run succeeds.

    Parameters
    ----------
    console : ConsoleProgress
        Where to tell.
    output : Path
        Folder of the results.
    resume : bool
        Go on with what an interrupted run left; otherwise that is removed.

    Yields
    ------
    ConsoleWatch
        For `pipeline.run`.
    """
    folder = output / CHECKPOINT
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    elif not _has_files(folder):
        console.message(f"There is no interrupted fit in '{output}'; starting from the beginning.")
    try:
        yield ConsoleWatch(console, folder)
    except (CancelledError, KeyboardInterrupt):
        if _has_files(folder):
            console.message("What the fit had reached is kept: run the same command with --resume to go on.")
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


class ConsoleWatch:
    """Tells on the console how a fit goes.

    Parameters
    ----------
    console : ConsoleProgress
        Where to tell.
    checkpoint : Path
        Folder for what an interrupted fit goes on from.
    """

    def __init__(self, console: ConsoleProgress, checkpoint: Path) -> None:
        self._console = console
        self.checkpoint: Path | None = checkpoint

    def loss(self, step: int, steps: int, parts: Mapping[str, float]) -> None:
        """Tell the losses of a step, as an event."""
        self._console.loss(int(step), int(steps), {key: float(value) for key, value in parts.items()})

    def preview(self, make: Preview) -> None:
        """Want no preview: a terminal shows none."""

    def note(self, code: str, message: str, advice: str = "", severity: Severity = "warning", **facts: Any) -> None:
        """Tell a warning at once; the summary and the report say it again."""
        if severity != "info":
            self._console.message(f"  {message} {advice}".rstrip())
