# SPDX-License-Identifier: Apache-2.0
"""Results as files: volumes, tables, pictures and a report, all of a run or none of it."""

from ..core.nifti import read_volume, write_volume
from .dicom_export import write_dicom
from .map_files import FinishedMaps, holds_maps, read_finished_maps, read_mask_on_grid, read_on_grid
from .map_study import MapStudy, masks_of
from .report_tables import scale_words
from .tables import flatten, write_rows
from .truth import write_truth_comparison
from .writer import outdated_names, write

__all__ = [
    "FinishedMaps",
    "MapStudy",
    "flatten",
    "holds_maps",
    "masks_of",
    "outdated_names",
    "read_finished_maps",
    "read_mask_on_grid",
    "read_on_grid",
    "read_volume",
    "scale_words",
    "write",
    "write_dicom",
    "write_rows",
    "write_truth_comparison",
    "write_volume",
]
