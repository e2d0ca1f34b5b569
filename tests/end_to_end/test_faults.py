"""Every kind of fault, seen from outside: who is called how often, who is blamed, and what the client is told."""

from __future__ import annotations

import gzip
from typing import Any, NamedTuple

import pytest

from gateway import events
from gateway.errors import FaultKind
from gateway.resilience.health import COUNTS
from tests.scripted import (
    BROKEN,
    FAULTS,
    HARMLESS,
    HIDDEN,
    HINTS,
    RETRY_AFTER,
    Answer,
    InBandError,
    Malformed,
    Raw,
    Received,
    ScriptedVendor,
    Silent,
    Slow,
    Status,
    Step,
    fault,
    hanging,
    play,
    rate_limited,
    refusing,
)

from .setting import CHAT, MESSAGES, MOMENT, SHORT, Client, Told, at, secret, stand

K = FaultKind
BACKUP = Answer("The backup says this.")
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Fate(NamedTuple):
    """Of a target that always fails in one way: the faults of its calls, if a backup is there and if none is."""

    faults: tuple[FaultKind, ...]
    alone: tuple[FaultKind, ...] = ()
    served: bool = True
    """Does the backup get to answer?"""


def times(count: int, kind: FaultKind, alone: int = 0) -> Fate:
    return Fate((kind,) * count, (kind,) * (alone or count))


FATES: dict[str, Fate] = {
    "rate_limited": times(1, K.RATE_LIMITED, alone=3),
    "overloaded": times(3, K.OVERLOADED),
    "server_error": times(3, K.SERVER_ERROR),
    "unreachable": times(2, K.UNREACHABLE),
    "timeout_first_token": times(1, K.TIMEOUT_FIRST_TOKEN),
    "timeout_idle": times(1, K.TIMEOUT_IDLE),
    "timeout_total": times(1, K.TIMEOUT_TOTAL),
    "bad_credentials": times(1, K.BAD_CREDENTIALS),
    "out_of_credit": times(1, K.OUT_OF_CREDIT),
    "model_missing": times(1, K.MODEL_MISSING),
    "garbled": times(2, K.GARBLED),
    "bad_request": Fate((K.BAD_REQUEST,), served=False),
    "context_too_long": Fate((K.CONTEXT_TOO_LONG,), served=False),
    "refused": Fate((K.REFUSED,), served=False),
}
# What breaks after output in a stream is hidden only where the answer is held back; in a whole answer nobody sees it.
LATE = ("timeout_idle", "timeout_total", "broken_stream")
# The one clock that strikes where a fault is a silence: of a stream, and of a whole answer.
CLOCKS: dict[str, tuple[str, str]] = {
    "timeout_first_token": ("first_token", "whole"),
    "timeout_idle": ("idle", "idle"),
    "timeout_total": ("total", "total"),
    "silent_before_head": ("first_token", "whole"),
    "silent_after_head": ("first_token", "idle"),
    "silent_after_role": ("first_token", "idle"),
    "error_body_never_comes": ("idle", "idle"),
    "silent": ("idle", "idle"),
}


def clocks(name: str, stream: bool) -> dict[str, str]:
    stricken = CLOCKS.get(name)
    return {stricken[not stream]: SHORT} if stricken else {}


def the_step(kind: str, stream: bool) -> Step:
    if kind == "timeout_first_token" and not stream:
        return Silent("before_head")  # a whole answer has no output to wait for after its head
    if kind == "timeout_total" and not stream:
        return play(Answer(chunks=("drip ",) * 300), Slow(between=0.05))
    return fault(kind)


def fate_of(kind: str, stream: bool) -> Fate:
    if kind == "broken_stream":
        return times(1, K.BROKEN_STREAM) if stream else times(2, K.GARBLED)
    return FATES[kind]


def test_every_kind_is_told_about_here() -> None:
    assert {*FATES, "broken_stream", "timeout_connect"} == {kind.value for kind in FaultKind}
    assert {*FATES, "broken_stream"} == set(FAULTS)


