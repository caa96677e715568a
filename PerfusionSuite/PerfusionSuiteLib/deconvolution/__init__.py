# SPDX-License-Identifier: Apache-2.0
"""Deconvolution: truncated SVD (causal, delay-corrected, circulant, oscillation-limited) and Tikhonov regularization."""

from .api import deconvolve
from .codes import QualityCode
from .registry import METHODS, Method

__all__ = ["METHODS", "Method", "QualityCode", "deconvolve"]
