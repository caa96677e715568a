# SPDX-License-Identifier: Apache-2.0
"""The runtime on slicer-core: one per process, nothing in the desktop, a clean end."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import slicer

from PerfusionSuiteSlicer.headless.Runtime import freshScene, isDesktop, startRuntime

pytestmark = pytest.mark.mrml


def test_starting_twice_gives_the_same_scene(application_scene):
    assert startRuntime() is application_scene
    assert slicer.app.mrmlScene() is application_scene
    assert not isDesktop()


def test_nothing_is_set_up_inside_the_desktop_application(application_scene, monkeypatch):
    class DesktopApplication:
        pass

    desktop, its_scene = DesktopApplication(), object()
    monkeypatch.setattr(slicer, "app", desktop)
    monkeypatch.setattr(slicer, "mrmlScene", its_scene)
    assert startRuntime() is its_scene
    assert slicer.app is desktop
    assert isDesktop()


def test_a_fresh_scene_does_not_touch_the_one_of_the_user(application_scene):
    before = application_scene.GetNumberOfNodes()
    with freshScene() as runtime:
        runtime.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        runtime.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
        assert runtime.scene is not application_scene
    assert application_scene.GetNumberOfNodes() == before


def test_the_load_and_save_functions_of_slicer_util_work(application_scene, tmp_path):
    values = np.random.default_rng(3).normal(size=(4, 5, 6)).astype(np.float32)
    node = slicer.util.addVolumeFromArray(values, name="saved")
    try:
        assert slicer.util.saveNode(node, str(tmp_path / "saved.nrrd"))
        loaded = slicer.util.loadVolume(str(tmp_path / "saved.nrrd"), properties={})
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), values)
        with pytest.raises(RuntimeError):
            slicer.util.loadVolume(str(tmp_path / "missing.nrrd"), properties={})
    finally:
        application_scene.Clear(0)


def test_a_process_that_drew_and_saved_ends_without_a_word(tmp_path):
    code = (
        "from PerfusionSuiteSlicer.headless.Runtime import startRuntime, freshScene\n"
        "from PerfusionSuiteSlicer.headless.SliceImages import SliceView\n"
        "import slicer, numpy as np\n"
        "startRuntime(); node = slicer.util.addVolumeFromArray(np.ones((3, 9, 9)), name='x')\n"
        "for name in ('SequenceBrowser', 'Segmentation'): slicer.mrmlScene.AddNewNodeByClass(f'vtkMRML{name}Node')\n"
        "with freshScene() as r:\n"
        "    v = SliceView(r, (64, 64)); v.picture(); v.close()\n"
        f"assert slicer.mrmlScene.WriteToMRB({str(tmp_path / 'x.mrb')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""
    assert done.stdout.strip() == ""
