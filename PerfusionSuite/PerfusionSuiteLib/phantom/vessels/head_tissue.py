# SPDX-License-Identifier: Apache-2.0
"""The tissue of a simulated head: a patient's anatomy with known perfusion on a 1 mm grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.errors import InvalidInputError
from ...core.geometry import BoolArray, FloatArray
from ..anatomy import FineGrid, Pose, draw_pose, make_brain
from ..atlas import GROUPS, Atlas, load_atlas
from ..draws import smooth_field, stream

GRAY_FLOW, WHITE_FLOW = 60.0, 20.0
_PATIENT, _REGION, _VOXEL = 0.10, 0.05, 0.10
_GRAY_T1_S, _WHITE_T1_S = (1.33, 0.05), (0.83, 0.03)
_MARGIN_MM = 4
_LESION_ML, _LESION_FLOW = (15.0, 120.0), (0.15, 0.45)
TERRITORIES = tuple(name for name in GROUPS if name not in ("none", "deep", "basilar"))


@dataclass(frozen=True, slots=True)
class HeadTissue:
    """A head on a 1 mm grid along the scanner's axes.

    Parameters
    ----------
    perfusion : ndarray, shape (I, J, K), mL/100 g/min
        0 where there is no tissue.
    t1_tissue_s : ndarray, shape (I, J, K), s
        Relaxation time.
    gray, white, fluid : ndarray, shape (I, J, K)
        Volume fractions.
    lesion : ndarray of bool, shape (I, J, K)
        Where flow was lowered.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    pose : Pose
        The head's geometry.
    atlas : Atlas
        The average brain.
    parameters : dict
        What was drawn.
    """

    perfusion: FloatArray
    t1_tissue_s: FloatArray
    gray: NDArray[np.float32]
    white: NDArray[np.float32]
    fluid: NDArray[np.float32]
    lesion: BoolArray
    affine: FloatArray
    pose: Pose
    atlas: Atlas
    parameters: dict[str, Any]

    @property
    def to_domain(self) -> FloatArray:
        """RAS mm to positions in which voxel i spans i to i + 1, shape (4, 4)."""
        inverse = np.linalg.inv(self.affine)
        inverse[:3, 3] += 0.5
        return np.asarray(inverse)


def make_head_tissue(seed: int, block: tuple[int, int, int], territory: str | None) -> HeadTissue:
    """Draw a patient's head.

    Parameters
    ----------
    seed : int
        The patient; the same anatomy as in the other recipes.
    block : tuple of int
        Picture voxel in mm; the grid is a multiple of it.
    territory : str or None
        Where flow is low, one of `TERRITORIES`.

    Returns
    -------
    HeadTissue
        Tissue and its perfusion.

    Raises
    ------
    InvalidInputError
        If there is no such territory.
    """
    if territory is not None and territory not in TERRITORIES:
        msg = f"There is no territory '{territory}'. Use {', '.join(TERRITORIES)}."
        raise InvalidInputError(msg)
    pose, atlas = draw_pose(seed), load_atlas()
    grid = _grid(pose, atlas, block)
    brain = make_brain(seed, pose, atlas, grid, 2.0)
    size = int(np.prod(grid.shape))

    def placed(values: NDArray[np.float32]) -> NDArray[np.float32]:
        volume = np.zeros(size, np.float32)
        volume[brain.where] = values
        return np.ascontiguousarray(volume.reshape(grid.shape).transpose(2, 1, 0))

    parts = brain.fractions
    gray, white, fluid = placed(parts["gm"] + parts["deep"]), placed(parts["wm"]), placed(parts["csf"])
    rng = stream(seed, "tissue", 3)
    tissue = _largest(gray + white > 0.5)
    drawn: dict[str, Any] = {
        "gray_flow": GRAY_FLOW * (1.0 + _PATIENT * rng.uniform(-1.0, 1.0)),
        "white_flow": WHITE_FLOW * (1.0 + _PATIENT * rng.uniform(-1.0, 1.0)),
        "gray_t1_s": rng.normal(*_GRAY_T1_S), "white_t1_s": rng.normal(*_WHITE_T1_S),
    }  # fmt: skip
    flow = gray * drawn["gray_flow"] + white * drawn["white_flow"]
    shape = flow.shape
    slow = ndimage.zoom(smooth_field(rng, tuple(n // 8 + 2 for n in shape), 3.0), 8, order=1)[: shape[0], : shape[1], : shape[2]]
    flow = flow * (1.0 + _REGION * slow) * rng.uniform(1.0 - _VOXEL, 1.0 + _VOXEL, shape)
    lesion = np.zeros(shape, bool)
    if territory is not None:
        lesion, factor = _lesion(rng, brain.atlas_mm, brain.where, grid, atlas, territory, tissue)
        flow = np.where(lesion, factor * flow, flow)
        drawn |= {"territory": territory, "lesion_flow": factor, "lesion_ml": float(lesion.sum()) / 1000.0}
    share = gray / np.maximum(gray + white, 1e-6)
    t1 = share * drawn["gray_t1_s"] + (1.0 - share) * drawn["white_t1_s"]
    return HeadTissue(np.where(tissue, flow, 0.0), t1, gray, white, fluid, lesion, grid.affine, pose, atlas, drawn)


def _grid(pose: Pose, atlas: Atlas, block: tuple[int, int, int]) -> FineGrid:
    """Return the 1 mm grid that holds the brain and its drawn arteries."""
    inside = np.argwhere(atlas.outside_mm < 2.0) * 2.0 + atlas.outside_origin
    drawn = np.concatenate([atlas.arteries.nodes[:, :3], atlas.veins.nodes[:, :3]])
    points = np.concatenate([inside[::7], drawn, drawn * [-1.0, 1.0, 1.0]])
    placed = pose.to_scanner(points.T.copy())
    low = np.floor(placed.min(axis=1)) - _MARGIN_MM
    steps = np.ceil((placed.max(axis=1) + _MARGIN_MM - low) / block).astype(int) * np.array(block)
    affine = np.eye(4)
    affine[:3, 3] = low
    return FineGrid(affine, (int(steps[2]), int(steps[1]), int(steps[0])), 1.0)


def _largest(mask: BoolArray) -> BoolArray:
    """Keep the largest connected part: crumbs could not be reached by vessels."""
    label, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(label.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray(label == sizes.argmax())


def _lesion(
    rng: np.random.Generator,
    atlas_mm: FloatArray,
    where: NDArray[np.int64],
    grid: FineGrid,
    atlas: Atlas,
    territory: str,
    tissue: BoolArray,
) -> tuple[BoolArray, float]:
    """Return the part of a territory on one side that lies nearest to a point drawn in it, and its factor on flow."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    group = atlas.sample(atlas.group, atlas_mm, order=0)
    mine = np.zeros(int(np.prod(grid.shape)), bool)
    mine[where] = (np.rint(group) == GROUPS.index(territory)) & (side * atlas_mm[0] > 1.0)
    volume = mine.reshape(grid.shape).transpose(2, 1, 0) & tissue
    place = np.argwhere(volume)
    middle = place[rng.integers(len(place))]
    distance = np.linalg.norm(place - middle, axis=1)
    wanted = min(int(1000.0 * rng.uniform(*_LESION_ML)), len(place))
    chosen = place[np.argpartition(distance, wanted - 1)[:wanted]]
    lesion = np.zeros(tissue.shape, bool)
    lesion[tuple(chosen.T)] = True
    return lesion, float(rng.uniform(*_LESION_FLOW))
