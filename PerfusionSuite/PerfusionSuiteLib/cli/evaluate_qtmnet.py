# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite evaluate qtmnet``: the ASL network beside kinetic models on cubes, simulated brains and a scan."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import asl, series
from ..asl.difference import difference_of
from ..asl.qtm import assess, predict
from ..asl.qtm_weights import Protocol, QtmWeights, load_weights
from ..core import CancelledError, InvalidInputError, ProgressCallback, part_of
from ..core.errors import require_package
from ..core.files import check_output_folder
from ..evaluation import qtmnet_estimators as estimators
from ..evaluation import qtmnet_study as study
from ..evaluation.report.qtmnet_pictures import draw_brain, draw_cube
from ..evaluation.report.qtmnet_writing import write_qtmnet_study
from ..phantom.vessels import PRESETS, Preset, make_cube, read_cubes, signal
from ..phantom.vessels import brain as simulate_brain
from .console import ConsoleProgress

FIRST_CUBE = 910_000
"""Seed of cubes that are made here; trainings use others."""

SETTINGS: dict[str, Preset] = {
    "no exchange": replace(PRESETS["default"], exchange="none"),
    "slow vessels (shear 100-300 1/s)": replace(PRESETS["default"], shear_per_s=(100.0, 300.0)),
    "fast vessels (shear 900-2500 1/s)": replace(PRESETS["default"], shear_per_s=(900.0, 2500.0)),
    "late arrival (entry 1.2-1.8 s)": replace(PRESETS["default"], entry_s=(1.2, 1.8)),
}
"""Cubes that differ from the training in one assumption."""


