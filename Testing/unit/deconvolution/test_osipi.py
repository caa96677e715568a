# SPDX-License-Identifier: Apache-2.0
"""Public DSC curves with known flow (OSIPI DCE-DSC-MRI CodeCollection, Apache-2.0): default settings must reach the bars."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from PerfusionSuiteLib.deconvolution import deconvolve

FILE = Path(__file__).resolve().parents[4] / "shared" / "data" / "osipi_dsc" / "dsc_data.csv"


@pytest.fixture(scope="module")
def curves() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tissue (14, T), AIF (T,), times, true flow (14,)."""
    if not FILE.exists():
        pytest.skip(f"the public reference data are not at {FILE}")
    with FILE.open() as stream:
        rows = list(csv.DictReader(stream))
    tissue = np.array([np.array(row["C_tis"].split(), float) for row in rows])
    aif = np.array(rows[0]["C_aif"].split(), float)
    return tissue, aif, float(rows[0]["tr"]) * np.linspace(0, aif.size - 1, aif.size), np.array([float(r["cbf"]) for r in rows])


@pytest.mark.parametrize(("method", "bar"), [("osvd", 2.6), ("tikhonov", 1.9)])
def test_mean_flow_error_of_default_settings(curves: tuple[np.ndarray, ...], method: str, bar: float) -> None:
    tissue, aif, times, flow = curves
    found = deconvolve(tissue, aif, times, method=method, density=1.0, hematocrit_factor=1.0)["cbf"]
    assert np.abs(found - flow).mean() <= bar
    assert (np.abs(found - flow) <= 15.0 + 0.1 * flow).all()


def test_volumes_are_those_of_a_discrete_convolution(curves: tuple[np.ndarray, ...]) -> None:
    tissue, aif, times, flow = curves
    volume = np.repeat([4.0, 2.0], 7)
    # These objects were made by a first-order sum, which adds half a frame to the transit time.
    expected = volume + flow * (times[1] / 2.0) / 60.0
    found = deconvolve(tissue, aif, times, density=1.0, hematocrit_factor=1.0)["cbv"]
    np.testing.assert_allclose(found, expected, rtol=0.12)
