# SPDX-License-Identifier: Apache-2.0
"""Slicer's `qt` module, emulated on PySide6.

PythonQt differs from PySide6 in ways that module code relies on:
  * a Qt property is an attribute (label.text, button.enabled = False), not a pair of calls;
    the getter of the same name is gone, the setter stays callable;
  * obj.connect('signal(type)', callable) and obj.disconnect(...), besides obj.signal.connect;
  * objectName is also reachable as .name, children by their names, dynamic properties by name;
  * a new attribute on a wrapped C++ object is an error (only Python subclasses may have any);
  * all Qt modules are one flat namespace.
install() changes the PySide6 classes themselves, so widgets made by Qt, by a .ui file or by
code behave alike.
"""

from __future__ import annotations

import os
import sys
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# enum values are integers and reachable on their class, as in PythonQt (read when PySide6 loads)
os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x0E")

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

STRICT = True  # complain about attributes that PythonQt would refuse

_KEEP_METHODS = {"hasHeightForWidth"}
_reading = set()
_loading = False
_real = {}


def _signature_parts(sig):
    name, _, rest = sig.partition("(")
    args = [a.strip() for a in rest.rsplit(")", 1)[0].split(",") if a.strip()]
    return name.strip(), args


def _norm(arg):
    arg = arg.replace("const ", "").replace("&", "").replace(" ", "")
    return {"unsignedint": "uint"}.get(arg, arg)


def _find_signal(obj, sig):
    name, args = _signature_parts(sig)
    if "(" not in sig:
        raise ValueError(f"connect: '{sig}' is not a signal signature (brackets missing)")
    mo = obj.metaObject()
    seen = []
    for i in range(mo.methodCount()):
        m = mo.method(i)
        if m.methodType() != QtCore.QMetaMethod.MethodType.Signal or bytes(m.name()).decode() != name:
            continue
        have = [bytes(t).decode() for t in m.parameterTypes()]
        seen.append(have)
    # stand-in widgets declare VTK objects as plain Python objects; an exact match goes first
    for loose in (False, True):
        for have in seen:
            if len(have) == len(args) and all(
                _norm(a) == _norm(h) or (loose and h in ("PyObject", "QVariant") and a not in ("bool", "int", "double"))
                for a, h in zip(args, have, strict=True)
            ):
                return _signal_attr(obj, name, have)
    known = ", ".join(f"{name}({','.join(s)})" for s in seen)
    raise ValueError(f"connect: {type(obj).__name__} has no signal {sig}" + (f"; it has {known}" if known else ""))


def _signal_attr(obj, name, types_):
    s = getattr(obj, name)
    python = tuple({"bool": bool, "int": int, "double": float, "QString": str, "PyObject": object}.get(t, t) for t in types_)
    for key in (
        (python[0] if len(python) == 1 else python, types_[0] if len(types_) == 1 else tuple(types_), ",".join(types_))
        if types_
        else ()
    ):
        try:
            return s[key]
        except (KeyError, IndexError, TypeError):
            continue
    return s


def _trim(callable_):
    """PythonQt calls a slot with as many arguments as it takes."""
    import inspect

    try:
        sig = inspect.signature(callable_)
    except (TypeError, ValueError):
        return callable_
    if any(p.kind is p.VAR_POSITIONAL for p in sig.parameters.values()):
        return callable_
    n = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in sig.parameters.values())

    def call(*args):
        return callable_(*args[:n])

    return call


_connections = {}


def _connect(self, signal, *rest):
    """obj.connect('sig()', callable) | obj.connect('sig()', receiver, 'slot()')"""
    if isinstance(signal, QtCore.QObject):  # PySide6's own C++ code connects this way
        return _real["connect"](signal, *rest)
    if signal[:1] in ("1", "2"):  # or this way (a signature as the SIGNAL() macro writes it)
        return _real["connect"](self, signal, *rest)
    if len(rest) == 1 and callable(rest[0]):
        fn = rest[0]
    elif len(rest) == 2:
        fn = getattr(rest[0], _signature_parts(rest[1])[0])
        if not callable(fn):  # a property setter used as a slot
            raise ValueError(f"connect: {rest[1]} is no slot")
    else:
        raise ValueError("connect: expected ('signal(...)', callable) or ('signal(...)', receiver, 'slot(...)')")
    call = _trim(fn)
    _find_signal(self, signal).connect(call)
    _connections.setdefault((id(self), signal), []).append((fn, call))
    return True


