# SPDX-License-Identifier: Apache-2.0
"""A map of a quantity that knows its grid, unit and origin, and maps on one grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import GridMismatchError
from .geometry import FloatArray
from .quantities import QUANTITIES, Quantity


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a map came about.

    Parameters
    ----------
    method : str
        Name in the method registry.
    settings : mapping
        Every option that influenced the numbers.
    software : str
        Name and version.
    """

    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    software: str = ""


@dataclass(frozen=True, slots=True)
class PerfusionMap:
    """A map of one quantity.

    Parameters
    ----------
    values : ndarray, shape (I, J, K)
        Float32; NaN where not computed.
    affine : ndarray, shape (4, 4), mm
        Voxel to RAS.
    quantity : Quantity
        What the numbers mean.
    quality : ndarray of uint8, shape (I, J, K), optional
        Reason codes, 0 where all is well.
    provenance : Provenance
        How it was computed.
    unit : str
        Unit of the numbers; that of the quantity unless it was computed per volume.
    """

    values: NDArray[np.float32]
    affine: FloatArray
    quantity: Quantity
    quality: NDArray[np.uint8] | None = None
    provenance: Provenance = field(default_factory=Provenance)
    unit: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, np.float32))
        object.__setattr__(self, "unit", self.unit or self.quantity.unit)


class PerfusionMaps(Mapping[str, PerfusionMap]):
    """Maps on one grid, by the key of their quantity.

    Parameters
    ----------
    maps : mapping or iterable of PerfusionMap
        The maps.

    Raises
    ------
    GridMismatchError
        If they do not share one grid.
    """

    def __init__(self, maps: Mapping[str, PerfusionMap] | list[PerfusionMap] | tuple[PerfusionMap, ...]) -> None:
        items = list(maps.values()) if isinstance(maps, Mapping) else list(maps)
        self._maps = {item.quantity.key: item for item in items}
        shapes = {item.values.shape for item in items}
        if len(shapes) > 1 or any(not np.allclose(item.affine, items[0].affine, atol=1e-3) for item in items):
            msg = f"Maps with different grids cannot be used together: {sorted(shapes)}. Resample them to one grid."
            raise GridMismatchError(msg)

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        affine: FloatArray,
        *,
        provenance: Provenance | None = None,
        units: Mapping[str, str] | None = None,
        quality: NDArray[np.uint8] | None = None,
    ) -> PerfusionMaps:
        """Wrap plain arrays.

        Parameters
        ----------
        arrays : mapping of str to ndarray, shape (I, J, K)
            Values by the key of their quantity; unknown keys are an error.
        affine : ndarray, shape (4, 4), mm
            Voxel to RAS.
        provenance : Provenance, optional
            Shared by all maps.
        units : mapping of str to str, optional
            Units that differ from the table.
        quality : ndarray of uint8, shape (I, J, K), optional
            Shared reason codes.

        Returns
        -------
        PerfusionMaps
            The maps.
        """
        provenance, units = provenance or Provenance(), units or {}
        return cls([PerfusionMap(v, affine, QUANTITIES[k], quality, provenance, units.get(k, "")) for k, v in arrays.items()])

    def __getitem__(self, key: str) -> PerfusionMap:
        return self._maps[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def affine(self) -> FloatArray:
        """Voxel to RAS of the common grid."""
        return next(iter(self._maps.values())).affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Spatial shape of the common grid."""
        return next(iter(self._maps.values())).values.shape

    def added(self, *maps: PerfusionMap) -> PerfusionMaps:
        """Return these maps with further ones.

        Parameters
        ----------
        *maps : PerfusionMap
            Added or replaced by the key of their quantity.

        Returns
        -------
        PerfusionMaps
            A new collection.
        """
        return PerfusionMaps([*(m for k, m in self._maps.items() if k not in {n.quantity.key for n in maps}), *maps])
