# SPDX-License-Identifier: Apache-2.0
"""Estimate the perfusion of simulated cubes by QTMnet and by what it has to beat: kinetic models and a linear regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import asl
from ..asl.qtm_weights import Q_REF, S_REF, VOXEL_MM, Protocol, QtmWeights
from ..asl.relaxation import PARTITION_ML_PER_G
from ..core.asl import AslDifference
from ..core.progress import ProgressCallback, no_progress

NETWORK, REGRESSION = "qtmnet", "regression"

PUBLISHED_SINGLE_S = 1.525
"""Delay of the published comparison by one delay."""

KINETIC: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "asl-single": ("asl-single", {"delay_s": PUBLISHED_SINGLE_S}),
    "asl-multi-wd": ("asl-multi-wd", {}),
    "asl-multi": ("asl-multi", {}),
}
"""Method and settings of the kinetic comparators; the first two are those of the publication."""

TITLES: Mapping[str, str] = {
    NETWORK: "QTMnet",
    REGRESSION: "linear regression per voxel",
    "asl-single": "single delay (asl-single)",
    "asl-multi-wd": "weighted delay (asl-multi-wd)",
    "asl-multi": "multi-delay (asl-multi)",
}

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Scores:
    """How far estimates are from the truth.

    Parameters
    ----------
    nrmse : float, %
        Norm of the error over the norm of the truth.
    bias : float, mL/100 g/min
        Mean error.
    correlation : float
        Pearson's.
    """

    nrmse: float
    bias: float
    correlation: float

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {"nrmse_percent": self.nrmse, "bias": self.bias, "correlation": self.correlation}


def scores_of(estimate: NDArray[Any], truth: NDArray[Any], mask: NDArray[Any] | None = None) -> Scores:
    """Score a map.

    Parameters
    ----------
    estimate, truth : ndarray of equal shape, mL/100 g/min
        Perfusion; where the estimate is NaN it counts as 0, so that nobody gains by leaving out what is difficult.
    mask : ndarray of bool, optional
        Where.

    Returns
    -------
    Scores
        NRMSE as in qtmnet section 12.
    """
    where = np.ones(np.shape(truth), bool) if mask is None else np.asarray(mask, bool)
    a, b = np.nan_to_num(np.asarray(estimate, np.float64)[where]), np.asarray(truth, np.float64)[where]
    norm = float(np.linalg.norm(b))
    varied = a.size > 1 and a.std() > 0 and b.std() > 0
    return Scores(
        100.0 * float(np.linalg.norm(a - b)) / norm if norm else float("nan"),
        float((a - b).mean()) if a.size else float("nan"),
        float(np.corrcoef(a, b)[0, 1]) if varied else float("nan"),
    )


def with_noise(density: NDArray[np.float32], noise: float, seed: int) -> NDArray[np.float32]:
    """Add independent noise.

    Parameters
    ----------
    density : ndarray, mL/g
        Label density.
    noise : float
        Standard deviation in units of `S_REF`.
    seed : int
        Of the draw.

    Returns
    -------
    ndarray, mL/g
        Noisy label density.
    """
    if not noise:
        return density
    draw = np.random.default_rng([seed, 7])
    return density + np.float32(noise * S_REF) * draw.standard_normal(density.shape, dtype=np.float32)


def as_difference(density: NDArray[np.float32], protocol: Protocol, noise: float = 0.0) -> AslDifference:
    """Lay cubes behind one another as a scan in which efficiency and M0 are such that label density is what was measured.

    Parameters
    ----------
    density : ndarray, shape (N, D, I, J, K), mL/g
        Label density.
    protocol : Protocol
        Of the images.
    noise : float
        Its standard deviation in units of `S_REF`.

    Returns
    -------
    AslDifference
        Of shape (I, J, K N).
    """
    count, delays, i, j, k = density.shape
    signal = np.ascontiguousarray(density.transpose(2, 3, 0, 4, 1).reshape(i, j, count * k, delays), np.float32)
    shape = signal.shape[:3]
    return AslDifference(
        delta_m=signal,
        post_label_delays_s=np.array(protocol.post_label_delays_s),
        label_durations_s=np.full(delays, protocol.label_duration_s),
        m0=np.full(shape, PARTITION_ML_PER_G / 2.0, np.float32),
        noise_sd=np.full(signal.shape, noise * S_REF, np.float32) if noise else None,
        mask=np.ones(shape, bool),
        affine=np.diag([*VOXEL_MM, 1.0]),
        labeling="pcasl",
        labeling_efficiency=1.0,
        field_strength_t=3.0,
        slice_delays_s=np.zeros(shape[2]),
        repetitions=np.ones(delays, np.int64),
    )


def kinetic(
    name: str,
    density: NDArray[np.float32],
    protocol: Protocol,
    noise: float = 0.0,
    *,
    progress: ProgressCallback | None = None,
) -> NDArray[np.float32]:
    """Estimate the perfusion of cubes by a kinetic model.

    Parameters
    ----------
    name : str
        One of `KINETIC`.
    density : ndarray, shape (N, D, I, J, K), mL/g
        Label density.
    protocol : Protocol
        Of the images.
    noise : float
        Its standard deviation in units of `S_REF`.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    ndarray, shape (N, I, J, K), mL/100 g/min
        Perfusion.
    """
    method, settings = KINETIC[name]
    delays = np.array(protocol.post_label_delays_s)
    if "delay_s" in settings and np.abs(delays - settings["delay_s"]).min() > 1e-3:
        settings = {}
    maps = asl.quantify(as_difference(density, protocol, noise), method=method, settings=settings, progress=progress)
    count, _, i, j, k = density.shape
    return np.asarray(maps["cbf"].reshape(i, j, count, k).transpose(2, 0, 1, 3), np.float32)


def regression(weights: QtmWeights, density: NDArray[np.float32], noise: float = 0.0) -> NDArray[np.float32]:
    """Estimate the perfusion of cubes by the linear regression of the cubes that a network was trained on.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    density : ndarray, shape (N, D, I, J, K), mL/g
        Label density.
    noise : float
        Its standard deviation in units of `S_REF`; the regression knows it.

    Returns
    -------
    ndarray, shape (N, I, J, K), mL/100 g/min
        Perfusion.
    """
    found = weights.linear_map(noise * S_REF)
    return np.asarray(np.tensordot(density, found[:-1], axes=(1, 0)) + found[-1], np.float32)


def network(
    weights: QtmWeights,
    density: NDArray[np.float32],
    noise: float = 0.0,
    *,
    flips: int = 8,
    device: Any = None,
    progress: ProgressCallback | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Estimate the perfusion of cubes by QTMnet.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    density : ndarray, shape (N, D, I, J, K), mL/g
        Label density.
    noise : float
        Its standard deviation in units of `S_REF`, which the network is told if it can hear.
    flips : {1, 2, 4, 8}
        Mirrored estimates that are averaged.
    device : torch.device, optional
        Where; the CPU by default.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    flow : ndarray, shape (N, I, J, K), mL/100 g/min
        Perfusion.
    variance : ndarray, shape (N, I, J, K)
        Of the mirrored estimates.
    """
    import torch

    from ..asl.qtm_network import estimate

    tell, place = progress or no_progress, device or torch.device("cpu")
    model = weights.network(place)
    flows, variances = [], []
    with torch.inference_mode():
        for start in range(0, len(density), _BATCH):
            tell(start / len(density), "QTMnet on cubes")
            x = torch.from_numpy(density[start : start + _BATCH] / np.float32(S_REF)).to(place)
            factor = x.amax((1, 2, 3, 4), keepdim=True).clamp(min=1e-3) if weights.scale == "image-max" else torch.ones(1)
            x = x / factor.to(place)
            if weights.noise_channel:
                x = torch.cat([x, torch.full_like(x[:, :1], noise)], 1)
            found = []
            for number in range(flips):
                axes = [axis + 2 for axis in range(3) if number >> axis & 1]
                found.append(estimate(model, x.flip(axes)).flip(axes) * factor.to(place))
            views = Q_REF * torch.stack(found)[:, :, 0]
            flows.append(views.mean(0).cpu().numpy())
            variances.append(views.var(0, unbiased=False).cpu().numpy())
    return np.maximum(np.concatenate(flows), 0.0), np.concatenate(variances)
