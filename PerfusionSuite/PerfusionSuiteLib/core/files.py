# SPDX-License-Identifier: Apache-2.0
"""Files are written beside their place and renamed, so that a crash or a full disk never leaves half a file."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InvalidInputError


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it into place when the block succeeds.

    The temporary name keeps the full suffix (``.nii.gz``), since writers choose the format by it.

    Parameters
    ----------
    path : path-like
        The file that shall exist in the end.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix="-" + target.name, dir=target.parent)
        os.close(handle)
    except OSError as error:
        msg = f"Cannot write to the folder of '{target}' ({error.strerror}). Choose another output folder or free space."
        raise InvalidInputError(msg) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        msg = f"Writing '{target.name}' failed ({error.strerror or error}). Free disk space or choose another folder."
        raise InvalidInputError(msg) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(folder: str | Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; move its files into place when the block succeeds.

    A run that fails or is cancelled leaves nothing behind; files of an earlier run are replaced
    one by one only after everything was written, and foreign files stay.

    Parameters
    ----------
    folder : path-like
        The folder that shall hold the files in the end.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to or the disk is full.
    """
    target = Path(folder).absolute()
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_dir():
            msg = f"'{target}' is a file, but a folder is needed for the results. Choose another output folder."
            raise InvalidInputError(msg)
        staging = Path(tempfile.mkdtemp(prefix=".writing-", suffix="-" + target.name, dir=target.parent))
        yield staging
        for file in sorted(path for path in staging.rglob("*") if path.is_file()):
            place = target / file.relative_to(staging)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        target.mkdir(exist_ok=True)
    except OSError as error:
        msg = f"Writing to '{target}' failed ({error.strerror or error}). Free disk space or choose another output folder."
        raise InvalidInputError(msg) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def plain(value: Any) -> Any:
    """Turn numpy values, tuples and non-finite numbers into what strict JSON can hold.

    Parameters
    ----------
    value : object
        Anything made of dataclass-free containers, numpy values and scalars.

    Returns
    -------
    object
        The same with lists, dicts, Python scalars, and None for NaN and infinities.
    """
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically.

    Parameters
    ----------
    path : path-like
        The file.
    text : str
        Its content.

    Returns
    -------
    Path
        The file.
    """
    with written_beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | Path, value: Any) -> Path:
    """Write strict, indented JSON atomically; NaN and infinities become null.

    Parameters
    ----------
    path : path-like
        The file.
    value : object
        See `plain`.

    Returns
    -------
    Path
        The file.
    """
    return write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")
