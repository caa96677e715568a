# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite train qtmnet``: train the ASL network on cubes of simulated vessels."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..asl.qtm_weights import SCALES, Protocol, save_weights
from ..core import InvalidInputError, part_of
from ..core.errors import require_package
from ..core.files import check_output_folder, write_text
from ..fitting.devices import choose_device
from .console import ConsoleProgress
from .stopping import kept_when_stopped
from .training_files import CHECKPOINTS, machine_words, write_record

if TYPE_CHECKING:
    from ..training.qtmnet_plan import Plan

PRESETS = ("default", "published")
SCORED_CUBES = 640
LATE_S = (0.4, 0.8)
"""Blood reaches white matter later than most places of a cube."""


def add_parser(parts: Any) -> None:
    """Register the command.

    Parameters
    ----------
    parts : argparse sub-parsers action
        Where to add it.
    """
    parser = parts.add_parser(
        "qtmnet",
        help="the ASL network, on cubes of 'phantom asl-cubes'",
        description="Writes qtmnet.safetensors with a model card and scores beside kinetic models and a linear regression; an "
        "interrupted training goes on when the same command is given again. Use the result with 'run IN OUT --modality asl "
        "--method qtmnet --option weights=OUT/qtmnet.safetensors'.",
    )
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of cubes")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for weights, card, scores and record")
    parser.add_argument("--preset", choices=PRESETS, default="default", help="default, or optimizer and scale as published")
    parser.add_argument("--cubes", metavar="N", type=int, help="use only the first N cubes")
    parser.add_argument(
        "--unseen", metavar="FOLDER", type=Path, help="cubes of other seeds to score on (default: those kept back)"
    )
    parser.add_argument(
        "--brains", metavar="FOLDER", type=Path, nargs="+", default=[],
        help="also learn from pieces of these brains of 'phantom asl-brain'; the last one is kept back to score",
    )  # fmt: skip
    parser.add_argument("--held-out", metavar="SHARE", type=float, help="cubes kept back (default 0.1)")
    parser.add_argument(
        "--protocol", metavar="S", type=float, nargs="+",
        help="labeling duration and post-label delays in s (default 1.45 1.025 1.525 2.025 2.525)",
    )  # fmt: skip
    parser.add_argument(
        "--late", metavar="S", type=float, nargs="*",
        help="also learn from versions of the cubes into which blood enters so much later, one for each cube (default 0.4 0.8; "
        "none with the published preset or '--augmentation none')",
    )  # fmt: skip
    parser.add_argument("--epochs", metavar="N", type=int, help="times that every cube is seen (default 40)")
    parser.add_argument("--minutes", metavar="M", type=float, help="time limit, within which the schedule comes to its end")
    parser.add_argument("--base", metavar="N", type=int, help="channels of the first level (default 16; published preset 32)")
    parser.add_argument("--batch", metavar="N", type=int, help="cubes of a step (default 16; published preset 8)")
    parser.add_argument("--rate", metavar="X", type=float, help="learning rate at the start (default 0.001)")
    parser.add_argument("--smoothness", metavar="X", type=float, help="weight of the gradient in the loss (default 0.01)")
    parser.add_argument("--scale", choices=SCALES, help="divide images by a constant or by their maximum")
    parser.add_argument(
        "--augmentation", metavar="KEY=X", nargs="*",
        help="noise, clean, blank, gain, arteries, coarse, mirror (0 or 1); 'none' for mirroring alone (default noise=0.08 "
        "clean=0.2 blank=0.5 gain=0.05 arteries=0.5 coarse=0.2 mirror=1)",
    )  # fmt: skip
    parser.add_argument("--noise-channel", action=argparse.BooleanOptionalAction, help="tell the network the noise")
    parser.add_argument("--regression", action=argparse.BooleanOptionalAction, help="begin with a linear regression")
    parser.add_argument(
        "--half", action=argparse.BooleanOptionalAction, help="convolutions in bfloat16 (default: where the processor knows it)"
    )
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of weights, draws and split (default 0)")
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
    """
    require_package("torch", "train networks")
    require_package("safetensors", "write learned weights")
    from ..training.qtmnet import COLUMNS, Trainer
    from ..training.qtmnet_brains import read_brains
    from ..training.qtmnet_data import load
    from ..training.qtmnet_outcome import Facts, card, finished, provenance, scored

    check_output_folder(options.output)
    console = ConsoleProgress(check_stop=options.check_stop)
    with kept_when_stopped(options.output, CHECKPOINTS), closing(console):
        device = choose_device(options.device)
        plan, protocol = plan_of(options, device), protocol_of(options)
        shares = np.linspace(0.0, 0.02, 2 + len(late_of(options)))
        reading = [part_of(console, *limits) for limits in pairwise(shares)]
        cubes = load(options.data, protocol, limit=options.cubes, progress=reading[0])
        plain, kept = cubes.split(plan.held_out, plan.seed)
        late = [
            load(options.data, protocol, limit=options.cubes, late_s=late_s, progress=tell)
            for late_s, tell in zip(late_of(options), reading[1:], strict=True)
        ]
        trained = plain.with_late(late)
        unseen = kept
        if options.unseen is not None:
            unseen = load(options.unseen, protocol, limit=SCORED_CUBES, progress=part_of(console, 0.02, 0.03))
            if set(unseen.seeds.tolist()) & set(cubes.seeds.tolist()):
                msg = f"'{options.unseen}' and '{options.data}' hold cubes of the same seeds. Give cubes that are not trained on."
                raise InvalidInputError(msg)
        brains, brain = read_brains(options.brains, protocol)
        trainer = Trainer(
            trained, kept, plan, device, brains=brains, kept_brain=brain, folder=options.output,
            progress=part_of(console, 0.03, 0.08),
        )  # fmt: skip
        if trainer.state.epoch:
            console.message(f"Going on after {trainer.state.epoch} epochs.")
        network = trainer.run(part_of(console, 0.08, 0.93), console.message)
        weights = finished(network, plan, trained, plain, kept, brain=brain, progress=part_of(console, 0.93, 0.95))
        rows = scored(weights, unseen, seed=plan.seed, device=device, progress=part_of(console, 0.95, 1.0))
        state = trainer.state
        done = (state.epoch, state.epoch * trainer.steps, state.seconds)
        names = (", ".join(one.name for one in brains), brain.name if brain else "")
        facts = Facts(plan, *done, _words(trained), _words(unseen), command(options, plan), machine_words(device), *names)
        known = {"trained_seeds": [int(cubes.seeds.min()), int(cubes.seeds.max())], "brains": [one.name for one in brains]}
        weights = replace(weights, provenance={**provenance(facts, rows), **known})
        save_weights(options.output / "qtmnet.safetensors", weights)
        write_text(options.output / "qtmnet.md", card(weights, facts, rows))
        write_record(options.output / "training.csv", COLUMNS, trainer.state.record)
        trainer.forget()
        console(1.0, "Done")
        for row in rows:
            if row.noise == 0.0:
                console.message(f"{row.method}: NRMSE {row.nrmse_percent:.2f} %, bias {row.bias:+.2f}")
        console.message(f"Weights and model card in {options.output}")
    return 0


def protocol_of(options: argparse.Namespace) -> Protocol:
    """Return the protocol that was asked for.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    Protocol
        The published one by default.

    Raises
    ------
    InvalidInputError
        If delays are missing.
    """
    if options.protocol is None:
        return Protocol()
    if len(options.protocol) < 2:
        msg = "--protocol needs the labeling duration and at least one delay in s, for example --protocol 1.8 1.0 1.5 2.0 2.5."
        raise InvalidInputError(msg)
    return Protocol(options.protocol[0], tuple(options.protocol[1:]))


def late_of(options: argparse.Namespace) -> tuple[float, ...]:
    """Return by how much later blood enters further versions of the cubes.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    tuple of float, s
        As far as the first delay allows by default.
    """
    if options.late is not None:
        return tuple(options.late)
    most = protocol_of(options).post_label_delays_s[0]
    plain = options.preset != "default" or options.augmentation == ["none"]
    return () if plain else tuple(late for late in LATE_S if late <= most)


def plan_of(options: argparse.Namespace, device: Any) -> Plan:
    """Return the plan that was asked for.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    device : torch.device
        Where.

    Returns
    -------
    Plan
        The preset with what was given instead.
    """
    from ..training.qtmnet import knows_half
    from ..training.qtmnet_plan import PRESETS as PLANS

    plan = PLANS[options.preset]
    names = (
        "epochs", "minutes", "base", "batch", "rate", "smoothness", "scale", "noise_channel", "regression", "held_out", "seed",
    )  # fmt: skip
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    half = knows_half(device) and options.preset != "published" if options.half is None else options.half
    plan = replace(plan, **given, half=half, augmentation=_augmentation(plan.augmentation, options.augmentation))
    plan.check()
    return plan


def _augmentation(usual: Any, words: list[str] | None) -> Any:
    if words is None:
        return usual
    if words == ["none"]:
        return replace(usual, noise=0.0, clean=0.0, blank=0.0, gain=0.0, arteries=0.0, coarse=0.0)
    given: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in ("noise", "clean", "blank", "gain", "arteries", "coarse", "mirror"):
            msg = f"'{word}' is no augmentation. Write noise=0.08, clean=0.2, gain=0.05, arteries=0.5, mirror=1, or none."
            raise InvalidInputError(msg)
        try:
            given[key] = bool(int(text)) if key == "mirror" else float(text)
        except ValueError:
            msg = f"'{word}' has no number. Write, for example, {key}={getattr(usual, key):g}."
            raise InvalidInputError(msg) from None
    return replace(usual, **given)


def command(options: argparse.Namespace, plan: Plan) -> str:
    """Return the command without folders, which are nobody's business.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    plan : Plan
        What they mean.

    Returns
    -------
    str
        Words to type.
    """
    words = f"perfusion-suite train qtmnet DATA OUT --preset {options.preset} --seed {options.seed}"
    words += " --unseen FOLDER" if options.unseen is not None else ""
    words += f" --brains {' '.join('BRAIN' for _ in options.brains)}" if options.brains else ""
    for name in ("cubes", "epochs", "minutes", "base", "batch", "rate", "smoothness", "scale", "held_out"):
        if getattr(options, name) is not None:
            words += f" --{name.replace('_', '-')} {getattr(options, name)}"
    for name in ("noise_channel", "regression"):
        if getattr(options, name) is not None:
            words += f" --{'' if getattr(options, name) else 'no-'}{name.replace('_', '-')}"
    words += f" --{'' if plan.half else 'no-'}half"
    for name in ("protocol", "late", "augmentation"):
        if getattr(options, name) is not None:
            words += f" --{name} {' '.join(map(str, getattr(options, name)))}"
    return words


def _words(cubes: Any) -> str:
    preset = cubes.facts.get("preset", "unknown")
    return f"{cubes.words()} of preset {preset}"
