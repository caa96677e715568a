# SPDX-License-Identifier: Apache-2.0
"""What a user does in a panel, as steps that the scripts of this folder share.

The scripts are run by a harness that gives them `module`, `widget` (the panel's Python class), `ui`, `slicer`, `qt` and
`desktop` (with `pump(seconds, until)` and `screenshot(module, path)`).
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import numpy as np

# In the application itself other modules may have loaded anything but torch.
HEAVY = (
    ("torch",) if "slicer_harness" not in sys.modules else ("torch", "scipy", "SimpleITK", "pydicom", "matplotlib", "highdicom")
)
LIMIT_S = 900.0


def heavyModules():
    """Return which packages have been loaded that a panel must not need to open."""
    return [name for name in HEAVY if name in sys.modules]


def patient(frames=25):
    """Return a small digital patient and its truth."""
    from PerfusionSuiteLib import phantom

    return phantom.ctp(
        seed=8, recipe="clean", site="m1", shape=(64, 64, 4), spacing_mm=(3.2, 3.2, 14.0), interval_s=2.0, frames=frames
    )


def addSequence(slicer, series, name, frames=None):
    """Put a series, or its first frames, into the scene."""
    from PerfusionSuiteSlicer.mrml import SequenceNodes

    part = dataclasses.replace(series, data=series.data[..., :frames], times_s=series.times_s[:frames])
    return SequenceNodes.seriesToSequence(slicer.mrmlScene, part, name)[0]


def writeScan(series, path):
    """Write a series to a 4D NIfTI file; return its path."""
    from PerfusionSuiteLib.phantom.export import write_nifti  # it loads what no panel needs to open

    return write_nifti(series, path)


def addMaps(slicer, truth, name):
    """Put a patient's true maps into the scene."""
    from PerfusionSuiteLib.core import PerfusionMaps
    from PerfusionSuiteSlicer.mrml import MapNodes

    arrays = {key: np.asarray(truth.maps[key], np.float32) for key in ("tmax", "cbf", "cbv")}
    return MapNodes.mapsToNodes(slicer.mrmlScene, PerfusionMaps.from_arrays(arrays, truth.affine), name)


def writeNetwork(path):
    """Write a network that gives a probability of core of 0.6 everywhere, in a process that may load PyTorch."""
    code = """if True:
        import sys, numpy
        from PerfusionSuiteLib.lesion.core_unet import CoreNetwork
        from PerfusionSuiteLib.lesion.core_weights import CoreWeights, save_weights
        state = {name: numpy.zeros_like(value.numpy()) for name, value in CoreNetwork(1).state_dict().items()}
        state["last.bias"] = numpy.log(numpy.array([0.4, 0.6], numpy.float32))
        save_weights(sys.argv[1], CoreWeights(state, ("rcbf",), 3.2, (64, 64, 4)))
    """
    python = os.environ.get("PYTHON_OF_WORKERS", sys.executable)
    subprocess.run([python, "-c", code, str(path)], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    return path


def nodeIDs(slicer):
    """Return the nodes of the scene that are data, not views."""
    nodes = (slicer.mrmlScene.GetNthNode(i) for i in range(slicer.mrmlScene.GetNumberOfNodes()))
    return {node.GetID() for node in nodes if not node.GetSingletonTag()}


def apply(panel, desktop):
    """Press Apply, wait for the end, and return what the panel says."""
    assert panel.applyButton.enabled, panel.applyButton.toolTip
    panel.applyButton.click()
    assert desktop.pump(LIMIT_S, lambda: not panel.isRunning), "the job did not end"
    return panel.statusLabel.text


def photograph(desktop, module, folder, name):
    """Keep a picture of the panel."""
    desktop.screenshot(module, folder / f"{module.name}-{name}.png")


def assertDeadControlsSayWhy(ui):
    """Every control of a panel says what it does, or why it cannot."""
    kinds = ("Button", "ComboBox", "Selector", "CheckBox", "SpinBox", "Slider", "PathLineEdit", "pathLineEdit")
    for name, item in vars(ui).items():
        if name.endswith(kinds) and not name.endswith("CollapsibleButton"):
            assert item.toolTip, f"{name} has no tool tip"


def drawOnPicture(path, truth, side):
    """Save a radiological picture of a patient's Tmax with a yellow outline on the side opposite to `side`."""
    from PerfusionSuiteLib.lesion.picture_region import seen_from
    from PerfusionSuiteSlicer.mrml.DrawnRegions import writePicture

    seen = seen_from(np.asarray(truth.maps["tmax"], np.float32), truth.affine, "axial")
    gray = np.clip(seen / 12.0, 0.0, 1.0) * 255.0
    picture = np.repeat(np.repeat(np.repeat(gray[..., None], 3, axis=2), 6, axis=0), 6, axis=1).astype(np.uint8)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    # Radiological: the patient's right is on the left of the picture.
    middle = picture.shape[1] * (0.30 if side == "left" else 0.70)
    distance = np.hypot(rows - 0.5 * picture.shape[0], columns - middle)
    picture[np.abs(distance - 0.11 * picture.shape[0]) < 2.5] = (255, 255, 0)
    writePicture(path, picture)
