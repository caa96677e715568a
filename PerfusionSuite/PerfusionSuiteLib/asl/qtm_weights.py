# SPDX-License-Identifier: Apache-2.0
"""Weights of QTMnet with everything that their meaning depends on: protocol, scales, and how they were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..fitting.tensor_file import read_tensors, write_tensors

KIND, VERSION = "qtmnet", 1
MODELS = "PerfusionSuiteLib.data"
SHIPPED = "qtmnet"

SCALES = ("physical", "image-max")
Q_REF, S_REF = 80.0, 0.02
"""Perfusion (mL/100 g/min) and label density (mL of fresh label per g) that the network knows as 1."""

VOXEL_MM = (2.0, 2.0, 4.0)
"""Of the images that the network was trained on."""

DELAY_TOLERANCE_S = 0.02
"""By how much delays and durations may differ: label decays by 1.2 % in this time."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """When blood is labeled and when it is seen.

    Parameters
    ----------
    label_duration_s : float, s
        Labeling duration.
    post_label_delays_s : tuple of float, s
        From the end of labeling to each image.
    t1_blood_s : float, s
        Relaxation time of blood.

    Raises
    ------
    InvalidInputError
        If delays do not rise or a time is not positive.
    """

    label_duration_s: float = 1.45
    post_label_delays_s: tuple[float, ...] = (1.025, 1.525, 2.025, 2.525)
    t1_blood_s: float = 1.65

    def __post_init__(self) -> None:
        delays = np.asarray(self.post_label_delays_s, float)
        if not delays.size or delays[0] <= 0 or (np.diff(delays) <= 0).any():
            msg = f"Post-label delays must be positive and rise, but are {list(self.post_label_delays_s)} s. Correct them."
            raise InvalidInputError(msg)
        for name in ("label_duration_s", "t1_blood_s"):
            if not getattr(self, name) > 0:
                msg = f"{name} is {getattr(self, name)!r}, but it must be above 0. Correct it."
                raise InvalidInputError(msg)

    def words(self) -> str:
        """Return the protocol as users read it."""
        delays = ", ".join(f"{value:.4g}" for value in self.post_label_delays_s)
        return f"labeling {self.label_duration_s:.4g} s, delays {delays} s"

    def matching(self, label_durations_s: Sequence[float], post_label_delays_s: Sequence[float]) -> list[int] | None:
        """Find the images of a scan that belong to this protocol.

        Parameters
        ----------
        label_durations_s, post_label_delays_s : sequence of float, s
            Of each image of the scan.

        Returns
        -------
        list of int or None
            The image for each delay; None when one is missing.
        """
        durations, delays = np.asarray(label_durations_s, float), np.asarray(post_label_delays_s, float)
        found = []
        for delay in self.post_label_delays_s:
            apart = np.maximum(np.abs(delays - delay), np.abs(durations - self.label_duration_s))
            at = int(np.argmin(apart)) if apart.size else -1
            if at < 0 or not apart[at] <= DELAY_TOLERANCE_S:
                return None
            found.append(at)
        return found


@dataclass(frozen=True, slots=True)
class QtmWeights:
    """A trained network.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Weights by the names of `qtm_network.QtmNetwork`.
    protocol : Protocol
        What it was trained for.
    base : int
        Channels of the first level.
    regression : bool
        Whether the network begins with a linear map of each voxel's curve.
    noise_channel : bool
        Whether the standard deviation of the noise goes in as one more image.
    scale : {"physical", "image-max"}
        What images are divided by: a constant, or each image's own maximum (with the target in the same proportion).
    slope : float
        Of the leaky rectifiers.
    most_label : tuple of float
        99.9th percentile of the label density in training, per delay.
    mean_label : float
        Mean label density in training, which scans without M0 are scaled to.
    most_noise : float
        Largest noise in training, in label density.
    moments : tuple of tuple of float
        Of the cubes, for the linear regression that a network has to beat (`linear_map`).
    spread : tuple of float
        Variance of the error = spread[0] + spread[1] * (standard deviation over flips)^2 + spread[2] * CBF^2
        + spread[3] * (noise / `S_REF` * `Q_REF`)^2, in (mL/100 g/min)^2, from cubes that were not trained on.
    provenance : mapping
        Data, seeds, command, scores, as plain values.
    """

    tensors: Mapping[str, NDArray[Any]]
    protocol: Protocol
    base: int = 16
    regression: bool = False
    noise_channel: bool = False
    scale: str = "physical"
    slope: float = 0.01
    most_label: tuple[float, ...] = ()
    mean_label: float = 0.004
    most_noise: float = 0.0
    moments: tuple[tuple[float, ...], ...] = ()
    spread: tuple[float, ...] = (0.0, 1.0, 0.0, 0.0)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            msg = f"There is no scale '{self.scale}'. Choose one of {', '.join(SCALES)}."
            raise InvalidInputError(msg)

    @property
    def channels(self) -> int:
        """Images that the network takes."""
        return len(self.protocol.post_label_delays_s) + int(self.noise_channel)

    def linear_map(self, noise: float = 0.0) -> NDArray[np.float64]:
        """Return the linear regression of perfusion from the delays of single voxels.

        Parameters
        ----------
        noise : float, mL/g
            Standard deviation of the noise of the label density, which the regression allows for.

        Returns
        -------
        ndarray, shape (D + 1,)
            Flow in mL/100 g/min per label density (mL/g), and a constant.
        """
        table = np.array(self.moments, np.float64)
        count = len(table)
        allowance = np.diag([(noise / S_REF) ** 2] * (count - 1) + [0.0])
        found = np.linalg.solve(table[:, :count] + allowance, table[:, count])
        found[:-1] /= S_REF
        return np.asarray(found)

    def network(self, device: Any) -> Any:
        """Build the network with these weights.

        Parameters
        ----------
        device : torch.device
            Where.

        Returns
        -------
        QtmNetwork
            In evaluation mode.

        Raises
        ------
        InvalidInputError
            If the weights do not fit the network.
        """
        import torch

        from .qtm_network import QtmNetwork

        network = QtmNetwork(
            len(self.protocol.post_label_delays_s), self.base, noise_channel=self.noise_channel, slope=self.slope,
            regression=self.regression,
        )  # fmt: skip
        values = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in self.tensors.items()}
        try:
            network.load_state_dict(values)
        except RuntimeError as error:
            msg = f"The weights do not fit a network of base {self.base} for {self.channels} images. Train them again."
            raise InvalidInputError(msg) from error
        return network.to(device).eval()


_KEPT_EXACT = 1000
"""Arrays of so few numbers stay 32-bit: a component of curves that is a hundredth of another one needs the digits."""

_PLAIN = ("base", "regression", "noise_channel", "scale", "slope", "most_label", "mean_label", "most_noise", "spread")
"""What is stored as it is; `moments` are, too, but as lists of lists."""


def save_weights(path: str | Path, weights: QtmWeights, *, half: bool = True) -> Path:
    """Write weights.

    Parameters
    ----------
    path : path-like
        The file (.safetensors).
    weights : QtmWeights
        What to write.
    half : bool
        Store large arrays as 16-bit numbers.

    Returns
    -------
    Path
        The file.
    """
    facts = {name: getattr(weights, name) for name in _PLAIN}
    facts |= {"protocol": asdict(weights.protocol), "q_ref": Q_REF, "s_ref": S_REF, "voxel_mm": list(VOXEL_MM)}
    facts |= {"moments": [list(row) for row in weights.moments]}
    facts |= {"input": "lambda * (control - label) / (2 * efficiency * M0) / s_ref", "provenance": dict(weights.provenance)}
    tensors = {
        name: np.asarray(value, np.float16 if half and np.size(value) > _KEPT_EXACT else np.float32)
        for name, value in weights.tensors.items()
    }
    return write_tensors(path, tensors, facts, kind=KIND, version=VERSION)


def load_weights(name: str | Path | None = None) -> QtmWeights:
    """Read weights.

    Parameters
    ----------
    name : str or path-like, optional
        A file, or the name of weights that come with the software (default ``qtmnet``).

    Returns
    -------
    QtmWeights
        Numbers are float32.

    Raises
    ------
    InvalidInputError
        If there are none of that name, or the file is damaged or of another kind.
    """
    wanted = SHIPPED if name is None else str(name)
    inside = resources.files(MODELS) / "models" / f"{wanted}.safetensors"
    if "/" not in wanted and "\\" not in wanted and inside.is_file():
        with resources.as_file(inside) as path:
            return _read(path)
    if name is None:
        msg = "No weights of QTMnet come with this copy. Train them with 'train qtmnet', and name the file."
        raise InvalidInputError(msg)
    return _read(Path(wanted))


def _read(path: Path) -> QtmWeights:
    tensors, facts = read_tensors(path, kind=KIND, version=VERSION, what="trained QTMnet")
    try:
        told = facts["protocol"]
        protocol = Protocol(
            float(told["label_duration_s"]), tuple(map(float, told["post_label_delays_s"])), float(told["t1_blood_s"])
        )
        plain: dict[str, Any] = {key: tuple(facts[key]) if isinstance(facts[key], list) else facts[key] for key in _PLAIN}
        moments = tuple(tuple(map(float, row)) for row in facts["moments"])
        scales = (float(facts["q_ref"]), float(facts["s_ref"]), tuple(map(float, facts["voxel_mm"])))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"The weights '{path.name}' lack their description ({error}). Train them again."
        raise InvalidInputError(msg) from error
    if scales != (Q_REF, S_REF, VOXEL_MM):
        msg = f"The weights '{path.name}' were trained with other scales ({scales}). Train them again with this version."
        raise InvalidInputError(msg)
    numbers = {key: np.asarray(value, np.float32) for key, value in tensors.items()}
    return QtmWeights(numbers, protocol, **plain, moments=moments, provenance=dict(facts.get("provenance", {})))