@BOTH
@pytest.mark.parametrize("kind", list(FAULTS))
def test_a_backup_hides_what_can_be_hidden(kind: str, stream: bool) -> None:
    delivery = "held" if stream and kind in LATE else "live"
    with stand("primary", "backup", delivery=delivery, timeouts=clocks(kind, stream)) as s:
        s.primary.otherwise, s.backup.otherwise = the_step(kind, stream), BACKUP
        if kind == "rate_limited":
            # So long that the key still cools when it is looked at.
            s.primary.otherwise = rate_limited("retry_after_ms", 5.0)
        told = s.ask(stream)
        expected = fate_of(kind, stream)
        if expected.served:
            assert (told.status, told.text, told.finish) == (200, BACKUP.text, "stop"), told.body
            assert not stream or told.done
        else:
            assert told.status == 400
        assert told.headers["x-skein-attempts"] == str(len(expected.faults) + expected.served)
        assert told.headers["x-skein-provider"] == ("backup" if expected.served else "primary")
        ended = s.finished()
        assert s.primary.count == len(expected.faults)
        assert s.backup.count == expected.served
        assert s.faults() == [("primary", each) for each in expected.faults]
        assert s.tried() == ["primary"] * len(expected.faults) + ["backup"] * expected.served
        assert ended.attempts == len(expected.faults) + expected.served
        assert ended.outcome == ("ok" if expected.served else "error")
        assert s.counted("primary") == sum(each in COUNTS for each in expected.faults)
        assert s.counted("backup") == 0
        dies = kind in ("bad_credentials", "out_of_credit")
        assert s.keys("primary") == ["dead" if dies else "cooling" if kind == "rate_limited" else "alive"]
        s.keeps_its_secrets(told)


class Verdict(NamedTuple):
    """What the client is told when nobody is left: ``type``, ``code``, ``param`` as in OpenAI's errors."""

    status: int
    type: str
    code: str
    origin: str = "vendor"
    upstream: int | None = None
    param: str | None = None


VERDICTS: dict[str, Verdict] = {
    "rate_limited": Verdict(429, "requests", "rate_limit_exceeded", upstream=429),
    "overloaded": Verdict(503, "server_error", "server_is_overloaded", upstream=503),
    "server_error": Verdict(502, "server_error", "server_error", upstream=500),
    "unreachable": Verdict(502, "upstream_error", "unreachable", "network"),
    "timeout_first_token": Verdict(504, "upstream_error", "timeout_first_token", "network"),
    "timeout_idle": Verdict(504, "upstream_error", "timeout_idle", "network"),
    "timeout_total": Verdict(504, "upstream_error", "timeout_total", "network"),
    "bad_credentials": Verdict(502, "upstream_error", "upstream_auth", upstream=401),
    "out_of_credit": Verdict(502, "upstream_error", "upstream_credit", upstream=429),
    "model_missing": Verdict(404, "invalid_request_error", "model_not_found", upstream=404),
    "garbled": Verdict(502, "upstream_error", "garbled"),
    "broken_stream": Verdict(502, "upstream_error", "garbled", "network"),
    "bad_request": Verdict(400, "invalid_request_error", "invalid_type", upstream=400, param="temperature"),
    "context_too_long": Verdict(
        400, "invalid_request_error", "context_length_exceeded", upstream=400, param="messages"
    ),
    "refused": Verdict(400, "invalid_request_error", "content_filter", upstream=400, param="prompt"),
}
ALONE = [(kind, stream) for kind in FAULTS for stream in (False, True) if not (stream and kind in LATE)]


def assert_error(told: Told, verdict: Verdict, url: str) -> dict[str, Any]:
    error = told.error
    found = Verdict(
        told.status, error["type"], error["code"], error["origin"], error["upstream"]["status"], error["param"]
    )
    assert found == verdict
    assert error["upstream"]["url"] == url
    assert (error["provider"], error["model"]) == ("primary", "gpt-4.1")
    assert error["request_id"] == told.headers["x-request-id"]
    assert told.headers["content-type"] == "application/json"
    return error


