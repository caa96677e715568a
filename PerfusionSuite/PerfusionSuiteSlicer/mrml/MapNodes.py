# SPDX-License-Identifier: Apache-2.0
"""Perfusion maps as volume nodes that know quantity, unit, colours, window and origin, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from PerfusionSuiteLib.core import QUANTITIES, InvalidInputError, PerfusionMap, PerfusionMaps, Provenance, Quantity
from PerfusionSuiteLib.core.colors import color_table

from .StudyRoles import QUALITY, ROLE, factsOf, nodeFor, setFacts
from .VolumeArrays import affineOf, setVolume, volumeArray

QUANTITY_SCHEME = "99PERFUSION"
CAPLEX_SCHEME = "99CAPLEX"
"""Private coding schemes begin with 99 in DICOM."""

UCUM_PER_VOLUME = {"mL/100mL/min": "mL/(100.mL.min)", "mL/100mL": "mL/(100.mL)"}

QUALITY_REFERENCE = "PerfusionSuite.quality"

LARGE = 1e9

LABEL_WIDTH = 4
"""Letters of a legend's labels, filled up with blanks: Slicer makes letters as large as the widest label allows."""


def mapsToNodes(scene: Any, maps: PerfusionMaps, name: str, *, role: str = "map", label: str = "") -> dict[str, Any]:
    """Put maps into one scalar volume node each, called ``<name> CBF`` and so on; return them by key.

    Parameters
    ----------
    role : str
        What maps on another grid than the study's are to it.
    label : str
        Said behind the name of the quantity.
    """
    qualityNodes: dict[bytes, Any] = {}
    nodes = {}
    for key, item in maps.items():
        node = mapToNode(scene, item, name, role=role, label=label)
        if item.quality is not None:
            shared = np.asarray(item.quality, np.uint8).tobytes()
            if shared not in qualityNodes:
                qualityNodes[shared] = _qualityToNode(scene, item, name, len(qualityNodes))
            node.SetNodeReferenceID(QUALITY_REFERENCE, qualityNodes[shared].GetID())
        else:
            node.RemoveNodeReferenceIDs(QUALITY_REFERENCE)
        nodes[key] = node
    return nodes


def mapToNode(scene: Any, item: PerfusionMap, name: str, *, role: str = "map", label: str = "") -> Any:
    """Put one map into a scalar volume node with its display; voxels that were not computed stay NaN."""
    quantity = item.quantity
    words = f"{name} {quantity.symbol} {label}".strip()
    node = nodeFor(scene, "vtkMRMLScalarVolumeNode", name, f"{role}.{quantity.key}", words)
    setVolume(node, item.values, item.affine)
    node.SetVoxelValueQuantity(_codedQuantity(quantity))
    node.SetVoxelValueUnits(_codedUnit(item))
    setFacts(
        node,
        {
            "quantity": quantity.key,
            "unit": item.unit,
            "method": item.provenance.method,
            "settings": item.provenance.settings,
            "software": item.provenance.software,
        },
    )
    showMap(scene, node, quantity, item.unit)
    return node


def showMap(scene: Any, node: Any, quantity: Quantity, unit: str) -> None:
    """Set colours, fixed window, transparent background and legend of a map."""
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    wasModifying = display.StartModify()
    display.SetAndObserveColorNodeID(colorNode(scene, quantity.colormap).GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*displayRange(node, quantity, unit))
    display.AutoThresholdOff()
    if isAnatomical(quantity):
        display.ApplyThresholdOff()
        display.InterpolateOn()
    else:
        # NaN is never inside the thresholds; what says that there is nothing is left out unless negative values have a meaning.
        display.SetThreshold(quantity.drawn_above if quantity.display_range[0] >= 0 else -LARGE, LARGE)
        display.ApplyThresholdOn()
        # Interpolation would eat half a voxel around each voxel that was not computed.
        display.InterpolateOff()
    display.EndModify(wasModifying)
    if not isAnatomical(quantity):
        _setLegend(node, quantity, unit)


def isAnatomical(quantity: Quantity) -> bool:
    """Say whether a map is the picture of the head itself, to be shown in grey beneath others."""
    return quantity.unit == "HU"


