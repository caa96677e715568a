# SPDX-License-Identifier: Apache-2.0
"""Simulated vasculature: trees grown into tissue of known perfusion, labelled blood sent through them, pictures taken."""