@pytest.mark.parametrize(("kind", "stream"), ALONE, ids=[f"{k}-{'stream' if s else 'whole'}" for k, s in ALONE])
def test_without_a_backup_the_client_is_told_whose_fault_it_is(kind: str, stream: bool) -> None:
    with stand("primary", timeouts=clocks(kind, stream)) as s:
        s.primary.otherwise = the_step(kind, stream)
        told = s.ask(stream)
        expected = fate_of(kind, stream)
        faults = expected.alone or expected.faults
        error = assert_error(told, VERDICTS[kind], f"{s.primary.base_url}/chat/completions")
        assert s.primary.count == len(faults)
        assert s.faults() == [("primary", each) for each in faults]
        attempts = [(each["number"], each["provider"], each["fault"]) for each in error["attempts"]]
        assert attempts == [(number, "primary", each.value) for number, each in enumerate(faults, 1)]
        ended = s.finished()
        assert (ended.outcome, ended.status, ended.code) == ("error", told.status, error["code"])
        assert ended.fault is not None
        assert ended.fault.kind is faults[-1]
        if kind == "rate_limited":
            assert told.headers["retry-after"] == "1"
            assert 0 <= int(told.headers["retry-after-ms"]) <= 20
        else:
            assert "retry-after" not in told.headers
        assert told.headers.get("x-should-retry") == ("false" if VERDICTS[kind].code.startswith("upstream_") else None)
        s.keeps_its_secrets(told)


@pytest.mark.parametrize(("code", "param"), [(403, None), (402, None)])
def test_other_refusals_of_our_account_are_not_the_callers(code: int, param: str | None) -> None:
    with stand("primary") as s:
        s.primary.otherwise = Status(code)
        told = s.ask()
        assert told.status == 502
        assert told.error["code"] == ("upstream_auth" if code == 403 else "upstream_credit")
        assert told.error["upstream"]["body"] is None
        assert s.keys("primary") == ["dead"]


@pytest.mark.parametrize("code", [409, 413, 422, 451])
@BOTH
def test_the_callers_own_mistakes_keep_status_and_words(code: int, stream: bool) -> None:
    said = {"error": {"message": "Not so.", "type": "my_type", "param": "my_param", "code": "my_code"}}
    with stand("primary", "backup") as s:
        s.primary.otherwise = Status(code, said)
        told = s.ask(stream)
        if code == 409:  # a conflict is the vendor's: another try may do
            assert told.status == 200
            return
        assert told.status == code
        assert {name: told.error[name] for name in ("message", "type", "param", "code")} == said["error"]
        assert (s.primary.count, s.backup.count) == (1, 0)


def echo(call: Received) -> Status:
    """A vendor that quotes the key it was sent, wherever it can."""
    said = f"What is {call.headers['authorization']}?"
    return Status(
        401 if "mine" in call.body.decode() else 400,
        {"error": {"message": said, "type": said, "code": said, "param": said}},
        {"x-ratelimit-key": said, "openai-version": said},
    )


@pytest.mark.parametrize("words", ["mine", "yours"])
@BOTH
def test_a_vendor_that_echoes_the_key_does_not_leak_it(words: str, stream: bool) -> None:
    with stand("primary") as s:
        s.primary.otherwise = echo
        told = s.ask(stream, user=words)
        assert told.status == (502 if words == "mine" else 400)
        s.finished()
        s.keeps_its_secrets(told)


@BOTH
def test_a_key_echoed_in_an_error_inside_a_200_does_not_leak(stream: bool) -> None:
    with stand("primary") as s:
        s.primary.otherwise = lambda call: InBandError("first", message=f"Key {call.headers['authorization']} is bad.")
        told = s.ask(stream)
        assert told.status == 502
        s.finished()
        s.keeps_its_secrets(told)


def test_a_key_echoed_in_the_middle_of_a_stream_does_not_leak() -> None:
    with stand("primary") as s:
        s.primary.otherwise = lambda call: play(
            Silent("after_output", seconds=MOMENT),
            InBandError("mid", message=f"Key {call.headers['authorization']} is bad."),
        )
        told = s.ask(True)
        assert "Hello" in told.body.decode()
        assert told.error["message"]
        s.finished()
        s.keeps_its_secrets(told)


# --- connections that are never made


