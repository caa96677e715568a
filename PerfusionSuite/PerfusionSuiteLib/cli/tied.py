# SPDX-License-Identifier: Apache-2.0
"""``python -m PerfusionSuiteLib.cli.tied``: the command line for a program that starts it and keeps its standard input open.

When that program is gone, even by force, the command stops instead of going on for nobody.
"""

import sys

from ..jobs.stop import StopRequests
from .main import main

if __name__ == "__main__":
    sys.exit(main(stop=StopRequests(None)))
