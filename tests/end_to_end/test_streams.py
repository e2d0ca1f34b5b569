"""Streams: when they commit, how they break, how they go on, and what a client may see of it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest

from gateway.errors import FaultKind
from tests.scripted import (
    BROKEN,
    TEXT,
    Answer,
    Close,
    InBandError,
    Malformed,
    Received,
    Reply,
    Reset,
    Silent,
    Slow,
    Status,
    ToolCall,
    play,
)

from .setting import MOMENT, SHORT, Stand, Told, body, eventually, stand

K = FaultKind
DAMAGED = ("invalid_json", "truncated_json", "binary")
BREAKS = [name for name in BROKEN if name not in DAMAGED]
SAID = "Hello from the scripted vendor."
BACKUP = Answer("The backup says this.")


# --- the commit point


@pytest.mark.parametrize("at", ["before_head", "after_head", "after_role"])
def test_not_a_byte_is_sent_before_the_first_output(at: Any) -> None:
    with stand("primary") as s, s.client() as client:
        s.primary.otherwise = Silent(at, seconds=1.5)
        client.post(body(True))
        s.primary.wait_until(lambda vendor: vendor.counts_by_step)
        assert client.silent(0.3)
        told = client.reply()
        assert (told.status, told.text, told.done) == (200, SAID, True)


def test_output_is_handed_on_as_it_comes() -> None:
    with stand("primary") as s, s.client() as client:
        s.primary.otherwise = Silent("after_output", seconds=1.5)
        client.post(body(True))
        client.see(b"Hello")
        assert s.primary.playing == 1
        assert client.silent(0.2)
        assert client.reply().text == SAID


def test_each_event_is_one_that_the_vendor_sent() -> None:
    with stand("primary") as s:
        s.primary.otherwise = Answer(TEXT, extra={"x_new": {"a": [1]}}, extra_message={"z": "z"})
        told = s.ask(True, stream_options={"include_usage": True})
        assert told.text == TEXT
        assert all(chunk["x_new"] == {"a": [1]} for chunk in told.chunks)
        assert told.headers["content-type"] == "text/event-stream; charset=utf-8"


# --- broken after output


def late(step: Any) -> Any:
    """The same break, but a moment later: what comes with the first output is hidden as if it came before."""
    if step == BROKEN["silent"]:
        return step
    pause = Silent("before_finish" if step == BROKEN["closed_before_finish"] else "after_output", seconds=MOMENT)
    if isinstance(step, Reply):
        return msgspec.structs.replace(step, troubles=(pause, *step.troubles))
    return play(pause, step)


def clocks(name: str) -> dict[str, str]:
    """The clock that a break is seen by, where it is seen by one."""
    return {"idle": SHORT} if name == "silent" else {}


def faults_of(s: Stand) -> list[tuple[str, FaultKind, bool]]:
    from gateway import events

    return [(each.target.provider, each.fault.kind, each.after_output) for each in s.of(events.AttemptFailed)]


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_stream_ends_with_an_error_and_no_end(name: str) -> None:
    with stand("primary", "backup", timeouts=clocks(name)) as s:
        s.primary.otherwise = late(BROKEN[name])
        told = s.ask(True)
        assert (told.status, told.whole, told.done, told.finish) == (200, True, False, None)
        assert "[DONE]" not in told.data
        given = "".join(
            choice["delta"].get("content") or "" for chunk in told.chunks for choice in chunk.get("choices", ())
        )
        assert SAID.startswith(given)
        assert given
        assert told.error["message"]
        assert told.error["provider"] == "primary"
        assert told.error["upstream"]["url"] == f"{s.primary.base_url}/chat/completions"
        assert told.error["request_id"] == told.headers["x-request-id"]
        ended = s.finished()
        expected = K.TIMEOUT_IDLE if name == "silent" else K.BROKEN_STREAM
        assert (ended.outcome, ended.status, ended.fault and ended.fault.kind) == ("broken", 200, expected)
        assert faults_of(s) == [("primary", expected, True)]
        assert (s.primary.count, s.backup.count, s.counted("primary")) == (1, 0, 1)
        s.keeps_its_secrets(told)


CODES = {
    "closed": "truncated",
    "closed_terminated": "truncated",
    "closed_before_finish": "truncated",
    "no_finish": "truncated",
    "no_finish_close_delimited": "truncated",
    "silent": "timeout_idle",
    "reset": "unreachable",
    "error_mid": "server_error",
}


@pytest.mark.parametrize("name", CODES)
def test_the_error_of_a_broken_stream_says_what_broke_it(name: str) -> None:
    with stand("primary", timeouts=clocks(name)) as s:
        s.primary.otherwise = late(BROKEN[name])
        told = s.ask(True)
        if name in ("closed", "closed_before_finish"):  # the chunks had no end either
            assert told.error["code"] in ("truncated", "unreachable")
        else:
            assert told.error["code"] == CODES[name]
        assert told.error["origin"] == ("vendor" if name.startswith("error") else "network")


@pytest.mark.parametrize("name", BREAKS)
def test_abort_cuts_the_connection_instead(name: str) -> None:
    with stand("primary", on_broken_stream="abort", timeouts=clocks(name)) as s:
        s.primary.otherwise = late(BROKEN[name])
        told = s.ask(True)
        assert (told.status, told.whole) == (200, False)
        assert b"[DONE]" not in told.body
        assert b'"error"' not in told.body
        assert b"Hello" in told.body
        assert s.finished().outcome == "broken"


@pytest.mark.parametrize("kind", ["invalid_json", "truncated_json", "binary", "not_an_object"])
def test_a_damaged_event_is_left_out_and_counted(kind: Any) -> None:
    with stand("primary") as s:
        s.primary.otherwise = Malformed("after_output", kind=kind)
        told = s.ask(True)
        assert (told.text, told.finish, told.done) == (SAID, "stop", True)
        ended = s.finished()
        # Bytes that are no field of an event stream are no event, and not counted as one.
        assert (ended.outcome, ended.skipped) == ("ok", 0 if kind == "binary" else 1)
        assert not s.faults()


def paused_after(outputs: int, *parts: Any) -> Any:
    """A moment before the break, since a reset takes with it what has not been read yet."""
    return play(Silent("after_output", outputs=outputs, seconds=MOMENT), *parts)


@pytest.mark.parametrize("outputs", [1, 3, 5])
@pytest.mark.parametrize("trouble", [Reset, Close])
def test_what_was_said_before_the_break_is_not_lost(trouble: Any, outputs: int) -> None:
    with stand("primary") as s:
        s.primary.otherwise = paused_after(outputs, trouble("after_output", outputs=outputs))
        told = s.ask(True)
        pieces = ["Hello", " from", " the", " scripted", " vendor."]
        found = "".join(c["choices"][0]["delta"].get("content") or "" for c in told.chunks if "choices" in c)
        assert found == "".join(pieces[:outputs])


# --- resume

LONG = "The quick brown fox jumps over the lazy dog, and then the dog, who is not so lazy after all, jumps too. Ü😀"
WORDS = tuple(re.findall(r"\S+ ?", LONG))


def broken_after(outputs: int, *, text: tuple[str, ...] = WORDS) -> Any:
    return paused_after(outputs, Answer(chunks=text), Reset("after_output", outputs=outputs))


def resumed(s: Stand, **fields: Any) -> Told:
    told = s.ask(True, **fields)
    assert told.whole
    return told


def back_to(outputs: int, repeats: str) -> int:
    """Where the other target begins: where it should, with the last words again, or with the first."""
    return {"nothing": outputs, "some": max(0, outputs - 4), "all": 0}[repeats]


# A repetition of fewer than eight characters cannot be told from new words.
GOING_ON = [
    (outputs, repeats)
    for outputs in (1, 2, 7, len(WORDS) - 1)
    for repeats in ("nothing", "some", "all")
    if repeats == "nothing" or len("".join(WORDS[back_to(outputs, repeats) : outputs])) >= 8
]


@pytest.mark.parametrize(("outputs", "repeats"), GOING_ON)
def test_a_text_goes_on_at_another_target(outputs: int, repeats: str) -> None:
    back = back_to(outputs, repeats)
    with stand("primary", "backup", on_broken_stream="resume") as s:
        s.primary.otherwise, s.backup.otherwise = broken_after(outputs), Answer(chunks=WORDS[back:])
        told = resumed(s, stream_options={"include_usage": True})
        assert told.text == LONG
        assert (told.finish, told.done) == ("stop", True)
        assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in told.chunks}) == 1
        roles = [c["choices"][0]["delta"].get("role") for c in told.chunks if c["choices"]]
        assert roles.count("assistant") == 1
        ended = s.finished()
        assert (ended.outcome, ended.attempts, ended.target and ended.target.provider) == ("ok", 2, "backup")
        assert faults_of(s) == [("primary", K.BROKEN_STREAM, True)]
        asked = s.backup.received[0].fields["messages"]
        assert {"role": "assistant", "content": "".join(WORDS[:outputs])}.items() <= asked[1].items()


def test_a_text_that_breaks_twice_goes_on_at_a_third_target() -> None:
    with stand("a", "b", "c", on_broken_stream="resume") as s:
        s.a.otherwise = broken_after(4)
        s.b.otherwise = broken_after(14, text=WORDS[4:])
        s.c.otherwise = Answer(chunks=WORDS[18:])
        told = resumed(s)
        assert told.text == LONG
        assert (told.finish, told.done) == ("stop", True)
        assert s.tried() == ["a", "b", "c"]
        assert s.c.received[0].fields["messages"][1]["content"] == "".join(WORDS[:18])
        assert s.finished().outcome == "ok"


def test_a_break_before_the_continuation_has_said_anything_moves_on() -> None:
    with stand("a", "b", "c", on_broken_stream="resume") as s:
        s.a.otherwise, s.b.otherwise, s.c.otherwise = broken_after(4), Status(503), Answer(chunks=WORDS[4:])
        told = resumed(s)
        assert (told.text, told.done) == (LONG, True)
        assert s.tried() == ["a", "b", "b", "b", "c"]


NOT_RESUMED = {
    "unread": {"messages": "hi"},
    "tools": {"tools": [{"type": "function", "function": {"name": "shell", "parameters": {}}}]},
    "json": {"response_format": {"type": "json_object"}},
    "several": {"n": 2},
}


@pytest.mark.parametrize("name", NOT_RESUMED)
def test_what_cannot_be_pieced_together_ends_with_the_fault_that_broke_it(name: str) -> None:
    with stand("primary", "backup", on_broken_stream="resume") as s:
        s.primary.otherwise = broken_after(4)
        told = s.ask(True, **NOT_RESUMED[name])
        assert (told.error["code"], told.error["provider"], told.done) == ("unreachable", "primary", False)
        assert s.backup.count == 0
        assert s.finished().outcome == "broken"


def test_a_tool_call_is_not_pieced_together() -> None:
    with stand("primary", "backup", on_broken_stream="resume") as s:
        s.primary.otherwise = paused_after(
            2, Answer(tool_calls=(ToolCall("shell", {"a": "b" * 50}),)), Reset(outputs=2)
        )
        told = s.ask(True)
        assert (told.error["provider"], told.done, s.backup.count) == ("primary", False, 0)


@pytest.mark.parametrize("step", [Status(400), Status(401), Status(404)], ids=["400", "401", "404"])
def test_a_refused_continuation_ends_with_the_fault_that_broke_the_stream(step: Status) -> None:
    with stand("primary", "backup", on_broken_stream="resume") as s:
        s.primary.otherwise, s.backup.otherwise = broken_after(4), step
        told = s.ask(True)
        assert (told.error["code"], told.error["provider"]) == ("unreachable", "primary")
        assert [each["provider"] for each in told.error["attempts"]] == ["primary", "backup"]
        assert not told.done
        ended = s.finished()
        assert (ended.outcome, ended.fault and ended.fault.kind) == ("broken", K.BROKEN_STREAM)


def test_a_continuation_that_calls_a_tool_ends_with_an_error() -> None:
    with stand("primary", "backup", on_broken_stream="resume") as s:
        s.primary.otherwise = broken_after(4)
        s.backup.otherwise = Answer(tool_calls=(ToolCall("shell", {}),))
        told = s.ask(True)
        assert told.error
        assert not told.done
        assert s.finished().outcome == "broken"


def test_nobody_is_left_to_resume_with() -> None:
    with stand("primary", on_broken_stream="resume") as s:
        s.primary.otherwise = broken_after(4)
        told = s.ask(True)
        assert (told.error["code"], s.primary.count) == ("unreachable", 1)


# --- held


def test_a_held_answer_is_given_when_it_is_whole() -> None:
    with stand("primary", delivery="held") as s, s.client() as client:
        s.primary.otherwise = Silent("after_output", seconds=1.5)
        client.post(body(True))
        s.primary.wait_until(lambda vendor: vendor.counts_by_step)
        assert client.silent(0.3)
        told = client.reply()
        assert (told.text, told.done) == (SAID, True)


@pytest.mark.parametrize("outputs", [1, 3, 5])
def test_a_held_answer_that_breaks_anywhere_is_another_targets(outputs: int) -> None:
    with stand("primary", "backup", delivery="held") as s:
        s.primary.otherwise, s.backup.otherwise = Reset("after_output", outputs=outputs), BACKUP
        told = s.ask(True)
        assert (told.text, told.done) == (BACKUP.text, True)
        assert "Hello" not in told.body.decode()
        assert told.headers["x-skein-attempts"] == "2"


def test_a_client_that_waits_for_a_held_answer_gets_comments() -> None:
    with stand("primary", "backup", delivery="held", keepalive="50ms") as s:
        s.primary.otherwise = play(Slow(between=0.06), Reset("after_output", outputs=4))
        s.backup.otherwise = play(BACKUP, Slow(between=0.06))
        told = s.ask(True)
        assert (told.text, told.done) == (BACKUP.text, True)
        assert told.comments >= 3
        assert s.finished().outcome == "ok"


# --- keep-alives


def test_comments_come_before_the_first_output() -> None:
    with stand("primary", keepalive="100ms") as s, s.client() as client:
        s.primary.otherwise = Slow(first=1.0)
        client.post(body(True))
        client.see(b": keep-alive\n\n")
        told = client.reply()
        assert told.body.startswith(b": keep-alive\n\n")
        assert 3 <= told.comments <= 50
        assert (told.text, told.done) == (SAID, True)
        assert "x-skein-provider" not in told.headers


def test_comments_come_in_the_middle() -> None:
    with stand("primary", keepalive="100ms") as s:
        s.primary.otherwise = Silent("after_output", seconds=1.0)
        told = s.ask(True)
        assert 3 <= told.comments <= 50
        assert (told.text, told.done) == (SAID, True)
        assert told.headers["x-skein-provider"] == "primary"


def test_no_comments_are_sent_while_there_is_output() -> None:
    with stand("primary", keepalive="1s") as s:
        s.primary.otherwise = play(Answer(chunks=("word ",) * 60), Slow(between=0.04))
        told = s.ask(True)
        assert (told.comments, told.text) == (0, "word " * 60)


def test_a_comment_is_never_inside_an_event() -> None:
    half = Malformed("after_output", line=b"event: message\n")
    with stand("primary", keepalive="100ms") as s:
        s.primary.otherwise = play(half, Silent("after_output", seconds=1.0))
        told = s.ask(True)
        assert told.comments >= 2
        assert (told.text, told.done) == (SAID, True)
        assert b"event: message\n:" not in told.body


def test_off_means_off() -> None:
    with stand("primary", keepalive=0) as s:
        s.primary.otherwise = play(Slow(first=0.2), Silent("after_output", seconds=0.2))
        assert s.ask(True).comments == 0


@pytest.mark.parametrize("step", [Status(500), Silent("after_role"), Status(400), Status(401)])
def test_an_error_after_comments_is_an_event(step: Any) -> None:
    timeouts = {"first_token": SHORT} if isinstance(step, Silent) else {}
    with stand("primary", keepalive="50ms", timeouts=timeouts) as s:
        s.primary.otherwise = play(step, Slow(head=0.6)) if isinstance(step, Status) else step
        told = s.ask(True)
        assert told.status == 200
        assert told.comments >= 1
        assert told.error["code"]
        assert told.error["provider"] == "primary"
        assert not told.done
        ended = s.finished()
        assert ended.fault is not None
        assert ended.outcome != "ok"
        s.keeps_its_secrets(told)


def test_after_comments_another_target_still_answers() -> None:
    with stand("primary", "backup", keepalive="50ms", timeouts={"first_token": SHORT}) as s:
        s.primary.otherwise, s.backup.otherwise = Silent("before_head"), BACKUP
        told = s.ask(True)
        assert told.comments >= 2
        assert (told.text, told.done) == (BACKUP.text, True)


def test_a_whole_answer_gets_no_comments() -> None:
    with stand("primary", keepalive="30ms") as s:
        s.primary.otherwise = Slow(head=0.2)
        told = s.ask()
        assert told.json["choices"][0]["message"]["content"] == SAID


# --- usage


def test_usage_is_asked_for_and_kept_from_a_client_that_did_not_ask() -> None:
    with stand("primary") as s:
        told = s.ask(True)
        assert s.primary.received[0].include_usage
        assert b'"usage"' not in told.body
        assert all(chunk["choices"] for chunk in told.chunks)
        ended = s.finished()
        assert ended.spent.usage is not None
        assert ended.spent.usage.output_tokens == 5


def test_usage_is_given_to_a_client_that_asked() -> None:
    with stand("primary") as s:
        told = s.ask(True, stream_options={"include_usage": True})
        assert [bool(chunk["usage"]) for chunk in told.chunks][-2:] == [False, True]
        assert s.finished().spent.usage is not None


def test_other_stream_options_are_kept_when_usage_is_asked_for() -> None:
    with stand("primary") as s:
        s.ask(True, stream_options={"include_obfuscation": False, "include_usage": False})
        assert s.primary.received[0].fields["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize("quirk", ["usage_with_choice", "usage_on_finish", "usage_twice", "usage_always", "no_usage"])
def test_usage_told_unusually_is_read_and_breaks_no_reader_of_choices(quirk: str) -> None:
    with stand("primary") as s:
        s.primary.otherwise = Answer(quirks=(quirk,))
        told = s.ask(True)
        assert (told.text, told.finish, told.done) == (SAID, "stop", True)
        assert all(chunk["choices"] for chunk in told.chunks)
        ended = s.finished()
        assert (ended.spent.usage is None) == (quirk == "no_usage")
        if ended.spent.usage:
            assert ended.spent.usage.output_tokens == 5


# --- a break that comes with the first output


def test_a_break_in_the_same_breath_as_the_first_output_is_hidden() -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise, s.backup.otherwise = play(InBandError("mid"), one_write=True), BACKUP
        told = s.ask(True)
        assert (told.text, told.done) == (BACKUP.text, True)
        assert s.tried() == ["primary", "backup"]


# --- sizes


@pytest.mark.parametrize("framing", [{}, {"gzip": True}, {"segment": 1400}, {"line_ending": "\r\n"}], ids=str)
def test_an_event_of_a_megabyte(framing: Any) -> None:
    with stand("primary") as s:
        large = "é" * 2**19
        s.primary.otherwise = play(Answer(chunks=("a ", large, " z")), **framing)
        told = s.ask(True)
        assert told.text == f"a {large} z"
        assert told.done


def test_a_slow_client_makes_the_vendor_wait() -> None:
    count, size = 1000, 65536
    with (
        stand("primary", timeouts={"idle": "20s", "first_token": "20s", "total": "60s"}) as s,
        s.client(buffer=8192) as client,
    ):
        s.primary.otherwise = Answer(chunks=("x" * size,) * count)
        client.post(body(True))
        client.see(b"xxxx")
        call = s.primary.received[0]
        before = -1
        while call.sent != before:
            before = call.sent
            time.sleep(0.2)
        assert call.outcome == "playing"
        # What the buffers of four sockets hold (up to 32 MiB where tcp_rmem allows it), and no more.
        assert call.sent < 45 * 2**20 < count * size
        told = client.reply(30)
        assert len(told.text) == count * size
        assert told.done


# --- clocks


def test_silence_before_the_first_output_is_a_timeout() -> None:
    with stand("primary", timeouts={"first_token": SHORT}) as s:
        s.primary.otherwise = Silent("after_role")
        told = s.ask(True)
        assert (told.status, told.error["code"]) == (504, "timeout_first_token")


@pytest.mark.parametrize("first", [(), ("Hi ",)], ids=["first_token", "idle"])
def test_events_that_say_nothing_are_silence(first: tuple[str, ...]) -> None:
    with stand("primary", timeouts={"idle" if first else "first_token": SHORT}) as s:
        s.primary.otherwise = play(Answer(chunks=(*first, *("",) * 300)), Slow(between=0.05))
        told = s.ask(True)
        assert told.error["code"] == ("timeout_idle" if first else "timeout_first_token")
        assert told.status == (200 if first else 504)
        s.primary.wait_until(lambda vendor: vendor.aborted)


def test_an_answer_that_drips_for_ever_is_ended() -> None:
    with stand("primary", timeouts={"total": SHORT}) as s:
        s.primary.otherwise = play(Answer(chunks=("drip ",) * 300), Slow(between=0.05))
        began = time.monotonic()
        told = s.ask(True)
        assert 0.9 < time.monotonic() - began < 10
        assert (told.error["code"], told.done) == ("timeout_total", False)
        assert faults_of(s) == [("primary", K.TIMEOUT_TOTAL, True)]
        s.primary.wait_until(lambda vendor: vendor.aborted)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_client_may_set_a_deadline(stream: bool) -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise = s.backup.otherwise = Silent("before_head")
        began = time.monotonic()
        told = s.ask(stream, headers={"x_skein_timeout": "500ms"})
        assert 0.45 < time.monotonic() - began < 8
        assert (told.status, told.error["code"]) == (504, "timeout_total")
        assert s.backup.count == 0


def test_the_clients_deadline_holds_in_the_middle_of_a_stream() -> None:
    with stand("primary") as s:
        s.primary.otherwise = Silent("after_output")
        began = time.monotonic()
        told = s.ask(True, headers={"x_skein_timeout": "1"})
        assert 0.9 < time.monotonic() - began < 8
        assert told.error["code"] == "timeout_total"


def test_the_clients_deadline_cuts_waits_short() -> None:
    with stand("primary", backoff={"initial": "20s", "jitter": "none", "max": "20s"}) as s:
        s.primary.otherwise = Status(503)
        began = time.monotonic()
        assert s.ask(headers={"x_skein_timeout": "10s"}).status == 503
        assert time.monotonic() - began < 5
        assert s.primary.count == 1


def test_a_target_that_fails_slowly_leaves_time_for_the_next() -> None:
    with stand("primary", "backup", timeouts={"first_token": SHORT}) as s:
        s.primary.otherwise, s.backup.otherwise = Silent("after_role"), BACKUP
        told = s.ask(True, headers={"x_skein_timeout": "10s"})
        assert told.text == BACKUP.text


def test_an_error_body_that_never_comes_does_not_hold_anybody_up() -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise, s.backup.otherwise = play(Status(400), Silent("after_output")), BACKUP
        began = time.monotonic()
        s.ask(True)
        assert time.monotonic() - began < 8


# --- what comes after the end


def test_a_vendor_that_keeps_its_connection_open_does_not_keep_the_client() -> None:
    with stand("primary") as s:
        s.primary.otherwise = Silent("after_done")
        began = time.monotonic()
        told = s.ask(True)
        assert told.done
        assert time.monotonic() - began < 8
        s.finished()


def test_an_error_after_the_finish_does_not_spoil_an_answer() -> None:
    with stand("primary") as s:
        s.primary.otherwise = InBandError("after_finish")
        told = s.ask(True)
        assert (told.text, told.finish) == (SAID, "stop")
        assert s.finished().outcome == "ok"


def test_text_after_the_finish_arrives() -> None:
    with stand("primary") as s:
        s.primary.otherwise = Answer(quirks=("more_after_finish",))
        assert s.ask(True).text == SAID + " And more."


def test_a_stream_where_none_was_asked_for_and_the_reverse() -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise, s.backup.otherwise = Answer(stream=False), BACKUP
        assert s.ask(True).text == BACKUP.text
        s.primary.otherwise = Answer(stream=True)
        assert s.ask(False).text == BACKUP.text
        assert {kind for _, kind in s.faults()} == {K.GARBLED}


def test_many_streams_at_once_do_not_mix() -> None:
    def story(call: Received) -> Any:
        name = call.fields["user"]
        return play(Answer(chunks=tuple(f"{name}-{place} " for place in range(20))), Slow(between=0.002))

    with stand("primary") as s:
        s.primary.otherwise = story
        clients = [s.client() for _ in range(60)]
        for number, client in enumerate(clients):
            client.post(body(True, user=f"u{number}"))
        for number, client in enumerate(clients):
            told = client.reply()
            assert b"error" not in told.body, told.data[-1]
            assert told.text == "".join(f"u{number}-{place} " for place in range(20))
            assert json.loads(told.data[0])["id"]
            client.socket.close()
        s.finished(60)
        eventually(lambda: s.primary.playing == 0)
