# SPDX-License-Identifier: Apache-2.0
"""One digital patient for all tests of the folder, since making one takes seconds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import isles_subject  # importlib mode does not put the folder of a test on the path


@pytest.fixture(scope="session")
def a_patient() -> tuple[Any, Any]:
    """A small DSC patient and its truth."""
    return isles_subject.patient()
