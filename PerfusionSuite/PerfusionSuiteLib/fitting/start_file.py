# SPDX-License-Identifier: Apache-2.0
"""Learned starts: weights from which a fit needs fewer steps, with where they come from and the raster they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray, voxel_sizes
from .standard_frame import STANDARD_SHAPE, STANDARD_SPACING_MM
from .tensor_file import read_tensors, write_tensors

KIND, VERSION = "start", 1
MODELS = "PerfusionSuiteLib.data"
OTHERS = "qtmnet"
"""What names of shipped weights begin with that are no starts."""

STANDARD = "standard"

SPACING_TOLERANCE = 0.02
"""Share by which voxel sizes of the same frame may differ."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The raster that a start belongs to.

    Parameters
    ----------
    name : str
        ``standard``, or what the training called it.
    shape : tuple of int
        Voxels.
    spacing_mm : tuple of float, mm
        Their size.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def standard(self) -> bool:
        """Whether it is the standard frame of this version, which any scan can be resampled into."""
        return self.name == STANDARD and self.fits(STANDARD_SHAPE, np.diag([*STANDARD_SPACING_MM, 1.0]))

    def fits(self, shape: tuple[int, ...], affine: FloatArray) -> bool:
        """Whether a raster has this shape and spacing."""
        sizes = voxel_sizes(affine)
        return tuple(shape) == self.shape and bool(np.allclose(sizes, self.spacing_mm, rtol=SPACING_TOLERANCE))

    def words(self) -> str:
        """Return the frame as users read it."""
        return f"{' x '.join(map(str, self.shape))} voxels of {' x '.join(f'{v:.3g}' for v in self.spacing_mm)} mm"


STANDARD_FRAME = Frame(STANDARD, STANDARD_SHAPE, STANDARD_SPACING_MM)


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from.

    Parameters
    ----------
    method : str
        Method that they belong to.
    weights : mapping of str to ndarray
        By the method's own names.
    frame : Frame
        Raster of the training.
    settings : mapping
        Choices of the method that the weights depend on.
    provenance : mapping
        Data, seeds, steps, scores of the training, as plain values.
    """

    method: str
    weights: Mapping[str, NDArray[Any]]
    frame: Frame
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any]

    def check_raster(self, shape: tuple[int, ...], affine: FloatArray) -> None:
        """Refuse another raster than that of the training.

        Parameters
        ----------
        shape : tuple of int
            Of the raster that the fit runs in.
        affine : ndarray, shape (4, 4), mm
            Its voxel to RAS.

        Raises
        ------
        InvalidInputError
            If shape or spacing differ.
        """
        if self.frame.fits(shape, affine):
            return
        mine = Frame("scan", tuple(shape), tuple(voxel_sizes(affine)))  # type: ignore[arg-type]
        advice = "Set frame to standard." if self.frame.standard else "Train a start for this raster with 'train reptile'."
        msg = f"The learned start belongs to {self.frame.words()}, but the fit runs in {mine.words()}. {advice}"
        raise InvalidInputError(msg)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Refuse settings under which the weights mean something else.

        Parameters
        ----------
        settings : mapping
            Of the fit.

        Raises
        ------
        InvalidInputError
            If one differs from that of the training.
        """
        for name, value in self.settings.items():
            if name in settings and settings[name] != (tuple(value) if isinstance(settings[name], tuple) else value):
                msg = f"The learned start was trained with {name} = {value!r}, not {settings[name]!r}. Leave {name} as it was."
                raise InvalidInputError(msg)


def shipped_starts() -> tuple[str, ...]:
    """Return the names of the starts that come with the software."""
    folder = resources.files(MODELS) / "models"
    if not folder.is_dir():
        return ()
    names = (entry.name.removesuffix(".safetensors") for entry in folder.iterdir() if entry.name.endswith(".safetensors"))
    return tuple(sorted(name for name in names if not name.startswith(OTHERS)))


def load_start(name: str | Path, method: str) -> Start:
    """Read a learned start.

    Parameters
    ----------
    name : str or path-like
        One of `shipped_starts`, or a file.
    method : str
        Method that it must belong to.

    Returns
    -------
    Start
        Its weights are float32.

    Raises
    ------
    InvalidInputError
        If there is none of that name, or it is damaged or belongs to another method.
    """
    if str(name) in shipped_starts():
        with resources.as_file(resources.files(MODELS) / "models" / f"{name}.safetensors") as path:
            return _read(path, method)
    return _read(Path(name), method)


def _read(path: Path, method: str) -> Start:
    tensors, facts = read_tensors(path, kind=KIND, version=VERSION, what="learned start")
    if facts.get("method") != method:
        msg = f"The learned start '{path.name}' belongs to the method '{facts.get('method')}', not to '{method}'. Choose another."
        raise InvalidInputError(msg)
    try:
        told = facts["frame"]
        shape, spacing = (tuple(told[key]) for key in ("shape", "spacing_mm"))
        frame = Frame(str(told["name"]), tuple(int(n) for n in shape), tuple(float(v) for v in spacing))  # type: ignore[arg-type]
        weights = {key: np.asarray(value, np.float32) if value.dtype == np.float16 else value for key, value in tensors.items()}
        return Start(method, weights, frame, dict(facts["settings"]), dict(facts["provenance"]))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"The learned start '{path.name}' lacks its description ({error}). Train it again."
        raise InvalidInputError(msg) from error


def save_start(path: str | Path, start: Start, *, half: bool = True) -> Path:
    """Write a learned start.

    Parameters
    ----------
    path : path-like
        The file.
    start : Start
        What to write.
    half : bool
        Store float weights as 16-bit numbers.

    Returns
    -------
    Path
        The file.
    """
    tensors = {
        name: np.asarray(value, np.float16) if half and np.asarray(value).dtype.kind == "f" else np.asarray(value)
        for name, value in start.weights.items()
    }
    facts = {
        "method": start.method,
        "frame": {"name": start.frame.name, "shape": list(start.frame.shape), "spacing_mm": list(start.frame.spacing_mm)},
        "settings": dict(start.settings),
        "provenance": dict(start.provenance),
    }
    return write_tensors(path, tensors, facts, kind=KIND, version=VERSION)
