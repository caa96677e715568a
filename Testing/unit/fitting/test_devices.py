# SPDX-License-Identifier: Apache-2.0
"""Where fits compute, and what is tried when memory does not suffice."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from scan_examples import scan  # noqa: E402

from PerfusionSuiteLib.core.errors import InvalidInputError, MissingPackageError, OutOfMemoryError  # noqa: E402
from PerfusionSuiteLib.core.watch import NoWatch  # noqa: E402
from PerfusionSuiteLib.fitting import devices, fit  # noqa: E402
from PerfusionSuiteLib.fitting.devices import choose_device, with_fallback  # noqa: E402

pytestmark = pytest.mark.torch
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


class Notes(NoWatch):
    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def note(self, code: str, message: str, advice: str = "", **facts: Any) -> None:
        self.told.append((code, facts["batch"]))


class Machine:
    """Has memory for batches up to a size on each device."""

    def __init__(self, **largest: int) -> None:
        self.largest, self.tried = largest, []

    def __call__(self, device: torch.device, batch: int) -> str:
        self.tried.append((device.type, batch))
        if batch > self.largest[device.type]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory") if device.type == "cuda" else MemoryError
        return f"{device.type} {batch}"


def test_the_cpu_is_the_cpu_and_auto_is_a_gpu_only_where_there_is_one() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="The device 'cuda:97' was asked for, but this machine"):
        choose_device("cuda:97")


def test_enough_memory_needs_no_retreat() -> None:
    watch = Notes()
    assert with_fallback(Machine(cpu=10_000), CPU, 4096, watch) == "cpu 4096"
    assert watch.told == []


def test_batches_are_halved_until_they_fit_and_each_time_that_is_said() -> None:
    watch = Notes()
    assert with_fallback(Machine(cpu=1100), CPU, 4096, watch) == "cpu 1024"
    assert watch.told == [("fit_smaller_batch", 2048), ("fit_smaller_batch", 1024)]


def test_a_gpu_without_memory_leads_to_the_cpu_with_the_full_batch() -> None:
    watch, machine = Notes(), Machine(cuda=100, cpu=10_000)
    assert with_fallback(machine, GPU, 1024, watch) == "cpu 1024"
    assert machine.tried == [("cuda", 1024), ("cuda", 512), ("cuda", 256), ("cpu", 1024)]
    assert watch.told[-1] == ("fit_on_cpu", 1024)


def test_too_little_memory_everywhere_is_an_error() -> None:
    with pytest.raises(OutOfMemoryError, match="even with batches of 256"):
        with_fallback(Machine(cpu=10), CPU, 512, Notes())


def test_other_errors_are_not_taken_for_missing_memory() -> None:
    def broken(device: torch.device, batch: int) -> None:
        msg = "shapes do not match"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="shapes do not match"):
        with_fallback(broken, CPU, 512, Notes())


@pytest.mark.parametrize("method", ["neural", "resppinn", "spatial", "sppinn"])
def test_a_method_says_what_to_do_where_pytorch_is_missing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=f"'{method}' needs PyTorch.*choose 'bayes'"):
        fit(**scan(), method=method)
