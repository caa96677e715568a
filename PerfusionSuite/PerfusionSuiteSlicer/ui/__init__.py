# SPDX-License-Identifier: Apache-2.0
"""Parts that the three panels share; needs the Slicer desktop."""
