# SPDX-License-Identifier: Apache-2.0
"""Relaxation times that kinetic models of ASL assume, by field strength; every one can be replaced by an option."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError

PARTITION_ML_PER_G: Final = 0.9
"""Brain-blood partition coefficient of water, whole brain (Herscovitch & Raichle 1985; Alsop 2015)."""

TISSUE_DENSITY: Final = 1.0
"""g/mL; ASL is reported per mass and calibrated with M0 of tissue, so that mL/100 g equals mL/100 mL (qtmnet section 2)."""


WHITE_FLOW_SHARE: Final = 0.35
"""Flow of white matter over that of gray matter, which decides in which of them the label of a shared voxel relaxes."""


class Relaxation(NamedTuple):
    """T1 in s of blood, grey matter, white matter, and of tissue when it is not known which."""

    blood: float
    grey: float
    white: float
    tissue: float


_BY_FIELD: Final = {
    1.5: Relaxation(1.35, 0.95, 0.60, 0.95),
    3.0: Relaxation(1.65, 1.33, 0.83, 1.33),
    7.0: Relaxation(2.09, 1.94, 1.13, 1.94),
}
"""Blood: Alsop 2015 (1.5 and 3 T), Zhang 2013 (7 T). Tissue at 3 T: Wansapura 1999; at 7 T: Wright 2008."""


def relaxation_at(field_strength_t: float) -> Relaxation:
    """Return the relaxation times for a magnet.

    Parameters
    ----------
    field_strength_t : float, T
        Of the magnet; between the known 1.5, 3 and 7 T the times are interpolated.

    Returns
    -------
    Relaxation
        Times in s.

    Raises
    ------
    InvalidInputError
        If the field strength cannot be that of a human scanner.
    """
    if not 0.5 <= field_strength_t <= 12.0:
        msg = f"A field strength of {field_strength_t:g} T cannot be right. Give it in tesla, for example 3."
        raise InvalidInputError(msg)
    fields = sorted(_BY_FIELD)
    columns = zip(*(_BY_FIELD[field] for field in fields), strict=True)
    return Relaxation(*(float(np.interp(field_strength_t, fields, column)) for column in columns))


def tissue_relaxation(
    grey: NDArray[np.floating] | None, white: NDArray[np.floating] | None, times: Relaxation, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return T1 of every voxel from its fractions of grey and white matter.

    Parameters
    ----------
    grey, white : ndarray, shape (I, J, K), or None
        Fractions, 0 to 1.
    times : Relaxation
        Relaxation times.
    shape : tuple of int
        Shape of the result.

    Returns
    -------
    ndarray, shape (I, J, K), s
        Mixed by the label that each tissue holds, which is its fraction times its usual flow; `Relaxation.tissue` where there
        is neither.
    """
    if grey is None or white is None:
        return np.full(shape, times.tissue)
    first, second = (np.clip(np.nan_to_num(np.asarray(part, np.float64)), 0.0, 1.0) for part in (grey, white))
    total = first + second
    second = WHITE_FLOW_SHARE * second
    mixed = (first * times.grey + second * times.white) / np.maximum(first + second, 1e-9)
    result: NDArray[np.float64] = np.where(total > 0.05, mixed, times.tissue)
    return result


def mixture_of(
    gray: NDArray[np.floating] | None, white: NDArray[np.floating] | None, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    """Return how much gray and white matter share each voxel, and how much of it is neither.

    Parameters
    ----------
    gray, white : ndarray, shape (I, J, K), or None
        Fractions.
    shape : tuple of int
        Of the scan.

    Returns
    -------
    ndarray, shape (I, J, K, 2), or None
        First 1 by halves and 0 where there is one tissue alone, then the fraction of fluid; None when tissue is not known.
    """
    if gray is None or white is None:
        return None
    one, other = (np.clip(np.nan_to_num(np.asarray(part, np.float64)), 0.0, 1.0) for part in (gray, white))
    shared = 4.0 * one * other / np.maximum(one + other, 0.05) ** 2
    found: NDArray[np.float64] = np.stack([shared, np.clip(1.0 - one - other, 0.0, 1.0)], axis=-1)
    return np.broadcast_to(found, (*shape, 2))
