# SPDX-License-Identifier: Apache-2.0
"""QTMnet: perfusion from multi-delay ASL by a network that was trained on simulated vessels (Hu et al., arXiv 2311.10640).

PyTorch is imported when a scan is analyzed, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.asl import AslDifference
from ..core.choosing import completed
from ..core.errors import InvalidInputError, require_package
from ..core.findings import QualityFinding
from ..core.progress import ProgressCallback, part_of
from ..core.watch import NoWatch
from .codes import AslQuality
from .qtm_input import QtmInput, network_input, prepare
from .qtm_weights import Q_REF, S_REF, QtmWeights, load_weights

OPTIONS: Mapping[str, Any] = {"weights": "", "flips": 8}
"""``weights``: a file of 'train qtmnet' instead of the shipped one. ``flips``: 1, 2, 4 or 8 mirrored estimates are averaged, and
their scatter tells how sure the network is."""

_TOO_MUCH_LABEL = 0.01
"""Share of the brain above the label of the training from which on M0 or the efficiency are doubted."""


def predict(
    difference: AslDifference,
    *,
    weights: QtmWeights | str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> dict[str, NDArray[Any]]:
    """Estimate perfusion with QTMnet.

    Parameters
    ----------
    difference : AslDifference
        Difference images of the delays that the network was trained for.
    weights : QtmWeights, path-like or str, optional
        Other weights than the shipped ones.
    settings : mapping, optional
        Those of `OPTIONS` that differ from the defaults.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]``.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    dict of ndarray, shape (I, J, K)
        ``cbf`` and its standard error ``cbf_sd`` in mL/100 g/min, ``quality`` (`AslQuality`); without M0 ``rcbf`` in
        percent of the brain's mean instead of both. NaN outside the mask and where M0 is missing.

    Raises
    ------
    InvalidInputError
        If the scan was made with another protocol than the network was trained for.
    MissingPackageError
        If PyTorch or safetensors is missing.
    """
    require_package("torch", "estimate perfusion with QTMnet")
    chosen = _chosen({**OPTIONS, **(settings or {})}, weights)
    report = part_of(progress, 0.0, 1.0)
    report(0.0, "QTMnet: preparing images")
    scan = prepare(difference, chosen)
    flips = int({**OPTIONS, **(settings or {})}["flips"])
    flow, variance = _estimate(scan, chosen, flips, device, part_of(report, 0.05, 0.95))
    report(0.95, "QTMnet: maps")
    return _maps(scan, chosen, flow, variance, difference)


def assess(difference: AslDifference, *, weights: QtmWeights | str | Path | None = None) -> tuple[QualityFinding, ...]:
    """Say what is odd about a scan for this network.

    Parameters
    ----------
    difference : AslDifference
        Difference images.
    weights : QtmWeights, path-like or str, optional
        Other weights than the shipped ones.

    Returns
    -------
    tuple of QualityFinding
        Without M0, with more label or noise than in the training.

    Raises
    ------
    InvalidInputError
        If the scan was made with another protocol than the network was trained for.
    """
    chosen = _chosen(OPTIONS, weights)
    scan = prepare(difference, chosen)
    findings = []
    if not scan.absolute:
        message = "There is no M0, so the network's map is relative: percent of the brain's mean flow."
        findings.append(QualityFinding("qtmnet_relative", "warning", message, "Add an M0 scan for mL/100 g/min."))
    elif chosen.most_label:
        share = float((scan.images[scan.inside] > np.array(chosen.most_label)).any(axis=-1).mean())
        if share > _TOO_MUCH_LABEL:
            message = f"{100 * share:.1f} % of the brain hold more label than 99.9 % of the network's training."
            advice = "Check the scale of M0, the labeling efficiency and the vendor's scaling."
            findings.append(QualityFinding("qtmnet_label_beyond_training", "warning", message, advice))
    if chosen.most_noise and scan.noise > chosen.most_noise:
        message = f"The noise is {scan.noise / chosen.most_noise:.1f} times the largest of the network's training."
        advice = "Take the flow of small regions with caution; more repetitions help."
        findings.append(QualityFinding("qtmnet_noise_beyond_training", "warning", message, advice))
    return tuple(findings)


def _chosen(settings: Mapping[str, Any], weights: QtmWeights | str | Path | None) -> QtmWeights:
    settings = completed("qtmnet", OPTIONS, settings)
    if settings["flips"] not in (1, 2, 4, 8):
        msg = f"flips is {settings['flips']!r}. Choose 1, 2, 4 or 8."
        raise InvalidInputError(msg)
    if isinstance(weights, QtmWeights):
        return weights
    return load_weights(weights if weights is not None else settings["weights"] or None)


def _estimate(
    scan: QtmInput, weights: QtmWeights, flips: int, device: str, progress: ProgressCallback
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and variance of mirrored estimates on the network's voxels."""
    from ..fitting.devices import choose_device, with_fallback

    x, factor = network_input(scan.images, weights, scan.noise, scan.inside)
    return with_fallback(
        lambda place, _: mirrored(weights, x, factor, flips, place, progress), choose_device(device), 1, NoWatch(), smallest=1
    )


