# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite phantom asl-cubes`` and ``asl-brain``: simulated vasculature with known perfusion."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core import part_of
from ..core.files import check_output_folder, staged_folder
from ..phantom import vessels
from ..phantom.vessels.acceleration import BUILDERS
from ..phantom.vessels.head_tissue import TERRITORIES
from .console import ConsoleProgress
from .stopping import kept_when_stopped


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of simulated vasculature.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of ``phantom``.
    """
    group = parser.add_argument_group("simulated vasculature (asl-cubes, asl-brain)")
    group.add_argument("--count", metavar="N", type=int, help="asl-cubes: how many; cube i has seed + i (default 64)")
    group.add_argument(
        "--preset", choices=tuple(vessels.PRESETS), help="asl-cubes: kind of tissue and exchange (default default)"
    )
    group.add_argument("--workers", metavar="N", type=int, help="asl-cubes: processes (default 1)")
    group.add_argument(
        "--exchange", choices=("one-way", "none"), help="asl-brain: whether label leaves capillaries (default one-way)"
    )
    group.add_argument("--territory", choices=TERRITORIES, help="asl-brain: where flow is low (default: nowhere)")
    group.add_argument(
        "--crushers", metavar="CM_PER_S", type=float,
        help="asl-brain: label in vessels of a higher mean velocity is not seen, for example 4 (default: all vessels shine)",
    )  # fmt: skip
    group.add_argument("--flow-level", metavar="F", type=float, help="asl-brain: factor on all flow (default 1)")
    group.add_argument("--late", metavar="S", type=float, help="asl-brain: label enters the head later (default 0 s)")
    group.add_argument("--builder", choices=BUILDERS, help="vessels grown with numba or numpy (default: numba when installed)")


OPTIONS = ("count", "preset", "workers", "builder")
BRAIN_OPTIONS = (
    "snr", "delays", "label_duration", "repetitions", "exchange", "territory", "crushers", "flow_level", "late", "builder",
)  # fmt: skip
EVERY = ("count", "preset", "workers", "builder", "exchange", "territory", "crushers", "flow_level", "late")


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
    with kept_when_stopped(options.output, "cubes-*.npz"):
        made = vessels.write_cubes(
            options.output, count=count, seed=options.seed, preset=options.preset or "default", workers=workers,
            builder=options.builder or "auto", progress=console,
        )  # fmt: skip
    console(1.0, "Done")
    console.message(f"{made} new cubes, {count} in all, in {options.output}")
    return 0


def write_asl_brain(options: argparse.Namespace, console: ConsoleProgress) -> int:
    """Make a head-sized brain with vessels: scan, truth, vessels and the label on its way.

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
    wishes = {
        "post_label_delays_s": tuple(options.delays) if options.delays else None, "label_duration_s": options.label_duration,
        "exchange": options.exchange, "territory": options.territory, "builder": options.builder,
        "crushers_cm_per_s": options.crushers, "flow_level": options.flow_level, "late_s": options.late,
    }  # fmt: skip
    given = {name: value for name, value in wishes.items() if value is not None}
    head = vessels.brain(seed=options.seed, **given, progress=part_of(console, 0.0, 0.9))
    snr = 300.0 if options.snr is None else options.snr
    scan = vessels.brain_scan(head, seed=options.seed, repetitions=options.repetitions or 3, snr=snr)
    root = Path(options.output)
    names = ("truth", "vessels", "tracer", f"sub-{options.seed:04d}")
    old = {path.relative_to(root) for name in names for path in (root / name).rglob("*") if path.is_file()}
    with staged_folder(root, outdated=old) as staging:
        vessels.write_brain(head, scan, staging, subject=f"{options.seed:04d}", progress=part_of(console, 0.9, 1.0))
    console(1.0, "Done")
    console.message(f"Scan, truth, vessels and tracer in {options.output}")
    return 0
