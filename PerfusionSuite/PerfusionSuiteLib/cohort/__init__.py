# SPDX-License-Identifier: Apache-2.0
"""Many cases together: one table of all results, and the statistics of a question asked of it."""

from .aggregate import Aggregate, aggregate
from .analysis import CohortAnalysis, analyze
from .outcomes import Merged, merge_outcomes
from .question import Question
from .table_file import Table, read_table
from .writing import write_analysis

__all__ = [
    "Aggregate",
    "CohortAnalysis",
    "Merged",
    "Question",
    "Table",
    "aggregate",
    "analyze",
    "merge_outcomes",
    "read_table",
    "write_analysis",
]
