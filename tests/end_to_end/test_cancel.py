"""The client leaves: whatever was going on for it ends at once, and is told once."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from gateway import events, patience
from tests.scripted import Answer, Received, Reset, ScriptedVendor, Silent, Slow, Status, play, rate_limited

from .setting import Client, Stand, body, eventually, request, stand

# What design.md promises is a tenth of that; how long it took is printed.
SOON = 1.0
PATIENT = {"connect": "5s", "first_token": "30s", "whole": "30s", "idle": "30s", "total": "60s"}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
WAYS = pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])


def leave(client: Client, reset: bool = True) -> float:
    if reset:
        return client.leave()
    client.socket.shutdown(socket.SHUT_RDWR)
    client.socket.close()
    return time.monotonic()


def assert_cancelled(s: Stand, vendor: ScriptedVendor, closed: float, attempts: int = 1) -> None:
    vendor.wait_until(lambda each: each.aborted)
    delay = vendor.aborted[0].delay(closed)
    print(f"noticed after {delay * 1000:.1f} ms")
    assert delay < SOON
    ended = s.finished()
    assert (ended.outcome, ended.status) == ("cancelled", 499)
    assert sum(each.count for each in s.vendors.values()) == attempts == len(s.tried())
    vendor.wait_until(lambda each: not each.playing)


@WAYS
@BOTH
@pytest.mark.parametrize("at", ["before_head", "after_head", "after_role", "after_output"])
def test_upstream_is_cancelled_in_every_phase(at: Any, stream: bool, reset: bool) -> None:
    with stand("primary", "backup", timeouts=PATIENT) as s:
        s.primary.otherwise = Silent(at)
        client = s.client()
        client.post(body(stream))
        s.primary.wait_until(lambda vendor: vendor.counts_by_step)
        if stream and at == "after_output":
            client.see(b"Hello")
        elif at != "before_head":
            assert client.silent(0.03)  # the gateway has read what there is
        assert_cancelled(s, s.primary, leave(client, reset))
        assert s.counted("primary") == 0
        assert not s.faults()


def test_upstream_is_cancelled_while_it_streams() -> None:
    with stand("primary", timeouts=PATIENT) as s:
        s.primary.otherwise = play(Answer(chunks=("word ",) * 5000), Slow(between=0.01))
        client = s.client()
        client.post(body(True))
        client.see(b"word ")
        assert_cancelled(s, s.primary, leave(client))


@BOTH
def test_nothing_more_is_tried_when_the_client_leaves_during_backoff(stream: bool) -> None:
    with stand("primary", "backup", timeouts=PATIENT, backoff={"initial": "2s", "jitter": "none", "max": "2s"}) as s:
        s.primary.otherwise = Status(503)
        client = s.client()
        client.post(body(stream))
        eventually(lambda: s.faults())
        closed = leave(client)
        eventually(lambda: s.of(events.ExchangeFinished))
        assert time.monotonic() - closed < SOON
        assert s.finished().outcome == "cancelled"
        time.sleep(2.1)  # nothing tells that nothing comes
        assert (s.primary.count, s.backup.count) == (1, 0)


@BOTH
def test_nothing_more_is_tried_when_the_client_leaves_during_a_wait_the_vendor_asked_for(stream: bool) -> None:
    with stand("primary", timeouts=PATIENT) as s:
        s.primary.otherwise = rate_limited("retry_after_ms", 2.0)
        client = s.client()
        client.post(body(stream))
        eventually(lambda: s.faults())
        closed = leave(client)
        eventually(lambda: s.of(events.ExchangeFinished))
        assert time.monotonic() - closed < SOON
        assert s.finished().outcome == "cancelled"
        time.sleep(2.3)  # nothing tells that nothing comes
        assert s.primary.count == 1


@BOTH
def test_a_second_attempt_is_cancelled_as_the_first(stream: bool) -> None:
    with stand("primary", "backup", timeouts=PATIENT) as s:
        s.primary.otherwise, s.backup.otherwise = Status(404), Silent("before_head")
        client = s.client()
        client.post(body(stream))
        s.backup.wait_until(lambda vendor: vendor.counts_by_step)
        assert_cancelled(s, s.backup, leave(client), attempts=2)


@WAYS
def test_a_held_answer_is_cancelled(reset: bool) -> None:
    with stand("primary", "backup", timeouts=PATIENT, delivery="held") as s:
        s.primary.otherwise = play(Answer(chunks=("word ",) * 500), Slow(between=0.02))
        client = s.client()
        client.post(body(True))
        s.primary.wait_until(lambda vendor: vendor.received and vendor.received[0].phase == "mid_stream")
        assert_cancelled(s, s.primary, leave(client, reset))


@WAYS
@pytest.mark.parametrize("delivery", ["live", "held"])
@pytest.mark.parametrize("at", ["before_head", "after_role", "after_output"])
def test_a_client_that_leaves_after_comments(at: Any, delivery: str, reset: bool) -> None:
    with stand("primary", "backup", timeouts=PATIENT, keepalive="40ms", delivery=delivery) as s:
        s.primary.otherwise = Silent(at)
        client = s.client()
        client.post(body(True))
        client.see(b": keep-alive")
        assert_cancelled(s, s.primary, leave(client, reset))
        assert s.counted("primary") == 0


@pytest.mark.parametrize("at", ["before_head", "after_role"])
def test_a_continuation_is_cancelled(at: Any) -> None:
    with stand("primary", "backup", timeouts=PATIENT, on_broken_stream="resume") as s:
        s.primary.otherwise, s.backup.otherwise = Reset("after_output", outputs=2), Silent(at)
        client = s.client()
        client.post(body(True))
        s.backup.wait_until(lambda vendor: vendor.counts_by_step)
        assert_cancelled(s, s.backup, leave(client), attempts=2)


def test_a_client_that_leaves_in_the_middle_of_its_request() -> None:
    with stand("primary") as s:
        client = s.client()
        client.send(request(body())[:-5])
        eventually(lambda: s.gateway.runtime.service.running)
        leave(client)
        assert s.finished().outcome == "cancelled"
        assert s.primary.count == 0


def test_a_client_that_leaves_after_the_answer_has_had_it() -> None:
    with stand("primary") as s:
        for stream in (False, True):
            s.ask(stream)
        assert s.finished(2).outcome == "ok"


def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STALLED", 1.0)
    with stand("primary", timeouts=PATIENT) as s, s.client(buffer=4096) as client:
        s.primary.otherwise = Answer(chunks=("x" * 65536,) * 400)
        client.post(body(True))
        client.see(b"xxxx")
        s.primary.wait_until(lambda vendor: vendor.aborted)
        assert s.finished().outcome == "cancelled"


def test_half_a_close_is_not_a_leave_taking() -> None:
    """A client that has nothing more to send (``nc``, ``curl`` through some proxies) may still be waiting."""
    with stand("primary", timeouts=PATIENT) as s, s.client() as client:
        s.primary.otherwise = Slow(head=0.2)
        client.post(body())
        client.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: s.of(events.ExchangeFinished))
        assert s.finished().outcome in ("ok", "cancelled")


def test_a_crowd_that_leaves_at_once_leaves_nothing_behind() -> None:
    steps = [Silent("before_head"), Silent("after_role"), Silent("after_output"), Status(503), Slow(between=0.05)]

    def story(call: Received) -> Any:
        return steps[call.number % len(steps)]

    with stand("primary", "backup", timeouts=PATIENT, backoff={"initial": "30s", "jitter": "none", "max": "30s"}) as s:
        s.primary.otherwise = story
        clients = [s.client() for _ in range(60)]
        for number, client in enumerate(clients):
            client.post(body(number % 2 == 0))
        s.primary.wait_until(lambda vendor: vendor.count >= 60)
        eventually(lambda: len(s.faults()) >= 12)
        for client in clients:
            leave(client)
        s.primary.wait_until(lambda vendor: not vendor.playing)
        ended = s.finished(60)
        assert ended
        cancelled = [each for each in s.of(events.ExchangeFinished) if each.outcome == "cancelled"]
        assert len(cancelled) >= 45
        assert s.backup.count == 0
        assert s.counted("primary") <= 12


def test_the_next_request_on_the_connection_is_served_after_an_answer() -> None:
    with stand("primary") as s, s.client() as client:
        for stream in (True, False, True):
            client.post(body(stream))
            assert client.reply().status == 200
        s.finished(3)


def test_cancelled_probes_do_not_keep_a_breaker_half_open() -> None:
    breaker = {"consecutive": 2, "min_requests": 1000, "open_for": "50ms", "probes": 1, "close_after": 1}
    with stand("primary", timeouts=PATIENT, breaker=breaker, retries=0) as s:
        s.primary.script(Status(500), Status(500))
        s.ask(), s.ask()
        moved = s.of(events.BreakerMoved)
        assert [each.after for each in moved] == ["open"]
        eventually(lambda: s.allowed("primary"))
        s.primary.otherwise = Silent("before_head")
        client = s.client()
        client.post(body())
        s.primary.wait_until(lambda vendor: vendor.playing)
        leave(client)
        s.finished(3)
        s.primary.otherwise = Answer()
        assert s.ask().status == 200
        eventually(lambda: [each.after for each in s.of(events.BreakerMoved)][-1] == "closed")
