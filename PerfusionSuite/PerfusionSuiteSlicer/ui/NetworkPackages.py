# SPDX-License-Identifier: Apache-2.0
"""What a network that draws the core needs besides Slicer; the application never imports it, a worker does."""

from importlib.util import find_spec

from slicer.i18n import tr as _

WEIGHTS_PACKAGES = ("safetensors",)
"""Packages that read a network, which Apply offers to install."""


def networkProblem():
    """Return why no network can draw the core here, or an empty text."""
    if find_spec("torch") is not None:
        return ""
    return _("The network needs PyTorch: install it in Perfusion Fit (Install PyTorch), or choose other thresholds")
