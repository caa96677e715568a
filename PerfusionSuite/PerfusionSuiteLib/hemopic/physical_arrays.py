# SPDX-License-Identifier: Apache-2.0
"""The few array operations of the voxel fit, in numpy and in PyTorch, so that one solver serves both."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..core.errors import InvalidInputError, require_package
from ..core.progress import ProgressCallback
from ..deconvolution.threads import own_threads

Array = Any
"""numpy array or torch.Tensor; PyTorch is not followed by the type checker."""

ENGINES = ("auto", "numpy", "torch")


class Arrays(Protocol):
    """What the solver asks of a library of arrays."""

    rows: int

    def put(self, values: NDArray[Any]) -> Array:
        """Bring a numpy array to where the work is done, as float32."""

    def take(self, values: Array) -> NDArray[np.float32]:
        """Bring an array back."""

    def mixed(self, table: Array, rows: Array, shares: Array) -> Array:
        """Return sums of four rows of a table with shares: (n, 4) and (n, 4) give (n, columns)."""

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        """Choose element by element."""

    def clip(self, values: Array, low: Any, high: Any) -> Array:
        """Bound values."""

    def floor(self, values: Array) -> Array:
        """Round down."""

    def whole(self, values: Array) -> Array:
        """Make integers that can index."""

    def stack(self, parts: list[Array]) -> Array:
        """Stack along a new last axis."""

    def exp(self, values: Array) -> Array:
        """Exponentiate."""

    def log(self, values: Array) -> Array:
        """Take logarithms."""

    def sqrt(self, values: Array) -> Array:
        """Take square roots."""

    def greatest(self, values: Array) -> Array:
        """Return the maximum of each row, as a column."""

    def dot(self, a: Array, b: Array) -> Array:
        """Multiply row by row."""

    def each(self, count: int, work: Callable[[slice], None], progress: ProgressCallback, stage: str) -> None:
        """Call `work` for all blocks of rows."""


class NumpyArrays:
    """numpy on one or several threads."""

    rows = 4096

    def put(self, values: NDArray[Any]) -> Array:
        """See `Arrays`."""
        return np.ascontiguousarray(values, np.float32)

    def take(self, values: Array) -> NDArray[np.float32]:
        """See `Arrays`."""
        return np.asarray(values, np.float32)

    def mixed(self, table: Array, rows: Array, shares: Array) -> Array:
        """See `Arrays`; a sparse matrix product is four times as fast as fancy indexing."""
        count = rows.shape[0]
        ends = np.arange(0, 4 * count + 1, 4, dtype=rows.dtype)
        return sparse.csr_array((shares.ravel(), rows.ravel(), ends), shape=(count, table.shape[0])) @ table

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        """See `Arrays`."""
        return np.where(condition, a, b)

    def clip(self, values: Array, low: Any, high: Any) -> Array:
        """See `Arrays`."""
        return np.minimum(np.maximum(values, low), high)

    def floor(self, values: Array) -> Array:
        """See `Arrays`."""
        return np.floor(values)

    def whole(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.astype(np.int32)

    def stack(self, parts: list[Array]) -> Array:
        """See `Arrays`."""
        return np.stack(parts, axis=-1)

    def exp(self, values: Array) -> Array:
        """See `Arrays`."""
        return np.exp(values)

    def log(self, values: Array) -> Array:
        """See `Arrays`."""
        return np.log(values)

    def sqrt(self, values: Array) -> Array:
        """See `Arrays`."""
        return np.sqrt(values)

    def greatest(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.max(axis=1, keepdims=True)

    def dot(self, a: Array, b: Array) -> Array:
        """See `Arrays`."""
        return np.einsum("nr,nr->n", a, b)

    def each(self, count: int, work: Callable[[slice], None], progress: ProgressCallback, stage: str) -> None:
        """See `Arrays`."""
        blocks = [slice(start, min(start + self.rows, count)) for start in range(0, count, self.rows)]
        with own_threads() as threads, ThreadPoolExecutor(threads) as pool:
            try:
                for done, _ in enumerate(pool.map(work, blocks)):
                    if done % 8 == 0:
                        progress((done + 1) / len(blocks), stage)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


class TorchArrays:
    """PyTorch on a CPU or GPU.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    """

    def __init__(self, device: str) -> None:
        from ..fitting.devices import choose_device

        self._device = choose_device(device)
        import torch

        self._torch: Any = torch
        self.rows = 4096 if self._device.type == "cpu" else 1 << 17

    def put(self, values: NDArray[Any]) -> Array:
        """See `Arrays`."""
        return self._torch.tensor(np.ascontiguousarray(values, np.float32), device=self._device)

    def take(self, values: Array) -> NDArray[np.float32]:
        """See `Arrays`."""
        return np.asarray(values.cpu().numpy(), np.float32)

    def mixed(self, table: Array, rows: Array, shares: Array) -> Array:
        """See `Arrays`."""
        return self._torch.nn.functional.embedding_bag(rows, table, per_sample_weights=shares, mode="sum")

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        """See `Arrays`."""
        return self._torch.where(condition, a, b)

    def clip(self, values: Array, low: Any, high: Any) -> Array:
        """See `Arrays`."""
        return values.clamp(low, high) if np.isscalar(low) and np.isscalar(high) else self._between(values, low, high)

    def _between(self, values: Array, low: Any, high: Any) -> Array:
        low, high = (self._torch.as_tensor(bound, dtype=values.dtype, device=values.device) for bound in (low, high))
        return self._torch.minimum(self._torch.maximum(values, low), high)

    def floor(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.floor()

    def whole(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.long()

    def stack(self, parts: list[Array]) -> Array:
        """See `Arrays`."""
        return self._torch.stack(parts, dim=-1)

    def exp(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.exp()

    def log(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.log()

    def sqrt(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.sqrt()

    def greatest(self, values: Array) -> Array:
        """See `Arrays`."""
        return values.amax(dim=1, keepdim=True)

    def dot(self, a: Array, b: Array) -> Array:
        """See `Arrays`."""
        return (a * b).sum(1)

    def each(self, count: int, work: Callable[[slice], None], progress: ProgressCallback, stage: str) -> None:
        """See `Arrays`."""
        for start in range(0, count, self.rows):
            progress(start / count, stage)
            work(slice(start, min(start + self.rows, count)))


def find_arrays(engine: str, device: str) -> Arrays:
    """Choose the library that computes.

    Parameters
    ----------
    engine : {"auto", "numpy", "torch"}
        ``auto``: PyTorch when a GPU is asked for or can be used, numpy otherwise.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.

    Returns
    -------
    Arrays
        The operations.

    Raises
    ------
    InvalidInputError
        If the engine does not exist, or numpy is asked to use a GPU.
    MissingPackageError
        If PyTorch is needed but not installed.
    """
    if engine not in ENGINES:
        msg = f"There is no engine '{engine}'. Choose one of {', '.join(ENGINES)}."
        raise InvalidInputError(msg)
    if engine == "numpy" and device.startswith("cuda"):
        msg = f"The engine numpy cannot use the device '{device}'. Choose the engine torch, or the device cpu."
        raise InvalidInputError(msg)
    if engine == "torch" or device.startswith("cuda"):
        require_package("torch", "fit HemoPIC on a GPU or with the engine torch")
        return TorchArrays(device)
    return TorchArrays("auto") if engine == "auto" and device == "auto" and _has_gpu() else NumpyArrays()


def _has_gpu() -> bool:
    """Tell whether PyTorch is there and finds a GPU."""
    if "torch" not in sys.modules and importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
