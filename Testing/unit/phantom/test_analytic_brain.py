# SPDX-License-Identifier: Apache-2.0
"""The analytic brain: its truth, its noise, and that curves hold what the truth says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.core.constants import flow_factor


@pytest.fixture(scope="module")
def still() -> tuple[Any, Any]:
    """A long noise-free scan, so that all contrast has passed."""
    return phantom.brain(seed=4, noise_hu=0.0, crop=True, shape=(40, 40, 3), frames=110)


@pytest.fixture(scope="module")
def slab() -> tuple[Any, Any]:
    return phantom.brain(seed=4, noise_hu=3.0, shape=(256, 256, 2), frames=12)


def test_one_seed_is_one_patient() -> None:
    small = {"crop": True, "shape": (16, 16, 2), "frames": 12}
    first, again = (phantom.brain(seed=5, **small)[0].data for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, phantom.brain(seed=6, **small)[0].data)


def test_curves_hold_the_blood_volume_of_the_truth(still: tuple[Any, Any]) -> None:
    series, truth = still
    tissue = truth.masks["scored"] & (truth.fractions["csf"] == 0) & (truth.fractions["bone"] == 0)
    tissue &= np.sum([truth.fractions[name] for name in ("gm", "wm", "deep")], axis=0) > 0.999
    enhancement = series.data[tissue] - series.data[tissue][:, :1]
    share = enhancement.sum(axis=1) / truth.aif.sum()
    expected = truth.maps["cbv"][tissue] / (flow_factor() / 60.0)
    np.testing.assert_allclose(share, expected, rtol=0.005)


def test_the_central_volume_theorem_holds(still: tuple[Any, Any]) -> None:
    maps, scored = still[1].maps, still[1].masks["scored"]
    np.testing.assert_allclose(maps["cbf"][scored] * maps["mtt"][scored], 60.0 * maps["cbv"][scored], rtol=1e-5)
    np.testing.assert_allclose(maps["tmax"][scored], (maps["delay"] + maps["mtt"] / 2)[scored], rtol=1e-6)
    assert maps["mtt"][scored].min() >= 4.0 - 1e-4 and maps["mtt"][scored].max() <= 12.0 + 1e-4
    assert maps["delay"][scored].min() >= -1e-5 and maps["delay"][scored].max() <= 8.0 + 1e-4


def test_flow_falls_to_half_in_the_penumbra_and_to_a_fifth_in_the_core(still: tuple[Any, Any]) -> None:
    truth = still[1]
    ratio = truth.maps["cbf"] / truth.maps["cbf_healthy"]
    assert np.median(ratio[truth.masks["core"]]) == pytest.approx(0.19, abs=0.01)
    assert np.median(ratio[truth.masks["penumbra"]]) == pytest.approx(0.5, abs=0.01)
    assert truth.masks["core"].any() and not (truth.masks["core"] & truth.masks["penumbra"]).any()
    assert truth.side == "right"


def test_gray_and_white_matter_have_their_flow_and_the_lesion_lies_on_the_right(slab: tuple[Any, Any]) -> None:
    series, truth = slab
    healthy = truth.maps["cbf_healthy"]
    gray, white = (truth.masks["scored"] & (truth.fractions[name] > 0.99) for name in ("gm", "wm"))
    assert healthy[gray].mean() == pytest.approx(62.0, rel=0.06)
    assert healthy[gray].std() / healthy[gray].mean() == pytest.approx(0.12, abs=0.04)
    assert healthy[white].mean() == pytest.approx(26.0, rel=0.06)
    assert 0.25 < gray.sum() / (gray | white).sum() < 0.7
    places = np.argwhere(truth.masks["hypoperfusion"]) @ series.affine[:3, :3].T + series.affine[:3, 3]
    assert len(places) > 100 and places[:, 0].min() > 0.0


def test_noise_has_the_strength_and_the_correlation_that_were_asked_for(slab: tuple[Any, Any]) -> None:
    series, _ = slab
    noise = np.diff(series.data[:40, :40], axis=3)[..., :3] / np.sqrt(2.0)  # air before contrast arrives
    assert noise.std() == pytest.approx(3.0, rel=0.03)
    neighbors = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert neighbors == pytest.approx(np.exp(-1.0 / (4.0 * 0.6**2)), abs=0.08)
    assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.05


def test_residues_change_curves_but_not_the_truth() -> None:
    small = {"seed": 8, "noise_hu": 0.0, "crop": True, "shape": (12, 12, 1), "frames": 20}
    (box, box_truth), (gamma, gamma_truth) = (phantom.brain(**small, residue=name) for name in ("box", "gamma:2"))
    np.testing.assert_array_equal(box_truth.maps["mtt"], gamma_truth.maps["mtt"])
    assert np.abs(box.data - gamma.data).max() > 0.5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"noise_hu": -1.0}, "noise_hu must not be negative"),
        ({"frames": 3}, "frames must be at least 10"),
        ({"interval_s": 0.0}, "interval_s must be positive"),
        ({"shape": (4, 0, 2)}, "shape must be three positive numbers"),
        ({"residue": "mixed"}, "has one residue"),
        ({"residue": "cone"}, "no residue 'cone'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        phantom.brain(seed=1, **wrong)
