# SPDX-License-Identifier: Apache-2.0
"""Structural labels by FreeSurfer's ``mri_synthseg``, where FreeSurfer is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ..core.errors import MissingPackageError, NumericalError
from ..core.files import staged_folder
from ..core.nifti import read_volume
from ..core.nifti_like import source_header, write_like
from ..core.progress import ProgressCallback, part_of
from .subjects import is_filled
from .tissue_labels import symmetric

PROGRAM = "mri_synthseg"
SEGMENTATION = "seg_synthseg.nii.gz"
RESAMPLED = "input_resampled.nii.gz"
SYMMETRIC = "seg_synthseg_sym.nii.gz"
MAX_THREADS = 8

_LOG = "mri_synthseg.log"
_POLL_S = 0.2
_HELP_S = 120
_CROP = "--autocrop"


def find_program() -> str | None:
    """Look for ``mri_synthseg`` on the search path and in ``$FREESURFER_HOME``.

    Returns
    -------
    str or None
        The program.
    """
    home = os.environ.get("FREESURFER_HOME")
    places = [os.environ.get("PATH", os.defpath)] + ([str(Path(home) / "bin")] if home else [])
    return shutil.which(PROGRAM, path=os.pathsep.join(places))


def segment(
    image: str | Path,
    folder: str | Path,
    *,
    threads: int | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Segment an image into FreeSurfer's structures, in robust mode and with automatic cropping.

    Parameters
    ----------
    image : path-like
        Any contrast; the published program takes the ADC map.
    folder : path-like
        Gets ``seg_synthseg.nii.gz``, ``input_resampled.nii.gz`` and ``seg_synthseg_sym.nii.gz``.
    threads : int, optional
        At most 8 of the machine's by default.
    overwrite : bool
        Segment again although all three files exist.
    progress : callable, optional
        Progress and cancelling; the program is ended on cancel.

    Returns
    -------
    Path
        The symmetric segmentation.

    Raises
    ------
    MissingPackageError
        If FreeSurfer is not installed.
    NumericalError
        If the program fails; its words are kept in ``mri_synthseg.log`` in the folder.
    """
    target = Path(folder)
    if not overwrite and all(is_filled(target / name) for name in (SEGMENTATION, RESAMPLED, SYMMETRIC)):
        return target / SYMMETRIC
    program = find_program()
    if program is None:
        msg = (
            f"FreeSurfer's {PROGRAM} was not found on the search path or in FREESURFER_HOME. Install FreeSurfer 7.4 or newer, "
            "give a label image that you have (--labels FILE), or take the built-in estimate (--estimate)."
        )
        raise MissingPackageError(msg)
    count = threads or min(os.cpu_count() or 1, MAX_THREADS)
    failed = target / _LOG
    with staged_folder(target, outdated=[Path(_LOG)]) as staging:
        words = [program, "--i", str(image), "--o", str(staging / SEGMENTATION), "--robust"]
        words += ["--resample", str(staging / RESAMPLED), "--threads", str(count)]
        words += [_CROP] if _knows_cropping(program) else []  # releases before 7.4 do not have it
        log = staging / _LOG
        code = _run(words, log, part_of(progress, 0.0, 1.0))
        if code != 0 or not is_filled(staging / SEGMENTATION) or not is_filled(staging / RESAMPLED):
            failed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, failed)
            msg = (
                f"{PROGRAM} ended with code {code} and without a segmentation. Read '{failed.parent.name}/{failed.name}'; "
                "often the license (FS_LICENSE) or memory is missing. Or give labels that you have (--labels FILE)."
            )
            raise NumericalError(msg)
        log.unlink()
        labels, _ = read_volume(staging / SEGMENTATION)
        write_like(staging / SYMMETRIC, symmetric(labels), source_header(staging / SEGMENTATION), dtype="int16")
    return target / SYMMETRIC


def _knows_cropping(program: str) -> bool:
    try:
        words = subprocess.run(
            [program, "--help"], capture_output=True, text=True, errors="replace", timeout=_HELP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return _CROP in words.stdout + words.stderr


def _run(words: list[str], log: Path, progress: ProgressCallback) -> int:
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
        except OSError as error:
            msg = f"{PROGRAM} could not be started ({error.strerror}). Check the installation of FreeSurfer."
            raise MissingPackageError(msg) from error
        try:
            while True:
                progress(0.0, f"{PROGRAM} (takes minutes)")  # raises when the user cancels
                try:
                    return process.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
