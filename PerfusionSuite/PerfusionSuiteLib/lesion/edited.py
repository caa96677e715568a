# SPDX-License-Identifier: Apache-2.0
"""Presets with thresholds that the user entered, from JSON values or from words of the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..core.errors import InvalidInputError
from ..core.threshold_choices import UNASKED_BEFORE
from .presets import PRESETS, Preset, find_preset

EDITABLE: tuple[str, ...] = tuple(field.name for field in fields(Preset) if field.name != "name")
"""Names of everything in a preset that can be replaced."""

_PLAIN = Preset()


def edited_preset(preset: str | Preset, thresholds: Mapping[str, Any]) -> Preset:
    """Replace thresholds of a preset.

    Parameters
    ----------
    preset : str or Preset
        Where to start from.
    thresholds : mapping of str to object
        Fields of `Preset` and their new values, as JSON has them: numbers, lists of numbers, texts, true and false. An offset
        or a flow factor may be one number, which then holds for the maps of every method.

    Returns
    -------
    Preset
        The checked preset, under its old name.

    Raises
    ------
    InvalidInputError
        If there is no such threshold, or the value has another type or is out of range.
    """
    preset = find_preset(preset)
    unknown = sorted(set(thresholds) - set(EDITABLE))
    if unknown:
        msg = f"There is no threshold '{unknown[0]}'. Known ones: {', '.join(EDITABLE)}."
        raise InvalidInputError(msg)
    return replace(preset, **{name: _checked(name, value, getattr(preset, name)) for name, value in thresholds.items()})


def differing(preset: Preset) -> list[str]:
    """Name the thresholds in which a preset differs from the one that its name promises.

    Parameters
    ----------
    preset : Preset
        The preset.

    Returns
    -------
    list of str
        Names of fields; all of them are the user's when the name is none of `PRESETS`.
    """
    original = PRESETS.get(preset.name)
    return [name for name in EDITABLE if original is None or getattr(preset, name) != getattr(original, name)]


def thresholds_from_words(words: Sequence[str]) -> dict[str, Any]:
    """Read thresholds as typed: ``tmax_s=5``, ``tmax_levels_s=4,6,8``, ``strict=false``, ``core_region=anywhere``.

    Parameters
    ----------
    words : sequence of str
        One threshold each.

    Returns
    -------
    dict
        For `edited_preset`, which checks them.

    Raises
    ------
    InvalidInputError
        If a word is not of this form.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not text.strip():
            msg = f"'{word}' is no threshold. Write NAME=VALUE, for example tmax_s=5."
            raise InvalidInputError(msg)
        if isinstance(getattr(_PLAIN, name.strip(), None), str):
            found[name.strip()] = text.strip()  # a file may be called after a number, or with a comma
            continue
        parts = [_value(part) for part in text.split(",") if part.strip()]
        found[name.strip()] = parts if "," in text else parts[0]
    return found


def thresholds_from_json(path: str | Path) -> dict[str, Any]:
    """Read thresholds from a JSON object, also from the ``thresholds`` of a ``metrics.json``.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    dict
        For `edited_preset`. Of a ``metrics.json`` only what can be edited, without the method's offset and factor.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or holds no object.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = (
            f"The file of thresholds '{Path(path).name}' cannot be read ({error}). Give a JSON object such as {{\"tmax_s\": 5}}."
        )
        raise InvalidInputError(msg) from error
    if not isinstance(values, dict):
        msg = f"The file of thresholds '{Path(path).name}' holds no JSON object. Give one such as {{\"tmax_s\": 5}}."
        raise InvalidInputError(msg)
    if "schema" in values and isinstance(values.get("thresholds"), dict):
        belongs_to_method = {"tmax_offset_s", "rcbf_factor"}
        found = {key: value for key, value in values["thresholds"].items() if key in EDITABLE and key not in belongs_to_method}
        whole = str(values["schema"]).startswith(
            "perfusion-suite/metrics"
        )  # all thresholds of a run, maybe of an earlier version
        return {**UNASKED_BEFORE, **found} if whole else found
    return values


def _value(text: str) -> Any:
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return float(word)
    except ValueError:
        return word


def _checked(name: str, value: Any, present: Any) -> Any:
    """Return a value in the type that the field has."""
    if name in ("tmax_offset_s", "rcbf_factor"):
        return _per_method(name, value)
    if isinstance(present, bool):
        return _of_type(name, value, isinstance(value, bool), "true or false")
    if isinstance(present, str):
        return _of_type(name, value, isinstance(value, str), "a word")
    if isinstance(present, tuple):
        numbers = value if isinstance(value, list | tuple) else [value]
        numbers = tuple(float(_of_type(name, item, _is_number(item), "a list of numbers")) for item in numbers)
        if name == "cortex_percentiles" and len(numbers) != 2:
            msg = f"The threshold '{name}' needs two percentiles, not {len(numbers)}. Write for example 40,90."
            raise InvalidInputError(msg)
        return numbers
    number = _of_type(name, value, _is_number(value), "a number")
    return round(number) if isinstance(present, int) else float(number)


def _per_method(name: str, value: Any) -> Mapping[str, float]:
    if isinstance(value, Mapping):
        return {str(key): float(_of_type(name, item, _is_number(item), "a number")) for key, item in value.items()}
    return {"*": float(_of_type(name, value, _is_number(value), "a number or an object of numbers by method"))}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _of_type(name: str, value: Any, fits: bool, words: str) -> Any:
    if not fits:
        msg = f"The threshold '{name}' is {value!r}; {words} is expected. Correct the threshold."
        raise InvalidInputError(msg)
    return value
