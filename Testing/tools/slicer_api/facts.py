# SPDX-License-Identifier: Apache-2.0
"""What is known about the names that a scripted module can reach."""

from __future__ import annotations


class Facts:
    def __init__(self, data: dict):
        self.d = data
        self.qt, self.vtk, self.py = data["qt"], data["vtk"], data["python"]
        self.modules = {m.lower(): m for m in data["modules"]}
        self._cache = {}
        self.pyside = self._load_pyside()
        self.runtime = self._load_runtime()
        self.vtk_names = self._vtk_names()

    @staticmethod
    def _load_pyside():
        mods = []
        try:
            from PySide6 import QtCore, QtGui, QtWidgets

            mods = [QtCore, QtGui, QtWidgets]
            for extra in ("QtNetwork", "QtSvg", "QtUiTools", "QtSvgWidgets", "QtXml", "QtMultimedia"):
                try:
                    mods.append(__import__(f"PySide6.{extra}", fromlist=[extra]))
                except ImportError:
                    pass
        except ImportError:
            return None
        out = {}
        for m in mods:
            for n in dir(m):
                if not n.startswith("_"):
                    out.setdefault(n, getattr(m, n))
        return out

    @staticmethod
    def _load_runtime():
        try:
            import slicer
        except ImportError:
            return None
        return slicer if hasattr(slicer, "vtkMRMLScene") else None

    def _vtk_names(self):
        names = set()
        for c in self.vtk.values():
            names |= set(c["methods"])
            for v in c["enums"].values():
                names |= set(v)
        if self.runtime is not None:
            import vtk

            for mod in (self.runtime, vtk):
                for n in dir(mod):
                    o = getattr(mod, n, None)
                    if isinstance(o, type):
                        names |= set(dir(o))
        return names

    # a class is known by name in one of three worlds
    def kind(self, cls):
        if cls in self.qt:
            return "qt"
        if self.runtime is not None and cls.startswith("vtk"):
            if isinstance(getattr(self.runtime, cls, None), type):
                return "rt"
            import vtk

            if isinstance(getattr(vtk, cls, None), type):
                return "rt"
        if cls in self.vtk:
            return "vtk"
        if self.pyside and isinstance(self.pyside.get(cls), type):
            return "pyside"
        return None

    def has_base_gap(self, cls):
        """True when a base class is unknown, so a missing name proves nothing."""
        k = self.kind(cls)
        if k is None:
            return True
        if k in ("rt", "pyside"):
            return False
        bases = (self.qt if k == "qt" else self.vtk)[cls]["bases"]
        gap = False
        for b in bases:
            b = b.split("::")[-1]
            if b.startswith(("Q", "q", "ctk", "vtk")):
                gap |= self.has_base_gap(b)
        return gap

    def members(self, cls):
        """{name: {"what": property|signal|method|enum, ...}} with inherited ones."""
        if cls in self._cache:
            return self._cache[cls]
        out = {}
        k = self.kind(cls)
        if k in ("qt", "vtk"):
            d = (self.qt if k == "qt" else self.vtk)[cls]
            for b in d["bases"]:
                b = b.split("::")[-1]
                if self.kind(b):
                    out.update(self.members(b))
            for n in d["hidden"]:
                # a public C++ method without slot or Q_INVOKABLE does not hide an inherited visible one
                out.setdefault(n, {"what": "hidden"})
            for e in d["enums"].values():
                for v in e:
                    out[v] = {"what": "enum"}
            for n in d["enums"]:
                out.setdefault(n, {"what": "enum"})
            for n, v in d["methods"].items():
                out[n] = {"what": "method", **v}
            for n, v in d["signals"].items():
                out[n] = {"what": "signal", **v}
            for n, v in d["properties"].items():
                out[n] = {"what": "property", **v}
        elif k == "rt":
            import vtk

            c = getattr(self.runtime, cls, None) or getattr(vtk, cls)
            out = {n: {"what": "method", "ret": "", "sigs": []} for n in dir(c)}
        elif k == "pyside":
            c = self.pyside[cls]
            out = {n: {"what": "method", "ret": "", "sigs": []} for n in dir(c)}
            for b in c.__mro__:
                for n in self.d["qtwrap"].get(b.__name__, []):
                    out.setdefault(n, {"what": "method", "ret": "", "sigs": []})
            import enum

            for b in c.__mro__:
                for v in vars(b).values():
                    if isinstance(v, type) and issubclass(v, enum.Enum):
                        for n in v.__members__:
                            out.setdefault(n, {"what": "enum"})
            mo = getattr(c, "staticMetaObject", None)
            if mo is not None:
                for i in range(mo.methodCount()):
                    m = mo.method(i)
                    n = bytes(m.name()).decode()
                    sig = bytes(m.methodSignature()).decode()
                    what = "signal" if m.methodType().name == "Signal" else "method"
                    if out.get(n, {}).get("what") != what:
                        out[n] = {"what": what, "ret": "", "sigs": []}
                    out[n]["sigs"] = out[n]["sigs"] + [sig]
                for i in range(mo.propertyCount()):
                    p = mo.property(i)
                    # QTimer.singleShot is both: the property on an object, the static method on the class
                    out[p.name()] = {
                        "what": "property",
                        "type": p.typeName(),
                        "write": p.isWritable(),
                        "notify": None,
                        "method": out.get(p.name()),
                    }
                    if p.name() == "objectName":
                        out["name"] = out["objectName"]
            out.update(
                {
                    n: {"what": "method", "ret": "", "sigs": []}
                    for n in (
                        "connect",
                        "disconnect",
                        "emit",
                        "delete",
                        "className",
                        "help",
                        "findChild",
                        "findChildren",
                        "setProperty",
                        "property",
                        "deleteLater",
                        "inherits",
                        "invokeMethod",
                    )
                    if n not in out
                }
            )
        self._cache[cls] = out
        return out


KNOWN_SLICER = {
    "app": "inst:qSlicerApplication",
    "mrmlScene": "inst:vtkMRMLScene",
    "modules": "module:slicer.modules",
    "moduleNames": "module:slicer.moduleNames",
    "selfTests": None,
    "modulelogic": None,
}
# pointer-returning calls whose C++ type is too general or not visible in a header
CALL_RETURNS = {
    "qSlicerApplication.layoutManager": "inst:qSlicerLayoutManager",
    "qSlicerApplication.applicationLogic": "inst:vtkSlicerApplicationLogic",
    "qSlicerApplication.mainWindow": "inst:qSlicerMainWindow",
    "slicer.util.mainWindow": "inst:qSlicerMainWindow",
    "slicer.util.loadSegmentation": "inst:vtkMRMLSegmentationNode",
    "slicer.util.loadVolume": "inst:vtkMRMLScalarVolumeNode",
    "slicer.util.loadTable": "inst:vtkMRMLTableNode",
    "slicer.util.loadText": "inst:vtkMRMLTextNode",
    "slicer.util.loadModel": "inst:vtkMRMLModelNode",
}
PY_MODULES = {
    "slicer",
    "slicer.util",
    "slicer.packaging",
    "slicer.cli",
    "slicer.i18n",
    "slicer.testing",
    "slicer.logic",
    "slicer.ScriptedLoadableModule",
    "slicer.parameterNodeWrapper",
}
NOT_LOADED = {"packaging", "logic", "testing"}
"""Python modules of Slicer that are no attribute of slicer until somebody imports them."""
MODULE_BASES = {
    "ScriptedLoadableModule": "slicer.ScriptedLoadableModule",
    "ScriptedLoadableModuleWidget": "",
    "ScriptedLoadableModuleLogic": "",
}
