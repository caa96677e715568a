# SPDX-License-Identifier: Apache-2.0
"""One neural fit from curves to maps. Needs PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.fields import FittedField
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import no_progress, part_of
from ..deconvolution.codes import QualityCode
from ..deconvolution.maps import spread
from .checkpoint import Checkpoint, request_fingerprint
from .devices import choose_device, with_fallback
from .field_sampling import maps_of
from .lattice_field import ADDED, Lattice, frame_lattices, lattices_of, parameters_at
from .lattice_network import Adam, LatticeNetwork
from .neural import NeuralPlan
from .neural_learner import Learner
from .neural_objective import Objective, prepare
from .request import FitRequest, Fitted
from .spatial import Plan
from .spatial_run import facts_of, parted, quality_codes, shared, tell_family
from .standard_frame import standard_affine
from .start_file import Start, load_start

Tensor = Any


def run(request: FitRequest, plan: NeuralPlan) -> Fitted:
    """Fit a scan.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid.
    plan : NeuralPlan
        Checked settings.

    Returns
    -------
    Fitted
        Maps and field.
    """
    start = None if plan.start == "random" else load_start(plan.start, "neural")
    if start is not None and not start.frame.standard:
        msg = f"The learned start belongs to {start.frame.words()}, not to the standard frame. Train one for the standard frame."
        raise InvalidInputError(msg)
    # All voxels are fitted at once, so there is no batch to halve: where a GPU is too small, the CPU takes over.
    device = choose_device(request.device)
    return with_fallback(lambda place, _: _run(request, plan, start, place), device, 1, request.watch, smallest=1)


@dataclass(frozen=True, slots=True)
class Placing:
    """Where the lattices lie on a scan.

    Parameters
    ----------
    lattices : list of Lattice
        From coarse to fine.
    from_voxel : ndarray, shape (4, 4)
        Voxel coordinates of the scan to coordinates of the lattices.
    """

    lattices: list[Lattice]
    from_voxel: FloatArray

    def points(self, mask: BoolArray) -> FloatArray:
        """Return the coordinates of the voxels of a mask, shape (N, 3)."""
        return np.argwhere(mask) @ self.from_voxel[:3, :3].T + self.from_voxel[:3, 3]


def place(mask: BoolArray, affine: FloatArray, *, standard: bool) -> Placing:
    """Lay the lattices over a scan, or the scan over the lattices of the standard frame.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        The brain.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    standard : bool
        Whether the lattices are those of the standard frame.

    Returns
    -------
    Placing
        The lattices. The curves stay on their own voxels in both cases: it is the field that is resampled, without blur.
    """
    if not standard:
        return Placing(lattices_of(mask, affine), np.eye(4))
    return Placing(frame_lattices(), np.linalg.inv(standard_affine(mask, affine)) @ affine)


def _run(request: FitRequest, plan: NeuralPlan, start: Start | None, device: Any) -> Fitted:
    tell = request.progress or no_progress
    objective = prepare(request, plan.objective, plan.model_error, device, part_of(request.progress, 0.0, 0.3))
    tell_family(request, objective.data)
    placing = place(objective.mask, np.asarray(request.affine, float), standard=start is not None)
    weights = None if start is None else start.weights
    network = LatticeNetwork(placing.lattices, placing.points(objective.mask), plan.seed, device, weights)
    belongs_to = request_fingerprint("neural", request, start=None if start is None else dict(start.provenance))
    checkpoint = Checkpoint(request.watch.checkpoint, "neural", belongs_to)
    learner = Learner(objective, network, Adam(network.weights, plan.steps, plan.rate), plan.steps, plan.guidance)
    learner.resume(checkpoint)
    learner.learn(request, checkpoint, part_of(request.progress, 0.3, 0.9))
    tell(0.9, "Maps")
    whole = _whole(request, objective, plan.objective, learner.theta())
    field = _field(request, objective, learner, placing, plan, whole)
    maps = _maps(request, objective, field, whole)
    maps["shape"] = np.asarray(objective.data.manifold.table.shape)
    checkpoint.clear()
    return Fitted(maps, field)


def _whole(request: FitRequest, objective: Objective, plan: Plan, theta: Tensor) -> Tensor:
    """Parameters of the maps: those of the network, transit times shared by alike tissue, borders explained by both sides."""
    single = shared(request, objective.data, plan, theta) if plan.average else theta
    return parted(request, objective.data, plan, single) if plan.borders else single


def _field(
    request: FitRequest, objective: Objective, learner: Learner, placing: Placing, plan: NeuralPlan, whole: Tensor
) -> FittedField:
    """Put together what was learned, what alike tissue and borders add to it, and standard deviations as maps of their own."""
    theta = learner.theta()
    weights: dict[str, NDArray[Any]] = learner.network.arrays()
    if plan.objective.average or plan.objective.borders:
        weights[ADDED] = (whole - theta).T.cpu().numpy().copy()
    weights |= {f"map_{name}": values for name, values in objective.deviations(theta, whole).items()}
    first = placing.lattices[0]
    settings = {
        **request.settings,
        "start": Path(plan.start).name,
        "steps": plan.steps,
        "rate": plan.rate,
        "guidance": plan.guidance,
        "factor": request.factor,
        "family": objective.data.family,
        "dispersion": plan.objective.dispersion,
        **facts_of(objective.data),
        "bounds": objective.bounds(),
        "lattice_box": [first.low, first.high],
        "lattice_from_voxel": placing.from_voxel.tolist(),
    }
    i, j, k = objective.mask.shape
    return FittedField(
        "neural", "lattice", weights, (i, j, k), np.asarray(request.affine, float), objective.mask, request.problem.times_s,
        request.problem.aif, settings, learner.record(),
    )  # fmt: skip


def _maps(request: FitRequest, objective: Objective, field: FittedField, whole: Tensor) -> dict[str, NDArray[Any]]:
    """Sample the field at the voxels of the scan: the maps are by definition what the stored field gives."""
    columns = maps_of(parameters_at(field, np.argwhere(field.mask).astype(float)), request.factor)
    maps = {name: spread(request.problem, objective.placed(values)) for name, values in columns.items()}
    maps["quality"] = spread(request.problem, quality_codes(objective.data, whole), QualityCode.OUTSIDE_MASK)
    return maps
