# SPDX-License-Identifier: Apache-2.0
"""The three fields: arterial curve, tissue curves, and flow, transit time and delay through one shared network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .choices import HEAD_SCALE, PHYSICAL_START
from .hash_encoding import HashGrid
from .perceptron import Perceptron


class Fields(nn.Module):
    """f_AIF(t), f_TAC(t, x) and f_ODE(x).

    Parameters
    ----------
    tac, ode, aif : Perceptron
        Networks; `tac` takes time first and then the code of the position.
    encoding : HashGrid, optional
        Code of a position; without it the position itself.
    head_init : {"physical", "published"}
        Whether a fresh network starts near tissue or as published.
    """

    def __init__(
        self, tac: Perceptron, ode: Perceptron, aif: Perceptron, encoding: HashGrid | None = None, head_init: str = "physical"
    ) -> None:
        super().__init__()
        self.tac, self.ode, self.aif, self.encoding = tac, ode, aif, encoding
        self.register_buffer("head", torch.tensor(HEAD_SCALE))
        if head_init == "physical":
            start = [math.log(value / scale) for value, scale in zip(PHYSICAL_START, HEAD_SCALE, strict=True)]
            with torch.no_grad():
                self.ode.biases[-1].copy_(torch.tensor(start))

    def code(self, positions: Tensor) -> Tensor:
        """Return the code of positions, shape (n, c)."""
        return positions if self.encoding is None else self.encoding(positions)

    def parameters_at(self, code: Tensor) -> Tensor:
        """Return flow (1/s), transit time (s) and delay (s) for codes.

        Parameters
        ----------
        code : Tensor, shape (n, c)
            From `code`.

        Returns
        -------
        Tensor, shape (n, 3)
            Exponentials times the head's scales.
        """
        network = self.ode
        z = network.omegas[0] * nn.functional.linear(code, network.weights[0], network.biases[0])
        return torch.exp(network.value(z)) * self.head

    def artery(self, times: Tensor) -> Tensor:
        """Return the arterial curve at scaled times of any shape."""
        network = self.aif
        omega = network.omegas[0]
        z = torch.addcmul(omega * network.biases[0], times.reshape(-1, 1), omega * network.weights[0][:, 0])
        return network.value(z).reshape(times.shape)


def hash_fields(settings: Any, generator: torch.Generator) -> Fields:
    """Make the fields of ReSPPINN.

    Parameters
    ----------
    settings : mapping
        Complete settings of the method.
    generator : torch.Generator
        Source of the initial weights.

    Returns
    -------
    Fields
        On the CPU.
    """
    sizes = {name: settings[name] for name in ("levels", "features", "log2_table", "base", "finest")}
    encoding = HashGrid(**sizes, generator=generator)
    hidden, omega, omega_aif = settings["hidden"], settings["omega"], settings["omega_aif"]

    def network(inputs: int, width: int, outputs: int, factor: float) -> Perceptron:
        return Perceptron(inputs, width, outputs, hidden=hidden, first_omega=factor, omega=factor, generator=generator)

    return Fields(
        network(encoding.width + 1, settings["width_tac"], 1, omega),
        network(encoding.width, settings["width_ode"], 3, omega),
        network(1, settings["width_aif"], 1, omega_aif),
        encoding,
        settings["head_init"],
    )


def plane_fields(settings: Any, generator: torch.Generator) -> Fields:
    """Make the fields of SPPINN for one slice.

    Parameters
    ----------
    settings : mapping
        Complete settings of the method and its variant.
    generator : torch.Generator
        Source of the initial weights.

    Returns
    -------
    Fields
        On the CPU.
    """

    def network(name: str, inputs: int, outputs: int) -> Perceptron:
        first, others = settings["omega"].get(name, (1.0, 1.0))
        return Perceptron(
            inputs, settings[f"width_{name}"], outputs, hidden=settings["hidden"], activation=settings["activation"][name],
            first_omega=first, omega=others, generator=generator,
        )  # fmt: skip

    return Fields(network("tac", 3, 1), network("ode", 2, 3), network("aif", 1, 1), None, settings["head_init"])
