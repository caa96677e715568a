# SPDX-License-Identifier: Apache-2.0
"""Static check of every Slicer, CTK, Qt and VTK name that a scripted module uses, against facts of a Slicer version."""
