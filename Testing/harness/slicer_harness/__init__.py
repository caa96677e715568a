# SPDX-License-Identifier: Apache-2.0
"""Runs scripted Slicer modules without the Slicer application.

core           PerfusionSuiteSlicer.headless and what the desktop adds to it without Qt
render         slice and 3D views rendered off screen (no Qt)
pythonqt       the `qt` module of Slicer, put together from PySide6
standins       `ctk` and `slicer.qMRML*` classes made from API facts
ctk_widgets    how some of the ctk classes behave
qmrml_widgets  how some of the qMRML classes behave
layout         the layout manager: which views a layout has, and their picture
desktop        slicer.app, module loading, panels, pictures

Faithful: parameter nodes and their ties to widgets, node combo boxes, buttons, sliders, signals, background QProcess with
cancel, results in MRML, pictures of slice, 3D and plot views. Not faithful: exact look and sizes, widgets without behaviour
written here (Segment Editor), object lifetime, module discovery, command-line modules, DICOM database.
"""
