# SPDX-License-Identifier: Apache-2.0
"""The methods that a start can be trained for. A new one is a file with a learner and one line in `LEARNERS`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

LEARNERS: Mapping[str, str] = MappingProxyType({"neural": "neural_start", "resppinn": "resppinn_start"})
"""File of this folder by method; its ``make_learner(inner_steps, batch, device)`` returns a `reptile.Learner` that also has
``inner_steps``, ``batch`` and ``start(weights, provenance)``."""


def make(method: str, inner_steps: int | None, batch: int | None, device: Any) -> Any:
    """Return the learner of a method.

    Parameters
    ----------
    method : str
        A key of `LEARNERS`.
    inner_steps, batch : int, optional
        Steps of a fit and samples of a step; the method's own by default.
    device : torch.device
        Where it fits.

    Returns
    -------
    Learner
        See `reptile.Learner`.
    """
    return import_module(f".{LEARNERS[method]}", __package__).make_learner(inner_steps, batch, device)
