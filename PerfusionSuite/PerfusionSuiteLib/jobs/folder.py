# SPDX-License-Identifier: Apache-2.0
"""The folder that a job lives in: what it shall do, what it said, and what came out.

job.json, job-*.npy     the job and its data
events.jsonl            what the worker said, one JSON object per line
cancel                  made by whoever wants the job to stop
preview                 names of the maps that somebody wants to see while the job runs; preview-*.npy are these
checkpoint/             what an interrupted fit goes on from
field.safetensors       what a fit learned; field.txt the same for a scene
result/                 the result: complete or absent
status.json             how it ended; written last
worker.log              traceback of an error
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from ..core import InvalidInputError
from ..core.files import staged_folder, write_json
from .spec import JobSpec
from .storage import KnownArrays, elsewhere, load_inputs, load_value, save_value

_RESULT = "result.json"


class JobFolder:
    """A job's folder.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path).absolute()
        self.job_file = self.path / "job.json"
        self.events_file = self.path / "events.jsonl"
        self.cancel_file = self.path / "cancel"
        self.preview_file = self.path / "preview"
        self.checkpoint_folder = self.path / "checkpoint"
        self.field_file = self.path / "field.safetensors"
        self.field_text = self.path / "field.txt"
        self.result_folder = self.path / "result"
        self.status_file = self.path / "status.json"
        self.log_file = self.path / "worker.log"
        self._temporary_file = self.path / "temporary"
        self._inputs: Any = None
        self._on_disk: KnownArrays = {}
        self._cleanup: weakref.finalize[Any, Any] | None = None

    @classmethod
    def create(cls, spec: JobSpec, *, path: Path | None = None, parent: Path | None = None) -> JobFolder:
        """Make a folder for a job and write the job with its data into it.

        Parameters
        ----------
        spec : JobSpec
            The job.
        path : Path, optional
            Where; the folder is kept. By default a temporary folder, gone with the object that is returned.
        parent : Path, optional
            Where temporary folders are made.

        Returns
        -------
        JobFolder
            The folder, ready for a worker.

        Raises
        ------
        InvalidInputError
            If there is a job already, or the disk is full.
        """
        if path is None:
            folder = cls(_temporary_folder(parent))
            folder._cleanup = weakref.finalize(folder, shutil.rmtree, str(folder.path), ignore_errors=True)
        else:
            folder = cls(path)
            if folder.job_file.exists():
                msg = f"The folder '{folder.path}' holds a job already. Choose an empty folder."
                raise InvalidInputError(msg)
        try:
            if path is None:
                folder._temporary_file.touch()
            save_value(spec.as_document(), folder.job_file)
        except BaseException:
            folder.remove()
            raise
        return folder

    @property
    def has_checkpoint(self) -> bool:
        """Whether an interrupted fit left something to go on from."""
        return self.checkpoint_folder.is_dir() and any(self.checkpoint_folder.iterdir())

    def reopen(self) -> None:
        """Make a job that was interrupted ready for another worker; its checkpoint stays.

        Raises
        ------
        InvalidInputError
            If there is no job, or it is done.
        """
        if not self.job_file.is_file():
            msg = f"The folder '{self.path.name}' holds no job that could be resumed. Start it anew."
            raise InvalidInputError(msg)
        if self.result_folder.exists():
            msg = f"The job in '{self.path.name}' is done; there is nothing to resume. Read its result, or start a new one."
            raise InvalidInputError(msg)
        for file in (self.cancel_file, self.status_file):
            file.unlink(missing_ok=True)

    def read_spec(self) -> JobSpec:
        """Read the job.

        Returns
        -------
        JobSpec
            With its data mapped into memory.
        """
        document, known = load_inputs(self.job_file)
        self._inputs = document  # an array that is known must live
        self._on_disk = elsewhere(known, "../")
        return JobSpec.from_document(document)

    def save_result(self, result: Any) -> None:
        """Write the result: all of it or nothing. Data that came with the job are not written again.

        Parameters
        ----------
        result : object
            See `storage.save_value`.
        """
        with staged_folder(self.result_folder) as stage:
            save_value(result, stage / _RESULT, known=self._on_disk)

    def load_result(self) -> Any:
        """Read the result.

        Returns
        -------
        object
            What the task returned, its large arrays mapped into memory.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        path = self.result_folder / _RESULT
        if not path.is_file():
            msg = f"The job in '{self.path.name}' has no result. Wait until it is done, or run it again."
            raise InvalidInputError(msg)
        return load_value(path)

    def write_status(self, status: dict[str, Any]) -> None:
        """Say how the job ended.

        Parameters
        ----------
        status : dict
            ``state``, ``code``, ``message``, ``error``.
        """
        write_json(self.status_file, status)

    def read_status(self) -> dict[str, Any] | None:
        """Return how the job ended, None when it did not say so.

        Returns
        -------
        dict or None
            See `write_status`.
        """
        try:
            status = json.loads(self.status_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return status if isinstance(status, dict) else None

    def remove(self) -> None:
        """Remove a temporary folder with all that is in it; one that the caller named stays."""
        if self._cleanup is not None:
            self._cleanup()

    def abandon(self) -> None:
        """Remove a temporary folder whose owner died: no scan of a patient shall stay on the disk."""
        if self._temporary_file.exists():
            shutil.rmtree(self.path, ignore_errors=True)


def _temporary_folder(parent: Path | None) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="perfusion-job-", dir=parent))
    except OSError as error:
        msg = f"No temporary folder can be made ({error.strerror or error}). Free disk space or set TMPDIR to another disk."
        raise InvalidInputError(msg) from error


def load_result(folder: str | Path) -> Any:
    """Read the result of a job, such as a `Study`.

    Parameters
    ----------
    folder : path-like
        The job's folder.

    Returns
    -------
    object
        What the task returned; large arrays stay on disk until they are looked at.

    Raises
    ------
    InvalidInputError
        If the job has no result.
    """
    return JobFolder(Path(folder)).load_result()
