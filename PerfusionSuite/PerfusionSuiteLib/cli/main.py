# SPDX-License-Identifier: Apache-2.0
"""Entry point of the command line: parse, dispatch, and turn every error into one sentence and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .. import __version__
from ..core import PerfusionError
from . import demo, methods, phantom, run, segment

COMMANDS = (run, segment, methods, phantom, demo)

_UNEXPECTED = 1
_CANCELLED = 3
_OUT_OF_MEMORY = 4


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with one sub-command per file of this folder.

    Returns
    -------
    argparse.ArgumentParser
        The parser.
    """
    parser = argparse.ArgumentParser(
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line words; ``sys.argv`` by default.

    Returns
    -------
    int
        Exit code: 0 done, 2 invalid input, 3 cancelled, 4 out of memory, 5 numerical failure, 1 unexpected.
    """
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(options.execute(options))
    except PerfusionError as error:
        return _report(str(error), error.exit_code, error if options.verbose else None)
    except KeyboardInterrupt:
        return _report("Cancelled; nothing was written.", _CANCELLED)
    except MemoryError as error:
        sentence = "The scan does not fit in this machine's memory. Close other programs or crop the scan, then run again."
        return _report(sentence, _OUT_OF_MEMORY, error if options.verbose else None)
    except Exception as error:  # noqa: BLE001  # outermost boundary: any bug becomes one sentence and code 1
        sentence = f"Unexpected {type(error).__name__}: {error}. Run again with --verbose and report what it prints."
        return _report(sentence, _UNEXPECTED, error if options.verbose else None)


def _report(sentence: str, code: int, error: BaseException | None = None) -> int:
    if error is not None:
        logging.getLogger(__name__).error("Failed", exc_info=error)
    print(f"perfusion-suite: {sentence}", file=sys.stderr)
    return code
