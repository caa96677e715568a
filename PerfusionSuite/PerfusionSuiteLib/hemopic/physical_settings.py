# SPDX-License-Identifier: Apache-2.0
"""Settings of HemoPIC's physical mode: what each means, its default and its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.errors import InvalidInputError
from .physical_arrays import ENGINES
from .physical_families import BLIND_FAMILIES, FAMILIES, find_residue
from .physical_reference import REFERENCE_CBV, REFERENCE_MTT_S

OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "input": "reference",
        "family": "auto",
        "dispersion": 0.0,
        "reference_mtt_s": REFERENCE_MTT_S,
        "reference_cbv": REFERENCE_CBV,
        "typical_mtt_s": 5.0,
        "ln_mtt_sd": 0.7,
        "delay_sd_s": 4.0,
        "shrinkage": True,
        "k_gm": 8,
        "k_wm": 6,
        "k_single": 10,
        "tissue": "auto",
        "min_region_ml": 2.0,
        "position_weight": 0.1,
        "delay_weight": 1.0,
        "seed": 0,
        "rank": 10,
        "systematic": True,
        "robust": False,
        "bootstrap": 0,
        "profile": False,
        "windkessel": False,
        "engine": "auto",
    }
)
"""What goes in: the ``reference`` curve of tissue, or an arterial curve (``aif``), which the chain then chooses; a given
arterial curve is always used. Residue family, or ``auto`` to let the scan choose; share of a delay that is dispersion
(a number, ``auto``: one for the scan, or ``voxel``: one for each voxel).
Assumed transit time of the reference tissue and the blood volume it is given (only without an artery). Prior of all tissue:
typical MTT, standard deviation of ln MTT and of the delay; ``shrinkage`` draws voxels to their region as far as the voxels of
the region agree. Regions of gray matter, of white matter, and of all tissue where it is not divided (``tissue``: ``auto``
uses labels or estimates them, ``single`` does not divide); smallest region; weights of position and of the time of the first
pass; seed. Directions that curves are told in. Whether standard errors hold
what simulated patients showed beyond noise. Robust loss. Bootstrap samples of each region's curve; profile likelihood of
each region's MTT; Windkessel extension of each region (experimental). Library that computes: ``auto``, ``numpy`` or
``torch``."""

_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "reference_mtt_s": (1.0, 15.0),
        "reference_cbv": (1e-6, 1e6),
        "typical_mtt_s": (1.0, 20.0),
        "ln_mtt_sd": (0.05, 5.0),
        "delay_sd_s": (0.1, 50.0),
        "k_gm": (1, 100),
        "k_wm": (1, 100),
        "k_single": (1, 100),
        "min_region_ml": (0.0, 1000.0),
        "position_weight": (0.0, 100.0),
        "delay_weight": (0.0, 100.0),
        "seed": (0, 2**31 - 1),
        "rank": (4, 40),
        "bootstrap": (0, 10000),
    }
)
_WHOLE = ("k_gm", "k_wm", "k_single", "seed", "rank", "bootstrap")
_FLAGS = ("shrinkage", "systematic", "robust", "profile", "windkessel")
TISSUE = ("auto", "single")
INPUTS = ("reference", "aif")
AUTO = "auto"
VOXEL = "voxel"
DISPERSIONS = (0.0, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class PhysicalSettings:
    """Checked settings; see `OPTIONS` for what they mean."""

    input: str
    family: str
    dispersion: float | str
    reference_mtt_s: float
    reference_cbv: float
    typical_mtt_s: float
    ln_mtt_sd: float
    delay_sd_s: float
    shrinkage: bool
    k_gm: int
    k_wm: int
    k_single: int
    tissue: str
    min_region_ml: float
    position_weight: float
    delay_weight: float
    seed: int
    rank: int
    systematic: bool
    robust: bool
    bootstrap: int
    profile: bool
    windkessel: bool
    engine: str

    def families(self, *, blind: bool) -> tuple[str, ...]:
        """Families to choose from, without an artery (`blind`) or with one."""
        if self.family != AUTO:
            return (self.family,)
        return BLIND_FAMILIES if blind else FAMILIES

    @property
    def dispersions(self) -> tuple[float, ...]:
        """Shares of a delay that is dispersion, to choose from."""
        if self.dispersion == AUTO:
            return DISPERSIONS
        return (0.0,) if self.dispersion == VOXEL else (float(self.dispersion),)


def check_settings(complete: Mapping[str, Any]) -> PhysicalSettings:
    """Check values and their types.

    Parameters
    ----------
    complete : mapping
        A value for each key of `OPTIONS`.

    Returns
    -------
    PhysicalSettings
        The settings.

    Raises
    ------
    InvalidInputError
        If a value is out of range.
    """
    checked = dict(complete)
    for name, (low, high) in _RANGES.items():
        checked[name] = _number(name, complete[name], low, high)
    if complete["dispersion"] not in (AUTO, VOXEL):
        checked["dispersion"] = _number("dispersion", complete["dispersion"], 0.0, 0.9)
    for name in _FLAGS:
        if not isinstance(complete[name], bool):
            msg = f"The setting {name} must be true or false, not {complete[name]!r}. Correct the settings."
            raise InvalidInputError(msg)
    for name, known in (("input", INPUTS), ("tissue", TISSUE), ("engine", ENGINES)):
        if complete[name] not in known:
            msg = f"The setting {name} must be one of {', '.join(known)}, not {complete[name]!r}. Correct the settings."
            raise InvalidInputError(msg)
    if complete["family"] != AUTO:
        find_residue(str(complete["family"]))
    return PhysicalSettings(**checked)


def _number(name: str, value: Any, low: float, high: float) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high or (name in _WHOLE and number != int(number)):
        kind = "a whole number" if name in _WHOLE else "a number"
        msg = f"The setting {name} must be {kind} from {low:g} to {high:g}, not {value!r}. Correct the settings."
        raise InvalidInputError(msg)
    return int(number) if name in _WHOLE else number
