# SPDX-License-Identifier: Apache-2.0
"""Arrays whose empty parts take no memory."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.core.memory import give_back_freed, leave_aside, release_zeros, set_aside, share_one_heap, sparse_zeros

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


def test_an_array_that_was_set_aside_is_the_same_array() -> None:
    generator = np.random.default_rng(5)
    values = sparse_zeros((40, 51, 7, 45))
    mask = generator.random(values.shape[:3]) < 0.02
    values[mask] = generator.normal(size=(int(mask.sum()), 45))
    values[-1, -1, -1, -1] = 9.0  # the last page is not full
    wanted, part = values.copy(), values[3:9]
    set_aside(part)  # a part stands for all of it
    assert np.array_equal(values, wanted)
    values[5] = 2.0
    wanted[5] = 2.0
    assert np.array_equal(part, wanted[3:9])
    set_aside(values)  # again, with what was written meanwhile
    assert np.array_equal(values, wanted)
    values[5] = wanted[5] = 0.0
    release_zeros(values)
    assert np.array_equal(values, wanted)


@on_linux
def test_what_was_set_aside_takes_no_memory_until_it_is_used() -> None:
    values = sparse_zeros((64, MB))
    values[:48] = 1.0
    before = resident()
    set_aside(values)
    assert before - resident() > 180 * MB
    assert float(values.sum()) == 48.0 * MB
    assert leave_aside(values)
    assert before - resident() > 180 * MB
    values[0, 0] = 5.0
    assert not leave_aside(values)  # what was written is nowhere else
    assert float(values.sum()) == 48.0 * MB + 4.0


def test_an_array_that_never_was_in_a_file_is_not_left_there() -> None:
    values = sparse_zeros((64, MB))
    values[3] = 2.0
    assert not leave_aside(values)
    assert not leave_aside(np.ones(3))
    assert float(values[3].sum()) == 2.0 * MB


def test_without_room_for_a_file_an_array_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    values = sparse_zeros((64, 64, 16, 45))
    values[3] = 4.0
    monkeypatch.setattr("os.pwrite", full)
    set_aside(values)
    assert float(values.sum()) == 4.0 * values[3].size
    values[3] = 0.0
    release_zeros(values)
    assert not values.any()


def test_arrays_of_others_are_not_set_aside() -> None:
    plain = np.ones((512, 1024), np.float32)
    set_aside(plain)
    assert plain.all()


def test_one_heap_for_all_threads_can_be_asked_for_twice() -> None:
    share_one_heap()
    share_one_heap()
