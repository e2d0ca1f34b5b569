"""Writes log lines: JSON for machines, plain text for people, in batches and by a thread of its own.

A line that cannot be written (the disk is full, nobody reads) is counted as lost: the gateway serves on.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

# Lines that may wait for a reader that has stopped reading.
MOST_WAITING = 20_000
# Lines written in one go: when that fails it is not known how many of them got through, and all count as lost.
BATCH = 500

Line = tuple[str, str, dict[str, Any]]
"""Level, name of the event, fields; fields that are None are left out."""


class Whole(msgspec.Struct, omit_defaults=True, gc=False):
    """A line that is made for every request: a struct takes half as long as a dict that is filtered and then encoded.

    Its fields follow in the order they are written; they are None until they are set, and None is left out.
    """

    ts: str | None = None
    level: str | None = None
    event: str | None = None


_json = msgspec.json.Encoder()


def written(line: Line, at: float, format: str) -> str:
    """A line as it is written, its line feed included."""
    return (_for_people if format == "console" else _for_machines)(line, at)


def written_whole(line: Whole, at: float, format: str) -> str:
    """The same of a line that is a struct; its ``ts`` is set here."""
    if format == "console":
        fields = {name: getattr(line, name) for name in line.__struct_fields__[3:]}
        return _for_people((line.level or "", line.event or "", fields), at)
    line.ts = _time(at)
    return _encoded(line) + "\n"


def remark(level: str, name: str, message: str, format: str) -> None:
    """A line for what is told outside of the gateway's own events: by the command that runs it."""
    _write(written((level, name, {"message": message}), time.time(), format), None)


class Writer:
    """Lines go in at any time and come out in order. ``lost`` hears how many were not written."""

    def __init__(self, out: TextIO | None = None, lost: Callable[[int], None] = lambda count: None) -> None:
        self._out, self._lost = out, lost
        self._waiting: deque[str] = deque()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._idle, self._closed = True, False
        self._under_way = 0

    def put(self, lines: list[str]) -> None:
        """Never waits."""
        with self._wake:
            room = 0 if self._closed else MOST_WAITING - len(self._waiting)
            self._waiting.extend(lines[:room])
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()
            self._wake.notify_all()
        # Told without the lock: who hears of it has locks of its own, and may hold one while it waits for this one.
        if len(lines) > room:
            self._lost(len(lines) - room)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def close(self, deadline: float) -> None:
        """Waits at most so many seconds for what is still to be written; the rest is lost."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._idle and not self._waiting, deadline)
            left = len(self._waiting) + self._under_way
            self._waiting.clear()
            self._under_way = 0
        if left:
            self._lost(left)

    def _run(self) -> None:
        while batch := self._next():
            if not _write("".join(batch), self._out) and (count := self._given_up()):
                self._lost(count)

    def _next(self) -> list[str]:
        """What is to be written now: nothing when it is over."""
        with self._wake:
            self._idle, self._under_way = True, 0
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._waiting or self._closed)
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._idle, self._under_way = not batch, len(batch)
            return batch

    def _given_up(self) -> int:
        """Lines of the batch under way that nobody has counted yet: ``close`` does not wait for ever."""
        with self._wake:
            count, self._under_way = self._under_way, 0
            return count


def _write(text: str, out: TextIO | None) -> bool:
    stream = out or sys.stderr
    if stream is None:  # as it is when the process was started without one
        return True
    with suppress(OSError, ValueError):
        _put_out(text, stream)
        return True
    return False


def _put_out(text: str, stream: TextIO) -> None:
    """Past the stream's buffer: a write that never ends would hold its lock, and whoever flushes it at the end wait."""
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):  # it has none
        stream.write(text)
        stream.flush()
        return
    stream.flush()
    data = memoryview(text.encode(errors="backslashreplace"))
    while data:
        data = data[os.write(number, data) :]


def _for_machines(line: Line, at: float) -> str:
    level, name, fields = line
    said = {key: value for key, value in fields.items() if value is not None}
    return _encoded({"ts": _time(at), "level": level, "event": name, **said}) + "\n"


def _for_people(line: Line, at: float) -> str:
    level, name, fields = line
    told = "".join(_told(key, value) for key, value in fields.items() if value is not None)
    return f"{_time(at)[11:23]} {level:7} {name:18}{told}\n"


def _told(key: str, value: Any) -> str:
    """On the line; a traceback below it, each of its lines marked, so that none can look like a line of ours."""
    if key == "traceback":
        return "".join(f"\n    | {_safe(line)}" for line in str(value).splitlines())
    if isinstance(value, dict | list):
        return f" {key}={_safe(_encoded(value))}" if value else ""
    return f" {key}={_safe(str(value))}"


def _encoded(value: Any) -> str:
    try:
        return _json.encode(value).decode()
    except UnicodeEncodeError:
        # Half a character, as the name of a file may hold: told escaped.
        return json.dumps(msgspec.to_builtins(value))


def _safe(text: str) -> str:
    """Without what a terminal would act on, or would not show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _time(at: float) -> str:
    """RFC 3339, to the microsecond."""
    seconds, micros = divmod(round(at * 1e6), 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@functools.lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    """Most lines are of the same few seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
