# SPDX-License-Identifier: Apache-2.0
"""Regions drawn on pictures of maps: checked beside the map, then kept as segments that lesions can refer to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from PerfusionSuiteLib.core import InvalidInputError

from .LesionNodes import segmentationToMasks, setSegment
from .MapUnits import gridOf
from .StudyFolder import fileNodes
from .StudyRoles import ANATOMY, DRAWN, STUDY, nodeFor, nodesOfStudy
from .VolumeArrays import volumeArray

ROLES = {"contralateral": ("Contralateral reference", (0.40, 0.45, 0.95)), "lesion": ("Lesion region", (0.95, 0.55, 0.15))}
"""Segment ID: name and color of what a drawing can stand for."""

_LETTERS = {
    "R": "1111 1001 1001 1111 1100 1010 1001",
    "L": "1000 1000 1000 1000 1000 1000 1111",
    "A": "0110 1001 1001 1111 1001 1001 1001",
    "P": "1111 1001 1001 1111 1000 1000 1000",
}
_SIDES = {"axial": "RL", "coronal": "RL", "sagittal": "AP"}
"""What lies on the left and on the right of a radiological picture."""

_TINT = np.array((26.0, 217.0, 242.0))
_CHECK_HEIGHT, _LETTER_SIZE = 360, 5


def readRegion(
    picturePath: str | Path,
    mapNode: Any,
    *,
    orientation: str = "axial",
    flips: Sequence[str] = (),
    crop: Sequence[float] | None = None,
    color: Sequence[int] | None = None,
    slab: Sequence[float] | None = None,
) -> tuple[Any, np.ndarray]:
    """Find the region that is drawn on a picture; return it (`PictureRegion`) and the picture.

    :param picturePath: PNG or JPEG of a map with a closed outline on it.
    :param mapNode: vtkMRMLScalarVolumeNode whose field of view the picture shows.
    :param orientation: "axial", "coronal" or "sagittal".
    :param flips: "horizontal" when the patient's left is on the left, "vertical" when the picture is upside down.
    :param crop: left, top, right and bottom edge of the field of view on the picture, in pixels.
    :param color: red, green and blue (0 to 255) of the line, by default any yellow.
    :param slab: lowest and highest coordinate along the projection, in mm of the patient.
    """
    from PerfusionSuiteLib.lesion.picture_color import YELLOW, ColorRange
    from PerfusionSuiteLib.lesion.picture_files import read_picture
    from PerfusionSuiteLib.lesion.picture_region import PicturePlane, region_from_picture

    picture = read_picture(picturePath)
    shade = None if color is None else tuple(int(channel) for channel in color)
    region = region_from_picture(
        picture,
        brainOf(mapNode),
        gridOf(mapNode)[1],
        plane=PicturePlane(orientation, tuple(flips), None if crop is None else tuple(float(edge) for edge in crop)),
        colors=YELLOW if shade is None else ColorRange.around(shade),
        shade=shade,
        slab_mm=None if slab is None else (float(slab[0]), float(slab[1])),
    )
    return region, picture


def brainOf(mapNode: Any) -> np.ndarray:
    """Return the brain of a map: that of its study, else where the map has values."""
    study = mapNode.GetAttribute(STUDY)
    anatomy = nodesOfStudy(mapNode.GetScene(), study).get(ANATOMY) if study else None
    if anatomy is not None:
        return segmentationToMasks(anatomy, reference=mapNode).brain
    values = volumeArray(mapNode)
    brain = np.isfinite(values) & (values != 0)
    if not brain.any():
        msg = f"'{mapNode.GetName()}' has no values. Choose another map."
        raise InvalidInputError(msg)
    return brain


def regionToSegmentation(mapNode: Any, mask: np.ndarray, role: str, study: str) -> Any:
    """Keep a region as the segment of its role; return the segmentation node."""
    if role not in ROLES:
        msg = f"A drawing cannot stand for '{role}'. Use one of {', '.join(ROLES)}."
        raise InvalidInputError(msg)
    scene = mapNode.GetScene()
    node = nodeFor(scene, "vtkMRMLSegmentationNode", study, DRAWN, f"{study} drawn regions")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(mapNode)
    name, color = ROLES[role]
    segmentation = node.GetSegmentation()
    if segmentation.GetSegmentIndex(role) < 0:
        segmentation.SetSourceRepresentationName("Binary labelmap")
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetColor(*color)
        segmentation.AddSegment(segment, role)
    setSegment(node, role, mask, gridOf(mapNode)[1])
    node.GetDisplayNode().SetOpacity2DFill(0.25)
    fileNodes(scene, study, {DRAWN: node})
    return node


def checkPicture(region: Any, picture: np.ndarray, mapNode: Any, orientation: str) -> np.ndarray:
    """Return RGB (rows, columns, 3): the picture with what was found on it, and beside it the map with the region.

    The map is seen as a radiologist sees it: the patient's right (sagittal: anterior) on the left.
    """
    from PerfusionSuiteLib.lesion.picture_region import plane_size_mm, seen_from

    affine = gridOf(mapNode)[1]
    seen = seen_from(volumeArray(mapNode), affine, orientation)
    top = float(np.percentile(seen[seen > 0], 99)) if (seen > 0).any() else 1.0
    gray = np.clip(seen / top, 0.0, 1.0) * 255.0
    width, height = plane_size_mm(gridOf(mapNode)[0], affine, orientation)
    flat = seen_from(region.mask, affine, orientation)
    left = _tinted(picture.astype(float), region.drawing.region, picture.shape[1] / picture.shape[0])
    right = _tinted(np.repeat(gray[..., None], 3, axis=2), flat, width / height)
    for letter, column in zip(_SIDES[orientation], (8, right.shape[1] - 8 - 4 * _LETTER_SIZE), strict=True):
        _write(right, letter, _CHECK_HEIGHT // 2 - 3 * _LETTER_SIZE, column)
    gap = np.full((_CHECK_HEIGHT, 8, 3), 60, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def _write(image: np.ndarray, letter: str, row: int, column: int, size: int = _LETTER_SIZE) -> None:
    """Write a letter into an image."""
    shape = np.array([[int(dot) for dot in line] for line in _LETTERS[letter].split()], bool)
    large = np.kron(shape, np.ones((size, size), bool))
    place = image[row : row + large.shape[0], column : column + large.shape[1]]
    place[large[: place.shape[0], : place.shape[1]]] = 255


def _tinted(image: np.ndarray, mask: np.ndarray, ratio: float) -> np.ndarray:
    """Bring an image to the common height, with a mask as a tint and its outline."""
    size = _CHECK_HEIGHT, max(1, round(_CHECK_HEIGHT * ratio))
    rows, columns = ((np.arange(count) + 0.5) / count for count in size)
    rows, columns = (rows * image.shape[0]).astype(int), (columns * image.shape[1]).astype(int)
    shown, inside = image[rows][:, columns], mask[rows][:, columns]
    shown = np.where(inside[..., None], 0.65 * shown + 0.35 * _TINT, shown)
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    return np.where((grown & ~inside)[..., None], _TINT, shown).astype(np.uint8)


def writePicture(path: str | Path, rgb: np.ndarray) -> str:
    """Write an RGB array as a PNG."""
    image = vtk.vtkImageData()
    image.SetDimensions(rgb.shape[1], rgb.shape[0], 1)
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(rgb[::-1]).reshape(-1, 3), deep=True)
    image.GetPointData().SetScalars(scalars)
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
    return str(path)