@BOTH
def test_a_connection_that_hangs_moves_on(stream: bool) -> None:
    with (
        hanging() as url,
        stand("backup", others={"primary": at(f"{url}/v1", "primary")}, timeouts={"connect": SHORT}) as s,
    ):
        s.backup.otherwise = BACKUP
        assert s.ask(stream).text == BACKUP.text
        s.finished()
        assert s.faults() == [("primary", K.TIMEOUT_CONNECT)]
        assert (s.counted("primary"), s.backup.count) == (1, 1)


@BOTH
def test_a_connection_that_hangs_without_a_backup_is_a_504(stream: bool) -> None:
    with hanging() as url, stand(others={"primary": at(f"{url}/v1", "primary")}, timeouts={"connect": SHORT}) as s:
        told = s.ask(stream)
        assert_error(told, Verdict(504, "upstream_error", "timeout_connect", "network"), f"{url}/v1/chat/completions")
        assert s.tried() == ["primary"]


@BOTH
def test_a_refused_connection_is_tried_once_more_and_then_left(stream: bool) -> None:
    with refusing() as url, stand("backup", others={"primary": at(f"{url}/v1", "primary")}) as s:
        assert s.ask(stream).status == 200
        s.finished()
        assert s.faults() == [("primary", K.UNREACHABLE)] * 2
        assert s.of(events.AttemptStarted)[1].reason == "retry on a fresh connection"


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with stand("backup", others={"primary": at("http://nowhere.invalid/v1", "primary")}) as s:
        assert s.ask().status == 200
        assert s.faults()[0] == ("primary", K.UNREACHABLE)


# --- what nobody need see

# One damaged event is left out; the stream goes on and ends well.
DAMAGED = ("invalid_json_first", "invalid_json", "truncated_json", "binary")


@BOTH
@pytest.mark.parametrize("name", HIDDEN)
def test_before_the_first_output_nothing_is_seen(name: str, stream: bool) -> None:
    with stand("primary", "backup", timeouts=clocks(name, stream)) as s:
        s.primary.otherwise, s.backup.otherwise = HIDDEN[name], BACKUP
        told = s.ask(stream)
        if stream and name in DAMAGED:
            assert (told.status, told.finish, told.done) == (200, "stop", True)
            assert s.finished().skipped == 1
            return
        assert (told.status, told.text, told.finish) == (200, BACKUP.text, "stop"), told.body
        assert not stream or told.done
        s.finished()
        assert {provider for provider, _ in s.faults()} <= {"primary"}
        assert len(s.faults()) == s.primary.count
        assert s.backup.count == 1
        assert s.counted("primary") == s.primary.count


@pytest.mark.parametrize("name", [name for name in HIDDEN if name not in DAMAGED])
def test_before_the_first_output_a_fault_without_a_backup_is_an_error_and_no_stream(name: str) -> None:
    with stand("primary", timeouts=clocks(name, True)) as s:
        s.primary.otherwise = HIDDEN[name]
        told = s.ask(True)
        assert told.status in (502, 503, 504), told.body
        assert told.headers["content-type"] == "application/json"
        assert told.error["origin"] in ("vendor", "network")
        s.keeps_its_secrets(told)


@pytest.mark.parametrize("name", [name for name in HIDDEN if name not in DAMAGED])
def test_one_hidden_fault_and_then_an_answer_from_the_same_target(name: str) -> None:
    """Where the reaction is to try again, one bad answer costs one more call and nothing else."""
    with stand("primary", timeouts=clocks(name, True)) as s:
        s.primary.script(HIDDEN[name])
        told = s.ask(True)
        s.finished()
        if s.faults()[0][1] in (K.TIMEOUT_FIRST_TOKEN, K.TIMEOUT_IDLE, K.TIMEOUT_TOTAL):
            assert (told.status, s.primary.count) == (504, 1)  # never the same silent target again
        else:
            assert (told.status, told.text, s.primary.count) == (200, "Hello from the scripted vendor.", 2)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in DAMAGED])
