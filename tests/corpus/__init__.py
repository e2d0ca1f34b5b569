"""The corpus: ``<dialect>/<case>.{request.json,response.json,stream.*}``. Adding a case is adding a file.

A case's response and stream are the same answer, whole and in pieces: what is read off one is read off the other.
Streams are bytes as they come (``sse``, ``ndjson``); those in AWS's binary messages are written as ``events``, one a
line: its type (after ``!``: of an exception) and its payload.
"""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parent


def cases(dialect: str, kind: str) -> list[ParameterSet]:
    """The bytes of every file of a kind (``request.json``, …), each under the name of its case."""
    files = sorted((ROOT / dialect).glob(f"*.{kind}"))
    return [pytest.param(file.read_bytes(), id=file.name.removesuffix(f".{kind}")) for file in files]


def case(dialect: str, name: str) -> bytes:
    return (ROOT / dialect / name).read_bytes()


def streams(dialect: str) -> dict[str, bytes]:
    """Every stream, by the name of its case."""
    files = sorted((ROOT / dialect).glob("*.stream.*"))
    return {
        file.name.partition(".")[0]: messages_of(file.read_text()) if file.suffix == ".events" else file.read_bytes()
        for file in files
    }


def answers(dialect: str) -> list[ParameterSet]:
    """(response, stream) of every case that has both."""
    return [
        pytest.param(case(dialect, f"{name}.response.json"), stream, id=name)
        for name, stream in streams(dialect).items()
        if (ROOT / dialect / f"{name}.response.json").exists()
    ]


def messages_of(lines: str) -> bytes:
    """AWS's messages: their lengths, headers and payload, each with its checksum."""
    return b"".join(_message(*line.split(" ", 1)) for line in lines.splitlines())


def _message(kind: str, payload: str) -> bytes:
    if kind.startswith("!"):
        headers = {":exception-type": kind[1:], ":message-type": "exception"}
    else:
        headers = {":event-type": kind, ":message-type": "event"}
    headers[":content-type"] = "application/json"
    block = b"".join(
        struct.pack(f">B{len(name)}sBH{len(value)}s", len(name), name.encode(), 7, len(value), value.encode())
        for name, value in headers.items()
    )
    body = payload.encode()
    lengths = struct.pack(">II", 16 + len(block) + len(body), len(block))
    message = lengths + struct.pack(">I", crc32(lengths)) + block + body
    return message + struct.pack(">I", crc32(message))
