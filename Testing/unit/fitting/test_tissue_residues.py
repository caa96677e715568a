# SPDX-License-Identifier: Apache-2.0
"""Gray and white matter with residues of their own: seen in the static image, chosen by the scan, mixed in maps and fields."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from field_examples import FACTOR, arterial

from PerfusionSuiteLib import fitting
from PerfusionSuiteLib.core.errors import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.core.watch import NoWatch
from PerfusionSuiteLib.deconvolution.codes import QualityCode
from PerfusionSuiteLib.fitting.curve_model import CurveModel
from PerfusionSuiteLib.fitting.residue_shape import inverse_shape, misfits, shape_from
from PerfusionSuiteLib.fitting.response_table import shape_of
from PerfusionSuiteLib.prepare.gray_matter import gray_share

SHAPE, SPACING = (48, 48, 4), (2.0, 2.0, 8.0)
TIMES = np.linspace(0.0, 54.0, 46)
AFFINE = np.diag([*SPACING, 1.0])


class Notes(NoWatch):
    def __init__(self) -> None:
        self.codes: list[str] = []

    def note(self, code: str, message: str, advice: str = "", severity: str = "warning", **values: Any) -> None:
        self.codes.append(code)


@cache
def head() -> tuple[np.ndarray, np.ndarray]:
    """Brain, and gray matter as three rings and a core."""
    x, y, _ = np.indices(SHAPE) - (np.array(SHAPE) - 1)[:, None, None, None] / 2
    radius = np.hypot(x, y)
    return radius < 22, (np.floor(radius / 5.5) % 2 == 1) & (radius < 22)


def density(noise: float, contrast: float = 8.0) -> np.ndarray:
    brain, gray = head()
    image = np.where(brain, 28.0 + contrast * gray, 0.0)
    return (image + noise * np.random.default_rng(5).standard_normal(SHAPE)).astype(np.float32)


@cache
def scan() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Curves without and with noise, and the truth: gray matter has a gamma residue, white an exponential one."""
    brain, gray = head()
    draw = np.random.default_rng(3)
    late = np.broadcast_to(np.linspace(0.0, 3.0, SHAPE[0])[:, None, None], SHAPE)
    cbv = np.where(gray, 4.0, 2.4) * np.exp(0.05 * draw.standard_normal(SHAPE))
    mtt = np.where(gray, 4.0, 6.0) + late
    delay = 1.0 + late
    truth = {"cbf": 60 * cbv / mtt, "cbv": cbv, "mtt": mtt, "delay": delay, "tmax": delay + mtt / 2}
    clean = np.zeros((*SHAPE, TIMES.size), np.float32)
    for part, family in ((brain & gray, "gamma:5"), (brain & ~gray, "exponential")):
        model = CurveModel(TIMES, arterial(TIMES), family)
        clean[part] = model.curves(truth["cbf"][part] / FACTOR, mtt[part], delay[part], TIMES)
    return clean, clean + draw.normal(0.0, 1.5, clean.shape).astype(np.float32), truth


def fitted(settings: dict[str, Any] | None = None, guide: np.ndarray | None = None) -> tuple[dict[str, np.ndarray], Any, Notes]:
    watch, brain = Notes(), head()[0]
    maps, field = fitting.fit(
        scan()[1], arterial(TIMES), TIMES, method="spatial", mask=brain, affine=AFFINE, settings=settings or {}, guide=guide,
        watch=watch,
    )  # fmt: skip
    return maps, field, watch


@cache
def both() -> tuple[dict[str, np.ndarray], Any, Notes]:
    pytest.importorskip("torch")
    return fitted(guide=density(1.0) + scan()[1].mean(axis=3))


def biases(maps: dict[str, np.ndarray], name: str) -> tuple[float, float]:
    """Of gray and of white matter, away from borders."""
    brain, gray = head()
    truth = scan()[2][name]
    share = gray_share(density(0.0), brain, SPACING)
    assert share is not None
    pure = np.zeros(SHAPE)
    pure[brain] = np.abs(share - 0.5)
    parts = (gray & (pure > 0.4), brain & ~gray & (pure > 0.4))
    return tuple(float(np.median(maps[name][part] / truth[part])) - 1.0 for part in parts)  # type: ignore[return-value]


