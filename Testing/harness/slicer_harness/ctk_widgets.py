# SPDX-License-Identifier: Apache-2.0
"""How the stand-ins of ctk widgets behave."""

from PySide6 import QtCore, QtGui, QtWidgets

from .standins import behaviour


@behaviour("ctkCollapsibleButton")
class CollapsibleButton:
    _HEAD = 24

    def _build(self):
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, self._HEAD, 0, 0)
        self.toggled.connect(lambda on: self._collapse(not on))

    def _get_collapsed(self):
        return self.__dict__.get("_collapsed", False)

    def _set_collapsed(self, value):
        self.setChecked(not value)

    def _collapse(self, value):
        self.__dict__["_collapsed"] = value
        self._hide_contents(value)
        self.updateGeometry()
        self.contentsCollapsed.emit(value)

    def _hide_contents(self, value):
        """What a module has hidden itself stays hidden."""
        if value:
            children = self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly)
            hidden = self.__dict__.setdefault("_hidden", [])
            hidden += [c for c in children if not QtWidgets.QWidget.isHidden(c)]
        for c in self.__dict__.get("_hidden", ()):
            QtWidgets.QWidget.setVisible(c, not value)
        if not value:
            self.__dict__["_hidden"] = []

    def showEvent(self, event):
        # A .ui file says that a section is collapsed before it has contents.
        if self.collapsed:
            self._hide_contents(True)

    def sizeHint(self):
        s = self.layout().totalSizeHint() if self.layout() and not self.collapsed else QtCore.QSize(100, self._HEAD)
        return QtCore.QSize(max(s.width(), 100), max(s.height(), self._HEAD))

    minimumSizeHint = sizeHint

    def paintEvent(self, event):
        p = QtWidgets.QStylePainter(self)
        o = QtWidgets.QStyleOptionButton()
        o.initFrom(self)
        o.rect = QtCore.QRect(0, 0, self.rect.width(), self._HEAD - 2)
        o.text = "   " + self.text
        p.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, o)
        p.drawText(o.rect.adjusted(26, 0, 0, 0), QtCore.Qt.AlignVCenter | QtCore.Qt.AlignLeft, self.text)
        a = QtWidgets.QStyleOption()
        a.initFrom(self)
        a.rect = QtCore.QRect(8, 6, 10, 10)
        p.drawPrimitive(QtWidgets.QStyle.PE_IndicatorArrowRight if self.collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown, a)


@behaviour("ctkCollapsibleGroupBox")
class CollapsibleGroupBox:
    def _build(self):
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(
            lambda on: [c.setVisible(on) for c in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly)]
        )

    def _get_collapsed(self):
        return not self.isChecked() if hasattr(self, "isChecked") else not self.checked

    def _set_collapsed(self, v):
        self.setChecked(not v)


@behaviour("ctkSliderWidget")
class SliderWidget:
    def _build(self):
        d = self.__dict__
        d.update(
            _p_minimum=0.0,
            _p_maximum=99.0,
            _p_value=0.0,
            _p_singleStep=1.0,
            _p_pageStep=10.0,
            _p_decimals=2,
            _p_tracking=True,
            _p_spinBoxVisible=True,
        )
        lay = QtWidgets.QHBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        d["_slider"], d["_spin"] = QtWidgets.QSlider(QtCore.Qt.Horizontal), QtWidgets.QDoubleSpinBox()
        self._slider.setRange(0, 1000)
        lay.addWidget(self._slider)
        lay.addWidget(self._spin)
        self._sync()
        self._spin.valueChanged.connect(lambda v: setattr(self, "value", v))
        self._slider.sliderMoved.connect(
            lambda i: setattr(self, "value", self.minimum + (self.maximum - self.minimum) * i / 1000)
        )

    def _sync(self):
        for w in (self._spin, self._slider):
            w.blockSignals(True)
        self._spin.setDecimals(self.decimals)
        self._spin.setRange(self.minimum, self.maximum)
        self._spin.setSingleStep(self.singleStep)
        self._spin.setValue(self.value)
        self._spin.setVisible(self.spinBoxVisible)
        self._spin.suffix, self._spin.prefix = self.suffix, self.prefix
        span = self.maximum - self.minimum
        self._slider.setValue(round(1000 * (self.value - self.minimum) / span) if span > 0 and span < 1e300 else 0)
        for w in (self._spin, self._slider):
            w.blockSignals(False)

    def _change(self, value):
        value = round(min(max(float(value), self.minimum), self.maximum), self.decimals)
        old = self.__dict__.get("_value", 0.0)
        self.__dict__["_value"] = self.__dict__["_p_value"] = value
        self._sync()
        if value != old:
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    def _set_value(self, v):
        self._change(v)

    def _clamp(self, _v):
        self._change(self.__dict__.get("_value", 0.0))

    _set_minimum = _set_maximum = _set_decimals = _clamp

    def _set_singleStep(self, v):
        self._sync()

    _set_suffix = _set_prefix = _set_spinBoxVisible = _set_singleStep

    def _do_reset(self):
        self._change(0)


