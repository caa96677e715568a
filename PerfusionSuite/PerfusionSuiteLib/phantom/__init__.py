# SPDX-License-Identifier: Apache-2.0
"""Digital patients: series made from a known truth, different from what the solvers assume."""

from .truth import PhantomTruth, write_truth

__all__ = ["PhantomTruth", "write_truth"]
