# SPDX-License-Identifier: Apache-2.0
"""Noise reduction: noise falls, edges and curves stay, vessels do not bleed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from PerfusionSuiteLib.core import CancelledError, Concentration, GridMismatchError, InvalidInputError
from PerfusionSuiteLib.prepare import NOISE_METHODS, reduce_noise, smoothed_curves
from PerfusionSuiteLib.prepare.similarity import whitened_components

TIMES = np.linspace(0, 58.5, 40)
LEFT, RIGHT = slice(0, 24), slice(24, 48)


def bolus(start_s: float, height: float) -> np.ndarray:
    x = np.maximum(TIMES - start_s, 0.0) / 7.5
    return height * x**3 * np.exp(3.0 * (1.0 - x))


def two_tissues(noise_hu: float = 3.0, slice_mm: float = 5.0, seed: int = 0) -> tuple[Concentration, np.ndarray]:
    """Left half: 8 HU at 10 s; right half: 3 HU at 16 s; a vessel of 200 HU in the left half."""
    truth = np.zeros((48, 40, 3, TIMES.size), np.float32)
    truth[LEFT], truth[RIGHT] = bolus(10.0, 8.0), bolus(16.0, 3.0)
    truth[10:13, 10:13] = bolus(9.0, 200.0)
    noise = np.random.default_rng(seed).normal(0, 1, truth.shape)
    noise = ndimage.gaussian_filter(noise, (0.7, 0.7, 0, 0))
    data = (truth + noise_hu * noise / noise.std()).astype(np.float32)
    baseline = data[..., :6].mean(axis=3)
    mask = np.zeros(truth.shape[:3], bool)
    mask[2:46, 2:38] = True
    data = np.where(mask[..., None], data - baseline[..., None], 0.0).astype(np.float32)
    affine = np.diag([1.5, 1.5, slice_mm, 1.0])
    return Concentration(data, affine, TIMES, mask, baseline + 35.0, "HU", noise_hu, 6), truth


def vessel_mask() -> np.ndarray:
    vessel = np.zeros((48, 40, 3), bool)
    vessel[9:14, 9:14] = True
    return vessel


def error(concentration: Concentration, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.sqrt(np.mean((concentration.data[where] - truth[where]) ** 2)))


@pytest.mark.parametrize("method", ["similarity", "gaussian", "bilateral"])
class TestEveryMethod:
    def test_noise_falls_to_less_than_half(self, method: str) -> None:
        noisy, truth = two_tissues()
        inside = noisy.mask & ~vessel_mask()
        assert error(reduce_noise(noisy, method=method, exclude=vessel_mask()), truth, inside) < 0.55 * error(
            noisy, truth, inside
        )

    def test_excluded_vessels_keep_their_curves_and_stay_out_of_tissue(self, method: str) -> None:
        noisy, _ = two_tissues(noise_hu=0.5)
        smooth = reduce_noise(noisy, method=method, exclude=vessel_mask())
        assert np.array_equal(smooth.data[vessel_mask()], noisy.data[vessel_mask()])
        around = noisy.mask & ~vessel_mask() & ndimage.binary_dilation(vessel_mask(), iterations=2)
        assert smooth.data[around].max() < 12.0

    def test_nothing_appears_outside_the_mask(self, method: str) -> None:
        noisy, _ = two_tissues()
        smooth = reduce_noise(noisy, method=method)
        assert not smooth.data[~noisy.mask].any()
        assert smooth.noise_sd == noisy.noise_sd

    def test_equal_curves_stay_equal_up_to_the_edge(self, method: str) -> None:
        noisy, _ = two_tissues()
        same = np.where(noisy.mask[..., None], bolus(10.0, 8.0), 0.0).astype(np.float32)
        flat = Concentration(same, noisy.affine, TIMES, noisy.mask, np.full(noisy.mask.shape, 35, np.float32), "HU", 1.0, 6)
        assert reduce_noise(flat, method=method).data == pytest.approx(same, abs=1e-4)

    def test_scaling_all_values_scales_the_result(self, method: str) -> None:
        noisy, _ = two_tissues()
        double = Concentration(2 * noisy.data, noisy.affine, TIMES, noisy.mask, 2 * noisy.baseline, "HU", 6.0, 6)
        once, twice = reduce_noise(noisy, method=method), reduce_noise(double, method=method)
        assert twice.data == pytest.approx(2 * once.data, abs=0.02)


def test_similar_curves_are_averaged_across_less_of_an_edge_than_by_a_gaussian() -> None:
    noisy, truth = two_tissues()
    edge = np.zeros(noisy.mask.shape, bool)
    edge[22:26, 4:36] = True
    similar = error(reduce_noise(noisy, method="similarity", exclude=vessel_mask()), truth, edge)
    blurred = error(reduce_noise(noisy, method="gaussian", exclude=vessel_mask(), sigma_mm=3.0), truth, edge)
    assert similar < blurred


def test_a_lesion_of_two_centimeters_keeps_its_curve() -> None:
    noisy, truth = two_tissues()
    inner = np.zeros(noisy.mask.shape, bool)
    inner[28:44, 6:34] = True
    smooth = reduce_noise(noisy, method="similarity")
    before, after = (np.abs(c.data[inner].mean(axis=0) - truth[30, 20, 0]).max() for c in (noisy, smooth))
    assert before < 0.5  # the noise of the mean
    assert after < before + 0.1


def test_distances_of_pure_noise_are_what_they_should_be() -> None:
    rng = np.random.default_rng(0)
    curves = (bolus(10.0, 8.0) + rng.normal(0, 2.0, (20_000, 40))).astype(np.float32)
    scores = whitened_components(curves, 6, 8)
    squared = ((scores[::2] - scores[1::2]) ** 2).sum(axis=1)
    assert squared.mean() == pytest.approx(8.0, rel=0.06)


def test_a_cleaner_guide_keeps_two_tissues_apart_that_noise_confuses() -> None:
    noisy, truth = two_tissues(noise_hu=8.0)
    guide = truth + np.random.default_rng(5).normal(0, 0.2, truth.shape)
    guided = reduce_noise(noisy, guide=guide, exclude=vessel_mask())
    plain = reduce_noise(noisy, exclude=vessel_mask())
    bolus_frames = slice(8, 22)

    def contrast_lost(result: Concentration) -> float:
        """Share of the difference between both tissues that is missing in the columns beside their border."""
        step = result.data[23, 4:36].mean(axis=(0, 1)) - result.data[24, 4:36].mean(axis=(0, 1))
        true = truth[23, 20, 0] - truth[24, 20, 0]
        return 1.0 - float((step * true)[bolus_frames].sum() / (true**2)[bolus_frames].sum())

    assert abs(contrast_lost(guided)) < abs(contrast_lost(plain))


def test_thin_slices_are_averaged_across_slices_by_the_bilateral_filter() -> None:
    thick, truth = two_tissues(slice_mm=5.0)
    thin, _ = two_tissues(slice_mm=1.5)
    inside = thick.mask & ~vessel_mask()
    by_thin = error(reduce_noise(thin, method="bilateral", exclude=vessel_mask()), truth, inside)
    assert by_thin < error(reduce_noise(thick, method="bilateral", exclude=vessel_mask()), truth, inside)


def test_none_changes_nothing() -> None:
    noisy, _ = two_tissues()
    assert reduce_noise(noisy, method="none") is noisy
    assert list(NOISE_METHODS) == ["similarity", "gaussian", "bilateral", "none"]


@pytest.mark.parametrize("method", list(NOISE_METHODS))
def test_curves_alone_are_those_of_the_volume(method: str) -> None:
    noisy, _ = two_tissues()
    volume = reduce_noise(noisy, method=method, exclude=vessel_mask())
    curves = smoothed_curves(noisy, method=method, exclude=vessel_mask())
    assert np.array_equal(curves, volume.data[noisy.mask])
    assert not volume.data[~noisy.mask].any()


def test_progress_reaches_the_end_and_can_cancel() -> None:
    noisy, _ = two_tissues()
    seen: list[float] = []
    reduce_noise(noisy, progress=lambda fraction, stage: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def cancel(fraction: float, stage: str) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        reduce_noise(noisy, progress=cancel)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "magic"}, "no noise reduction 'magic'"),
        ({"method": "gaussian", "width": 3}, "has no option 'width'. It has sigma_mm"),
        ({"method": "gaussian", "sigma_mm": -1.0}, "sigma_mm is -1.0"),
        ({"method": "similarity", "sharpness": 0.0}, "sharpness is 0.0"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        reduce_noise(two_tissues()[0], **options)  # type: ignore[arg-type]


def test_an_exclusion_of_another_grid_is_refused() -> None:
    with pytest.raises(GridMismatchError, match="excluded region"):
        reduce_noise(two_tissues()[0], exclude=np.zeros((3, 3, 3), bool))


def test_neighbors_on_a_fine_grid_get_averages_of_common_samples() -> None:
    """Where every second neighbor is visited, noise must not alternate between even and odd voxels."""
    rng = np.random.default_rng(8)
    affine = np.diag([0.9, 0.9, 6.0, 1.0])
    mask = np.ones((64, 64, 1), bool)
    data = (bolus(10.0, 8.0) + rng.normal(0, 2.0, (64, 64, 1, TIMES.size))).astype(np.float32)
    fine = Concentration(data, affine, TIMES, mask, np.full(mask.shape, 35, np.float32), "HU", 2.0, 6)
    left = reduce_noise(fine).data - bolus(10.0, 8.0)
    center = left[8:-8, 8:-8]
    steps = np.abs(np.fft.fft2(center[:, :, 0], axes=(0, 1))) ** 2
    alternating = steps[24, 0].mean() + steps[0, 24].mean() + steps[24, 24].mean()
    assert alternating < 0.03 * steps[:4, :4].mean() * 3
