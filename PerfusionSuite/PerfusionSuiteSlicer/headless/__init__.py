# SPDX-License-Identifier: Apache-2.0
"""Slicer without its application: the runtime on slicer-core, and pictures of Slicer's views without a display."""
