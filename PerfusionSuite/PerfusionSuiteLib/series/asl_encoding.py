# SPDX-License-Identifier: Apache-2.0
"""Time-encoded ASL: a Hadamard matrix says in which volume which part of the bolus was labeled, and leads back to differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from .asl_fields import HOW_TO_GIVE
from .notes import Notes

MATRIX, SIZE, KIND = "TimeEncodedMatrix", "TimeEncodedMatrixSize", "TimeEncodedMatrixType"
"""Fields of converters and other ASL programs; BIDS itself has none. The matrix has a row per volume of one cycle and a column
per part of the bolus in the order of labeling: 1 for control, -1 for label."""

_KEPT = ("m0scan", "noRF")


def is_encoded(fields: Mapping[str, Any]) -> bool:
    """Say whether a scan is time-encoded.

    Parameters
    ----------
    fields : mapping
        By their names in the sidecar.

    Returns
    -------
    bool
        True with a matrix, or a size above 0.
    """
    size = fields.get(SIZE)
    return fields.get(MATRIX) is not None or (isinstance(size, int | float) and not isinstance(size, bool) and size > 1)


def decoded(
    data: NDArray[np.float32], kinds: tuple[str, ...], fields: Mapping[str, Any], notes: Notes
) -> tuple[NDArray[np.float32], tuple[str, ...], dict[str, Any]]:
    """Turn the volumes of a time-encoded scan into difference images, one for each part of the bolus and cycle.

    Parameters
    ----------
    data : ndarray, shape (I, J, K, V)
        The scan as it was acquired.
    kinds : tuple of str
        What each volume is; those that are no M0 are encoded. Empty when nothing says it: then all are.
    fields : mapping
        `MATRIX`; ``LabelingDuration`` of each part (or one number for all), ``PostLabelingDelay`` after the last part, in s.
    notes : Notes
        Gets the decision.

    Returns
    -------
    data : ndarray of float32, shape (I, J, K, W)
        M0 volumes first, then difference images.
    kinds : tuple of str
        ``m0scan`` and ``deltam``.
    fields : dict
        With the delay and duration of each volume.

    Raises
    ------
    InvalidInputError
        If the matrix is missing or no Hadamard encoding, or volumes and times do not fit it.

    Notes
    -----
    With s = 1 for control and -1 for label, a volume holds ``static - sum over parts of (1 - s)/2 difference``; as columns are
    orthogonal and sum to 0, ``difference = 2/N sum of s volume`` (von Samson-Himmelstjerna et al., Magn Reson Med 76:1849, 2016).
    """
    matrix = _matrix(fields)
    rows, parts = matrix.shape
    kinds = kinds or ("n/a",) * data.shape[3]
    encoded = np.array([n for n, kind in enumerate(kinds) if kind not in _KEPT])
    if not encoded.size or encoded.size % rows:
        msg = f"{encoded.size} encoded volumes cannot be cycles of the {rows} rows of {MATRIX}. Correct one of the two."
        raise InvalidInputError(msg)
    delays, durations = _times(fields, parts)
    reference = [n for n, kind in enumerate(kinds) if kind == "m0scan"]
    cycles = data[..., encoded].reshape(*data.shape[:3], -1, rows)
    images = (2.0 / rows) * np.einsum("ijkcn,np->ijkcp", cycles, matrix.astype(np.float32), dtype=np.float32)
    count = images.shape[3]
    new = np.concatenate([data[..., reference], images.reshape(*data.shape[:3], count * parts)], axis=3)
    still = [0.0] * len(reference)
    notes.decide(f"{count} cycles of {rows} time-encoded volumes were decoded into differences of {parts} parts of the bolus.")
    text = "The scan is time-encoded: head motion between the volumes of a cycle was not corrected before decoding."
    notes.find("time_encoded", "info", text, "Look for rings around the head in the difference images.")
    times = {"PostLabelingDelay": [*still, *list(delays) * count], "LabelingDuration": [*still, *list(durations) * count]}
    left = {name: value for name, value in fields.items() if name not in (MATRIX, SIZE, KIND)}
    return np.ascontiguousarray(new), ("m0scan",) * len(reference) + ("deltam",) * (count * parts), {**left, **times}


def _matrix(fields: Mapping[str, Any]) -> FloatArray:
    """The matrix, checked."""
    given = fields.get(MATRIX)
    if given is None:
        size, kind = fields.get(SIZE), fields.get(KIND)
        named = f"{kind or 'Hadamard'} {int(size) if isinstance(size, int | float) else ''}".strip()
        msg = (
            f"The scan is time-encoded ({named}), but nothing says in which volume which part of the bolus was labeled. Give "
            f"{MATRIX} (1 control, -1 label; a row per volume, a column per part) {HOW_TO_GIVE}, or give decoded images."
        )
        raise InvalidInputError(msg)
    try:
        matrix = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        matrix = np.zeros(0)
    good = (
        matrix.ndim == 2 and matrix.shape[0] >= 2 and matrix.shape[1] < matrix.shape[0] and bool(np.isin(matrix, (-1, 1)).all())
    )
    if good:
        good = bool((matrix.sum(axis=0) == 0).all() and np.array_equal(matrix.T @ matrix, len(matrix) * np.eye(matrix.shape[1])))
    if not good:
        msg = f"{MATRIX} is no Hadamard encoding: its columns must hold 1 and -1, sum to 0 and be orthogonal. Correct it."
        raise InvalidInputError(msg)
    return matrix


def _times(fields: Mapping[str, Any], parts: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Delay and duration of each part: after a part come the later parts, and the delay of the scan."""
    durations = _numbers(fields.get("LabelingDuration"))
    durations = durations * parts if len(durations) == 1 else durations
    delays = _numbers(fields.get("PostLabelingDelay"))
    if len(durations) != parts or len(delays) not in (1, parts) or not all(value > 0 for value in durations):
        msg = (
            f"A time-encoded scan of {parts} parts needs LabelingDuration with {parts} entries (or one) and "
            f"PostLabelingDelay after the last; there are {len(durations)} and {len(delays)}. Give both in seconds {HOW_TO_GIVE}."
        )
        raise InvalidInputError(msg)
    if len(delays) == parts:
        return tuple(delays), tuple(durations)
    later = [sum(durations[n + 1 :]) for n in range(parts)]
    return tuple(delays[0] + wait for wait in later), tuple(durations)


def _numbers(value: Any) -> list[float]:
    items = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return [float(item) for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