class TestShareOfGrayMatter:
    @pytest.mark.parametrize("noise", [0.0, 1.0, 2.5])
    def test_tissues_are_told_by_their_density(self, noise: float) -> None:
        brain, gray = head()
        share = gray_share(density(noise), brain, SPACING)
        assert share is not None
        assert share.shape == (int(brain.sum()),)
        assert 0.0 <= share.min() <= share.max() <= 1.0
        assert np.mean((share > 0.5) == gray[brain]) > 0.9

    def test_an_image_of_noise_tells_nothing(self) -> None:
        assert gray_share(density(2.5, 0.0), head()[0], SPACING) is None

    def test_too_little_contrast_tells_nothing(self) -> None:
        assert gray_share(density(0.2, 2.0), head()[0], SPACING) is None

    def test_fluid_vessels_and_missing_values_do_not_move_the_tissues(self) -> None:
        brain, _ = head()
        image = density(0.5)
        image[brain & (np.indices(SHAPE)[1] > 40)] = 5.0
        image[brain & (np.indices(SHAPE)[1] < 8)] = 300.0
        image[24, 24, 1] = np.nan
        share, plain = (gray_share(one, brain, SPACING) for one in (image, density(0.5)))
        assert share is not None
        assert plain is not None
        middle = np.abs(np.indices(SHAPE)[1] - 24)[brain] < 10
        np.testing.assert_allclose(share[middle], plain[middle], atol=0.15)

    def test_a_mask_with_hardly_any_tissue_tells_nothing(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[24, 10:40, 1] = True
        assert gray_share(density(0.5), mask, SPACING) is None


class TestEvidence:
    SHAPES = (float("inf"), 10.0, 5.0, 3.0, 2.0, 1.5, 1.0)

    @staticmethod
    def left(inverse: float) -> np.ndarray:
        """What responses of each shape leave of curves whose residue has a given shape: noise, and more the farther it is."""
        noise = np.random.default_rng(0).chisquare(8, 2000)
        return np.stack([noise + 60.0 * (1.0 / shape - inverse) ** 2 for shape in TestEvidence.SHAPES])

    @pytest.mark.parametrize("inverse", [0.0, 0.15, 0.4, 0.75, 1.0])
    def test_the_shape_that_leaves_only_noise_is_found_also_between_those_that_were_tried(self, inverse: float) -> None:
        found = inverse_shape(misfits(self.left(inverse), np.full(2000, 400.0)), self.SHAPES)
        assert found == pytest.approx(inverse, abs=0.03)

    def test_it_does_not_depend_on_the_unit_of_the_curves(self) -> None:
        left = self.left(0.3)
        np.testing.assert_allclose(misfits(left, np.full(2000, 400.0)), misfits(left * 49.0, np.full(2000, 400.0 * 49.0)))

    def test_hardly_rounded_boxes_are_boxes_and_nearly_exponentials_exponentials(self) -> None:
        assert shape_from(0.03) == float("inf")
        assert shape_from(0.99) == 1.0
        assert shape_from(0.3) == pytest.approx(3.33)


class TestFit:
    def test_each_tissue_gets_its_own_residue_and_flow_is_right_in_both(self) -> None:
        maps, field, watch = both()
        assert "residues_by_tissue" in watch.codes
        assert 3.0 <= shape_of(field.settings["family"]) <= 10.0
        assert 1.0 <= shape_of(field.settings["white_family"]) <= 1.5
        for name, most in (("cbf", 0.12), ("tmax", 0.08)):
            assert np.abs(biases(maps, name)).max() < most
        brain = head()[0]
        np.testing.assert_allclose(maps["cbv"][brain], maps["cbf"][brain] * maps["mtt"][brain] / 60.0, rtol=1e-4)
        np.testing.assert_allclose(maps["tmax"][brain], maps["delay"][brain] + maps["mtt"][brain] / 2, rtol=1e-4, atol=1e-3)

    def test_quality_is_good_just_where_there_is_flow(self) -> None:
        maps, _, _ = both()
        brain = head()[0]
        np.testing.assert_array_equal(maps["quality"][brain] == QualityCode.OK, np.isfinite(maps["cbf"][brain]))

    def test_one_residue_for_all_is_wrong_in_one_of_them(self) -> None:
        for maps, field, watch in (fitted({"tissues": False}, density(1.0) + scan()[1].mean(axis=3)), fitted()):
            assert "residues_by_tissue" not in watch.codes
            assert "white_family" not in field.settings
            assert np.abs(biases(maps, "cbf")).max() > 0.2

    def test_the_field_gives_the_same_maps(self) -> None:
        maps, field, _ = both()
        again = fitting.sample(field)
        brain = head()[0]
        for name in ("cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd"):
            np.testing.assert_allclose(again[name][brain], maps[name][brain], rtol=2e-4, atol=2e-4)

    def test_the_loss_that_is_kept_falls(self) -> None:
        _, field, _ = both()
        assert (np.diff(field.history["loss"]) <= 1e-3 * field.history["loss"][0]).all()
        assert (np.diff(field.history["step"]) > 0).all()

    def test_fitted_curves_are_those_of_both_residues(self) -> None:
        _, field, _ = both()
        curves, _ = fitting.fitted_curves(field)
        brain, clean = head()[0], scan()[0]
        error = np.sqrt(np.mean((curves[brain] - clean[brain]) ** 2))
        assert error < 0.05 * clean[brain].max()

    def test_a_field_keeps_both_on_disk(self, tmp_path: Any) -> None:
        pytest.importorskip("safetensors")
        maps, field, _ = both()
        again = fitting.sample(fitting.load_field(fitting.save_field(field, tmp_path / "field.safetensors")))
        np.testing.assert_allclose(again["cbf"][head()[0]], maps["cbf"][head()[0]], rtol=2e-4)


class TestPosteriorMeans:
    """The same choice, curve by curve and without PyTorch: curves of a voxel and its neighbors were averaged before."""

    @staticmethod
    @cache
    def averaged(**settings: Any) -> tuple[dict[str, np.ndarray], Notes]:
        brain, watch = head()[0], Notes()
        curves = scan()[0] + np.random.default_rng(9).normal(0.0, 0.4, scan()[0].shape).astype(np.float32)
        gray = np.zeros(SHAPE, np.float32)
        gray[brain] = gray_share(density(1.0), brain, SPACING)
        maps, _ = fitting.fit(
            curves, arterial(TIMES), TIMES, method="bayes", mask=brain, settings={"dispersion": 0.0, **settings}, gray=gray,
            watch=watch,
        )  # fmt: skip
        return maps, watch

    def test_each_tissue_gets_its_own_residue_and_flow_is_right_in_both(self) -> None:
        maps, watch = self.averaged()
        assert "residues_by_tissue" in watch.codes
        for name, most in (("cbf", 0.12), ("tmax", 0.08)):
            assert np.abs(biases(maps, name)).max() < most

    def test_one_residue_for_all_is_wrong_in_one_of_them(self) -> None:
        maps, watch = self.averaged(tissues=False)
        assert watch.codes == ["residue_chosen"]
        assert np.abs(biases(maps, "cbf")).max() > 0.2

    def test_shares_that_are_none_are_refused(self) -> None:
        common = {"method": "bayes", "mask": head()[0]}
        with pytest.raises(GridMismatchError, match="one number for each voxel"):
            fitting.fit(scan()[0], arterial(TIMES), TIMES, gray=np.ones(7), **common)
        with pytest.raises(InvalidInputError, match="between 0 and 1"):
            fitting.fit(scan()[0], arterial(TIMES), TIMES, gray=np.full(SHAPE, np.nan), **common)


def test_tissue_that_hardly_stands_out_of_the_noise_does_not_choose() -> None:
    from PerfusionSuiteLib.fitting.tissue_classes import may_choose

    clear, faint = np.ones(800, bool), np.arange(2000) % 4 == 0
    assert may_choose(clear)
    assert not may_choose(faint)
    assert not may_choose(clear[:200])
