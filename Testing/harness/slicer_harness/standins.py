# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for the ctk*, qMRML* and qSlicer* classes that PythonQt would show.

The outward face of every stand-in (properties, signals, slots, enums, base class) comes from
the API facts that slicer_api_check.py --dump derives from the Slicer and CTK sources, so a
name that the real class lacks fails here as it would there. Behaviour comes from the classes
of BEHAVIOUR below; a class without an entry keeps property values, emits the notify signals
and records calls of its other slots in .calls.
"""

from __future__ import annotations

import re
import types

from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt

FACTS = None
BEHAVIOUR = {}
_made = {}
_TYPES = {
    "bool": bool,
    "int": int,
    "uint": int,
    "double": float,
    "float": float,
    "QString": str,
    "QStringList": "QStringList",
    "QColor": QtGui.QColor,
    "QIcon": QtGui.QIcon,
    "QByteArray": QtCore.QByteArray,
    "QSize": QtCore.QSize,
}
_BASES = {"ctkFlowLayout": QtWidgets.QVBoxLayout}  # where the true base is abstract in Python
_DEFAULTS = {bool: False, int: 0, float: 0.0, str: "", "QStringList": []}


def load_facts(facts):
    global FACTS
    FACTS = facts


def behaviour(*names):
    def register(cls):
        for n in names:
            BEHAVIOUR[n] = cls
        return cls

    return register


def _qt_class(name):
    for m in (QtWidgets, QtGui, QtCore):
        c = getattr(m, name, None)
        if isinstance(c, type):
            return c
    return None


def _args(sig):
    inner = sig[sig.index("(") + 1 : -1]
    return [a for a in re.split(r",(?![^<]*>)", inner) if a]


def _signal(sigs):
    # longest overload first; an overload set needs distinct type lists
    lists = []
    for s in sigs:
        t = tuple(_TYPES.get(a, object) for a in _args(s))
        if t not in lists:
            lists.append(t)
    # PySide6 cannot tell two overloads of one object argument apart; the default comes first
    lists.sort(key=lambda t: (any(x is not object for x in t), -len(t)))
    return QtCore.Signal(*lists) if len(lists) > 1 else QtCore.Signal(*lists[0])


def _property(name, info, signals):
    typ = _TYPES.get(info["type"], object)
    default = _DEFAULTS.get(typ)

    def get(self):
        hook = getattr(type(self), "_get_" + name, None)
        if hook:
            return hook(self)
        return self.__dict__.get("_p_" + name, default)

    def set_(self, value):
        convert = pythonqt.CONVERT.get(info["type"])
        if convert:
            value = convert(value)
        old = get(self)
        self.__dict__["_p_" + name] = value
        hook = getattr(type(self), "_set_" + name, None)
        if hook:
            hook(self, value)
        elif old != value and info.get("notify"):
            sig = getattr(self, info["notify"], None)
            if sig is not None:
                try:
                    sig.emit(value)
                except TypeError:
                    sig.emit()

    def refuse(self, value):
        raise AttributeError(f"Property '{name}' of {type(self).__name__} object is not writable")

    return QtCore.Property(typ if typ is not object else "QVariant", get, set_ if info.get("write") else None), set_ if info.get(
        "write"
    ) else refuse


def _slot(cls_name, name, ret=""):
    def call(self, *args):
        hook = getattr(type(self), "_do_" + name, None)
        if hook:
            return hook(self, *args)
        prop = name[3:4].lower() + name[4:]
        if name.startswith("set") and len(args) == 1 and isinstance(getattr(type(self), prop, None), QtCore.Property):
            setattr(self, prop, args[0])
            return None
        self.calls.append((name, args))
        part = resolve(ret[:-1]) if ret.endswith("*") and not args and ret[:1] in "qc" else None
        if part is not None:  # an inner widget handed out: one stand-in of its class, kept
            parts = self.__dict__.setdefault("_parts", {})
            if name not in parts:
                parts[name] = part(self if isinstance(self, QtWidgets.QWidget) and issubclass(part, QtWidgets.QWidget) else None)
            return parts[name]
        return None

    call.__name__ = name
    return call


def resolve(name):
    """The stand-in class of that name, or None when the sources have no such class."""
    if name in _made:
        return _made[name]
    e = FACTS["qt"].get(name)
    if e is None:
        return None
    base = _BASES.get(name)
    for b in e["bases"]:
        b = b.split("::")[-1]
        base = base or resolve(b) or _qt_class(b)
    base = base or QtCore.QObject
    beh = BEHAVIOUR.get(name)
    ns = {"_standin": True, "_cpp": name, "__module__": "standin", "_setters": {}}
    for n, v in e["signals"].items():
        ns[n] = _signal(v["sigs"])
    for n, info in e["properties"].items():
        ns[n], ns["_setters"][n] = _property(n, info, e["signals"])
    for n in e["methods"]:
        if n not in ns:
            ns[n] = _slot(name, n, e["methods"][n]["ret"])
    for vals in e["enums"].values():
        for i, v in enumerate(vals):
            ns.setdefault(v, i)
    own_beh = beh if beh is not None and not issubclass(base, beh) else None
    bases = (own_beh, base) if own_beh else (base,)

    def init(self, parent=None, *rest):
        if parent is not None and not isinstance(parent, QtCore.QObject):
            raise ValueError(f"{name}: constructor takes a parent widget only, got {type(parent).__name__}")
        self.__dict__["calls"] = []
        try:
            base.__init__(self, parent)
        except TypeError:
            base.__init__(self)
        for c in type(self).__mro__:
            if c in BEHAVIOUR.values() and "_build" in c.__dict__ and id(c) not in self.__dict__.setdefault("_built", set()):
                self._built.add(id(c))
                c._build(self)

    ns["__init__"] = init
    ns["className"] = lambda self: name
    cls = type(base)(name, bases, ns)
    _made[name] = cls
    pythonqt.UiLoader.custom[name] = cls
    return cls


class FactModule(types.ModuleType):
    """A module whose classes are made on demand (ctk), or a few of whose classes are (slicer)."""

    def __getattr__(self, name):
        if not name.startswith("__"):
            cls = resolve(name) if FACTS else None
            if cls is not None:
                return cls
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
