# SPDX-License-Identifier: Apache-2.0
"""Gathers the metrics of all cases below a folder into one table, whichever version or program wrote them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ..core.errors import InvalidInputError
from ..core.files import plain
from ..core.findings import QualityFinding
from ..core.progress import ProgressCallback, no_progress
from ..results.privacy import without_identifiers
from ..results.tables import flatten
from .layouts import is_identifying, layout_of

CASE_ID, LAYOUT = "case_id", "layout"
_NAMES = ("metrics.json", "perfusion_metrics.json")
_BIDS_ENDING = "_desc-metrics_perf.json"
_LARGEST_BYTES = 50_000_000


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One row per case.

    Parameters
    ----------
    rows : tuple of dict
        Values by column; a missing one is absent.
    columns : tuple of str
        ``case_id``, ``layout``, then every entry found, an entry standing after the one it follows in its file.
    skipped : tuple of (str, str)
        Files that were not used, below the folder, and why.
    withheld : tuple of str
        Entries that could name a patient and were left out.
    findings : tuple of QualityFinding
        What a user should know.
    """

    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    withheld: tuple[str, ...]
    findings: tuple[QualityFinding, ...]


def aggregate(folder: Path, *, lists: bool = False, progress: ProgressCallback | None = None) -> Aggregate:
    """Gather metrics.

    Parameters
    ----------
    folder : Path
        Searched with all folders below for ``metrics.json`` (ours of any version, and the published programs'),
        ``perfusion_metrics.json`` and BIDS derivatives ``*_desc-metrics_perf.json``.
    lists : bool
        Also take lists of entries (values of each slice): a column for each.
    progress : callable, optional
        Called between files.

    Returns
    -------
    Aggregate
        The table. A case is named by its folder, and by its path where folders share a name.

    Raises
    ------
    InvalidInputError
        If the folder does not exist or holds no readable metrics.
    """
    if not folder.is_dir():
        msg = f"'{folder}' is not a folder. Give the folder that holds one folder of results per case."
        raise InvalidInputError(msg)
    found = list(_walk(folder))
    skipped: list[tuple[str, str]] = []
    read: list[tuple[Path, dict[str, Any]]] = []
    for number, path in enumerate(found):
        (progress or no_progress)(number / max(len(found), 1), "Reading metrics")
        content, reason = _read(path)
        if content is None:
            skipped.append((path.relative_to(folder).as_posix(), reason))
        elif any(path.parent == other.parent and _BIDS_ENDING not in path.name for other, _ in read):
            skipped.append((path.relative_to(folder).as_posix(), "the folder has another file of metrics, which was taken"))
        else:
            read.append((path, content))
    if not read:
        reasons = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        msg = f"There is no readable metrics.json below '{folder}'{reasons}. Give the folder that holds the cases' results."
        raise InvalidInputError(msg)
    ids = _case_ids([path.relative_to(folder) for path, _ in read], folder.resolve().name)
    rows: list[dict[str, Any]] = []
    withheld: set[str] = set()
    for case, (_, content) in sorted(zip(ids, read, strict=True), key=lambda pair: pair[0]):
        row, hidden = _row(case, content, lists)
        rows.append(row)
        withheld |= hidden
    (progress or no_progress)(1.0, "Reading metrics")
    return Aggregate(
        tuple(rows), _columns(rows), tuple(skipped), tuple(sorted(withheld)), tuple(_mixed_definitions(rows))
    )  # fmt: skip


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files of metrics in a stable order; links to folders are followed once, hidden folders are not entered."""
    seen = {folder.resolve()}
    for place, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            real = Path(place, name).resolve()
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        names = [name for name in _NAMES if name in files] + sorted(name for name in files if name.endswith(_BIDS_ENDING))
        yield from (Path(place, name) for name in names)


def _read(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            return None, "larger than any file of metrics"
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        return None, "not UTF-8 text"
    except json.JSONDecodeError as error:
        return None, f"not JSON (line {error.lineno})"
    except (OSError, RecursionError, ValueError) as error:
        return None, getattr(error, "strerror", None) or "cannot be read"
    if not isinstance(content, dict) or not content:
        return None, "holds no metrics"
    return content, ""


def _row(case: str, content: dict[str, Any], lists: bool) -> tuple[dict[str, Any], set[str]]:
    kept = plain(content) if lists else _without_lists(plain(content))
    flat = {key: value for key, value in flatten(kept).items() if key not in {CASE_ID, LAYOUT}}
    hidden = {key for key in flat if is_identifying(key)}
    row: dict[str, Any] = {CASE_ID: case, LAYOUT: layout_of(content)}
    for key, value in flat.items():
        if key not in hidden:
            clean = without_identifiers(value)
            row[key] = " ".join(clean.split()) if isinstance(clean, str) else clean
    return row, hidden


def _without_lists(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out lists of objects: one entry per slice or per finding is no value of a case."""
    kept = {}
    for key, value in values.items():
        if isinstance(value, dict):
            kept[key] = _without_lists(value)
        elif not (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
            kept[key] = value
    return kept


def _case_ids(paths: list[Path], root: str) -> list[str]:
    """Name each case by its folder; by more of the path where that is not enough to tell cases apart."""
    parts = [_case_parts(path) for path in paths]
    while len(parts) > 1 and all(parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]  # .../case-01/results and .../case-02/results
    names = Counter(part[-1] if part else root for part in parts)
    ids = [(part[-1] if names[part[-1]] == 1 else PurePath(*part).as_posix()) if part else root for part in parts]
    doubled = Counter(ids)
    return [name if doubled[name] == 1 else f"{name}#{ids[:at].count(name) + 1}" for at, name in enumerate(ids)]


def _case_parts(path: Path) -> tuple[str, ...]:
    folders = path.parts[:-1]
    if path.name.endswith(_BIDS_ENDING):
        above = (part for part in folders if part not in {"perf", "derivatives"} and not part.startswith(("sub-", "ses-")))
        return (*above, path.name.removesuffix(_BIDS_ENDING))
    return folders


def _columns(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Unite the columns: one that only some files have stands after the column that precedes it there."""
    followers: dict[str, None] = {}
    order: list[str] = []
    for row in rows:
        new: list[str] = []
        before = -1
        for key in row:
            if key in followers:
                order[before + 1 : before + 1] = new
                new, before = [], order.index(key)
            else:
                new.append(key)
                followers[key] = None
        order[before + 1 : before + 1] = new
    return tuple(order)


def _mixed_definitions(rows: list[dict[str, Any]]) -> list[QualityFinding]:
    """Warn when programs that define a metric differently have filled the same column."""
    origins: dict[str, set[str]] = {}
    for row in rows:
        program = row[LAYOUT].rpartition("/")[0] or row[LAYOUT]  # versions of one schema agree
        for key, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                origins.setdefault(key, set()).add(program)
    mixed = [key for key, programs in origins.items() if len(programs) > 1]
    if not mixed:
        return []
    shown = ", ".join(mixed[:6]) + (", ..." if len(mixed) > 6 else "")
    return [
        QualityFinding(
            "mixed_definitions",
            "warning",
            f"Files of different programs fill the same columns ({shown}), and they do not define them alike.",
            "Analyze the cases of one 'layout' only, or compute all cases anew.",
        )
    ]
