# SPDX-License-Identifier: Apache-2.0
"""Many cases together: one table of all results, and the statistics of a question asked of it."""

from .aggregate import Aggregate, aggregate
from .analysis import CohortAnalysis, analyze
from .asl_table import COLUMNS as ASL_COLUMNS
from .asl_table import asl_rows
from .batch import DONE, CaseState, run_cases, states_in
from .cases import Case, find_cases, folders_without_images, with_labels
from .naming import HOW, key_file_of, name_cases, read_key, write_key
from .outcomes import Merged, merge_outcomes
from .question import Question
from .table_file import Table, read_table
from .writing import write_analysis

__all__ = [
    "ASL_COLUMNS",
    "DONE",
    "HOW",
    "Aggregate",
    "Case",
    "CaseState",
    "CohortAnalysis",
    "Merged",
    "Question",
    "Table",
    "aggregate",
    "analyze",
    "asl_rows",
    "find_cases",
    "folders_without_images",
    "key_file_of",
    "merge_outcomes",
    "name_cases",
    "read_key",
    "read_table",
    "run_cases",
    "states_in",
    "with_labels",
    "write_analysis",
    "write_key",
]