def displayRange(node: Any, quantity: Quantity, unit: str) -> tuple[float, float]:
    """Return the fixed window of a quantity; MR signal has no scale of its own and gets one from its values."""
    if unit == quantity.unit or not isAnatomical(quantity):
        return quantity.display_range
    low, high = np.nanpercentile(volumeArray(node), (2.0, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _setLegend(node: Any, quantity: Quantity, unit: str) -> None:
    title = legendTitle(quantity, unit).replace(" [", "\n[")
    addLegend(node, title, quantity.label_format, _numberOfLabels(quantity))


def addLegend(node: Any, title: str, labelFormat: str, labels: int) -> None:
    """Add a legend to a volume, as all of ours look.

    :param title: what it shows, and the unit.
    :param labelFormat: of its numbers, such as "%.1f".
    :param labels: how many numbers.
    """
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(title)
    legend.SetLabelFormat(labelFormat.replace("%", f"%{LABEL_WIDTH}", 1))
    legend.SetNumberOfLabels(labels)
    # At the right border, slim: Slicer fits the letters to the bar and writes them towards the middle of the view. High enough
    # that labels of equal width, not their number, decide how large letters are: in all views of a layout they are alike.
    legend.SetPosition(0.98, 0.5)
    legend.SetSize(0.1, 0.5)
    legend.SetVisibility(True)
    for textProperty in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        textProperty.SetFontSize(11)
        textProperty.SetColor(1.0, 1.0, 1.0)
        textProperty.SetItalic(False)


def _numberOfLabels(quantity: Quantity) -> int:
    """Return how many labels divide the range so that none is rounded: 0, 5, 10, 15 rather than 0, 4, 8, 11, 15."""
    low, high = quantity.display_range
    steps = {count: (high - low) / (count - 1) for count in (5, 6, 4, 3)}
    exact = (count for count, step in steps.items() if abs(float(quantity.label_format % step) - step) < 1e-6)
    return next(exact, 5)


def renewLegend(scene: Any, node: Any) -> None:
    """Make the legend of a map anew: a slice view shows only legends that were added while it existed."""
    facts = factsOf(node)
    quantity = QUANTITIES.get(facts.get("quantity", ""))
    if quantity is None or isAnatomical(quantity):
        return
    old = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    if old is not None:
        scene.RemoveNode(old)
    _setLegend(node, quantity, facts.get("unit", quantity.unit))


def legendTitle(quantity: Quantity, unit: str) -> str:
    """Return symbol and unit as a legend shows them."""
    return quantity.symbol if unit in ("", "1") else f"{quantity.symbol} [{unit}]"


def colorNode(scene: Any, colormap: str) -> Any:
    """Return the colour table of a quantity; our own tables are added once per scene."""
    if colormap == "grey":
        grey = scene.GetNodeByID("vtkMRMLColorTableNodeGrey")
        if grey is not None:
            return grey
    role = f"colors.{colormap}"
    nodes = scene.GetNodesByClass("vtkMRMLColorTableNode")
    nodes.UnRegister(None)
    for index in range(nodes.GetNumberOfItems()):
        if nodes.GetItemAsObject(index).GetAttribute(ROLE) == role:
            return nodes.GetItemAsObject(index)
    colors = color_table(colormap)
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", f"Perfusion {colormap}")
    node.SetTypeToUser()
    node.SetNumberOfColors(len(colors))
    for index, (red, green, blue) in enumerate(colors):
        node.SetColor(index, f"{index}", red, green, blue, 1.0)
    node.SetDescription(f"Colours of perfusion maps: {colormap}")
    node.SetAttribute("Category", "Perfusion")
    node.SetAttribute(ROLE, role)
    return node


def _codedQuantity(quantity: Quantity) -> Any:
    code = slicer.vtkCodedEntry()
    if quantity.caplex:
        code.SetValueSchemeMeaning(quantity.caplex, CAPLEX_SCHEME, quantity.name)
    else:
        code.SetValueSchemeMeaning(quantity.key.upper(), QUANTITY_SCHEME, quantity.name)
    return code


def _codedUnit(item: PerfusionMap) -> Any:
    ucum = item.quantity.ucum if item.unit == item.quantity.unit else UCUM_PER_VOLUME.get(item.unit, "1")
    code = slicer.vtkCodedEntry()
    code.SetValueSchemeMeaning(ucum, "UCUM", item.unit)
    return code


def _qualityToNode(scene: Any, item: PerfusionMap, name: str, number: int) -> Any:
    suffix = "" if number == 0 else f" {number + 1}"
    role = QUALITY if number == 0 else f"{QUALITY}.{number + 1}"
    node = nodeFor(scene, "vtkMRMLScalarVolumeNode", name, role, f"{name} quality codes{suffix}")
    setVolume(node, np.asarray(item.quality, np.uint8), item.affine)
    node.CreateDefaultDisplayNodes()
    return node


def nodeToMap(node: Any, quantity: str | None = None) -> PerfusionMap:
    """Read a volume node as a map.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        The map.
    quantity : str, optional
        Key of the quantity; needed for volumes that this package did not make.

    Raises
    ------
    InvalidInputError
        If the volume is empty or its quantity is not known.
    """
    values = volumeArray(node)
    facts = factsOf(node)
    key = quantity or facts.get("quantity")
    if key not in QUANTITIES:
        msg = f"It is not known what '{node.GetName()}' shows. Say which of {', '.join(QUANTITIES)} it is."
        raise InvalidInputError(msg)
    provenance = Provenance(facts.get("method", ""), facts.get("settings", {}), facts.get("software", ""))
    qualityNode = node.GetNodeReference(QUALITY_REFERENCE)
    quality = None if qualityNode is None else volumeArray(qualityNode).astype(np.uint8)
    unit = facts.get("unit", "") if facts.get("quantity") == key else ""
    return PerfusionMap(values, affineOf(node), QUANTITIES[key], quality, provenance, unit)


def nodesToMaps(nodes: Any) -> PerfusionMaps:
    """Read several volume nodes, a list or a mapping by quantity key, as maps on one grid."""
    if hasattr(nodes, "items"):
        return PerfusionMaps([nodeToMap(node, key) for key, node in nodes.items() if node is not None])
    return PerfusionMaps([nodeToMap(node) for node in nodes if node is not None])
