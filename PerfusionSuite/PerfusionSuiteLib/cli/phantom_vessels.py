# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite phantom asl-cubes``: simulated vasculature with known perfusion."""

from __future__ import annotations

import argparse

from ..core.files import check_output_folder
from ..phantom.vessels import PRESETS, write_cubes
from ..phantom.vessels.acceleration import BUILDERS
from .console import ConsoleProgress


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of simulated vasculature.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of ``phantom``.
    """
    group = parser.add_argument_group("simulated vasculature (asl-cubes)")
    group.add_argument("--count", metavar="N", type=int, help="asl-cubes: how many; cube i has seed + i (default 64)")
    group.add_argument("--preset", choices=tuple(PRESETS), help="asl-cubes: kind of tissue and exchange (default default)")
    group.add_argument("--workers", metavar="N", type=int, help="asl-cubes: processes (default 1)")
    group.add_argument("--builder", choices=BUILDERS, help="vessels grown with numba or numpy (default: numba when installed)")


OPTIONS = ("count", "preset", "workers", "builder")


def write_asl_cubes(options: argparse.Namespace, console: ConsoleProgress) -> int:
    """Make cubes; those of an earlier run are kept.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    console : ConsoleProgress
        Progress.

    Returns
    -------
    int
        Exit code.
    """
    check_output_folder(options.output)
    count = 64 if options.count is None else options.count
    workers = 1 if options.workers is None else options.workers
    made = write_cubes(
        options.output, count=count, seed=options.seed, preset=options.preset or "default", workers=workers,
        builder=options.builder or "auto", progress=console,
    )  # fmt: skip
    console(1.0, "Done")
    console.message(f"{made} new cubes, {count} in all, in {options.output}")
    return 0
