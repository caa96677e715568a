# SPDX-License-Identifier: Apache-2.0
"""Digital patients: series made from a known truth, different from what the solvers assume."""

from .analytic_brain import brain
from .asl import asl
from .asl_bids import write_asl_bids
from .asl_dicom import ASL_VENDORS, write_asl_dicom
from .asl_truth import AslTruth, write_asl_truth
from .color_maps import MARKS, DisplayStyle, healthy_maps, write_color_maps
from .ctp import ctp
from .dsc import dsc, dsc_echoes
from .export import ENCODINGS, SPLITS, TROUBLES, VENDORS, write_dicom, write_nifti
from .tiles import tiles
from .truth import PhantomTruth, write_truth

__all__ = [
    "ASL_VENDORS",
    "ENCODINGS",
    "MARKS",
    "SPLITS",
    "TROUBLES",
    "VENDORS",
    "AslTruth",
    "DisplayStyle",
    "PhantomTruth",
    "asl",
    "brain",
    "ctp",
    "dsc",
    "dsc_echoes",
    "healthy_maps",
    "tiles",
    "write_asl_bids",
    "write_asl_dicom",
    "write_asl_truth",
    "write_color_maps",
    "write_dicom",
    "write_nifti",
    "write_truth",
]
