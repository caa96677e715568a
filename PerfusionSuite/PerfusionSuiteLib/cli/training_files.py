# SPDX-License-Identifier: Apache-2.0
"""What every training leaves beside its weights: the record of its epochs, and words for the machine."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..results.tables import write_rows

CHECKPOINTS = "*.checkpoint.safetensors"
"""What an interrupted training leaves in its folder (`fitting.checkpoint`)."""


def write_record(path: Path, columns: Sequence[str], rows: Iterable[Iterable[float]]) -> Path:
    """Write numbers as CSV.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str
        Names.
    rows : iterable of iterable of float
        A line each.

    Returns
    -------
    Path
        The file.
    """
    return write_rows(path, [dict(zip(columns, row, strict=True)) for row in rows], columns)


def machine_words(device: Any) -> str:
    """Say where a training ran.

    Parameters
    ----------
    device : torch.device
        The device.

    Returns
    -------
    str
        Processor and threads, or the GPU.
    """
    import torch

    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"a CPU with {threads} thread{'s' if threads > 1 else ''} ({platform.machine()})"
    return str(torch.cuda.get_device_name(device))
