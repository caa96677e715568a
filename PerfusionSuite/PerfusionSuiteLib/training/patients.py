# SPDX-License-Identifier: Apache-2.0
"""Patients to train on: digital ones from seeds, or a user's own scans, prepared as for a run and kept small on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import phantom, series
from ..arterial_input import as_tissue_shows, chosen_curves, scaled
from ..core import InvalidInputError, PerfusionSeries, ProgressCallback, part_of
from ..core.geometry import BoolArray, FloatArray
from ..fitting.standard_frame import STANDARD_SHAPE, STANDARD_SPACING_MM
from ..fitting.tensor_file import read_tensors, write_tensors
from ..preparation import Clock, prepare_ctp
from ..settings import Settings, UserInputs

KIND, VERSION = "prepared patient", 1
SUFFIX = ".patient.safetensors"

RECIPES = ("clean", "typical", "typical", "hard")
RESIDUES = ("box", "exponential", "gamma:2", "mixed")


@dataclass(frozen=True, slots=True)
class Patient:
    """What a fit needs of a scan.

    Parameters
    ----------
    name : str
        Seed or number; nothing that identifies anybody.
    curves : ndarray, shape (N, T)
        Enhancement of the voxels of the mask, in row-major order.
    mask : ndarray of bool, shape (I, J, K)
        The brain.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    times_s, aif : ndarray, shape (T,)
        Frame times in s, and arterial input.
    """

    name: str
    curves: NDArray[np.floating[Any]]
    mask: BoolArray
    affine: FloatArray
    times_s: FloatArray
    aif: FloatArray

    def save(self, path: Path) -> Path:
        """Write the patient to a file, curves as 16-bit numbers."""
        tensors: dict[str, NDArray[Any]] = {
            "curves": self.curves.astype(np.float16),
            "mask": np.packbits(self.mask.ravel()),
            "affine": self.affine,
            "times_s": self.times_s,
            "aif": self.aif,
        }
        return write_tensors(path, tensors, {"name": self.name, "shape": list(self.mask.shape)}, kind=KIND, version=VERSION)

    @classmethod
    def load(cls, path: Path) -> Patient:
        """Read a patient from a file of `save`; the curves stay 16-bit numbers."""
        tensors, facts = read_tensors(path, kind=KIND, version=VERSION, what=KIND)
        shape = tuple(int(n) for n in facts["shape"])
        mask = np.unpackbits(tensors["mask"], count=int(np.prod(shape))).astype(bool).reshape(shape)
        return cls(str(facts["name"]), tensors["curves"], mask, tensors["affine"], tensors["times_s"], tensors["aif"])

    def volume(self) -> NDArray[np.float32]:
        """Return the curves on their grid, shape (I, J, K, T), zero outside the mask."""
        grid = np.zeros((*self.mask.shape, self.times_s.size), np.float32)
        grid[self.mask] = self.curves
        return grid


def prepared(scan: PerfusionSeries, name: str, progress: ProgressCallback | None = None) -> Patient:
    """Prepare a CT perfusion scan as a run does: times, motion, masks, enhancement, artery scaled to the vein.

    Parameters
    ----------
    scan : PerfusionSeries
        The scan; its values may be overwritten.
    name : str
        What the patient is called.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Patient
        Ready for a fit.
    """
    settings, inputs, clock = Settings(), UserInputs(), Clock()
    found = prepare_ctp(scan, settings, inputs, (True, False), clock, part_of(progress, 0.0, 0.9))
    measured, vof = chosen_curves(found, settings, inputs, clock, part_of(progress, 0.9, 1.0))
    aif = scaled(as_tissue_shows(measured, found, settings, inputs, clock), vof, settings, inputs)
    curves = found.concentration
    return Patient(name, curves.data[curves.mask], curves.mask, curves.affine, curves.times_s, np.asarray(aif.values, np.float64))


def simulated(
    seed: int,
    *,
    shape: tuple[int, int, int] = STANDARD_SHAPE,
    spacing_mm: tuple[float, float, float] = STANDARD_SPACING_MM,
    progress: ProgressCallback | None = None,
) -> Patient:
    """Make and prepare a digital patient; difficulty and residue go round with the seed.

    Parameters
    ----------
    seed : int
        The patient.
    shape, spacing_mm : tuple
        Raster of the scan.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Patient
        Ready for a fit.
    """
    recipe, residue = RECIPES[seed % len(RECIPES)], RESIDUES[seed // len(RECIPES) % len(RESIDUES)]
    scan, _ = phantom.ctp(
        seed=seed, recipe=recipe, residue=residue, shape=shape, spacing_mm=spacing_mm, progress=part_of(progress, 0.0, 0.6)
    )
    return prepared(scan, f"simulated-{seed:04d}", part_of(progress, 0.6, 1.0))


class Cohort:
    """Patients on disk, prepared when they are first wanted.

    Parameters
    ----------
    cache : path-like
        Folder for prepared patients.
    sources : sequence
        Seeds of digital patients, or paths of scans.
    shape, spacing_mm : tuple
        Raster of digital patients.
    """

    def __init__(
        self,
        cache: str | Path,
        sources: Sequence[int | Path],
        *,
        shape: tuple[int, int, int] = STANDARD_SHAPE,
        spacing_mm: tuple[float, float, float] = STANDARD_SPACING_MM,
    ) -> None:
        self._cache, self._sources = Path(cache), list(sources)
        self._shape, self._spacing_mm = shape, spacing_mm

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def names(self) -> list[str]:
        """What the patients are called."""
        return [self._name(number) for number in range(len(self))]

    def _name(self, number: int) -> str:
        source = self._sources[number]
        return f"simulated-{source:04d}" if isinstance(source, int) else f"case-{number + 1:03d}"

    def patient(self, number: int, progress: ProgressCallback | None = None) -> Patient:
        """Return a patient, from disk when it was prepared before.

        Parameters
        ----------
        number : int
            Which one.
        progress : callable, optional
            Progress and cancelling.

        Returns
        -------
        Patient
            Ready for a fit.
        """
        path = self._cache / f"{self._name(number)}{SUFFIX}"
        if not path.is_file():
            source = self._sources[number]
            if isinstance(source, Path) and source.name.endswith(SUFFIX):
                return Patient.load(source)
            if isinstance(source, int):
                made = simulated(source, shape=self._shape, spacing_mm=self._spacing_mm, progress=progress)
            else:
                made = prepared(series.read(source, modality="ctp"), self._name(number), progress)
            made.save(path)
        return Patient.load(path)


def scans_in(folder: Path) -> list[Path]:
    """Return what lies in a folder of scans: prepared patients, sub-folders and NIfTI or NRRD files, in the order of their names.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    list of Path
        Each one scan.

    Raises
    ------
    InvalidInputError
        If there are none.
    """
    if not folder.is_dir():
        msg = f"There is no folder '{folder}'. Give a folder with one scan in each sub-folder, or with one file per scan."
        raise InvalidInputError(msg)
    endings = (".nii", ".nii.gz", ".nrrd", SUFFIX)
    found = sorted(path for path in folder.iterdir() if path.is_dir() or path.name.lower().endswith(endings))
    if not found:
        msg = f"The folder '{folder}' holds no scans. Put one scan into each sub-folder, or one NIfTI or NRRD file per scan."
        raise InvalidInputError(msg)
    return found


def usable(cohort: Cohort, told: Any, progress: ProgressCallback | None = None) -> list[int]:
    """Prepare all patients and return those that can be used.

    Parameters
    ----------
    cohort : Cohort
        The patients.
    told : callable
        Takes a sentence for each that cannot.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    list of int
        Their numbers.

    Raises
    ------
    InvalidInputError
        If none can.
    """
    good = []
    for number, name in enumerate(cohort.names):
        try:
            cohort.patient(number, part_of(progress, number / len(cohort), (number + 1) / len(cohort)))
        except InvalidInputError as error:
            told(f"{name} is left out: {error}")
        else:
            good.append(number)
    if not good:
        msg = "None of the scans can be used. See the messages above."
        raise InvalidInputError(msg)
    return good
