# SPDX-License-Identifier: Apache-2.0
"""The type of an expression, as far as it is plain, and what that type does not have."""

from __future__ import annotations

import ast

from .cpp_text import norm_signature
from .facts import CALL_RETURNS, KNOWN_SLICER, NOT_LOADED, Facts


class TypeLookup:
    def __init__(self, facts: Facts, report, own_modules):
        self.f, self.report_fn, self.own_modules = facts, report, own_modules

    def report(self, node, level, msg):
        if not self.muted:
            self.report_fn(self.path, getattr(node, "lineno", 0), level, msg)

    # -- types -------------------------------------------------------------------------
    def lookup_attr(self, node, base: str, attr: str, store=False):
        f = self.f
        if base.startswith("module:"):
            mod = base[7:]
            if mod == "slicer":
                if attr in KNOWN_SLICER:
                    return KNOWN_SLICER[attr]
                if "slicer." + attr in f.py:
                    if attr in NOT_LOADED and f"slicer.{attr}" not in self.imported:
                        self.report(node, "error", f"slicer.{attr}: the application does not load this module; import it first")
                    return "module:slicer." + attr
                k = f.kind(attr)
                if k in ("qt", "vtk", "rt"):
                    return "class:" + attr
                if (
                    attr in f.py.get("slicer", {})
                    or attr.startswith("_")
                    or attr in ("release", "kits")
                    or attr in self.dynamic["slicer"]
                ):
                    return None
                if attr.startswith(("vtk", "qMRML", "qSlicer", "ctk")):
                    self.report(node, "error", f"slicer.{attr}: no such class in this Slicer")
                elif not store:
                    self.report(node, "warn", f"slicer.{attr}: not known")
                return None
            if mod == "slicer.modules":
                low = attr.lower()
                if attr in self.dynamic["slicer.modules"]:
                    return None
                if low in f.modules or low in self.own_modules:
                    if attr != low:
                        self.report(node, "error", f"slicer.modules.{attr}: module attributes are lower case ({low})")
                    own = f"qSlicer{f.modules.get(low, '')}Module"
                    scripted = low in self.own_modules or low in f.d["scripted"]
                    return "inst:" + (own if own in f.qt else "qSlicerScriptedLoadableModule" if scripted else "qSlicerCLIModule")
                for suffix in ("Instance", "Widget"):
                    if attr.endswith(suffix) and attr[: -len(suffix)].lower() in set(f.modules) | self.own_modules:
                        return None
                if not store:
                    self.report(node, "info", f"slicer.modules.{attr}: not a module of Slicer or of this extension")
                return None
            if mod in f.py:
                e = f.py[mod].get(attr)
                if e is None:
                    if not attr.startswith("__"):
                        self.report(node, "error", f"{mod}.{attr}: no such name")
                    return None
                return (
                    f"func:{mod}.{attr}"
                    if e["kind"] == "function"
                    else (f"pyclass:{mod}.{attr}" if e["kind"] == "class" else None)
                )
            if mod in ("qt", "ctk", "vtk"):
                k = f.kind(attr)
                if k:
                    return "class:" + attr
                if mod == "ctk" and not attr.startswith("_"):
                    self.report(node, "error", f"ctk.{attr}: no such class")
                elif (
                    mod == "qt"
                    and f.pyside is not None
                    and attr not in f.pyside
                    and attr not in f.d["qtwrap"]
                    and not attr.startswith("_")
                ):
                    self.report(node, "warn", f"qt.{attr}: not in Qt 6 (nor in the PythonQt wrappers given)")
                elif mod == "vtk" and attr.startswith("vtk") and f.runtime is not None:
                    import vtk

                    if not hasattr(vtk, attr):
                        self.report(node, "error", f"vtk.{attr}: no such class in VTK {vtk.vtkVersion.GetVTKVersion()}")
                return None
            return None
        if base.startswith(("inst:", "class:")):
            cls = base.split(":", 1)[1]
            if f.kind(cls) is None:
                return None
            mem = f.members(cls)
            e = mem.get(attr)
            gap = f.has_base_gap(cls)
            if e is None or e["what"] == "hidden":
                if attr.startswith("__"):
                    return None
                if e is not None:
                    hint = " (a C++ method, but neither slot nor Q_INVOKABLE; PythonQt cannot call it)"
                    prop = attr[3:4].lower() + attr[4:] if attr.startswith("set") else attr
                    if prop in mem and mem[prop]["what"] == "property":
                        hint += f"; assign the property .{prop} instead"
                    self.report(node, "error", f"{cls}.{attr}: not visible in Python" + hint)
                elif not gap:
                    lvl = "error" if f.kind(cls) != "pyside" else "warn"
                    self.report(
                        node,
                        lvl,
                        f"{cls}.{attr}: no such " + ("property to set" if store else "property, signal, slot or method"),
                    )
                return None
            if store:
                if e["what"] == "property":
                    if not e.get("write"):
                        self.report(node, "error", f"{cls}.{attr}: read-only property")
                elif f.kind(cls) in ("qt", "pyside") and base.startswith("inst:"):
                    self.report(node, "error", f"{cls}.{attr}: a {e['what']}, it cannot be assigned")
                return None
            if e["what"] == "property" and base.startswith("class:") and (e.get("method") or {}).get("what") == "method":
                return f"method:{cls}.{attr}"
            if e["what"] == "property":
                t = e["type"]
                if t.endswith("*") and f.kind(t[:-1]):
                    return "inst:" + t[:-1]
                return "value:" + t
            if e["what"] == "method":
                return f"method:{cls}.{attr}"
            if e["what"] == "signal":
                return f"signal:{cls}.{attr}"
            return None
        if base.startswith("signal:"):
            if attr not in ("connect", "disconnect", "emit"):
                self.report(node, "error", f"{base[7:]}: a signal has no .{attr}")
            return None
        if base.startswith("method:") and not attr.startswith("__"):
            cls, _method = base[7:].rsplit(".", 1)
            if self.f.kind(cls) in ("qt", "pyside"):
                self.report(node, "error", f"{base[7:]}: a method, not a value; .{attr} fails (missing call brackets?)")
        return None

    def call_type(self, node: ast.Call, ft):
        f = self.f
        if ft is None:
            return None
        if ft.startswith("class:"):
            return "inst:" + ft[6:]
        if ft.startswith("func:"):
            name = ft[5:]
            mod, fn = name.rsplit(".", 1)
            e = f.py[mod][fn]
            self.check_args(node, name, e)
            if name == "slicer.util.loadUI":
                lit = [
                    c.value for a in node.args for c in ast.walk(a) if isinstance(c, ast.Constant) and isinstance(c.value, str)
                ]
                roots = [u.root for p, u in self.uis.items() if any(v.endswith(p.name) for v in lit)]
                return "inst:" + roots[0] if len(roots) == 1 and roots[0] else None
            return CALL_RETURNS.get(name)
        if ft.startswith("method:"):
            cls, m = ft[7:].rsplit(".", 1)
            key = f"{cls}.{m}"
            if (
                m in ("AddNewNodeByClass", "CreateNodeByClass", "GetFirstNodeByClass", "GetNthNodeByClass")
                and cls == "vtkMRMLScene"
            ):
                for a in node.args:
                    if isinstance(a, ast.Constant) and isinstance(a.value, str) and a.value.startswith("vtk"):
                        if f.kind(a.value) is None:
                            self.report(node, "error", f'{m}("{a.value}"): no such node class')
                            return None
                        return "inst:" + a.value
                return None
            if key in CALL_RETURNS:
                return CALL_RETURNS[key]
            if m in ("widgetRepresentation", "createNewWidgetRepresentation"):
                return None  # its real class depends on the module
            e = f.members(cls).get(m, {})
            ret = e.get("ret", "")
            if ret.endswith("*") and f.kind(ret[:-1]) == "qt":
                return "inst:" + ret[:-1]
            return None
        if ft.startswith("value:"):
            self.report(
                node, "error", f"calls the value of a property ({ft[6:]}); in PythonQt a property is read without brackets"
            )
        return None

    def check_args(self, node, name, e):
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            return
        npos = len(node.args)
        if npos > len(e["args"]) and not e["vararg"]:
            self.report(node, "error", f"{name}(): takes at most {len(e['args'])} positional arguments, {npos} given")
        for k in node.keywords:
            if k.arg not in e["args"] and k.arg not in e["kwonly"] and not e["kwarg"]:
                self.report(node, "error", f"{name}(): no parameter named {k.arg}")
        given = set(e["args"][:npos]) | {k.arg for k in node.keywords}
        missing = [a for a in e["args"][: e["required"]] if a not in given]
        if missing:
            self.report(node, "error", f"{name}(): missing argument {', '.join(missing)}")

    def check_connect(self, node: ast.Call, base: str):
        cls = base.split(":", 1)[1]
        if not node.args or not isinstance(node.args[0], ast.Constant) or not isinstance(node.args[0].value, str):
            return
        sig = node.args[0].value
        if "(" not in sig:
            self.report(node, "error", f"{cls}.connect('{sig}'): a signal signature needs its brackets, e.g. '{sig}()'")
            return
        self.check_signal(node, cls, sig)

    def check_signal(self, node, cls, sig, where="connect"):
        name = sig.split("(")[0].strip()
        mem = self.f.members(cls)
        e = mem.get(name)
        if e is None or e["what"] != "signal":
            if not self.f.has_base_gap(cls):
                self.report(node, "error", f"{cls}.{where}('{sig}'): no signal {name}")
            return
        want = norm_signature(sig)
        if e["sigs"] and want not in [norm_signature(s) for s in e["sigs"]]:
            lvl = "warn" if self.f.kind(cls) == "pyside" else "error"
            self.report(node, lvl, f"{cls}.{where}('{sig}'): the signal is {' or '.join(e['sigs'])}")

    # -- expressions ---------------------------------------------------------------------
    def ev(self, node):
        if node is None:
            return None
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    return scope[node.id]
            return None
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self" and self.cls_attrs is not None:
                t = self.cls_attrs.get(node.attr, "?")
                return None if t == "?" else t
            base = self.ev(node.value)
            if base is None:
                return None
            if base.startswith("ui:"):
                return self.ui_widget(node, base, node.attr)
            return self.lookup_attr(node, base, node.attr)
        if isinstance(node, ast.Call):
            ft = self.ev(node.func)
            if (
                isinstance(node.func, ast.Attribute)
                and node.func.attr in ("connect", "disconnect")
                and id(node) not in self.checked
                and not self.muted
            ):
                self.checked.add(id(node))
                base = self.ev_quiet(node.func.value)
                if base and base.startswith("inst:") and self.f.kind(base[5:]) in ("qt", "pyside"):
                    self.check_connect(node, base)
            # slicer.util.childWidgetVariables(loadUI(...)) gives the names of the .ui file
            if ft == "func:slicer.util.childWidgetVariables" and self.uis:
                return "ui:"
            return self.call_type(node, ft)
        if isinstance(node, ast.IfExp):
            a, b = self.ev(node.body), self.ev(node.orelse)
            return a if a == b else None
        if isinstance(node, ast.Await):
            return self.ev(node.value)
        return None

    def quiet(self, fn):
        self.muted += 1
        try:
            return fn()
        finally:
            self.muted -= 1

    def ev_quiet(self, node):
        return self.quiet(lambda: self.ev(node))

    def ui_widget(self, node, base, attr):
        for ui in self.uis.values():
            if attr in ui.widgets:
                return "inst:" + ui.widgets[attr]
        self.report(node, "error", f"ui.{attr}: no widget of that name in {', '.join(p.name for p in self.uis)}")
        return None

    # -- statements ------------------------------------------------------------------------
    def bind(self, target, t):
        if isinstance(target, ast.Name):
            scope = self.scopes[-1]
            if self.branch and target.id in scope and scope[target.id] != t:
                scope[target.id] = None  # another branch may have left another type
            else:
                scope[target.id] = t
        elif isinstance(target, ast.Attribute):
            if isinstance(target.value, ast.Name) and target.value.id == "self":
                return  # bound in collect_self
            base = self.ev(target.value)
            if base and base.startswith(("inst:", "module:slicer")) and not base.startswith("module:slicer.modules"):
                if base.startswith("inst:"):
                    self.lookup_attr(target, base, target.attr, store=True)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for e in target.elts:
                self.bind(e, None)
