# SPDX-License-Identifier: Apache-2.0
"""Sequence files go both ways between the library and 3D Slicer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from PerfusionSuiteLib import series
from PerfusionSuiteSlicer.mrml.SequenceNodes import seriesToSequence

pytestmark = pytest.mark.mrml


def test_slicer_loads_what_the_library_writes(scene, tmp_path, a_ctp_series):
    scan = replace(a_ctp_series, times_s=a_ctp_series.times_s**1.05)
    path = series.write_nrrd(scan, tmp_path / "scan.seq.nrrd")
    node = slicer.util.loadSequence(str(path))
    assert node.GetNumberOfDataNodes() == scan.times_s.size
    assert (node.GetIndexName(), node.GetIndexUnit()) == ("time", "s")
    np.testing.assert_allclose([float(node.GetNthIndexValue(n)) for n in range(30)], scan.times_s, atol=1e-6)
    frame = slicer.util.arrayFromVolume(node.GetNthDataNode(7))
    np.testing.assert_array_equal(frame.T, scan.data[..., 7])
    matrix = vtk.vtkMatrix4x4()
    node.GetNthDataNode(7).GetIJKToRASMatrix(matrix)
    found = [[matrix.GetElement(i, j) for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(found, scan.affine, atol=1e-6)


def test_the_library_reads_what_slicer_saves(scene, tmp_path, a_ctp_series):
    scan = replace(a_ctp_series, data=np.rint(a_ctp_series.data))
    sequence, _ = seriesToSequence(scene, scan, "head")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(tmp_path / "head.seq.nrrd"))
    assert storage.WriteData(sequence)
    found = series.read(tmp_path / "head.seq.nrrd")
    np.testing.assert_array_equal(found.data, scan.data)
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-5)
    np.testing.assert_allclose(found.times_s, scan.times_s, atol=1e-4)
    assert found.acquisition.time_source == "axis 3 index values of the NRRD file (unit s)"
