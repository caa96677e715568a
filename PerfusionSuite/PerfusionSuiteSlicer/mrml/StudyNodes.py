# SPDX-License-Identifier: Apache-2.0
"""The nodes of a study by what they are to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .StudyRoles import ANATOMY, BROWSER, LESIONS, PREPARED, PREPARED_BROWSER, REPORT, SERIES


@dataclass(frozen=True)
class StudyNodes(Mapping[str, Any]):
    """The nodes of a study by their role, such as ``map.cbf``, ``curve.aif`` or ``lesions``.

    Parameters
    ----------
    name : str
        Name of the study.
    nodes : dict
        Node by role.
    folder : int
        Item of the study's folder in the subject hierarchy.
    """

    name: str
    nodes: dict[str, Any] = field(default_factory=dict)
    folder: int = 0

    def __getitem__(self, role: str) -> Any:
        return self.nodes[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def maps(self) -> dict[str, Any]:
        """Volume nodes by the key of their quantity."""
        return {role.removeprefix("map."): node for role, node in self.nodes.items() if role.startswith("map.")}

    @property
    def sequence(self) -> Any:
        """Sequence node of the prepared series, else of the given one, None when the scene has neither."""
        return self.nodes.get(PREPARED) or self.nodes.get(SERIES)

    @property
    def browser(self) -> Any:
        """Sequence browser node of the series."""
        return self.nodes.get(PREPARED_BROWSER) or self.nodes.get(BROWSER)

    @property
    def lesions(self) -> Any:
        """Segmentation node of core, penumbra and hypoperfusion."""
        return self.nodes.get(LESIONS)

    @property
    def anatomy(self) -> Any:
        """Segmentation node of anatomical masks and regions."""
        return self.nodes.get(ANATOMY)

    @property
    def report(self) -> Any:
        """Text node with metrics, settings and findings as JSON."""
        return self.nodes.get(REPORT)
