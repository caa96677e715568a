# SPDX-License-Identifier: Apache-2.0
"""Perfusion Suite's side of 3D Slicer: values of the library as MRML nodes, pictures of them, parts of the panels."""