def test_what_breaks_a_stream_in_the_middle_is_hidden_where_it_is_held_back(name: str) -> None:
    with stand("primary", "backup", delivery="held", timeouts=clocks(name, True)) as s:
        s.primary.otherwise, s.backup.otherwise = BROKEN[name], BACKUP
        told = s.ask(True)
        assert (told.status, told.text, told.done) == (200, BACKUP.text, True)
        s.finished()
        assert s.backup.count == 1
        assert s.counted("primary") == s.primary.count >= 1


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_whole_answer_is_hidden(name: str) -> None:
    with stand("primary", "backup", timeouts=clocks(name, False)) as s:
        s.primary.otherwise, s.backup.otherwise = BROKEN[name], BACKUP
        told = s.ask()
        if name in ("no_finish", "no_finish_close_delimited"):
            # A whole body without a finish reason has arrived whole.
            assert (told.status, s.backup.count) == (200, 0)
            return
        assert (told.status, told.text) == (200, BACKUP.text)
        assert s.counted("primary") == s.primary.count >= 1


NOT_UTF8 = {
    "error": (b"500 Oops", b"application/json", b'{"error":{"message":"d\xe9faut","code":"\xff"}}'),
    "page": (b"502 Oops", b"text/html", b"<title>d\xe9faut</title>"),
    "whole": (b"200 OK", b"application/json", b'{"choices":[{"finish_reason":"\xff"}]}'),
    "error_event": (b"200 OK", b"text/event-stream", b'data: {"error":{"message":"d\xe9faut"}}\n\n'),
}


@BOTH
@pytest.mark.parametrize("name", NOT_UTF8)
def test_a_vendor_that_does_not_speak_utf8_is_a_vendor_that_fails(name: str, stream: bool) -> None:
    status, kind, said = NOT_UTF8[name]
    lines = (b"HTTP/1.1 " + status, b"content-type: " + kind, b"content-length: %d" % len(said), b"", said)
    with stand("primary", "backup") as s:
        s.primary.otherwise, s.backup.otherwise = Raw(b"\r\n".join(lines)), BACKUP
        told = s.ask(stream)
        assert (told.status, told.text) == (200, BACKUP.text), told.body
        s.finished()
        assert {provider for provider, _ in s.faults()} == {"primary"}


def test_one_event_that_is_not_utf8_ends_nothing() -> None:
    line = b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n'
    with stand("primary") as s:
        s.primary.otherwise = play(Silent("after_output", seconds=MOMENT), Malformed("after_output", line=line))
        told = s.ask(True)
        assert told.body.replace(line, b"").endswith(b"data: [DONE]\n\n")
        assert b" vendor." in told.body
        assert s.finished().outcome == "ok"


# --- what is unusual and right


@BOTH
@pytest.mark.parametrize("name", HARMLESS)
def test_unusual_answers_arrive_as_the_vendor_gave_them(name: str, stream: bool) -> None:
    """Told to the gateway and to a client directly, they are the same but for comments and the end that was missing."""
    config = {"models": {"gpt-4.1": {"targets": ["primary/gpt-4.1"]}}}
    with stand("primary", extra=config) as s, ScriptedVendor.in_thread() as twin:
        s.primary.otherwise = twin.otherwise = HARMLESS[name]
        ask = {"model": "gpt-4.1", "messages": MESSAGES}
        if stream:
            ask |= {"stream": True, "stream_options": {"include_usage": True}}
        with Client(twin.url) as direct:
            direct.post(ask)
            truth = reread(direct.reply() if HARMLESS[name] != HARMLESS["close_delimited"] else until_closed(direct))
        for _ in range(2):  # once more, on a connection that may have been closed
            told = s.ask(**ask)
            assert told.status == 200, told.body
            if stream:
                assert told.done
                assert same(told.chunks) == same(truth.chunks)
            else:
                assert same([told.json]) == same([truth.json])
            assert told.finish == truth.finish
        ended = s.finished(2)
        assert (ended.outcome, ended.skipped) == ("ok", 0)
        if name not in ("stale_connection", "dropped_connection"):
            assert not s.faults()


