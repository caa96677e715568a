# SPDX-License-Identifier: Apache-2.0
"""Follows the types in a Python file as far as they are plain, and looks up every name on them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from .types_of import TypeLookup


class Checker(TypeLookup, ast.NodeVisitor):
    def visit_Assign(self, node):
        self.visit(node.value)
        t = self.ev_quiet(node.value)
        for tg in node.targets:
            self.bind(tg, t)

    def visit_AnnAssign(self, node):
        if node.value:
            self.visit(node.value)
            self.bind(node.target, self.ev_quiet(node.value))

    def visit_AugAssign(self, node):
        self.visit(node.value)

    def visit_With(self, node):
        for i in node.items:
            self.visit(i.context_expr)
            if i.optional_vars is not None:
                self.bind(i.optional_vars, None)
        for s in node.body:
            self.visit(s)

    def visit_For(self, node):
        self.visit(node.iter)
        self.bind(node.target, None)
        self.branch += 1
        for s in node.body + node.orelse:
            self.visit(s)
        self.branch -= 1

    def branching(self, node):
        self.branch += 1
        self.generic_visit(node)
        self.branch -= 1

    visit_If = visit_While = visit_Try = visit_Match = branching

    def visit_Import(self, node):
        for a in node.names:
            root = a.name.split(".")[0]
            if root in ("slicer", "qt", "ctk", "vtk"):
                if (
                    a.name.startswith("slicer.")
                    and a.name not in self.f.py
                    and a.name.split(".")[1] not in ("release", "parameterNodeWrapper", "kits")
                ):
                    self.report(node, "error", f"import {a.name}: no such module")
                self.scopes[0][a.asname or root] = "module:" + (a.name if a.asname else root)
                if not a.asname and a.name.startswith("slicer."):
                    self.scopes[0]["slicer"] = "module:slicer"
            else:
                self.scopes[-1][a.asname or root] = None

    def visit_ImportFrom(self, node):
        mod = node.module or ""
        if mod.split(".")[0] in ("slicer", "qt", "ctk", "vtk") and node.level == 0:
            for a in node.names:
                if a.name == "*":
                    if mod == "slicer.ScriptedLoadableModule":
                        for n in ("slicer", "qt", "ctk", "vtk"):
                            self.scopes[0].setdefault(n, "module:" + n)
                        for n in self.f.py[mod]:
                            self.scopes[0].setdefault(n, f"pyclass:{mod}.{n}")
                    continue
                t = None
                if mod in self.f.py or mod in ("slicer", "qt", "ctk", "vtk"):
                    t = self.lookup_attr(node, "module:" + mod, a.name)
                self.scopes[-1][a.asname or a.name] = t
        else:
            for a in node.names:
                self.scopes[-1][a.asname or a.name] = None

    def function(self, node):
        scope = {}
        a = node.args
        for x in a.posonlyargs + a.args + a.kwonlyargs + ([a.vararg] if a.vararg else []) + ([a.kwarg] if a.kwarg else []):
            t = None
            if x.annotation is not None:
                at = self.ev_quiet(x.annotation)
                if (
                    isinstance(x.annotation, ast.Constant)
                    and isinstance(x.annotation.value, str)
                    and self.f.kind(x.annotation.value)
                ):
                    at = "class:" + x.annotation.value
                if at and at.startswith("class:"):
                    t = "inst:" + at[6:]
            scope[x.arg] = t
        for d in a.defaults + [k for k in a.kw_defaults if k]:
            self.visit(d)
        for dec in node.decorator_list:
            self.visit(dec)
        self.scopes.append(scope)
        keep, self.branch = self.branch, 0
        for s in node.body:
            self.visit(s)
        self.branch = keep
        self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = function

    def visit_Lambda(self, node):
        self.scopes.append({x.arg: None for x in node.args.args})
        self.visit(node.body)
        self.scopes.pop()

    def visit_comp(self, node):
        self.scopes.append({})
        for g in node.generators:
            self.visit(g.iter)
            self.bind(g.target, None)
            for i in g.ifs:
                self.visit(i)
        for part in ("elt", "key", "value"):
            if hasattr(node, part):
                self.visit(getattr(node, part))
        self.scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_comp

    def visit_ClassDef(self, node):
        outer = self.cls_attrs
        qt_base = None
        for b in node.bases:
            t = self.ev_quiet(b)
            if t and t.startswith("class:"):
                qt_base = t[6:]
        self.cls_attrs = self.collect_self(node)
        self.scopes.append({})
        for b in node.bases:
            self.visit(b)
        for s in node.body:
            self.visit(s)
        self.scopes.pop()
        self.cls_attrs = outer
        self.scopes[-1][node.name] = None
        _ = qt_base

    def collect_self(self, cls):
        """Types of self.x, where every assignment in the class agrees."""
        attrs = {}
        outer = self.cls_attrs
        self.cls_attrs = attrs
        for _pass in range(2):
            for fn in cls.body:
                if not isinstance(fn, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    continue
                self.scopes.append({x.arg: None for x in fn.args.args})
                for st in ast.walk(fn):
                    if isinstance(st, ast.Assign) and len(st.targets) == 1:
                        tg = st.targets[0]
                        t = self.ev_quiet(st.value)
                        if isinstance(tg, ast.Name):
                            sc = self.scopes[-1]
                            sc[tg.id] = t if sc.get(tg.id, t) == t else None
                        elif isinstance(tg, ast.Attribute) and isinstance(tg.value, ast.Name) and tg.value.id == "self":
                            if isinstance(st.value, ast.Constant) and st.value.value is None:
                                attrs.setdefault(tg.attr, t if tg.attr in attrs else "none")
                                continue
                            old = attrs.get(tg.attr, t)
                            attrs[tg.attr] = t if old in (t, "none") or (_pass == 1 and old is None and t) else None
                            if old not in (t, "none", None) and t is not None and old != t:
                                attrs[tg.attr] = None
                self.scopes.pop()
        self.cls_attrs = outer
        return {k: (None if v == "none" else v) for k, v in attrs.items()}

    def visit_Attribute(self, node):
        self.ev(node)
        # walk into the base for calls and such, without reporting its attributes twice
        if not isinstance(node.value, (ast.Name, ast.Attribute)):
            self.visit(node.value)
        # VTK/MRML style names on objects of unknown type: some class must have them
        if isinstance(node.ctx, ast.Load) and self.ev_quiet(node) is None and self.ev_quiet(node.value) is None:
            n = node.attr
            if (
                re.match(r"^(Get|Set|Add|Remove|Create|Update|Is|Has|Apply)[A-Z]\w+$", n)
                and n not in self.f.vtk_names
                and n not in self.own_names
            ):
                if isinstance(node.value, (ast.Name, ast.Attribute, ast.Call)) and not self.from_other_library(node.value):
                    self.report(node, "warn", f".{n}: no VTK, MRML or Slicer logic class has this method")

    def from_other_library(self, node):
        while isinstance(node, (ast.Attribute, ast.Call)):
            node = node.value if isinstance(node, ast.Attribute) else node.func
        return isinstance(node, ast.Name) and node.id in ("sitk", "SimpleITK", "itk", "dicom", "pydicom", "sitkUtils")

    def visit_Call(self, node):
        self.ev(node)
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance" and len(node.args) == 2:
            for c in node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]:
                t = self.ev_quiet(c)
                if t and t.startswith("class:") and self.f.kind(t[6:]) in ("qt", "pyside"):
                    self.report(
                        node,
                        "info",
                        f"isinstance(..., {t[6:]}): PythonQt classes have no Python base classes, so "
                        f"only the exact class matches; .inherits('{t[6:]}') asks Qt",
                    )
        if isinstance(node.func, ast.Attribute):
            if not isinstance(node.func.value, (ast.Name,)):
                self.visit(node.func.value)
            self.generic_tail(node.func)
        for a in node.args:
            self.visit(a)
        for k in node.keywords:
            self.visit(k.value)

    def generic_tail(self, node):
        n = node.attr
        if (
            self.ev_quiet(node) is None
            and self.ev_quiet(node.value) is None
            and re.match(r"^(Get|Set|Add|Remove|Create|Update|Is|Has|Apply)[A-Z]\w+$", n)
        ):
            if n not in self.f.vtk_names and n not in self.own_names and not self.from_other_library(node.value):
                self.report(node, "warn", f".{n}(): no VTK, MRML or Slicer logic class has this method")

    # -- entry -----------------------------------------------------------------------------
    def run(self, path: Path, uis: dict, own_names: set):
        self.path, self.uis, self.own_names = path, uis, own_names
        self.scopes, self.cls_attrs = [{}], None
        self.checked, self.muted, self.branch = set(), 0, 0
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError as e:
            self.report_fn(path, e.lineno or 0, "error", f"syntax: {e.msg}")
            return
        self.imported = imported_modules(tree)
        self.visit(tree)


def imported_modules(tree: ast.AST) -> set[str]:
    """Return the names of all modules that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
