# SPDX-License-Identifier: Apache-2.0
"""Sine and tanh networks: size, initial weights, and every way to the derivative along time."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.fitting.published.choices import RESPPINN, SPPINN, SPPINN_VARIANTS  # noqa: E402
from PerfusionSuiteLib.fitting.published.fields import Fields, hash_fields  # noqa: E402
from PerfusionSuiteLib.fitting.published.losses import time_derivative  # noqa: E402
from PerfusionSuiteLib.fitting.published.perceptron import Perceptron  # noqa: E402
from PerfusionSuiteLib.fitting.published.slices import complete as complete_slices  # noqa: E402
from PerfusionSuiteLib.fitting.published.volume import complete  # noqa: E402

pytestmark = pytest.mark.torch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def size(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def published() -> Fields:
    return hash_fields(complete({**RESPPINN, "preset": "published"}), seeded())


def test_networks_of_resppinn_have_the_published_number_of_weights(published: Fields) -> None:
    assert [size(network) for network in (published.tac, published.ode, published.aif)] == [1105, 1123, 593]
    assert size(published.encoding) == 950030


def test_networks_of_resppinn_have_the_published_factors(published: Fields) -> None:
    assert published.tac.omegas == published.ode.omegas == [15.0] * 3
    assert published.aif.omegas == [1.0] * 3


def test_networks_of_sppinn_have_the_published_sizes() -> None:
    for variant in SPPINN_VARIANTS:
        settings = complete_slices({**SPPINN, "variant": variant, "preset": "published"}, on_gpu=False)
        assert (settings["width_tac"], settings["width_ode"], settings["width_aif"], settings["hidden"]) == (128, 64, 16, 3)


def test_initial_weights_lie_within_the_bounds_of_sine_networks() -> None:
    network = Perceptron(33, 64, 3, first_omega=30.0, omega=15.0, generator=seeded())
    bounds = [1 / 33, *[(6 / 64) ** 0.5 / 15] * 3]
    for weight, bias, bound in zip(network.weights, network.biases, bounds, strict=True):
        assert 0.95 * bound < float(weight.detach().abs().max()) <= bound
        assert float(bias.detach().abs().max()) <= bound


def test_a_fresh_physical_head_says_normal_tissue_and_a_published_one_does_not(published: Fields) -> None:
    physical = hash_fields(complete(RESPPINN), seeded())
    positions = torch.rand(500, 3, generator=seeded(1))
    with torch.no_grad():
        start = physical.parameters_at(physical.code(positions)).median(0).values
        far = published.parameters_at(published.code(positions)).median(0).values
    assert start.tolist() == pytest.approx([0.015, 6.0, 1.5], rel=0.15)
    assert far.tolist() == pytest.approx([1.0, 24.0, 3.0], rel=0.15)


@pytest.mark.parametrize("activation", ["sine", "tanh"])
class TestGradientsByHand:
    def make(self, activation: str) -> tuple[Perceptron, torch.Tensor, torch.Tensor]:
        network = Perceptron(5, 7, 2, activation=activation, first_omega=3.0, omega=2.0, generator=seeded()).double()
        times = torch.randn(11, 3, generator=seeded(1), dtype=torch.float64).requires_grad_()
        code = torch.randn(11, 4, generator=seeded(2), dtype=torch.float64).requires_grad_()
        return network, times, code

    def test_equal_automatic_ones_for_value_and_slope(self, activation: str) -> None:
        network, times, code = self.make(activation)
        x = torch.cat([times.reshape(-1, 1), code[:, None].expand(11, 3, 4).reshape(-1, 4)], 1)
        value = network(x)
        columns = [torch.autograd.grad(value[:, n].sum(), times, create_graph=True)[0].reshape(-1) for n in range(2)]
        plain = value, torch.stack(columns, 1)
        z = network.before_first(times, code)
        fast = network.value(z), network.slope(z)
        weights = [torch.randn(33, 2, generator=seeded(n), dtype=torch.float64) for n in (3, 4)]
        targets = [*network.parameters(), times, code]
        for one, other in zip(plain, fast, strict=True):
            assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)
        grads = [
            torch.autograd.grad(sum((a * w).sum() for a, w in zip(pair, weights, strict=True)), targets) for pair in (plain, fast)
        ]
        for one, other in zip(*grads, strict=True):
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)

    def test_the_three_derivatives_agree_and_equal_differences(self, activation: str) -> None:
        tac = Perceptron(5, 16, 1, activation=activation, first_omega=5.0, omega=3.0, generator=seeded())
        fields = Fields(tac, tac, tac, head_init="published")
        times, code = torch.randn(20, 3, generator=seeded(1)), torch.randn(20, 4, generator=seeded(2))
        tangent, reverse, twice = (
            time_derivative(fields, times, code, how).detach() for how in ("tangent", "autograd", "double")
        )
        scale = float(tangent.abs().max())
        assert float((tangent - reverse).abs().max()) < 1e-5 * scale
        assert float((tangent - twice).abs().max()) < 1e-5 * scale
        exact = tac.double()
        step = 1e-4
        with torch.no_grad():
            up, down = (exact.value(exact.before_first(times.double() + shift, code.double())) for shift in (step, -step))
        central = ((up - down) / (2 * step)).view(20, 3)
        assert float((central - tangent).abs().max()) < 1e-3 * scale
