# SPDX-License-Identifier: Apache-2.0
"""What a header says about a Qt or VTK class, and what a Python file offers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from .cpp_text import (
    Cls,
    iter_classes,
    iter_statements,
    parse_function,
    split_args,
)


def parse_qt_class(name, bases, body) -> Cls:
    c = Cls(name)
    c.bases = bases
    all_enums, exposed = {}, set()
    for access, kind, stmt, is_macro in iter_statements(body):
        if is_macro:
            m = re.match(r"(\w+)\s*\((.*)\)$", stmt, re.S)
            if not m:
                continue
            macro, arg = m.groups()
            if macro == "Q_PROPERTY":
                pm = re.match(r"\s*(.+?[\s*&])(\w+)\s+(READ|MEMBER)\b(.*)$", arg, re.S)
                if pm:
                    typ = re.sub(r"\s+", "", pm.group(1))
                    rest = pm.group(4)
                    notify = re.search(r"\bNOTIFY\s+(\w+)", rest)
                    c.properties[pm.group(2)] = {
                        "type": typ,
                        "write": pm.group(3) == "MEMBER" or "WRITE" in rest,
                        "notify": notify.group(1) if notify else None,
                    }
            elif macro in ("Q_ENUM", "Q_ENUMS", "Q_FLAG", "Q_FLAGS"):
                exposed |= set(re.split(r"[\s,]+", arg.strip()))
            continue
        em = re.match(r"enum\s+(?:class\s+)?(\w*)\s*(?::\s*\w+\s*)?\{(.*)\}", stmt, re.S)
        if em:
            vals = [v.split("=")[0].strip() for v in split_args(em.group(2))]
            all_enums[em.group(1)] = [v for v in vals if re.match(r"^\w+$", v)]
            continue
        if "Q_DECLARE_FLAGS" in stmt:
            continue
        fn = parse_function(stmt)
        if not fn:
            continue
        if kind == "signal":
            c.add(c.signals, fn)
        elif access == "public" and (kind == "slot" or re.search(r"\bQ_INVOKABLE\b|\bQ_SLOT\b", stmt)):
            c.add(c.methods, fn)
        elif access == "public":
            c.hidden.add(fn[0])
    for k, v in all_enums.items():
        if k in exposed or k + "s" in exposed or (not exposed and not k):
            c.enums[k] = v
    # enums named in Q_FLAGS(Foos) declare their values through the underlying enum
    for k, v in all_enums.items():
        if any(e.rstrip("s").lower().startswith(k.lower()) or k.lower().startswith(e.rstrip("s").lower()) for e in exposed):
            c.enums.setdefault(k, v)
    c.hidden -= set(c.methods) | set(c.properties)
    return c


def parse_decorators(text: str, classes: dict):
    """PythonQt decorator classes add methods, constructors and statics to other classes."""
    for name, _bases, body in iter_classes(text):
        if "Decorators" not in name and not name.startswith("PythonQtWrapper_"):
            continue
        for _access, kind, stmt, is_macro in iter_statements(body):
            if is_macro or kind != "slot":
                continue
            fn = parse_function(stmt)
            if not fn:
                continue
            fname, ret, sigs = fn
            m = re.match(r"static_([A-Za-z0-9]+)_(\w+)$", fname)
            if m:
                tgt = classes.setdefault(m.group(1), Cls(m.group(1)))
                tgt.methods[m.group(2)] = {"ret": ret, "sigs": []}
                continue
            m = re.match(r"new_(\w+)$", fname)
            if m:
                classes.setdefault(m.group(1), Cls(m.group(1)))
                continue
            full = re.match(r"\w+\((.*)\)$", sigs[0])
            first = split_args(full.group(1))[0] if full and full.group(1) else ""
            tgt = first.rstrip("*&")
            if tgt and not fname.startswith("delete_"):
                cls = classes.setdefault(tgt, Cls(tgt))
                cls.methods.setdefault(fname, {"ret": ret, "sigs": []})
                cls.hidden.discard(fname)


_VTK_MACRO_NAMES = {
    "vtkSetMacro": ["Set{}"],
    "vtkGetMacro": ["Get{}"],
    "vtkBooleanMacro": ["{}On", "{}Off"],
    "vtkSetStringMacro": ["Set{}"],
    "vtkGetStringMacro": ["Get{}"],
    "vtkSetStdStringFromCharMacro": ["Set{}"],
    "vtkGetCharFromStdStringMacro": ["Get{}"],
    "vtkSetClampMacro": ["Set{}", "Get{}MinValue", "Get{}MaxValue"],
    "vtkSetObjectMacro": ["Set{}"],
    "vtkGetObjectMacro": ["Get{}"],
    "vtkGetModifiableObjectMacro": ["Get{}"],
    "vtkGetNewMacro": ["Get{}"],
    "vtkSetEnumMacro": ["Set{}"],
    "vtkGetEnumMacro": ["Get{}"],
}


def parse_vtk_class(name, bases, body) -> Cls:
    c = Cls(name)
    c.bases = bases
    for access, _kind, stmt, is_macro in iter_statements(body):
        if access != "public":
            continue
        if is_macro:
            m = re.match(r"(\w+)\s*\(([^,)]*)", stmt)
            if not m:
                continue
            macro, arg = m.group(1), m.group(2).strip()
            pats = _VTK_MACRO_NAMES.get(macro)
            if pats is None and re.match(r"vtk(Set|Get)\w*Macro$", macro):
                pats = ["Set{}"] if macro.startswith("vtkSet") else ["Get{}"]
            for p in pats or []:
                c.methods[p.format(arg)] = {"ret": "", "sigs": []}
            continue
        em = re.match(r"enum\s*(?:class\s+)?(\w*)\s*(?::\s*\w+\s*)?\{(.*)\}", stmt, re.S)
        if em:
            vals = [v.split("=")[0].strip() for v in split_args(em.group(2))]
            c.enums[em.group(1) or f"_{len(c.enums)}"] = [v for v in vals if re.match(r"^\w+$", v)]
            continue
        fn = parse_function(stmt)
        if fn:
            c.add(c.methods, fn)
    return c


def python_signatures(path: Path) -> dict:
    """Top-level functions and classes of one Python file, with their parameters."""
    out = {}
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def params(fn, skip=0):
        a = fn.args
        names = [x.arg for x in a.posonlyargs + a.args][skip:]
        return {
            "args": names,
            "required": max(0, len(names) - len(a.defaults)),
            "kwonly": [x.arg for x in a.kwonlyargs],
            "vararg": bool(a.vararg),
            "kwarg": bool(a.kwarg),
        }

    body = list(tree.body)
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            body.extend(getattr(node, "body", []))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            out[node.name] = {"kind": "function", **params(node)}
        elif isinstance(node, ast.ClassDef):
            methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            attrs = {
                t.attr
                for n in ast.walk(node)
                if isinstance(n, ast.Assign)
                for t in n.targets
                if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and t.value.id == "self"
            }
            for n in node.body:
                if isinstance(n, ast.Assign):
                    attrs |= {t.id for t in n.targets if isinstance(t, ast.Name)}
                if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name):
                    attrs.add(n.target.id)
            out[node.name] = {"kind": "class", "members": sorted(methods | attrs), "bases": [ast.unparse(b) for b in node.bases]}
        elif isinstance(node, ast.Assign):
            for t in node.targets:
                if isinstance(t, ast.Name):
                    out[t.id] = {"kind": "value"}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for a in node.names:
                if a.name != "*":
                    out.setdefault(a.asname or a.name.split(".")[0], {"kind": "value"})
    return out


# ---------------------------------------------------------------------------- fact base

QT_DIRS = ["Base/QTCore", "Base/QTGUI", "Base/QTApp", "Base/QTCLI", "Libs/MRML/Widgets", "Modules/Loadable", "Modules/Scripted"]
VTK_DIRS = ["Libs", "Base/Logic", "Modules/Loadable"]
