# SPDX-License-Identifier: Apache-2.0
"""Results name no patient: paths and DICOM identifiers are taken out of every text before it is written.

Folder and file names of hospital data routinely carry names and numbers, and a DICOM UID leads back to the archive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

_HOME_OR_ROOT = r"(?:[A-Za-z]:[\\/]|\\\\|~[\\/]|/(?=[^\s/]))"
_WHOLE_PATH = re.compile(rf"^{_HOME_OR_ROOT}.*$", re.DOTALL)
_QUOTED_PATH = re.compile(rf"(['\"]){_HOME_OR_ROOT}.*?\1")
_BARE_PATH = re.compile(rf"(?<![\w.)\]]){_HOME_OR_ROOT}[^\s'\",;]*")
_UID = re.compile(r"\b[0-2](?:\.\d+){5,}\b")


def without_identifiers(value: Any) -> Any:
    """Take paths and DICOM UIDs out of every text in a value.

    Parameters
    ----------
    value : object
        A text, a path, a number, or mappings and sequences of them.

    Returns
    -------
    object
        The same, with a path replaced by the kind of file it was (``(file .csv)``) and a UID by ``(uid)``.
    """
    if isinstance(value, Mapping):
        return {str(key): without_identifiers(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [without_identifiers(item) for item in value]
    if isinstance(value, PurePath):
        return _stand_in(str(value))
    if isinstance(value, str):
        return _clean_text(value)
    return value


def _clean_text(text: str) -> str:
    if _WHOLE_PATH.match(text) and "\n" not in text:
        return _stand_in(text)
    text = _QUOTED_PATH.sub(lambda found: _stand_in(found.group().strip("'\"")), text)
    text = _BARE_PATH.sub(lambda found: _stand_in(found.group()), text)
    return _UID.sub("(uid)", text)


def _stand_in(path: str) -> str:
    suffix = "".join(Path(path.rstrip(".")).suffixes[-2:])
    known = re.search(r"\.(?:nii\.gz|nii|nrrd|csv|tsv|json|dcm|npy|png|safetensors)$", suffix, re.IGNORECASE)
    return f"(file {known.group().lower()})" if known else "(path)"
