# SPDX-License-Identifier: Apache-2.0
"""Run all benchmarks, print their figures, and write them down with commit, seeds and machine.

    python Testing/benchmarks/run_all.py [--full] [--out FILE.md] [--only NAME ...] [--study FOLDER]

Each is a script of this folder that can be run alone, and the last is ``perfusion-suite evaluate maps``. By default all of them
take less than 15 minutes on two cores; ``--full`` runs the 20 patients of published figures, which takes hours (the study goes
on where it was stopped). Figure seeds come from the commit (figure_seeds.py).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from figure_seeds import ROOT, commit_id, figure_seeds

from PerfusionSuiteLib.core.files import write_text
from PerfusionSuiteLib.evaluation.row_file import code_fingerprint

HERE = Path(__file__).resolve().parent
PATIENTS, FULL_PATIENTS = 2, 20
_VERDICT = re.compile(r"\b(reached|missed)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A script of this folder with the arguments of a short and of a full run."""

    script: str
    short: tuple[str, ...] = ()
    full: tuple[str, ...] = ()


FIGURES = (
    Figure("phantom_checks.py", ("balance", "transit", "floor", "noise", "curves", "speed", "--seeds", "3")),
    Figure("deconvolution_speed.py", ("--curves", "2097152", "--repeats", "2"), ("--curves", "2097152")),
    Figure("osipi_dsc.py"),
    Figure("full_run.py"),
    Figure(
        "chain_accuracy.py", ("--patients", "2"), ("--patients", str(FULL_PATIENTS), "--methods", "bayes", "csvd", "osvd", "nlr")
    ),
    Figure(
        "chain_ceiling.py",
        ("--patients", "1", "--residue", "box", "--variants", "chain", "everything", "oracle", "maps"),
        ("--patients", "4"),
    ),
    Figure("interval_coverage.py", ("--patients", "1"), ("--patients", str(FULL_PATIENTS))),
    Figure("input_functions.py", ("--patients", "4"), ("--patients", "100", "--full-size")),
    Figure("motion.py", ("--patients", "1", "--kinds", "none", "drift"), ("--patients", str(FULL_PATIENTS))),
    Figure("dsc_accuracy.py", ("relaxation", "leakage"), ("--patients", str(FULL_PATIENTS))),
    Figure("hemopic_object.py", ("--seeds", "1"), ("--seeds", "5")),
    Figure("hemopic_speed.py"),
    Figure("hemopic_patients.py", ("--patients", "1"), ("--patients", str(FULL_PATIENTS))),
    Figure(
        "neural_fields.py",
        ("--anatomies", "1", "--methods", "spatial", "spatial:guided"),
        ("--anatomies", "4", "--phantom", "crop", "brain"),
    ),
    Figure(
        "neural_speed.py",
        ("spatial", "resppinn@500"),
        ("spatial", "neural", "neural:start", "resppinn@500", "resppinn@5000"),
    ),
    Figure("neural_ceiling.py", ("--anatomies", "1"), ("--anatomies", "4")),
    Figure("lesion_indices.py", ("--patients", "2"), ("--patients", str(FULL_PATIENTS), "--follow-up")),
    Figure("cohort_statistics.py", ("--cohorts", "100"), ("--cohorts", "1000")),
    Figure("mask_ceiling.py", ("--patients", "2"), ("--patients", str(FULL_PATIENTS))),
)
"""Those that exist are run."""

SHORT_STUDY = ("--grid", "small", "--residues", "box", "exponential", "--noise", "8", "--intervals", "--frames",
               "--motion", "--sites", "none", "--noise-reduction", "none")  # fmt: skip
FULL_STUDY = ("--grid", "standard")


