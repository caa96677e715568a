# SPDX-License-Identifier: Apache-2.0
"""What README and Docs tell a reader to type or to open is there."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from functools import cache
from pathlib import Path

import pytest

from PerfusionSuiteLib.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(path for path in (ROOT / "README.md", *(ROOT / "Docs").glob("*.md")) if path.is_file())
PLACEHOLDERS = {"SEED": "1"}


@cache
def parser() -> ArgumentParser:
    return build_parser()


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8").replace("\\\n", " ")


def commands() -> list[str]:
    """Every line of a block, and every piece in backticks, that calls the command line with words."""
    found: dict[str, None] = {}
    for document in DOCUMENTS:
        text = text_of(document)
        lines = re.findall(r"^(?:\.venv/bin/)?perfusion-suite +(\S.*)$", text, re.MULTILINE)
        inline = re.findall(r"`(?:\.venv/bin/)?perfusion-suite +([^`\n]+)`", text)
        found |= dict.fromkeys(command.strip() for command in (*lines, *inline))
    return list(found)


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command, comments=True)]
    try:
        parser().parse_args(words)
    except SystemExit as end:  # --help
        assert end.code in (0, None), capsys.readouterr().err


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_scripts_are_there(document: Path) -> None:
    text = text_of(document)
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (document.parent / target.split("#")[0]).exists(), target
    for script in re.findall(r"Testing/[\w/]+\.py", text):
        assert (ROOT / script).is_file(), script
