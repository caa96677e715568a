# SPDX-License-Identifier: Apache-2.0
"""How a worker process is started, whoever starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .folder import JobFolder

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that contains the package; the worker finds it through PYTHONPATH."""


def worker_command(folder: JobFolder, python: str | None = None) -> list[str]:
    """Return the command that does a job.

    Parameters
    ----------
    folder : JobFolder
        The job.
    python : str, optional
        The interpreter: PythonSlicer inside of Slicer, by default the one that runs this.

    Returns
    -------
    list of str
        Program and arguments. ``-P`` keeps the current folder from hiding packages.
    """
    return [python or sys.executable, "-P", "-m", "PerfusionSuiteLib.jobs.worker", str(folder.job_file)]


def worker_python_path(before: str | None = None) -> str:
    """Return the value of PYTHONPATH for a worker; the variable of this process stays as it is.

    Parameters
    ----------
    before : str, optional
        The value so far.

    Returns
    -------
    str
        With the package's folder in front.
    """
    return os.pathsep.join([str(PACKAGE_FOLDER), *([before] if before else [])])
