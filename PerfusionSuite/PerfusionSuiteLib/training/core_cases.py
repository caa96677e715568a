# SPDX-License-Identifier: Apache-2.0
"""Cases that a network of the infarct core learns from: inputs and true core, of digital patients through the whole chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import phantom, pipeline
from ..core import PerfusionMaps, ProgressCallback, part_of
from ..core.geometry import BoolArray, FloatArray, voxel_volume_ml
from ..evaluation import seen_truth
from ..fitting.tensor_file import read_tensors, write_tensors
from ..lesion.core_image import INPUTS, affected_half, core_image
from ..settings import Settings

KIND, VERSION = "core case", 1
SUFFIX = ".core.safetensors"

GRIDS: tuple[Mapping[str, Any], ...] = (
    {"shape": (192, 192, 12), "spacing_mm": (1.15, 1.15, 8.0)},
    {"shape": (176, 176, 20), "spacing_mm": (1.25, 1.25, 5.0)},
)
NOISES_HU, INTERVALS_S = (4.0, 2.5, 4.0, 5.5), (1.0, 1.0, 1.5)
METHODS = ("spatial", "spatial", "bayes")
"""What goes round with the seed of digital patients."""


@dataclass(frozen=True, slots=True)
class CoreCase:
    """What a network learns from or is scored on.

    Parameters
    ----------
    name : str
        Seed or number; nothing that identifies anybody.
    image : ndarray, shape (C, I, J, K)
        All inputs, see `lesion.core_image.core_image`.
    inputs : tuple of str
        Their names.
    core, scored, allowed, threshold : ndarray of bool, shape (I, J, K)
        True core, voxels that count for scores, the affected side within hypoperfusion where the core may lie, and what
        the threshold on relative flow found.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    facts : mapping
        How it was made.
    """

    name: str
    image: NDArray[np.floating[Any]]
    inputs: tuple[str, ...]
    core: BoolArray
    scored: BoolArray
    allowed: BoolArray
    threshold: BoolArray
    affine: FloatArray
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in mL."""
        return voxel_volume_ml(self.affine)

    def save(self, path: Path) -> Path:
        """Write the case to a file, inputs as 16-bit numbers."""
        masks = {name: np.packbits(getattr(self, name).ravel()) for name in ("core", "scored", "allowed", "threshold")}
        tensors: dict[str, NDArray[Any]] = {"image": self.image.astype(np.float16), "affine": self.affine, **masks}
        facts = {"name": self.name, "inputs": list(self.inputs), **self.facts}
        return write_tensors(path, tensors, facts, kind=KIND, version=VERSION)

    @classmethod
    def load(cls, path: Path) -> CoreCase:
        """Read a case from a file of `save`; the inputs stay 16-bit numbers."""
        tensors, facts = read_tensors(path, kind=KIND, version=VERSION, what=KIND)
        image = tensors["image"]
        shape = image.shape[1:]
        masks = {
            name: np.unpackbits(tensors[name], count=int(np.prod(shape))).astype(bool).reshape(shape)
            for name in ("core", "scored", "allowed", "threshold")
        }
        name, inputs = str(facts.pop("name")), tuple(facts.pop("inputs"))
        return cls(name, image, inputs, affine=tensors["affine"], facts=facts, **masks)


def simulated_case(seed: int, *, method: str | None = None, progress: ProgressCallback | None = None) -> CoreCase:
    """Make a digital patient, run the chain on it, and keep what a network of the core needs.

    Parameters
    ----------
    seed : int
        The patient; raster, noise, frame interval and method go round with it, the rest is drawn from it.
    method : str, optional
        This one instead.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    CoreCase
        Ready for training.
    """
    method = method or METHODS[seed % len(METHODS)]
    grid = GRIDS[seed % len(GRIDS)]
    noise, interval = NOISES_HU[seed // 2 % len(NOISES_HU)], INTERVALS_S[seed // 3 % len(INTERVALS_S)]
    scan, truth = phantom.ctp(
        seed=seed, recipe="typical", noise_hu=noise, interval_s=interval, progress=part_of(progress, 0.0, 0.6), **grid
    )
    study = pipeline.run(scan, Settings(method=method), progress=part_of(progress, 0.6, 1.0), overwrite_series=True)
    seen = seen_truth(study, truth)
    site = str(truth.parameters["lesion"]["site"])
    facts = {"method": method, "modality": "ctp", "seed": seed, "noise_hu": noise, "interval_s": interval, "site": site}
    return case_of(f"simulated-{seed:04d}", study.maps, study.lesions, seen.masks["core"], seen.masks["scored"], facts)


def case_of(
    name: str, maps: PerfusionMaps, lesions: Any, core: BoolArray, scored: BoolArray, facts: Mapping[str, Any]
) -> CoreCase:
    """Put together a case from maps, the lesions that thresholds found in them, and a true core.

    Parameters
    ----------
    name : str
        What the case is called.
    maps : PerfusionMaps
        Finished maps.
    lesions : LesionMasks
        From `lesion.segment`.
    core, scored : ndarray of bool, shape (I, J, K)
        The truth, and where it is judged.
    facts : mapping
        How the case was made.

    Returns
    -------
    CoreCase
        Ready for training.
    """
    names = tuple(name for name, (key, _) in INPUTS.items() if key in maps)
    half = affected_half(lesions.tissue, maps.affine, lesions.midplane, lesions.side, maps["cbf"].values)
    allowed = half & lesions.hypoperfusion & lesions.tissue
    image = core_image(maps, lesions.reference, names)
    return CoreCase(name, image, names, core, scored, allowed, lesions.core, np.asarray(maps.affine), facts)
