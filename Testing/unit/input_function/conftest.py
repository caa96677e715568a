# SPDX-License-Identifier: Apache-2.0
"""The made-up head of these tests, built once per noise level."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import made_up_head  # importlib mode does not put the folder of a test on the path


@cache
def _scene(cnr: float, seed: int, duration: float, blood_peak: float) -> made_up_head.Scene:
    return made_up_head.make(cnr, seed, duration, blood_peak)


@pytest.fixture
def scene_of():
    """Return a function that makes a scene: (cnr, seed, duration in s, peak of arterial blood)."""

    def make(cnr: float = 40.0, seed: int = 0, duration: float = 60.0, blood_peak: float = 300.0) -> made_up_head.Scene:
        return _scene(cnr, seed, duration, blood_peak)

    return make
