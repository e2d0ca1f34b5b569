"""Heads of HTTP/1.1 messages as our side of a connection reads and writes them.

A head is read only where it leaves nothing to interpret (RFC 9112 §2-§6): what is unusual about it, legal or not, makes
it None, and whoever asked leaves the request to uvicorn's parser. So nothing is let in here that is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

HEAD_LIMIT = 16 * 1024

# A target has no fragment (RFC 9112 §3.2): what stands behind a # is read differently here and there.
_FIRST = re.compile(r"POST (/[!\"$-~]*) HTTP/1\.1")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# They change how a message is framed, how its connection goes on, or who its client is: not the plain case.
_UNUSUAL = frozenset(
    (
        *("transfer-encoding", "expect", "upgrade", "te", "trailer", "proxy-connection"),
        *("x-forwarded-for", "x-forwarded-proto"),
    )
)
_MOST_HEADERS = 100
_MOST_NAMES = 512
_LONGEST_LENGTH = 15


class Head(NamedTuple):
    target: str
    """The path, with its query."""
    headers: dict[str, str]
    """Lower-case names; of repeated headers the last."""
    length: int
    """Of the body, which begins at ``end`` of what was read."""
    end: int


class HeadReader:
    """Reads plain POST requests. Remembers how clients spell the names of headers: they are the same few."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def read(self, data: bytes) -> Head | None:
        end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT)
        if end < 0 or not data.startswith(b"POST /"):
            return None
        text = data[:end].decode("latin-1")
        lines = text.split("\r\n")
        first, between = _FIRST.fullmatch(lines[0]), len(lines) - 1
        if first is None or between > _MOST_HEADERS or _CONTROL.search(text):
            return None
        # A CR or LF of its own stands in one of the lines.
        if text.count("\r") != between or text.count("\n") != between:
            return None
        headers: dict[str, str] = {}
        names = self._names
        for line in lines[1:]:
            written, colon, value = line.partition(":")
            name = names.get(written) or self._name(written)
            if not (name and colon) or (name in headers and name in _ONCE):
                return None
            headers[name] = value.strip(" \t")
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= _LONGEST_LENGTH and "host" in headers):
            return None
        if not _UNUSUAL.isdisjoint(headers) or headers.get("connection", "keep-alive").lower() != "keep-alive":
            return None
        return Head(first[1], headers, int(length), end + 4)

    def _name(self, written: str) -> str:
        """Empty for what no header is called."""
        if not _NAME.fullmatch(written):
            return ""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names[written] = name = written.lower()
        return name


# Said twice, they contradict each other, or let two readers disagree.
_ONCE = frozenset(("content-length", "host", "connection", "authorization", "content-encoding"))

_STATUS = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}
_UNFIT = re.compile(r"[^\t\x20-\x7e]")
_UNFIT_IN_HEAD = re.compile(r"[^\t\r\n\x20-\x7e]")


def head_of_answer(status: int, headers: Sequence[tuple[str, str]]) -> str:
    """Status line and headers, without the blank line. Values may hold anything, a head may not."""
    said, lines = "".join([f"{name}: {value}\r\n" for name, value in headers]), len(headers)
    if said.count("\n") != lines or said.count("\r") != lines or _UNFIT_IN_HEAD.search(said):
        said = "".join([f"{name}: {_UNFIT.sub('?', value)}\r\n" for name, value in headers])
    return (_STATUS.get(status) or f"HTTP/1.1 {status} \r\n") + said