def mirrored(
    weights: QtmWeights, x: Any, factor: float, flips: int, device: Any, progress: ProgressCallback
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Apply the network to mirror images.

    Parameters
    ----------
    weights : QtmWeights
        The network.
    x : Tensor, shape (1, channels, I, J, K)
        From `network_input`.
    factor : float
        From `network_input`.
    flips : {1, 2, 4, 8}
        Number of mirror images.
    device : torch.device
        Where.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    mean, variance : ndarray, shape (I, J, K)
        Of perfusion; in mL/100 g/min, and its square.
    """
    import torch

    from .qtm_network import estimate

    network = weights.network(device)
    total = torch.zeros(x.shape[2:], dtype=torch.float64)
    squares = torch.zeros_like(total)
    with torch.inference_mode():
        for number in range(flips):
            progress(number / flips, f"QTMnet: view {number + 1} of {flips}")
            axes = [axis + 2 for axis in range(3) if number >> axis & 1]
            found = estimate(network, x.flip(axes).to(device)).flip(axes)[0, 0].cpu().double() * factor
            total += found
            squares += found.square()
    mean = total / flips
    variance = (squares / flips - mean.square()).clamp(min=0.0)
    return mean.float().numpy(), variance.float().numpy()


def error_of(flow: NDArray[Any], variance: NDArray[Any], noise: float, weights: QtmWeights) -> NDArray[np.float32]:
    """Return the standard error of the network's flow, see `QtmWeights.spread`.

    Parameters
    ----------
    flow, variance : ndarray
        From `mirrored`.
    noise : float
        Standard deviation of the noise in label density.
    weights : QtmWeights
        The network.

    Returns
    -------
    ndarray, mL/100 g/min
        Standard error.
    """
    constant, scatter, relative, noisy = weights.spread
    squared = constant + scatter * variance + relative * np.square(flow) + noisy * (noise / S_REF * Q_REF) ** 2
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), np.float32)


def _maps(
    scan: QtmInput, weights: QtmWeights, flow: NDArray[np.float32], variance: NDArray[np.float32], difference: AslDifference
) -> dict[str, NDArray[Any]]:
    """Bring the outcome back to the scan's grid."""
    back = np.argsort(scan.order)
    turned = np.transpose(scan.valid, scan.order)

    def home(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.transpose(scan.way.home(values, scan.inside, turned), back))

    flow = np.maximum(flow, 0.0)
    cbf = home(flow)
    quality = np.full(difference.mask.shape, int(AslQuality.OUTSIDE_MASK), np.uint8)
    quality[difference.mask] = int(AslQuality.NO_CALIBRATION)
    quality[difference.mask & ~np.isfinite(difference.delta_m).all(axis=-1)] = int(AslQuality.NOT_FINITE)
    quality[np.isfinite(cbf)] = int(AslQuality.OK)
    if not scan.absolute:
        return {"rcbf": cbf * np.float32(100.0 / max(float(np.nanmean(cbf)), 1e-6)), "quality": quality}
    error = home(error_of(flow, variance, scan.noise, weights))
    quality[np.isfinite(cbf) & (error > 0.5 * cbf)] = int(AslQuality.UNCERTAIN)
    return {"cbf": cbf, "cbf_sd": error, "quality": quality}
