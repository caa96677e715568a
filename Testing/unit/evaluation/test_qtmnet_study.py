# SPDX-License-Identifier: Apache-2.0
"""Evaluation of QTMnet: scores, comparators, rows and the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.asl.kinetic import label_density  # noqa: E402
from PerfusionSuiteLib.asl.qtm_network import QtmNetwork  # noqa: E402
from PerfusionSuiteLib.asl.qtm_weights import Protocol, QtmWeights  # noqa: E402
from PerfusionSuiteLib.evaluation import qtmnet_estimators as estimators  # noqa: E402
from PerfusionSuiteLib.evaluation import qtmnet_study as study  # noqa: E402
from PerfusionSuiteLib.evaluation.report.qtmnet_pictures import draw_brain, draw_cube  # noqa: E402
from PerfusionSuiteLib.evaluation.report.qtmnet_tables import brain_table, cube_table  # noqa: E402
from PerfusionSuiteLib.evaluation.report.qtmnet_writing import write_qtmnet_study  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = (8, 8, 4)


def weights() -> QtmWeights:
    torch.manual_seed(0)
    network = QtmNetwork(4, 4)
    tensors = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
    moments = np.eye(5, 6)
    moments[:, 5] = [80.0, 0.0, 0.0, 0.0, 1.0]
    return QtmWeights(tensors, Protocol(), base=4, moments=tuple(map(tuple, moments.tolist())), spread=(900.0, 1.0, 0.0, 0.0))


def seen(count: int = 2, arrival: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    flow = rng.uniform(20, 80, (count, *SHAPE)).astype(np.float32)
    delays = np.array(Protocol().post_label_delays_s)[:, None, None, None]
    return label_density(flow[:, None], arrival, delays, 1.45).astype(np.float32), flow


def brain() -> study.SimulatedBrain:
    density, flow = seen(1)
    mask = np.ones(SHAPE, bool)
    gray = np.zeros(SHAPE, np.float32)
    gray[:4] = 1.0
    lesion = np.zeros(SHAPE, bool)
    return study.SimulatedBrain(
        "brain 1", np.moveaxis(density[0], 0, 3), flow[0], mask, gray, 1.0 - gray, lesion, np.diag([2.0, 2.0, 4.0, 1.0])
    )


def test_scores_are_those_of_the_formula() -> None:
    found = estimators.scores_of(np.array([3.0, 4.0]), np.array([6.0, 8.0]))
    assert (found.nrmse, found.bias, found.correlation) == pytest.approx((50.0, -3.5, 1.0))


def test_leaving_out_a_voxel_does_not_improve_the_score() -> None:
    truth = np.array([10.0, 20.0])
    assert estimators.scores_of(np.array([10.0, np.nan]), truth).nrmse == estimators.scores_of(np.array([10.0, 0.0]), truth).nrmse


def test_a_kinetic_model_that_fits_its_assumptions_is_exact_on_cubes() -> None:
    density, flow = seen()
    found = estimators.kinetic("asl-multi", density, Protocol())
    assert found.shape == flow.shape
    assert estimators.scores_of(found, flow).nrmse < 1.0


def test_the_published_single_delay_is_taken() -> None:
    density, _ = seen()
    other = density.copy()
    other[:, [0, 2, 3]] = 0.0
    assert estimators.kinetic("asl-single", other, Protocol()) == pytest.approx(
        estimators.kinetic("asl-single", density, Protocol())
    )


def test_the_regression_is_told_the_noise() -> None:
    density, _ = seen()
    clean, noisy = (estimators.regression(weights(), density, noise) for noise in (0.0, 1.0))
    assert clean.mean() == pytest.approx(1.0 + 80.0 * density[:, 0].mean() / 0.02, rel=1e-4)
    assert noisy.mean() - 1.0 == pytest.approx((clean.mean() - 1.0) / 2.0, rel=1e-4)


def test_noise_has_the_size_that_was_asked_for_and_comes_again() -> None:
    clean = np.zeros((4, 4, 16, 16, 8), np.float32)
    first, second = (estimators.with_noise(clean, 0.05, 3) for _ in range(2))
    assert np.array_equal(first, second)
    assert float(first.std()) == pytest.approx(0.05 * 0.02, rel=0.02)


def test_networks_see_cubes_and_brains_alike() -> None:
    density, _ = seen(1)
    cube = estimators.network(weights(), density)[0][0]
    whole = study.brain_maps(weights(), brain())
    assert whole["qtmnet"]["cbf"] == pytest.approx(cube, abs=1e-3)


def test_rows_of_a_brain_name_regions_and_methods() -> None:
    one = replace(brain(), lesion=np.arange(256).reshape(SHAPE) < 10)
    rows = list(study.brain_rows(one, study.brain_maps(weights(), one, noise=0.05), "noise 0.05"))
    assert {row["region"] for row in rows} == {"all voxels", "gray matter", "white matter", "lesion"}
    assert {row["method"] for row in rows} == {"qtmnet", *estimators.KINETIC, study.GUIDED}
    assert set(rows[0]) == set(study.COLUMNS)


def test_coarser_voxels_keep_the_mean() -> None:
    density, flow = seen()
    low, truth = study.coarser(density, flow)
    assert low.shape == (2, 4, 4, 4, 4)
    assert truth.mean() == pytest.approx(flow.mean(), rel=1e-5)
    rows = list(study.coarse_rows(weights(), density, flow, subject="2", condition="coarse"))
    assert study.values_of(rows, method="asl-multi", measure="nrmse_percent")[0] < 1.0


def test_blur_acts_along_slices_only() -> None:
    density = np.zeros((1, 4, 3, 3, 9), np.float32)
    density[0, 0, 1, 1, 4] = 1.0
    found = study.blurred(density)
    assert not found[0, 0, 0].any()
    assert found[0, 0, 1, 1, 3] == pytest.approx(found[0, 0, 1, 1, 5])
    assert found.sum() == pytest.approx(1.0, rel=1e-5)


def test_a_scan_is_compared_with_the_multi_delay_model() -> None:
    flow = np.full(SHAPE, 50.0, np.float32)
    maps = {"qtmnet": {"cbf": 1.1 * flow}, "asl-multi": {"cbf": flow}}
    rows = list(study.scan_rows("scan", maps, {"all voxels": np.ones(SHAPE, bool)}))
    assert study.values_of(rows, method="qtmnet against asl-multi", measure="nrmse_percent") == pytest.approx([10.0], rel=1e-4)
    assert study.values_of(rows, method="asl-multi", measure="mean") == pytest.approx([50.0])


def test_the_report_has_tables_pictures_and_rows(tmp_path: Path) -> None:
    density, flow = seen()
    rows: list[dict[str, Any]] = []
    for words, noise in (("as trained", 0.0), ("noise 0.05", 0.05)):
        rows += study.cube_rows(weights(), density, flow, subject="2", condition=words, noise=noise)
        rows += study.brain_rows(brain(), study.brain_maps(weights(), brain(), noise=noise), words)
    maps = {"truth": brain().flow, "qtmnet": 1.1 * brain().flow}
    figures = {
        "Brain": ("brain.png", draw_brain(maps, brain().mask, brain().affine, "Brain")),
        "Cube": ("cube.png", draw_cube(density[0], flow[0], {"qtmnet": flow[0]}, (1.0, 1.5, 2.0, 2.5), "Cube")),
    }
    levels = {"as trained": 0.0, "noise 0.05": 0.05}
    written = write_qtmnet_study(rows, weights(), [("Cubes", "2")], figures, {"cubes": levels, "brain": levels}, tmp_path)
    names = {path.name for path in written}
    assert names == {"rows.csv", "summary.md", "brain.png", "cube.png", "noise-cubes.png", "noise-brain.png", "report.html"}
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "25.15" in text
    assert "12.62" in text
    assert "7.04" in text


def test_nothing_measured_gives_no_table() -> None:
    assert brain_table([]) is None
    assert cube_table([]) is None
