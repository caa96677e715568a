# SPDX-License-Identifier: Apache-2.0
"""From hemodynamics to enhancement: a dictionary of curves over arrival and transit time, mixed in each fine voxel.

The dictionary lives on the 0.1 s axis and is exact there (integrals of the residue over each step);
voxels interpolate linearly between its entries, which keeps areas exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from ..core.constants import flow_factor
from ..core.geometry import FloatArray
from .bolus import STEP_S, Bolus
from .residues import ResidueFamily
from .tissue import Compartment

DELAYS_S = np.linspace(0.0, 20.0, 161)
MTTS_S = np.geomspace(1.0, 60.0, 112)
VEIN_DELAYS_S = np.linspace(-3.0, 3.0, 25)


def tissue_curves(bolus: Bolus, family: ResidueFamily, delays_s: FloatArray, mtts_s: FloatArray) -> NDArray[np.float32]:
    """Return the arterial curve convolved with residues, in HU s.

    Parameters
    ----------
    bolus : Bolus
        Arterial curve.
    family : ResidueFamily
        Residue.
    delays_s, mtts_s : ndarray, s
        Arrival and mean transit times.

    Returns
    -------
    ndarray, shape (D, M, F), HU s
        Multiply by CBF / flow_factor() for HU.
    """
    arterial = bolus.arriving(delays_s)
    n = bolus.times_s.size
    edges = np.maximum(np.append(bolus.times_s - 0.5 * STEP_S, bolus.times_s[-1] + 0.5 * STEP_S), 0.0)
    cells = np.diff(family.integral(edges[None], mtts_s[:, None]), axis=1)
    size = fft.next_fast_len(2 * n, real=True)
    spectrum = fft.rfft(cells, size, axis=1)
    curves = np.empty((len(delays_s), len(mtts_s), n), np.float32)
    for row, curve in enumerate(arterial):
        curves[row] = fft.irfft(spectrum * fft.rfft(curve, size), size, axis=1)[:, :n]
    return curves


def at_times(fine: NDArray[Any], times_s: FloatArray) -> NDArray[np.float32]:
    """Return curves of the 0.1 s axis at other times, by linear interpolation along the last axis."""
    position = np.clip(times_s / STEP_S, 0.0, fine.shape[-1] - 1.001)
    low = position.astype(int)
    rest = (position - low).astype(np.float32)
    values: NDArray[np.float32] = fine[..., low] * (1.0 - rest) + fine[..., low + 1] * rest
    return values


def mixing(part: Compartment) -> sparse.csr_array:
    """Return the matrix that turns dictionary curves into enhancement of voxels.

    Parameters
    ----------
    part : Compartment
        A tissue.

    Returns
    -------
    csr_array, shape (n, D * M), 1/s
        Four entries per voxel: CBF times fraction, shared bilinearly.
    """
    row, share_d = _place(DELAYS_S, part.delay_s)
    transit = np.clip(part.mtt_s, MTTS_S[0], MTTS_S[-1])
    column, share_m = _place(np.log(MTTS_S), np.log(transit))
    # Linear in MTT, not in its logarithm: the area of a curve is CBF times MTT.
    share_m = (transit - MTTS_S[column]) / (MTTS_S[column + 1] - MTTS_S[column])
    scale = part.fraction * part.cbf / flow_factor()
    n = part.where.size
    columns = np.empty((n, 4), np.int32)
    weights = np.empty((n, 4), np.float32)
    for c, (dd, dm) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        columns[:, c] = (row + dd) * MTTS_S.size + column + dm
        weights[:, c] = scale * np.abs(1 - dd - share_d) * np.abs(1 - dm - share_m)
    starts = np.arange(0, 4 * n + 1, 4, dtype=np.int32)
    return sparse.csr_array((weights.ravel(), columns.ravel(), starts), shape=(n, DELAYS_S.size * MTTS_S.size))


def vessel_mixing(delay_s: NDArray[Any], fraction: NDArray[Any], delays: FloatArray) -> sparse.csr_array:
    """Return the matrix that turns vascular curves into enhancement of voxels, two entries per voxel."""
    row, share = _place(delays, delay_s)
    n = delay_s.size
    columns = np.stack([row, row + 1], axis=1).astype(np.int32)
    weights = (fraction[:, None] * np.stack([1 - share, share], axis=1)).astype(np.float32)
    starts = np.arange(0, 2 * n + 1, 2, dtype=np.int32)
    return sparse.csr_array((weights.ravel(), columns.ravel(), starts), shape=(n, delays.size))


def _place(axis: FloatArray, values: Any) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the lower neighbour on a uniform axis and the share of the upper one."""
    position = np.clip((np.asarray(values, float) - axis[0]) / (axis[1] - axis[0]), 0.0, axis.size - 1.0001)
    low = position.astype(np.int64)
    return low, position - low


@dataclass(frozen=True)
class Source:
    """Voxels that share one dictionary.

    Parameters
    ----------
    where : ndarray of int, shape (n,)
        Flat indices into the fine grid.
    matrix : csr_array, shape (n, A)
        Weights.
    curves : ndarray, shape (A, F), HU
        Dictionary on the 0.1 s axis.
    """

    where: NDArray[np.int64]
    matrix: sparse.csr_array
    curves: NDArray[np.float32]

    def add(self, volume: NDArray[np.float32], time_s: float) -> None:
        """Add the enhancement at a time to a flat fine volume.

        Parameters
        ----------
        volume : ndarray, shape (V,), HU
            Changed in place.
        time_s : float, s
            Time since the first frame.
        """
        volume[self.where] += self.matrix @ at_times(self.curves, np.array([time_s]))[:, 0]


def make_sources(
    bolus: Bolus,
    families: dict[str, ResidueFamily],
    tissue: dict[str, Compartment],
    arteries: tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]],
    veins: tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]],
) -> list[Source]:
    """Build everything that enhances.

    Parameters
    ----------
    bolus : Bolus
        Vascular curves.
    families : dict of str to ResidueFamily
        Residue of each tissue.
    tissue : dict of str to Compartment
        Tissues.
    arteries, veins : tuple of ndarray
        Flat indices, volume fractions and delays.

    Returns
    -------
    list of Source
        One per tissue and vessel kind.
    """
    dictionaries: dict[ResidueFamily, NDArray[np.float32]] = {}
    sources = []
    for name, part in tissue.items():
        family = families[name]
        if family not in dictionaries:
            dictionaries[family] = tissue_curves(bolus, family, DELAYS_S, MTTS_S).reshape(-1, bolus.times_s.size)
        sources.append(Source(part.where, mixing(part), dictionaries[family]))
    where, fraction, delay = arteries
    sources.append(Source(where, vessel_mixing(delay, fraction, DELAYS_S), bolus.arriving(DELAYS_S).astype(np.float32)))
    where, fraction, delay = veins
    late = np.stack([np.interp(bolus.times_s - d, bolus.times_s, bolus.vof) for d in VEIN_DELAYS_S]).astype(np.float32)
    sources.append(Source(where, vessel_mixing(delay, fraction, VEIN_DELAYS_S), late))
    return sources
