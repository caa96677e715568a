# SPDX-License-Identifier: Apache-2.0
"""Network and optimizer as arrays of a checkpoint, and back; copies for an epoch that may be interrupted. Needs PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

WEIGHTS, MOMENTS = "weights/", "moments/"


def copied(network: Any, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return copies of both states, for ``load_state_dict``."""
    return copy.deepcopy(network.state_dict()), copy.deepcopy(optimizer.state_dict())


def state_arrays(network: Any, optimizer: torch.optim.Optimizer) -> dict[str, NDArray[Any]]:
    """Return both states as named arrays.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained.
    optimizer : torch.optim.Optimizer
        Its moments are kept; rates and other settings are those of the plan.

    Returns
    -------
    dict of ndarray
        For `restore`.
    """
    arrays = {f"{WEIGHTS}{name}": value.cpu().numpy() for name, value in network.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        arrays |= {f"{MOMENTS}{number}/{name}": _array(value) for name, value in moments.items() if value is not None}
    return arrays


def restore(network: Any, optimizer: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put kept states back.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    optimizer : torch.optim.Optimizer
        Changed in place.
    arrays : mapping of str to ndarray
        From `state_arrays`; others are ignored.
    """
    network.load_state_dict(named(arrays, WEIGHTS))
    moments: dict[int, dict[str, Any]] = {}
    for name, value in named(arrays, MOMENTS).items():
        number, _, key = name.partition("/")
        moments.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def named(arrays: Mapping[str, NDArray[Any]], start: str) -> dict[str, torch.Tensor]:
    """Return the arrays whose names begin so, as tensors named by the rest."""
    return {name[len(start) :]: torch.from_numpy(np.array(value)) for name, value in arrays.items() if name.startswith(start)}


def _array(value: Any) -> NDArray[Any]:
    return np.array(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
