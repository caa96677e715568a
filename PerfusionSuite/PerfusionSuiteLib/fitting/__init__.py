# SPDX-License-Identifier: Apache-2.0
"""Model fits: a perfusion model is adjusted to the measured curves instead of inverting the convolution."""

from .api import fit
from .registry import METHODS, FitMethod

__all__ = ["METHODS", "FitMethod", "fit"]
