# SPDX-License-Identifier: Apache-2.0
"""What every training leaves beside its weights: the record of its epochs, words for the machine, and what is kept of it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core import CancelledError
from ..results.tables import write_rows


@contextmanager
def kept_when_stopped(folder: Path) -> Iterator[None]:
    """Say what somebody who stops a training wants to know: nothing is lost.

    Parameters
    ----------
    folder : Path
        Of the training.

    Raises
    ------
    CancelledError
        If the user asked to stop.
    """
    try:
        yield
    except (CancelledError, KeyboardInterrupt) as error:
        msg = f"Cancelled; what is finished is kept in '{folder}', and the same command goes on with the rest."
        raise CancelledError(msg) from error


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
