# SPDX-License-Identifier: Apache-2.0
"""Brain perfusion from CT, DSC-MRI and ASL: everything that computes, reads and writes files.

The package imports neither Slicer, VTK nor Qt, so that the same functions serve the panels,
the Python console, the command line and a plain notebook. Research software, not for clinical use.
"""

__version__ = "0.1.0"
