# SPDX-License-Identifier: Apache-2.0
"""Signal that gradient echoes lose beside air: above the sinuses and around the petrous bones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.geometry import FloatArray
from .anatomy import Brain
from .draws import stream
from .mr_protocol import Sequence

_AIR = (  # centre (mm), reach (mm), extra decay beside it at 3 T (1/s)
    ((0.0, 20.0, -38.0), (14.0, 16.0, 15.0), 170.0),  # sphenoid sinus
    ((0.0, 48.0, -30.0), (13.0, 20.0, 13.0), 150.0),  # ethmoid cells, below the gyri recti
    ((9.0, 76.0, -16.0), (14.0, 14.0, 13.0), 110.0),  # frontal sinus
    ((50.0, -34.0, -44.0), (11.0, 12.0, 10.0), 90.0),  # mastoid cells
)


def extra_decay(points: FloatArray, tesla: float, amount: float) -> FloatArray:
    """Return by how much R2* grows because of air nearby.

    Parameters
    ----------
    points : ndarray, shape (3, n), mm
        Atlas positions.
    tesla : float, T
        Field strength.
    amount : float
        The patient's factor.

    Returns
    -------
    ndarray, shape (n,), 1/s
        Extra decay.
    """
    total = np.zeros(points.shape[1])
    for centre, reach, decay in _AIR:
        x = np.abs(points[0]) if centre[0] else points[0]
        away = (
            ((x - centre[0]) / reach[0]) ** 2
            + ((points[1] - centre[1]) / reach[1]) ** 2
            + ((points[2] - centre[2]) / reach[2]) ** 2
        )
        total += decay * np.exp(-0.5 * away)
    return total * amount * tesla / 3.0


def skull_base_loss(seed: int, brain: Brain, sequence: Sequence, size: int) -> list[NDArray[np.float32]]:
    """Return what is left of the signal at each echo.

    Parameters
    ----------
    seed : int
        The patient.
    brain : Brain
        Atlas positions of the head's voxels.
    sequence : Sequence
        Echo times and field strength.
    size : int
        Number of voxels of the fine grid.

    Returns
    -------
    list of ndarray, shape (size,)
        One per echo, 1 where nothing is lost.
    """
    amount = float(stream(seed, "scanner", 6).uniform(0.7, 1.3))
    decay = extra_decay(brain.atlas_mm, sequence.field.tesla, amount)
    found = []
    for echo in sequence.echo_times_s:
        left = np.ones(size, np.float32)
        left[brain.where] = np.exp(-echo * decay)
        found.append(left)
    return found
