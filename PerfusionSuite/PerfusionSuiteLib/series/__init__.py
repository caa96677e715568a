# SPDX-License-Identifier: Apache-2.0
"""Reading: DICOM folders, 4D NIfTI and 4D NRRD become a `PerfusionSeries` that explains how it was read."""

from .candidates import SeriesCandidate
from .reading import read, scan

__all__ = ["SeriesCandidate", "read", "scan"]
