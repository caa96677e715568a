# SPDX-License-Identifier: Apache-2.0
"""Our fit of several delays against the kinetic model of another project (pip install --no-deps asldro)."""

import numpy as np
import pytest

from PerfusionSuiteLib import asl
from PerfusionSuiteLib.core import AslDifference

DELAYS = np.array([1.025, 1.525, 2.025, 2.525])
SHAPE = (24, 20, 4)


@pytest.mark.parametrize("labeling", ["pcasl", "pasl"])
def test_signals_of_asldro_give_back_their_flow_and_arrival(labeling):
    pytest.importorskip("asldro", reason="the ASL digital reference object is not installed")
    from asldro.containers.image import NumpyImageContainer
    from asldro.filters.gkm_filter import GkmFilter

    rng = np.random.default_rng(4)
    white = rng.random(SHAPE) > 0.6
    flow, arrival = np.where(white, 20.0, 60.0) * rng.uniform(0.6, 1.4, SHAPE), rng.uniform(1.1, 2.2, SHAPE)
    duration = 1.45 if labeling == "pcasl" else 0.7
    delays = DELAYS if labeling == "pcasl" else DELAYS + 0.2
    images = []
    for delay in delays:
        model = GkmFilter()
        model.add_inputs({
            "perfusion_rate": NumpyImageContainer(flow), "transit_time": NumpyImageContainer(arrival), "m0": 74.6,
            "t1_tissue": NumpyImageContainer(np.where(white, 0.83, 1.33)), "label_type": labeling, "label_duration": duration,
            "signal_time": delay + (duration if labeling == "pcasl" else 0.0), "label_efficiency": 0.85,
            "lambda_blood_brain": 0.9, "t1_arterial_blood": 1.65,
        })  # fmt: skip
        model.run()
        images.append(model.outputs["delta_m"].image)
    scan = AslDifference(
        np.stack(images, axis=-1).astype(np.float32), delays, np.full(4, duration), np.full(SHAPE, 74.6, np.float32), None,
        np.ones(SHAPE, bool), np.diag([2.0, 2.0, 4.0, 1.0]), labeling, 0.85, 3.0, np.zeros(4), np.full(4, 3),
    )  # fmt: skip
    found = asl.quantify(scan, tissue={"gm": 1.0 - white, "wm": 1.0 * white})
    seen = arrival < delays[-1] - duration if labeling == "pasl" else np.ones(SHAPE, bool)
    assert np.linalg.norm((found["cbf"] - flow)[seen]) / np.linalg.norm(flow[seen]) < 0.01
    assert np.abs(found["att"] - arrival)[seen].max() < 0.05
