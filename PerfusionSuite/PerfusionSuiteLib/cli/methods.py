# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite methods``: what can make maps, straight from the registries."""

from __future__ import annotations

import argparse
from typing import Any

from .. import pipeline


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("methods", help="list the methods that make maps")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    for name, entry in pipeline.methods().items():
        star = " (default)" if name == pipeline.DEFAULT_METHOD else ""
        print(f"{name:12s} {entry.description}{star}")
    return 0
