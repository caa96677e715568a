# SPDX-License-Identifier: Apache-2.0
"""Threshold presets: every number that decides what counts as lesion, editable with ``dataclasses.replace``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from ..core.errors import InvalidInputError
from ..core.threshold_choices import UNASKED_BEFORE
from .diffusion import CORE_ADC

CoreRule = Literal["rcbf", "cbv", "adc", "network"]
CoreRegion = Literal["hypoperfusion", "anywhere"]
HypoperfusionRule = Literal["tmax", "delay", "cbf"]
Statistic = Literal["mean", "median"]


@dataclass(frozen=True, slots=True)
class Preset:
    """The thresholds of one way to segment core and hypoperfusion.

    Parameters
    ----------
    name : str
        Key in `PRESETS`.
    hypoperfusion_rule : {"tmax", "delay", "cbf"}
        Which map decides: Tmax above ``tmax_s``, delay above ``delay_s``, or CBF below ``hypoperfusion_cbf``.
    tmax_s : float, s
        Tmax threshold before the method's offset.
    late_by_s : float, s
        Hypoperfusion by Tmax: how much later than normal tissue of its kind a voxel must be besides, because white matter is late
        by nature, in some patients close to 6 s. Normal tissue counts as no later than the threshold; 0 asks for nothing. On 42
        development patients (seeds 201 to 216, 7001 to 7026, all residues, ``spatial``) 0, 1, 1.25, 1.5, 1.75 and 2 s have a mean
        Dice of 0.855, 0.860, 0.870, 0.879, 0.885 and 0.888, and a found volume of 99, 97, 94, 92, 90 and 88 %.
    smooth_mm : float, mm
        Hypoperfusion by Tmax: SD of a Gaussian, within slices and tissue, that Tmax is averaged with before it is compared; 0
        takes the map itself. With 0.8 mm the mean Dice of the same patients rises by 0.005 (``spatial``) and 0.010 (``csvd``).
    strict : bool
        True compares with > and <; False lets the threshold itself count as lesion.
    delay_s : float, s
        Threshold of the arterial delay.
    hypoperfusion_cbf : float, in the unit of the CBF map
        Absolute flow threshold.
    core_rule : {"rcbf", "cbv", "adc", "network"}
        Core by relative flow below ``rcbf_percent``, by absolute volume below ``core_cbv``, by diffusion below ``core_adc``, or
        drawn by a network with a probability above ``core_probability`` (needs PyTorch).
    rcbf_percent : float, %
        Relative flow below which tissue is core.
    core_cbv : float, in the unit of the CBV map
        Absolute volume threshold.
    core_adc : float, 1e-6 mm^2/s
        Threshold of the apparent diffusion coefficient.
    core_probability : float
        Probability above which the network's core counts, below 1.
    core_network : str
        Weights of the network: a file of ``train core``, or ``core``, which comes with the software.
    core_region : {"hypoperfusion", "anywhere"}
        Where core may lie. With ``anywhere`` core outside of hypoperfusion is raised as a finding.
    severe_tmax_s : float, s
        Numerator of the hypoperfusion intensity ratio.
    tmax_levels_s, cbf_levels_percent, cbv_levels_percent : tuple of float
        Levels whose volumes are reported.
    min_cluster_ml : float, mL
        Smaller 26-connected clusters are removed; 0 keeps all.
    thin_mm : float, mm
        Half width below which parts of hypoperfusion count as rims and vessels (in plane; nothing on voxels larger than that).
    reference_tmax_s : float, s
        Normal tissue has at most this Tmax.
    reference_statistic : {"mean", "median"}
        How the normal value is taken from the reference tissue.
    bilateral_fraction : float
        Both hemispheres affected by more than this fraction of their tissue: the reference becomes global.
    midplane_margin_mm : float, mm
        Tissue nearer to the mid-sagittal plane is left out of the reference.
    csf_dilation_voxels : int
        In-plane growth of the CSF mask before it is excluded, on grids of up to 1.2 mm.
    csf_hu : float, HU
        Baseline below which a voxel counts as CSF.
    vessel_cbv : float, in the unit of the CBV map
        Volume above which a voxel counts as vessel; ignored where the brain's median says that the scale is off.
    vessel_cbv_ratio : float
        The same relative to the median of the brain. It, ``vessel_cbv``, ``csf_hu`` and ``csf_dilation_voxels`` decide where
        finished maps are segmented; in a run the masks of the preparation do.
    cortex_percentiles : tuple of float
        CBV percentiles within tissue that stand for cortex when there is no tissue class.
    venous_tmax_s : float, s
        Threshold of prolonged venous transit.
    tmax_offset_s : mapping of str to float, s, optional
        Offsets by method that replace `TMAX_OFFSET_S`; the one of ``*`` holds for all others.
    rcbf_factor : mapping of str to float, optional
        Factors by method that replace `RCBF_FACTOR`; the one of ``*`` holds for all others.
    """

    name: str = "ct-perfusion-auto"
    hypoperfusion_rule: HypoperfusionRule = "tmax"
    tmax_s: float = 6.0
    late_by_s: float = 1.75
    smooth_mm: float = 0.8
    strict: bool = True
    delay_s: float = 3.0
    hypoperfusion_cbf: float = 27.0
    core_rule: CoreRule = "rcbf"
    rcbf_percent: float = 30.0
    core_cbv: float = 1.2
    core_adc: float = CORE_ADC
    core_probability: float = 0.5
    core_network: str = "core"
    core_region: CoreRegion = "hypoperfusion"
    severe_tmax_s: float = 10.0
    tmax_levels_s: tuple[float, ...] = (4.0, 6.0, 8.0, 10.0)
    cbf_levels_percent: tuple[float, ...] = (20.0, 30.0, 34.0, 38.0)
    cbv_levels_percent: tuple[float, ...] = (34.0, 38.0, 42.0)
    min_cluster_ml: float = 1.0
    thin_mm: float = 1.2
    reference_tmax_s: float = 4.0
    reference_statistic: Statistic = "mean"
    bilateral_fraction: float = 0.2
    midplane_margin_mm: float = 3.0
    csf_dilation_voxels: int = 1
    csf_hu: float = 15.0
    vessel_cbv: float = 8.0
    vessel_cbv_ratio: float = 2.5
    cortex_percentiles: tuple[float, float] = (40.0, 90.0)
    venous_tmax_s: float = 10.0
    tmax_offset_s: Mapping[str, float] | None = None
    rcbf_factor: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        positive = ("tmax_s", "delay_s", "hypoperfusion_cbf", "rcbf_percent", "core_cbv", "severe_tmax_s", "venous_tmax_s")
        for name in (*positive, "core_adc", "reference_tmax_s", "vessel_cbv", "vessel_cbv_ratio"):
            if not getattr(self, name) > 0:
                msg = f"The threshold '{name}' must be above 0, not {getattr(self, name)}. Correct the preset."
                raise InvalidInputError(msg)
        if not 0 <= self.min_cluster_ml <= 50 or not 0 <= self.csf_dilation_voxels <= 5 or not 0 < self.bilateral_fraction < 1:
            msg = (
                f"min_cluster_ml {self.min_cluster_ml} must lie in 0-50, csf_dilation_voxels {self.csf_dilation_voxels} in 0-5 "
                f"and bilateral_fraction {self.bilateral_fraction} between 0 and 1. Correct the preset."
            )
            raise InvalidInputError(msg)
        if not 0 <= self.late_by_s <= 10:
            msg = f"late_by_s {self.late_by_s} must lie in 0-10 s. Correct the preset."
            raise InvalidInputError(msg)
        for name in ("smooth_mm", "thin_mm"):
            if not 0 <= getattr(self, name) <= 10:
                msg = f"{name} {getattr(self, name)} must lie in 0-10 mm. Correct the preset."
                raise InvalidInputError(msg)
        if not 0 < self.core_probability < 1:
            msg = f"core_probability {self.core_probability} must lie between 0 and 1. Correct the preset."
            raise InvalidInputError(msg)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                msg = f"'{getattr(self, name)}' is not a choice for '{name}'. Use one of {', '.join(allowed)}."
                raise InvalidInputError(msg)

    @property
    def asks_for_lateness(self) -> bool:
        """Whether hypoperfusion is tissue that is later than normal tissue of its kind."""
        return self.hypoperfusion_rule == "tmax" and self.late_by_s > 0

    def offset(self, method: str | None) -> float:
        """Return what is added to Tmax thresholds for maps of a method.

        Parameters
        ----------
        method : str or None
            Name of the method; unknown ones have no offset.

        Returns
        -------
        float, s
            The offset.
        """
        if self.smooth_mm <= 0:  # the map itself is compared
            return self.reference_offset(method)
        table = TMAX_OFFSET_S if self.tmax_offset_s is None else self.tmax_offset_s
        return float(table.get(method or "", table.get("*", 0.0)))

    def reference_offset(self, method: str | None) -> float:
        """Return what is added to the Tmax that normal tissue may have, for maps of a method.

        Parameters
        ----------
        method : str or None
            Name of the method.

        Returns
        -------
        float, s
            The offset of hypoperfusion, but where `PLAIN_OFFSET_S` knows better.
        """
        table = {**TMAX_OFFSET_S, **PLAIN_OFFSET_S} if self.tmax_offset_s is None else self.tmax_offset_s
        return float(table.get(method or "", table.get("*", 0.0)))

    def flow_factor(self, method: str | None) -> float:
        """Return what relative CBF thresholds are multiplied with for maps of a method.

        Parameters
        ----------
        method : str or None
            Name of the method; unknown ones have the factor 1.

        Returns
        -------
        float
            The factor.
        """
        table = RCBF_FACTOR if self.rcbf_factor is None else self.rcbf_factor
        return float(table.get(method or "", table.get("*", 1.0)))

    def as_dict(self) -> dict[str, Any]:
        """Return all thresholds as plain values.

        Returns
        -------
        dict
            Field names and values.
        """
        values = asdict(replace(self, tmax_offset_s=None, rcbf_factor=None))
        del values["tmax_offset_s"], values["rcbf_factor"]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hypoperfusion_rule": ("tmax", "delay", "cbf"),
        "core_rule": ("rcbf", "cbv", "adc", "network"),
        "core_region": ("hypoperfusion", "anywhere"),
        "reference_statistic": ("mean", "median"),
    }
)

TMAX_OFFSET_S: Mapping[str, float] = MappingProxyType(
    {
        "bayes": 0.0,
        "spatial": -0.5,
        "neural": -0.25,
        "nlr": 0.25,
        "osvd": -0.75,
        "csvd": -0.5,
        "hemopic": -0.5,
        "hemopic-aif": -1.0,
        "hemopic-compat": -0.75,
        "ssvd": 0.5,
        "ssvd-delay": 0.75,
        "tikhonov": -0.75,
    }
)
"""Seconds added to every Tmax threshold for the maps of a method, so that 6 s means delay + MTT/2 = 6 s for all of them.

