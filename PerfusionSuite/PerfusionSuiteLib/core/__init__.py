# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of the package: values that rooms exchange, quantities, errors, progress."""

from .asl import AslDifference, AslSeries, AslStudy
from .errors import (
    CancelledError,
    GridMismatchError,
    InvalidInputError,
    MissingPackageError,
    NumericalError,
    OutOfMemoryError,
    PerfusionError,
    TimingError,
)
from .fields import FittedField
from .findings import QualityFinding
from .maps import PerfusionMap, PerfusionMaps, Provenance
from .progress import ProgressCallback, no_progress, part_of
from .quantities import QUANTITIES, Quantity
from .regions import RegionFit
from .series import Acquisition, PerfusionSeries, Source
from .values import (
    Concentration,
    InputFunction,
    LesionMasks,
    Metrics,
    MotionReport,
    Study,
    TissueMasks,
)
from .watch import FitWatch, NoWatch

__all__ = [
    "QUANTITIES",
    "Acquisition",
    "AslDifference",
    "AslSeries",
    "AslStudy",
    "CancelledError",
    "Concentration",
    "FitWatch",
    "FittedField",
    "GridMismatchError",
    "InputFunction",
    "InvalidInputError",
    "LesionMasks",
    "Metrics",
    "MissingPackageError",
    "MotionReport",
    "NoWatch",
    "NumericalError",
    "OutOfMemoryError",
    "PerfusionError",
    "PerfusionMap",
    "PerfusionMaps",
    "PerfusionSeries",
    "ProgressCallback",
    "Provenance",
    "QualityFinding",
    "Quantity",
    "RegionFit",
    "Source",
    "Study",
    "TimingError",
    "TissueMasks",
    "no_progress",
    "part_of",
]
