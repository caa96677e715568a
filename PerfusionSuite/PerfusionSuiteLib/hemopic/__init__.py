# SPDX-License-Identifier: Apache-2.0
"""HemoPIC: regional hemodynamics of DSC-MRI, with and without an arterial input."""

from .api import fit, reference_curve
from .registry import METHODS, HemopicMethod

__all__ = ["METHODS", "HemopicMethod", "fit", "reference_curve"]
