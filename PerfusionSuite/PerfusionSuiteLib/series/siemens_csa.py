# SPDX-License-Identifier: Apache-2.0
"""The list of named values that Siemens MR scanners keep in private elements (CSA header, second form).

Facts about the layout: four letters ``SV10``, four bytes, the number of entries and a check value (little-endian 32 bit each);
per entry a name (64 bytes), multiplicity, type (4 bytes), a code, the number of items and a check value; per item four
numbers, of which the second is its length, and its text padded to a multiple of four bytes.
"""

from __future__ import annotations

import struct

_MAGIC = b"SV10"
_MOST_ENTRIES = 1000


def csa_values(content: object) -> dict[str, list[str]]:
    """Return the texts of a CSA header by name.

    Parameters
    ----------
    content : object
        Value of the private element.

    Returns
    -------
    dict of str to list of str
        Items that are not empty; nothing when the content has another form or is damaged.
    """
    if not isinstance(content, bytes) or content[:4] != _MAGIC:
        return {}
    try:
        return _entries(content)
    except (struct.error, UnicodeDecodeError):
        return {}


def _entries(content: bytes) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    (count,) = struct.unpack_from("<I", content, 8)
    place = 16
    for _ in range(min(count, _MOST_ENTRIES)):
        name = _text(content[place : place + 64])
        (items,) = struct.unpack_from("<i", content, place + 76)
        place += 84
        found = []
        for _ in range(items):
            (length,) = struct.unpack_from("<i", content, place + 4)
            place += 16
            found.append(_text(content[place : place + length]).strip())
            place += -(-length // 4) * 4
        values[name] = [text for text in found if text]
    return values


def _text(content: bytes) -> str:
    return content.split(b"\0")[0].decode("ascii")