def _disconnect(self, signal, fn=None, slot=None):
    if isinstance(signal, QtCore.QObject) or signal[:1] in ("1", "2"):
        args = (signal, fn, slot) if isinstance(signal, QtCore.QObject) else (self, signal, fn, slot)
        return _real["disconnect"](*[a for a in args if a is not None])
    if slot is not None:
        fn = getattr(fn, _signature_parts(slot)[0])
    sig = _find_signal(self, signal)
    kept = _connections.get((id(self), signal), [])
    for pair in list(kept):
        if fn is None or pair[0] == fn:
            sig.disconnect(pair[1])
            kept.remove(pair)
    return True


def _missing(self, name):
    """Last resort of attribute access: child by object name, then dynamic property."""
    if name.startswith("__") or (id(self), name) in _reading:
        raise AttributeError(name)
    if isinstance(self, QtCore.QObject):
        for child in _real["children"](self):
            if _real["objectName"](child) == name:
                return child
        v = _real["property"](self, name)
        if v is not None:
            return v
    raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")


# the lenient conversions of PythonQt
CONVERT = {
    "bool": bool,
    "QString": lambda v: v if isinstance(v, str) else str(v),
    "int": lambda v: int(v) if isinstance(v, (bool, float)) else v,
    "double": lambda v: float(v) if isinstance(v, (bool, int)) else v,
}


def _make_property(qprop, setter_name=None):
    name = qprop.name()

    def get(self):
        # a virtual getter in C++ asks Python for an override, that is for this very attribute
        key = (id(self), name)
        if key in _reading:
            raise AttributeError(name)
        _reading.add(key)
        try:
            v = _real["property"](self, name)
        finally:
            _reading.discard(key)
        if isinstance(v, (list, tuple)) and all(isinstance(x, str) for x in v):
            return tuple(v)
        return v

    if not qprop.isWritable():
        return property(get)

    convert = CONVERT.get(qprop.typeName())

    def set_(self, value):
        if convert:
            value = convert(value)
        if not _real["setProperty"](self, name, value):
            raise ValueError(
                f"Property '{name}' of type '{qprop.typeName()}' does not accept a {type(value).__name__} ({value!r})"
            )

    return property(get, set_)


class _StaticOrProperty:
    def __init__(self, static, prop):
        self.static, self.prop = static, prop

    def __get__(self, obj, owner=None):
        return self.static if obj is None else self.prop.fget(obj)

    def __set__(self, obj, value):
        self.prop.fset(obj, value)


def _own_properties(cls):
    mo = cls.staticMetaObject
    for i in range(mo.propertyOffset(), mo.propertyCount()):
        yield mo.property(i)


def _install_class(cls, inherited):
    """Replace property getters of one class (and getters that shadow inherited properties)."""
    signals = _signals_of(cls)
    for p in _own_properties(cls):
        if p.name() not in _KEEP_METHODS and p.name() not in signals:
            if p.name() == "singleShot":  # on the class a static method, on an object the property
                setattr(cls, p.name(), _StaticOrProperty(cls.singleShot, _make_property(p)))
                continue
            inherited = {**inherited, p.name(): p}
            setattr(cls, p.name(), _make_property(p))
    for n, p in inherited.items():
        if n in cls.__dict__ and not isinstance(cls.__dict__[n], property) and n not in _KEEP_METHODS:
            setattr(cls, n, _make_property(p))
    return inherited


def _signals_of(cls):
    mo = cls.staticMetaObject
    methods = (mo.method(i) for i in range(mo.methodOffset(), mo.methodCount()))
    return {bytes(m.name()).decode() for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal}


class UiLoader(QtUiTools.QUiLoader):
    """QUiLoader that knows the stand-ins of ctk and qMRML widgets."""

    custom = {}
    missing = []

    def __init__(self, parent=None):
        super().__init__(parent)
        self.unknown = []

    def createWidget(self, className, parent=None, name=""):
        cls = self.custom.get(className)
        if cls is None and className.startswith(("ctk", "qMRML", "qSlicer")):
            from . import standins

            cls = standins.resolve(className)
        if cls is not None:
            w = cls(parent)
        else:
            w = _real["createWidget"](self, className, parent, name)
        if w is not None:
            w.setObjectName(name)
        return w

    def load(self, device, parent=None):
        path = device if isinstance(device, str) else device.fileName()
        global _loading
        _loading = True  # PySide6 puts the child widgets on the top widget as attributes
        try:
            w = _real["load"](self, device, parent)
        finally:
            _loading = False
        if w is not None:
            _ui_connections(path, w)
        return w


