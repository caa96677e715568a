# SPDX-License-Identifier: Apache-2.0
"""Peaks beside a fit that looks at the noisy scan: of smoothed curves, or of the scan as it is where that was asked for."""

import numpy as np
import pytest

from PerfusionSuiteLib import phantom, pipeline

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def test_without_noise_reduction_the_peak_is_that_of_the_scan_as_it_is():
    scan, _ = phantom.ctp(
        seed=8,
        recipe="clean",
        site="m1",
        residue="box",
        shape=(96, 96, 6),
        spacing_mm=(2.2, 2.2, 10.0),
        interval_s=1.5,
        frames=36,
    )
    plain, usual = (pipeline.run(scan, pipeline.Settings(method="spatial", noise_reduction=kind)) for kind in ("none", "auto"))
    tissue = plain.lesions.tissue & usual.lesions.tissue
    noisy, smooth = (study.maps["mip"].values[tissue] for study in (plain, usual))
    assert np.mean(noisy - smooth) > 0.2  # HU: noise lifts the highest of many frames