@behaviour("ctkRangeWidget", "ctkDoubleRangeSlider")
class RangeWidget:
    def _build(self):
        d = self.__dict__
        d.update(_p_minimum=0.0, _p_maximum=99.0, _p_minimumValue=0.0, _p_maximumValue=99.0, _p_singleStep=1.0, _p_decimals=2)
        lay = QtWidgets.QHBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        d["_lo"], d["_hi"] = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        for w in (self._lo, QtWidgets.QSlider(QtCore.Qt.Horizontal), self._hi):
            lay.addWidget(w)
        self._values(0.0, 99.0)
        self._lo.valueChanged.connect(lambda v: self._values(v, self.maximumValue))
        self._hi.valueChanged.connect(lambda v: self._values(self.minimumValue, v))

    def _values(self, lo, hi):
        d = self.__dict__
        lo, hi = max(min(lo, hi), d["_p_minimum"]), min(max(lo, hi), d["_p_maximum"])
        old = d.get("_now")
        d["_now"] = (lo, hi)
        for w, v in ((self._lo, lo), (self._hi, hi)):
            w.blockSignals(True)
            w.setDecimals(d["_p_decimals"])
            w.setRange(d["_p_minimum"], d["_p_maximum"])
            w.setValue(v)
            w.blockSignals(False)
        if old is not None and old != (lo, hi):
            self.valuesChanged.emit(lo, hi)

    def _get_minimumValue(self):
        return self.__dict__.get("_now", (0.0, 99.0))[0]

    def _get_maximumValue(self):
        return self.__dict__.get("_now", (0.0, 99.0))[1]

    def _set_minimumValue(self, v):
        self._values(v, self.maximumValue)

    def _set_maximumValue(self, v):
        self._values(self.minimumValue, v)

    def _do_setValues(self, lo, hi):
        self._values(float(lo), float(hi))

    def _set_minimum(self, v):
        self._values(*self.__dict__["_now"])

    _set_maximum = _set_decimals = _set_singleStep = _set_minimum

    def _do_setRange(self, lo, hi):
        self.__dict__.update(_p_minimum=float(lo), _p_maximum=float(hi))
        self._values(*self.__dict__["_now"])


@behaviour("ctkDoubleSpinBox")
class DoubleSpinBox:
    def _build(self):
        lay = QtWidgets.QHBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        self.__dict__["_spin"] = QtWidgets.QDoubleSpinBox()
        self.__dict__["_p_maximum"] = 99.99
        lay.addWidget(self._spin)
        self._spin.valueChanged.connect(self.valueChanged)

    def _get_value(self):
        return self._spin.value

    def _set_value(self, v):
        self._spin.setValue(v)

    def _set_minimum(self, v):
        self._spin.setMinimum(max(v, -1.7e308))

    def _set_maximum(self, v):
        self._spin.setMaximum(min(v, 1.7e308))

    def _set_decimals(self, v):
        self._spin.setDecimals(v)

    def _set_singleStep(self, v):
        self._spin.setSingleStep(v)


@behaviour("ctkPathLineEdit")
class PathLineEdit:
    def _build(self):
        lay = QtWidgets.QHBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        self.__dict__["_edit"] = QtWidgets.QLineEdit()
        lay.addWidget(self._edit)
        b = self.__dict__["_browse"] = QtWidgets.QToolButton()
        b.text = "..."
        lay.addWidget(b)
        self._edit.textChanged.connect(self.currentPathChanged)

    def _set_showBrowseButton(self, v):
        self._browse.setVisible(v)

    def _get_currentPath(self):
        return self._edit.text

    def _set_currentPath(self, v):
        self._edit.setText(v)


@behaviour("ctkDirectoryButton")
class DirectoryButton:
    def _build(self):
        lay = QtWidgets.QHBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        self.__dict__["_b"] = QtWidgets.QPushButton(QtCore.QDir.currentPath())
        self.__dict__["_p_directory"] = QtCore.QDir.currentPath()
        lay.addWidget(self._b)

    def _set_directory(self, v):
        v = self.__dict__["_p_directory"] = v if v.startswith("/") else QtCore.QDir.currentPath() + "/" + v
        self._b.setText(v)
        self.directoryChanged.emit(v)


@behaviour("ctkColorPickerButton")
class ColorPickerButton:
    def _set_color(self, v):
        pm = QtGui.QPixmap(16, 16)
        pm.fill(v)
        self.setIcon(QtGui.QIcon(pm))
        self.colorChanged.emit(v)
