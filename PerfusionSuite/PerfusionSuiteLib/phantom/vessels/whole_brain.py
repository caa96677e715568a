# SPDX-License-Identifier: Apache-2.0
"""A head-sized simulated brain: anatomy with known perfusion, vessels grown from drawn trunks, and what ASL sees of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.geometry import BoolArray, FloatArray
from ...core.progress import ProgressCallback, part_of
from ..draws import stream
from .deposit import Grid
from .forest import grow
from .head_tissue import HeadTissue, make_head_tissue
from .protocol import response_at, signal
from .transport import arterial_label, capillary_label
from .trunk import make_trunk
from .values import PUBLISHED_DELAYS_S, PUBLISHED_DURATION_S, TISSUE_DENSITY, Exchange, Forest, Index, response_times
from .veins import venous_label

BLOCK = (2, 2, 4)
_SHEAR = (600.0, 900.0)
_VENOUS_SHEAR = 0.5
_ENTRY_S, _ENTRY_SPREAD_S = (0.15, 0.4), 0.05
_CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class VesselBrain:
    """A simulated brain with its truth; arrays are (I, J, K) with 2 x 2 x 4 mm voxels.

    Parameters
    ----------
    delta_s : ndarray, shape (I, J, K, D), mL/g
        Label density at each post-label delay, ``lambda dM / (2 alpha M0)``.
    post_label_delays_s : ndarray, shape (D,), s
        The delays.
    label_duration_s : float, s
        The bolus.
    perfusion : ndarray, shape (I, J, K), mL/100 g/min
        The truth, averaged over each voxel's volume.
    arrival_s : ndarray, shape (I, J, K), s
        True flow-weighted arrival at the capillaries after the start of labeling, NaN without tissue.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that are tissue by half or more.
    gray, white, fluid : ndarray, shape (I, J, K)
        Volume fractions.
    lesion : ndarray, shape (I, J, K)
        Volume fraction with lowered flow.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    response : ndarray, shape (I, J, K, T), mL/g
        What is seen under a bolus that never ends, for other protocols (`at`).
    times_s : ndarray, shape (T,), s
        Of `response`.
    crushed : ndarray, shape (I, J, K, T), mL/g, or None
        With crushers, what they hide: label in fast vessels.
    arteries, veins : Forest
        Trees; positions in mm with `to_ras`.
    shear : float, 1/s
        Wall shear rate of arteries; half of it in veins.
    entry_s : ndarray, shape (arterial nodes,), s
        When label enters at each node's root.
    to_ras : ndarray, shape (4, 4), mm
        Positions of nodes to RAS.
    parameters : dict
        What was drawn and chosen, and what came of it.
    """

    delta_s: NDArray[np.float32]
    post_label_delays_s: FloatArray
    label_duration_s: float
    perfusion: NDArray[np.float32]
    arrival_s: NDArray[np.float32]
    mask: BoolArray
    gray: NDArray[np.float32]
    white: NDArray[np.float32]
    fluid: NDArray[np.float32]
    lesion: NDArray[np.float32]
    affine: FloatArray
    response: NDArray[np.float32]
    times_s: FloatArray
    crushed: NDArray[np.float32] | None
    arteries: Forest
    veins: Forest
    shear: float
    entry_s: FloatArray
    to_ras: FloatArray
    parameters: dict[str, Any]

    def at(self, label_duration_s: float, delays_s: tuple[float, ...] | FloatArray) -> NDArray[np.float32]:
        """Return the label density of another protocol, shape (I, J, K, D), mL/g."""
        return signal(self.response, self.times_s, label_duration_s, delays_s)

    def propagation(self, times_s: FloatArray) -> NDArray[np.float32]:
        """Return the label density during and after labeling, with that which crushers hide, shape (I, J, K, T), mL/g.

        Parameters
        ----------
        times_s : ndarray, shape (T,), s
            After the start of labeling, up to 6 s.

        Returns
        -------
        ndarray, shape (I, J, K, T), mL/g
            Label in each voxel.
        """
        times = np.asarray(times_s, float)
        ended = np.maximum(times - self.label_duration_s, 0.0)
        whole = self.response if self.crushed is None else self.response + self.crushed
        values = response_at(whole, self.times_s, np.concatenate([times, ended]))
        return np.asarray(values[..., : times.size] - values[..., times.size :], np.float32)


def brain(
    *,
    seed: int,
    post_label_delays_s: tuple[float, ...] = PUBLISHED_DELAYS_S,
    label_duration_s: float = PUBLISHED_DURATION_S,
    exchange: Exchange = "one-way",
    territory: str | None = None,
    crushers_cm_per_s: float | None = None,
    flow_level: float = 1.0,
    late_s: float = 0.0,
    builder: str = "auto",
    progress: ProgressCallback | None = None,
) -> VesselBrain:
    """Simulate a brain; one seed, one patient.

    About 1.3 million terminals in each tree.

    Parameters
    ----------
    seed : int
        The patient: anatomy, perfusion, vessels. Seeds below 1000 are for development.
    post_label_delays_s : tuple of float, s
        When pictures are taken after labeling.
    label_duration_s : float, s
        The bolus; with the longest delay at most 6 s.
    exchange : {"one-way", "none"}
        Whether labeled water leaves the capillaries.
    territory : {"aca", "m2-superior", "m2-inferior", "pca"}, optional
        Where flow is low.
    crushers_cm_per_s : float, cm/s, optional
        Label in vessels of a higher mean velocity is not seen, as with crusher gradients of that strength (VENC);
        without, all arteries shine.
    flow_level : float
        Factor on the flow of the whole brain, for brains beyond the usual scatter between patients.
    late_s : float, s
        Label enters the head this much later, as behind slow carotids.
    builder : {"auto", "compiled", "rounds"}
        Vessels with numba, or with numpy (several times slower).
    progress : callable, optional
        Progress; may stop the run between steps.

    Returns
    -------
    VesselBrain
        Pictures, truth and vessels.

    Raises
    ------
    InvalidInputError
        If a territory, the crushers, the level of flow or the lateness cannot be.

    Notes
    -----
    Trunks are the drawn carotid and vertebral arteries with the circle and the first orders of its branches, and the
    sinuses; all further vessels grow from them by the same code as in cubes and serve gray and white matter only.
    """
    report = part_of(progress, 0.0, 1.0)
    _check(crushers_cm_per_s, flow_level, late_s)
    report(0.0, "Drawing a head")
    tissue = make_head_tissue(seed, BLOCK, territory)
    scaled = {name: flow_level * value for name, value in tissue.parameters.items() if name in ("gray_flow", "white_flow")}
    tissue = replace(tissue, perfusion=flow_level * tissue.perfusion, parameters={**tissue.parameters, **scaled})
    need = tissue.perfusion * TISSUE_DENSITY / 6000.0
    report(0.05, "Growing arteries")
    arteries = _grown("arteries", tissue, need, stream(seed, "vessels", 11), builder)
    report(0.4, "Growing veins")
    veins = _grown("veins", tissue, need, stream(seed, "vessels", 12), builder)
    rng = stream(seed, "vessels", 13)
    shear = float(rng.uniform(*_SHEAR))
    roots = np.maximum(0.05, rng.uniform(*_ENTRY_S) + _ENTRY_SPREAD_S * rng.standard_normal(arteries.parent.size))
    entry = roots[arteries.root] + late_s
    times = np.unique(np.round(np.concatenate([response_times(), _needed(label_duration_s, post_label_delays_s)]), 6))
    flowing = _Flowing(tissue, need, arteries, veins, shear, entry, times, crushers_cm_per_s)
    grid = Grid((need.shape[0], need.shape[1], need.shape[2]), BLOCK)
    label = _label(flowing, grid, exchange, rng, builder, part_of(progress, 0.7, 1.0))
    chosen = {"seed": seed, "exchange": exchange, "crushers_cm_per_s": crushers_cm_per_s, "flow_level": flow_level}
    return _assembled(flowing, grid, label, chosen | {"late_s": late_s}, label_duration_s, post_label_delays_s)


def _check(crushers: float | None, level: float, late: float) -> None:
    if crushers is not None and not 0.1 <= crushers <= 100.0:
        msg = f"Crushers of {crushers:g} cm/s make no sense. Give a velocity from 0.1 to 100 cm/s, for example 4."
        raise InvalidInputError(msg)
    if not 0.1 <= level <= 3.0:
        msg = f"A brain with {level:g} times the usual flow is none. Give a factor from 0.1 to 3."
        raise InvalidInputError(msg)
    if not 0.0 <= late <= 3.0:
        msg = f"Label that enters the head {late:g} s late cannot be simulated. Give 0 to 3 s."
        raise InvalidInputError(msg)


def _needed(duration: float, delays: tuple[float, ...]) -> FloatArray:
    wanted = np.concatenate([np.asarray(delays, float), np.asarray(delays, float) + duration])
    return wanted[(wanted > 0) & (wanted <= 6.0)]


@dataclass(frozen=True, slots=True)
class _Flowing:
    """A head with its vessels."""

    tissue: HeadTissue
    need: FloatArray
    arteries: Forest
    veins: Forest
    shear: float
    entry: FloatArray
    times: FloatArray
    crushers_cm_per_s: float | None

    def slow(self, forest: Forest, shear: float) -> BoolArray | None:
        """Return which segments crushers leave visible; None when there are none."""
        if self.crushers_cm_per_s is None:
            return None
        return np.asarray(forest.velocity(shear) <= 10.0 * self.crushers_cm_per_s)


@dataclass(frozen=True, slots=True)
class _Label:
    """Label of a never-ending bolus, shape (voxels, T), and its arrival, shape (voxels,)."""

    response: FloatArray
    crushed: FloatArray | None
    arrival: FloatArray


def _grown(kind: str, tissue: HeadTissue, need: FloatArray, rng: np.random.Generator, builder: str) -> Forest:
    """Grow all vessels of a kind from their trunk."""
    voxels = np.argwhere(need > 0)[::13]
    share = need[tuple(voxels.T)]
    share *= need.sum() / share.sum()
    trunk = make_trunk(kind, tissue.pose, tissue.atlas, tissue.to_domain, voxels + 0.5, share)
    return grow(need, rng, start=trunk, new_tree=0.0, builder=builder)


def _label(
    head: _Flowing, grid: Grid, exchange: Exchange, rng: np.random.Generator, builder: str, report: ProgressCallback
) -> _Label:
    """Return the response of picture voxels and their flow-weighted arrival."""
    arteries, times = head.arteries, head.times
    report(0.0, "Label in arteries")
    slow = head.slow(arteries, head.shear)
    amount = arterial_label(arteries, head.shear, head.entry, times, grid, seen=slow)
    crushed = None if slow is None else arterial_label(arteries, head.shear, head.entry, times, grid, seen=~slow)
    terminal = np.flatnonzero(arteries.terminal >= 0)
    voxel, arrival = arteries.terminal[terminal], arteries.arrival(head.shear)[terminal]
    t1, outflow, sums = head.tissue.t1_tissue_s.ravel(), [], np.zeros((grid.size, 2))
    for start in range(0, terminal.size, _CHUNK):
        report(0.1 + 0.6 * start / terminal.size, "Label in tissue")
        part = slice(start, start + _CHUNK)
        flow, entry = arteries.flow[terminal[part]], head.entry[terminal[part]]
        held, left = capillary_label(flow, arrival[part], entry, t1[voxel[part]], exchange, times, rng)
        where = grid.of_voxels(voxel[part])
        amount += grid.gather(where, held)
        sums += grid.gather(where, np.stack([flow, flow * (entry + arrival[part])], axis=1))
        outflow.append(left)
    report(0.7, "Label in veins")
    row: Index = np.full(head.need.size, -1, np.int64)
    row[voxel] = np.arange(voxel.size)
    veins, shear, left = head.veins, _VENOUS_SHEAR * head.shear, np.concatenate(outflow)
    slow = head.slow(veins, shear)
    amount += venous_label(veins, shear, left, row, times, grid, seen=slow, builder=builder)
    if crushed is not None and slow is not None:
        crushed += venous_label(veins, shear, left, row, times, grid, seen=~slow, builder=builder)
        crushed /= TISSUE_DENSITY * grid.block_mm3
    with np.errstate(invalid="ignore", divide="ignore"):
        return _Label(amount / (TISSUE_DENSITY * grid.block_mm3), crushed, sums[:, 1] / sums[:, 0])


def _assembled(
    head: _Flowing, grid: Grid, label: _Label, chosen: dict[str, Any], duration: float, delays: tuple[float, ...]
) -> VesselBrain:
    tissue = head.tissue
    shape = (*grid.pictures, head.times.size)
    pictures = np.asarray(label.response, np.float32).reshape(shape)
    shares = {name: grid.average(getattr(tissue, name)).astype(np.float32) for name in ("gray", "white", "fluid", "lesion")}
    affine = tissue.affine @ np.diag([*grid.block, 1.0])
    affine[:3, 3] = (tissue.affine @ np.append((np.array(grid.block) - 1) / 2.0, 1.0))[:3]
    arrival = label.arrival.reshape(grid.pictures).astype(np.float32)
    return VesselBrain(
        delta_s=signal(pictures, head.times, duration, delays),
        post_label_delays_s=np.asarray(delays, float),
        label_duration_s=duration,
        perfusion=grid.average(tissue.perfusion).astype(np.float32),
        arrival_s=arrival,
        mask=grid.average(tissue.perfusion > 0) >= 0.5,
        **shares,
        affine=affine,
        response=pictures,
        times_s=head.times,
        crushed=None if label.crushed is None else np.asarray(label.crushed, np.float32).reshape(shape),
        arteries=head.arteries,
        veins=head.veins,
        shear=head.shear,
        entry_s=head.entry,
        to_ras=np.linalg.inv(tissue.to_domain),
        parameters={**chosen, **tissue.pose.parameters, **tissue.parameters, **_outcome(head, shares, arrival)},
    )


def _outcome(head: _Flowing, shares: dict[str, NDArray[np.float32]], arrival: NDArray[np.float32]) -> dict[str, Any]:
    """Return what tells one brain from another: vessels, volumes, flow, and when label comes."""
    voxel_ml = float(np.prod(BLOCK)) / 1000.0
    found: dict[str, Any] = {
        "shear_per_s": head.shear,
        "terminals": int((head.arteries.terminal >= 0).sum()),
        "entry_s": head.entry[head.arteries.parent < 0],
        "whole_brain_flow_ml_per_min": 0.06 * float(head.need.sum()),
    }
    for name in ("gray", "white", "fluid"):
        found[f"{name}_ml"] = voxel_ml * float(shares[name].sum(dtype=np.float64))
    for name in ("gray", "white"):
        pure = arrival[(shares[name] > 0.9) & np.isfinite(arrival)]
        if pure.size:
            found[f"{name}_arrival_s"] = float(np.median(pure))
    return found
