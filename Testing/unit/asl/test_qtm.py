# SPDX-License-Identifier: Apache-2.0
"""QTMnet on a scan: scales, grids, refusals and findings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib import asl  # noqa: E402
from PerfusionSuiteLib.asl.codes import AslQuality  # noqa: E402
from PerfusionSuiteLib.asl.qtm import assess, predict  # noqa: E402
from PerfusionSuiteLib.asl.qtm_grid import Resampling, axis_weights  # noqa: E402
from PerfusionSuiteLib.asl.qtm_input import noise_of, prepare  # noqa: E402
from PerfusionSuiteLib.asl.qtm_network import QtmNetwork  # noqa: E402
from PerfusionSuiteLib.asl.qtm_weights import Protocol, QtmWeights  # noqa: E402
from PerfusionSuiteLib.core.asl import AslDifference  # noqa: E402
from PerfusionSuiteLib.core.errors import InvalidInputError  # noqa: E402

pytestmark = pytest.mark.torch

FLOW_PER_LABEL = 12000.0


def linear_weights(**changes: object) -> QtmWeights:
    """A network that gives `FLOW_PER_LABEL` times the label of the second delay, whatever its neighborhood."""
    network = QtmNetwork(4, 4, noise_channel=True, regression=True)
    with torch.no_grad():
        network.out.weight.zero_()
        network.out.bias.zero_()
        assert network.regression is not None
        network.regression.bend[-1].weight.zero_()
        network.regression.weights.copy_(torch.tensor([0.0, FLOW_PER_LABEL * 0.02 / 80.0, 0.0, 0.0]))
        network.regression.sizes.fill_(1e3)  # so large that no noise matters
    tensors = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
    return replace(
        QtmWeights(tensors, Protocol(), base=4, regression=True, noise_channel=True, most_label=(0.02,) * 4, most_noise=0.0016),
        **changes,
    )


def a_scan(
    shape: tuple[int, int, int] = (8, 10, 6), sizes: tuple[float, ...] = (2.0, 2.0, 4.0), **changes: object
) -> AslDifference:
    rng = np.random.default_rng(0)
    density = rng.uniform(0.001, 0.006, (*shape, 4)).astype(np.float32)
    mask = np.zeros(shape, bool)
    mask[1:-1, 1:-1] = True
    scan = AslDifference(
        delta_m=density * 1000.0 * 2.0 * 0.85 / 0.9, post_label_delays_s=np.array([1.025, 1.525, 2.025, 2.525]),
        label_durations_s=np.full(4, 1.45), m0=np.full(shape, 1000.0, np.float32), noise_sd=None, mask=mask,
        affine=np.diag([*sizes, 1.0]), labeling="pcasl", labeling_efficiency=0.85, field_strength_t=3.0,
        slice_delays_s=np.zeros(shape[2]), repetitions=np.full(4, 3),
    )  # fmt: skip
    return replace(scan, **changes)


def test_flow_is_in_absolute_units() -> None:
    scan = a_scan()
    maps = predict(scan, weights=linear_weights(), settings={"flips": 1})
    truth = FLOW_PER_LABEL * scan.delta_m[..., 1] * 0.9 / (2.0 * 0.85 * 1000.0)
    assert maps["cbf"][scan.mask] == pytest.approx(truth[scan.mask], rel=1e-4)
    assert np.isnan(maps["cbf"][~scan.mask]).all()
    assert set(np.unique(maps["quality"][~scan.mask])) == {AslQuality.OUTSIDE_MASK}


def test_twice_the_m0_gives_half_of_the_flow() -> None:
    scan = a_scan()
    half = predict(replace(scan, m0=2.0 * scan.m0), weights=linear_weights())["cbf"]
    whole = predict(scan, weights=linear_weights())["cbf"]
    assert half[scan.mask] == pytest.approx(0.5 * whole[scan.mask], rel=1e-4)


def test_without_m0_the_map_is_relative_and_says_so() -> None:
    scan = a_scan(m0=None)
    maps = predict(scan, weights=linear_weights())
    assert set(maps) == {"rcbf", "quality"}
    assert float(np.nanmean(maps["rcbf"])) == pytest.approx(100.0, rel=1e-5)
    assert [finding.code for finding in assess(scan, weights=linear_weights(most_noise=1.0))] == ["qtmnet_relative"]


def test_delays_beside_those_of_the_training_are_ignored() -> None:
    scan = a_scan()
    order = [2, 0, 3, 1]
    more = replace(
        scan,
        delta_m=np.concatenate([scan.delta_m[..., order], 9.0 * scan.delta_m[..., :1]], axis=3),
        post_label_delays_s=np.append(scan.post_label_delays_s[order], 3.5),
        label_durations_s=np.full(5, 1.45),
    )
    first, second = (predict(one, weights=linear_weights(), settings={"flips": 1})["cbf"] for one in (scan, more))
    assert np.array_equal(first, second, equal_nan=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"post_label_delays_s": np.array([0.5, 1.0, 1.5, 2.0])},
            r"know labeling 1.45 s, delays 1.025.*the scan has.*0.5, 1, 1.5, 2 s",
        ),
        ({"label_durations_s": np.full(4, 1.8)}, "the scan has labeling 1.8 s"),
        ({"labeling": "pasl"}, "this scan is PASL"),
        ({"field_strength_t": 1.5}, "made at 1.5 T"),
        ({"slice_delays_s": np.linspace(0.0, 0.5, 6)}, "0.50 s after the first"),
        ({"mask": np.zeros((8, 10, 6), bool)}, "No voxel of the mask"),
    ],
)
def test_scans_of_another_kind_are_refused_with_what_differs(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        predict(a_scan(**changes), weights=linear_weights())


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="no setting 'views'"):
        predict(a_scan(), weights=linear_weights(), settings={"views": 3})
    with pytest.raises(InvalidInputError, match="Choose 1, 2, 4 or 8"):
        predict(a_scan(), weights=linear_weights(), settings={"flips": 3})


def test_a_wrong_scale_of_m0_is_found() -> None:
    scan = a_scan()
    assert assess(scan, weights=linear_weights(most_noise=1.0)) == ()
    found = assess(replace(scan, m0=scan.m0 / 100.0), weights=linear_weights(most_noise=1.0))
    assert [finding.code for finding in found] == ["qtmnet_label_beyond_training"]


def test_noise_beyond_the_training_is_found() -> None:
    codes = [finding.code for finding in assess(a_scan(), weights=linear_weights(most_noise=1e-5))]
    assert codes == ["qtmnet_noise_beyond_training"]


def test_the_noise_is_read_off_the_images() -> None:
    rng = np.random.default_rng(1)
    shares = rng.random((12, 12, 8, 3))
    clean = (shares @ rng.random((3, 4))).astype(np.float32)
    inside = np.ones((12, 12, 8), bool)
    for sd in (0.01, 0.05):
        found = noise_of(clean + rng.normal(0, sd, clean.shape).astype(np.float32), inside)
        assert found == pytest.approx(sd, rel=0.12)


def test_missing_m0_and_missing_images_leave_holes_with_a_reason() -> None:
    scan = a_scan()
    m0, images = scan.m0.copy(), scan.delta_m.copy()
    m0[3, 3, 3], images[4, 4, 4, 0] = 0.0, np.nan
    maps = predict(replace(scan, m0=m0, delta_m=images), weights=linear_weights())
    assert np.isnan(maps["cbf"][3, 3, 3])
    assert np.isnan(maps["cbf"][4, 4, 4])
    assert maps["quality"][3, 3, 3] == AslQuality.NO_CALIBRATION
    assert maps["quality"][4, 4, 4] == AslQuality.NOT_FINITE


def test_the_coarsest_axis_is_the_slice_axis_of_the_network() -> None:
    scan = a_scan((6, 8, 10), (4.0, 2.0, 2.0))
    assert prepare(scan, linear_weights()).order == (1, 2, 0)
    maps = predict(scan, weights=linear_weights(), settings={"flips": 1})
    truth = FLOW_PER_LABEL * scan.delta_m[..., 1] * 0.9 / (2.0 * 0.85 * 1000.0)
    assert maps["cbf"][scan.mask] == pytest.approx(truth[scan.mask], rel=1e-4)


def test_the_standard_error_follows_scatter_flow_and_noise() -> None:
    plain = predict(a_scan(), weights=linear_weights(spread=(4.0, 0.0, 0.0, 0.0)))
    assert plain["cbf_sd"][a_scan().mask] == pytest.approx(2.0)
    relative = predict(a_scan(), weights=linear_weights(spread=(0.0, 0.0, 0.36, 0.0)))
    inside = a_scan().mask
    assert relative["cbf_sd"][inside] == pytest.approx(0.6 * relative["cbf"][inside], rel=1e-5)
    assert set(np.unique(relative["quality"][inside])) == {AslQuality.UNCERTAIN}


def test_quantify_calls_the_network_by_name() -> None:
    entry = asl.METHODS["qtmnet"]
    assert entry.gpu
    assert set(entry.options) == {"weights", "flips"}


class TestGrid:
    def test_equal_voxels_are_left_alone(self) -> None:
        assert np.array_equal(axis_weights(5, 2.01, 2.0), np.eye(5))

    @pytest.mark.parametrize(("size", "target"), [(1.0, 2.0), (0.7, 2.0), (3.4, 2.0), (5.0, 4.0), (1.875, 2.0)])
    def test_a_constant_stays_a_constant_there_and_back(self, size: float, target: float) -> None:
        way = Resampling.between((11, 12, 9), (size,) * 3, (target,) * 3)
        mask = np.ones((11, 12, 9), bool)
        images, inside = way.forth(np.full((11, 12, 9, 2), 3.0, np.float32), mask)
        assert images[inside] == pytest.approx(3.0)
        assert way.home(images[..., 0], inside, mask) == pytest.approx(3.0)

    def test_finer_voxels_are_averaged_without_loss(self) -> None:
        rng = np.random.default_rng(2)
        fine = rng.random((8, 8, 8, 1)).astype(np.float32)
        images, _ = Resampling.between((8, 8, 8), (1.0, 1.0, 2.0), (2.0, 2.0, 4.0)).forth(fine, np.ones((8, 8, 8), bool))
        blocks = fine.reshape(4, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5))
        assert images[..., 0] == pytest.approx(blocks, rel=1e-5)

    def test_what_lies_outside_of_the_mask_does_not_leak_in(self) -> None:
        images = np.full((8, 8, 4, 1), 1.0, np.float32)
        mask = np.zeros((8, 8, 4), bool)
        mask[2:6, 2:6] = True
        images[~mask] = 1e6
        found, inside = Resampling.between((8, 8, 4), (1.3, 1.3, 4.0), (2.0, 2.0, 4.0)).forth(images, mask)
        assert found[inside] == pytest.approx(1.0)
        assert not found[~inside].any()

    def test_averaging_lowers_noise_as_predicted(self) -> None:
        way = Resampling.between((40, 40, 20), (1.0, 1.0, 2.0), (2.0, 2.0, 4.0))
        noise = np.random.default_rng(3).normal(0, 1, (40, 40, 20, 1)).astype(np.float32)
        found, _ = way.forth(noise, np.ones((40, 40, 20), bool))
        assert way.noise_factor == pytest.approx(1.0 / np.sqrt(8.0), rel=1e-6)
        assert float(found.std()) == pytest.approx(way.noise_factor, rel=0.05)
