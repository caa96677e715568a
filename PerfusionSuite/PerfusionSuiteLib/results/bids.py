# SPDX-License-Identifier: Apache-2.0
"""What BIDS derivatives say about each volume and about the dataset (BIDS 1.11, common derivatives).

All results lie on the grid of the scan, so names carry no ``space`` and sidecars refer to ``orig``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.files import write_json, write_text
from ..core.maps import PerfusionMap
from .layout import Layout
from .privacy import without_identifiers

_WITH_SKULL = {"baseline", "mean", "mip"}
_TYPES = {"brain": "Brain", "hypoperfusion_mask": "Lesion", "core_mask": "Lesion", "penumbra_mask": "Lesion"}
_MEANINGS = {
    "brain": "Inside of the skull, cerebrospinal fluid included",
    "csf": "Cerebrospinal fluid within the brain mask",
    "vessel": "Large vessels",
    "bone": "Bone and calcification",
    "tissue": "Voxels that may count as lesion or as reference",
    "hypoperfusion_mask": "Hypoperfused tissue",
    "core_mask": "Infarct core",
    "penumbra_mask": "Hypoperfused tissue without the core",
    "aif": "Voxels of the arterial input function",
    "vof": "Voxels of the venous output function",
    "sss": "Superior sagittal sinus",
    "torcula": "Torcula",
    "roi_region": "Region on the side of the lesion, given by the user",
    "contra_region": "Normal region, given by the user",
}
_CORE_FROM = {"rcbf": "rcbf", "cbv": "cbv", "adc": "adc", "network": "core_probability"}
_IGNORED = ("*.html", "*.mrb", "**/figures/", "**/*_perf.txt", "dicom/")


def map_sidecar(item: PerfusionMap) -> dict[str, Any]:
    """Return what lies beside a map.

    Parameters
    ----------
    item : PerfusionMap
        The map.

    Returns
    -------
    dict
        BIDS metadata and how it was made.
    """
    return {
        "Description": item.quantity.name,
        "Units": item.unit,
        "SkullStripped": item.quantity.key not in _WITH_SKULL,
        "SpatialReference": "orig",
        "Method": item.provenance.method,
        "Settings": without_identifiers(item.provenance.settings),
        "Software": item.provenance.software or f"Perfusion Suite {__version__}",
    }


def mask_sidecar(stem: str, names: Layout, stage: Path, thresholds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what lies beside a mask.

    Parameters
    ----------
    stem : str
        For example ``core_mask``.
    names : Layout
        Names of the other files.
    stage : Path
        Root of the dataset, with the maps.
    thresholds : mapping, optional
        ``LesionMasks.thresholds``: their rules say which maps decided.

    Returns
    -------
    dict
        BIDS metadata; lesions name the maps they rest on.
    """
    facts: dict[str, Any] = {
        "Description": _MEANINGS.get(stem, stem.replace("_", " ")),
        "Type": _TYPES.get(stem, "ROI"),
        "Units": "1",
        "SpatialReference": "orig",
    }
    maps = [names.map(key) for key in _rests_on(stem, thresholds or {})]
    sources = [f"bids::{name.as_posix()}" for name in maps if (stage / name).is_file()]
    return {**facts, "Sources": sources} if sources else facts


def _rests_on(stem: str, thresholds: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of the maps that a lesion comes from."""
    by_density = ("baseline",) if "gray" in thresholds.get("normal_tmax_s", {}) else ()  # gray matter is earlier than white
    late = (str(thresholds.get("hypoperfusion_rule", "tmax")), *by_density)
    core = _CORE_FROM[str(thresholds.get("core_rule", "rcbf"))]
    return {"hypoperfusion_mask": late, "core_mask": (core, *late), "penumbra_mask": (core, *late)}.get(stem, ())


def write_dataset_files(stage: Path) -> None:
    """Write what makes a folder a BIDS dataset, and what a validator shall pass over.

    Parameters
    ----------
    stage : Path
        Root of the dataset.
    """
    facts = {
        "Name": "Perfusion Suite results",
        "BIDSVersion": "1.11.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "Perfusion Suite", "Version": __version__}],
    }
    write_json(stage / "dataset_description.json", facts)
    write_text(stage / ".bidsignore", "\n".join(_IGNORED) + "\n")
