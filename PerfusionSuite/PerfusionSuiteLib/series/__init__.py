# SPDX-License-Identifier: Apache-2.0
"""Reading: DICOM folders, 4D NIfTI and 4D NRRD become a `PerfusionSeries` or `AslSeries` that explains how it was read."""

from .candidates import SeriesCandidate
from .reading import read, read_echoes, scan, with_bolus
from .write_nifti import write_nifti
from .write_nrrd import write_nrrd

__all__ = ["SeriesCandidate", "read", "read_echoes", "scan", "with_bolus", "write_nifti", "write_nrrd"]
