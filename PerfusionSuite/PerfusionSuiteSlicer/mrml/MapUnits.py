# SPDX-License-Identifier: Apache-2.0
"""Volumes of any origin as maps in known units on one grid: what a unit is guessed from, and what has to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from PerfusionSuiteLib.core import QUANTITIES, InvalidInputError, PerfusionMap, PerfusionMaps
from PerfusionSuiteLib.core.quantities import RELATIVE

from .MapNodes import nodeToMap
from .StudyRoles import factsOf
from .VolumeArrays import affineOf, transformProblem, volumeArray

_TIME = {"s": (1.0, "s"), "ms": (1e-3, "s"), "1/10 s": (0.1, "s")}
UNITS: Mapping[str, Mapping[str, tuple[float, str]]] = {
    "tmax": _TIME,
    "delay": _TIME,
    "cbf": {
        "mL/100g/min": (1.0, "mL/100g/min"),
        "mL/100mL/min": (1.0, "mL/100mL/min"),
        "mL/g/min": (100.0, "mL/100g/min"),
        "mL/mL/s": (6000.0, "mL/100mL/min"),
        "any (relative)": (1.0, "mL/100g/min"),
        RELATIVE: (1.0, RELATIVE),
    },
    "cbv": {
        "mL/100g": (1.0, "mL/100g"),
        "mL/100mL": (1.0, "mL/100mL"),
        "mL/g": (100.0, "mL/100g"),
        "mL/mL": (100.0, "mL/100mL"),
        RELATIVE: (1.0, RELATIVE),
    },
    "adc": {"1e-6 mm2/s": (1.0, "1e-6 mm2/s"), "1e-3 mm2/s": (1e3, "1e-6 mm2/s"), "mm2/s": (1e6, "1e-6 mm2/s")},
}
"""By quantity and unit: the factor to the unit that thresholds are in, and that unit."""

_PLAUSIBLE = {
    "tmax": (("s", 0.5, 40.0), ("ms", 400.0, 40000.0)),
    "delay": (("s", 0.2, 40.0), ("ms", 400.0, 40000.0)),
    "cbf": (("mL/100g/min", 8.0, 150.0), ("mL/g/min", 0.08, 1.5)),
    "cbv": (("mL/100g", 0.8, 12.0), ("mL/g", 0.008, 0.12)),
    "adc": (("1e-6 mm2/s", 200.0, 3000.0), ("1e-3 mm2/s", 0.2, 3.0), ("mm2/s", 2e-4, 3e-3)),
}
"""Between which limits the median of a brain lies when the map is in a unit."""

_SAMPLES = 200_000


def guessUnit(node: Any, key: str) -> str:
    """Return the unit of a volume: what it says itself, else what its values say, empty when both say nothing.

    :param node: vtkMRMLScalarVolumeNode.
    :param key: key of the quantity that it is taken for.
    """
    facts = factsOf(node)
    if facts.get("quantity") == key and facts.get("unit") in UNITS[key]:
        return str(facts["unit"])
    coded = node.GetVoxelValueUnits()
    if coded is not None:
        for text in (coded.GetCodeMeaning() or "", coded.GetCodeValue() or ""):
            if text.replace(" ", "") in UNITS[key]:
                return text.replace(" ", "")
    median = _median(node)
    return next((unit for unit, low, high in _PLAUSIBLE[key] if low <= median <= high), "")


def _median(node: Any) -> float:
    values = volumeArray(node).ravel()
    values = values[:: max(1, values.size // _SAMPLES)].astype(float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if values.size else float("nan")


def unitProblem(node: Any, key: str, unit: str = "") -> str:
    """Return why a volume cannot be used as a map, an empty text when it can.

    :param node: vtkMRMLScalarVolumeNode.
    :param key: key of the quantity that it is taken for.
    :param unit: unit that the user chose, empty for what is guessed.
    """
    name, symbol = node.GetName(), QUANTITIES[key].symbol
    if node.GetImageData() is None:
        return f"The volume '{name}' has no voxels. Load or compute it first."
    if moved := transformProblem(node):
        return moved
    known = factsOf(node).get("quantity")
    if known is not None and known != key and not (key == "cbf" and known == "rcbf"):
        return f"'{name}' is a map of {QUANTITIES[known].symbol}, not of {symbol}. Choose another volume."
    if not unit and not guessUnit(node, key):
        return f"The values of '{name}' (median {_median(node):.3g}) do not say in which unit {symbol} is. Choose the unit."
    return ""


def mapOf(node: Any, key: str, unit: str = "") -> PerfusionMap:
    """Read a volume as a map in the unit that thresholds are in.

    :param node: vtkMRMLScalarVolumeNode of any origin.
    :param key: key of the quantity.
    :param unit: its unit, empty for what is guessed.
    """
    if key not in UNITS:
        return nodeToMap(node, key)
    problem = unitProblem(node, key, unit)
    if problem:
        raise InvalidInputError(problem)
    unit = unit or guessUnit(node, key)
    if unit not in UNITS[key]:
        msg = f"'{unit}' is no unit of {QUANTITIES[key].symbol}. Use one of {', '.join(UNITS[key])}."
        raise InvalidInputError(msg)
    factor, final = UNITS[key][unit]
    item = nodeToMap(node, key)
    return item if factor == 1.0 and item.unit == final else replace(item, values=factor * item.values, unit=final)


def readMaps(nodes: Mapping[str, Any], units: Mapping[str, str] | None = None) -> PerfusionMaps:
    """Read volumes of any origin as maps on the grid of Tmax.

    :param nodes: vtkMRMLScalarVolumeNode by key of the quantity; None where there is none.
    :param units: unit by key, where it differs from what the volume says.
    """
    units = units or {}
    items = {key: mapOf(node, key, units.get(key, "")) for key, node in nodes.items() if node is not None}
    base = items.get("tmax") or next(iter(items.values()))
    return PerfusionMaps([onGrid(item, base.values.shape, base.affine) for item in items.values()])


def onGrid(item: PerfusionMap, shape: tuple[int, ...], affine: Any) -> PerfusionMap:
    """Resample a map (linear) to another grid; it comes back as it is when it lies there already."""
    if item.values.shape == tuple(shape) and np.allclose(item.affine, affine, atol=1e-3):
        return item
    from scipy import ndimage

    voxel = np.linalg.inv(item.affine) @ np.asarray(affine, float)
    values = ndimage.affine_transform(
        item.values, voxel[:3, :3], voxel[:3, 3], output_shape=tuple(shape), order=1, cval=np.nan, output=np.float32
    )
    if not np.isfinite(values).any():
        msg = f"The map of {item.quantity.symbol} lies elsewhere than Tmax. Choose maps of one scan, or register them first."
        raise InvalidInputError(msg)
    return replace(item, values=values, affine=np.asarray(affine, float), quality=None)


def gridOf(node: Any) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return shape (I, J, K) and affine of a volume node."""
    return node.GetImageData().GetDimensions(), affineOf(node)


def gridOfScan(scan: Any) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return shape (I, J, K) and affine of the frames of a scan.

    :param scan: vtkMRMLSequenceNode or vtkMRMLMultiVolumeNode; of files that are still to be read nothing is known.
    """
    if not hasattr(scan, "IsA"):
        msg = "Volumes of the scene are brought to the grid of a scan in the scene. Load the scan first, then choose it."
        raise InvalidInputError(msg)
    frame = scan.GetNthDataNode(0) if scan.IsA("vtkMRMLSequenceNode") else scan
    if frame is None or frame.GetImageData() is None:
        msg = f"'{scan.GetName()}' has no frames. Choose a dynamic perfusion scan."
        raise InvalidInputError(msg)
    return gridOf(frame)
