# SPDX-License-Identifier: Apache-2.0
"""Where a fit computes, and what happens when that place has too little memory."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.errors import InvalidInputError, MissingPackageError, OutOfMemoryError, require_package
from ..core.watch import FitWatch

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")

SMALLEST_BATCH = 256
"""Batches are not halved below this; then the CPU is tried."""


def require_torch(method: str) -> None:
    """Say in time that a method cannot run here.

    Parameters
    ----------
    method : str
        A method that computes with PyTorch.

    Raises
    ------
    MissingPackageError
        If PyTorch is not installed.
    """
    if find_spec("torch") is None:
        msg = f"The method '{method}' needs PyTorch, which is not installed. Install the package torch, or choose 'bayes'."
        raise MissingPackageError(msg)


def choose_device(name: str) -> torch.device:
    """Return the device that a request names.

    Parameters
    ----------
    name : str
        ``auto`` (the first GPU, or the CPU where there is none), ``cpu`` or ``cuda[:n]``.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    InvalidInputError
        If there is no such GPU.
    MissingPackageError
        If PyTorch is not installed.
    """
    require_package("torch", "fit with networks or on a GPU")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        found = f"has {count} usable GPU{'s' if count > 1 else ''}" if count else "has no GPU that PyTorch can use"
        msg = f"The device '{name}' was asked for, but this machine {found}. Choose auto or cpu."
        raise InvalidInputError(msg)
    return torch.device("cuda", number)


def with_fallback(
    run: Callable[[torch.device, int], Result],
    device: torch.device,
    batch: int,
    watch: FitWatch,
    *,
    smallest: int = SMALLEST_BATCH,
) -> Result:
    """Run with smaller and smaller batches, then on the CPU, until memory suffices; each retreat is said aloud.

    Parameters
    ----------
    run : callable
        Takes device and batch size; must be able to begin again.
    device : torch.device
        Where to begin.
    batch : int
        Size to begin with.
    watch : FitWatch
        Is told of each retreat.
    smallest : int
        Smallest batch on a device.

    Returns
    -------
    object
        What `run` returned.

    Raises
    ------
    OutOfMemoryError
        If even the CPU has too little memory for the smallest batch.
    """
    import torch

    size = batch
    while True:
        try:
            return run(device, size)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            reason = error
        _release(device)
        if size // 2 >= smallest:
            size //= 2
            _tell_smaller(watch, device, size)
        elif device.type != "cpu":
            device, size = torch.device("cpu"), batch
            _tell_cpu(watch, size)
        else:
            msg = f"The fit does not fit in memory even with batches of {size}. Close other programs or crop the scan."
            raise OutOfMemoryError(msg) from reason


def _tell_smaller(watch: FitWatch, device: Any, size: int) -> None:
    watch.note(
        "fit_smaller_batch",
        f"The memory of {_words(device)} did not suffice, so the fit began again with batches of {size}.",
        "Close other programs, or choose a smaller batch, if the fit is too slow.",
        batch=size,
        device=str(device),
    )


def _tell_cpu(watch: FitWatch, size: int) -> None:
    watch.note(
        "fit_on_cpu",
        "The memory of the GPU did not suffice even for small batches, so the fit went on with the CPU.",
        "Free memory of the GPU, or expect a longer fit.",
        batch=size,
        device="cpu",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text


def _words(device: Any) -> str:
    return "this machine" if device.type == "cpu" else f"the GPU ({device})"


def _release(device: Any) -> None:
    import gc

    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
