# SPDX-License-Identifier: Apache-2.0
"""Files are written beside their place and renamed, so that a crash or a full disk never leaves half a file."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InvalidInputError

_STAGING = ".writing-"


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
        handle, name = tempfile.mkstemp(prefix=_STAGING, suffix="-" + target.name, dir=target.parent)
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


def check_output_folder(folder: str | Path) -> None:
    """Say at once, rather than after minutes of work, that results cannot be written to a folder.

    Parameters
    ----------
    folder : path-like
        The folder; it need not exist, and nothing is made.

    Raises
    ------
    InvalidInputError
        If it or a folder above it is a file, or must not be written to.
    """
    target = Path(folder).absolute()
    try:
        place = next(path for path in (target, *target.parents) if path.exists() or path.is_symlink())
        is_folder = place.is_dir()
    except OSError as error:
        msg = f"The output folder '{target}' cannot be reached ({error.strerror}). Choose another one."
        raise InvalidInputError(msg) from error
    if not is_folder:
        msg = f"'{place}' is a file, but a folder is needed for the results. Choose another output folder."
        raise InvalidInputError(msg)
    if not os.access(place, os.W_OK | os.X_OK):
        msg = f"'{place}' must not be written to. Choose another output folder or change its permissions."
        raise InvalidInputError(msg)


@contextmanager
def staged_folder(
    folder: str | Path, *, outdated: Iterable[Path] = (), published: Callable[[], None] | None = None
) -> Iterator[Path]:
    """Give an empty folder beside `folder`; move its files into place when the block succeeds.

    A run that fails or is cancelled leaves nothing behind; files of an earlier run are replaced
    only after everything was written, and foreign files stay. Renaming needs no disk space, and
    if one rename is refused the earlier ones are undone.

    Parameters
    ----------
    folder : path-like
        The folder that shall hold the files in the end.
    outdated : iterable of Path
        Names relative to `folder` that an earlier run may have left: those that are not written
        again are removed on success, so that results of two runs never lie side by side. Looked at when
        the block has succeeded: a set may grow until then.
    published : callable, optional
        Called as soon as everything is in its place, before what lay there is removed.

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
    made = [parent for parent in target.parents if not parent.exists()]
    staging: Path | None = None
    succeeded = False
    try:
        check_output_folder(target)
        staging = _make_staging(target)
        yield staging
        _publish(staging, target, set(outdated))
        if published is not None:
            published()
        succeeded = True
    except OSError as error:
        # A writer inside of another one writes to a place that the user has never heard of.
        place = "the results" if target.name.startswith(_STAGING) else f"to '{target}'"
        msg = f"Writing {place} failed ({error.strerror or error}). Free disk space or choose another output folder."
        raise InvalidInputError(msg) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for parent in made if not succeeded else ():
            with suppress(OSError):
                parent.rmdir()


def remove_leftovers(folder: str | Path) -> None:
    """Remove what runs into a folder left beside it when they were killed, which they could not do themselves.

    Parameters
    ----------
    folder : path-like
        The folder; nobody may be writing to it.
    """
    target = Path(folder).absolute()
    left = re.compile(rf"(?:{re.escape(_STAGING)}[^-]{{8}}-)+{re.escape(target.name)}")
    for path in target.parent.glob(f"{_STAGING}*") if target.parent.is_dir() else ():
        if left.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _make_staging(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    # A mounted output folder (a container's /out) has no sibling on its own file system: then stage inside it.
    device = target.parent.stat().st_dev
    inside = target.exists() and (target.stat().st_dev != device or not os.access(target.parent, os.W_OK))
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, suffix="-" + target.name, dir=target if inside else target.parent))
    staging.chmod(0o755)
    return staging


def _publish(staging: Path, target: Path, outdated: set[Path]) -> None:
    if not target.exists():
        staging.replace(target)
        return
    written = sorted(path.relative_to(staging) for path in staging.rglob("*") if path.is_file())
    undo: list[tuple[Path, Path]] = []
    backup = tempfile.mkdtemp(prefix=".replaced-", dir=staging)
    try:
        for name in (*written, *sorted(outdated - set(written))):
            if (target / name).is_file():
                _move(target / name, Path(backup, name), undo)
        for name in written:
            _move(staging / name, target / name, undo)
    except BaseException:  # a Ctrl-C as well as a refused rename
        for source, place in reversed(undo):
            place.replace(source)
        raise


def _move(source: Path, place: Path, undo: list[tuple[Path, Path]]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    source.replace(place)
    undo.append((source, place))


def folder_name(text: str) -> str:
    """Return a name that every file system takes: scans of 3D Slicer are called ``301: CTP``, which Windows refuses.

    Parameters
    ----------
    text : str
        Any name.

    Returns
    -------
    str
        The same with ``_`` for what is forbidden somewhere; ``case`` when nothing is left.
    """
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text).strip(" .") or "case"


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
