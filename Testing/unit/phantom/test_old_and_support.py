# SPDX-License-Identifier: Apache-2.0
"""Facts about what lies beside the fresh lesion: old infarcts, the head holder, a field of view that misses the occiput."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteLib.phantom import ctp
from PerfusionSuiteLib.phantom.acquisition import draw_protocol, fine_grid, sampling
from PerfusionSuiteLib.phantom.holder import draw_holder
from PerfusionSuiteLib.prepare.masks import tissue_masks

GRID = {"shape": (72, 72, 6), "spacing_mm": (3.1, 3.1, 12.0), "frames": 12, "interval_s": 4.0}


@pytest.fixture(scope="module")
def scarred():
    """A still patient of recipe hard with an old infarct and a holder."""
    return ctp(seed=9, recipe="hard", noise_hu=1.0, motion="none", **GRID)


def test_an_old_infarct_is_nearly_fluid_with_low_flow_and_no_part_of_the_fresh_lesion(scarred):
    scan, truth = scarred
    old = truth.masks["old_infarct"]
    assert truth.parameters["old_infarct"]["kind"] in ("wedge", "lacune")
    assert old.sum() > 8
    deep = old & (truth.fractions["csf"] > 0.65) & (truth.fractions["bone"] < 0.01)
    assert 5 < np.median(scan.data[..., 0][deep]) < 21
    for name in ("hypoperfusion", "core", "penumbra", "fate", "pure"):
        assert not (old & truth.masks[name]).any()
    normal = truth.masks["pure"] & ~truth.masks["hypoperfusion"]
    assert np.nanmedian(truth.maps["cbf"][deep]) < 0.75 * np.median(truth.maps["cbf"][normal])


def test_most_typical_patients_have_no_old_infarct_and_clean_ones_none():
    kinds = [ctp_kind(seed) for seed in range(1, 9)]
    assert sum(kind == "none" for kind in kinds) >= 5


def ctp_kind(seed: int) -> str:
    """Return the kind of old infarct of a typical patient, from its own random stream."""
    from PerfusionSuiteLib.phantom.draws import stream
    from PerfusionSuiteLib.phantom.old_infarct import SHARE

    return "some" if stream(seed, "lesion", 1).random() < SHARE["typical"] else "none"


def test_about_half_of_the_typical_patients_lie_in_a_holder():
    found = [draw_holder(seed, "typical") is not None for seed in range(1, 101)]
    assert 35 < sum(found) < 65
    assert not any(draw_holder(seed, "clean") for seed in range(1, 51))


def test_the_holder_lies_behind_the_head_and_is_foam_within_plastic(scarred):
    scan, truth = scarred
    first = scan.data[..., 0]
    light = (first > -930) & (first < -700) & (truth.fractions["bone"] == 0)
    head = np.argwhere(truth.fractions["bone"] > 0.5)
    behind = light[:, int(head[:, 1].max()) + 1 :]  # larger j is posterior
    before = light[:, : int(head[:, 1].min())]
    assert behind.sum() > 40
    assert behind.sum() > 5 * before.sum()


def test_the_brain_is_found_in_a_head_that_lies_in_a_holder(scarred):
    scan, truth = scarred
    found, brain = tissue_masks(scan).brain, truth.masks["brain"]
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.94


def test_a_field_of_view_may_miss_the_occiput_in_hard_scans_only():
    given = {"shape": (64, 64, 4), "spacing_mm": (3.5, 3.5, 10.0), "interval_s": 2.0, "frames": 3}
    hard = [draw_protocol(seed, "hard", "m1", **given) for seed in range(1, 41)]
    cut = [p.parameters["cut_behind_mm"] for p in hard]
    assert 3 <= sum(c > 0 for c in cut) <= 15
    assert all(draw_protocol(s, "typical", "m1", **given).parameters["cut_behind_mm"] == 0 for s in range(1, 21))
    # The fine grid still holds all of the head that such a scan shows.
    protocol = hard[int(np.argmax(cut))]
    grid = fine_grid(protocol)
    filled = sampling(protocol, grid).average(np.ones(grid.shape, np.float32))
    affine = protocol.affine
    rows = affine[1, 3] + affine[1, 1] * np.arange(64)
    assert filled[:, (rows > -105) & (rows < 105)][:, :, 20:44].min() > 0.99
