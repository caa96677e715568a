# SPDX-License-Identifier: Apache-2.0
"""Which pictures of an ASL study are made from its nodes: flow, arrival, standard errors, low flow, label over delay."""

from __future__ import annotations

from typing import Any

import numpy as np

from PerfusionSuiteLib.core import AslStudy
from PerfusionSuiteLib.core.colors import LESION_COLORS

from ..headless.ChartImages import chartPicture
from ..headless.ContactSheet import Heading, contactSheet
from ..headless.RenderView import TEXT
from .StudyPictures import Pictures, SlicePlan, headingOf, onlyVisible

MAP_PICTURES = ("cbf", "rcbf", "att", "cbf_sd", "att_sd", "rcbf_mirror", "cbf_gm", "cbf_wm", "abv")


def aslPictures(runtime: Any, study: AslStudy, nodes: Any, plan: SlicePlan) -> Pictures:
    """Return what is drawn of an ASL study, see `StudyPictures.writePictures`.

    Parameters
    ----------
    runtime : SceneRuntime
        Scene and application logic that the nodes are in.
    study : AslStudy
        The study.
    nodes : StudyNodes
        Its nodes.
    plan : SlicePlan
        Where the slices lie.
    """

    def mapSheet(key: str) -> np.ndarray:
        with onlyVisible(nodes):
            node = nodes.maps[key]
            return contactSheet(runtime, node, plan.centers, plan.fieldOfView_mm, heading=headingOf(study, key), legendOf=node)

    def lowFlow() -> np.ndarray:
        with onlyVisible(nodes, "lesions"):
            baseline = nodes.maps["baseline"]
            return contactSheet(runtime, baseline, plan.centers, plan.fieldOfView_mm, heading=lowFlowHeading(study))

    jobs: Pictures = [(key, lambda key=key: mapSheet(key)) for key in MAP_PICTURES if key in nodes.maps]
    if study.lesions is not None:
        jobs.append(("low_flow", lowFlow))
    if "chart.input" in nodes:
        jobs.append(("label_over_delay", lambda: chartPicture(nodes["chart.input"])))
    return jobs


def lowFlowHeading(study: AslStudy) -> Heading:
    """Return the line above the slices of low flow: what counts as low, where it lies and how much it is."""
    values = study.metrics.values
    limit = float(study.settings["low_flow_percent"])
    volume_ml, side = values.get("hypoperfusion_volume_ml"), values.get("affected_side")
    beneath = "   over M0" if study.difference.m0 is not None else "   over the mean image"
    amount = "n/a" if volume_ml is None else f"{volume_ml:.1f} mL"
    where = f" on the {side}" if volume_ml and side in ("left", "right") else ""
    return [(f"Flow below {limit:g} % of the other side: {amount}{where}", LESION_COLORS["hypoperfusion"]), (beneath, TEXT)]
