# SPDX-License-Identifier: Apache-2.0
"""Weights of the network of the infarct core with everything that their meaning depends on; and what they find in maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError, require_package
from ..core.geometry import FloatArray, voxel_sizes
from ..fitting.tensor_file import read_tensors, write_tensors

KIND, VERSION = "infarct core network", 1
MODELS = "PerfusionSuiteLib.data"
SHIPPED = "core"

THIN_SLICE_MM, SLICE_MM = 3.0, 5.0
"""Slices thinner than the first are joined to about the second: a network knows thick ones."""

_EXACT = 100
"""Arrays of so few numbers stay 32-bit."""


@dataclass(frozen=True, slots=True)
class CoreWeights:
    """A trained network.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Weights by the names of `core_unet.CoreNetwork`.
    inputs : tuple of str
        Channels of the image, see `core_image.INPUTS`.
    voxel_mm : float, mm
        In-plane voxel size that images are brought to.
    window : tuple of int
        Voxels that are seen at once.
    methods : tuple of str
        How the maps that it was trained on were made; empty when that is not known.
    modality : str
        Of the scans that it was trained on: ``ctp`` or ``dsc``; empty when that is not known.
    provenance : mapping
        Data, seeds, command, scores, as plain values.
    """

    tensors: Mapping[str, NDArray[Any]]
    inputs: tuple[str, ...]
    voxel_mm: float
    window: tuple[int, int, int]
    methods: tuple[str, ...] = ()
    modality: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def network(self, device: Any) -> Any:
        """Build the network with these weights.

        Parameters
        ----------
        device : torch.device
            Where.

        Returns
        -------
        CoreNetwork
            In evaluation mode.

        Raises
        ------
        InvalidInputError
            If the weights do not fit the network.
        """
        import torch

        from .core_unet import CoreNetwork

        network = CoreNetwork(len(self.inputs))
        values = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in self.tensors.items()}
        try:
            network.load_state_dict(values)
        except RuntimeError as error:
            msg = f"The weights do not fit a network of {len(self.inputs)} inputs. Train them again."
            raise InvalidInputError(msg) from error
        return network.to(device).eval()

    def probability(self, image: NDArray[np.floating], affine: FloatArray, device: str = "auto") -> NDArray[np.float32]:
        """Return the probability of core.

        Parameters
        ----------
        image : ndarray, shape (C, I, J, K)
            Channels in the order of `inputs`.
        affine : ndarray, shape (4, 4), mm
            Voxel to RAS.
        device : str
            See `fitting.devices.choose_device`.

        Returns
        -------
        ndarray, shape (I, J, K)
            Between 0 and 1.

        Raises
        ------
        MissingPackageError
            If PyTorch is not installed.
        """
        require_package("torch", "draw the core with a network")
        import torch

        from ..fitting.devices import choose_device
        from .core_unet import probability, resampled

        where = choose_device(device)
        seen = torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(where)
        found = probability(self.network(where), resampled(seen, raster(image.shape[1:], affine, self.voxel_mm)), self.window)
        back: NDArray[np.float32] = resampled(found[None], image.shape[1:])[0].cpu().numpy()
        return back


def raster(shape: Sequence[int], affine: FloatArray, voxel_mm: float) -> tuple[int, int, int]:
    """Return how many voxels an image has where the network sees it.

    Parameters
    ----------
    shape : sequence of int
        Of the image.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    voxel_mm : float, mm
        Wanted size in plane.

    Returns
    -------
    tuple of int
        Slices stay as they are unless they are thin.
    """
    size = voxel_sizes(affine)
    i, j = (max(1, round(n * float(mm) / voxel_mm)) for n, mm in zip(shape[:2], size[:2], strict=True))
    thick = float(size[2])
    return i, j, shape[2] if thick >= THIN_SLICE_MM else max(1, round(shape[2] * thick / SLICE_MM))


def save_weights(path: str | Path, weights: CoreWeights) -> Path:
    """Write weights, large arrays as 16-bit numbers.

    Parameters
    ----------
    path : path-like
        The file (.safetensors).
    weights : CoreWeights
        What to write.

    Returns
    -------
    Path
        The file.
    """
    facts: dict[str, Any] = {"voxel_mm": weights.voxel_mm, "modality": weights.modality}
    facts |= {name: list(getattr(weights, name)) for name in ("inputs", "window", "methods")}
    facts["provenance"] = dict(weights.provenance)
    tensors = {
        name: np.asarray(value, np.float16 if np.size(value) > _EXACT else np.float32) for name, value in weights.tensors.items()
    }
    return write_tensors(path, tensors, facts, kind=KIND, version=VERSION)


def load_weights(name: str | Path = SHIPPED) -> CoreWeights:
    """Read weights.

    Parameters
    ----------
    name : str or path-like
        A file, or the name of weights that come with the software.

    Returns
    -------
    CoreWeights
        Numbers are float32.

    Raises
    ------
    InvalidInputError
        If there are none of that name, or the file is damaged or of another kind.
    """
    wanted = str(name) or SHIPPED
    inside = resources.files(MODELS) / "models" / f"{wanted}.safetensors"
    if "/" not in wanted and "\\" not in wanted and inside.is_file():
        return _shipped(wanted)
    return _read(Path(wanted).expanduser())


@lru_cache(maxsize=2)
def _shipped(name: str) -> CoreWeights:
    with resources.as_file(resources.files(MODELS) / "models" / f"{name}.safetensors") as path:
        return _read(path)


def _read(path: Path) -> CoreWeights:
    tensors, facts = read_tensors(path, kind=KIND, version=VERSION, what="network of the infarct core")
    try:
        window = tuple(int(n) for n in facts["window"])
        inputs, methods = (tuple(str(name) for name in facts[key]) for key in ("inputs", "methods"))
        voxel_mm = float(facts["voxel_mm"])
        size = (window[0], window[1], window[2])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"The weights '{path.name}' lack their description ({error}). Train them again."
        raise InvalidInputError(msg) from error
    numbers = {key: np.asarray(value, np.float32) for key, value in tensors.items()}
    provenance = dict(facts.get("provenance", {}))
    modality = str(facts.get("modality") or ("ctp" if provenance.get("simulated") else ""))  # digital patients are CT
    return CoreWeights(numbers, inputs, voxel_mm, size, methods, modality, provenance)
