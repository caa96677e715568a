# SPDX-License-Identifier: Apache-2.0
"""The network of QTMnet and the file that its weights travel in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.asl.qtm_network import Attention, QtmNetwork, estimate, padded  # noqa: E402
from PerfusionSuiteLib.asl.qtm_weights import Protocol, QtmWeights, load_weights, save_weights  # noqa: E402
from PerfusionSuiteLib.core.errors import InvalidInputError  # noqa: E402

pytestmark = pytest.mark.torch


def weights(seed: int = 0, *, regression: bool = True, noise_channel: bool = True) -> QtmWeights:
    torch.manual_seed(seed)
    network = QtmNetwork(4, 4, noise_channel=noise_channel, regression=regression)
    tensors = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
    moments = tuple(tuple(float(v) for v in row) for row in np.eye(5, 6))
    return QtmWeights(tensors, Protocol(), base=4, regression=regression, noise_channel=noise_channel, moments=moments)


@pytest.mark.parametrize("shape", [(16, 16, 8), (7, 9, 5), (1, 1, 1), (30, 17, 11), (8, 24, 3)])
def test_images_of_any_size_keep_their_size(shape: tuple[int, int, int]) -> None:
    network = QtmNetwork(4, 4).eval()
    with torch.inference_mode():
        assert estimate(network, torch.rand(2, 4, *shape)).shape == (2, 1, *shape)


def test_padding_leaves_the_image_and_adds_zeros() -> None:
    x = torch.rand(1, 2, 7, 8, 5) + 1.0
    wide = padded(x)
    assert wide.shape == (1, 2, 8, 8, 8)
    assert torch.equal(wide[:, :, :7, :8, :5], x)
    assert float(wide.sum()) == pytest.approx(float(x.sum()), rel=1e-6)


def test_the_sizes_of_the_published_cube_give_the_planned_number_of_weights() -> None:
    for base, millions in ((16, 1.4), (32, 5.6)):
        count = sum(value.numel() for value in QtmNetwork(4, base).parameters())
        assert count / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("regression", [False, True])
def test_the_gradient_reaches_every_weight(regression: bool) -> None:
    torch.manual_seed(1)
    network = QtmNetwork(4, 8, noise_channel=True, regression=regression)
    network(torch.rand(2, 5, 16, 16, 8)).square().mean().backward()
    silent = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert silent == []


def test_bfloat16_gives_the_gradients_of_float32() -> None:
    torch.manual_seed(2)
    network = QtmNetwork(4, 8, regression=True).to(memory_format=torch.channels_last_3d)
    x = torch.rand(4, 4, 16, 16, 8)
    found = []
    for half in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = (network(x) - 0.5).abs().mean()
        loss.backward()
        found.append({name: value.grad.flatten().clone() for name, value in network.named_parameters()})
    for name, exact in found[0].items():
        if exact.numel() > 100:
            alike = torch.nn.functional.cosine_similarity(exact, found[1][name], dim=0)
            assert float(alike) > 0.9, name


def test_attention_only_weakens() -> None:
    x = torch.randn(2, 16, 4, 4, 4)
    assert bool((Attention(16)(x).abs() <= x.abs() + 1e-6).all())


def test_the_linear_part_shrinks_what_drowns_in_noise() -> None:
    network = QtmNetwork(4, 4, noise_channel=True, regression=True)
    part = network.regression
    assert part is not None
    part.sizes.copy_(torch.tensor([1.0, 0.1, 0.1, 0.1]))
    with torch.no_grad():
        part.weights.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
        part.bend[-1].weight.zero_()
    x = torch.zeros(1, 5, 2, 2, 2)
    x[:, 1] = 0.1
    flows = []
    for noise in (0.0, 0.1, 1.0):
        x[:, 4] = noise
        flows.append(float(part(x)[1].detach().mean()))
    assert flows == pytest.approx([0.1, 0.05, 0.1 / 101.0], rel=1e-5)


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    made = replace(weights(), most_label=(0.1, 0.2, 0.3, 0.4), spread=(1.0, 2.0, 0.1, 0.2), provenance={"seed": 3})
    read = load_weights(save_weights(tmp_path / "w.safetensors", made, half=False))
    assert all(np.array_equal(read.tensors[name], value) for name, value in made.tensors.items())
    assert replace(read, tensors={}) == replace(made, tensors={})
    x = torch.rand(1, 5, 16, 16, 8)
    with torch.inference_mode():
        assert torch.equal(read.network(torch.device("cpu"))(x), made.network(torch.device("cpu"))(x))


def test_weights_of_16_bits_are_written_again_without_change(tmp_path: Path) -> None:
    once = load_weights(save_weights(tmp_path / "one.safetensors", weights()))
    save_weights(tmp_path / "two.safetensors", once)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    from PerfusionSuiteLib.fitting.tensor_file import write_tensors

    write_tensors(tmp_path / "x.safetensors", {"a": np.zeros(3)}, {}, kind="start", version=1)
    with pytest.raises(InvalidInputError, match="not a trained QTMnet"):
        load_weights(tmp_path / "x.safetensors")


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="do not fit a network of base 8"):
        replace(weights(), base=8).network(torch.device("cpu"))


def test_the_linear_map_is_the_regression_of_the_moments() -> None:
    rng = np.random.default_rng(0)
    curves = rng.random((500, 4))
    rows = np.concatenate([curves / 0.02, np.ones((500, 1))], axis=1)
    flow = curves @ [1.0, 2.0, 3.0, 4.0] + 5.0
    table = np.concatenate([rows.T @ rows, (rows.T @ flow)[:, None]], axis=1) / 500
    found = replace(weights(), moments=tuple(map(tuple, table.tolist()))).linear_map()
    assert found == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0], rel=1e-6)


@pytest.mark.parametrize(
    ("delays", "expected"),
    [([1.025, 1.525, 2.025, 2.525], [0, 1, 2, 3]), ([0.5, 1.03, 1.52, 2.02, 2.53], [1, 2, 3, 4]), ([1.0, 1.5, 2.0, 2.5], None)],
)
def test_a_protocol_finds_its_delays_in_a_scan(delays: list[float], expected: list[int] | None) -> None:
    assert Protocol().matching([1.45] * len(delays), delays) == expected


def test_another_labeling_duration_is_another_protocol() -> None:
    assert Protocol().matching([1.8] * 4, list(Protocol().post_label_delays_s)) is None


@pytest.mark.parametrize("delays", [(), (1.0, 0.5), (0.0, 1.0)])
def test_delays_that_do_not_rise_are_refused(delays: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="must be positive and rise"):
        Protocol(1.45, delays)
