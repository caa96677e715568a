# SPDX-License-Identifier: Apache-2.0
"""The command line of the check."""

from __future__ import annotations

import argparse
import ast
import json
import lzma
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

from .checker import Checker
from .derive import derive, open_tree
from .facts import Facts
from .ui_file import Ui, check_ui

HERE = Path(__file__).resolve().parent
LEVELS = ("error", "warn", "info")


def known_versions():
    """Return the Slicer versions whose facts lie beside this file."""
    return sorted(path.name.removeprefix("facts-").removesuffix(".json.xz") for path in HERE.glob("facts-*.json.xz"))


def read_facts(version):
    """Return the stored facts of a Slicer version."""
    return json.loads(lzma.decompress((HERE / f"facts-{version}.json.xz").read_bytes()))


class Findings:
    """What was found, each thing once."""

    def __init__(self, root):
        self.root = root
        self.lines = []
        self._seen = set()

    def add(self, path, line, level, message):
        """Keep one finding."""
        if (key := (str(path), line, message)) not in self._seen:
            self._seen.add(key)
            self.lines.append((level, f"{path.relative_to(self.root)}:{line}: {level}: {message}"))


def check_folder(root, data, facts):
    """Return (level, text) of every finding in the Python and .ui files of a folder."""
    files = sorted(root.rglob("*.py"))
    uis = {path: Ui(path) for path in sorted(root.rglob("*.ui"))}
    Checker.dynamic = {key: set(names) for key, names in data["dynamic"].items()}
    own_names = set()
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in re.finditer(r"^\s*slicer\.(modules\.)?(\w+)\s*=[^=]", text, re.M):
            Checker.dynamic["slicer.modules" if match.group(1) else "slicer"].add(match.group(2))
        with suppress(SyntaxError):
            own_names |= {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    findings = Findings(root)
    for ui in uis.values():
        check_ui(ui, facts, findings.add)
    for path in files:
        Checker(facts, findings.add, {p.stem.lower() for p in files}).run(path, uis, own_names)
    return findings.lines


def main(arguments=None):
    """Run the check; return 1 when there are errors."""
    parser = argparse.ArgumentParser(description="Check every Slicer, CTK, Qt and VTK name of scripted modules.")
    parser.add_argument("--facts", choices=known_versions(), default=known_versions()[0], help="Slicer version to check against")
    parser.add_argument("--slicer", help="a Slicer source tree (or bare git folder@ref) to derive facts from")
    parser.add_argument("--ctk", help="the CTK source tree that belongs to it")
    parser.add_argument("--pythonqt", help="a PythonQt tree with generated_cpp_*, for names of Qt 5")
    parser.add_argument("--save", help="name of a version: keep the derived facts beside this file")
    parser.add_argument("--level", choices=LEVELS, default="error", help="lowest level that is shown")
    parser.add_argument("folder", nargs="*", type=Path)
    given = parser.parse_args(arguments)
    keep = []
    if given.slicer and given.ctk:
        trees = [tree and open_tree(tree, keep) for tree in (given.slicer, given.ctk, given.pythonqt)]
        data = derive(*trees)
    else:
        data = read_facts(given.facts)
    if given.save:
        text = json.dumps(data, separators=(",", ":"), sort_keys=True)
        (HERE / f"facts-{given.save}.json.xz").write_bytes(lzma.compress(text.encode(), preset=9))
    facts = Facts(data)
    missing = [name for name, there in (("slicer-core", facts.runtime), ("PySide6", facts.pyside)) if there is None]
    if missing:
        print(f"Not installed, so that fewer names can be checked: {', '.join(missing)}.")
    shown = LEVELS[: LEVELS.index(given.level) + 1]
    totals = Counter()
    for folder in given.folder:
        for level, text in check_folder(folder, data, facts):
            totals[level] += 1
            if level in shown:
                print(text)
    print(", ".join(f"{totals[level]} {level}" for level in LEVELS))
    return int(totals["error"] > 0)
