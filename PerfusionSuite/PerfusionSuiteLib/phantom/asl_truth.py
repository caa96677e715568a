# SPDX-License-Identifier: Apache-2.0
"""What is known about a digital ASL patient, on the grid of the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.files import write_json
from ..core.geometry import BoolArray, FloatArray
from ..core.nifti import write_volume
from .acquisition import Sampling
from .asl_signal import AslHead

_UNITS = {
    "cbf": "mL/100g/min", "cbf_gm": "mL/100g/min", "cbf_wm": "mL/100g/min", "cbf_healthy": "mL/100g/min", "att": "s",
    "m0": "signal", "t1": "s",
}  # fmt: skip
_LEAST = 0.05
_STRUCK_FLOW, _STRUCK_S = 0.7, 0.4
_MIXED = 0.20


@dataclass(frozen=True, slots=True)
class AslTruth:
    """The truth that comes with a digital ASL patient.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (I, J, K)
        ``cbf`` (mL/100 g/min, mean over the tissue of a voxel), ``cbf_gm`` (cortex and deep gray matter) and ``cbf_wm`` (of the
        pure tissues in it), ``cbf_healthy`` (without the lesion), ``att`` (s, weighted by flow), ``t1`` (s, of the tissue),
        ``m0`` (signal of the fully relaxed voxel, the coil's shading included). NaN where there is no tissue.
    fractions : mapping of str to ndarray, shape (I, J, K)
        Volume fractions ``gm wm deep csf artery vein bone``.
    masks : mapping of str to ndarray of bool, shape (I, J, K)
        ``brain`` (inside of the skull), ``scored`` (at most 20 % vessel, bone and fluid each), ``lesion`` (at least 30 % less
        flow or 0.4 s later than without it), ``old_infarct``.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    volume_transforms : ndarray, shape (V, 4, 4), mm
        Takes a point of the still head to where it is in a volume of the scan.
    side : {"left", "right", "bilateral", "none"}
        Side of the lesion.
    midplane : ndarray, shape (4,)
        Mid-sagittal plane ``n . x = d`` in RAS mm.
    volumes_ml : mapping of str to float, mL
        Volume of the lesion.
    parameters : mapping
        Every drawn parameter, nested by subject.
    """

    maps: Mapping[str, NDArray[np.float32]]
    fractions: Mapping[str, NDArray[np.float32]]
    masks: Mapping[str, BoolArray]
    affine: FloatArray
    volume_transforms: FloatArray
    side: str = "none"
    midplane: FloatArray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def asl_maps(
    head: AslHead, averaging: Sampling, parts: dict[str, NDArray[np.float32]]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]], dict[str, BoolArray]]:
    """Average the fine truth over the scan's voxels.

    Parameters
    ----------
    head : AslHead
        The head.
    averaging : Sampling
        Averages over voxels.
    parts : dict of str to ndarray, shape (V,)
        Flat fine volume fractions, and ``inside`` (the skull).

    Returns
    -------
    maps, fractions, masks : dict of str to ndarray, shape (I, J, K)
        See `AslTruth`; without ``m0``, which the coil's shading is needed for.
    """
    mean = {name: _turned(averaging.average(values.reshape(head.grid.shape))) for name, values in parts.items()}
    amount = mean["gm"] + mean["wm"] + mean["deep"]
    have = amount > _LEAST
    sums = {key: _summed(head, averaging, key) for key in ("cbf", "normal_cbf", "t1_s")}
    late, added = _summed(head, averaging, "att_s", "cbf"), _summed(head, averaging, "added_s", "cbf")
    gray, white = mean["gm"] + mean["deep"], mean["wm"]
    maps = {
        "cbf": _ratio(sums["cbf"], amount, have),
        "cbf_gm": _ratio(_summed(head, averaging, "cbf", only=("gm", "deep")), gray, gray > _LEAST),
        "cbf_wm": _ratio(_summed(head, averaging, "cbf", only=("wm",)), white, white > _LEAST),
        "cbf_healthy": _ratio(sums["normal_cbf"], amount, have),
        "att": _ratio(late, sums["cbf"], have),
        "t1": _ratio(sums["t1_s"], amount, have),
    }
    vessel = mean["artery"] + mean["vein"]
    fluid = np.clip(1.0 - amount - vessel - mean["bone"], 0.0, 1.0)
    old = (mean["inside"] > 0.5) & (mean["scar"] > 0.5)
    lost = sums["cbf"] < _STRUCK_FLOW * sums["normal_cbf"]
    delayed = added > _STRUCK_S * sums["cbf"]
    masks = {
        "brain": mean["inside"] > 0.5,
        "scored": have & (vessel <= _MIXED) & (mean["bone"] <= _MIXED) & (fluid <= _MIXED),
        "lesion": (amount > 0.25) & (lost | delayed) & ~old,
        "old_infarct": old,
    }
    fractions = {name: values for name, values in mean.items() if name not in ("inside", "scar")}
    return maps, fractions, masks


def _summed(
    head: AslHead, averaging: Sampling, key: str, weight: str | None = None, only: tuple[str, ...] = ("gm", "wm", "deep")
) -> NDArray[np.float32]:
    """Mean over each voxel of fraction times value (times a weight), summed over tissues."""
    total = np.zeros(int(np.prod(head.grid.shape)), np.float32)
    for part in head.tissues:
        if part.name in only:
            own = part.fraction if weight is None else part.fraction * getattr(part, weight)
            total[part.where] += own * getattr(part, key)
    return _turned(averaging.average(total.reshape(head.grid.shape)))


def _ratio(values: NDArray[np.float32], amount: NDArray[np.float32], have: BoolArray) -> NDArray[np.float32]:
    quotient: NDArray[np.float32] = np.where(have, values / np.where(have, amount, 1.0), np.nan).astype(np.float32)
    return quotient


def _turned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a (K, J, I) array as a contiguous (I, J, K) one."""
    return np.ascontiguousarray(values.transpose(2, 1, 0))


def write_asl_truth(truth: AslTruth, folder: str | Path) -> Path:
    """Write the truth as NIfTI images and a JSON file.

    Parameters
    ----------
    truth : AslTruth
        What to write.
    folder : path-like
        Gets ``<map>.nii.gz``, ``fraction_<tissue>.nii.gz``, ``mask_<name>.nii.gz`` and ``truth.json``; made when missing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InvalidInputError
        If the folder cannot be written to.
    """
    target = Path(folder)
    for name, values in truth.maps.items():
        write_volume(target / f"{name}.nii.gz", values, truth.affine, unit=_UNITS.get(name, ""))
    for name, values in truth.fractions.items():
        write_volume(target / f"fraction_{name}.nii.gz", values, truth.affine)
    for name, mask in truth.masks.items():
        write_volume(target / f"mask_{name}.nii.gz", mask, truth.affine, dtype=np.uint8)
    content = {
        "side": truth.side, "midplane": truth.midplane, "volumes_ml": truth.volumes_ml, "affine": truth.affine,
        "volume_transforms": truth.volume_transforms, "units": _UNITS, "parameters": truth.parameters,
    }  # fmt: skip
    write_json(target / "truth.json", content)
    return target
