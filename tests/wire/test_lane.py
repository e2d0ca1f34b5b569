"""The lane on real sockets: whatever a client sends, and however it comes apart, it gets what it gets over ASGI."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import events, patience
from gateway.api.fronts import CHAT
from gateway.wire import lane as lane_module
from tests.end_to_end.setting import MESSAGES, Stand, eventually, request
from tests.scripted import Answer, Silent, Slow

from .ways import echo, seen, ways

LIMITS = {"max_body": "64KiB", "client_timeout": "1s"}


@pytest.fixture(scope="module")
def both() -> Iterator[dict[str, Stand]]:
    with ways(server=LIMITS) as made:
        yield made


@pytest.fixture
def by_lane(both: dict[str, Stand]) -> Stand:
    return both["lane"]


def hot(name: str = "a", *, stream: bool = False, path: str = CHAT, pad: int = 0, **headers: str) -> bytes:
    fields: dict[str, Any] = {"model": "m", "messages": MESSAGES, "user": name}
    fields |= {"stream": True} if stream else {}
    fields |= {"metadata": {"pad": "x" * pad}} if pad else {}
    return request(fields, path, **headers)


def said(body: bytes, *lines: str, first: str = f"POST {CHAT} HTTP/1.1", host: bool = True) -> bytes:
    heads = [first, *(["host: localhost"] if host else []), *lines, "", ""]
    return "\r\n".join(heads).encode("latin-1") + body


BODY = hot().partition(b"\r\n\r\n")[2]
LENGTH = f"content-length: {len(BODY)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
REFUSED = request(b"{", CHAT)  # answered at once, without a call
COLD = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


def dialogue(stand: Stand, data: bytes, replies: int) -> list[Any]:
    """What comes back, and whether the connection is good for a further request."""
    with stand.client() as client:
        client.send(data)
        got: list[Any] = []
        while len(got) < replies:
            # An end where a reply was to come is told, too.
            client._until(lambda: bool(client.received), time.monotonic() + 20)
            if client.ended and not client.received:
                return [*got, "ended"]
            got.append(seen(client.reply()))
        try:
            client.send(COLD)
            client._until(lambda: b"\r\n\r\n" in client.received, time.monotonic() + 20)
        except OSError:
            client.ended = True
        return [*got, "ended" if client.ended and not client.received else seen(client.reply())["status"]]


# --- what is sent: bytes, and how many answers there are to be

SENT: dict[str, tuple[bytes, int]] = {
    "plain": (hot(), 1),
    "stream": (hot(stream=True), 1),
    "embeddings": (request({"model": "m", "input": "x", "user": "a"}, "/v1/embeddings"), 1),
    "hot and hot": (hot("a") + hot("b"), 2),
    "hot and cold": (hot("a") + COLD, 2),
    "cold and hot": (COLD + hot("b"), 2),
    "hot, refused, hot": (hot("a") + REFUSED + hot("b"), 3),
    "refused and hot": (REFUSED + hot("b"), 2),
    "refused and refused": (REFUSED * 20, 20),
    "streams and wholes": (hot("a", stream=True) + hot("b") + hot("c", stream=True) + COLD + hot("d"), 5),
    "fifty at once": (b"".join(hot(f"n{number}", stream=number % 3 == 0) for number in range(50)), 50),
    "more than waits at once": (b"".join(hot(f"n{number}", pad=20_000) for number in range(8)), 8),
    "a line between": (hot("a") + b"\r\n" + hot("b"), 2),
    "an empty body": (said(b"", "content-length: 0"), 1),
    "expect": (said(BODY, LENGTH, "expect: 100-continue"), 1),
    "chunked": (said(CHUNKED, "transfer-encoding: chunked"), 1),
    "chunked and hot": (said(CHUNKED, "transfer-encoding: chunked") + hot("b"), 2),
    "a zero before": (said(BODY, f"content-length: 00{len(BODY)}"), 1),
    "HTTP/1.0": (said(BODY, LENGTH, first=f"POST {CHAT} HTTP/1.0"), 1),
    "HTTP/1.0 kept": (said(BODY, LENGTH, "connection: keep-alive", first=f"POST {CHAT} HTTP/1.0"), 1),
    "connection: close": (hot(connection="close"), 1),
    "hot behind a close": (hot(connection="close") + hot("b"), 1),
    "proxy-connection: close": (hot(proxy_connection="close"), 1),
    "no host": (said(BODY, LENGTH, host=False), 1),
    "two hosts": (said(BODY, "host: a", "host: b", LENGTH), 1),
    "both framings": (said(BODY, LENGTH, "transfer-encoding: chunked"), 1),
    "both framings, chunked first": (said(CHUNKED, "transfer-encoding: chunked", LENGTH), 1),
    "two lengths": (said(BODY, LENGTH, LENGTH), 1),
    "lengths that differ": (said(BODY, LENGTH, "content-length: 1"), 1),
    "no length": (said(b""), 1),
    "a negative length": (said(BODY, "content-length: -5"), 1),
    "a huge length": (said(BODY, "content-length: " + "9" * 30), 1),
    "a length with a sign": (said(BODY, "content-length: +" + str(len(BODY))), 1),
    "a blank length": (said(BODY, "content-length: "), 1),
    "a list of lengths": (said(BODY, f"{LENGTH}, {len(BODY)}"), 1),
    "folded": (said(BODY, "x-a: b", " c", LENGTH), 1),
    "bare LF": (said(BODY, LENGTH).replace(b"\r\n", b"\n"), 1),
    "one bare LF": (said(BODY, "x-a: b\nx-b: c", LENGTH), 1),
    "bare CR": (said(BODY, "x-a: b\rx-b: c", LENGTH), 1),
    "NUL": (said(BODY, "x-a: b\0c", LENGTH), 1),
    "tabs": (said(BODY, "x-request-id:\tok-1\t", LENGTH), 1),
    "no colon": (said(BODY, "x-a", LENGTH), 1),
    "a space before the colon": (said(BODY, f"content-length : {len(BODY)}"), 1),
    "a header not ascii": (said(BODY, LENGTH, "x-skein-session: \xe9\xff"), 1),
    "101 headers": (said(BODY, LENGTH, *(f"x-{number}: y" for number in range(99))), 1),
    "102 headers": (said(BODY, LENGTH, *(f"x-{number}: y" for number in range(100))), 1),
    "an absolute target": (said(BODY, LENGTH, first=f"POST http://localhost{CHAT} HTTP/1.1"), 1),
    "a query": (hot(path=f"{CHAT}?api-version=2024-10-21&x=%20"), 1),
    "a fragment": (hot(path=f"{CHAT}#there"), 1),
    "slashes": (hot(path="//v1//chat/completions/"), 1),
    "a deployment": (hot(path="/openai/deployments/m/chat/completions?api-version=1"), 1),
    "an encoded deployment": (hot(path="/openai/deployments/primary%2Fgpt-4.1/chat/completions"), 1),
    "a deployment with a line": (hot(path="/openai/deployments/m%0d%0ax-a:b/chat/completions"), 1),
    "an unknown path": (hot(path="/v1/chat/completion"), 1),
    "lower case": (said(BODY, LENGTH, first=f"post {CHAT} HTTP/1.1"), 1),
    "GET": (said(b"", first=f"GET {CHAT} HTTP/1.1"), 1),
    "PUT": (said(BODY, LENGTH, first=f"PUT {CHAT} HTTP/1.1"), 1),
    "too large, by its own account": (said(b"{", "content-length: 1000000"), 1),
    "too large, all here": (hot(pad=70_000), 1),
    "too large, in chunks": (said(b"%x\r\n%b" % (70_000, b"x" * 70_000), "transfer-encoding: chunked"), 1),
    "a body that pauses": (hot()[:-3], 1),
    "a page of another site": (hot(origin="https://evil.example", sec_fetch_site="cross-site"), 1),
    "an id that is taken": (hot(x_request_id="abc-1"), 1),
    "an id that is not": (hot(x_request_id="a b<script>"), 1),
    "a session with odd letters": (hot(x_skein_session="s\tp\xe9"), 1),
    "a pin with odd letters": (hot(x_skein_model="m\xff\t"), 1),
    "a model with a line": (request({"model": "m\r\nset-cookie: a=b", "messages": MESSAGES}), 1),
    "a model with a line, of a provider": (request({"model": "primary/x\r\nset-cookie: a=b", "messages": MESSAGES}), 1),
    "a model not ascii": (request({"model": "primary/gpt-\u00e9\u2028", "messages": MESSAGES}), 1),
    "a timeout that is none": (hot(x_skein_timeout="soon"), 1),
    "eight gateways": (hot(x_skein_hops="8"), 1),
    "a compression unknown": (hot(content_encoding="br"), 1),
}


@pytest.mark.parametrize("name", SENT)
def test_it_is_answered_as_over_asgi(both: dict[str, Stand], name: str) -> None:
    data, replies = SENT[name]
    for stand in both.values():
        eventually(lambda stand=stand: not stand.gateway.runtime.service.running and not stand.primary.playing)
        stand.primary.forget()
    told = {way: dialogue(stand, data, replies) for way, stand in both.items()}
    assert told["lane"] == told["asgi"]
    assert "set-cookie" not in told["lane"][0]["headers"]
    calls = {way: [(call.body, [line for line in call.header_list if line[0].lower() not in PASSING]) for call in
                   stand.primary.received] for way, stand in both.items()}  # fmt: skip
    assert calls["lane"] == calls["asgi"]
    assert not [stand for stand in both.values() if stand.of(events.HandlerCrashed)]


@pytest.mark.parametrize("behind", [b"xyz\r\n\r\n", b"}", BODY])
def test_what_is_no_request_behind_one_that_is(both: dict[str, Stand], behind: bytes) -> None:
    """uvicorn answers the second before the first, which it then drops; here each gets what it is due."""
    with both["lane"].client() as client:
        client.send(hot("first") + behind)
        assert client.reply().text == "to first"
        assert client.reply().status == 400
        assert not client.more(10)
        assert client.ended


# Of a call to a vendor, what differs with every call.
PASSING = ("host", "traceparent", "tracestate", "x-request-id")


# --- how it comes apart


def test_a_request_may_come_apart_anywhere(both: dict[str, Stand]) -> None:
    data = hot("first", x_skein_session="s") + REFUSED + hot("second", stream=True)
    whole = dialogue(both["asgi"], data, 3)
    for end in range(1, len(data)):
        with both["lane"].client() as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.send(data[:end])
            # The other half is to come by itself: not before the gateway has gone once round its loop.
            both["lane"].gateway.call(lambda: None)
            both["lane"].gateway.call(lambda: None)
            client.send(data[end:])
            assert [seen(client.reply()) for _ in range(3)] == whole[:3], end


def test_a_request_may_come_byte_by_byte(both: dict[str, Stand]) -> None:
    data = hot("first") + hot("second")
    with both["lane"].client() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            client.send(bytes([byte]))
        assert [client.reply().text for _ in range(2)] == ["to first", "to second"]


def test_a_client_that_leaves_in_the_middle_is_one_that_has_left(both: dict[str, Stand]) -> None:
    data = hot()
    for way, stand in both.items():
        before = len(stand.of(events.ExchangeFinished))
        with stand.client() as client:
            client.send(data[:40])
            client.leave()
        for _ in range(2):
            with stand.client() as client:
                client.send(data[:-3])
                eventually(lambda stand=stand: stand.gateway.runtime.service.running)
                client.leave()
            eventually(lambda stand=stand: not stand.gateway.runtime.service.running)
        stand.primary.otherwise = Silent("before_head")
        with stand.client() as client:
            client.send(data)
            stand.primary.wait_until(lambda vendor: vendor.playing)
            client.leave()
        stand.primary.wait_until(lambda vendor: not vendor.playing)
        stand.primary.otherwise = echo
        eventually(lambda stand=stand: not stand.gateway.runtime.service.running)
        outcomes = [each.outcome for each in stand.of(events.ExchangeFinished)[before:]]
        assert outcomes == ["cancelled"] * 3, way
        stand.primary.forget()


def test_a_client_that_has_said_all_and_closes_its_half(both: dict[str, Stand]) -> None:
    ended = {}
    for way, stand in both.items():
        with stand.client() as client:
            client.send(hot())
            client.socket.shutdown(socket.SHUT_WR)
            while client.more(10):
                pass
            ended[way] = (client.ended, client.received[:12])
            eventually(lambda stand=stand: not stand.gateway.runtime.service.running)
        stand.primary.forget()
    assert ended["lane"] == ended["asgi"]


def test_one_that_takes_nothing_is_given_up_and_its_connection_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a client that comes to again would read its next answer in the middle of the last."""
    monkeypatch.setattr(patience, "STALLED", 0.6)
    with ways() as both:
        for stand in both.values():
            stand.primary.otherwise = Answer(chunks=("x" * 65536,) * 400)
            with stand.client(buffer=4096) as client:
                client.send(hot(stream=True))
                client.see(b"xxxx")
                assert stand.finished().outcome == "cancelled"
                # What was on its way still comes, and then the end.
                while client.more(10.0):
                    assert len(client.received) < 20_000_000
                assert client.ended
                assert b"[DONE]" not in client.received


