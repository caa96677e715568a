# SPDX-License-Identifier: Apache-2.0
"""Private elements that say when an image was taken or how a mosaic is laid out; only those of the maker who defined them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from ..core.geometry import FloatArray
from .siemens_csa import csa_values

MIDSCAN = Tag(0x0019, 0x1024)
DELTA_START = Tag(0x0043, 0x101E)
DYNAMIC_BEGIN = Tag(0x2005, 0x10A0)
PHILIPS_FRAME = Tag(0x2005, 0x140F)
MOSAIC_IMAGES = Tag(0x0019, 0x100A)
MOSAIC_TIMES = Tag(0x0019, 0x1029)
CSA_IMAGE = Tag(0x0029, 0x1010)

PRIVATE_TAGS: tuple[BaseTag, ...] = (
    *(Tag(group, 0x0010) for group in (0x0019, 0x0029, 0x0043, 0x2005)),
    MIDSCAN, DELTA_START, DYNAMIC_BEGIN, MOSAIC_IMAGES, MOSAIC_TIMES, CSA_IMAGE,
)  # fmt: skip
"""Elements to read, with the elements that say who reserved them."""


def private_clocks(dataset: Dataset) -> dict[str, float]:
    """Return the private times of an image.

    Parameters
    ----------
    dataset : Dataset
        The file.

    Returns
    -------
    dict of str to float, s
        ``midscan`` (GE CT: middle of the exposure), ``delta_start`` (GE CT: start of the image after that of the series),
        ``dynamic_begin`` (Philips MR: start of the dynamic); NaN when absent.
    """
    tomography = str(dataset.get("Modality", "")) == "CT"
    return {
        "midscan": _number(dataset, MIDSCAN, "GEMS") if tomography else float("nan"),
        "delta_start": _number(dataset, DELTA_START, "GEMS") / 1000.0 if tomography else float("nan"),
        "dynamic_begin": _number(dataset, DYNAMIC_BEGIN, "PHILIPS"),
    }


def mosaic_layout(dataset: Dataset) -> tuple[int, FloatArray | None, FloatArray]:
    """Return how many slices a Siemens mosaic holds, where they go and when each was taken.

    Parameters
    ----------
    dataset : Dataset
        A file whose image type says MOSAIC.

    Returns
    -------
    count : int
        Number of slices; 0 when the file does not say.
    normal : ndarray, shape (3,), or None
        Direction from slice to slice in LPS, when the file says it.
    times_s : ndarray, shape (count,) or (0,), s
        Time of each slice after the acquisition time; empty when unknown.
    """
    values = csa_values(_value(dataset, CSA_IMAGE, "SIEMENS"))
    count = _number(dataset, MOSAIC_IMAGES, "SIEMENS")
    count = count if count == count else _numbers(values.get("NumberOfImagesInMosaic", [])).max(initial=0.0)
    normal = _numbers(values.get("SliceNormalVector", []))
    times = _numbers(_value(dataset, MOSAIC_TIMES, "SIEMENS"))
    times = times if times.size else _numbers(values.get("MosaicRefAcqTimes", []))
    whole = int(count) if count == count else 0
    usable = normal.size == 3 and float(np.linalg.norm(normal)) > 0.5
    return whole, normal / np.linalg.norm(normal) if usable else None, times / 1000.0 if times.size == whole else np.zeros(0)


def _value(dataset: Dataset, tag: BaseTag, maker: str) -> Any:
    """Value of an element when its maker reserved it, or when an anonymizer removed the reservation."""
    if tag not in dataset:
        return None
    owner = Tag(tag.group, tag.element >> 8)
    name = str(dataset[owner].value).strip("\0 ").upper() if owner in dataset else ""
    return dataset[tag].value if not name or name.startswith(maker) else None


def _number(dataset: Dataset, tag: BaseTag, maker: str) -> float:
    value = _value(dataset, tag, maker)
    if isinstance(value, bytes) and len(value) in {2, 4} and tag in {MOSAIC_IMAGES, DYNAMIC_BEGIN}:
        # Implicit encoding does not say the type of a private element.
        return float(np.frombuffer(value, "<u2" if tag == MOSAIC_IMAGES else "<f4")[0])
    numbers = _numbers(value)
    return float(numbers[0]) if numbers.size else float("nan")


def _numbers(value: Any) -> FloatArray:
    """Numbers of a value of any form; nothing when one of them is no number."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").strip("\0 ").split("\\")
    items = (
        list(value) if isinstance(value, list | tuple) or (hasattr(value, "__iter__") and not isinstance(value, str)) else [value]
    )
    try:
        return np.array([float(item) for item in items if item is not None and str(item).strip()], np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)
