# SPDX-License-Identifier: Apache-2.0
"""What a user chose by name, checked: options of a method, fields of settings, files that hold them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from .errors import InvalidInputError

_Method = TypeVar("_Method")

_EXPECTED: Mapping[str, tuple[Any, str]] = {
    "str": (str, "a text"),
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
    "float | None": (int | float | None, "a number or null"),
    "Mapping[str, Any]": (Mapping, 'an object such as {"name": 0.1}'),
}


def chosen(name: str, methods: Mapping[str, _Method], what: str) -> _Method:
    """Return what a user called by name.

    Parameters
    ----------
    name : str
        What the user said.
    methods : mapping of str to object
        What there is.
    what : str
        What one of them is called, such as ``deconvolution method``.

    Returns
    -------
    object
        The one of that name.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    if name not in methods:
        msg = f"There is no {what} '{name}'. Choose one of {', '.join(methods)}."
        raise InvalidInputError(msg)
    return methods[name]


def completed(method: str, options: Mapping[str, Any], given: Mapping[str, Any] | None, word: str = "setting") -> dict[str, Any]:
    """Return the options of a method with defaults filled in.

    Parameters
    ----------
    method : str
        Name of the method.
    options : mapping
        Its options with their defaults.
    given : mapping, optional
        Those that differ.
    word : str
        What one of them is called.

    Returns
    -------
    dict
        Every option.

    Raises
    ------
    InvalidInputError
        If an option does not exist.
    """
    differing = dict(given or {})
    refuse_unknown(f"The method '{method}'", options, differing, word)
    return {**options, **differing}


def method_options(words: Iterable[str]) -> dict[str, Any]:
    """Read options of a method that were typed.

    Parameters
    ----------
    words : iterable of str
        ``key=value``; a value that is JSON (a number, true, null, a list) is taken as such, anything else as a text.

    Returns
    -------
    dict
        Value by key.

    Raises
    ------
    InvalidInputError
        If a word has no key.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or not key.strip():
            msg = f"'{word}' is no option of a method. Write it as KEY=VALUE, for example steps=500."
            raise InvalidInputError(msg)
        try:
            found[key.strip()] = json.loads(text)
        except ValueError:
            found[key.strip()] = text.strip()
    return found


def refuse_unknown(owner: str, known: Collection[str], given: Iterable[str], word: str) -> None:
    """Refuse names that something does not have.

    Parameters
    ----------
    owner : str
        What it is, as the beginning of a sentence.
    known : collection of str
        What it has.
    given : iterable of str
        What the user named.
    word : str
        What one of them is called.

    Raises
    ------
    InvalidInputError
        Naming the unknown ones and those there are.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        msg = f"{owner} has no {word} {', '.join(map(repr, unknown))}. It has {', '.join(known) or 'none'}."
        raise InvalidInputError(msg)


def check_device(device: str) -> None:
    """Refuse what is not the name of a device.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    InvalidInputError
        If it is something else.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        msg = f"There is no device '{device}'. Choose auto, cpu or cuda (cuda:1 for the second GPU)."
        raise InvalidInputError(msg)


def check_types(settings: Any) -> None:
    """Refuse a value of another type, which a JSON file can hold: the text "no" would count as true.

    Parameters
    ----------
    settings : dataclass
        With fields of the types that JSON has.

    Raises
    ------
    InvalidInputError
        If a value is not of the type of its field.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        kind, words = _EXPECTED[str(item.type)]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            msg = f"The setting {item.name} is {value!r}; {words} is expected. Correct the settings."
            raise InvalidInputError(msg)


def read_settings(path: str | Path, kind: type, example: str, unknown_words: str) -> dict[str, Any]:
    """Read the fields of a settings class from a JSON file.

    Parameters
    ----------
    path : path-like
        A JSON object whose keys are fields of the class.
    kind : type
        The dataclass.
    example : str
        A file that would be right, for the error.
    unknown_words : str
        What is said of the file when it holds other entries, such as ``has unknown entries``.

    Returns
    -------
    dict
        What the file says.

    Raises
    ------
    InvalidInputError
        If the file cannot be read or names an unknown setting.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"The settings file '{path}' cannot be read ({error}). Give a JSON file such as {example}."
        raise InvalidInputError(msg) from error
    known = {item.name for item in fields(kind)}
    unknown = sorted(set(values) - known) if isinstance(values, dict) else ["(not a JSON object)"]
    if unknown:
        msg = f"The settings file '{path}' {unknown_words}: {', '.join(unknown)}. Known ones: {', '.join(sorted(known))}."
        raise InvalidInputError(msg)
    return dict(values)