The threshold of best median Dice over lesions of at least 10 mL, in steps of 0.25 s, through the whole chain on development
patients (seeds 42 to 72, 4 HU, all families of residues; ``ssvd`` and ``ssvd-delay`` on seeds 11 to 20; ``neural`` on six of 201
to 216), without ``late_by_s`` and ``smooth_mm``. With both, ``spatial`` was measured on 42 patients of all residues (seeds 201
to 216 and 7001 to 7026), and ``bayes``, which lets the scan choose the residue, still needs none (14 of them). For ``nlr`` no
offset serves all families: where residues decay from the start a fitted box is too long, and normal white matter passes 6 s; it
is exact for boxes. Those of ``hemopic`` (without an artery; seeds 11 to 30, twelve such lesions), ``hemopic-aif`` and
``hemopic-compat`` (seeds 11 to 18, four) come from DSC-MRI,
where ``bayes`` would be best at -0.5 s.
"""

PLAIN_OFFSET_S: Mapping[str, float] = MappingProxyType({"spatial": -0.25})
"""Seconds added where Tmax is compared as it is, if not those of `TMAX_OFFSET_S`: to the Tmax that normal tissue may have, and to
all thresholds of presets that average nothing and ask for no lateness, which they were measured for (seeds 201 to 216).

Regularization shortens a long Tmax more than a short one, and what normal tissue is taken from decides about relative flow.
"""

RCBF_FACTOR: Mapping[str, float] = MappingProxyType(
    {
        "bayes": 0.9,
        "spatial": 0.9,
        "neural": 1.0,
        "nlr": 1.0,
        "osvd": 1.15,
        "csvd": 1.3,
        "hemopic": 1.1,
        "hemopic-aif": 0.9,
        "hemopic-compat": 1.7,
        "ssvd": 1.65,
        "ssvd-delay": 1.65,
        "tikhonov": 1.15,
    }
)
"""What every relative CBF threshold is multiplied with for the maps of a method, so that 30 % means the same tissue for all.

