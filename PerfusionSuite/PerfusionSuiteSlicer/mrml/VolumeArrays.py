# SPDX-License-Identifier: Apache-2.0
"""Arrays of the library, (I, J, K) with a 4x4 affine, as VTK images and back.

VTK keeps the first index fastest, so `slicer.util` shows volumes as (K, J, I). The exchange of the two orders
happens in this file and nowhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from PerfusionSuiteLib.core import GridMismatchError, InvalidInputError


def matrixFromAffine(affine: Any) -> vtk.vtkMatrix4x4:
    """Return an affine (voxel to RAS, mm) as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(affine, float).ravel().tolist())
    return matrix


def affineFromMatrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """Return a VTK matrix as an affine."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def affineOf(volumeNode: Any) -> np.ndarray:
    """Return voxel to RAS of a volume node."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return affineFromMatrix(matrix)


def transformProblem(node: Any) -> str:
    """Return why a node that a user gives lies elsewhere than its own geometry says, an empty text when it does not.

    :param node: volume or segmentation; a transform above it moves it in the views, but not its voxels.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return ""
    return f"'{node.GetName()}' is moved by the transform '{transform.GetName()}'. Harden it first (module Transforms)."


def fillImage(image: Any, array: np.ndarray) -> Any:
    """Give a VTK image the voxels (a copy) of an array of shape (I, J, K)."""
    array = np.asarray(array)
    if array.ndim != 3:
        msg = f"A volume node holds 3 dimensions, not {array.ndim}. Pass one frame at a time."
        raise InvalidInputError(msg)
    image.SetDimensions(*array.shape)
    scalars = numpy_support.numpy_to_vtk(array.ravel(order="F"), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def arrayOfImage(image: Any) -> np.ndarray:
    """Return a copy of the voxels of a VTK image with shape (I, J, K)."""
    scalars = None if image is None else image.GetPointData().GetScalars()
    if scalars is None:
        msg = "The volume has no voxels. Load or compute it first."
        raise InvalidInputError(msg)
    values = numpy_support.vtk_to_numpy(scalars)
    if values.ndim != 1:
        msg = f"The volume has {values.shape[1]} numbers in each voxel, one is expected. Choose a scalar volume."
        raise InvalidInputError(msg)
    return values.reshape(image.GetDimensions(), order="F").copy()


def setVolume(volumeNode: Any, array: np.ndarray, affine: Any) -> Any:
    """Replace voxels and geometry of a volume node, in one step for whoever observes it."""
    wasModifying = volumeNode.StartModify()
    volumeNode.SetIJKToRASMatrix(matrixFromAffine(affine))
    volumeNode.SetAndObserveImageData(fillImage(vtk.vtkImageData(), array))
    volumeNode.EndModify(wasModifying)
    return volumeNode


def volumeArray(volumeNode: Any) -> np.ndarray:
    """Return a copy of the voxels of a volume node with shape (I, J, K)."""
    if volumeNode is None:
        msg = "No volume was given. Choose one."
        raise InvalidInputError(msg)
    try:
        return arrayOfImage(volumeNode.GetImageData())
    except InvalidInputError as error:
        msg = f"The volume '{volumeNode.GetName()}' cannot be used. {error}"
        raise InvalidInputError(msg) from error


def vectorVolumeArray(volumeNode: Any) -> np.ndarray:
    """Return a copy of a volume node with several numbers per voxel, with shape (I, J, K, N)."""
    image = volumeNode.GetImageData()
    values = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return values.reshape((*image.GetDimensions(), -1), order="F").copy()


def maskImage(mask: np.ndarray, affine: Any) -> Any:
    """Return a mask as an oriented image, the form in which segments are exchanged."""
    image = fillImage(slicer.vtkOrientedImageData(), np.asarray(mask, np.uint8))
    image.SetImageToWorldMatrix(matrixFromAffine(affine))
    return image


def maskArray(image: Any, shape: tuple[int, ...], affine: Any) -> np.ndarray:
    """Return an oriented image as a mask on the grid of `shape` and `affine` (nearest voxel)."""
    grid = maskImage(np.zeros(shape, np.uint8), affine)
    resampled = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not resample(image, grid, resampled, False, False):
        msg = "A segment could not be brought onto the grid of the maps. Check its geometry."
        raise GridMismatchError(msg)
    return arrayOfImage(resampled) > 0
