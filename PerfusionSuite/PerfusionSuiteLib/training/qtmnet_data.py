# SPDX-License-Identifier: Apache-2.0
"""What QTMnet learns from: cubes of simulated vessels with known perfusion, as a protocol sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..asl.qtm_weights import S_REF, Protocol
from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback
from ..phantom.vessels import read_cubes
from ..phantom.vessels.values import T1_BLOOD_S


@dataclass(frozen=True, slots=True)
class Cubes:
    """Cubes seen by one protocol.

    Parameters
    ----------
    density : ndarray, shape (N, D, I, J, K), mL/g
        Label density at each delay.
    flow : ndarray, shape (N, I, J, K), mL/100 g/min
        True perfusion.
    seeds : ndarray of int, shape (N,)
        Of the cubes.
    protocol : Protocol
        When they are seen.
    facts : mapping
        Preset and version of the generator, as plain values.
    """

    density: NDArray[np.float32]
    flow: NDArray[np.float32]
    seeds: NDArray[np.int64]
    protocol: Protocol
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.flow)

    def chosen(self, numbers: NDArray[Any]) -> Cubes:
        """Return some of the cubes."""
        return Cubes(self.density[numbers], self.flow[numbers], self.seeds[numbers], self.protocol, self.facts)

    def split(self, share: float, seed: int) -> tuple[Cubes, Cubes]:
        """Keep a share of the cubes back.

        Parameters
        ----------
        share : float
            Of the cubes; at least one.
        seed : int
            Of the draw.

        Returns
        -------
        trained, kept : Cubes
            The rest, and those that were kept back.

        Raises
        ------
        InvalidInputError
            If nothing would be left.
        """
        count = max(1, round(share * len(self)))
        if count >= len(self):
            msg = f"{len(self)} cubes are too few to keep some back. Make more with 'phantom asl-cubes'."
            raise InvalidInputError(msg)
        order = np.random.default_rng([seed, 1]).permutation(len(self))
        return self.chosen(np.sort(order[count:])), self.chosen(np.sort(order[:count]))

    def with_late(self, others: Sequence[Cubes]) -> Cubes:
        """Add one later version of each cube.

        Parameters
        ----------
        others : sequence of Cubes
            Versions of more cubes than these; each cube takes the next one.

        Returns
        -------
        Cubes
            Twice as many, or the same without other versions.
        """
        if not others:
            return self
        parts = [self]
        for number, other in enumerate(others):
            wanted = self.seeds[number :: len(others)]
            parts.append(other.chosen(np.flatnonzero(np.isin(other.seeds, wanted))))
        density, flow, seeds = (np.concatenate([getattr(part, name) for part in parts]) for name in ("density", "flow", "seeds"))
        return Cubes(density, flow, seeds, self.protocol, self.facts)

    def words(self) -> str:
        """Return count and seeds in words."""
        count = len(np.unique(self.seeds))
        twice = "" if count == len(self) else f" (with later versions {len(self)})"
        return f"{count} cube{'s' if count > 1 else ''}{twice}, seeds {seed_ranges(self.seeds)}"


def seed_ranges(seeds: Sequence[int] | NDArray[Any]) -> str:
    """Write numbers as ranges, shortened when there are many gaps.

    Parameters
    ----------
    seeds : sequence of int
        Numbers.

    Returns
    -------
    str
        Such as ``0-99, 200-255``.
    """
    ordered = np.unique(np.asarray(seeds, np.int64))
    if not ordered.size:
        return "none"
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    if len(runs) > 6:
        return f"{len(ordered)} of {ordered[0]}-{ordered[-1]}"
    return ", ".join(f"{run[0]}-{run[-1]}" if run.size > 1 else str(run[0]) for run in runs)


def load(
    folder: str | Path,
    protocol: Protocol,
    *,
    limit: int | None = None,
    late_s: float = 0.0,
    progress: ProgressCallback | None = None,
) -> Cubes:
    """Read cubes of ``phantom asl-cubes`` as a protocol sees them.

    Parameters
    ----------
    folder : path-like
        Where they lie.
    protocol : Protocol
        Labeling and delays.
    limit : int, optional
        Take only so many, from the lowest seeds on.
    late_s : float, s
        By how much later than in the simulation blood enters. Exact, because label decays from the moment of labeling on: what is
        seen is what would have been seen earlier, decayed by as much.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Cubes
        Label density and perfusion.

    Raises
    ------
    InvalidInputError
        If there are none, a delay is too long or shorter than `late_s`, or T1 of blood is not that of the simulation.
    """
    if not 0.0 <= late_s <= protocol.post_label_delays_s[0]:
        msg = f"Blood cannot enter {late_s:g} s late where the first delay is {protocol.post_label_delays_s[0]:g} s. Choose less."
        raise InvalidInputError(msg)
    if abs(protocol.t1_blood_s - T1_BLOOD_S) > 1e-6:
        msg = f"The cubes were made with a T1 of blood of {T1_BLOOD_S:g} s, not {protocol.t1_blood_s:g} s. Leave it as it is."
        raise InvalidInputError(msg)
    delays = tuple(delay - late_s for delay in protocol.post_label_delays_s)
    found = read_cubes(folder, protocol.label_duration_s, delays, limit=limit, progress=progress)
    density = np.ascontiguousarray(np.moveaxis(found.signal, 4, 1), np.float32)
    density *= np.float32(np.exp(-late_s / protocol.t1_blood_s))
    return Cubes(density, np.asarray(found.perfusion, np.float32), found.seeds, protocol, dict(found.facts))


def moments(cubes: Cubes) -> FloatArray:
    """Return what a linear regression of perfusion from the delays needs, at any noise.

    Parameters
    ----------
    cubes : Cubes
        To learn from.

    Returns
    -------
    ndarray, shape (D + 1, D + 2)
        Second moments of the label density over `S_REF` with a 1 behind it, and in the last column their mean product with
        perfusion.
    """
    curves = np.moveaxis(cubes.density, 1, 4).reshape(-1, cubes.density.shape[1]).astype(np.float64) / S_REF
    rows = np.concatenate([curves, np.ones((len(curves), 1))], axis=1)
    return np.concatenate([rows.T @ rows, (rows.T @ cubes.flow.reshape(-1).astype(np.float64))[:, None]], axis=1) / len(rows)
