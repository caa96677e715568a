# SPDX-License-Identifier: Apache-2.0
"""What an import of maps found goes with them: a file beside the maps that every later step reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.findings import QualityFinding

FACTS_FILE = "colormap_import.json"
"""Beside maps that were made from DICOM pictures."""


def import_findings(folder: Path) -> tuple[QualityFinding, ...]:
    """Return the findings of an import of maps.

    Parameters
    ----------
    folder : Path
        Where the maps lie.

    Returns
    -------
    tuple of QualityFinding
        Empty for maps that were not imported.
    """
    try:
        found: Any = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))["findings"]
        return tuple(QualityFinding(str(f["code"]), f["severity"], str(f["message"]), str(f.get("advice", ""))) for f in found)
    except (OSError, ValueError, KeyError, TypeError):
        return ()
