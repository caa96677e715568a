# SPDX-License-Identifier: Apache-2.0
"""Names and descriptions of what can be chosen, for panels that open without loading what computes.

The registries of the rooms say the same and hold the code; a test keeps both equal.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that a user can choose.

    Parameters
    ----------
    name : str
        What settings call it.
    label : str
        What panels call it.
    description : str
        One line.
    """

    name: str
    label: str
    description: str


DEFAULT_METHOD = "auto"
DEFAULT_PRESET = "ct-perfusion-auto"

DECONVOLUTION = (
    Choice("ssvd", "sSVD", "Truncated SVD of the causal matrix (Østergaard 1996)."),
    Choice("ssvd-delay", "sSVD, delay-corrected", "Truncated SVD behind each voxel's own arterial delay."),
    Choice("csvd", "cSVD", "Block-circulant SVD, insensitive to delay (Wu 2003)."),
    Choice("osvd", "oSVD", "Block-circulant SVD limited by oscillation (Wu 2003)."),
    Choice("tikhonov", "Tikhonov", "Tikhonov: L-curve, GCV or fixed (Calamante 2003)."),
)

FITTING = (
    Choice("nlr", "Box model per voxel (NLR)", "Regression of a box-shaped residue in every voxel (Bennink 2016)."),
    Choice("bayes", "Posterior means (Bayes)", "Posterior means over arrival and transit time; the scan chooses the residue."),
    Choice("spatial", "Spatial fit", "Most probable maps of the whole scan, neighbors alike but for edges."),
    Choice("neural", "Neural field", "Neural field of the brain, on the objective of the spatial fit."),
    Choice("sppinn", "SPPINN", "Physics-informed neural field slice by slice (de Vries 2023)."),
    Choice("resppinn", "ReSPPINN", "Physics-informed neural field over a hash encoding (ReSPPINN)."),
)

REGIONAL = (
    Choice(
        "hemopic",
        "HemoPIC (DSC-MRI)",
        "Regions and voxels of DSC-MRI fitted without an artery (or with one): delay, transit, flow, and their uncertainty.",
    ),
    Choice(
        "hemopic-compat",
        "HemoPIC as published (DSC-MRI)",
        "HemoPIC as published (regional fits around finished maps), for comparison.",
    ),
)
"""Methods that fit regions; they are made for DSC-MRI."""

AUTOMATIC = Choice(
    DEFAULT_METHOD, "Automatic", "Spatial fit for CT perfusion where PyTorch is installed; posterior means otherwise."
)
METHODS = (*DECONVOLUTION, *FITTING, *REGIONAL)
"""The methods that make maps from a CT perfusion scan or from DSC-MRI."""

ASL = (
    Choice("asl-single", "One delay (consensus)", "Flow from one delay: consensus equation (Alsop 2015)."),
    Choice("asl-multi", "Several delays", "Flow and arrival time from several delays, with standard errors."),
    Choice("asl-multi-wd", "Weighted delay", "Flow and arrival time by the weighted delay (Dai 2012)."),
    Choice("qtmnet", "QTMnet", "Network trained on simulated vessels (QTMnet)."),
)
"""The methods that make maps from an ASL scan."""

PRESETS = (
    Choice(
        "ct-perfusion-auto",
        "ct-perfusion-auto",
        "Late tissue (Tmax above 6 s); core: relative CBF below 30 % within it.",
    ),
    Choice("neuroflow", "neuroflow", "Tmax from 6 s; core: relative CBF of at most 38 % within it."),
    Choice("rapid-like", "RAPID-like", "Tmax above 6 s; core: relative CBF below 30 % anywhere."),
    Choice("syngo-like", "syngo-like", "Hypoperfusion by absolute CBF, core by absolute CBV."),
    Choice("mistar-like", "MIStar-like", "Hypoperfusion by arterial delay; core: relative CBF below 30 % within it."),
    Choice(
        "core-network",
        "Core by a network",
        "Late tissue (Tmax above 6 s); core: drawn by a network within it (needs PyTorch).",
    ),
)
"""Thresholds that decide what counts as lesion, for every modality."""

MR_PRESETS = (
    Choice("adc", "ADC core", "Late tissue (Tmax above 6 s); core: diffusion below 620e-6 mm²/s, from an ADC map."),
    Choice("tumor", "Tumor", "Leakage corrected, blood volume relative to white matter of the other side."),
)
"""Thresholds that only make sense for DSC-MRI."""
