# SPDX-License-Identifier: Apache-2.0
"""The training loop of the published methods: Adam, learning rate by step, losses told, state that can be kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.errors import NumericalError
from .batches import Draws
from .fields import Fields
from .losses import Losses

COLUMNS = ("step", "seconds", "loss", "tac", "aif", "ode")
"""Columns of the loss record."""

RECORDS = 250
"""About so many rows a record has."""


@dataclass(slots=True)
class Record:
    """Losses by step.

    Parameters
    ----------
    rows : list of tuple
        One per recorded step, in the order of `COLUMNS`.
    """

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Return the record by column."""
        table = np.array(self.rows, np.float64).reshape(-1, len(COLUMNS))
        return {name: table[:, n].copy() for n, name in enumerate(COLUMNS)}

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]]) -> Record:
        """Return a record of columns."""
        return cls([tuple(float(v) for v in row) for row in np.stack([columns[name] for name in COLUMNS], axis=1)])


class Loop:
    """Trains fields on the batches of a scan.

    Parameters
    ----------
    fields : Fields
        What is trained, on its device.
    draws : Draws
        Batches.
    losses : Losses
        What is minimized.
    steps : int
        Number of steps.
    rate_at : callable
        Takes step and number of steps and returns the learning rate of the networks.
    table_factor : float
        What it is multiplied with for the features of the encoding.
    """

    def __init__(
        self,
        fields: Fields,
        draws: Draws,
        losses: Losses,
        steps: int,
        rate_at: Callable[[int, int], float],
        table_factor: float = 1.0,
    ) -> None:
        self.fields, self.draws, self.losses, self.steps, self.rate_at = fields, draws, losses, steps, rate_at
        on_gpu = losses.times.device.type == "cuda"
        self.optimizer = torch.optim.Adam(_groups(fields, table_factor), 1e-3, fused=True)
        self.step, self.record = 0, Record()
        self.told_short = False
        self._every = max(1, steps // RECORDS, 10 if on_gpu else 1)  # reading a loss off a GPU makes it wait
        self._seconds_before, self._began = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent so far, that of an interrupted fit included."""
        return self._seconds_before + time.perf_counter() - self._began

    def shorten(self, seconds: float) -> bool:
        """Cut the number of steps to what fits in a time, so that the learning rate still comes to its end.

        Parameters
        ----------
        seconds : float, s
            Time for all steps.

        Returns
        -------
        bool
            Whether steps were cut.
        """
        possible = max(self.step + 1, int(self.step * seconds / max(self.seconds, 1e-9)))
        if possible >= self.steps:
            return False
        self.steps = possible
        return True

    def advance(self) -> dict[str, float] | None:
        """Do one step.

        Returns
        -------
        dict of float, optional
            ``loss`` and its parts ``tac``, ``aif``, ``ode`` at steps that are recorded.

        Raises
        ------
        NumericalError
            If the losses are not finite.
        """
        rate = self.rate_at(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        total, parts = self.losses(self.fields, self.draws.draw())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()
        self.step += 1
        if self.step % self._every and self.step < self.steps and self.step > 1:
            return None
        told = {"loss": float(total.detach()), **{name: float(value) for name, value in parts.items()}}
        if not np.isfinite(told["loss"]):
            msg = (
                f"The fit ran away at step {self.step} (its loss is not finite). Lower the learning rate or choose another seed."
            )
            raise NumericalError(msg)
        self.record.rows.append((float(self.step), self.seconds, *(told[name] for name in COLUMNS[2:])))
        return told

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that the next step depends on, as arrays."""
        arrays = {f"weights.{name}": tensor for name, tensor in self.fields.state_dict().items()}
        for name, parameter in self.fields.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                arrays[f"adam.{key}.{name}"] = value
        arrays |= {f"draws.{name}": tensor for name, tensor in self.draws.state().items()}
        kept = {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}
        kept |= {f"record.{name}": column for name, column in self.record.columns().items()}
        kept["counters"] = np.array([self.step, self.steps, self.seconds], np.float64)
        return kept

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

        def part(prefix: str) -> dict[str, Any]:
            return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.fields.load_state_dict(part("weights."))
        for name, parameter in self.fields.named_parameters():
            keys = ("step", "exp_avg", "exp_avg_sq")
            state = {key: tensors[f"adam.{key}.{name}"] for key in keys if f"adam.{key}.{name}" in tensors}
            if state:
                self.optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
        self.draws.restore(part("draws."))
        self.record = Record.of({name: tensor.numpy() for name, tensor in part("record.").items()})
        step, steps, self._seconds_before = (float(v) for v in arrays["counters"])
        self.step, self.steps, self._began = int(step), int(steps), time.perf_counter()


def _groups(fields: Fields, table_factor: float) -> list[dict[str, Any]]:
    """Return the weights of the networks and those of the encoding, each with the factor of its learning rate."""
    networks = [{"params": [*fields.tac.parameters(), *fields.ode.parameters(), *fields.aif.parameters()], "factor": 1.0}]
    return networks if fields.encoding is None else [*networks, {"params": [fields.encoding.table], "factor": table_factor}]
