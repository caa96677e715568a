# SPDX-License-Identifier: Apache-2.0
"""A form for the options of a method, made from what is said about them; values out of their range cannot be entered."""

import json

import qt
from slicer.i18n import tr as _

from PerfusionSuiteLib.core.fit_choices import DECIDED, FIT_OPTIONS


class OptionForm:
    """Shows the options of one method at a time, and tells which of them differ from the method's own.

    :param box: the panel's layout that the forms are put into.
    :param changed: called with the changed options, as JSON, whenever the user changes one.
    :param options: by method, what can be changed; by default the options of the fits.
    """

    def __init__(self, box, changed, options=FIT_OPTIONS):
        self._box = box
        self._options = options
        self._changed = changed
        self._forms = {}
        self._method = None
        self._isShowing = False
        self._emptyLabel = qt.QLabel(_("This model has no options that matter here."))
        self._emptyLabel.wordWrap = True
        box.addWidget(self._emptyLabel)

    def show(self, method, text):
        """Show the options of a method.

        :param method: its name.
        :param text: the changed options as JSON, an empty text for none.
        """
        self._method = method
        for name, form in self._forms.items():
            form.widget.visible = name == method
        hasOptions = bool(self._options.get(method))
        self._emptyLabel.visible = not hasOptions
        if not hasOptions:
            return
        if method not in self._forms:
            self._forms[method] = _Form(self._options[method], self._onChanged)
            self._box.addWidget(self._forms[method].widget)
        self._isShowing = True
        self._forms[method].show(optionsOf(text))
        self._isShowing = False

    def widgets(self):
        """Return the widgets of the method that is shown, by the name of their option."""
        return self._forms[self._method].editors if self._method in self._forms else {}

    def _onChanged(self):
        if not self._isShowing:
            self._changed(textOf(self._forms[self._method].changed()))


class _Form:
    """The form of one method."""

    def __init__(self, options, changed):
        self._options = options
        self.editors = {}
        self.widget = qt.QWidget()
        layout = qt.QFormLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        for option in options:
            editor = _EDITORS[option.kind](option, changed)
            self.editors[option.name] = editor.input
            editor.input.objectName = f"{option.name}Option"
            editor.input.toolTip = option.description
            label = qt.QLabel(f"{option.label}:")
            label.toolTip = option.description
            layout.addRow(label, editor.widget)
            setattr(self, f"_{option.name}", editor)

    def show(self, changed):
        """Show values; those that are not given are the method's own."""
        for option in self._options:
            getattr(self, f"_{option.name}").show(changed.get(option.name, option.default))

    def changed(self):
        """Return the values that differ from the method's own."""
        values = {option.name: getattr(self, f"_{option.name}").value() for option in self._options}
        return {option.name: values[option.name] for option in self._options if values[option.name] != option.default}


class _ChoiceEditor:
    """One of several values."""

    def __init__(self, option, changed):
        self._choices, self._undecided = option.choices, option.undecided
        self.widget = self.input = qt.QComboBox()
        self.widget.addItems([self._label(choice) for choice in option.choices])
        self.widget.connect("currentIndexChanged(int)", changed)

    def _label(self, choice):
        if isinstance(choice, bool):
            return _("yes") if choice else _("no")
        return _(self._undecided or DECIDED) if choice is None else str(choice)

    def show(self, value):
        self.widget.currentIndex = self._choices.index(value) if value in self._choices else 0

    def value(self):
        return self._choices[self.widget.currentIndex]


class _WholeEditor:
    """A whole number; without a value of its own the method decides, which the lowest position stands for."""

    def __init__(self, option, changed):
        self._mayBeNone = option.default is None
        self.widget = self.input = qt.QSpinBox()
        self.widget.minimum = 0 if self._mayBeNone else int(option.low)
        self.widget.maximum = int(option.high)
        self.widget.specialValueText = _(DECIDED) if self._mayBeNone else ""
        self.widget.connect("valueChanged(int)", changed)

    def show(self, value):
        self.widget.value = 0 if value is None else int(value)

    def value(self):
        return None if self._mayBeNone and self.widget.value == 0 else self.widget.value


class _NumberEditor:
    """A number; see _WholeEditor."""

    def __init__(self, option, changed):
        self._option = option
        self._mayBeNone = option.default is None
        self.widget = self.input = qt.QDoubleSpinBox()
        self.widget.decimals = 6 if option.low and option.low < 1e-3 else 2
        self.widget.singleStep = 10.0**-3 if self.widget.decimals == 6 else 0.1 if option.high < 100 else 10.0
        self.widget.minimum = 0.0 if self._mayBeNone else option.low
        self.widget.maximum = option.high
        self.widget.specialValueText = _(option.undecided or "none") if self._mayBeNone else ""
        self.widget.connect("valueChanged(double)", changed)

    def show(self, value):
        self.widget.value = 0.0 if value is None else float(value)

    def value(self):
        if self._mayBeNone and self.widget.value == 0.0:
            return None
        # What a spin box shows is rounded: the method's own value must not count as changed.
        default = self._option.default
        isDefault = default is not None and abs(self.widget.value - default) < 0.5 * 10.0**-self.widget.decimals
        return default if isDefault else self.widget.value


class _TextEditor:
    """A text; empty for None."""

    def __init__(self, option, changed):
        self._default = option.default
        self.widget = self.input = qt.QLineEdit()
        self.input.placeholderText = _("random start") if option.default is None else str(option.default)
        self.input.connect("editingFinished()", changed)

    def show(self, value):
        self.input.text = "" if value in (None, self._default) else str(value)

    def value(self):
        return self.input.text.strip() or self._default


class _FileEditor(_TextEditor):
    """A text that names a file, which can be looked for."""

    def __init__(self, option, changed):
        super().__init__(option, changed)
        self._changed = changed
        self._title = option.label
        self.widget = qt.QWidget()
        layout = qt.QHBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.input)
        button = qt.QPushButton("...")
        button.toolTip = _("Choose a file")
        button.setMaximumWidth(28)
        button.connect("clicked(bool)", self.onBrowse)
        layout.addWidget(button)

    def onBrowse(self, checked=False):
        """Take a file that the user chooses."""
        path = qt.QFileDialog.getOpenFileName(None, self._title, "", "safetensors (*.safetensors)")
        if path:
            self.input.text = path
            self._changed()


_EDITORS = {"choice": _ChoiceEditor, "int": _WholeEditor, "float": _NumberEditor, "text": _TextEditor, "file": _FileEditor}


def optionsOf(text):
    """Return options from their JSON."""
    return json.loads(text) if text else {}


def textOf(options):
    """Return options as JSON, an empty text for none."""
    return json.dumps(options, sort_keys=True) if options else ""
