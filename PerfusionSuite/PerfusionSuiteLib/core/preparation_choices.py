# SPDX-License-Identifier: Apache-2.0
"""Choices around the method, in words, for panels that open without loading what computes; a test keeps them true."""

from __future__ import annotations

from .catalog import Choice

MODALITIES = (
    Choice("auto", "From the scan", "What the scan says; air near -1000 HU is taken as CT."),
    Choice("ctp", "CT perfusion", "Enhancement in HU."),
    Choice("dsc", "DSC-MRI", "Signal loss of a contrast bolus, as ΔR2*."),
    Choice("asl", "ASL", "Arterial spin labeling: control and label, with their delays."),
)
"""Kinds of scan."""

NOISE_REDUCTION = (
    Choice("auto", "As the method needs", "Similar curves; none for methods that look at neighbors themselves."),
    Choice("similarity", "Average of similar curves", "Averages neighbors whose whole curves agree; keeps borders."),
    Choice("gaussian", "Gaussian in plane", "Averages neighbors whatever their curves are; blurs borders."),
    Choice("bilateral", "Time-profile bilateral", "Averages neighbors by distance and likeness of the curve."),
    Choice("none", "None", "Leaves the curves as they are."),
)
"""Ways to reduce noise, the default first."""

ARTERY = (
    Choice("score", "Automatic: scored candidates", "Scores enhancing voxels and takes the best connected group."),
    Choice("cluster", "Automatic: clusters of curves", "k-means on curve shapes (Mouridsen 2006)."),
    Choice("hierarchical", "Automatic: splitting (MR)", "Repeated splitting within one slice (Peruzzo 2011), for DSC-MRI."),
)
"""Ways to find the arterial curve, the default first."""

LEAKAGE = (
    Choice("auto", "As the thresholds ask", "Corrected with the preset for tumors, not otherwise."),
    Choice("none", "None", "Curves as measured."),
    Choice("bsw", "Boxerman-Schmainda-Weisskoff", "One-way leakage, K2."),
    Choice("bidirectional", "Bidirectional", "Leakage with flow back into the vessels."),
)
"""Leakage corrections of DSC-MRI, the default first."""
