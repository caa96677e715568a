# SPDX-License-Identifier: Apache-2.0
"""Voxels between two tissues, and what standard errors hold: known mixtures, pure tissue, the arterial input, bad input."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.core.errors import InvalidInputError  # noqa: E402
from PerfusionSuiteLib.core.findings import QualityFinding  # noqa: E402
from PerfusionSuiteLib.fitting import METHODS, fit, with_artery_error  # noqa: E402
from PerfusionSuiteLib.fitting.artery_error import DOUBTFUL, USUAL, checked_error  # noqa: E402
from PerfusionSuiteLib.fitting.border_voxels import two_tissues  # noqa: E402

TIMES = np.arange(0.0, 60.1, 1.0)
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])
FINE = np.arange(0.0, 100.0, 0.01)


def artery(times_s: np.ndarray) -> np.ndarray:
    x = np.maximum(times_s - 8.0, 0.0) / 4.5
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


AREA = np.concatenate([[0.0], np.cumsum(artery(FINE))[:-1] * 0.01])


def box(flow: float, mtt: float, delay: float) -> np.ndarray:
    """Curve of a box residue, flow in mL/100 mL/min, by a numeric integral apart from the product."""
    now, before = (np.interp(TIMES - delay - late, FINE, AREA, left=0.0) for late in (0.0, mtt))
    return flow / 6000.0 * (now - before)


EARLY, LATE = (50.0, 4.5, 0.7), (14.0, 10.0, 5.0)


def border(share: float) -> np.ndarray:
    """Two tissues left and right; the middle row holds `share` of the left one."""
    curves = np.empty((15, 9, 3, TIMES.size))
    curves[:7], curves[8:] = box(*EARLY), box(*LATE)
    curves[7] = share * box(*EARLY) + (1.0 - share) * box(*LATE)
    return curves


def run(curves: np.ndarray, method: str = "spatial", **settings: Any) -> dict[str, np.ndarray]:
    return fit(
        curves, artery(TIMES), TIMES, method=method, affine=AFFINE, density=1.0, hematocrit_factor=1.0,
        settings={"family": "box", **settings},
    )[0]  # fmt: skip


class TestMixture:
    @pytest.mark.parametrize("share", [0.3, 0.6])
    def test_has_the_flow_volume_and_delay_of_both_tissues(self, share: float) -> None:
        maps = run(border(share), average=False)
        flows = share * EARLY[0], (1.0 - share) * LATE[0]
        flow, volume = sum(flows), (flows[0] * EARLY[1] + flows[1] * LATE[1]) / 60.0
        middle = (7, slice(2, 7), 1)
        np.testing.assert_allclose(maps["cbf"][middle], flow, rtol=0.05)
        np.testing.assert_allclose(maps["cbv"][middle], volume, rtol=0.05)
        np.testing.assert_allclose(maps["delay"][middle], (flows[0] * EARLY[2] + flows[1] * LATE[2]) / flow, atol=0.25)

    def test_is_told_better_than_by_one_tissue_under_noise(self) -> None:
        noisy = border(0.5) + np.random.default_rng(1).normal(0.0, 1.0, (15, 9, 3, TIMES.size))
        true = 0.5 * (EARLY[0] + LATE[0])
        with_parts, without = (np.abs(run(noisy, borders=borders)["cbf"][7] - true).mean() for borders in (True, False))
        assert with_parts < 0.8 * without

    def test_is_told_better_by_a_neural_field_with_both_tissues_too(self) -> None:
        noisy = border(0.5) + np.random.default_rng(1).normal(0.0, 1.0, (15, 9, 3, TIMES.size))
        true = 0.5 * (EARLY[0] + LATE[0])
        with_parts, without = (
            np.abs(run(noisy, "neural", borders=borders, steps=200)["cbf"][7] - true).mean() for borders in (True, False)
        )
        assert with_parts < 0.8 * without

    def test_pure_tissue_stays_what_it_is(self) -> None:
        curves = np.broadcast_to(box(*EARLY), (9, 9, 3, TIMES.size))
        with_parts, without = run(curves), run(curves, borders=False)
        np.testing.assert_allclose(with_parts["cbf"], without["cbf"], rtol=1e-5)

    def test_amounts_are_least_squares_that_are_never_negative(self) -> None:
        rng = np.random.default_rng(2)
        one, other = (torch.from_numpy(rng.normal(size=(200, 8))) for _ in range(2))
        wanted = torch.from_numpy(rng.normal(size=(2, 200)))
        few = wanted[0, :, None] * one + wanted[1, :, None] * other
        amounts, misfit = two_tissues(few, one, other, one.square().sum(1), other.square().sum(1))
        assert (amounts >= 0).all()
        kept = (wanted >= 0).all(dim=0)
        torch.testing.assert_close(amounts[:, kept], wanted[:, kept])
        for way in (torch.zeros_like(amounts), amounts + 0.05, (amounts - 0.05).clamp_min(0.0)):
            left = few - way[0, :, None] * one - way[1, :, None] * other
            assert (left.square().sum(1) >= misfit - 1e-9).all()


class TestArteryError:
    def test_is_a_factor_of_flow_and_a_shift_of_tmax(self) -> None:
        curves = border(0.5)
        exact, known = run(curves), run(curves, artery_error=(0.3, 0.7))
        np.testing.assert_allclose(known["cbf_sd"] ** 2 - exact["cbf_sd"] ** 2, (0.3 * exact["cbf"]) ** 2, rtol=0.02)
        np.testing.assert_allclose(known["tmax_sd"] ** 2 - exact["tmax_sd"] ** 2, 0.49, rtol=0.02)
        np.testing.assert_array_equal(known["cbf"], exact["cbf"])

    def test_counts_for_single_curves_too(self) -> None:
        curves = np.stack([box(*EARLY), box(*LATE)])
        exact, known = (
            fit(curves, artery(TIMES), TIMES, method="bayes", settings={"artery_error": error})[0]
            for error in ((0, 0), (0.3, 0.7))
        )
        np.testing.assert_allclose(known["tmax_sd"] ** 2 - exact["tmax_sd"] ** 2, 0.49, rtol=0.02)
        assert (known["cbf_sd"] > exact["cbf_sd"]).all()

    def test_is_larger_for_an_artery_that_is_doubted(self) -> None:
        doubt = QualityFinding("aif_uncertain", "warning", "The artery may be wrong.", "Look at it.")
        options = METHODS["spatial"].options
        found = [with_artery_error(options, {}, SimpleNamespace(findings=findings)) for findings in ((), (doubt,))]  # type: ignore[arg-type]
        assert [each["artery_error"] for each in found] == [USUAL, DOUBTFUL]

    def test_that_was_given_is_kept_and_other_methods_get_none(self) -> None:
        curve: Any = SimpleNamespace(findings=())
        assert with_artery_error(METHODS["bayes"].options, {"artery_error": (0, 0)}, curve) == {"artery_error": (0, 0)}
        assert with_artery_error(METHODS["nlr"].options, {}, curve) == {}

    @pytest.mark.parametrize("value", [0.1, (0.1,), (-0.1, 0.2), "often", (0.1, float("nan"))])
    def test_that_makes_no_sense_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidInputError, match="artery_error must be a share of flow and a time"):
            checked_error(value)
