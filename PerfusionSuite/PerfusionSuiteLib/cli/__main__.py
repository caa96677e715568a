# SPDX-License-Identifier: Apache-2.0
"""``python -m PerfusionSuiteLib.cli`` is the same as ``perfusion-suite``."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
