# SPDX-License-Identifier: Apache-2.0
"""Perfusion from arterial spin labeling: calibration, kinetic models of one or several delays, partial volume, network."""

from .api import checked_tissue, quantify
from .codes import AslQuality
from .kinetic import label_density, unit_response
from .registry import METHODS, AslMethod, default_method

__all__ = ["METHODS", "AslMethod", "AslQuality", "checked_tissue", "default_method", "label_density", "quantify", "unit_response"]
