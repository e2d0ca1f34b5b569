"""Providers that are called over httpx's connections: the same stories, and the same ends."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import FaultKind
from tests.scripted import Answer, Silent, fault, refusing

from .setting import at, body, stand
from .test_cancel import PATIENT, assert_cancelled, leave

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
HTTPX = {"transport": "httpx"}
SAID = "Over other connections."


@BOTH
def test_it_answers_and_is_asked_again(stream: bool) -> None:
    with stand("primary", providers={"primary": HTTPX}) as s:
        s.primary.otherwise = Answer(SAID)
        for _ in range(2):
            with s.client() as client:
                client.post(body(stream))
                told = client.reply()
            assert (told.status, told.text, told.finish) == (200, SAID, "stop")
        assert not s.faults()
        s.keeps_its_secrets(told)


@BOTH
@pytest.mark.parametrize("kind", ["server_error", "rate_limited", "broken_stream"])
def test_it_fails_over_to_connections_of_our_own(stream: bool, kind: str) -> None:
    with stand("primary", "backup", providers={"primary": HTTPX}, delivery="held" if stream else "live") as s:
        s.primary.otherwise, s.backup.otherwise = fault(kind), Answer(SAID)
        with s.client() as client:
            client.post(body(stream))
            told = client.reply()
        assert (told.status, told.text) == (200, SAID)
        assert {provider for provider, _ in s.faults()} == {"primary"}
        s.keeps_its_secrets(told)


def test_nobody_there() -> None:
    with refusing() as url, stand("backup", others={"gone": at(f"{url}/v1", "gone", **HTTPX)}) as s:
        s.backup.otherwise = Answer(SAID)
        with s.client() as client:
            client.post(body())
            assert client.reply().text == SAID
        assert set(s.faults()) == {("gone", FaultKind.UNREACHABLE)}


@BOTH
@pytest.mark.parametrize("phase", ["before_head", "after_head", "after_output"])
def test_a_client_that_leaves_ends_it(phase: Any, stream: bool) -> None:
    with stand("primary", providers={"primary": HTTPX}, timeouts=PATIENT) as s:
        s.primary.otherwise = Silent(phase)
        client = s.client()
        client.post(body(stream))
        s.primary.wait_until(lambda vendor: vendor.counts_by_step)
        if stream and phase == "after_output":
            client.see(b"Hello")
        elif phase != "before_head":
            assert client.silent(0.03)  # the gateway has read what there is
        assert_cancelled(s, s.primary, leave(client))
