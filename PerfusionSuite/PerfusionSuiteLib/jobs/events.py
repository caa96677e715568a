# SPDX-License-Identifier: Apache-2.0
"""What a worker says: one JSON object per line, ``{"event": kind, "seconds": since the start, ...}``.

    started    task
    progress   fraction 0..1, stage, left_s (null when unknown)
    finding    code, severity, message, advice
    loss       step, steps, parts ("loss": the total) of an iterative fit
    preview    maps: file in the job folder by quantity; only after they were asked for
    log        message
    finished   seconds
    failed     code (exit code), error (class), message

Lines that are no JSON object are taken as ``log``: what a library prints is never lost and never breaks the stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.files import plain

_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a worker said.

    Parameters
    ----------
    kind : str
        See the module.
    content : mapping
        Plain values.
    """

    kind: str
    content: Mapping[str, Any] = field(default_factory=dict)


def line_of(kind: str, **content: object) -> str:
    """Return an event as a line of ASCII.

    Parameters
    ----------
    kind : str
        Kind of the event.
    **content : object
        Plain values; NaN becomes null.

    Returns
    -------
    str
        One JSON object and a line break.
    """
    return json.dumps(plain({"event": kind, **content}), allow_nan=False) + "\n"


class EventReader:
    """Puts chunks of a stream together to lines and these into events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes | str) -> list[Event]:
        """Take the next part of the stream.

        Parameters
        ----------
        chunk : bytes or str
            Any part of it; a line may end in a later one.

        Returns
        -------
        list of Event
            What became complete.
        """
        data = self._rest + (chunk.encode("utf-8", "replace") if isinstance(chunk, str) else chunk)
        *lines, self._rest = data.split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return [event for line in lines if (event := _event_of(line)) is not None]

    def close(self) -> list[Event]:
        """Take the end of the stream.

        Returns
        -------
        list of Event
            What an unfinished last line says.
        """
        return self.feed(b"\n") if self._rest else []


def _event_of(line: bytes) -> Event | None:
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return None
    try:
        content = json.loads(text) if text.startswith("{") else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("event"), str):
        return Event("log", {"message": text})
    return Event(content.pop("event"), content)
