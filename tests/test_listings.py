"""Asking a provider for its models: signed page by page, all of it within one time box."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from gateway.credentials import KeyCredential, Signed, Unsigned
from gateway.errors import Fault, FaultKind
from gateway.listing_shapes import Listed
from gateway.listings import MOST_PAGES, fetch
from gateway.provider import Face, Provider
from gateway.relay import Gateway
from gateway.resilience.keys import Keys
from gateway.upstream import Call
from gateway.vendors import VENDORS, Account, routes

KEY = "key-of-the-provider-1234"
Answers = Callable[[Call], tuple[int, Any]]


class Said:
    """A reply that is all there."""

    connected, headers = 0.0, cast(Mapping[str, str], {})

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self._chunks = [body if isinstance(body, bytes) else msgspec.json.encode(body), b""]

    async def read(self, wait: float | None = None) -> bytes:
        return self._chunks.pop(0)

    async def close(self, *, linger: bool = False) -> None: ...


class Host:
    """Answers by what it is asked; ``calls`` are all of them."""

    def __init__(self, answers: Answers) -> None:
        self._answers, self.calls = answers, list[Call]()

    async def open(self, call: Call) -> Any:
        self.calls.append(call)
        return Said(*self._answers(call))


def listed(answers: Answers | Host, shape: str = "anthropic", credential: Any = None) -> Any:
    host = answers if isinstance(answers, Host) else Host(answers)
    vendor = msgspec.structs.replace(VENDORS["openai_compatible"], auth="x-api-key", listing=shape)
    face = Face(
        vendor=vendor,
        routes=routes(vendor, Account(base_url="http://h.test/v1")),
        credential=credential or KeyCredential("x-api-key"),
        headers=(("vendor-version", "1"), ("who", "vendor")),
    )
    provider = Provider(name="p", faces=(face,), keys=Keys((KEY,)), headers=(("who", "operator"),))
    gateway = cast(Gateway, SimpleNamespace(means=SimpleNamespace(upstream=host), clock=lambda: 0.0))
    return asyncio.run(fetch(gateway, provider))


def paged(*pages: list[str]) -> Answers:
    """Anthropic's pages: where the next begins is told by the last name of the one before it."""
    ends = {page[-1]: number for number, page in enumerate(pages, 1)}

    def answer(call: Call) -> tuple[int, Any]:
        after = call.url.partition("after_id=")[2]
        at = ends[after] if after else 0
        rows = [{"id": name} for name in pages[at]]
        return 200, {"data": rows, "has_more": at + 1 < len(pages), "last_id": pages[at][-1]}

    return answer


def test_pages_are_read_to_the_last_and_each_is_signed():
    host = Host(paged(["a", "b"], ["c", "a"], ["d"]))
    assert listed(host) == (Listed("a"), Listed("b"), Listed("c"), Listed("d"))
    assert [call.url for call in host.calls] == [
        "http://h.test/v1/models",
        "http://h.test/v1/models?after_id=b",
        "http://h.test/v1/models?after_id=a",
    ]
    for call in host.calls:
        assert (call.method, call.secrets) == ("GET", (KEY,))
        headers = dict(call.headers)
        assert (headers["x-api-key"], headers["vendor-version"], headers["who"]) == (KEY, "1", "operator")


def test_a_page_that_leads_to_itself_is_the_last():
    host = Host(lambda call: (200, {"models": [{"name": "models/x"}], "nextPageToken": "same"}))
    assert listed(host, "gemini") == (Listed("x"),)
    assert len(host.calls) == 2


def test_pages_without_end_have_one():
    host = Host(
        lambda call: (200, {"models": [{"name": f"m{len(host.calls)}"}], "nextPageToken": f"{len(host.calls)}"})
    )
    assert len(listed(host, "gemini")) == MOST_PAGES == len(host.calls)


def test_what_came_before_a_page_that_fails_is_kept():
    first = paged(["a"], ["b"])
    assert listed(lambda call: (403, {}) if "after_id" in call.url else first(call)) == (Listed("a"),)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": {"message": f"no such key: {KEY}"}}, FaultKind.BAD_CREDENTIALS),
        (200, b"<html>", FaultKind.GARBLED),
        (200, {"ok": True}, FaultKind.GARBLED),
    ],
)
def test_why_there_is_none(status: int, body: Any, kind: FaultKind):
    fault = listed(lambda call: (status, body))
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.url) == (kind, "http://h.test/v1/models")
    assert KEY not in f"{fault.message} {fault.body}"


class Slow:
    """Signs nothing in, ever."""

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        await asyncio.Event().wait()
        raise AssertionError


class Elsewhere:
    """An account that is to be called at another host, as GitHub says with the token."""

    async def sign(self, call: Unsigned, key: str | None) -> Signed | Fault:
        return Signed((("authorization", "Bearer t-12345"),), ("t-12345",), "https://api.business.test")


def test_signing_in_is_within_the_time_box(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.listings.TIME_BOX", 0.01)
    fault = listed(paged(["a"]), credential=Slow())
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.url) == (FaultKind.TIMEOUT_TOTAL, "http://h.test/v1/models")


def test_a_token_may_say_where_it_is_good():
    host = Host(paged(["a"]))
    assert listed(host, credential=Elsewhere()) == (Listed("a"),)
    assert host.calls[0].url == "https://api.business.test/v1/models"
    assert host.calls[0].secrets == ("t-12345",)