Regularization lowers the maximum of a short residue more than that of a long one, and noise lifts the maximum where flow is low;
so the flow of a core is too large relative to normal tissue, by about this factor; with ``bayes`` it is a little small.
Measured like `TMAX_OFFSET_S`, on cores of at least 5 mL. It holds near the threshold of core, not for relative flow near 100 %.
That of ``hemopic`` rests on ten cores of DSC-MRI, those of ``hemopic-aif`` and ``hemopic-compat`` on three.
"""

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(),
            Preset(name="neuroflow", late_by_s=0.0, smooth_mm=0.0, rcbf_percent=38.0, strict=False),
            Preset(name="rapid-like", late_by_s=0.0, smooth_mm=0.0, core_region="anywhere"),
            Preset(name="syngo-like", hypoperfusion_rule="cbf", core_rule="cbv"),
            Preset(name="mistar-like", hypoperfusion_rule="delay"),
            Preset(name="adc", core_rule="adc", core_region="anywhere"),
            Preset(name="core-network", core_rule="network"),
            Preset(name="tumor", vessel_cbv=1000.0, vessel_cbv_ratio=1000.0),
        )
    }
)
"""Presets by name; each is a starting point whose every threshold can be replaced."""


def find_preset(preset: str | Preset) -> Preset:
    """Return a preset by name, or the preset itself.

    Parameters
    ----------
    preset : str or Preset
        A key of `PRESETS` or an edited preset.

    Returns
    -------
    Preset
        The preset.

    Raises
    ------
    InvalidInputError
        If there is no preset of that name.
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        msg = f"There is no threshold preset '{preset}'. Use one of {', '.join(PRESETS)}."
        raise InvalidInputError(msg)
    return PRESETS[preset]


def preset_of(thresholds: Mapping[str, Any]) -> Preset:
    """Rebuild the preset that lesion masks were made with.

    Parameters
    ----------
    thresholds : mapping
        `LesionMasks.thresholds`; missing entries take their defaults, or those of `UNASKED_BEFORE`; further ones are ignored.

    Returns
    -------
    Preset
        The preset.
    """
    known = {f.name for f in fields(Preset)} - {"tmax_offset_s", "rcbf_factor"}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in thresholds.items() if key in known
    }
    return Preset(**{**UNASKED_BEFORE, **values})
