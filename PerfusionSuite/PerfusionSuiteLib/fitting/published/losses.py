# SPDX-License-Identifier: Apache-2.0
"""The three losses of SPPINN: tissue data, arterial data, and the residual of the tissue model at collocation times."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .fields import Fields


@dataclass(frozen=True, slots=True)
class Batch:
    """Positions with the samples and collocation times drawn at them.

    Parameters
    ----------
    positions : Tensor, shape (m, c)
        Scaled positions.
    times : Tensor, shape (m, q) or (1, q)
        Scaled times of the samples: one for each position, or those of a whole curve.
    values : Tensor, shape (m, q)
        Samples.
    collocation : Tensor, shape (m, q)
        Scaled times at which the model must hold.
    frame_share : Tensor, shape (T,), optional
        Share of each frame among the samples, for an arterial loss at the batch's times; None for all frames alike.
    """

    positions: Tensor
    times: Tensor
    values: Tensor
    collocation: Tensor
    frame_share: Tensor | None = None


def reduced(difference: Tensor, norm: str) -> Tensor:
    """Return the mean of absolute values (``l1``) or squares (``l2``)."""
    return difference.abs().mean() if norm == "l1" else difference.square().mean()


def time_derivative(fields: Fields, times: Tensor, code: Tensor, how: str) -> Tensor:
    """Return the derivative of the tissue curves along scaled time.

    Parameters
    ----------
    fields : Fields
        The networks.
    times : Tensor, shape (m, q)
        Scaled times.
    code : Tensor, shape (m, c)
        Codes of the positions.
    how : {"tangent", "autograd", "double"}
        Forward tangents, reverse mode, or reverse mode twice as in the original.

    Returns
    -------
    Tensor, shape (m, q)
        1 per unit of scaled time.
    """
    if how == "tangent":
        return fields.tac.slope(fields.tac.before_first(times, code)).view(times.shape)
    column = times.detach().reshape(-1, 1).requires_grad_()
    codes = code[:, None].expand(*times.shape, code.shape[1]).reshape(column.shape[0], -1)
    value = fields.tac(torch.cat([column, codes], 1))
    if how == "autograd":
        return torch.autograd.grad(value.sum(), column, create_graph=True)[0].view(times.shape)
    direction = torch.ones_like(value, requires_grad=True)
    product = torch.autograd.grad(value, column, direction, create_graph=True)[0]
    return torch.autograd.grad(product, direction, torch.ones_like(product), create_graph=True)[0].view(times.shape)


def residual(
    slope: Tensor, artery_in: Tensor, artery_out: Tensor, flow: Tensor, time_sd_s: float
) -> Tensor:  # fmt: skip
    """Return ``dC/dt - F (A(t - d) - A(t - d - m))`` in 1/s, for curves over the peak of the AIF.

    Parameters
    ----------
    slope : Tensor, shape (m, q)
        Derivative of the tissue curve along scaled time.
    artery_in, artery_out : Tensor, shape (m, q)
        Arterial curve when the blood comes in and when it leaves.
    flow : Tensor, shape (m, 1), 1/s
        Flow.
    time_sd_s : float, s
        Scale of time.

    Returns
    -------
    Tensor, shape (m, q)
        The residual.
    """
    return slope / time_sd_s - flow * (artery_in - artery_out)


@dataclass(frozen=True, slots=True)
class Losses:
    """How the losses of a batch are computed.

    Parameters
    ----------
    times, aif : Tensor, shape (T,)
        Scaled frame times and arterial input.
    time_sd_s : float, s
        Scale of time.
    norm : {"l1", "l2"}
        Absolute values or squares.
    derivative : {"tangent", "autograd", "double"}
        See `time_derivative`.
    encodings : int
        1: data and collocation share the codes of their common positions; 2: computed twice, as published.
    data_weight, residual_weight : float
        Of the data losses and of the residual.
    """

    times: Tensor
    aif: Tensor
    time_sd_s: float
    norm: str = "l1"
    derivative: str = "tangent"
    encodings: int = 1
    data_weight: float = 1.0
    residual_weight: float = 1.0

    def __call__(self, fields: Fields, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total loss and its parts.

        Parameters
        ----------
        fields : Fields
            The networks.
        batch : Batch
            What was drawn.

        Returns
        -------
        total : Tensor
            Weighted sum.
        parts : dict of Tensor
            ``tac``, ``aif`` and ``ode``, detached.
        """
        code = fields.code(batch.positions)
        tissue = fields.tac.value(fields.tac.before_first(batch.times, code)).view(batch.values.shape)
        of_tissue = reduced(tissue - batch.values, self.norm)
        of_artery = self._of_artery(fields, batch)
        if self.encodings == 2:
            code = fields.code(batch.positions)
        slope = time_derivative(fields, batch.collocation, code, self.derivative)
        flow, transit, delay = fields.parameters_at(code).split(1, dim=1)
        arrival = batch.collocation - delay / self.time_sd_s
        both = fields.artery(torch.cat([arrival, arrival - transit / self.time_sd_s]))
        count = arrival.shape[0]
        of_model = reduced(residual(slope, both[:count], both[count:], flow, self.time_sd_s), self.norm)
        total = self.data_weight * (of_tissue + of_artery) + self.residual_weight * of_model
        return total, {"tac": of_tissue.detach(), "aif": of_artery.detach(), "ode": of_model.detach()}

    def _of_artery(self, fields: Fields, batch: Batch) -> Tensor:
        difference = fields.artery(self.times) - self.aif
        if batch.frame_share is None:
            return reduced(difference, self.norm)
        misfit = difference.abs() if self.norm == "l1" else difference.square()
        return (misfit * batch.frame_share).sum()