def add_parser(parts: Any) -> None:
    """Register the command.

    Parameters
    ----------
    parts : argparse sub-parsers action
        Where to add it.
    """
    parser = parts.add_parser(
        "qtmnet",
        help="the ASL network beside kinetic models: cubes, simulated brains, a scan",
        description="Tables, pictures and a report. Without further options cubes and one simulated brain are made, which takes "
        "minutes; --scan compares the network with asl-multi on a scan.",
    )
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for tables and pictures")
    parser.add_argument(
        "--weights", metavar="FILE", help="weights of 'train qtmnet' (default: those that come with the software)"
    )
    parser.add_argument("--cubes", metavar="FOLDER", type=Path, help="cubes of 'phantom asl-cubes' that were not trained on")
    parser.add_argument("--count", metavar="N", type=int, default=32, help="cubes to use or to make; 0 for none (default 32)")
    parser.add_argument(
        "--settings-count", metavar="N", type=int, default=8, help="cubes for each changed assumption (default 8)"
    )
    parser.add_argument("--brains", metavar="SEED", type=int, nargs="*", default=[1], help="simulated brains (default 1)")
    parser.add_argument("--territory", metavar="NAME", help="lower the flow in a territory of the brains (m2-superior, pca, ...)")
    parser.add_argument(
        "--noise", metavar="SD", type=float, nargs="+", default=list(study.NOISES),
        help="noise of the label density in multiples of 0.02 mL/g (default 0 0.01 0.02 0.05 0.1); 0 is always measured",
    )  # fmt: skip
    parser.add_argument(
        "--scan", metavar="IN", type=Path, help="multi-delay ASL scan (BIDS or DICOM); alone unless asked otherwise"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu or cuda[:n]")
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

    Raises
    ------
    CancelledError
        If the user asked to stop.
    """
    require_package("torch", "evaluate QTMnet")
    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    rows: list[study.Row] = []
    figures: dict[str, tuple[str, Any]] = {}
    try:
        weights = load_weights(options.weights)
        noise = sorted({0.0, *options.noise})
        if noise[0] < 0.0:
            msg = f"--noise {noise[0]:g} is below 0. Give multiples of 0.02 mL/g, for example 0.05."
            raise InvalidInputError(msg)
        if options.scan is not None:
            rows += scan_rows(options, weights, figures, console)
        else:
            _refuse_trained_brains(options.brains, weights)
            if options.count > 0:
                rows += cubes_rows(options, weights, noise, figures, part_of(console, 0.0, 0.4))
            for number, seed in enumerate(options.brains):
                start, end = (0.4 + 0.55 * at / len(options.brains) for at in (number, number + 1))
                rows += brains_rows(seed, options, weights, noise, figures, part_of(console, start, end))
        levels = {"cubes": {_noise_words(v): v for v in noise}, "brain": {_noise_words(v): v for v in noise}}
        write_qtmnet_study(rows, weights, _facts(options), figures, levels, options.output)
        console(1.0, "Done")
        console.message(f"Tables and pictures are in {options.output}; open report.html first.")
    except KeyboardInterrupt as error:
        msg = "Cancelled; nothing was written."
        raise CancelledError(msg) from error
    finally:
        console.close()
    return 0


def _noise_words(noise: float) -> str:
    return f"noise {noise:g}" if noise else study.CLEAN


def _facts(options: argparse.Namespace) -> list[tuple[str, str]]:
    if options.scan is not None:
        return [("Measured", "a scan")]
    facts = []
    if options.count > 0:
        facts.append(("Cubes", "from a folder" if options.cubes else f"{options.count} from seed {FIRST_CUBE}"))
    if options.brains:
        words = f", low flow in {options.territory}" if options.territory else ""
        facts.append(("Simulated brains", f"seeds {', '.join(map(str, options.brains))}{words}"))
    return facts


def cubes_rows(
    options: argparse.Namespace, weights: QtmWeights, noise: list[float], figures: dict[str, Any], progress: ProgressCallback
) -> list[study.Row]:
    """Measure cubes: noise, resolution, and assumptions that differ from the training.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    weights : QtmWeights
        The network.
    noise : list of float
        In multiples of 0.02 mL/g.
    figures : dict
        Gets the picture of a cube.
    progress : callable
        Progress and cancelling.

    Returns
    -------
    list of dict
        Rows.
    """
    protocol = weights.protocol
    density, flow, seeds = _cubes(options, protocol, part_of(progress, 0.0, 0.3))
    _refuse_trained(seeds, weights)
    subject = str(len(flow))
    rows: list[study.Row] = []
    for number, level in enumerate(noise):
        tell = part_of(progress, 0.3 + 0.3 * number / len(noise), 0.3 + 0.3 * (number + 1) / len(noise))
        rows += study.cube_rows(
            weights, density, flow, subject=subject, condition=_noise_words(level), noise=level, progress=tell
        )  # fmt: skip
    progress(0.6, "Cubes: resolution")
    rows += study.cube_rows(weights, study.blurred(density), flow, subject=subject, condition="blur along slices (1.5 voxels)")
    rows += study.coarse_rows(weights, density, flow, subject=subject, condition="voxels of 4 x 4 x 4 mm")
    for number, (words, preset) in enumerate(SETTINGS.items() if options.settings_count > 0 else ()):
        tell = part_of(progress, 0.65 + 0.35 * number / len(SETTINGS), 0.65 + 0.35 * (number + 1) / len(SETTINGS))
        made, truth = _made(preset, options.settings_count, FIRST_CUBE + 10_000, protocol, tell)
        rows += study.cube_rows(weights, made, truth, subject=str(len(truth)), condition=words)
    found = {
        estimators.NETWORK: estimators.network(weights, density[:1])[0][0],
        estimators.REGRESSION: estimators.regression(weights, density[:1])[0],
        "asl-multi": estimators.kinetic("asl-multi", density[:1], protocol)[0],
    }
    picture = draw_cube(density[0], flow[0], found, protocol.post_label_delays_s, "A cube that was not trained on")
    figures["A cube that was not trained on"] = ("cube.png", picture)
    return rows


def _cubes(options: argparse.Namespace, protocol: Protocol, progress: ProgressCallback) -> tuple[Any, Any, list[int]]:
    if options.cubes is None:
        density, flow = _made(PRESETS["default"], options.count, FIRST_CUBE, protocol, progress)
        return density, flow, list(range(FIRST_CUBE, FIRST_CUBE + options.count))
    found = read_cubes(
        options.cubes, protocol.label_duration_s, protocol.post_label_delays_s, limit=options.count, progress=progress
    )
    return np.ascontiguousarray(np.moveaxis(found.signal, 4, 1)), found.perfusion, found.seeds.tolist()


def _refuse_trained(seeds: list[int], weights: QtmWeights) -> None:
    first, last = weights.provenance.get("trained_seeds", (0, -1))
    if any(first <= seed <= last for seed in seeds):
        msg = f"The network was trained on cubes of seeds {first} to {last}. Give cubes of other seeds."
        raise InvalidInputError(msg)


def _refuse_trained_brains(seeds: list[int], weights: QtmWeights) -> None:
    for seed in seeds:
        if seed in map(int, weights.provenance.get("brains", ())):
            msg = f"The network was trained on the simulated brain {seed}. Give --brains other seeds."
            raise InvalidInputError(msg)


def _made(preset: Preset, count: int, first: int, protocol: Protocol, progress: ProgressCallback) -> tuple[Any, Any]:
    densities, flows = [], []
    for number in range(count):
        progress(number / count, "Making cubes")
        cube = make_cube(first + number, preset)
        seen = signal(cube.response, cube.times_s, protocol.label_duration_s, protocol.post_label_delays_s)
        densities.append(np.moveaxis(seen, 3, 0))
        flows.append(cube.perfusion)
    return np.stack(densities).astype(np.float32), np.stack(flows).astype(np.float32)


def brains_rows(
    seed: int,
    options: argparse.Namespace,
    weights: QtmWeights,
    noise: list[float],
    figures: dict[str, Any],
    progress: ProgressCallback,
) -> list[study.Row]:
    """Measure a simulated brain.

    Parameters
    ----------
    seed : int
        Of the brain.
    options, weights, noise, figures, progress
        As for `cubes_rows`.

    Returns
    -------
    list of dict
        Rows.
    """
    protocol = weights.protocol
    made = simulate_brain(
        seed=seed, post_label_delays_s=protocol.post_label_delays_s, label_duration_s=protocol.label_duration_s,
        territory=options.territory, progress=part_of(progress, 0.0, 0.6),
    )  # fmt: skip
    brain = study.SimulatedBrain(
        f"brain {seed}", made.delta_s, made.perfusion, made.mask, made.gray, made.white, made.lesion >= 0.5, made.affine
    )
    rows: list[study.Row] = []
    for number, level in enumerate(noise):
        tell = part_of(progress, 0.6 + 0.4 * number / len(noise), 0.6 + 0.4 * (number + 1) / len(noise))
        maps = study.brain_maps(weights, brain, noise=level, seed=seed, device=options.device, progress=tell)
        rows += study.brain_rows(brain, maps, _noise_words(level))
        if level in (0.0, 0.05):
            words = f"Simulated brain {seed}, {'without noise' if not level else f'noise {level:g}'}"
            shown = {"truth": brain.flow, **{name: content["cbf"] for name, content in maps.items()}}
            name = f"brain-{seed}{f'-noise-{level:g}' if level else ''}.png"
            figures[words] = (name, draw_brain(shown, brain.mask, brain.affine, words))
    return rows


def scan_rows(
    options: argparse.Namespace, weights: QtmWeights, figures: dict[str, Any], progress: ConsoleProgress
) -> list[study.Row]:
    """Compare the network with kinetic models on a scan.

    Parameters
    ----------
    options, weights, figures, progress
        As for `cubes_rows`.

    Returns
    -------
    list of dict
        Rows.

    Raises
    ------
    InvalidInputError
        If the scan is no ASL scan, or of another protocol.
    """
    scan = series.read(options.scan, modality="asl", progress=part_of(progress, 0.0, 0.1))
    difference, _ = difference_of(scan, progress=part_of(progress, 0.1, 0.5))
    for finding in (*difference.findings, *assess(difference, weights=weights)):
        progress.message(f"{finding.message} {finding.advice}")
    maps = {estimators.NETWORK: predict(difference, weights=weights, device=options.device)}
    for name in ("asl-multi", "asl-multi-wd", "asl-single"):
        maps[name] = asl.quantify(difference, method=name)
    key = "cbf" if "cbf" in maps[estimators.NETWORK] else "rcbf"
    regions = {"all voxels": difference.mask, "where flow is high (mostly gray matter)": study.high_flow(maps, difference)}
    if key == "cbf":
        shown = {name: maps[name][key] for name in ("asl-multi", estimators.NETWORK, "asl-multi-wd", "asl-single")}
        picture = draw_brain(shown, difference.mask, difference.affine, "QTMnet beside asl-multi", truth="asl-multi")
        figures["A real scan: maps, and how far they are from asl-multi"] = ("scan.png", picture)
    return list(study.scan_rows("scan", maps, regions))
