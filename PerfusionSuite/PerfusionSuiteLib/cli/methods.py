# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite methods``: what can make maps, straight from the registries."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .. import asl, lesion, pipeline


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("methods", help="list the methods that make maps")
    parser.add_argument("--options", action="store_true", help="also list the options of each method with their defaults")
    parser.add_argument("--thresholds", action="store_true", help="list the thresholds of the presets instead")
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
    if options.thresholds:
        print_thresholds()
        return 0
    defaults = {
        pipeline.default_method("dsc"): " (default of DSC-MRI)",
        asl.default_method(3): " (default of ASL)",
        pipeline.default_method("ctp"): " (default)",
    }
    known = {**pipeline.methods(), **asl.METHODS}
    width = max(len(name) for name in known)
    for name, entry in known.items():
        star = defaults.get(name, "")
        print(f"{name:{width}s} {entry.description}{star}")
        for key, value in entry.options.items() if options.options else ():
            print(f"{'':{width}s}   {key}={json.dumps(value)}")
    return 0


def print_thresholds() -> None:
    """List every threshold that ``--threshold NAME=VALUE`` replaces: its value in the default preset, and where others differ."""
    presets = {name: preset.as_dict() for name, preset in lesion.PRESETS.items()}
    default, *others = presets
    for name in lesion.EDITABLE:
        values = {preset: facts.get(name, "(by method)") for preset, facts in presets.items()}
        differing = [f"{preset} {json.dumps(values[preset])}" for preset in others if values[preset] != values[default]]
        print(f"{name:24s} {json.dumps(values[default]):28s} {', '.join(differing)}".rstrip())
