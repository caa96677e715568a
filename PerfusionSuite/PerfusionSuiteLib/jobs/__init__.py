# SPDX-License-Identifier: Apache-2.0
"""Long work in a process of its own, with progress, findings and cancel; importing this needs numpy alone."""

from .devices import Device, Devices, devices
from .events import Event
from .folder import JobFolder, load_result
from .job import Job, Runner
from .outcome import JobOutcome
from .runner import SubprocessRunner
from .spec import JobSpec

__all__ = [
    "Device",
    "Devices",
    "Event",
    "Job",
    "JobFolder",
    "JobOutcome",
    "JobSpec",
    "Runner",
    "SubprocessRunner",
    "devices",
    "load_result",
]
