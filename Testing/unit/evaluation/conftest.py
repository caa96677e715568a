# SPDX-License-Identifier: Apache-2.0
"""The truth that a made-up study is compared with."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import Study

sys.path.insert(0, str(Path(__file__).parent))

import hemopic_dataset  # importlib mode does not put the folder of a test on the path


@pytest.fixture(scope="session")
def dsc_fits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two fitted DSC patients in the published layout: folder of the fits, folder of the data."""
    return hemopic_dataset.write_dataset(tmp_path_factory.mktemp("hemopic"))


@pytest.fixture
def a_truth(a_study: Study) -> Any:
    """A complete truth of a digital patient that agrees with `a_study` everywhere."""
    tissue, lesions = a_study.lesions.tissue, a_study.lesions
    left = np.indices(tissue.shape)[0] > 23
    fractions = {"gm": tissue & left, "wm": tissue & ~left, "deep": np.zeros_like(tissue)}
    fine = np.linspace(0.0, a_study.aif.times_s[-1] + 5.0, 486)
    vessels = {name: np.zeros(tissue.shape, np.float32) for name in ("artery", "vein")}
    vessels["artery"][tuple(a_study.aif.voxels.T)] = [0.4, 0.3]
    masks = {name: getattr(lesions, name) for name in ("hypoperfusion", "core", "penumbra")}
    return SimpleNamespace(
        maps={key: a_study.maps[key].values.copy() for key in ("cbf", "cbv", "mtt", "tmax", "delay")},
        masks={**masks, "brain": a_study.masks.brain, "scored": tissue, "old_infarct": np.zeros_like(tissue)},
        fractions={name: share.astype(np.float32) for name, share in fractions.items()} | vessels,
        affine=a_study.maps.affine,
        times_s=a_study.aif.times_s,
        aif=a_study.aif.values,
        vof=None,
        fine_times_s=fine,
        fine_aif=np.interp(fine, a_study.aif.times_s, a_study.aif.values),
        frame_transforms=np.tile(np.eye(4), (a_study.aif.times_s.size, 1, 1)),
        side="left",
        midplane=lesions.midplane,
        volumes_ml={"hypoperfusion": 50.0, "core": 10.0},
        parameters={"residue": dict.fromkeys(("gm", "wm", "deep"), "gamma:3"), "lesion": {"site": "m1"}},
    )
