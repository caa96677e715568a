# SPDX-License-Identifier: Apache-2.0
"""Runs many cases, each in a process of its own: what is done is not done again, and a bad case does not stop the rest."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from .. import __version__
from ..core.failures import UNEXPECTED
from ..core.files import remove_leftovers, write_json, write_text
from ..core.progress import ProgressCallback
from ..jobs.launch import worker_python_path
from ..results.privacy import without_identifiers
from .cases import Case

STATES = ".cohort"
"""Folder below the results that remembers how each case went."""

DONE, FAILED = "done", "failed"
_SAID = "perfusion-suite: "
_POLL_S, _PATIENCE_S = 0.1, 10.0
_KILLED = -9
_SHORTEST_NAME = 4
_QUOTED_FILE = re.compile(r"'[^'\n]*(\.nii\.gz|\.nii|\.nrrd|\.nhdr|\.json|\.dcm)'", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CaseState:
    """How a case went.

    Parameters
    ----------
    case : str
        Its name.
    state : {"done", "failed"}
        Whether it has results.
    key : str
        Stands for input files, words of the command and program version; results of another key are made anew.
    code : int
        Exit code of its run.
    sentence : str
        Why it failed.
    seconds : float, s
        How long it took.
    """

    case: str
    state: str
    key: str
    code: int = 0
    sentence: str = ""
    seconds: float = 0.0


def states_in(out: Path) -> dict[str, CaseState]:
    """Read how the cases of a folder of results went.

    Parameters
    ----------
    out : Path
        Folder of results.

    Returns
    -------
    dict of str to CaseState
        By name; files that cannot be read are passed over.
    """
    found = {}
    for path in sorted((out / STATES).glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            state = CaseState(**json.loads(path.read_text(encoding="utf-8")))
            found[state.case] = state
    return found


def key_of(case: Case, words: Sequence[str]) -> str:
    """Return what results of a case depend on: its files, and those of the command, by size and time, the command, the version.

    Parameters
    ----------
    case : Case
        The case.
    words : sequence of str
        Options of ``run``.

    Returns
    -------
    str
        A short text.
    """
    place = case.path if case.path.is_dir() else case.path.parent
    if case.path.is_dir():
        around = place.rglob("*")
    elif case.path.name.startswith("sub-"):
        around = place.glob("*")  # a scan in BIDS has its sidecars, and its M0, beside it
    else:
        around = place.glob(f"{glob.escape(case.name)}.*")  # other files are other cases
    facts = []
    for path in sorted(item for item in around if item.is_file()):
        status = path.stat()
        facts.append((path.relative_to(place).as_posix(), status.st_size, status.st_mtime_ns))
    named = [_facts_of(word) for word in words]  # --config FILE: another content gives other results
    return hashlib.sha256(json.dumps([facts, case.path.name, list(words), named, __version__]).encode()).hexdigest()[:24]


def _facts_of(word: str) -> tuple[int, int] | None:
    """Size and time of the file that a word of a command names; None where it names none."""
    with suppress(OSError):
        status = Path(word.rpartition("=")[2]).stat()
        return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
    return None


def run_cases(
    cases: Sequence[Case],
    out: Path,
    words: Sequence[str],
    *,
    workers: int = 1,
    again: bool = False,
    told: Callable[[CaseState], None],
    progress: ProgressCallback,
) -> list[CaseState]:
    """Run the cases that have no results of these files and words yet.

    Parameters
    ----------
    cases : sequence of Case
        What to run.
    out : Path
        Each case gets a folder of its name in it.
    words : sequence of str
        Options of ``run`` for all of them.
    workers : int
        Processes at a time.
    again : bool
        Also run cases that are done.
    told : callable
        Called with each case as it ends.
    progress : callable
        Called while cases run; may raise `CancelledError`, which ends them.

    Returns
    -------
    list of CaseState
        In the order of `cases`, those that were done before included.
    """
    before = states_in(out)
    keys = {case.name: key_of(case, words) for case in cases}
    finished = {
        case.name: before[case.name]
        for case in cases
        if not again and case.name in before and _still_good(before[case.name], keys[case.name], out)
    }
    waiting = [case for case in cases if case.name not in finished]
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < max(workers, 1):
                case = waiting.pop(0)
                running.append(_Running(case, keys[case.name], out, words))
            time.sleep(_POLL_S)
            for done in [item for item in running if item.ended]:
                running.remove(done)
                state = done.state()
                write_json(out / STATES / f"{state.case}.json", asdict(state))
                finished[state.case] = state
                told(state)
            progress(len(finished) / max(len(cases), 1), f"Case {min(len(finished) + 1, len(cases))} of {len(cases)}")
    finally:
        for item in running:
            item.stop()
    return [finished[case.name] for case in cases]


def _still_good(state: CaseState, key: str, out: Path) -> bool:
    return state.state == DONE and state.key == key and any(_metrics(out / state.case))


def _metrics(folder: Path) -> Iterator[Path]:
    yield from folder.glob("metrics.json")
    yield from folder.rglob("*_desc-metrics_perf.json")


class _Running:
    """One case that is being run."""

    def __init__(self, case: Case, key: str, out: Path, words: Sequence[str]) -> None:
        self._case, self._key = case, key
        self._start = time.perf_counter()
        (out / STATES).mkdir(parents=True, exist_ok=True)
        remove_leftovers(out / case.name)
        self._log = out / STATES / f"{case.name}.log"
        self._stream: IO[bytes] = self._log.open("wb")
        place = str(case.path.absolute())  # sentences about it are then known for a path, and hidden
        command = [sys.executable, "-P", "-m", "PerfusionSuiteLib.cli.tied", "run", place, str(out / case.name), *words]
        command += ["--case-id", case.name] if case.scan else []
        path = worker_python_path(os.environ.get("PYTHONPATH"))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._stream, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    @property
    def ended(self) -> bool:
        """Whether its process is over."""
        return self._process.poll() is not None

    def state(self) -> CaseState:
        """How it went, once it is over."""
        text = self._close()
        code = int(self._process.returncode)
        seconds = round(time.perf_counter() - self._start, 1)
        if code == 0:
            return CaseState(self._case.name, DONE, self._key, 0, "", seconds)
        said = [line.removeprefix(_SAID) for line in text.splitlines() if line.startswith(_SAID)]
        sentence = said[-1] if said else _silent_end(code)
        return CaseState(self._case.name, FAILED, self._key, code if code > 0 else UNEXPECTED, sentence, seconds)

    def _close(self) -> str:
        """Close what it said, take identifiers out of it, and return it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._stream.close()
        text = self._log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
        clean = _without_scan(str(without_identifiers(text)), self._case)
        if clean != text:
            write_text(self._log, clean)
        return clean

    def stop(self) -> None:
        """End it: politely, then at once."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()


def _without_scan(text: str, case: Case) -> str:
    """Replace what a numbered case is called where it lies, and names of files; short names, which may be any word, in quotes."""
    if not case.scan:
        return text
    text = _QUOTED_FILE.sub(r"(file \1)", text)
    for word in (case.path.name, case.scan):
        plain = rf"(?<!\w){re.escape(word)}(?!\w)"
        text = re.sub(plain if len(word) >= _SHORTEST_NAME else f"(?<=['\"]){re.escape(word)}(?=['\"])", case.name, text)
    return text


def _silent_end(code: int) -> str:
    """Say why a process left no sentence."""
    if code == _KILLED:
        return "The system ended the run, most likely for want of memory. Run fewer scans at a time (--workers)."
    return f"The run ended with code {code} without a word."
