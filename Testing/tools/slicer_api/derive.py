# SPDX-License-Identifier: Apache-2.0
"""The API facts of a Slicer version, from its sources and those of CTK."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .cpp_classes import parse_decorators, parse_qt_class, parse_vtk_class, python_signatures
from .cpp_text import balanced, iter_classes, strip_comments

QT_DIRS = ["Base/QTCore", "Base/QTGUI", "Base/QTApp", "Base/QTCLI", "Libs/MRML/Widgets", "Modules/Loadable", "Modules/Scripted"]
VTK_DIRS = ["Libs", "Base/Logic", "Modules/Loadable"]


def open_tree(spec: str, keep: list) -> Path:
    """A checkout as it is; a bare git directory as a temporary export of one commit."""
    path, _, ref = spec.partition("@")
    p = Path(path)
    if not (p / "HEAD").is_file() or (p / "CMakeLists.txt").is_file():
        return p
    tmp = tempfile.TemporaryDirectory(prefix="apicheck")
    keep.append(tmp)
    tar = Path(tmp.name) / "t.tar"
    with tar.open("wb") as f:
        subprocess.run(["git", f"--git-dir={p}", "archive", ref or "HEAD"], stdout=f, check=True)
    with tarfile.open(tar) as t:
        members = [m for m in t if m.isfile() and m.name.endswith((".h", ".py", ".in", ".txt", ".cmake", ".xml"))]
        for m in members:
            m.mode = 0o644
            t.extract(m, tmp.name, filter="data")
    tar.unlink()
    return Path(tmp.name)


def derive(slicer: Path, ctk: Path, pythonqt: Path | None) -> dict:
    qt, vtk = {}, {}
    decorators = []

    def scan(root: Path, want):
        for h in sorted(root.rglob("*.h")):
            rel = h.as_posix()
            if "/Testing/" in rel or h.name.endswith("_p.h"):
                continue
            try:
                text = strip_comments(h.read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
            if "Decorators" in h.name:
                decorators.append(text)
                continue
            for name, bases, body in iter_classes(text):
                want(name, bases, body)

    def take_qt(name, bases, body):
        if name.startswith(("qMRML", "qSlicer", "ctk", "qVTK")) and name not in qt:
            qt[name] = parse_qt_class(name, bases, body)

    def take_vtk(name, bases, body):
        if name.startswith("vtk") and name not in vtk and "Internal" not in name:
            vtk[name] = parse_vtk_class(name, bases, body)

    for d in QT_DIRS:
        if (slicer / d).is_dir():
            scan(slicer / d, take_qt)
    scan(ctk / "Libs", take_qt)
    for d in VTK_DIRS:
        if (slicer / d).is_dir():
            scan(slicer / d, take_vtk)
    for text in decorators:
        parse_decorators(text, qt)

    qtwrap = {}
    if pythonqt:
        gen = sorted(pythonqt.glob("generated_cpp_*"))
        for h in gen[-1].rglob("*.h") if gen else []:
            text = strip_comments(h.read_text(encoding="utf-8", errors="replace"))
            for m in re.finditer(r"class PythonQtWrapper_(\w+)\s*:", text):
                cls = m.group(1)
                e = qtwrap.setdefault(cls, set())
                b = text.find("{", m.end())
                body = text[b + 1 : balanced(text, b, "{", "}") - 1]
                for fm in re.finditer(rf"\b(?:static_{re.escape(cls)}_|py_q_|py_get_)?(\w+)\(", body):
                    e.add(fm.group(1))
                for em in re.finditer(rf"(\w+)\s*=\s*{re.escape(cls)}::", body):
                    e.add(em.group(1))

    py = {}
    base = slicer / "Base/Python/slicer"
    for f in sorted(base.glob("*.py")):
        py["slicer." + f.stem if f.stem != "__init__" else "slicer"] = python_signatures(f)
    pnw = base / "parameterNodeWrapper"
    names = {}
    for f in sorted(pnw.glob("*.py")):
        for k, v in python_signatures(f).items():
            names.setdefault(k, v)
    py["slicer.parameterNodeWrapper"] = names

    modules = set()
    for d in ("Modules/Loadable", "Modules/Scripted", "Modules/CLI"):
        if (slicer / d).is_dir():
            modules |= {p.name for p in (slicer / d).iterdir() if p.is_dir()}
    for cm in list((slicer / "Modules").rglob("CMakeLists.txt")):
        for m in re.finditer(
            r"slicerMacroBuildScriptedModule\(\s*NAME\s+(\S+)|set\(MODULE_NAME\s+(\w+)\)", cm.read_text(errors="replace")
        ):
            n = m.group(1) or m.group(2)
            if re.match(r"^\w+$", n):
                modules.add(n)
    scripted = (
        {p.name.lower() for p in (slicer / "Modules/Scripted").iterdir()} if (slicer / "Modules/Scripted").is_dir() else set()
    )
    scripted |= {m.lower() for m in modules if list((slicer / "Modules").rglob(f"{m}.py"))}
    # names that Slicer's own Python puts on slicer and slicer.modules at run time
    dynamic = {"slicer": set(), "slicer.modules": set()}
    for f in list((slicer / "Modules").rglob("*.py")) + list(base.rglob("*.py")):
        text = f.read_text(encoding="utf-8", errors="replace")
        for m in re.finditer(r"^\s*slicer\.(modules\.)?(\w+)\s*=[^=]|setattr\(slicer(\.modules)?,\s*[\"'](\w+)", text, re.M):
            dynamic["slicer.modules" if m.group(1) or m.group(3) else "slicer"].add(m.group(2) or m.group(4))
    for f in (slicer / "Base").rglob("*.cxx"):
        for m in re.finditer(
            r'addObjectToPythonMain\("_sapp|"slicer\.(\w+)\s*=', f.read_text(encoding="utf-8", errors="replace")
        ):
            if m.group(1):
                dynamic["slicer"].add(m.group(1))
    return {
        "scripted": sorted(scripted),
        "dynamic": {k: sorted(v) for k, v in dynamic.items()},
        "qt": {k: v.as_dict() for k, v in sorted(qt.items())},
        "vtk": {k: v.as_dict() for k, v in sorted(vtk.items())},
        "python": py,
        "modules": sorted(modules),
        "qtwrap": {k: sorted(v) for k, v in qtwrap.items()},
    }
