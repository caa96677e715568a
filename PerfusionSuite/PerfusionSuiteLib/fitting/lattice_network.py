# SPDX-License-Identifier: Apache-2.0
"""The network behind a field of kind ``lattice`` while it learns, with its optimizer. Needs PyTorch."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .lattice_field import CENTER, FEATURES, GAIN, HIDDEN, Lattice

Tensor = Any

LATTICE_SCALE = 0.05
"""Standard deviation of the features of a random start."""

WARM_UP = 0.1
"""Share of the steps over which the rate rises; then it falls along a half cosine."""

DECAYS = (0.9, 0.95)
TINY = 1e-8


class _Product(torch.autograd.Function):
    """Product of a constant sparse matrix and a table, with its transpose at hand for the way back."""

    @staticmethod
    def forward(context: Any, table: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        context.transposed = transposed
        return matrix @ table

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return context.transposed @ gradients[0], None, None


class LatticeNetwork:
    """Features on lattices and a perceptron, for the voxels of one scan.

    Parameters
    ----------
    lattices : list of Lattice
        From coarse to fine.
    points : ndarray, shape (N, 3)
        Where the voxels lie, in the coordinates of the lattices.
    seed : int
        Of a random start.
    device : torch.device
        Where it computes.
    start : mapping of str to ndarray, optional
        Learned weights: the perceptron's and those of the coarser lattices; lattices that it lacks start at zero.

    Attributes
    ----------
    weights : dict of tensor
        ``level0`` ... of shape (nodes, F), ``finest`` (N, F), ``w1 b1 w2 b2 w3 b3``.
    """

    def __init__(
        self,
        lattices: list[Lattice],
        points: FloatArray,
        seed: int,
        device: Any,
        start: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.lattices, self.device = lattices, device
        matrices = [lattice.weights(points) for lattice in lattices]
        self._pairs = [(_as_torch(matrix, device), _as_torch(matrix.T.tocsr(), device)) for matrix in matrices]
        self._gain, self._center = (torch.tensor(v, dtype=torch.float32, device=device)[:, None] for v in (GAIN, CENTER))
        found = random_weights([lattice.count for lattice in lattices], seed)
        found["finest"] = np.zeros((len(points), FEATURES), np.float32)
        if start is not None:
            found = {name: _given(start, name, values) for name, values in found.items()}
        self.weights = {name: torch.tensor(values, device=device, requires_grad=True) for name, values in found.items()}

    def theta(self) -> Tensor:
        """Return ln CBV, center and ln MTT of all voxels, shape (3, N), ready for `backward`."""
        w = self.weights
        features = [_Product.apply(w[f"level{at}"], *pair) for at, pair in enumerate(self._pairs)]
        hidden = torch.cat([*features, w["finest"]], dim=1)
        for layer in "12":
            hidden = torch.nn.functional.silu(torch.addmm(w[f"b{layer}"], hidden, w[f"w{layer}"].T))
        return torch.addmm(w["b3"], hidden, w["w3"].T).T * self._gain + self._center

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights as arrays, lattices in their own shape."""
        found = {name: values.detach().cpu().numpy().copy() for name, values in self.weights.items()}
        for at, lattice in enumerate(self.lattices):
            found[f"level{at}"] = found[f"level{at}"].reshape(*lattice.nodes, -1)
        return found


def _given(start: Mapping[str, NDArray[Any]], name: str, like: NDArray[np.float32]) -> NDArray[np.float32]:
    if name not in start:
        return np.zeros_like(like)
    values = np.asarray(start[name], np.float32)
    if values.size != like.size:
        msg = f"The learned start has {values.size} numbers for '{name}', but the network has {like.size}. Train the start again."
        raise InvalidInputError(msg)
    return values.reshape(like.shape)


def _as_torch(matrix: sparse.csr_matrix, device: Any) -> Tensor:
    parts = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data.astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "in beta state": the product is all that is used
        return torch.sparse_csr_tensor(*(torch.from_numpy(part) for part in parts), size=matrix.shape).to(device)


def random_weights(nodes: list[int], seed: int) -> dict[str, NDArray[np.float32]]:
    """Draw a random start: the same for the same seed on every machine.

    Parameters
    ----------
    nodes : list of int
        Number of nodes of each level.
    seed : int
        The seed.

    Returns
    -------
    dict of ndarray
        Lattices and perceptron, without the finest level.
    """
    draw = np.random.default_rng(seed)
    found = {f"level{at}": LATTICE_SCALE * draw.standard_normal((count, FEATURES)) for at, count in enumerate(nodes)}
    sizes = [FEATURES * (len(nodes) + 1), HIDDEN, HIDDEN, 3]
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        limit = math.sqrt(3.0 / inputs) * (1.0 if layer < 3 else 0.3)
        found[f"w{layer}"] = draw.uniform(-limit, limit, (outputs, inputs))
        found[f"b{layer}"] = np.zeros(outputs)
    return {name: values.astype(np.float32) for name, values in found.items()}


class Adam:
    """Adam with a rate that rises and falls; its state can be kept and put back.

    Parameters
    ----------
    weights : dict of tensor
        What is optimized, in place.
    steps : int
        Length of the schedule.
    rate : float
        Largest rate.
    warm_up : float
        Share of the steps over which the rate rises.

    References
    ----------
    Kingma and Ba, ICLR 2015.
    """

    def __init__(self, weights: dict[str, Tensor], steps: int, rate: float, warm_up: float = WARM_UP) -> None:
        self._weights, self._steps, self._rate, self._warm_up = weights, steps, rate, warm_up
        self.done = 0
        self._first = {name: torch.zeros_like(values) for name, values in weights.items()}
        self._second = {name: torch.zeros_like(values) for name, values in weights.items()}

    def rate(self) -> float:
        """Return the rate of the coming step."""
        rise = min(1.0, (self.done + 1) / (self._warm_up * self._steps + 1.0))
        return self._rate * rise * 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.done / self._steps)))

    def step(self) -> None:
        """Take one step along the gradients, and clear them."""
        rate, (one, two) = self.rate(), DECAYS
        self.done += 1
        with torch.no_grad():
            for name, values in self._weights.items():
                gradient = values.grad
                first, second = self._first[name], self._second[name]
                first.lerp_(gradient, 1.0 - one)
                second.mul_(two).addcmul_(gradient, gradient, value=1.0 - two)
                scale = (second / (1.0 - two**self.done)).sqrt_().add_(TINY)
                values.addcdiv_(first, scale, value=-rate / (1.0 - one**self.done))
                values.grad = None

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return both moments as arrays."""
        kept = {f"first/{name}": values for name, values in self._first.items()}
        kept |= {f"second/{name}": values for name, values in self._second.items()}
        return {name: values.cpu().numpy().copy() for name, values in kept.items()}

    def restore(self, tensors: Mapping[str, NDArray[Any]], done: int) -> None:
        """Put back what `state` returned."""
        self.done = done
        for kept, prefix in ((self._first, "first/"), (self._second, "second/")):
            for name, values in kept.items():
                values.copy_(torch.from_numpy(np.asarray(tensors[prefix + name], np.float32)))