# --- how a connection goes on


def test_a_cold_request_behind_a_hot_one_may_take_its_time(by_lane: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was idle is not idle any more, whoever serves what comes."""
    by_lane.primary.otherwise = Answer()
    with by_lane.client() as client:
        client.send(hot())
        assert client.reply().status == 200
        by_lane.primary.otherwise = Silent("before_head")
        client.send(said(CHUNKED, "transfer-encoding: chunked"))
        by_lane.primary.wait_until(lambda vendor: vendor.playing)
        connection = the_connection(by_lane)
        monkeypatch.setattr(connection, "timeout_keep_alive", 0)
        by_lane.gateway.call(connection._look)
        assert client.silent(0.05)
    by_lane.primary.otherwise = echo
    eventually(lambda: not by_lane.gateway.runtime.service.running)
    by_lane.primary.forget()


@pytest.mark.parametrize("idle", [True, False])
def test_a_connection_that_is_idle_for_too_long_is_closed(
    by_lane: Stand, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    with by_lane.client() as client:
        client.send(hot())
        assert client.reply().status == 200
        connection = the_connection(by_lane)
        monkeypatch.setattr(connection, "timeout_keep_alive", 0 if idle else 3600)
        by_lane.gateway.call(connection._look)
        assert client.silent(0.05) is not idle
        assert client.ended is idle


def test_what_comes_before_the_next_is_read_comes_behind_it(by_lane: Stand) -> None:
    """Bytes that come between an answer and the request that waits behind it do not overtake that."""
    with by_lane.client() as client:
        client.send(hot())
        assert client.reply().status == 200
        connection = the_connection(by_lane)

        def all_in_one_round() -> None:
            connection.data_received(REFUSED + hot("second")[:80])
            connection.data_received(hot("second")[80:] + hot("third"))

        by_lane.gateway.call(all_in_one_round)
        told = [client.reply() for _ in range(3)]
        assert [one.status for one in told] == [400, 200, 200]
        assert [one.text for one in told[1:]] == ["to second", "to third"]


def the_connection(stand: Stand) -> Any:
    """The one that is open."""
    found = [each for each in gc.get_objects() if isinstance(each, lane_module.Lane)]
    alive = [each for each in found if each._lanes.hot.__self__.service is stand.gateway.runtime.service]
    (one,) = [each for each in alive if each.transport is not None and not each.transport.is_closing()]
    return one


# --- the end of the server


DRAINED = {
    "idle": (b"", []),
    "has been served": (hot(), [200]),
    "is served": (hot("slow"), [200]),
}


@pytest.mark.parametrize("name", DRAINED)
@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_a_server_that_stops_finishes_what_it_has_begun(way: str, name: str) -> None:
    data, statuses = DRAINED[name]
    with ways() as both:
        stand = both[way]
        stand.primary.decide = lambda call: Slow(head=1.0) if call.fields["user"] == "slow" else None
        with stand.client() as client:
            client.send(data)
            if name == "has been served":
                assert client.reply().status == 200
            elif data:
                stand.primary.wait_until(lambda vendor: vendor.playing)
            else:
                client.send(COLD)
                assert client.reply().status == 200
            connections = stand.gateway.call(lambda: list(connections_of(stand)))
            stand.gateway.call(lambda: [each.shutdown() for each in connections])
            if name == "is served":
                told = client.reply()
                assert (told.status, told.headers["connection"]) == (statuses[0], "close")
            assert not client.more(10.0)
            assert client.ended


def connections_of(stand: Stand) -> list[Any]:
    from gateway.wire.bounded import BoundedProtocol

    found = [each for each in gc.get_objects() if isinstance(each, BoundedProtocol)]
    return [each for each in found if each.loop is stand.gateway.loop and each.transport is not None]


@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_a_drain_refuses_what_is_still_being_sent_and_what_is_new(way: str) -> None:
    with ways() as both:
        stand = both[way]
        stand.primary.otherwise = Slow(head=0.3)
        with stand.client() as sending, stand.client() as served, stand.client() as new:
            served.send(hot())
            stand.primary.wait_until(lambda vendor: vendor.playing)
            sending.send(hot()[:-3])
            eventually(lambda: len(stand.gateway.runtime.service.running) == 2)
            stand.gateway.call(stand.gateway.runtime.drain)
            told = sending.reply()
            assert (told.status, told.error["code"], told.headers["connection"]) == (503, "gateway_draining", "close")
            new.send(hot())
            told = new.reply()
            assert (told.status, told.error["code"], told.headers["connection"]) == (503, "gateway_draining", "close")
            assert served.reply().status == 200
