# SPDX-License-Identifier: Apache-2.0
"""Check that every Slicer, CTK, Qt and VTK name of the extension exists in a Slicer version.

    python Testing/tools/slicer_api_check.py PerfusionSuite PerfusionFit CorePenumbra
    python Testing/tools/slicer_api_check.py --facts main PerfusionSuite
    python Testing/tools/slicer_api_check.py --slicer TREE --ctk TREE --save 5.14     facts of another version

PythonQt shows properties, signals, slots, invokable methods and registered enums of a C++ class and nothing else, VTK its
public methods: both are known from the sources of a version, whose facts are kept in ``slicer_api/``.
"""

import sys

from slicer_api.command import main

if __name__ == "__main__":
    sys.exit(main())
