# SPDX-License-Identifier: Apache-2.0
"""The infarct core as a network draws it, instead of a threshold on flow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..core.errors import InvalidInputError
from ..core.findings import QualityFinding
from ..core.geometry import BoolArray, FloatArray
from ..core.maps import PerfusionMap, PerfusionMaps
from ..core.quantities import QUANTITIES
from .core_image import affected_half, core_image
from .core_weights import load_weights
from .reference import Reference

NAMES: Mapping[str, str] = MappingProxyType({"ctp": "CT perfusion", "dsc": "DSC-MRI", "asl": "ASL"})


def check_modality(network: str, modality: str) -> tuple[QualityFinding, ...]:
    """Refuse a network that has learned from scans of another kind.

    Parameters
    ----------
    network : str
        Weights: a file, or the name of some that come with the software.
    modality : str
        Of the scan that the maps come from; empty when it is not known.

    Returns
    -------
    tuple of QualityFinding
        What the user has to answer for, when nobody says of what kind the maps, or those of the training, are.

    Raises
    ------
    InvalidInputError
        If both are known and differ, or there are no such weights.
    """
    known, name = load_weights(network).modality, Path(network).stem
    learned = f"the network '{name}' has learned from {NAMES.get(known, known)}"
    if known and modality and known != modality:
        other = f"but these maps are of {NAMES.get(modality, modality)}"
        msg = f"T{learned[1:]}, {other}. Choose another preset, or a network trained on such maps ('train core')."
        raise InvalidInputError(msg)
    if known and modality:
        return ()
    text = f"The network '{name}' does not say whether it has learned from CT perfusion or DSC-MRI."
    if known:
        text = f"Nobody says what kind of scan these maps come from; {learned}."
    advice = "Make sure that both are of one kind; cores in maps of another kind mean nothing."
    return (QualityFinding("core_network_modality", "warning", text, advice),)


def core_probability(
    maps: PerfusionMaps,
    tissue: BoolArray,
    reference: Reference,
    midplane: FloatArray,
    network: str,
    method: str,
    device: str = "auto",
) -> tuple[PerfusionMap, list[QualityFinding]]:
    """Return how probable it is that tissue is core.

    Parameters
    ----------
    maps : PerfusionMaps
        With what the network sees.
    tissue : ndarray of bool, shape (I, J, K)
        Voxels that count.
    reference : Reference
        Normal tissue and affected side.
    midplane : ndarray, shape (4,), mm
        Mid-sagittal plane.
    network : str
        Weights: a file, or the name of some that come with the software.
    method : str
        How the maps were made.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.

    Returns
    -------
    PerfusionMap
        ``core_probability``: 0 to 1, 0 on the side that is not affected, NaN outside of tissue.
    list of QualityFinding
        What the network knows, and whether these maps are of a kind that it knows.

    Raises
    ------
    InvalidInputError
        If there are no such weights, or a map is missing.
    MissingPackageError
        If PyTorch or safetensors is not installed.
    """
    weights = load_weights(network)
    flow = maps.get("cbf") or maps["rcbf"]
    found = weights.probability(core_image(maps, reference.mask, weights.inputs), maps.affine, device)
    found[~affected_half(tissue, maps.affine, midplane, reference.side, flow.values)] = 0.0
    values = np.where(tissue, found, np.float32(np.nan)).astype(np.float32)
    known = str(weights.provenance.get("learned_from", "cases that its file does not name"))
    findings = [
        QualityFinding(
            "core_by_network",
            "warning",
            f"The core was drawn by the network '{Path(network).stem}' (learned from {known}); no threshold on flow was applied.",
            "Compare it with the preset 'ct-perfusion-auto' and with follow-up imaging.",
        )
    ]
    if weights.methods and method not in weights.methods:
        findings.append(
            QualityFinding(
                "core_network_method",
                "warning",
                f"The maps were made by '{method or 'an unknown method'}', but the network has learned from maps of "
                f"{' and '.join(weights.methods)}.",
                "Compute the maps with one of these methods, or train a network on maps like these ('train core').",
            )
        )
    return PerfusionMap(values, flow.affine, QUANTITIES["core_probability"], flow.quality, flow.provenance), findings
