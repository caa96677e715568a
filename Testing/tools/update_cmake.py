# SPDX-License-Identifier: Apache-2.0
"""Write the file lists of the modules' CMakeLists.txt (what is not listed is not installed).

python Testing/tools/update_cmake.py           rewrite the lists
python Testing/tools/update_cmake.py --check   exit with 1 when a list is out of date
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("PerfusionSuite", "PerfusionFit", "CorePenumbra")

TEMPLATE = """set(MODULE_NAME {name})

# Made by Testing/tools/update_cmake.py from what lies in this folder.
set(MODULE_PYTHON_SCRIPTS
{scripts}
  )

set(MODULE_PYTHON_RESOURCES
{resources}
  )

slicerMacroBuildScriptedModule(
  NAME ${{MODULE_NAME}}
  SCRIPTS ${{MODULE_PYTHON_SCRIPTS}}
  RESOURCES ${{MODULE_PYTHON_RESOURCES}}
  WITH_GENERIC_TESTS
  )

if(BUILD_TESTING)
  slicer_add_python_unittest(SCRIPT ${{MODULE_NAME}}.py)
endif()
"""


def text_for(module: str) -> str:
    """Return what the module's CMakeLists.txt must say."""
    folder = ROOT / module
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not any(part.endswith(".egg-info") or part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name != "CMakeLists.txt"
        and path.suffix != ".pyc"
    )
    scripts = "\n".join(f"  {name}" for name in files if name.endswith(".py"))
    resources = "\n".join(f"  {name}" for name in files if not name.endswith(".py"))
    return TEMPLATE.format(name=module, scripts=scripts, resources=resources)


def main() -> int:
    """Rewrite or check all lists."""
    stale = []
    for module in MODULES:
        path = ROOT / module / "CMakeLists.txt"
        wanted = text_for(module)
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            stale.append(path.relative_to(ROOT).as_posix())
            if "--check" not in sys.argv:
                path.write_text(wanted, encoding="utf-8")
    print("Out of date: " + ", ".join(stale) if stale else "The lists are up to date.")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
