# SPDX-License-Identifier: Apache-2.0
"""What a user can choose about an ASL run, and what he can give instead of the automatic choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from . import asl, lesion
from .asl.calibration import CalibrationSettings
from .core import InvalidInputError, QualityFinding
from .core.choosing import check_device, check_types, read_settings
from .core.errors import require_package
from .core.geometry import BoolArray

M0_OPTIONS = tuple(
    item.name for item in fields(CalibrationSettings) if item.name not in ("reference_mask", "labeling_efficiency", "scaling")
)
"""What ``m0_options`` of the settings may hold; the mask of a reference region is an input."""


@dataclass(frozen=True, slots=True)
class AslSettings:
    """Every choice of an ASL run that is not data; the same words serve the JSON file of ``--config``.

    Parameters
    ----------
    method : str
        A key of `asl.METHODS`, or ``auto``: asl-multi from three delays on, else asl-single.
    motion_correction : bool
        Estimate head motion and correct it.
    drop_odd_pairs : bool
        Leave out pairs of control and label that do not fit the others.
    smoothing_mm : float, mm
        Full width at half maximum of a Gaussian that difference images are smoothed by within the brain; 0 for none.
    partial_volume : bool
        Also map the flow of pure gray and of pure white matter; needs their fractions.
    partial_volume_kernel : int
        Voxels along each side of the square of neighbors it rests on.
    m0_options : mapping
        How M0 is made, see `M0_OPTIONS` and `asl.calibration.CalibrationSettings`.
    method_options : mapping
        Passed on to the method.
    labeling_efficiency : float, optional
        Inversion efficiency without the loss by background suppression; None takes it from the scan or the kind of labeling.
    t1_blood : float, s, optional
        T1 of arterial blood; None takes it from the field strength.
    scaling : float, optional
        What a vendor multiplied difference images by; None takes it from the scan.
    compare_sides : bool
        Look for low flow against the other side.
    low_flow_percent : float, %
        Flow below this part of the other side is low.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]`` for the methods that can use a GPU.
    """

    method: str = "auto"
    motion_correction: bool = True
    drop_odd_pairs: bool = True
    smoothing_mm: float = 0.0
    partial_volume: bool = False
    partial_volume_kernel: int = 5
    m0_options: Mapping[str, Any] = field(default_factory=dict)
    method_options: Mapping[str, Any] = field(default_factory=dict)
    labeling_efficiency: float | None = None
    t1_blood: float | None = None
    scaling: float | None = None
    compare_sides: bool = True
    low_flow_percent: float = lesion.LOW_FLOW_PERCENT
    device: str = "auto"

    def __post_init__(self) -> None:
        check_types(self)
        if self.method != "auto" and self.method not in asl.METHODS:
            msg = f"There is no ASL method '{self.method}'. Choose auto or one of: {', '.join(asl.METHODS)}."
            raise InvalidInputError(msg)
        if self.method != "auto":
            asl.METHODS[self.method].complete(self.method_options)
        check_device(self.device)
        if self.device.startswith("cuda") and (self.method == "auto" or not asl.METHODS[self.method].gpu):
            msg = f"The method '{self.method}' computes on the CPU only. Leave out the device, or choose auto or cpu."
            raise InvalidInputError(msg)
        if self.t1_blood is not None and not 0.5 <= self.t1_blood <= 4.0:
            msg = f"A T1 of blood of {self.t1_blood:g} s cannot be right. Give it in seconds, for example 1.65 at 3 T."
            raise InvalidInputError(msg)
        if not 0.0 <= self.smoothing_mm <= 30.0:
            msg = f"A smoothing of {self.smoothing_mm:g} mm cannot be meant. Give 0 to 30 mm, for example 5."
            raise InvalidInputError(msg)
        if not 0.0 < self.low_flow_percent < 100.0:
            msg = f"Low flow below {self.low_flow_percent:g} % of the other side cannot be meant. Give 0 to 100 %."
            raise InvalidInputError(msg)
        unknown = sorted(set(self.m0_options) - set(M0_OPTIONS))
        if unknown:
            msg = f"There is no M0 option {', '.join(map(repr, unknown))}. Known ones: {', '.join(M0_OPTIONS)}."
            raise InvalidInputError(msg)

    def method_for(self, delays: int) -> str:
        """Return the method for a scan, with ``auto`` decided."""
        return asl.default_method(delays) if self.method == "auto" else self.method

    def calibration(self, reference: BoolArray | None = None) -> CalibrationSettings:
        """Return how the scan is calibrated.

        Parameters
        ----------
        reference : ndarray of bool, shape (I, J, K), optional
            Region of fluid or white matter that M0 of blood is taken from.

        Returns
        -------
        CalibrationSettings
            For `asl.difference.difference_of`.
        """
        return CalibrationSettings(
            reference_mask=reference, labeling_efficiency=self.labeling_efficiency, scaling=self.scaling, **self.m0_options
        )

    def check_packages(self) -> None:
        """Say at once, rather than after a scan was prepared, that a method cannot run here.

        Raises
        ------
        MissingPackageError
            If the method needs PyTorch and it is not installed.
        """
        if self.method != "auto" and asl.METHODS[self.method].gpu:
            require_package("torch", f"compute maps with '{self.method}'")

    @classmethod
    def from_json(cls, path: str | Path, **overrides: Any) -> AslSettings:
        """Read settings from a JSON file.

        Parameters
        ----------
        path : path-like
            A JSON object whose keys are fields of this class.
        **overrides
            Fields that win over the file.

        Returns
        -------
        AslSettings
            The checked settings.

        Raises
        ------
        InvalidInputError
            If the file cannot be read or names an unknown setting.
        """
        return cls(**{**read_settings(path, cls, '{"method": "asl-multi"}', "has entries that ASL does not know"), **overrides})


@dataclass(frozen=True, slots=True)
class AslInputs:
    """What a user may give instead of the automatic choice, all on the grid of the scan.

    Parameters
    ----------
    brain_mask : ndarray of bool, shape (I, J, K), optional
        Brain.
    gm, wm : ndarray, shape (I, J, K), optional
        Fractions of gray and white matter, 0 to 1.
    m0_reference : ndarray of bool, shape (I, J, K), optional
        Region of fluid or white matter that M0 of blood is taken from.
    midplane : array-like, shape (4,), mm, optional
        Mid-sagittal plane (nR, nA, nS, d).
    side : {"left", "right", "bilateral"}, optional
        Affected side of the patient.
    findings : tuple of QualityFinding
        What is to be known about these inputs.
    """

    brain_mask: BoolArray | None = None
    gm: NDArray[Any] | None = None
    wm: NDArray[Any] | None = None
    m0_reference: BoolArray | None = None
    midplane: Any | None = None
    side: str | None = None
    findings: tuple[QualityFinding, ...] = ()

    def __post_init__(self) -> None:
        if self.midplane is not None:
            lesion.check_midplane(self.midplane)
        if self.side is not None and self.side not in lesion.SIDES:
            msg = f"There is no affected side '{self.side}'. Use one of {', '.join(lesion.SIDES)}."
            raise InvalidInputError(msg)
        if (self.gm is None) != (self.wm is None):
            given, missing = ("gray", "white") if self.wm is None else ("white", "gray")
            msg = f"A fraction of {given} matter was given without that of {missing} matter. Give both."
            raise InvalidInputError(msg)

    @property
    def tissue(self) -> dict[str, NDArray[Any]]:
        """Fractions by name; empty when they are not known."""
        return {} if self.gm is None or self.wm is None else {"gm": self.gm, "wm": self.wm}
