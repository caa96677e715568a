# SPDX-License-Identifier: Apache-2.0
"""What a .ui file declares, and whether Slicer has it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from .cpp_text import norm_signature
from .facts import Facts


class Ui:
    """What a .ui file declares: widget name -> class."""

    def __init__(self, path: Path):
        self.path, self.widgets, self.root = path, {}, None
        self.connections, self.properties = [], []
        root = ET.parse(path).getroot()
        for w in root.iter():
            if w.tag in ("widget", "layout", "spacer", "action") and w.get("name"):
                cls = w.get("class") or ("QAction" if w.tag == "action" else None)
                if cls:
                    self.widgets[w.get("name")] = cls
                    for p in w.findall("property"):
                        self.properties.append((w.get("name"), cls, p.get("name")))
                    if self.root is None and w.tag == "widget":
                        self.root = cls
        for c in root.iter("connection"):
            self.connections.append(tuple((c.findtext(k) or "").strip() for k in ("sender", "signal", "receiver", "slot")))


def check_ui(ui: Ui, facts: Facts, report):
    for name, cls in ui.widgets.items():
        if cls.startswith(("qMRML", "qSlicer", "ctk")) and facts.kind(cls) is None:
            report(ui.path, 0, "error", f"{name}: no such widget class {cls}")
    for name, cls, prop in ui.properties:
        if facts.kind(cls) != "qt" or facts.has_base_gap(cls):
            continue
        e = facts.members(cls).get(prop)
        # a name that no class declares becomes a dynamic property; Slicer's own ones are fine
        if (e is None or e["what"] != "property") and not prop.startswith(("SlicerParameter", "slicer")):
            report(ui.path, 0, "warn", f"{name}: {cls} has no property {prop} (it becomes a dynamic property without effect)")
    for sender, signal, receiver, slot in ui.connections:
        for obj, sig, what in ((sender, signal, "signal"), (receiver, slot, "slot")):
            cls = ui.widgets.get(obj)
            if cls is None or facts.kind(cls) is None or facts.has_base_gap(cls):
                continue
            n = sig.split("(")[0]
            e = facts.members(cls).get(n)
            if e is None or e["what"] == "hidden" or (e["what"] == "property" and not e.get("write")):
                report(ui.path, 0, "error", f"connection: {cls} {obj} has no {what} {sig}")
            elif e.get("sigs") and norm_signature(sig) not in [norm_signature(s) for s in e["sigs"]]:
                report(ui.path, 0, "error", f"connection: {cls} {obj}: the {what} is {' or '.join(e['sigs'])}, not {sig}")
