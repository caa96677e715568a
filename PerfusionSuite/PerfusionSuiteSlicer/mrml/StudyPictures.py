# SPDX-License-Identifier: Apache-2.0
"""Which pictures of a study are made from its nodes: maps, lesions, places of the vascular curves, charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import QUANTITIES, AslStudy, ProgressCallback, Study, part_of
from PerfusionSuiteLib.core.colors import LESION_COLORS
from PerfusionSuiteLib.results.pictures.content import drawn_values

from ..headless.ChartImages import chartPicture
from ..headless.ContactSheet import Heading, contactSheet
from ..headless.RenderView import TEXT, savePNG
from .LossNodes import CHART
from .MapNodes import legendTitle
from .MarkupNodes import CURVE_COLORS
from .RegionNodes import CHART as REGION_CHART
from .RegionNodes import regionNames, shownRegion, showRegion
from .StudyRoles import REGIONS
from .VolumeArrays import setVolume

SLICES = 8

SKULL_MM, LETTERS_MM = 20.0, 14.0
"""Skull and scalp are part of the picture, letters stand beside them: so much more than the brain on every side."""

MAP_PICTURES = ("cbf", "cbv", "mtt", "tmax", "cbf_sd", "tmax_sd")
OVERLAYS = ("tmax", "core_probability")
"""Maps over the grey image: on its own a probability that is nearly 0 in most of the brain shows no anatomy."""

SMALL = 1e-3
"""What is not drawn up to here needs no word."""

VOLUME_KEYS = {
    "core": "infarct_core_volume_ml",
    "penumbra": "penumbra_volume_ml",
    "hypoperfusion": "hypoperfusion_volume_ml",
}


class SlicePlan:
    """Where the slices of the pictures lie: the same for all pictures of a study, so that they can be compared."""

    def __init__(self, study: Study | AslStudy, slices: int = SLICES) -> None:
        affine, brain = np.asarray(study.maps.affine, float), study.masks.brain
        region = brain if brain.any() else np.ones(brain.shape, bool)
        lesion = np.zeros(brain.shape, bool) if study.lesions is None else study.lesions.hypoperfusion
        self.indices = chosenSlices(region, lesion, slices)
        inside = np.argwhere(region)
        low, high = inside.min(axis=0), inside.max(axis=0)
        middle = (low + high) / 2.0
        self.centers = [affine[:3, :3] @ [middle[0], middle[1], k] + affine[:3, 3] for k in self.indices]
        spacing = np.linalg.norm(affine[:3, :2], axis=0)
        across, up = (high[:2] - low[:2] + 1) * spacing
        margin = 2 * (SKULL_MM + LETTERS_MM)
        self.fieldOfView_mm = (float(across) + margin, float(up) + margin)


def chosenSlices(brain: np.ndarray, lesion: np.ndarray, count: int) -> list[int]:
    """Return indices of slices spread over the brain, among them the one with the largest lesion area, top slice last."""
    area = brain.sum(axis=(0, 1))
    useful = np.flatnonzero(area >= 0.15 * area.max())
    if useful.size <= count:
        return [int(k) for k in useful]
    chosen = np.unique(np.rint(np.linspace(useful[0], useful[-1], count)).astype(int))
    if lesion.any():
        largest = int(lesion.sum(axis=(0, 1)).argmax())
        if largest in useful:
            chosen[np.abs(chosen - largest).argmin()] = largest
    return [int(k) for k in np.unique(chosen)]


Pictures = list[tuple[str, Callable[[], np.ndarray]]]
"""Names of pictures, and what makes each."""


def writePictures(
    runtime: Any,
    study: Study | AslStudy,
    nodes: Any,
    folder: Path,
    progress: ProgressCallback | None = None,
    *,
    pictures: Callable[[Any, Any, Any, SlicePlan], Pictures] | None = None,
) -> list[Path]:
    """Write the pictures of a study as ``folder/slicer_*.png``.

    Parameters
    ----------
    runtime : SceneRuntime
        Scene and application logic that the nodes are in.
    nodes : StudyNodes
        The nodes of the study.
    pictures : callable, optional
        Which ones, of the runtime, the study, its nodes and the plan; by default those of a contrast bolus.
    """
    report = part_of(progress, 0.0, 1.0)
    jobs = (pictures or _pictures)(runtime, study, nodes, SlicePlan(study))
    files = []
    for index, (name, make) in enumerate(jobs):
        report(index / len(jobs), f"picture {name}")
        files.append(savePNG(make(), Path(folder) / f"slicer_{name}.png"))
    report(1.0, "pictures")
    return files


def _pictures(runtime: Any, study: Study, nodes: Any, plan: SlicePlan) -> Pictures:
    baseline = nodes.maps["baseline"]

    def sheet(heading: Heading, **options: Any) -> np.ndarray:
        centers = options.pop("centers", plan.centers)
        background = options.pop("background", baseline)
        return contactSheet(runtime, background, centers, plan.fieldOfView_mm, heading=heading, **options)

    def mapSheet(key: str) -> np.ndarray:
        with onlyVisible(nodes), asDrawn(study, nodes.maps[key], key):
            return sheet(headingOf(study, key), background=nodes.maps[key], legendOf=nodes.maps[key])

    def overlay(key: str) -> np.ndarray:
        with onlyVisible(nodes), asDrawn(study, nodes.maps[key], key):
            return sheet(headingOf(study, key, " over baseline"), foreground=nodes.maps[key], legendOf=nodes.maps[key])

    def lesions() -> np.ndarray:
        with onlyVisible(nodes, "lesions"):
            return sheet(lesionHeading(study))

    def points() -> np.ndarray:
        with onlyVisible(nodes, "points.aif", "points.vof"):
            centers = curveCenters(study, plan)
            return sheet(curveHeading(nodes), centers=centers)

    def regions() -> np.ndarray:
        with onlyVisible(nodes, REGIONS), allRegions(runtime.scene, nodes):
            return sheet(regionHeading(nodes))

    jobs: Pictures = []
    jobs += [(f"{key}_overlay", lambda key=key: overlay(key)) for key in OVERLAYS if key in nodes.maps]
    jobs += [(key, lambda key=key: mapSheet(key)) for key in MAP_PICTURES if key in nodes.maps]
    further = (
        ("lesions", lesions, True),
        ("input_function", points, "points.aif" in nodes or "points.vof" in nodes),
        ("regions", regions, REGIONS in nodes),
        ("curves", lambda: curvesPicture(nodes), True),
        ("loss", lambda: chartPicture(nodes[CHART]), CHART in nodes),
    )
    return [*jobs, *((name, make) for name, make, isWanted in further if isWanted)]


def headingOf(study: Study | AslStudy, key: str, place: str = "") -> Heading:
    """Return the line above the slices of a map: symbol, unit, window, method."""
    quantity, item = QUANTITIES[key], study.maps[key]
    low, high = quantity.display_range
    method = f", method {item.provenance.method}" if item.provenance.method else ""
    hidden = f", up to {quantity.drawn_above:g} not drawn" if quantity.drawn_above > SMALL else ""
    if isinstance(study, Study) and study.masks.csf.any():
        hidden += ", fluid not drawn"
    text = f"{legendTitle(quantity, item.unit)}{place}, window {low:g} to {high:g}{hidden}{method}"
    return [(text, TEXT)]


def lesionHeading(study: Study) -> Heading:
    """Return the line above the slices of the lesions: what they are called, in their colours, and how large they are."""
    values = study.metrics.values
    parts: list[tuple[str, tuple[float, float, float]]] = []
    for name, field in (("Core", "core"), ("Penumbra", "penumbra"), ("Hypoperfusion (outline)", "hypoperfusion")):
        volume_ml = values.get(VOLUME_KEYS[field])
        parts += [(f"{name} {'n/a' if volume_ml is None else f'{volume_ml:.1f} mL'}   ", LESION_COLORS[field])]
    return parts


def curveHeading(nodes: Any) -> Heading:
    """Return the line above the slices with the places of the vascular curves."""
    return [(f"{kind.upper()} voxels   ", CURVE_COLORS[kind]) for kind in ("aif", "vof") if f"points.{kind}" in nodes]


def curveCenters(study: Study, plan: SlicePlan) -> list[np.ndarray]:
    """Return the middle of the slices in which the AIF and the VOF have most voxels."""
    affine = np.asarray(study.series.affine, float)
    middle = np.linalg.solve(affine[:3, :3], plan.centers[0] - affine[:3, 3])
    curves = [curve for curve in (study.aif, study.vof) if curve is not None and len(curve.voxels)]
    slices = [int(np.bincount(curve.voxels[:, 2]).argmax()) for curve in curves]
    return [affine[:3, :3] @ [middle[0], middle[1], k] + affine[:3, 3] for k in dict.fromkeys(slices)]


def regionHeading(nodes: Any) -> Heading:
    """Return the line above the slices of the regions: how many there are of each tissue, in the color of the first."""
    segmentation = nodes[REGIONS].GetSegmentation()
    colors: dict[str, tuple[float, float, float]] = {}
    counts: dict[str, int] = {}
    for name in regionNames(nodes):
        tissue = name.rsplit(" ", 1)[0]
        counts[tissue] = counts.get(tissue, 0) + 1
        colors.setdefault(tissue, segmentation.GetSegment(name).GetColor())
    return [("Regions:   ", TEXT), *((f"{tissue} ({count})   ", colors[tissue]) for tissue, count in counts.items())]


@contextmanager
def allRegions(scene: Any, nodes: Any) -> Iterator[None]:
    """Show all regions, and the chosen one again at the end."""
    name, chosen = nodes.name, shownRegion(nodes)
    showRegion(scene, name)
    try:
        yield
    finally:
        showRegion(scene, name, chosen)


def curvesPicture(nodes: Any) -> np.ndarray:
    """Return the charts of the study above each other."""
    charts = [nodes[role] for role in ("chart.input", "chart.tissue", REGION_CHART) if role in nodes]
    return np.vstack([chartPicture(chart) for chart in charts])


@contextmanager
def asDrawn(study: Study, node: Any, key: str) -> Iterator[None]:
    """Give a map the values that pictures show, and its own again at the end."""
    image = node.GetImageData()
    setVolume(node, drawn_values(study, key), study.maps[key].affine)
    try:
        yield
    finally:
        node.SetAndObserveImageData(image)


@contextmanager
def onlyVisible(nodes: Any, *roles: str) -> Iterator[None]:
    """Show segmentations and points of some roles only, and as they were before at the end."""
    displays = {
        role: node.GetDisplayNode()
        for role, node in nodes.items()
        if role in ("lesions", "anatomy", REGIONS) or role.startswith("points.")
    }
    before = {role: display.GetVisibility() for role, display in displays.items()}
    for role, display in displays.items():
        display.SetVisibility(role in roles)
    try:
        yield
    finally:
        for role, display in displays.items():
            display.SetVisibility(before[role])
