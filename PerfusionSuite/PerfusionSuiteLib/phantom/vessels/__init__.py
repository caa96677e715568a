# SPDX-License-Identifier: Apache-2.0
"""Simulated vasculature: trees grown into tissue of known perfusion, labeled blood sent through them, pictures taken."""

from .brain_files import write_brain
from .brain_scan import brain_scan
from .cube import Cube, make_cube
from .protocol import signal
from .store import CubeSet, cube_files, read_cubes, write_cubes
from .values import PRESETS, PUBLISHED_DELAYS_S, PUBLISHED_DURATION_S, Forest, Preset
from .whole_brain import VesselBrain, brain

__all__ = [
    "PRESETS",
    "PUBLISHED_DELAYS_S",
    "PUBLISHED_DURATION_S",
    "Cube",
    "CubeSet",
    "Forest",
    "Preset",
    "VesselBrain",
    "brain",
    "brain_scan",
    "cube_files",
    "make_cube",
    "read_cubes",
    "signal",
    "write_brain",
    "write_cubes",
]
