# SPDX-License-Identifier: Apache-2.0
"""True maps and masks on the grid of the scan. All thresholds are literals of the phantom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.geometry import BoolArray, FloatArray, voxel_volume_ml
from .acquisition import Protocol, Sampling
from .anatomy import FineGrid, Pose
from .bolus import Bolus
from .draws import stream
from .enhancement import at_times
from .lesion import Lesion
from .tissue import Tissue
from .truth import PhantomTruth

HYPOPERFUSION_TMAX_S = 6.0
CORE_CBF_SHARE = 0.30
STRUCK_S = 0.75
"""Delay that the lesion must add: white matter that is late by nature is no lesion."""
NORMAL_TMAX_S = 4.0
MIXED_SHARE = 0.20
"""Voxels with more vessel, bone or fluid than this are left out of `scored`."""

VESSEL_TRACE = 0.02
"""Blood is some 25 times denser in contrast than tissue: `pure` is `scored` with less vessel than this."""

_LEAST_TISSUE = 0.05
LEAST_COUNTED = 0.25
"""Voxels with less tissue belong to no lesion."""


@dataclass(frozen=True)
class ScanTruth:
    """Truth on the grid of the scan; arrays of maps, fractions and masks are (I, J, K), `brain` and `bone` (K, J, I)."""

    maps: dict[str, NDArray[np.float32]]
    fractions: dict[str, NDArray[np.float32]]
    masks: dict[str, BoolArray]
    brain: NDArray[np.float32]
    bone: NDArray[np.float32]
    volumes_ml: dict[str, float]
    parameters: dict[str, Any]

    def with_curves(
        self,
        protocol: Protocol,
        bolus: Bolus,
        transforms: FloatArray,
        side: str,
        midplane: FloatArray,
        parameters: dict[str, Any],
    ) -> PhantomTruth:
        """Return the complete truth."""
        return PhantomTruth(
            maps=self.maps,
            fractions=self.fractions,
            masks=self.masks,
            affine=protocol.affine,
            times_s=protocol.times_s,
            aif=at_times(bolus.aif, protocol.times_s).astype(float),
            vof=at_times(bolus.vof, protocol.times_s).astype(float),
            fine_times_s=bolus.times_s,
            fine_aif=bolus.aif,
            fine_vof=bolus.vof,
            frame_transforms=transforms,
            side=side,
            midplane=midplane,
            volumes_ml=self.volumes_ml,
            parameters=parameters,
        )


def acquisition_truth(
    seed: int,
    grid: FineGrid,
    averaging: Sampling,
    parts: dict[str, NDArray[np.float32]],
    tissue: Tissue,
    lesion: Lesion,
    pose: Pose,
    protocol: Protocol,
) -> ScanTruth:
    """Average the fine truth over the scan's voxels and draw the masks.

    CBF and CBV are means weighted by tissue volume. The mean transit time of a mixed voxel is 60 CBV / CBF of these means and
    its delay the mean weighted by flow: the first moment of what leaves the voxel is the sum of the two (central volume
    theorem for compartments in parallel), while a delay weighted by volume would be that of blood which hardly flows.

    Parameters
    ----------
    seed : int
        The patient.
    grid : FineGrid
        Fine grid.
    averaging : Sampling
        Averages over voxels.
    parts : dict of str to ndarray, shape (V,)
        Flat fine volume fractions, and ``inside`` (the skull).
    tissue : Tissue
        Hemodynamics.
    lesion : Lesion
        The lesion.
    pose : Pose
        The head's geometry.
    protocol : Protocol
        The scan.

    Returns
    -------
    ScanTruth
        Maps, fractions, masks and volumes.
    """
    mean = {name: averaging.average(values.reshape(grid.shape)) for name, values in parts.items()}
    amount = mean["gm"] + mean["wm"] + mean["deep"]
    sums = {key: averaging.average(_summed(grid, tissue, key)) for key in ("cbf", "cbv", "normal_cbf")}
    times = {key: averaging.average(_summed(grid, tissue, key, "cbf")) for key in ("delay_s", "added_s")}
    have = amount > _LEAST_TISSUE
    share = np.where(have, amount, 1.0)
    cbf, cbv, normal = (np.where(have, sums[k] / share, np.nan) for k in ("cbf", "cbv", "normal_cbf"))
    inflow = np.where(have, sums["cbf"], 1.0)
    delay, added = (np.where(have, times[k] / inflow, np.nan) for k in ("delay_s", "added_s"))
    mtt = 60.0 * cbv / cbf
    maps = {"cbf": cbf, "cbv": cbv, "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt}
    vessel = mean["artery"] + mean["vein"]
    brain = mean["inside"]
    masks = {
        "brain": brain > 0.5,
        "csf": (brain > 0.5) & (mean["csf"] + np.clip(brain - amount - mean["csf"] - vessel, 0, 1) > 0.5),
        "vessel": vessel > MIXED_SHARE,
        "bone": mean["bone"] > 0.5,
    }
    fluid = np.clip(1.0 - amount - vessel - mean["bone"], 0.0, 1.0)
    masks["scored"] = have & (vessel <= MIXED_SHARE) & (mean["bone"] <= MIXED_SHARE) & (fluid <= MIXED_SHARE)
    masks["old_infarct"] = (brain > 0.5) & (mean["scar"] > 0.5)
    struck = (amount > LEAST_COUNTED) & (added > STRUCK_S) & ~masks["old_infarct"]
    masks["late_by_nature"] = masks["scored"] & (maps["tmax"] > HYPOPERFUSION_TMAX_S) & ~struck & ~masks["old_infarct"]
    masks["scored"] &= ~masks["late_by_nature"]  # neither lesion nor, by the rule of 6 s, normal
    masks["pure"] = masks["scored"] & (vessel <= VESSEL_TRACE) & ~masks["old_infarct"]
    masks.update(_lesion_masks(maps, masks, struck, lesion, pose, protocol))
    own = np.where(have, cbf / np.where(have, normal, 1.0), 1.0)
    noise = averaging.average(_scattered(grid, tissue.where, tissue.fate_noise))
    white = mean["wm"] / share
    masks["fate"] = _fate(seed, own, white, noise, have & ~masks["old_infarct"], lesion)
    masks["core_drawn"] = have & (averaging.average(_scattered(grid, tissue.where, (tissue.severity > 1.0) * 1.0)) > 0.5)
    per_voxel = voxel_volume_ml(protocol.affine)
    lesions = ("hypoperfusion", "core", "penumbra", "fate", "core_drawn")
    return ScanTruth(
        {k: _turned(v).astype(np.float32) for k, v in maps.items()},
        {k: _turned(v).astype(np.float32) for k, v in mean.items() if k not in ("inside", "scar")},
        {k: _turned(v).astype(bool) for k, v in masks.items()},
        brain,
        mean["bone"],
        {k: float(masks[k].sum() * per_voxel) for k in lesions},
        {
            "truth": {
                "hypoperfusion_tmax_s": HYPOPERFUSION_TMAX_S,
                "core_cbf_share": CORE_CBF_SHARE,
                "normal_tmax_s": NORMAL_TMAX_S,
            }
        },
    )


def _turned(values: NDArray[Any]) -> NDArray[Any]:
    """Return a (K, J, I) array as a contiguous (I, J, K) one."""
    return np.ascontiguousarray(values.transpose(2, 1, 0))


def _summed(grid: FineGrid, tissue: Tissue, key: str, weight: str | None = None) -> NDArray[np.float32]:
    """Return fraction times value (times a second value as weight), summed over tissues, on the fine grid."""
    total = np.zeros(int(np.prod(grid.shape)), np.float32)
    for part in tissue.compartments.values():
        amount = part.fraction if weight is None else part.fraction * getattr(part, weight)
        total[part.where] += amount * getattr(part, key)
    return total.reshape(grid.shape)


def _scattered(grid: FineGrid, where: NDArray[np.int64], values: Any) -> NDArray[np.float32]:
    full = np.zeros(int(np.prod(grid.shape)), np.float32)
    full[where] = values
    return full.reshape(grid.shape)


def _lesion_masks(
    maps: dict[str, NDArray[Any]], masks: dict[str, BoolArray], struck: BoolArray, lesion: Lesion, pose: Pose, protocol: Protocol
) -> dict[str, BoolArray]:
    """Return hypoperfusion (true Tmax > 6 s), core (CBF < 30 % of normal tissue of the other side) and penumbra."""
    none = np.zeros_like(masks["brain"])
    late = struck & (maps["tmax"] > HYPOPERFUSION_TMAX_S)
    normal = masks["scored"] & (maps["tmax"] <= NORMAL_TMAX_S)
    if lesion.side in ("left", "right"):
        plane = pose.midplane()
        index = np.indices(protocol.shape[::-1])[::-1].reshape(3, -1)
        signed = plane[:3] @ (protocol.affine[:3, :3] @ index + protocol.affine[:3, 3:]) - plane[3]
        other = (signed > 0) == (lesion.side == "left")
        normal &= other.reshape(none.shape)
    reference = float(maps["cbf"][normal].mean()) if normal.any() else np.inf
    core = late & (maps["cbf"] < CORE_CBF_SHARE * reference) if np.isfinite(reference) else none
    return {"hypoperfusion": late, "core": core, "penumbra": late & ~core}


def _fate(seed: int, own: NDArray[Any], white: NDArray[Any], noise: NDArray[Any], have: BoolArray, lesion: Lesion) -> BoolArray:
    """Return tissue that dies: a noisy function of flow, hours and tissue, smoothed, its border misread in places."""
    rng = stream(seed, "fate")
    hours = lesion.parameters["duration_h"]
    deadly = (0.10 + 0.24 * (1.0 - np.exp(-hours / 3.5))) * (1.1 - 0.25 * white)
    dying = ndimage.gaussian_filter((deadly - own + 0.05 * noise) * have, (0.0, 0.8, 0.8)) > 0
    dying &= have
    border = (ndimage.binary_dilation(dying) ^ ndimage.binary_erosion(dying)) & have
    flips = border & (rng.random(dying.shape) < rng.uniform(0.03, 0.08))
    fate: BoolArray = dying ^ flips
    return fate
