# SPDX-License-Identifier: Apache-2.0
"""Pictures of charts: the legend covers no curve where a corner is free."""

from __future__ import annotations

import numpy as np
import pytest

from PerfusionSuiteSlicer.headless.ChartImages import chartPicture
from PerfusionSuiteSlicer.mrml.CurveNodes import curvesToNodes, plotsToChart

pytestmark = pytest.mark.mrml

TIMES = np.linspace(0.0, 3.5, 30)
RED = (0.9, 0.1, 0.1)


def painted(chart):
    """Where a picture of a chart is red."""
    return np.abs(chartPicture(chart).astype(int) - 255 * np.array(RED)).max(axis=-1) < 60


@pytest.mark.parametrize(
    "values",
    [np.exp(-TIMES), TIMES, np.maximum(TIMES, 1.75), -np.maximum(TIMES, 1.75), 3.5 - np.abs(TIMES - 1.75)],
    ids=["falling", "rising", "high at the right", "low at the right", "peak"],
)
def test_the_legend_hides_no_curve(scene, values):
    _, plots = curvesToNodes(scene, TIMES, {"label": values}, "x", unit="", role="c", title="label", colors={"label": RED})
    chart = plotsToChart(scene, plots, "x", role="input", title="label", yTitle="label")
    chart.LegendVisibilityOff()
    alone = painted(chart)
    chart.LegendVisibilityOn()
    with_legend = painted(chart)
    assert alone.sum() > 500
    assert (alone & ~with_legend).sum() < 20
    assert (with_legend & ~alone).any()  # its line in the legend


def test_a_logarithmic_chart_has_its_legend_beside_the_curve(scene):
    _, plots = curvesToNodes(
        scene, TIMES, {"loss": 10.0 ** (2.0 * TIMES)}, "x", unit="", role="c", title="loss", colors={"loss": RED}
    )
    chart = plotsToChart(scene, plots, "x", role="loss", title="loss", yTitle="loss")
    chart.SetYAxisLogScale(True)
    chart.LegendVisibilityOff()
    alone = painted(chart)
    chart.LegendVisibilityOn()
    assert (alone & ~painted(chart)).sum() < 20
