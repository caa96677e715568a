# SPDX-License-Identifier: Apache-2.0
"""The file of a fitted field as text, the form in which a scene takes it along wherever it is saved.

A first line says what it is, how many bytes it has and their SHA-256; then follow lines of base64 of the deflated bytes.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

from ..core import InvalidInputError

_WORDS = "perfusion-suite-field 1 safetensors deflate base64"
_LINE = 1 << 16
"""A text of one line of many MB is hard on every program that shows it."""


def text_of_field(content: bytes) -> str:
    """Return the bytes of a field's file as text.

    Parameters
    ----------
    content : bytes
        A file of `fitting.save_field`.

    Returns
    -------
    str
        ASCII.
    """
    body = base64.b64encode(zlib.compress(content, 1)).decode("ascii")
    lines = (body[start : start + _LINE] for start in range(0, len(body), _LINE))
    return "\n".join([f"{_WORDS} {len(content)} {hashlib.sha256(content).hexdigest()}", *lines])


def facts_of_text(text: str) -> tuple[int, str]:
    """Return what the first line says.

    Parameters
    ----------
    text : str
        From `text_of_field`; its beginning is enough.

    Returns
    -------
    tuple of (int, str)
        Number of bytes and SHA-256 of the file.

    Raises
    ------
    InvalidInputError
        If it is no field.
    """
    words, _, sha256 = text[: text.find("\n")].rpartition(" ")
    known, _, size = words.rpartition(" ")
    if known != _WORDS or not size.isdigit():
        msg = "The text holds no fitted field that this version can read. Fit the scan again, or update Perfusion Suite."
        raise InvalidInputError(msg)
    return int(size), sha256


def field_of_text(text: str) -> bytes:
    """Return the bytes of a field's file.

    Parameters
    ----------
    text : str
        From `text_of_field`; breaks of lines may have changed.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    InvalidInputError
        If it is no field, or damaged.
    """
    size, sha256 = facts_of_text(text)
    try:
        content = zlib.decompress(base64.b64decode("".join(text.split("\n")[1:]).replace("\r", ""), validate=True))
    except (ValueError, zlib.error) as error:
        msg = f"The weights of the fitted field are damaged ({error}). Fit the scan again."
        raise InvalidInputError(msg) from error
    if len(content) != size or hashlib.sha256(content).hexdigest() != sha256.strip():
        msg = "The weights of the fitted field are not those that were saved. Fit the scan again."
        raise InvalidInputError(msg)
    return content
