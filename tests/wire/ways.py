"""A gateway served by the lane beside one served over ASGI: what both say, without what differs from call to call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.end_to_end.setting import QUICK, Stand, Told, at, merged
from tests.running import running_gateway
from tests.scripted import Answer, Received, ScriptedVendor

# Ids and clocks; what is left is to be the same.
VOLATILE = ("date", "x-request-id", "traceresponse", "openai-processing-ms")
_ID = re.compile(rb"req_[0-9a-f]{24}|chatcmpl-\w+|call_\w+")
_PORT = re.compile(rb"127\.0\.0\.1:\d+")
_CLOCKS = re.compile(rb"dur=[0-9.]+")
_PASSING = re.compile(rb'"(created|seconds|at|duration_ms|retry_after)": ?[0-9.]+')


def echo(call: Received) -> Answer:
    """An answer that belongs to its request."""
    return Answer(text=f"to {(call.fields or {}).get('user')}")


@contextmanager
def ways(vendors: tuple[str, ...] = ("primary",), **changes: Any) -> Iterator[dict[str, Stand]]:
    """By name of the way, each with vendors of its own."""
    with ExitStack() as stack:
        made = {}
        for name in ("lane", "asgi"):
            found = {each: stack.enter_context(ScriptedVendor.in_thread(otherwise=echo)) for each in vendors}
            config: dict[str, Any] = {
                "providers": {each: at(vendor.base_url, each) for each, vendor in found.items()},
                "models": {"m": {"targets": [f"{each}/gpt-4.1" for each in found]}},
                "resilience": QUICK,
            }
            text = json.dumps(merged(config, changes))
            made[name] = Stand(stack.enter_context(running_gateway(text, lane=name == "lane")), found)
            for vendor in found.values():
                vendor.wait_until(lambda each: each.listed and each.listed[0].outcome == "answered")
                vendor.forget()
        yield made


def plain(data: bytes) -> bytes:
    return _PASSING.sub(rb'"\1":0', _CLOCKS.sub(b"dur=", _ID.sub(b"ID", _PORT.sub(b"HERE", data))))


def seen(told: Told) -> dict[str, Any]:
    headers = {name: plain(value.encode()) for name, value in told.headers.items() if name not in VOLATILE}
    if "content-length" in headers:
        headers["content-length"] = b"of what is shown"
    return {
        "status": told.status,
        "headers": headers,
        "volatile": sorted(name for name in VOLATILE if name in told.headers),
        "body": plain(told.body),
        "whole": told.whole,
    }
