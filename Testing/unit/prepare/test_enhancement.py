# SPDX-License-Identifier: Apache-2.0
"""HU to enhancement: baseline, mask, noise, truncation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError, TimingError
from PerfusionSuiteLib.prepare import ct_concentration, noise_sd, tissue_masks
from PerfusionSuiteLib.prepare.noise import baseline_autocovariance


def codes(result: Any) -> list[str]:
    return [finding.code for finding in result.findings]


def test_tissue_enhances_as_drawn(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    concentration = ct_concentration(a_head.series, masks)
    assert concentration.unit == "HU"
    assert concentration.baseline_frames == 6  # up to 7.5 s: contrast enters the artery after 8 s
    peak = concentration.data[masks.tissue].mean(axis=0).max()
    assert 5.0 < peak < 10.0  # white matter peaks at 5, grey at 10 HU
    assert not concentration.data[~concentration.mask].any()


def test_enhancement_in_the_memory_of_the_scan_is_the_same(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    copied = ct_concentration(a_head.series, masks)
    own = replace(a_head.series, data=a_head.series.data.copy())
    in_place = ct_concentration(own, masks, overwrite=True)
    assert np.array_equal(in_place.data, copied.data)
    assert np.array_equal(in_place.baseline, copied.baseline)
    assert np.shares_memory(in_place.data, own.data)
    assert in_place.findings == copied.findings


def test_sinus_stays_available_and_bone_does_not(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    concentration = ct_concentration(a_head.series, masks)
    assert (concentration.mask & a_head.sinus).sum() > 0.8 * a_head.sinus.sum()
    assert concentration.data[a_head.sinus].max() > 180.0
    assert not (concentration.mask & masks.bone & ~masks.brain).any()


def test_noise_is_read_from_the_data(a_head: Any) -> None:
    assert ct_concentration(a_head.series, tissue_masks(a_head.series)).noise_sd == pytest.approx(3.0, rel=0.05)


def test_rounding_to_whole_numbers_adds_only_its_own_noise() -> None:
    rng = np.random.default_rng(0)
    curves = np.round(rng.normal(30.0, 1.0, (20_000, 12))).astype(np.float32)
    assert noise_sd(curves, 12) == pytest.approx(np.sqrt(1.0 + 1.0 / 12.0), rel=0.03)


def test_a_drift_is_not_noise() -> None:
    drift = np.linspace(0, 100, 20)
    curves = (np.random.default_rng(0).normal(0, 2.0, (5000, 20)) + drift).astype(np.float32)
    assert noise_sd(curves, 20) == pytest.approx(2.0, rel=0.03)


def test_autocovariance_of_white_and_of_interpolated_noise() -> None:
    white = np.random.default_rng(0).normal(0, 3.0, (20_000, 10)).astype(np.float32)
    assert baseline_autocovariance(white, 10) == pytest.approx([9.0, 0.0, 0.0], abs=0.3)
    mixed = (0.5 * (white[:, 1:] + white[:, :-1])).astype(np.float32)
    covariance = baseline_autocovariance(mixed, 9)
    assert covariance[:2] == pytest.approx([4.5, 2.25], abs=0.3)


def test_early_contrast_falls_back_to_the_lowest_running_mean(head_maker: Callable[..., Any]) -> None:
    head = head_maker(bolus_s=1.5, noise_hu=1.0)
    concentration = ct_concentration(head.series, tissue_masks(head.series))
    assert "short_baseline" in codes(concentration)
    assert concentration.baseline[head.sinus].mean() < 60.0
    assert np.isfinite(concentration.data).all()


def test_an_early_end_is_reported(head_maker: Callable[..., Any]) -> None:
    head = head_maker(bolus_s=16.0, frames=18)  # 25.5 s of data: the tissue peaks at about 23 s
    found = codes(ct_concentration(head.series, tissue_masks(head.series)))
    assert "truncated_tissue" in found


def test_a_full_passage_has_nothing_to_report(a_head: Any) -> None:
    assert codes(ct_concentration(a_head.series, tissue_masks(a_head.series))) == []


def test_bone_that_moves_in_late_is_not_a_vein_cut_off_by_the_end(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    data = a_head.series.data.copy()
    moved_in = np.where(a_head.series.times_s > 20.0, 300.0, 0.0).astype(np.float32)
    data[28:44, 28:44, 5] += moved_in  # the highest slice, below the vault
    assert "truncated_venous" not in codes(ct_concentration(replace(a_head.series, data=data), masks))


def test_voxels_with_missing_values_are_left_out_and_counted(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    data = a_head.series.data.copy()
    chosen = np.argwhere(masks.tissue)[::400]
    data[tuple(chosen.T)] = np.where(np.arange(30) == 7, np.nan, data[tuple(chosen.T)])
    concentration = ct_concentration(replace(a_head.series, data=data), masks)
    assert "nonfinite_voxels" in codes(concentration)
    assert str(len(chosen)) in concentration.findings[0].message
    assert not concentration.mask[tuple(chosen.T)].any()
    assert np.isfinite(concentration.data).all()
    assert np.isfinite(concentration.baseline).all()


def test_a_constant_added_to_the_scan_changes_nothing_but_the_baseline(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    plain = ct_concentration(a_head.series, masks)
    brighter = ct_concentration(replace(a_head.series, data=a_head.series.data + 8.0), masks)
    assert brighter.data == pytest.approx(plain.data, abs=1e-3)
    assert (brighter.baseline - plain.baseline)[plain.mask] == pytest.approx(8.0, abs=1e-3)


def test_masks_of_another_scan_are_refused(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    cut = replace(a_head.series, data=a_head.series.data[:, :, :3])
    with pytest.raises(GridMismatchError, match="masks of this scan"):
        ct_concentration(cut, masks)


def test_too_short_a_scan_is_refused(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    short = replace(a_head.series, data=a_head.series.data[..., :8], times_s=a_head.series.times_s[:8])
    with pytest.raises(TimingError, match="8 frames"):
        ct_concentration(short, masks)


def test_a_brain_without_finite_values_is_refused(a_head: Any) -> None:
    masks = tissue_masks(a_head.series)
    data = a_head.series.data.copy()
    data[masks.brain, 20] = np.nan
    with pytest.raises(InvalidInputError, match="finite values"):
        ct_concentration(replace(a_head.series, data=data), masks)
