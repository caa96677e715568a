# SPDX-License-Identifier: Apache-2.0
"""The protocol of a Siemens ASL scan as these scanners keep it: text in a private list of named values."""

from __future__ import annotations

import struct

from ..core.asl import AslSeries


def protocol_header(series: AslSeries) -> bytes:
    """Return a private series header that holds the protocol.

    Parameters
    ----------
    series : AslSeries
        The scan.

    Returns
    -------
    bytes
        Value of (0029,1020): one entry with the protocol as text, times in microseconds.
    """
    delays = [1e6 * float(delay) for delay in series.delays_s]
    duration = 1e6 * float(max(value for value in series.label_durations_s if value == value))
    lines = ["### ASCCONV BEGIN ###"]
    if series.labeling == "pasl":
        lines += [f"alTI[0]\t = \t{duration:.0f}", f"alTI[2]\t = \t{delays[0]:.0f}"]
    else:
        lines += ["sAsl.ulMode\t = \t16", f"sAsl.ulLabelingDuration\t = \t{duration:.0f}"]
        lines += [f"sAsl.sPostLabelingDelay[{n}]\t = \t{delay:.0f}" for n, delay in enumerate(delays)]
    return _listed("MrPhoenixProtocol", "\n".join([*lines, "### ASCCONV END ###", ""]))


def _listed(name: str, text: str) -> bytes:
    """One entry of the list: four letters, its length, and per entry name, kind and items."""
    content = text.encode("ascii")
    padded = content + b"\0" * (-len(content) % 4)
    head = b"SV10" + b"\4\3\2\1" + struct.pack("<II", 1, 77)
    entry = name.encode("ascii").ljust(64, b"\0") + struct.pack("<i4siii", 1, b"UN\0\0", 0, 1, 77)
    return head + entry + struct.pack("<iiii", len(content), len(content), 77, len(content)) + padded
