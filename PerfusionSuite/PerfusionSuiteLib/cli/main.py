# SPDX-License-Identifier: Apache-2.0
"""Entry point of the command line: parse, dispatch, and turn every error into one sentence and an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..core import InvalidInputError
from ..core.failures import CANCELLED, failure_of
from ..core.memory import share_one_heap
from ..core.stop import StopSignals
from . import (
    aggregate,
    cohort,
    colormap_import,
    demo,
    evaluate,
    field,
    hemopic,
    methods,
    phantom,
    region_from_picture,
    run,
    segment,
    statistics,
    train,
)
from .console import print_event

COMMANDS = (
    run,
    segment,
    region_from_picture,
    colormap_import,
    methods,
    field,
    hemopic,
    evaluate,
    cohort,
    aggregate,
    statistics,
    train,
    phantom,
    demo,
)


class _Parser(argparse.ArgumentParser):
    """Says one sentence about a wrong argument instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        msg = f"{message[:1].upper()}{message[1:]}. See '{self.prog} --help'."
        raise InvalidInputError(msg)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with one sub-command per file of this folder.

    Returns
    -------
    argparse.ArgumentParser
        The parser.
    """
    parser = _Parser(
        prog="perfusion-suite",
        description="Brain perfusion maps, infarct core and penumbra. Research software, not for clinical use.",
        epilog="Exit codes: 0 done, 2 invalid input, 3 cancelled, 4 out of memory, 5 numerical failure, 1 unexpected.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--verbose", action="store_true", help="show the technical log and the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None, *, stop: StopSignals | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line words; ``sys.argv`` by default.
    stop : StopSignals, optional
        Who may ask to stop; Ctrl-C and SIGTERM by default.

    Returns
    -------
    int
        Exit code: 0 done, 2 invalid input, 3 cancelled, 4 out of memory, 5 numerical failure, 1 unexpected.
    """
    share_one_heap()
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbose, events = "--verbose" in words, "--json-events" in words
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    with stop or StopSignals() as asked:
        sentence, code, error = _execute(words, asked)
        if error is not None and verbose:
            logging.getLogger(__name__).error("Failed", exc_info=error)
        if code:
            print(f"perfusion-suite: {sentence}", file=sys.stderr)
            if events:
                print_event("failed", code=code, message=sentence)
    return code


def _execute(words: list[str], stop: StopSignals) -> tuple[str, int, BaseException | None]:
    """Run one command; return what to say, the exit code and the error behind it."""
    try:
        options = build_parser().parse_args(words)
        options.check_stop, options.finish_stop = stop.check, stop.finish
        return "", int(options.execute(options)), None
    except BrokenPipeError:
        # The reader of our output is gone: nobody is left to tell. Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "The program that read the output has ended, so the run was stopped.", CANCELLED, None
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # outermost boundary: any error becomes one sentence
        failure = failure_of(error, advice="Run again with --verbose and report what it prints.")
        return failure.sentence, failure.code, None if failure.code == CANCELLED else error
