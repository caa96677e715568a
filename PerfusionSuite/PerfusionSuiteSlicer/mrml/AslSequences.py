# SPDX-License-Identifier: Apache-2.0
"""An ASL scan as a sequence of its volumes with all that the models need to know of them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from PerfusionSuiteLib.core import Acquisition, AslDifference, AslSeries, InvalidInputError, Source

from .SequenceNodes import factsOfSource, fillSequence, findingsOfSource, robustRange, sequenceFrames, showInBrowser
from .StudyRoles import SERIES, factsOf, nodeFor, setFacts
from .VolumeArrays import setVolume, volumeArray

M0_REFERENCE = "PerfusionSuite.m0"
DIFFERENCE, DIFFERENCE_BROWSER = "difference", "difference.browser"
WORDS = {"pcasl": "pseudo-continuous labeling", "casl": "continuous labeling", "pasl": "pulsed labeling"}


def isAsl(node: Any) -> bool:
    """Say whether a node is an ASL scan that this package put into the scene."""
    return node is not None and factsOf(node).get("modality") == "asl"


def aslToSequence(scene: Any, series: AslSeries, name: str, *, role: str = SERIES, label: str | None = None) -> tuple[Any, Any]:
    """Put an ASL scan into a sequence node, one volume after the other, and a browser; M0 becomes a volume of its own.

    Parameters
    ----------
    name : str
        Name of the study that the nodes belong to.
    role : str
        What the sequence is to the study.
    label : str, optional
        Name of the nodes, by default that of the study.
    """
    label = label or name
    sequence = nodeFor(scene, "vtkMRMLSequenceNode", name, role, label)
    browser = nodeFor(scene, "vtkMRMLSequenceBrowserNode", name, f"{role}.browser", f"{label} browser")
    wasModifying = sequence.StartModify()
    numbers = [str(index + 1) for index in range(series.data.shape[3])]
    fillSequence(sequence, series.data, series.affine, label, ("volume", "", numbers))
    setFacts(sequence, _factsOfSeries(series))
    sequence.RemoveNodeReferenceIDs(M0_REFERENCE)
    if series.m0 is not None:
        m0 = nodeFor(scene, "vtkMRMLScalarVolumeNode", name, f"{role}.m0", f"{label} M0")
        setVolume(m0, series.m0, series.affine)
        m0.CreateDefaultDisplayNodes()
        sequence.SetNodeReferenceID(M0_REFERENCE, m0.GetID())
    sequence.EndModify(wasModifying)
    showInBrowser(scene, sequence, browser, robustRange(series.data), "%.0f")
    return sequence, browser


def sequenceToAsl(node: Any) -> AslSeries:
    """Read a sequence that `aslToSequence` made.

    Raises
    ------
    InvalidInputError
        If the sequence does not say what its volumes are.
    """
    facts = factsOf(node)
    if not isAsl(node):
        msg = (
            f"'{node.GetName()}' does not say which of its volumes are control and label, nor their delays. "
            "Load the ASL scan with this panel: a BIDS or DICOM folder, or a 4D file with its JSON file."
        )
        raise InvalidInputError(msg)
    known = facts["asl"]
    data, affine, _labels, _unit = sequenceFrames(node)
    m0 = node.GetNodeReference(M0_REFERENCE)
    if m0 is None and known["has_m0"]:
        msg = f"The M0 image of '{node.GetName()}' was removed from the scene. Load the scan again."
        raise InvalidInputError(msg)
    acquisition, source = facts["acquisition"], facts["source"]
    return AslSeries(
        data,
        affine,
        tuple(known["volume_types"]),
        _numbers(known["post_label_delays_s"]),
        _numbers(known["label_durations_s"]),
        known["labeling"],
        None if m0 is None else volumeArray(m0).astype(np.float32),
        **{key: known[key] for key in _PLAIN},
        slice_delays_s=None if known["slice_delays_s"] is None else _numbers(known["slice_delays_s"]),
        acquisition=Acquisition(
            acquisition["time_source"],
            manufacturer=acquisition["manufacturer"],
            echo_times_s=tuple(acquisition["echo_times_s"]),
            repetition_time_s=acquisition["repetition_time_s"],
            details=acquisition["details"],
        ),
        source=Source(source["kind"], source["case_id"], tuple(source["decisions"]), findingsOfSource(source)),
    )


_PLAIN = (
    "m0_value",
    "m0_repetition_s",
    "labeling_efficiency",
    "background_suppression_pulses",
    "field_strength_t",
    "scaling",
)


def _numbers(values: Any) -> np.ndarray:
    """Numbers of JSON, where a missing one is null."""
    return np.array([np.nan if value is None else value for value in values], float)


def _factsOfSeries(series: AslSeries) -> dict[str, Any]:
    acquisition, source = series.acquisition, series.source
    return {
        "modality": "asl",
        "asl": {
            "volume_types": series.volume_types,
            "post_label_delays_s": series.post_label_delays_s,
            "label_durations_s": series.label_durations_s,
            "labeling": series.labeling,
            "slice_delays_s": series.slice_delays_s,
            "has_m0": series.m0 is not None,
            **{key: getattr(series, key) for key in _PLAIN},
        },
        "acquisition": {
            "time_source": acquisition.time_source,
            "manufacturer": acquisition.manufacturer,
            "echo_times_s": acquisition.echo_times_s,
            "repetition_time_s": acquisition.repetition_time_s,
            "details": acquisition.details,
        },
        "source": factsOfSource(source),
    }


def aslInWords(facts: dict[str, Any], count: int, size: str) -> str:
    """Return what an ASL scan is: volumes, labeling, delays and M0."""
    known = facts["asl"]
    types = known["volume_types"]
    delays = sorted({round(value, 3) for value in known["post_label_delays_s"] if value is not None})
    durations = sorted({round(value, 3) for value in known["label_durations_s"] if value is not None})
    pairs = min(types.count("control"), types.count("label"))
    content = f"{pairs} pairs" if pairs else f"{types.count('deltam')} difference images"
    lines = [
        f"{count} volumes of {size}, {content}",
        f"{WORDS[known['labeling']].capitalize()}" + (f" {_listed(durations)} s" if durations else ""),
        f"Delays {_listed(delays)} s",
        "M0 " + ("image" if known["has_m0"] or "m0scan" in types else "value" if known["m0_value"] else "missing: relative flow"),
    ]
    return "\n".join(lines)


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def differenceToSequence(scene: Any, difference: AslDifference, name: str) -> dict[str, Any]:
    """Put the difference images into a sequence over the post-label delay, as the models see them; return nodes by role."""
    label = f"{name} difference"
    sequence = nodeFor(scene, "vtkMRMLSequenceNode", name, DIFFERENCE, label)
    browser = nodeFor(scene, "vtkMRMLSequenceBrowserNode", name, DIFFERENCE_BROWSER, f"{label} browser")
    wasModifying = sequence.StartModify()
    images = np.where(difference.mask[..., None], np.nan_to_num(difference.delta_m), np.float32(0.0))
    delays = [repr(round(float(value), 4)) for value in difference.post_label_delays_s]
    fillSequence(sequence, images, difference.affine, label, ("post-label delay", "s", delays))
    sequence.EndModify(wasModifying)
    inside = difference.delta_m[difference.mask]
    high = float(np.nanpercentile(inside, 99.0)) if inside.size else 1.0
    showInBrowser(scene, sequence, browser, (0.0, max(high, 1e-6)), "%.3f")
    return {DIFFERENCE: sequence, DIFFERENCE_BROWSER: browser}
