# SPDX-License-Identifier: Apache-2.0
"""What a user can choose about a run, and what he can give instead of the automatic choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import deconvolution, fitting, hemopic, input_function, lesion, prepare
from .core import InputFunction, InvalidInputError, LesionMasks, PerfusionMaps, PerfusionSeries
from .core.choosing import check_device, check_types, read_settings
from .core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR
from .core.errors import require_package
from .core.geometry import BoolArray
from .lesion.core_weights import load_weights

GPU_METHODS = frozenset(
    [name for name, fit in fitting.METHODS.items() if fit.gpu] + [name for name, fit in hemopic.METHODS.items() if fit.gpu]
)
"""Methods that can use a GPU; the classical ones are memory-bound and gain nothing from it."""

AUTO = "auto"
DEFAULT_METHOD = "bayes"
"""What ``auto`` is where nothing better can be had, and what maps of unknown origin count as."""


def default_method(modality: str) -> str:
    """Return the method that ``auto`` stands for.

    Parameters
    ----------
    modality : str
        ``ctp`` or ``dsc``.

    Returns
    -------
    str
        ``spatial``, which finds cores best, for CT perfusion where PyTorch is installed; otherwise ``bayes``.
    """
    return "spatial" if modality == "ctp" and find_spec("torch") is not None else DEFAULT_METHOD


@dataclass(frozen=True, slots=True)
class Settings:
    """Every choice of a run that is not data; the same words serve the JSON file of ``--config``.

    Parameters
    ----------
    method : str
        A name of `methods`, or ``auto``: `default_method` of the scan.
    preset : str
        Threshold preset, see `lesion.PRESETS`.
    thresholds : mapping
        Thresholds that replace those of the preset, see `lesion.edited_preset`.
    motion_correction : bool
        Estimate head motion and correct it when there is any.
    noise_reduction : str
        A name of `prepare.NOISE_METHODS`, or ``auto``: none for methods that look at neighbors themselves, otherwise similarity.
    aif_method : str
        How the artery is found: ``score``, ``cluster`` or ``hierarchical``.
    scale_aif : bool
        Scale the AIF to the venous area (partial-volume correction).
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.
    method_options, noise_options : mapping
        Passed on to the method and to the noise reduction.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]`` for the methods that can use a GPU.
    leakage_correction : {"auto", "none", "bsw", "bidirectional"}
        Of DSC-MRI; ``auto`` is bsw with the preset ``tumor`` and none otherwise, since it takes late tissue for leaky.
    scale_to_white_matter : bool
        Scale flow and volume of DSC-MRI, which are relative by nature, to the blood volume of normal white matter.
    """

    method: str = AUTO
    preset: str = "ct-perfusion-auto"
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    motion_correction: bool = True
    noise_reduction: str = "auto"
    aif_method: str = "score"
    scale_aif: bool = True
    density: float = BRAIN_DENSITY_G_PER_ML
    hematocrit_factor: float = HEMATOCRIT_FACTOR
    method_options: Mapping[str, Any] = field(default_factory=dict)
    noise_options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    leakage_correction: str = "auto"
    scale_to_white_matter: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        for what, name, known in (
            ("method", self.method, (AUTO, *methods())),
            ("preset", self.preset, lesion.PRESETS),
            ("noise reduction", self.noise_reduction, ("auto", *prepare.NOISE_METHODS)),
            ("method for the arterial input", self.aif_method, input_function.METHODS),
            ("leakage correction", self.leakage_correction, ("auto", *prepare.LEAKAGE)),
        ):
            if name not in known:
                msg = f"There is no {what} '{name}'. Choose one of: {', '.join(known)}."
                raise InvalidInputError(msg)
        for what in ("density", "hematocrit_factor"):
            value = getattr(self, what)
            if not 0.1 < value < 10.0:
                msg = f"The setting {what} is {value!r}; a number between 0.1 and 10 is expected. Correct the settings."
                raise InvalidInputError(msg)
        lesion.edited_preset(self.preset, self.thresholds)
        check_device(self.device)
        if self.method == AUTO:
            self._check_without_method()
            return
        methods()[self.method].complete(self.method_options)  # an unknown option is told now, not after minutes of work
        prepare.NOISE_METHODS[self.noise_reduction_used].check(self.noise_options)
        by_network = self.preset_used.core_rule == "network"  # which a GPU helps, whatever made the maps
        if self.device.startswith("cuda") and self.method not in GPU_METHODS and not by_network:
            msg = f"The method '{self.method}' computes on the CPU only. Leave out the device, or choose auto or cpu."
            raise InvalidInputError(msg)

    def _check_without_method(self) -> None:
        """Refuse options whose meaning depends on a method that only the scan decides."""
        if self.method_options:
            msg = f"The options {', '.join(self.method_options)} belong to a method. Name it too, for example method 'spatial'."
            raise InvalidInputError(msg)
        if self.noise_options and self.noise_reduction == AUTO:
            msg = f"The options {', '.join(self.noise_options)} belong to a noise reduction. Name it too."
            raise InvalidInputError(msg)
        if self.noise_reduction != AUTO:
            prepare.NOISE_METHODS[self.noise_reduction].check(self.noise_options)

    def decided(self, modality: str) -> Settings:
        """Return the settings with the method that a scan of this modality gets.

        Parameters
        ----------
        modality : str
            ``ctp`` or ``dsc``.

        Returns
        -------
        Settings
            The same, unless the method is ``auto``.
        """
        if self.method != AUTO:
            return self
        method = default_method(modality)
        on_cpu = self.device.startswith("cuda") and method not in GPU_METHODS
        return replace(self, method=method, device="auto" if on_cpu else self.device)

    @property
    def on_grid(self) -> bool:
        """Whether the method looks at neighbors."""
        return bool(getattr(methods().get(self.method), "on_grid", False))

    @property
    def noise_reduction_used(self) -> str:
        """The noise reduction, with ``auto`` decided."""
        if self.noise_reduction != "auto":
            return self.noise_reduction
        return "none" if self.on_grid else "similarity"

    @property
    def preset_used(self) -> lesion.Preset:
        """The preset with the thresholds that replace its own."""
        return lesion.edited_preset(self.preset, self.thresholds)

    def check_packages(self) -> None:
        """Say at once, rather than after a scan was prepared, that a method or a network cannot run here.

        Raises
        ------
        MissingPackageError
            If the method or the preset needs PyTorch and it is not installed.
        InvalidInputError
            If there is no such network of the infarct core.
        """
        method = methods().get(self.method)
        if getattr(method, "needs_torch", getattr(method, "gpu", False)):
            require_package("torch", f"compute maps with '{self.method}'")
        self.check_network()

    def check_network(self) -> None:
        """Say at once that the network which shall draw the core cannot be used.

        Raises
        ------
        MissingPackageError
            If PyTorch or safetensors is not installed.
        InvalidInputError
            If its file is missing, damaged or of another kind.
        """
        preset = self.preset_used
        if preset.core_rule == "network":
            require_package("torch", "draw the core with a network")
            load_weights(preset.core_network)

    @classmethod
    def from_json(cls, path: str | Path, **overrides: Any) -> Settings:
        """Read settings from a JSON file.

        Parameters
        ----------
        path : path-like
            A JSON object whose keys are fields of this class.
        **overrides
            Fields that win over the file.

        Returns
        -------
        Settings
            The checked settings.

        Raises
        ------
        InvalidInputError
            If the file cannot be read or names an unknown setting.
        """
        return cls(**{**read_settings(path, cls, '{"method": "osvd"}', "has unknown entries"), **overrides})


@dataclass(frozen=True, slots=True)
class LaterScan:
    """What a comparison needs of a later scan of the same patient.

    Parameters
    ----------
    lesions : LesionMasks
        Segmented with the thresholds of the first scan.
    image : ndarray, shape (I, J, K), HU, or None
        Its baseline; without one it is taken to lie on the first scan, when both have the same grid.
    modality : str
        Empty when it is not known.
    """

    lesions: LesionMasks
    image: NDArray[Any] | None = None
    modality: str = ""


@dataclass(frozen=True, slots=True)
class UserInputs:
    """What a user may give instead of the automatic choice, all on the grid of the scan.

    Parameters
    ----------
    aif, vof : InputFunction, optional
        Curves from a file or made beforehand.
    aif_points, vof_points : array-like, shape (n, 3), mm, optional
        RAS positions on the artery and the vein: a single one grows to the best voxels near it, several stand for the voxels
        that hold them.
    brain_mask, roi_mask, contra_mask : ndarray of bool, shape (I, J, K), optional
        Brain; cortical region on the lesion side (with the preset ``tumor``: the tumor); cortical region on the other side.
    adc : ndarray, shape (I, J, K), optional
        Apparent diffusion coefficient, for the preset ``adc``.
    second_echo : PerfusionSeries, optional
        The same DSC scan at a later echo.
    tissue_labels : ndarray of int, shape (I, J, K), optional
        For methods that fit regions: 0 background, 1 gray matter, 2 white matter, 3 CSF, 4 brain stem, or labels of FreeSurfer
        and SynthSeg, which are collapsed to these.
    sss, torcula : ndarray of bool, shape (I, J, K), optional
        Superior sagittal sinus and torcula, instead of the regions that are found.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane (nR, nA, nS, d): ``n . x = d`` in RAS.
    side : {"left", "right", "bilateral"}, optional
        Affected side of the patient.
    age_years : float, years, optional
        For the criteria of DAWN.
    nihss : int, optional
        NIH Stroke Scale, for the same.
    follow_up : PerfusionSeries, PerfusionMaps or LaterScan, optional
        A later scan of the patient, on any grid: the scan, its finished maps, or what `measurement.later_scan` made of them.

    Raises
    ------
    InvalidInputError
        If side, plane, age or NIHSS cannot be right.
    """

    aif: InputFunction | None = None
    vof: InputFunction | None = None
    aif_points: Any | None = None
    vof_points: Any | None = None
    brain_mask: BoolArray | None = None
    roi_mask: BoolArray | None = None
    contra_mask: BoolArray | None = None
    adc: NDArray[np.float32] | None = None
    second_echo: PerfusionSeries | None = None
    tissue_labels: NDArray[Any] | None = None
    sss: BoolArray | None = None
    torcula: BoolArray | None = None
    midplane: Any | None = None
    side: str | None = None
    age_years: float | None = None
    nihss: int | None = None
    follow_up: PerfusionSeries | PerfusionMaps | LaterScan | None = None

    def __post_init__(self) -> None:
        if self.midplane is not None:
            lesion.check_midplane(self.midplane)
        if self.side is not None and self.side not in lesion.SIDES:
            msg = f"There is no affected side '{self.side}'. Use one of {', '.join(lesion.SIDES)}."
            raise InvalidInputError(msg)
        for kind in ("aif", "vof"):
            if getattr(self, kind) is not None and getattr(self, f"{kind}_points") is not None:
                msg = f"Both a curve and points were given for the {kind.upper()}. Give one of the two."
                raise InvalidInputError(msg)
        for name, value, most in (("age", self.age_years, 130), ("NIHSS", self.nihss, 42)):
            if value is not None and not 0 <= value <= most:
                msg = f"The {name} of {value:g} cannot be right. Give a number from 0 to {most}."
                raise InvalidInputError(msg)


def methods() -> dict[str, Any]:
    """List the methods that make maps.

    Returns
    -------
    dict
        Registry entries by name, deconvolution first, regional methods last.
    """
    return {**deconvolution.METHODS, **fitting.METHODS, **hemopic.METHODS}
