# SPDX-License-Identifier: Apache-2.0
"""A table that reaches the upper slab 1.5 s after the lower one must not look like a delay of the blood."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from PerfusionSuiteLib import series
from PerfusionSuiteLib.core import Acquisition, PerfusionSeries
from PerfusionSuiteLib.deconvolution import deconvolve
from PerfusionSuiteLib.phantom import PhantomTruth, tiles, write_dicom
from PerfusionSuiteLib.prepare.timing import common_times

OFFSET_S = 1.5


def jog_scan(residue: str) -> tuple[PerfusionSeries, PhantomTruth]:
    """Sample one and the same section of tiles at two table positions that take turns every 1.5 s."""
    fine, truth = tiles(residue=residue, tile_px=4, cbvs=(4.0,), interval_s=OFFSET_S, frames=44)
    section = fine.data[:, :, :1]
    data = np.concatenate([section[..., 0::2], section[..., 0::2], section[..., 1::2], section[..., 1::2]], axis=2)
    lower, upper = fine.times_s[0::2], fine.times_s[1::2]
    times = np.stack([lower, lower, upper, upper])
    acquisition = Acquisition(slice_times_s=times, shuttle=True)
    return PerfusionSeries(data, fine.affine, times.mean(axis=0), "ctp", acquisition), truth


def tmax_step(scan: PerfusionSeries, truth: PhantomTruth, sampled_s: np.ndarray) -> np.ndarray:
    """Return Tmax of the upper slab minus that of the lower one, voxel by voxel of tissue."""
    aif = CubicSpline(sampled_s, np.interp(sampled_s, truth.fine_times_s, truth.fine_aif))(scan.times_s)
    enhancement = scan.data - scan.data[..., :3].mean(axis=-1, keepdims=True)
    tissue = truth.masks["brain"][:, :, 0]
    tmax = deconvolve(enhancement, aif, scan.times_s, method="csvd")["tmax"][tissue]
    return tmax[:, 2] - tmax[:, 0]


@pytest.mark.parametrize("residue", ["box", "exponential"])
def test_the_step_of_tmax_between_slabs_stays_below_a_fifth_of_a_second(residue: str) -> None:
    scan, truth = jog_scan(residue)
    lower = scan.acquisition.slice_times_s[0]
    step = tmax_step(common_times(scan), truth, lower)
    transit = truth.maps["mtt"][:, :, 0][truth.masks["brain"][:, :, 0]]
    # Peaks between frames 3 s apart shift Tmax of a tile to and fro with its delay; over all delays nothing may remain.
    for mtt in np.unique(transit[transit < 10.0]):
        assert abs(step[transit == mtt].mean()) < 0.2
    assert abs(np.median(step)) < 0.05
    ignored = tmax_step(replace(scan, times_s=lower, acquisition=Acquisition()), truth, lower)
    assert np.median(ignored) < -1.0  # what the slice times are for


@pytest.mark.parametrize("vendor", ["siemens", "ge"])
def test_the_step_stays_away_through_dicom_files_of_two_series(tmp_path: Path, vendor: str) -> None:
    scan, truth = jog_scan("box")
    write_dicom(scan, tmp_path, vendor=vendor, split="slabs")
    found = series.read(tmp_path)
    start = found.acquisition.slice_times_s[0, 0]
    assert found.acquisition.shuttle
    shifted = common_times(found)
    in_scan = replace(shifted, times_s=shifted.times_s - start)  # as the arterial curve counts
    step = tmax_step(in_scan, truth, found.acquisition.slice_times_s[0] - start)
    assert abs(np.median(step)) < 0.2
