# SPDX-License-Identifier: Apache-2.0
"""Parameter nodes with typed fields and their ties to widgets, for the types that the panels of this extension use."""

import typing
from dataclasses import dataclass

import slicer
import vtk


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Choice:
    choices: typing.Sequence


SIGNALS = {
    "QCheckBox": ("checked", "toggled(bool)"),
    "QSpinBox": ("value", "valueChanged(int)"),
    "QDoubleSpinBox": ("value", "valueChanged(double)"),
    "ctkSliderWidget": ("value", "valueChanged(double)"),
    "QLineEdit": ("text", "textChanged(QString)"),
    "QComboBox": ("currentText", "currentTextChanged(QString)"),
}
NODE_SIGNAL = "currentNodeChanged(vtkMRMLNode*)"


class _Field:
    """One field, kept as a parameter of the node, or as a reference to another node."""

    def __init__(self, name, annotation, default):
        self.name = name
        kinds = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Annotated else (annotation,)
        self.kind = kinds[0]
        self.range = next((item for item in kinds[1:] if isinstance(item, WithinRange)), None)
        self.default = default
        self.isNode = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)

    def __get__(self, wrapper, owner=None):
        if wrapper is None:
            return self
        if self.isNode:
            return wrapper.parameterNode.GetNodeReference(self.name)
        text = wrapper.parameterNode.GetParameter(self.name)
        return (text == "True" if self.kind is bool else self.kind(text)) if text else self.default

    def __set__(self, wrapper, value):
        node = wrapper.parameterNode
        if self.isNode:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} takes a {self.kind.__name__}, not a {type(value).__name__}")
            if value is not node.GetNodeReference(self.name):
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        if self.range is not None and not self.range.minimum <= value <= self.range.maximum:
            raise ValueError(f"{self.name} is {value}, outside of {self.range.minimum} to {self.range.maximum}")
        if self.kind(value) != getattr(wrapper, self.name):
            node.SetParameter(self.name, str(self.kind(value)))


def parameterNodeWrapper(cls):
    """Turn the annotations of a class into fields of a parameter node."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {}
    for name, annotation in hints.items():
        field = fields[name] = _Field(name, annotation, cls.__dict__.get(name))
        if field.default is None and not field.isNode:
            field.default = field.kind()
        setattr(cls, name, field)

    def init(self, parameterNode):
        object.__setattr__(self, "parameterNode", parameterNode)
        object.__setattr__(self, "_ties", {})

    def forbid(self, name, value):
        if name not in fields:
            raise AttributeError(f"{cls.__name__} has no field {name}")
        fields[name].__set__(self, value)

    cls.__init__, cls.__setattr__ = init, forbid
    cls.__hash__ = lambda self: hash(self.parameterNode)
    cls.__eq__ = lambda self, other: isinstance(other, cls) and self.parameterNode is other.parameterNode
    cls.connectGui, cls.disconnectGui = _connectGui, _disconnectGui
    cls.AddObserver = lambda self, *given: self.parameterNode.AddObserver(*given)
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)
    return cls


def _connectGui(self, ui):
    """Tie each widget with a dynamic property SlicerParameterName to the field of that name."""
    ties = []
    for widget in vars(ui).values():
        name = widget.property("SlicerParameterName") if hasattr(widget, "property") else None
        if name:
            ties.append(_Tie(self, name, widget))
    tag = len(self._ties) + 1
    self._ties[tag] = ties
    return tag


def _disconnectGui(self, tag):
    for tie in self._ties.pop(tag):
        tie.cut()


class _Tie:
    """A widget shows a field and changes it."""

    def __init__(self, wrapper, name, widget):
        self._wrapper, self._name, self._widget = wrapper, name, widget
        field = type(wrapper).__dict__[name]
        self._isNode = field.isNode
        self._value, self._signal = (None, NODE_SIGNAL) if field.isNode else SIGNALS[widget.className()]
        if field.range is not None:
            widget.minimum, widget.maximum = field.range.minimum, field.range.maximum
        if field.isNode:
            widget.nodeTypes = (field.kind().GetClassName(),)
        self._show()
        widget.connect(self._signal, self._changed)
        self._tag = wrapper.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())

    def _show(self):
        value = getattr(self._wrapper, self._name)
        if self._isNode:
            self._widget.setCurrentNode(value)
        elif getattr(self._widget, self._value) != value:
            setattr(self._widget, self._value, value)

    def _changed(self, value):
        setattr(self._wrapper, self._name, value)

    def cut(self):
        self._widget.disconnect(self._signal, self._changed)
        self._wrapper.RemoveObserver(self._tag)