def same(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what is different in every answer."""
    numbered = ("id", "created")
    plain = [{key: value for key, value in chunk.items() if key not in numbered} for chunk in chunks]
    return [_without_call_ids(chunk) for chunk in plain]


def _without_call_ids(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: "call" if key == "id" and str(inner).startswith("call_") else _without_call_ids(inner)
                for key, inner in value.items()
            }
        case list():
            return [_without_call_ids(each) for each in value]
    return value


def until_closed(client: Client) -> Told:
    while client.more(2.0):
        pass
    head, _, rest = bytes(client.received).partition(b"\r\n\r\n")
    status, kind = int(head.split()[1]), head.lower().partition(b"content-type: ")[2].partition(b"\r\n")[0]
    return Told(status, {"content-type": kind.decode()}, rest)


def reread(told: Told) -> Told:
    """What a client that knows its standards makes of the vendor's bytes."""
    plain = gzip.decompress(told.body) if told.headers.get("content-encoding") == "gzip" else told.body
    if told.is_stream:
        plain = plain.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = [line for line in plain.split(b"\n") if not line.startswith((b":", b"retry:", b"id:", b"event:"))]
        plain = b"\n".join(lines).strip(b"\n") + b"\n\n"
        while b"\n\n\n" in plain:
            plain = plain.replace(b"\n\n\n", b"\n\n")
    return Told(told.status, told.headers, plain)


# --- Retry-After


@pytest.mark.parametrize("form", [form for form in (*RETRY_AFTER, *HINTS) if form not in ("none", "http_date")])
def test_a_wait_that_was_asked_for_is_kept(form: str) -> None:
    seconds = 1.2 if form == "anthropic_reset" else 0.06
    with stand("primary") as s:
        s.primary.script(rate_limited(form, seconds))
        assert s.ask().status == 200
        first, second = s.primary.received
        waited = second.began - first.began
        least = 0.15 if form == "anthropic_reset" else seconds  # whole seconds: anything up to one of them may be gone
        assert least * 0.9 <= waited < 10


def test_a_wait_given_as_a_date_is_kept() -> None:
    with stand("primary") as s:
        s.primary.script(rate_limited("http_date", 1.2))
        assert s.ask().status == 200
        first, second = s.primary.received
        assert 0.1 < second.began - first.began < 10


@pytest.mark.parametrize("code", [429, 503])
def test_a_wait_longer_than_max_wait_is_not_waited_for_but_told(code: int) -> None:
    with stand("primary", max_wait="1s") as s:
        s.primary.otherwise = Status(code, retry_after=7)
        told = s.ask()
        assert (told.status, told.headers["retry-after"], s.primary.count) == (code, "7", 1)
        assert 6000 < int(told.headers["retry-after-ms"]) <= 7000


def test_a_limited_target_is_left_at_once_and_not_asked_again_while_it_cools() -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise = rate_limited("seconds", 7)
        for _ in range(3):
            assert s.ask().headers["x-skein-provider"] == "backup"
        assert (s.primary.count, s.backup.count) == (1, 3)


def test_of_two_limited_targets_the_shorter_wait_is_waited_for() -> None:
    with stand("primary", "backup") as s:
        s.primary.script(rate_limited("retry_after_ms", 5.0))
        s.backup.script(rate_limited("retry_after_ms", 0.05))
        told = s.ask()
        assert (told.status, told.headers["x-skein-provider"]) == (200, "backup")
        assert (s.primary.count, s.backup.count) == (1, 2)


def test_the_shortest_wait_of_all_is_what_the_client_is_told() -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise = rate_limited("seconds", 30)
        s.backup.otherwise = rate_limited("seconds", 20)
        told = s.ask()
        assert (told.status, told.headers["retry-after"]) == (429, "20")


def test_backoff_grows_and_nobody_sleeps_after_the_last_try() -> None:
    backoff = {"initial": "200ms", "multiplier": 5, "max": "10s", "jitter": "none"}
    with stand("primary", backoff=backoff) as s:
        s.primary.otherwise = Status(503)
        assert s.ask().status == 503
        ended = s.finished()
        gaps = [b.began - a.began for a, b in zip(s.primary.received, s.primary.received[1:], strict=False)]
        assert len(gaps) == 2
        assert gaps[0] >= 0.2
        assert gaps[1] >= 1.0
        assert ended.seconds < sum(gaps) + 2.5  # the next wait were 5 s


# --- bounds


def test_max_attempts_holds_over_all_targets() -> None:
    with stand("a", "b", "c", max_attempts=4) as s:
        for vendor in s.vendors.values():
            vendor.otherwise = Status(500)
        told = s.ask()
        assert told.status == 502
        assert s.tried() == ["a", "a", "a", "b"]
        assert len(told.error["attempts"]) == 4


def test_with_no_retries_each_target_is_asked_once() -> None:
    with stand("a", "b", retries=0) as s:
        s.a.otherwise = s.b.otherwise = Status(500)
        assert s.ask().status == 502
        assert s.tried() == ["a", "b"]


MOST_TELLING = [
    ("rate_limited", "server_error", 429),
    ("server_error", "overloaded", 503),
    ("unreachable", "server_error", 502),
    ("bad_credentials", "overloaded", 503),
    ("server_error", "bad_request", 400),
    ("model_missing", "unreachable", 502),
    ("bad_credentials", "rate_limited", 429),
]


@pytest.mark.parametrize(("first", "second", "status"), MOST_TELLING)
def test_the_most_telling_fault_decides(first: str, second: str, status: int) -> None:
    with stand("primary", "backup") as s:
        s.primary.otherwise, s.backup.otherwise = fault(first), fault(second)
        told = s.ask()
        assert told.status == status, told.body
        assert {each["provider"] for each in told.error["attempts"]} == {"primary", "backup"}


# --- context and policy


def test_what_is_too_long_goes_to_a_larger_window_only() -> None:
    windows = {"small": {"gpt-4.1": 8192}, "same": {"gpt-4.1": 8192}, "large": {"gpt-4.1": 128000}}
    providers = {name: {"windows": window} for name, window in windows.items()}
    with stand("small", "same", "large", providers=providers) as s:
        s.small.otherwise = s.same.otherwise = fault("context_too_long")
        told = s.ask()
        assert (told.status, told.headers["x-skein-provider"]) == (200, "large")
        assert s.tried() == ["small", "large"]


@BOTH
def test_a_refusal_moves_on_where_the_model_says_so(stream: bool) -> None:
    with stand("primary", "backup", on_refused="move_on") as s:
        s.primary.otherwise = fault("refused")
        assert s.ask(stream).headers["x-skein-provider"] == "backup"
        assert s.counted("primary") == 0


@pytest.mark.parametrize("step", [fault("refused"), Status(400, {"error": {"message": "flagged", "code": "content_policy_violation", "type": "invalid_request_error", "param": None}})])  # fmt: skip  # noqa: E501
def test_refusals_stay_recognisable(step: Step) -> None:
    with stand("primary") as s:
        s.primary.otherwise = step
        assert s.ask().error["code"] in ("content_filter", "content_policy_violation")


def test_a_404_of_ours_and_a_404_of_the_vendors_are_told_apart() -> None:
    with stand("primary") as s:
        s.primary.otherwise = Status(404)
        theirs, ours = s.ask(), s.ask(model="nobody-has-this")
        assert (theirs.status, theirs.error["origin"]) == (404, "vendor")
        assert (ours.status, ours.error["origin"]) == (404, "gateway")
        with s.client() as client:
            client.post({}, path="/v1/chat/completion")
            route = client.reply()
        assert (route.status, route.error["origin"], route.error["code"]) == (404, "gateway", "unknown_path")
        assert CHAT in route.error["message"]


def test_a_kept_connection_that_has_died_costs_no_answer() -> None:
    with stand("primary") as s:
        s.primary.otherwise = play(connection="stale")
        for _ in range(6):
            assert s.ask().status == 200
        s.finished(6)
        assert all(kind is K.UNREACHABLE for _, kind in s.faults())


def test_a_vendor_that_dies_and_comes_back() -> None:
    with stand("primary", "backup") as s:
        s.primary.run(s.primary.go_away())
        assert s.ask().headers["x-skein-provider"] == "backup"
        s.primary.run(s.primary.come_back())
        assert s.ask().headers["x-skein-provider"] == "primary"


def test_secrets_are_not_shown_to_operators_either() -> None:
    with stand("primary") as s, s.client() as client:
        client.post(b"", path="/health/providers")
        client.reply()
        client.send(b"GET /health/providers HTTP/1.1\r\nhost: x\r\n\r\n")
        told = client.reply()
        assert told.status == 200
        assert secret("primary") not in told.body.decode()
