# SPDX-License-Identifier: Apache-2.0
"""A study for readers: tables, pictures, and one page with everything."""

from .agreement import agreement_text, write_agreement
from .writing import StudyFiles, write_study

__all__ = ["StudyFiles", "agreement_text", "write_agreement", "write_study"]
