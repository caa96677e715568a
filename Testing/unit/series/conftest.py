# SPDX-License-Identifier: Apache-2.0
"""A small head that is moved through every file format."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from PerfusionSuiteLib.core import Acquisition, PerfusionSeries
from PerfusionSuiteLib.phantom.export import write_dicom

SHAPE = (24, 20, 4)
FRAMES = 14
INTERVAL_S = 2.0

Edit = Callable[[Dataset], bool | None]


def head_data(frames: int = FRAMES) -> np.ndarray:
    """Return air, a skull, and a brain whose HU rise and fall, each voxel and frame with its own noise."""
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    radius = np.hypot(i, j) + 0 * k
    still = np.where(radius < 0.7, 32.0, np.where(radius < 0.85, 900.0, -1000.0))
    bolus = 12.0 * np.exp(-((np.arange(frames) - 6.0) ** 2) / 6.0)
    noise = np.random.default_rng(5).integers(-4, 5, (*SHAPE, frames))
    return np.rint(still[..., None] + (radius < 0.7)[..., None] * bolus + noise).astype(np.float32)


def lps_affine(tilt_mm: float = 0.0) -> np.ndarray:
    """Return 0.9 x 1.1 x 5 mm voxels, optionally with slices that slide sideways as with a tilted gantry."""
    affine = np.diag([-0.9, -1.1, 5.0, 1.0])
    affine[:3, 2] += [0.0, tilt_mm, 0.0]
    affine[:3, 3] = [10.8, 11.25, -31.5]
    return affine


@pytest.fixture
def head() -> PerfusionSeries:
    return PerfusionSeries(head_data(), lps_affine(), np.linspace(0.0, (FRAMES - 1) * INTERVAL_S, FRAMES))


@pytest.fixture
def shuttle_head(head: PerfusionSeries) -> PerfusionSeries:
    """The table goes up in even frames and down in odd ones; a sweep takes 80 % of the interval."""
    up = np.linspace(0.0, 0.8 * INTERVAL_S, SHAPE[2])
    offsets = np.stack([up if t % 2 == 0 else up[::-1] for t in range(FRAMES)], axis=1)
    times = head.times_s + 0.4 * INTERVAL_S
    slice_times = head.times_s + offsets
    return replace(head, times_s=times, acquisition=Acquisition(slice_times_s=slice_times, shuttle=True))


@pytest.fixture
def edit_files() -> Callable[[Path, Edit], int]:
    """Return a function that changes each DICOM file of a folder; an edit that returns False removes the file."""

    def apply(folder: Path, edit: Edit) -> int:
        changed = 0
        for path in sorted(folder.rglob("*.dcm")):
            dataset = pydicom.dcmread(path)
            if edit(dataset) is False:
                path.unlink()
            else:
                dataset.save_as(path)
            changed += 1
        return changed

    return apply


@pytest.fixture(scope="session")
def written_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that must not be changed."""
    folder = tmp_path_factory.mktemp("head")
    write_dicom(PerfusionSeries(head_data(), lps_affine(), np.linspace(0.0, (FRAMES - 1) * INTERVAL_S, FRAMES)), folder)
    return folder


@pytest.fixture
def copy_head(written_head: Path) -> Callable[[Path], object]:
    """Return a function that puts the DICOM files of the generic head into a folder."""
    return lambda folder: shutil.copytree(written_head, folder, dirs_exist_ok=True)
