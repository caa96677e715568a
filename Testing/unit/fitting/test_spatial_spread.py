# SPDX-License-Identifier: Apache-2.0
"""Standard errors of the spatial fit: they hold the truth in every tissue, and smoothing makes nothing more certain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib import phantom
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition, FieldScan, make_scan
from PerfusionSuiteLib.fitting import fit

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

KEYS = ("cbf", "tmax")


def scan_of(kind: str, residue: str, noise: float, seed: int, **form: Any) -> FieldScan:
    return make_scan(*phantom.brain(seed=seed, noise_hu=noise, residue=residue, **form), FieldCondition(kind, residue, noise))


def maps_of(scan: FieldScan, **settings: Any) -> dict[str, np.ndarray]:
    curves = scan.concentration
    return fit(
        curves.data, scan.aif, curves.times_s, method="spatial", mask=curves.mask, affine=curves.affine, settings=settings,
        device="cpu",
    )[0]  # fmt: skip


def held(maps: dict[str, np.ndarray], scan: FieldScan, where: np.ndarray) -> np.ndarray:
    """Share of voxels whose truth lies within one standard error, of flow and Tmax."""
    return np.array([np.mean((np.abs(maps[key] - scan.truth[key]) < maps[f"{key}_sd"])[where]) for key in KEYS])


def test_whole_slices_are_covered_about_as_often_as_they_say() -> None:
    scan = scan_of("brain", "box", 4.0, 32, shape=(256, 256, 3))  # a brain that no factor was read off
    share = held(maps_of(scan, family="box"), scan, scan.masks["scored"])
    assert ((share > 0.55) & (share < 0.81)).all()


def test_normal_tissue_penumbra_and_core_are_covered_alike() -> None:
    scan = scan_of("crop", "exponential", 4.0, 31, crop=True)
    maps, scored = maps_of(scan, family="exponential"), scan.masks["scored"]
    late, core = scan.masks["hypoperfusion"], scan.masks["core"]
    for where in (scored & ~late, scored & late & ~core, scored & core):
        assert where.sum() > 500
        share = held(maps, scan, where)
        assert ((share > 0.5) & (share < 0.84)).all()


def test_smoothness_makes_no_average_more_certain() -> None:
    scan = scan_of("crop", "box", 4.0, 31, crop=True)
    usual, smooth = (maps_of(scan, family="box", smoothness=tuple(factor * s for s in (0.1, 0.1, 0.4))) for factor in (0.2, 5.0))
    inner = scan.masks["scored"] & ~scan.masks["hypoperfusion"]
    ratio = np.median(smooth["tmax_sd"][inner] / usual["tmax_sd"][inner])
    assert 0.85 < ratio < 1.15


@pytest.mark.parametrize("slices", [1, 3])
def test_voxels_wider_than_any_average_are_fitted_by_themselves(slices: int) -> None:
    scan = scan_of("crop", "box", 2.0, 31, crop=True)
    curves = scan.concentration
    found = fit(
        curves.data[20:36, 20:36, :slices], scan.aif, curves.times_s, method="spatial", affine=np.diag([8.0, 8.0, 10.0, 1.0]),
        settings={"family": "box"}, device="cpu",
    )[0]  # fmt: skip
    assert np.isfinite(found["cbf"]).mean() > 0.95
    assert (found["cbf_sd"][np.isfinite(found["cbf"])] > 0).all()
