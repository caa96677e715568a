# SPDX-License-Identifier: Apache-2.0
"""The truth of a digital patient, segmented: what is left is the error of the lesion room alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PerfusionSuiteLib import lesion, phantom
from PerfusionSuiteLib.core import PerfusionMaps, TissueMasks
from PerfusionSuiteLib.evaluation import dice


@pytest.mark.slow
def test_true_maps_of_a_digital_patient_give_the_drawn_lesion_side_and_plane() -> None:
    series, truth = phantom.ctp(seed=5, shape=(96, 96, 8), spacing_mm=(2.2, 2.2, 8.0), frames=12, noise_hu=4.0)
    baseline = series.data[..., :3].mean(axis=-1)
    masks = truth.masks
    maps = PerfusionMaps.from_arrays({key: truth.maps[key] for key in ("cbf", "cbv", "mtt", "tmax", "delay")}, series.affine)
    tissue = TissueMasks(masks["brain"], masks["csf"], masks["vessel"], masks["bone"])
    _, lesions = lesion.segment(maps, masks=tissue, baseline=baseline)
    assert lesions.side == truth.side
    assert dice(lesions.hypoperfusion, masks["hypoperfusion"]) > 0.9
    assert dice(lesions.core, masks["core"]) > 0.9
    unfiltered = replace(lesion.PRESETS["ct-perfusion-auto"], min_cluster_ml=0.0)
    _, from_maps = lesion.segment(maps, baseline=baseline, preset=unfiltered)
    assert dice(from_maps.hypoperfusion, masks["hypoperfusion"]) > 0.95
    assert dice(from_maps.core, masks["core"]) > 0.95
    assert np.degrees(np.arccos(lesions.midplane[:3] @ truth.midplane[:3])) < 2.0
    center = series.affine[:3, :3] @ np.argwhere(masks["brain"]).mean(axis=0) + series.affine[:3, 3]
    here, there = (plane[:3] @ center - plane[3] for plane in (lesions.midplane, truth.midplane))
    assert abs(here - there) < 2.0