def _ui_connections(path, root):
    """Connections to slots that only Python knows (QUiLoader made the C++ ones already)."""
    import xml.etree.ElementTree as ET

    objs = {root.objectName: root}
    for c in root.findChildren(QtCore.QObject):
        objs[c.objectName] = c
    for c in ET.parse(path).getroot().iter("connection"):
        sender, signal, receiver, slot = ((c.findtext(k) or "").strip() for k in ("sender", "signal", "receiver", "slot"))
        s, r = objs.get(sender), objs.get(receiver)
        if s is None or r is None:
            continue
        if not (getattr(type(s), "_standin", False) or getattr(type(r), "_standin", False)):
            continue
        fn = getattr(r, _signature_parts(slot)[0], None)
        if callable(fn):
            _find_signal(s, signal).connect(_trim(fn))
        else:
            raise ValueError(f"{os.path.basename(path)}: {type(r).__name__} {receiver} has no slot {slot}")


def install():
    """Patch PySide6 and return the module object to be known as `qt`."""
    if "qt" in sys.modules and getattr(sys.modules["qt"], "_harness", False):
        return sys.modules["qt"]
    _real.update(
        property=QtCore.QObject.property,
        setProperty=QtCore.QObject.setProperty,
        children=QtCore.QObject.children,
        objectName=QtCore.QObject.objectName,
        setattr=QtCore.QObject.__setattr__,
        connect=QtCore.QObject.connect,
        disconnect=QtCore.QObject.disconnect,
        createWidget=QtUiTools.QUiLoader.createWidget,
        load=QtUiTools.QUiLoader.load,
    )
    qt = types.ModuleType("qt", __doc__)
    qt._harness = True
    classes = []
    mods = [QtCore, QtGui, QtWidgets, QtUiTools]
    for extra in ("QtNetwork", "QtSvg", "QtSvgWidgets", "QtXml"):
        try:
            mods.append(__import__(f"PySide6.{extra}", fromlist=[extra]))
        except ImportError:
            pass
    for m in mods:
        for n in dir(m):
            if not n.startswith("_"):
                v = getattr(m, n)
                setattr(qt, n, v)
                if isinstance(v, type) and issubclass(v, QtCore.QObject) and hasattr(v, "staticMetaObject"):
                    classes.append(v)
    done = {}

    def walk(cls):
        if cls in done:
            return done[cls]
        inh = {}
        for b in cls.__bases__:
            if isinstance(b, type) and issubclass(b, QtCore.QObject):
                inh.update(walk(b))
        done[cls] = _install_class(cls, inh) if hasattr(cls, "staticMetaObject") else inh
        return done[cls]

    for c in classes:
        walk(c)
    Q = QtCore.QObject
    Q.name = property(lambda s: s.objectName, lambda s, v: setattr(s, "objectName", v))
    # PySide6 answers obj.connect itself, before looking at the class, so attribute access is wrapped
    own = {"connect": _connect, "disconnect": _disconnect}

    def wrap_lookup(lookup):
        def getattribute(self, name):
            if name in own:
                return types.MethodType(own[name], self)
            return lookup(self, name)

        return getattribute

    for cls in done:
        if "__getattribute__" in cls.__dict__ and cls.__module__.startswith("PySide6"):
            cls.__getattribute__ = wrap_lookup(cls.__getattribute__)
    Q.__getattr__ = _missing
    Q.className = lambda s: s.metaObject().className()
    Q.delete = lambda s: s.deleteLater()
    if STRICT:

        def wrap_store(store):
            def guarded(self, name, value):
                cls = type(self)
                for c in cls.__mro__:  # PySide6's own Property type is no Python data descriptor
                    setter = c.__dict__.get("_setters", {}).get(name)
                    if setter:
                        return setter(self, value)
                if (
                    (cls.__module__.startswith("PySide6") or getattr(cls, "_standin", False))
                    and not hasattr(cls, name)
                    and not name.startswith("_")
                ):
                    if _loading:
                        return None
                    if _real["property"](self, name) is None:
                        raise AttributeError(
                            f"'{name}' does not exist on {cls.__name__} and creating new attributes on C++ objects is not allowed"
                        )
                    _real["setProperty"](self, name, value)
                    return None
                store(self, name, value)

            return guarded

        for cls in done:
            if "__setattr__" in cls.__dict__ and cls.__module__.startswith("PySide6"):
                cls.__setattr__ = wrap_store(shiboken6.Shiboken.Object.__setattr__)
    _small_differences(qt)
    qt.QUiLoader = UiLoader
    sys.modules["qt"] = qt
    return qt


def _small_differences(qt):
    """Conversions that PythonQt does and PySide6 does not."""
    # QDialog.exec_, QMessageBox statics take strings and ints as they are
    for cls in (qt.QDialog, qt.QMenu, qt.QApplication, qt.QEventLoop):
        if not hasattr(cls, "exec_"):
            cls.exec_ = cls.exec
