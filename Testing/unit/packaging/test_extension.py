# SPDX-License-Identifier: Apache-2.0
"""What the extension needs to be installable: file lists, one version, no stray modules, lazy imports."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import PerfusionSuiteLib

ROOT = Path(__file__).resolve().parents[3]
MODULES = ("PerfusionSuite", "PerfusionFit", "CorePenumbra")


def test_cmake_lists_every_file_of_every_module():
    done = subprocess.run(
        [sys.executable, ROOT / "Testing" / "tools" / "update_cmake.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_only_the_module_file_lies_directly_in_a_module_folder():
    # Slicer loads every .py there as a module
    for module in MODULES:
        assert [path.name for path in (ROOT / module).glob("*.py")] == [f"{module}.py"]


def test_installed_modules_do_not_overwrite_each_others_resources():
    names = [
        path.relative_to(ROOT / m).as_posix() for m in MODULES for path in (ROOT / m / "Resources").rglob("*") if path.is_file()
    ]
    assert len(names) == len(set(names))


def test_the_version_is_the_same_everywhere():
    version = PerfusionSuiteLib.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"] == ["version"]


def test_importing_the_pipeline_loads_neither_torch_nor_slicer_nor_plotting():
    heavy = ("torch", "slicer", "vtk", "matplotlib", "pandas")
    code = f"import sys, PerfusionSuiteLib.pipeline; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_machine_path_or_registry_host_in_tracked_text():
    here = "|".join(re.escape(f"{folder}/") for folder in {ROOT.parent, Path.home()} if folder != Path("/"))
    pattern = re.compile(rf"(?:{here}|https?://[\w.]*(?:pypi|npmjs)[\w./]*)")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\0")
    assert not (ROOT / ".git").exists() or len(tracked) > 100  # without a list of files the loop would prove nothing
    for name in filter(None, tracked):
        path = ROOT / name
        if path == Path(__file__) or path.suffix in {".png", ".jpg", ".gz", ".npz"} or not path.is_file():
            continue
        assert not pattern.search(path.read_text(encoding="utf-8", errors="ignore")), name
