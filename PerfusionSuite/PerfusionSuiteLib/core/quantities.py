# SPDX-License-Identifier: Apache-2.0
"""The table of map quantities: name, unit, codes and how each is displayed.

Nowhere else are these names, units or display ranges written as literals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Quantity:
    """A perfusion quantity.

    Parameters
    ----------
    key : str
        Short identifier, also the file stem (``cbf`` is written to ``cbf.nii.gz``).
    name : str
        Name of the quantity in words.
    symbol : str
        What a legend or a node is called.
    unit : str
        Unit of the numbers, as printed.
    ucum : str
        Code of the unit in UCUM, for DICOM.
    caplex : str
        OSIPI CAPLEX code (Dickie et al., MRM 91:1761, 2024), empty where there is none.
    display_range : tuple of float
        Fixed window that all pictures and viewers use.
    colormap : str
        Name of the colour table (see ``core.colors``).
    label_format : str
        printf format of a legend's labels.
    drawn_above : float
        Viewers draw nothing up to this value of a window that begins at 0 or above: 0 where nothing flows, more where small
        values say that there is nothing, and would only darken the image beneath.
    """

    key: str
    name: str
    symbol: str
    unit: str
    ucum: str
    caplex: str
    display_range: tuple[float, float]
    colormap: str
    label_format: str = "%.0f"
    drawn_above: float = 1e-6


_TABLE = (
    Quantity("cbf", "Cerebral blood flow", "CBF", "mL/100g/min", "mL/(100.g.min)", "Q.PH1.003", (0, 100), "perfusion"),
    Quantity("cbv", "Cerebral blood volume", "CBV", "mL/100g", "mL/(100.g)", "Q.PH1.001.b", (0, 8), "perfusion"),
    Quantity("mtt", "Mean transit time", "MTT", "s", "s", "Q.PH1.006", (0, 15), "delay"),
    Quantity("tmax", "Time to maximum of the residue function", "Tmax", "s", "s", "", (0, 12), "delay"),
    Quantity("ttp", "Time to peak from the start of the scan", "TTP", "s", "s", "Q.CD1.010", (0, 45), "delay"),
    Quantity("delay", "Arterial delay", "Delay", "s", "s", "Q.PH1.007", (-2, 10), "delay"),
    Quantity("rcbf", "Cerebral blood flow relative to normal tissue", "rCBF", "%", "%", "", (0, 150), "perfusion"),
    Quantity("rcbv", "Cerebral blood volume relative to normal tissue", "rCBV", "%", "%", "", (0, 200), "perfusion"),
    Quantity("adc", "Apparent diffusion coefficient", "ADC", "1e-6 mm2/s", "um2/s", "", (0, 1500), "grey"),
    Quantity(
        "core_probability", "Probability of infarct core by a network", "P(core)", "1", "1", "", (0, 1), "delay", "%.1f", 0.05
    ),
    Quantity("k2", "Leakage (T1 positive, T2* negative)", "K2", "1/s", "/s", "Q.LC1.002", (-0.05, 0.05), "delay", "%.2f"),
    Quantity("mip", "Temporal maximum", "MIP", "HU", "[hnsf'U]", "", (0, 150), "grey"),
    Quantity("mean", "Temporal mean", "Mean", "HU", "[hnsf'U]", "", (0, 80), "grey"),
    Quantity("baseline", "Mean before contrast arrival", "Baseline", "HU", "[hnsf'U]", "", (0, 80), "grey"),
    Quantity("fit_error", "Residual of the fit over the noise", "Fit error", "1", "1", "", (0, 5), "grey", "%.1f"),
    Quantity("cbf_sd", "Standard error of CBF", "CBF SE", "mL/100g/min", "mL/(100.g.min)", "", (0, 30), "grey"),
    Quantity("cbv_sd", "Standard error of CBV", "CBV SE", "mL/100g", "mL/(100.g)", "", (0, 2), "grey", "%.1f"),
    Quantity("mtt_sd", "Standard error of MTT", "MTT SE", "s", "s", "", (0, 4), "grey", "%.1f"),
    Quantity("tmax_sd", "Standard error of Tmax", "Tmax SE", "s", "s", "", (0, 2), "grey", "%.1f"),
    Quantity("att", "Arterial transit time", "ATT", "s", "s", "", (0, 3), "delay", "%.1f"),
    Quantity("att_sd", "Standard error of ATT", "ATT SE", "s", "s", "", (0, 1), "grey", "%.1f"),
    Quantity(
        "cbf_gm", "Cerebral blood flow of pure gray matter", "CBF GM", "mL/100g/min", "mL/(100.g.min)", "", (0, 100), "perfusion"
    ),
    Quantity(
        "cbf_wm", "Cerebral blood flow of pure white matter", "CBF WM", "mL/100g/min", "mL/(100.g.min)", "", (0, 50), "perfusion"
    ),
    Quantity(
        "cbf_later",
        "Cerebral blood flow of the follow-up",
        "CBF later",
        "mL/100g/min",
        "mL/(100.g.min)",
        "",
        (0, 100),
        "perfusion",
    ),
    Quantity("abv", "Arterial blood volume", "aBV", "mL/100g", "mL/(100.g)", "", (0, 3), "perfusion", "%.1f"),
    Quantity("abat", "Arrival time in the artery", "aBAT", "s", "s", "", (0, 3), "delay", "%.1f"),
    Quantity("rcbf_mirror", "Cerebral blood flow relative to the other side", "rCBF, sides", "%", "%", "", (0, 150), "perfusion"),
    Quantity("gm", "Fraction of gray matter", "GM", "1", "1", "", (0, 1), "grey", "%.1f"),
    Quantity("wm", "Fraction of white matter", "WM", "1", "1", "", (0, 1), "grey", "%.1f"),
    Quantity("delay_sd", "Standard error of the delay", "Delay SE", "s", "s", "", (0, 2), "grey", "%.1f"),
    Quantity("dispersion", "Share of the delay that is dispersion", "Dispersion", "1", "1", "", (0, 1), "grey", "%.2f"),
    Quantity("prior_mtt", "Posterior over prior variance of ln MTT", "MTT prior share", "1", "1", "", (0, 1), "grey", "%.1f"),
    Quantity(
        "prior_delay", "Posterior over prior variance of the delay", "Delay prior share", "1", "1", "", (0, 1), "grey", "%.1f"
    ),
)

QUANTITIES: Mapping[str, Quantity] = MappingProxyType({q.key: q for q in _TABLE})
"""All quantities by key."""

PER_MASS_UNITS: Mapping[str, str] = MappingProxyType({"mL/100g/min": "mL/100mL/min", "mL/100g": "mL/100mL"})
"""Unit of the same quantity when the density is set to 1 (values per volume of tissue)."""

RELATIVE = "relative"
"""Unit of flow and volume that are only known up to one factor of the whole scan, because no artery was used."""


def unit_of(key: str, density: float) -> str:
    """Return the unit of a quantity for the density it was computed with.

    Parameters
    ----------
    key : str
        A key of `QUANTITIES`.
    density : float, g/mL
        Tissue density; exactly 1 means that values are per 100 mL.

    Returns
    -------
    str
        The unit as printed.
    """
    unit = QUANTITIES[key].unit
    return PER_MASS_UNITS.get(unit, unit) if density == 1.0 else unit
