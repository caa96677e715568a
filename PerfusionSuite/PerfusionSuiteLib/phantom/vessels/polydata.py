# SPDX-License-Identifier: Apache-2.0
"""Vessels as a surface that viewers open: tubes along the thickest segments, as VTK polydata (``.vtp``), written here."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from ...core.files import written_beside
from ...core.geometry import FloatArray
from .values import Forest, Index

SIDES = 6
MOST_SEGMENTS = 24_000
_TYPES = {"float32": "Float32", "int32": "Int32", "uint8": "UInt8"}


@dataclass(frozen=True, slots=True)
class Surface:
    """Triangles with values at their corners.

    Parameters
    ----------
    points : ndarray, shape (n, 3), mm
        RAS.
    triangles : ndarray of int, shape (m, 3)
        Corners.
    values : dict of str to ndarray, shape (n,)
        By name.
    """

    points: NDArray[np.float32]
    triangles: NDArray[np.int32]
    values: dict[str, NDArray[np.float32]]


def tubes(
    forest: Forest, to_ras: FloatArray, shear: float, values: dict[str, FloatArray], *, most: int = MOST_SEGMENTS
) -> Surface:
    """Build tubes around the thickest segments of a forest.

    Parameters
    ----------
    forest : Forest
        Vessels.
    to_ras : ndarray, shape (4, 4), mm
        Positions of nodes to RAS.
    shear : float, 1/s
        Wall shear rate, which decides radii.
    values : dict of str to ndarray, shape (nodes,)
        Shown on the surface; the radius is added.
    most : int
        How many segments at most.

    Returns
    -------
    Surface
        Six-sided tubes.
    """
    radius = forest.radius(shear)
    joined = np.flatnonzero((forest.parent >= 0) & (forest.length > 1e-6))
    chosen = joined[np.argsort(radius[joined], kind="stable")[::-1][:most]]
    ends = np.stack([forest.parent[chosen], chosen])
    axis = forest.position[ends[1]] - forest.position[ends[0]]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    helper = np.where(np.abs(axis[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(axis, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(axis, first)
    angle = 2.0 * np.pi * np.arange(SIDES) / SIDES
    ring = np.cos(angle)[:, None, None] * first + np.sin(angle)[:, None, None] * second
    points = forest.position[ends][:, None] + radius[chosen][None, None, :, None] * ring[None]
    ordered = points.transpose(2, 0, 1, 3).reshape(-1, 3)  # segment, end, corner
    ras = ordered @ to_ras[:3, :3].T + to_ras[:3, 3]

    def at_corners(array: FloatArray) -> NDArray[np.float32]:
        return np.repeat(array[ends].T.reshape(-1), SIDES).astype(np.float32)

    shown = {name: at_corners(np.asarray(array, float)) for name, array in values.items()}
    shown["radius_mm"] = np.repeat(radius[chosen], 2 * SIDES).astype(np.float32)
    return Surface(ras.astype(np.float32), _sides(chosen.size), shown)


def _sides(count: int) -> NDArray[np.int32]:
    """Return two triangles for each side of each tube, outwards."""
    here = np.arange(SIDES)
    after = (here + 1) % SIDES
    low = np.stack([here, here + SIDES, after], axis=1)
    high = np.stack([after, here + SIDES, after + SIDES], axis=1)
    one: Index = np.concatenate([low, high])
    return (one[None] + 2 * SIDES * np.arange(count)[:, None, None]).reshape(-1, 3).astype(np.int32)


def write_vtp(path: str | Path, surface: Surface) -> Path:
    """Write a surface as XML polydata, compressed, in LPS as viewers of medical images expect (and marked so).

    Parameters
    ----------
    path : path-like
        The file (``.vtp``).
    surface : Surface
        What to write.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If it cannot be written.
    """
    lps = surface.points * np.array([-1.0, -1.0, 1.0], np.float32)
    count = len(surface.triangles)
    offsets = 3 * np.arange(1, count + 1, dtype=np.int32)
    values = "".join(_array(name, array) for name, array in surface.values.items())
    scalars = quoteattr(next(iter(surface.values), ""))
    text = (
        '<?xml version="1.0"?>\n'
        '<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt32" '
        'compressor="vtkZLibDataCompressor">\n'
        '<PolyData><FieldData><DataArray type="String" Name="SPACE" NumberOfTuples="1" format="ascii">'
        "76 80 83 0</DataArray></FieldData>\n"
        f'<Piece NumberOfPoints="{len(lps)}" NumberOfVerts="0" NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="{count}">\n'
        f"<PointData Scalars={scalars}>\n{values}</PointData>\n"
        f"<Points>\n{_array('Points', lps)}</Points>\n"
        f"<Polys>\n{_array('connectivity', surface.triangles)}{_array('offsets', offsets)}</Polys>\n"
        "</Piece></PolyData></VTKFile>\n"
    )
    with written_beside(path) as temporary:
        temporary.write_text(text, encoding="ascii")
    return Path(path)


def _array(name: str, array: NDArray[np.floating] | NDArray[np.integer]) -> str:
    """Return an array as a compressed block in base64."""
    content = np.ascontiguousarray(array)
    raw = content.astype(content.dtype.newbyteorder("<")).tobytes()
    packed = zlib.compress(raw, 6)
    header = struct.pack("<4I", 1, len(raw), 0, len(packed))  # one block of this size, no partial block, its packed size
    parts = f' NumberOfComponents="{content.shape[1]}"' if content.ndim == 2 and name == "Points" else ""
    body = base64.b64encode(header).decode() + base64.b64encode(packed).decode()
    return f'<DataArray type="{_TYPES[content.dtype.name]}" Name={quoteattr(name)}{parts} format="binary">{body}</DataArray>\n'
