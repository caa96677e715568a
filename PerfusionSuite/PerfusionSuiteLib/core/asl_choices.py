# SPDX-License-Identifier: Apache-2.0
"""What panels offer for ASL scans, in words: methods, and the settings that matter with their ranges.

Panels open without loading what computes; a test keeps this equal to the settings themselves.
"""

from __future__ import annotations

from .catalog import ASL, Choice
from .fit_choices import FitOption

AUTO = "auto"

METHODS = (Choice(AUTO, "Automatic", "Several delays where the scan has three or more, else one delay."), *ASL)
"""Methods of an ASL scan, the default first."""

M0_REFERENCES = ("voxelwise", "csf", "white-matter")
_PULSES = (None, 0, 1, 2, 3, 4, 5)

SCAN = "from the scan"
FIELD = "by the field strength"

_M0 = "What flow is calibrated by: each voxel's own M0, or the M0 of a region of pure fluid or white matter."
_VALUE = "Replaces any M0 of the scan, in its signal."
_SMOOTHING = "Full width at half maximum of a smoothing of M0 within the brain; 0 for none."
_EDGES = "Continue M0 from inside into the outermost voxels of the brain, which hold too little of it."
_ODD = "Leave out pairs of control and label that do not fit the others."
_KERNEL = "Voxels along each side of the square of neighbors that partial-volume correction rests on."
_SIDES = "Look for flow that is low against the same place of the other side."
_BLUR = "Full width at half maximum of a smoothing of difference images within the brain; 0 for none."
_LOW = "Flow below this part of the other side is low."

SETTINGS = (
    FitOption(
        "labeling_efficiency", "Labeling efficiency", "Share that labeling inverts, without the loss by background suppression.",
        None, "float", (), 0.1, 1.0, SCAN,
    ),
    FitOption("t1_blood", "T1 of blood [s]", "Of arterial blood: 1.65 s at 3 T.", None, "float", (), 0.5, 4.0, FIELD),
    FitOption("low_flow_percent", "Low flow below [%]", _LOW, 66.0, "float", (), 1.0, 99.0),
    FitOption("compare_sides", "Compare the sides", _SIDES, True, "choice", (True, False)),
    FitOption("smoothing_mm", "Smoothing [mm]", _BLUR, 0.0, "float", (), 0.0, 30.0),
    FitOption("drop_odd_pairs", "Leave out odd pairs", _ODD, True, "choice", (True, False)),
    FitOption("partial_volume_kernel", "Correction over [voxels]", _KERNEL, 5, "int", (), 3, 15),
)  # fmt: skip
"""Settings of an ASL run by their own names, with their defaults."""

M0_SETTINGS = (
    FitOption("m0_reference", "M0 reference", _M0, "voxelwise", "choice", M0_REFERENCES),
    FitOption("m0_value", "M0 value", _VALUE, None, "float", (), 0.0, 1e7, SCAN),
    FitOption("m0_repetition_s", "M0 repetition time [s]", "Of the M0 scan.", None, "float", (), 0.1, 60.0, SCAN),
    FitOption("m0_t1_s", "T1 for M0 [s]", "For incomplete relaxation of the M0 scan.", None, "float", (), 0.1, 6.0, FIELD),
    FitOption("m0_smoothing_mm", "M0 smoothing [mm]", _SMOOTHING, 0.0, "float", (), 0.0, 30.0),
    FitOption("fill_m0_edges", "Fill edges of M0", _EDGES, False, "choice", (False, True)),
    FitOption("suppression_pulses", "Suppression pulses", "Of background suppression.", None, "choice", _PULSES, 0.0, 1.0, SCAN),
    FitOption("field_strength_t", "Field strength [T]", "Of the magnet.", None, "float", (), 0.2, 12.0, SCAN),
)
"""What ``m0_options`` of an ASL run may hold, with its defaults."""
