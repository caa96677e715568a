# SPDX-License-Identifier: Apache-2.0
"""Arrays whose empty parts take no memory."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.core.memory import give_back_freed, release_zeros, share_one_heap, sparse_zeros

MB = 1 << 20
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems keep the memory, which changes nothing else")


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_they_are_ordinary_arrays_of_zeros() -> None:
    for shape in ((3, 4), (64, 64, 32, 45)):
        values = sparse_zeros(shape)
        assert values.shape == shape
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        assert values.flags.writeable
        assert not values.any()
        values[1, 2] = 5.0
        assert np.array_equal(pickle.loads(pickle.dumps(values)), values)


@on_linux
def test_what_is_not_written_to_takes_no_memory() -> None:
    before = resident()
    values = sparse_zeros((64, MB))  # 256 MB
    values[3] = 1.0
    assert float(values.sum()) == MB
    assert resident() - before < 16 * MB


@on_linux
def test_parts_that_became_zero_again_are_given_back() -> None:
    values = sparse_zeros((64, MB))
    values[...] = 1.0
    before = resident()
    values[8:] = 0.0
    release_zeros(values)
    assert before - resident() > 200 * MB


def test_giving_back_changes_no_value() -> None:
    generator = np.random.default_rng(4)
    values = sparse_zeros((40, 50, 10, 45))
    mask = generator.random(values.shape[:3]) < 0.02
    values[mask] = generator.normal(size=(int(mask.sum()), 45))
    values[30:] = 7.0
    wanted = values.copy()
    release_zeros(values)
    assert np.array_equal(values, wanted)
    release_zeros(values[5:25])  # a part, whose ends lie within pages
    release_zeros(values[:, ::2])
    assert np.array_equal(values, wanted)


def test_an_array_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    plain = np.zeros((512, 1024), np.float32)
    release_zeros(plain)
    assert not plain.any()
    np.full((512, 1024), 3.0, np.float32).tofile(tmp_path / "values.raw")
    mapped = np.memmap(tmp_path / "values.raw", np.float32, mode="c", shape=(512, 1024))
    mapped[...] = 0.0  # pages of a file would come back with what is in the file
    release_zeros(mapped)
    assert not mapped.any()


def test_it_lives_as_long_as_any_view_of_it() -> None:
    part = sparse_zeros((64, MB // 16))[5:9]
    part[...] = 2.0
    release_zeros(part)
    assert float(part.mean()) == 2.0


@on_linux
def test_freed_blocks_go_back_to_the_system() -> None:
    blocks = [np.ones(MB // 64, np.float32) for _ in range(1024)]  # too small for memory of their own
    before = resident()
    del blocks[::2]
    give_back_freed()
    assert before - resident() > 24 * MB


def test_one_heap_for_all_threads_can_be_asked_for_twice() -> None:
    share_one_heap()
    share_one_heap()
