# SPDX-License-Identifier: Apache-2.0
"""How nodes of a study are found again: by what they are to the study, kept as attributes, not by name or ID.

This is what lets a second run fill the same nodes, and a scene that was read from a file be understood.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer
import vtk

from PerfusionSuiteLib.core.files import plain

STUDY = "PerfusionSuite.study"
ROLE = "PerfusionSuite.role"
FACTS = "PerfusionSuite.facts"

SERIES, BROWSER = "series", "series.browser"
"""The scan as it was given: the user's, never overwritten by results."""

SERIES_M0 = "series.m0"
"""Calibration image of an ASL scan."""

PREPARED, PREPARED_BROWSER = "series.prepared", "series.prepared.browser"
"""The scan after motion correction, part of the results."""

LESIONS, ANATOMY, REPORT = "lesions", "anatomy", "report"
QUALITY = "quality"

REGIONS = "regions"
"""Regions whose mean curves were fitted."""

DRAWN = "drawn"
"""Regions that a user drew: never removed by results."""


def findNode(scene: Any, study: str, role: str) -> Any | None:
    """Return the node that plays a role in a study, or None."""
    return nodesOfStudy(scene, study).get(role)


def nodesOfStudy(scene: Any, study: str) -> dict[str, Any]:
    """Return all nodes of a study by their role."""
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return {node.GetAttribute(ROLE): node for node in nodes if node.GetAttribute(STUDY) == study and node.GetAttribute(ROLE)}


def studiesInScene(scene: Any) -> list[str]:
    """Return the names of all studies in a scene, in the order in which they were added."""
    nodes = (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
    return list(dict.fromkeys(name for node in nodes if (name := node.GetAttribute(STUDY))))


def nodeFor(scene: Any, className: str, study: str, role: str, name: str) -> Any:
    """Return the node that plays a role in a study; add it when there is none yet."""
    node = findNode(scene, study, role)
    if node is not None and not node.IsA(className):
        removeNode(scene, node)
        node = None
    if node is None:
        node = scene.AddNewNodeByClass(className, name)
        node.SetAttribute(STUDY, study)
        node.SetAttribute(ROLE, role)
    return node


def setFacts(node: Any, facts: dict[str, Any]) -> None:
    """Keep plain values with a node, as JSON."""
    node.SetAttribute(FACTS, json.dumps(plain(facts), allow_nan=False))


def factsOf(node: Any) -> dict[str, Any]:
    """Return what `setFacts` kept, or an empty mapping for a node of other origin."""
    text = node.GetAttribute(FACTS)
    return json.loads(text) if text else {}


def removeNode(scene: Any, node: Any) -> None:
    """Remove a node with what belongs to it alone: displays, storage, proxies of a sequence, place in the subject hierarchy."""
    proxies = _partFromBrowsers(scene, node)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node) if hierarchy else 0
    if item:
        hierarchy.RemoveItem(item, False, False)
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        # The last first: a legend is a display that needs the first one.
        helpers += [node.GetNthDisplayNode(i) for i in reversed(range(node.GetNumberOfDisplayNodes()))]
    if node.IsA("vtkMRMLStorableNode"):
        helpers.append(node.GetStorageNode())
    for helper in [*helpers, node]:
        if helper is not None and scene.IsNodePresent(helper):
            scene.RemoveNode(helper)
    for proxy in proxies:  # not before: a browser makes those anew that it misses
        removeNode(scene, proxy)


def _partFromBrowsers(scene: Any, node: Any) -> list[Any]:
    """Part a sequence from its browsers, or a browser from its sequences; return the volumes that would stay behind."""
    if node.IsA("vtkMRMLSequenceNode"):
        count = scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")
        browsers = [scene.GetNthNodeByClass(index, "vtkMRMLSequenceBrowserNode") for index in range(count)]
        pairs = [(browser, node) for browser in browsers if browser.IsSynchronizedSequenceNode(node, True)]
    elif node.IsA("vtkMRMLSequenceBrowserNode"):
        sequences = vtk.vtkCollection()
        node.GetSynchronizedSequenceNodes(sequences, True)
        pairs = [(node, sequences.GetItemAsObject(index)) for index in range(sequences.GetNumberOfItems())]
    else:
        pairs = []
    proxies = [proxy for browser, sequence in pairs if (proxy := browser.GetProxyNode(sequence)) is not None]
    for browser, sequence in pairs:
        browser.RemoveSynchronizedSequenceNode(sequence.GetID())
    return proxies


@contextmanager
def allOrNothing(scene: Any) -> Iterator[None]:
    """Remove every node that was added inside the block when it fails."""
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    try:
        yield
    except BaseException:
        added = [node for i in range(scene.GetNumberOfNodes()) if (node := scene.GetNthNode(i)).GetID() not in before]
        for node in added:
            if scene.IsNodePresent(node) and not node.IsA("vtkMRMLSubjectHierarchyNode"):
                removeNode(scene, node)
        raise
