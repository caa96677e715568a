# SPDX-License-Identifier: Apache-2.0
"""What an artery lacks after its first pass: read off thousands of curves of tissue whose residues are not known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from PerfusionSuiteLib.fitting import lacking_share, later_part, sampled_curves
from PerfusionSuiteLib.fitting.curve_model import CurveModel

TIMES = np.linspace(0.0, 55.0, 56)
RESIDUES = {"boxes": ("box", "box"), "exponentials": ("exponential", "exponential"), "both": ("gamma:5", "exponential")}


def arterial() -> np.ndarray:
    """A first pass that falls to a fifth, and what comes back."""

    def passage(start: float, width: float) -> np.ndarray:
        x = np.maximum(TIMES - start, 0.0) / width
        return np.asarray((x * np.exp(1.0 - x)) ** 3)

    return 300.0 * (passage(8.0, 4.5) + 0.3 * passage(20.0, 10.0))


@cache
def tissue(residues: str, noise: float) -> np.ndarray:
    """Gray and white matter of many transit times, some of it late."""
    draw = np.random.default_rng(2)
    curves = []
    for family, flow, mtt in zip(RESIDUES[residues], (60.0, 25.0), (4.0, 5.5), strict=True):
        model = CurveModel(TIMES, arterial(), family)
        count = 800
        mtts = mtt * np.exp(draw.normal(0.0, 0.2, count)) * np.where(np.arange(count) % 8 == 0, 2.0, 1.0)
        curves.append(model.curves(flow / 6000.0 * draw.uniform(0.8, 1.2, count), mtts, draw.uniform(0.0, 4.0, count), TIMES))
    clean = np.concatenate(curves)
    return np.asarray(clean + noise * draw.standard_normal(clean.shape), np.float32)


@pytest.mark.parametrize("residues", RESIDUES)
@pytest.mark.parametrize("lacks", [0.0, 0.15, -0.12])
def test_what_an_artery_lacks_is_found_whatever_the_residues_are(residues: str, lacks: float) -> None:
    later = later_part(TIMES, arterial())
    found = lacking_share(tissue(residues, 0.6), TIMES, arterial() / (1.0 + lacks * later))
    assert found == pytest.approx(lacks, abs=0.03)


def test_units_do_not_matter() -> None:
    aif = arterial() * (1.0 - 0.1 * later_part(TIMES, arterial()))
    once = lacking_share(tissue("both", 0.6), TIMES, aif)
    assert lacking_share(tissue("both", 0.6), TIMES, 0.3 * aif) == pytest.approx(once, abs=1e-3)
    assert lacking_share(0.01 * tissue("both", 0.6), TIMES, aif) == pytest.approx(once, abs=1e-3)
    assert lacking_share(tissue("both", 0.6) + 3.0, TIMES, aif) == pytest.approx(once, abs=0.01)


def test_noise_and_arteries_without_a_later_part_tell_nothing() -> None:
    noise = np.random.default_rng(0).standard_normal((2000, TIMES.size)).astype(np.float32)
    assert np.isnan(lacking_share(noise, TIMES, arterial()))
    short = TIMES < 18
    assert np.isnan(lacking_share(tissue("both", 0.6)[:, short], TIMES[short], arterial()[short]))
    assert not later_part(TIMES[short], arterial()[short]).any()


@pytest.mark.parametrize("end_s", [20, 24, 27, 30, 40])
def test_scans_that_end_early_tell_nothing_rather_than_something_wrong(end_s: int) -> None:
    seen = TIMES <= end_s
    found = lacking_share(tissue("both", 0.6)[:, seen], TIMES[seen], arterial()[seen])
    assert np.isnan(found) or found == pytest.approx(0.0, abs=0.08)


def test_an_artery_that_tissue_cannot_have_had_is_told() -> None:
    whole = arterial()
    first = np.where(TIMES > 20.0, 0.3 * whole, whole)
    assert lacking_share(tissue("both", 0.6), TIMES, first) == np.inf


def test_curves_are_means_of_tissue_alone() -> None:
    shape, spacing = (40, 40, 3), np.array([1.5, 1.5, 5.0])
    tissue_mask = np.zeros(shape, bool)
    tissue_mask[5:30, 5:30] = True
    data = np.full((*shape, 4), np.nan, np.float32)
    data[tissue_mask] = [1.0, 2.0, 3.0, 4.0]
    found = sampled_curves(data, tissue_mask, spacing)
    assert 1000 < len(found) <= tissue_mask.sum()
    np.testing.assert_allclose(found, np.broadcast_to([1.0, 2.0, 3.0, 4.0], found.shape), rtol=1e-6)
    data[10, 10, 1] = np.inf
    assert np.isfinite(sampled_curves(data, tissue_mask, spacing)).all()
    noisy = np.random.default_rng(1).standard_normal((*shape, 4)).astype(np.float32)
    assert sampled_curves(noisy, tissue_mask, spacing).std() < 0.4
