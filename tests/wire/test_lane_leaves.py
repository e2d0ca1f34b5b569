"""What an exchange leaves behind: nothing, whoever goes and whenever."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import events
from gateway.attempt import Exchange
from gateway.wire import bounded
from gateway.wire.heads import HeadReader
from gateway.wire.lane import Lane, LaneClient
from tests.end_to_end.setting import Stand, eventually
from tests.scripted import Silent, Slow

from .test_lane import hot
from .ways import ways

KEY = "a-key-of-this-gateway-1"
LOCKED = {"access": {"mode": "keys", "keys": [{"name": "k", "key": KEY}]}}


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, Stand]]:
    with ways() as made:
        yield made


def leave_early(stand: Stand) -> None:
    stand.primary.otherwise = Silent("before_head")
    with stand.client() as client:
        client.send(hot(stream=True))
        stand.primary.wait_until(lambda vendor: vendor.playing)
        client.leave()
    stand.primary.wait_until(lambda vendor: not vendor.playing)
    eventually(lambda: not stand.gateway.runtime.service.running)


@pytest.mark.parametrize("kind", ["whole", "stream", "left"])
def test_nothing_is_left_for_the_collector(kind: str) -> None:
    """It looks seldom, and bodies are large."""
    with ways() as made:
        stand = made["lane"]
        stand.gateway.call(lambda: (gc.collect(), gc.disable()))
        try:
            for _ in range(5):
                if kind == "left":
                    leave_early(stand)
                    continue
                with stand.client() as client:
                    client.send(hot(stream=kind == "stream"))
                    assert client.reply().status == 200
            stand.primary.forget()
            stand.gateway.events.clear()
            stand.gateway.call(stand.gateway.runtime.observability.settle)
            kept = stand.gateway.call(lambda: sum(isinstance(each, Exchange) for each in gc.get_objects()))
        finally:
            gc.enable()
    assert kept == 0


def test_of_what_is_answered_unread_nothing_is_kept() -> None:
    """Its answer may wait for two minutes until the client takes it, and it may be as long as it likes."""
    head = HeadReader().read(b"POST /v1/x HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999999\r\n\r\n")
    assert head is not None
    written: list[bytes] = []
    lane = cast(
        Lane,
        SimpleNamespace(
            client=None, closing=False, full=False, date=str, transport=SimpleNamespace(write=written.append)
        ),
    )
    client = LaneClient(lane, head, b"")

    async def refuse() -> None:
        await client.begin("req_1", 401, [], 2, close=True)
        await client.end(b"{}")

    with pytest.raises(StopIteration):
        refuse().send(None)
    assert written
    assert [client.take(b"x" * 2**20) for _ in range(3)] == [b""] * 3
    assert len(client._body) == 0


def test_who_leaves_with_another_request_waiting_is_seen_to_leave(both: dict[str, Stand]) -> None:
    """A head in two reads is uvicorn's, and so is what comes behind it."""
    for stand in both.values():
        stand.gateway.events.clear()
        stand.primary.otherwise = Silent("before_head")
        data = hot("one")
        with stand.client() as client:
            client.send(data[:30])
            time.sleep(0.05)
            client.send(data[30:] + hot("two"))
            stand.primary.wait_until(lambda vendor: vendor.playing)
            client.leave()
        stand.primary.wait_until(lambda vendor: not vendor.playing)
        eventually(lambda stand=stand: not stand.gateway.runtime.service.running)
        assert [each.outcome for each in stand.of(events.ExchangeFinished)] == ["cancelled"]
        assert stand.of(events.HandlerCrashed) == []
        stand.primary.forget()


def test_who_is_refused_and_leaves_was_refused() -> None:
    with ways(**LOCKED) as made:
        for stand in made.values():
            with stand.client() as client:
                client.send(hot(pad=200_000, authorization="Bearer wrong")[:100_000])
                eventually(lambda stand=stand: stand.gateway.runtime.service.running)
                client.leave()
            eventually(lambda stand=stand: stand.of(events.ExchangeFinished))
            ended: list[Any] = stand.of(events.ExchangeFinished)
            assert [(each.outcome, each.status, each.code) for each in ended] == [("error", 401, "invalid_api_key")]


@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_blank_lines_keep_no_connection_open(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_TIMEOUT", 0.3)
    with ways() as made, made[way].client() as client:
        client.send(hot())
        assert client.reply().status == 200
        client.send(b"\r\n")
        while client.more(10.0):
            pass
        assert client.ended


def test_a_slow_answer_is_not_cut_short_by_blank_lines_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_TIMEOUT", 0.3)
    with ways() as made:
        stand = made["lane"]
        stand.primary.otherwise = Slow(head=0.8)
        with stand.client() as client:
            client.send(b"\r\n")
            time.sleep(0.05)
            client.send(hot())
            assert client.reply().status == 200
