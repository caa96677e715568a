# SPDX-License-Identifier: Apache-2.0
"""Small perceptrons with sine or tanh layers, their values and their derivative along one input.

Value and derivative have hand-written gradients: automatic differentiation would keep several times as many arrays.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["sine", "tanh"]


class Perceptron(nn.Module):
    """Hidden layers ``act(omega (W x + b))`` and a linear last layer.

    Parameters
    ----------
    inputs, width, outputs : int
        Sizes.
    hidden : int
        Number of hidden layers.
    activation : {"sine", "tanh"}
        Of the hidden layers; for tanh all omegas are 1.
    first_omega, omega : float
        Factor of the first hidden layer and of the others (``w0`` and ``w`` of the publications).
    generator : torch.Generator, optional
        Source of the initial weights.

    Notes
    -----
    Initial weights and biases of sine layers are uniform: first layer within 1/inputs, others within sqrt(6/inputs)/omega
    (Sitzmann et al., NeurIPS 2020); tanh layers within 1/sqrt(inputs).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        *,
        hidden: int = 3,
        activation: Activation = "sine",
        first_omega: float = 15.0,
        omega: float = 15.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = [inputs, *[width] * hidden, outputs]
        self.activation: Activation = activation
        sine = activation == "sine"
        self.omegas = [first_omega if n == 0 else omega for n in range(hidden)] if sine else [1.0] * hidden
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for n in range(hidden + 1):
            if not sine:
                bound = 1.0 / math.sqrt(sizes[n])
            else:
                bound = 1.0 / sizes[n] if n == 0 else math.sqrt(6.0 / sizes[n]) / omega
            self.weights.append(nn.Parameter(_uniform((sizes[n + 1], sizes[n]), bound, generator)))
            self.biases.append(nn.Parameter(_uniform((sizes[n + 1],), bound, generator)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the values for inputs of shape (n, inputs), by plain operations that can be differentiated repeatedly."""
        for n, omega in enumerate(self.omegas):
            x = self._act(omega * functional.linear(x, self.weights[n], self.biases[n]))
        return functional.linear(x, self.weights[-1], self.biases[-1])

    def _act(self, z: Tensor) -> Tensor:
        return torch.sin(z) if self.activation == "sine" else torch.tanh(z)

    def _rest(self) -> list[Tensor]:
        return [tensor for pair in zip(self.weights[1:], self.biases[1:], strict=True) for tensor in pair]

    def before_first(self, times: Tensor, code: Tensor) -> Tensor:
        """Return what enters the first activation, for inputs ``(time, code)``.

        Parameters
        ----------
        times : Tensor, shape (m, q) or (1, q)
            First input: q times for each of m positions.
        code : Tensor, shape (m, c)
            The other inputs, which all times of a position share: their product with the weights is computed once.

        Returns
        -------
        Tensor, shape (m * q, width)
            ``omega (W x + b)`` of the first layer.
        """
        weight, omega = self.weights[0], self.omegas[0]
        base = omega * functional.linear(code, weight[:, 1:], self.biases[0])
        z = torch.addcmul(base[:, None], times[..., None], omega * weight[:, 0])
        return z.reshape(-1, z.shape[-1])

    def value(self, z: Tensor) -> Tensor:
        """Return the values behind what enters the first activation; gradients by hand.

        Parameters
        ----------
        z : Tensor, shape (n, width)
            From `before_first`, or ``omega (W x + b)``.

        Returns
        -------
        Tensor, shape (n, outputs)
            As `forward`.
        """
        result: Tensor = _Value.apply(z, self.activation, self.omegas, *self._rest())
        return result

    def slope(self, z: Tensor) -> Tensor:
        """Return the derivative along the first input; gradients by hand.

        Parameters
        ----------
        z : Tensor, shape (n, width)
            From `before_first`.

        Returns
        -------
        Tensor, shape (n, outputs)
            The derivative.
        """
        direction = self.omegas[0] * self.weights[0][:, 0]
        result: Tensor = _Slope.apply(z, direction, self.activation, self.omegas, *self._rest())
        return result


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator | None) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _first_derivative(activation: str, z: Tensor, h: Tensor) -> Tensor:
    return torch.cos(z) if activation == "sine" else 1.0 - h * h


class _Value(torch.autograd.Function):
    """Values of all layers after the first pre-activation."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, activation: str, omegas: list[float], *layers: Tensor) -> Tensor:
        """Keep pre-activations and activations; nothing else is needed backwards."""
        act = torch.sin if activation == "sine" else torch.tanh
        h = act(z)
        kept = [z, h]
        for n, omega in enumerate(omegas[1:]):
            z = torch.addmm(layers[2 * n + 1], h, layers[2 * n].T, beta=omega, alpha=omega)
            h = act(z)
            kept += [z, h]
        ctx.activation, ctx.omegas = activation, omegas
        ctx.save_for_backward(*kept, *layers)
        return torch.addmm(layers[-1], h, layers[-2].T)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override,unused-ignore]
        """Chain rule from the last layer to the first pre-activation."""
        count = len(ctx.omegas)
        kept, layers = ctx.saved_tensors[: 2 * count], ctx.saved_tensors[2 * count :]
        grads: list[Tensor] = []
        scale = 1.0
        for n in range(count - 1, -1, -1):
            z, h = kept[2 * n], kept[2 * n + 1]
            grads[:0] = [scale * (grad.T @ h), scale * grad.sum(0)]
            grad = (grad @ layers[2 * n]).mul_(_first_derivative(ctx.activation, z, h))
            if scale != 1.0:
                grad = grad.mul_(scale)
            scale = ctx.omegas[n]
        return grad, None, None, *grads


class _Slope(torch.autograd.Function):
    """Directional derivative of all layers after the first pre-activation, whose own derivative is the same for all samples."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, u: Tensor, activation: str, omegas: list[float], *layers: Tensor) -> Tensor:
        """Carry value h and tangent g through the layers: ``g = act'(z) u``, next ``u = omega W g``."""
        act = torch.sin if activation == "sine" else torch.tanh
        h = act(z)
        d = _first_derivative(activation, z, h)
        g = d * u
        kept = [h, d, u, g]
        for n, omega in enumerate(omegas[1:]):
            weight, bias = layers[2 * n], layers[2 * n + 1]
            z = torch.addmm(bias, h, weight.T, beta=omega, alpha=omega)
            u = g @ (omega * weight).T
            h = act(z)
            d = _first_derivative(activation, z, h)
            g = d * u
            kept += [h, d, u, g]
        ctx.activation, ctx.omegas = activation, omegas
        ctx.save_for_backward(*kept, *layers)
        return g @ layers[-2].T

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # type: ignore[override,unused-ignore]
        """Chain rule; the second derivative of a sine is minus its value, that of tanh -2 h d."""
        count, sine = len(ctx.omegas), ctx.activation == "sine"
        kept, layers = ctx.saved_tensors[: 4 * count], ctx.saved_tensors[4 * count :]
        last = kept[-1]
        grads = [grad.T @ last, torch.zeros_like(layers[-1])]
        grad_g, grad_h = grad @ layers[-2], None
        for n in range(count - 1, -1, -1):
            h, d, u, _ = kept[4 * n : 4 * n + 4]
            grad_z = (grad_g * u).mul_(h).neg_()
            if not sine:
                grad_z = grad_z.mul_(d).mul_(2.0)
            if grad_h is not None:
                grad_z.addcmul_(grad_h, d)
            grad_u = grad_g.mul_(d)
            if n == 0:
                break
            omega, weight = ctx.omegas[n], layers[2 * n - 2]
            h_below, g_below = kept[4 * n - 4], kept[4 * n - 1]
            grads[:0] = [(grad_z.T @ h_below).addmm_(grad_u.T, g_below).mul_(omega), omega * grad_z.sum(0)]
            scaled = omega * weight
            grad_h, grad_g = grad_z @ scaled, grad_u @ scaled
        return grad_z, grad_u.sum(0), None, None, *grads