def main() -> int:
    """Run every benchmark and say which failed to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the patients of published figures: hours")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, default=ROOT / "benchmark-output" / "RESULTS.md", help="where to write"
    )
    parser.add_argument("--only", metavar="NAME", nargs="+", help="these alone, for example chain_accuracy study")
    parser.add_argument(
        "--study", metavar="FOLDER", type=Path, help="folder of the study (default: beside FILE, named by the code)"
    )
    options = parser.parse_args()
    seeds = figure_seeds(FULL_PATIENTS if options.full else PATIENTS)
    study = options.study or options.out.parent / f"study-{'full' if options.full else 'short'}-{code_fingerprint()}"
    parts, failed = [heading(seeds)], []
    chosen = commands(options.full, seeds, study)
    unknown = sorted(set(options.only or ()) - {name for name, _ in chosen})
    if unknown:
        parser.error(f"there is no benchmark '{unknown[0]}'; choose from {', '.join(name for name, _ in chosen)}")
    for name, command in chosen:
        if options.only and name not in options.only:
            continue
        text, seconds, code = run(name, command)
        parts.append(f"## {name}\n\n`{shown(command)}`\n\n```\n{text}\n```\n\n{seconds:.0f} s\n")
        if code not in (0, 1) or (code == 1 and (name == "study" or "Traceback" in text)):  # 1 alone: a goal was missed
            failed.append(name)
        if name == "study" and (study / "summary.md").is_file():
            tables = (study / "summary.md").read_text(encoding="utf-8")
            parts[-1] += "\n" + re.sub(r"^#+ ", "### ", tables, flags=re.MULTILINE)
        write_text(options.out, "\n".join([parts[0], verdicts(parts[1:], failed), *parts[1:]]))
    if failed:
        print(f"Did not finish: {', '.join(failed)}", file=sys.stderr)
    print(f"\nWritten down in {options.out}")
    return int(bool(failed))


def commands(full: bool, seeds: list[int], study: Path) -> list[tuple[str, list[str]]]:
    """Return what is run, by name, the study last."""
    found = [
        (figure.script.removesuffix(".py"), [sys.executable, str(HERE / figure.script), *(figure.full if full else figure.short)])
        for figure in FIGURES
        if (HERE / figure.script).is_file()
    ]
    evaluate = [sys.executable, "-m", "PerfusionSuiteLib.cli", "evaluate", "maps", "--study", str(study)]
    return [*found, ("study", [*evaluate, "--seeds", *map(str, seeds), *(FULL_STUDY if full else SHORT_STUDY)])]


def run(name: str, command: list[str]) -> tuple[str, float, int]:
    """Run one command and show what it prints; return that without paths of this machine, seconds and exit code."""
    print(f"\n== {name}", flush=True)
    start = time.perf_counter()
    # What people read goes to one stream; progress bars go to the terminal only.
    errors = None if name == "study" else subprocess.STDOUT
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip())
    code = process.wait()
    seconds = time.perf_counter() - start
    print(f"-- {seconds:.0f} s", flush=True)
    return without_paths("\n".join(lines)), seconds, code


def shown(command: list[str]) -> str:
    """Return a command as anybody would type it."""
    words = ["perfusion-suite" if word == "PerfusionSuiteLib.cli" else word for word in command[1:] if word != "-m"]
    prefix = "" if words[0] == "perfusion-suite" else "python "
    return prefix + without_paths(" ".join(words))


def without_paths(text: str) -> str:
    """Leave out where this checkout and other files lie: the names of files are enough."""
    short = text.replace(f"{ROOT}/", "").replace(f"{Path.home()}/", "~/")
    return re.sub(r"(?<![\w.~])/(?:[\w.+-]+/)+", "", short)


def heading(seeds: list[int]) -> str:
    """Say what was measured where; no name of a host or a user."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "SimpleITK"))
    return "\n".join(
        [
            "# Figures",
            "",
            f"* Commit {commit_id()}",
            f"* Seeds drawn from it: {' '.join(map(str, seeds))}",
            f"* Machine: {processor()}, {len(os.sched_getaffinity(0))} cores, {memory_gib():.0f} GiB, {platform.system()}, "
            f"load {os.getloadavg()[0]:.1f} at the start",
            f"* Python {platform.python_version()}, {packages}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}",
            "",
        ]
    )


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def memory_gib() -> float:
    """Return the size of the memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def verdicts(parts: list[str], failed: list[str]) -> str:
    """Gather every figure that has a goal."""
    lines = ["## Goals", ""]
    for part in parts:
        name = part.partition("\n")[0].removeprefix("## ")
        lines += [
            f"* {name}: {' '.join(line.split())}"
            for line in part.splitlines()
            if _VERDICT.search(line) and not line.startswith("|")
        ]
    lines += [f"* {name}: did not finish" for name in failed]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
