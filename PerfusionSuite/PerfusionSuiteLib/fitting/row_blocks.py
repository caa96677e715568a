# SPDX-License-Identifier: Apache-2.0
"""Work on many voxels in blocks: several threads of a CPU, each with a block in its cache, or one block after another on a GPU.

Needs PyTorch. Its own threads share every single operation instead and wait for each other after each: on small blocks, and where
other programs want the processor too, that is slower than one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def single_threaded() -> Iterator[int]:
    """Let every operation of PyTorch use one thread; yields how many it used before."""
    before = int(torch.get_num_threads())
    torch.set_num_threads(1)
    try:
        yield max(1, min(before, os.cpu_count() or 1))
    finally:
        torch.set_num_threads(before)


def _one_thread() -> None:
    """Let operations of a worker use no further threads."""
    torch.set_num_threads(1)


def for_rows(
    count: int, rows: int, device: Any, work: Callable[[slice], None], tell: Callable[[float], None] | None = None
) -> None:
    """Call ``work(slice)`` for all blocks of `count` rows.

    Parameters
    ----------
    count : int
        Number of rows.
    rows : int
        Rows of a block.
    device : torch.device
        Where `work` computes.
    work : callable
        Writes its results itself; blocks do not overlap.
    tell : callable, optional
        Called on the calling thread with the finished share; what it raises stops the work.
    """
    blocks = [slice(start, min(start + rows, count)) for start in range(0, count, rows)]
    report = tell or (lambda share: None)
    if device.type != "cpu" or len(blocks) == 1:
        for done, block in enumerate(blocks):
            report(done / len(blocks))
            work(block)
        return
    with single_threaded() as threads, ThreadPoolExecutor(threads, initializer=_one_thread) as pool:
        try:
            for done, _ in enumerate(pool.map(work, blocks)):
                if done % 8 == 0:
                    report(done / len(blocks))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
