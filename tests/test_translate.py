"""Pass-through: only the named deltas change, the reply's bytes are handed on, and nothing depends on how it is cut."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gateway.chat import Facts, Usage
from gateway.dialects import DIALECTS, openai_chat
from gateway.dialects.glimpse import Whole
from gateway.errors import FaultKind
from gateway.passing import Continuing, Digest, Passing
from gateway.sse import Splitter, event
from gateway.translate import Asked, PassThrough, translator
from gateway.vendors import VENDORS, Vendor
from tests.corpus import answers, case, cases

CHAT = DIALECTS["openai_chat"]
REQUESTS = cases("openai_chat", "request.json")
STREAMS = [each for each in cases("openai_chat", "stream.sse") if each.id != "error_in_stream"]
ANSWERS = answers("openai_chat")
fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

PLAIN = Vendor(name="plain", title="", docs="", base_url=None, paths={})
QUIET = msgspec.structs.replace(PLAIN, stream_usage=False)
PICKY = msgspec.structs.replace(
    PLAIN,
    rename={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
    drop=frozenset(("user", "store", "metadata", "stream_options")),
    stream_usage=False,
)
VENDOR_ROWS = [pytest.param(row, id=row_id) for row_id, row in {"plain": PLAIN, "quiet": QUIET, "picky": PICKY}.items()]

# Requests -------------------------------------------------------------------------------------------------------------


def written(vendor: Vendor, body: bytes, model: str, max_tokens: int | None = None) -> bytes:
    """What goes to the vendor."""
    return PassThrough(CHAT, vendor).request(Asked(body, CHAT.peek(body), "ours", model, max_tokens)).body


def exact(body: bytes) -> dict[str, Any]:
    """The object with every number as it is spelled; of a key that stands twice the last counts."""
    return json.loads(body.decode(errors="replace"), parse_int=str, parse_float=str)


def values(body: bytes) -> dict[str, bytes]:
    return {key: bytes(value) for key, value in fields.decode(body).items()}


def deltas(body: bytes, vendor: Vendor, model: str) -> dict[str, Any]:
    """What the vendor is to get, worked out the slow way."""
    asked, out = exact(body), {}
    for key, value in asked.items():
        new = vendor.rename.get(key, key)
        if key not in vendor.drop and (out.get(new) is None or (new == key and value is not None)):
            out[new] = value
    out["model"] = model
    if asked.get("stream") and vendor.stream_usage and not (asked.get("stream_options") or {}).get("include_usage"):
        out["stream_options"] = {**(asked.get("stream_options") or {}), "include_usage": True}
    return out


@pytest.mark.parametrize("vendor", VENDOR_ROWS)
@pytest.mark.parametrize("body", REQUESTS)
def test_a_request_changes_by_the_named_deltas_only(body: bytes, vendor: Vendor):
    sent = written(vendor, body, 'gänse/"5"')
    assert exact(sent) == deltas(body, vendor, 'gänse/"5"')
    before, after = values(body), values(sent)
    for key in before.keys() & after.keys() - {"model", "stream_options"}:
        assert after[key] == before[key], key
    kept = [vendor.rename.get(key, key) for key in before]
    order = [key for key in after if key != "stream_options"]
    assert order == [key for key in dict.fromkeys(kept) if key in after and key != "stream_options"]


@pytest.mark.parametrize("body", REQUESTS)
def test_every_other_value_keeps_its_bytes(body: bytes):
    before, after = exact(body), exact(CHAT.rewrite(body, "other"))
    assert {**before, "model": "other"} == after


NAMED_ODDLY = {
    "the key stands twice": "model_twice",
    "a nested key is alike": "model_everywhere",
    "the key is spelled with an escape": "model_key_escaped",
    "the key is spelled with an escape, a nested one is not": "model_key_escaped_beside_a_nested_one",
    "the value is spelled with an escape": "model_value_escaped",
}


@pytest.mark.parametrize("name", NAMED_ODDLY.values(), ids=NAMED_ODDLY)
def test_the_model_is_put_where_it_is_read(name: str):
    body = case("openai_chat", f"{name}.request.json")
    assert CHAT.peek(body).model == "gpt-5-mini"
    assert exact(CHAT.rewrite(body, "other"))["model"] == "other"


def test_usage_cannot_be_asked_for_twice():
    body = case("openai_chat", "stream_options.request.json")
    options = exact(CHAT.rewrite(body, "other", ask_usage=True))["stream_options"]
    assert options == {"include_usage": True, "include_obfuscation": False}


CAPS: dict[str, tuple[dict[str, Any], Vendor, dict[str, Any]]] = {
    "nothing said": ({}, PLAIN, {"max_completion_tokens": 100}),
    "nothing said, renamed": ({}, PICKY, {"max_tokens": 100}),
    "less said": ({"max_tokens": 7}, PLAIN, {"max_tokens": 7}),
    "more said": ({"max_tokens": 700}, PLAIN, {"max_tokens": 100}),
    "more said, newer name": ({"max_completion_tokens": 700}, PLAIN, {"max_completion_tokens": 100}),
    "more said, renamed": ({"max_completion_tokens": 700}, PICKY, {"max_tokens": 100}),
    "null said": ({"max_tokens": None}, PLAIN, {"max_tokens": 100}),
    "null said, and more": (
        {"max_tokens": None, "max_completion_tokens": 700},
        PLAIN,
        {"max_tokens": None, "max_completion_tokens": 100},
    ),
    "nonsense said": ({"max_tokens": "many"}, PLAIN, {"max_tokens": 100}),
}


@pytest.mark.parametrize(("asked", "vendor", "limits"), CAPS.values(), ids=CAPS)
def test_a_cap_lowers_and_never_raises(asked: dict[str, Any], vendor: Vendor, limits: dict[str, Any]):
    body = json.dumps({"model": "m", **asked}).encode()
    sent = json.loads(written(vendor, body, "m", 100))
    assert {key: value for key, value in sent.items() if key.startswith("max")} == limits


BOTH_NAMES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "only the other": ({"max_completion_tokens": 7}, {"max_tokens": 7}),
    "both": ({"max_completion_tokens": 7, "max_tokens": 8}, {"max_tokens": 8}),
    "both, its own first": ({"max_tokens": 8, "max_completion_tokens": 7}, {"max_tokens": 8}),
    "its own is null": ({"max_completion_tokens": 7, "max_tokens": None}, {"max_tokens": 7}),
    "its own is null, and first": ({"max_tokens": None, "max_completion_tokens": 7}, {"max_tokens": 7}),
    "the other is null": ({"max_tokens": 8, "max_completion_tokens": None}, {"max_tokens": 8}),
    "both are null": ({"max_tokens": None, "max_completion_tokens": None}, {"max_tokens": None}),
}


@pytest.mark.parametrize(("asked", "limits"), BOTH_NAMES.values(), ids=BOTH_NAMES)
def test_said_under_both_names_the_vendors_own_wins_unless_it_says_nothing(
    asked: dict[str, Any], limits: dict[str, Any]
):
    sent = json.loads(written(PICKY, json.dumps({"model": "m", **asked}).encode(), "m"))
    assert {key: value for key, value in sent.items() if key.startswith("max")} == limits


def test_bytes_that_are_no_text_are_mended():
    body = b'{"model":"a","\xff":"\xfe"}'
    assert written(PLAIN, body, "b") == '{"model":"b","\ufffd":"\ufffd"}'.encode()
    rewritten = exact(written(PLAIN, body, "b", 5))
    assert rewritten["model"] == "b"


KEYS = st.sampled_from(["model", "stream", "stream_options", "seed", "user", "mödel", '"model"', "x", ""]) | st.text()
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | st.text() | st.just("model") | st.just('"model":"m"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OPTIONS = st.none() | st.fixed_dictionaries({}, optional={"include_usage": st.booleans(), "x": VALUES})


@given(
    before=st.dictionaries(KEYS, VALUES, max_size=4),
    after=st.dictionaries(KEYS, VALUES, max_size=4),
    model=st.text(min_size=1),
    stream=st.booleans(),
    options=OPTIONS,
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
)
def test_any_request_changes_by_the_named_deltas_only(before, after, model, stream, options, ascii_only, indent):
    asked = {**before, "model": model, **{key: value for key, value in after.items() if key != "model"}}
    asked |= {"stream": stream, "stream_options": options}
    asked = {key: value for key, value in asked.items() if key not in ("n", "tools", "functions", "response_format")}
    body = json.dumps(asked, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    facts = CHAT.peek(body)
    assert facts.model == json.loads(body)["model"]
    for vendor in (PLAIN, QUIET, PICKY):
        sent = written(vendor, body, "other")
        assert exact(sent) == deltas(body, vendor, "other")


# Whole answers and streams --------------------------------------------------------------------------------------------


def passed(stream: bytes, *cuts: int, withhold: bool = False, size: int | None = None) -> tuple[bytes, Digest, Passing]:
    """A stream handed on in pieces: what the client gets, and what was noted of it."""
    places = list(range(0, len(stream), size)) if size else sorted(cuts)
    passing = Passing(CHAT, withhold_usage=withhold, keep_text=True)
    out = [passing.feed(stream[begin:end], 0.0) for begin, end in zip([0, *places], [*places, None], strict=True)]
    out.append(passing.end(0.0))
    return b"".join(out), passing.digest, passing


def noted(digest: Digest) -> dict[str, Any]:
    return {**msgspec.to_builtins(digest, str_keys=True), "text": "".join(digest.text)}


def data_of(stream: bytes) -> list[Any]:
    """What an SDK makes of a stream: the values of its events."""
    splitter = Splitter()
    frames = [frame for frame in (*splitter.feed(stream), *splitter.end()) if frame.data]
    return [frame.data.decode() if frame.data == b"[DONE]" else json.loads(frame.data) for frame in frames]


def line_ends_alike(stream: bytes) -> bytes:
    return re.sub(rb"\r\n?", b"\n", stream)


@pytest.mark.parametrize(("response", "stream"), ANSWERS)
def test_a_stream_tells_what_the_whole_answer_tells(response: bytes, stream: bytes):
    whole = CHAT.read_whole(response, 0.0)
    _, digest, passing = passed(stream)
    said = [choice["message"] for choice in json.loads(response)["choices"]]
    assert isinstance(whole, Whole)
    assert (digest.finish_reason, digest.usage) == (whole.finish_reason, whole.usage)
    assert digest.tool == any(message.get("tool_calls") or message.get("function_call") for message in said)
    assert sorted("".join(digest.text)) == sorted("".join(message["content"] or "" for message in said))
    assert passing.complete
    assert passing.done
    assert passing.fault is None
    assert digest.output
    assert digest.skipped == 0


@pytest.mark.parametrize("stream", STREAMS)
def test_every_event_reaches_the_client(stream: bytes):
    out, _, _ = passed(stream)
    assert data_of(out) == data_of(stream)


@pytest.mark.parametrize(
    "stream", [each for each in STREAMS if each.id not in ("comments", "openrouter", "odd_framing")]
)
def test_the_very_bytes_are_handed_on(stream: bytes):
    passing = Passing(CHAT)
    if stream.endswith(b"\n\n") or b"\r" in stream:
        assert passing.feed(stream, 0.0) is stream
    assert passing.end(0.0) == b""
    passing = Passing(CHAT)
    for whole_event in re.findall(rb"[^\r\n].*?(?:\r\n|\n|\r){2}", stream, re.DOTALL):
        assert passing.feed(whole_event, 0.0) is whole_event


def test_comments_and_empty_events_stay_here():
    out, digest, _ = passed(case("openai_chat", "comments.stream.sse"))
    assert b": " not in out.replace(b"data: ", b"")
    assert passed(b": hello\n\ndata: \n\ndata\n\nretry: 5\n\n")[0] == b""
    assert digest.skipped == 0


@pytest.mark.parametrize("withhold", [False, True], ids=["usage asked for", "usage withheld"])
@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_handed_on_and_noted_does_not_depend_on_the_cut(stream: bytes, withhold: bool):
    whole, digest, _ = passed(stream, withhold=withhold)
    for cut in range(1, len(stream)):
        out, seen, _ = passed(stream, cut, withhold=withhold)
        assert line_ends_alike(out) == line_ends_alike(whole), cut
        assert noted(seen) == noted(digest), cut
    out, seen, _ = passed(stream, size=1, withhold=withhold)
    assert line_ends_alike(out) == line_ends_alike(whole)
    assert noted(seen) == noted(digest)


@given(st.sampled_from([each.values[0] for each in STREAMS]), st.lists(st.integers(0, 4000), max_size=9), st.booleans())
@examples(max_examples=150)
def test_nor_on_any_number_of_cuts(stream: bytes, cuts: list[int], withhold: bool):
    whole, digest, _ = passed(stream, withhold=withhold)
    out, seen, _ = passed(stream, *cuts, withhold=withhold)
    assert line_ends_alike(out) == line_ends_alike(whole)
    assert noted(seen) == noted(digest)


@pytest.mark.parametrize("stream", STREAMS)
def test_withheld_usage_is_as_if_nobody_had_asked(stream: bytes):
    """The last chunk that is usage alone is gone, and so is usage wherever else it stands."""
    out, digest, _ = passed(stream, withhold=True)
    expected = []
    for said in data_of(stream):
        if isinstance(said, dict):
            if said.get("choices") == [] and said.get("usage"):
                continue
            said = {key: value for key, value in said.items() if key != "usage"}
        expected.append(said)
    assert data_of(out) == expected
    assert digest.usage == passed(stream)[1].usage


def test_a_text_about_usage_keeps_its_bytes():
    said = event(b'{"choices": [{"index": 0, "delta": {"content": "", "x": {"usage": null}}}]}')
    assert passed(said, withhold=True)[0] == said


def test_half_a_character_is_handed_on():
    """Vendors cut tokens inside a character: in an escape, or in its bytes. The client may put them together again."""
    for half in (b"\\ud83e", "🦢".encode()[:2]):
        said = event(b'{"choices":[{"index":0,"delta":{"content":"a' + half + b'"}}],"usage":null}')
        out, digest, _ = passed(said)
        assert out == said
        assert (digest.output, digest.skipped) == (True, 0)
        assert passed(said, withhold=True)[0] == said.replace(b',"usage":null', b"")


# What goes wrong in a stream ------------------------------------------------------------------------------------------

HEAD = event(b'{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}')
WORD = event(b'{"id":"c","choices":[{"index":0,"delta":{"content":"honk "},"finish_reason":null}]}')
STOP = event(b'{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
DONE = b"data: [DONE]\n\n"

MALFORMED = {
    "not JSON": b"data: {oops}\n\n",
    "cut off": b'data: {"choices":[{"index":0,"del\n\n',
    "a list": b"data: [1]\n\n",
    "a list cut off": b"data: [1, 2\n\n",
    "a number": b"data: 5\n\n",
    "text": b"data: upstream hiccup\n\n",
    "binary": b"data: \x00\xff\xfe\x80\n\n",
    "a wrong shape cut off": b'data: {"choices": 5, "x\n\n',
    "nested too deep": b'data: {"choices":' + b"[" * 20000 + b"]" * 20000 + b"}\n\n",
    "nested too deep inside": b'data: {"choices":[{"delta":' + b'{"a":' * 20000 + b"1" + b"}" * 20000 + b"}]}\n\n",
}


@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_event_is_left_out_and_counted(bad: bytes):
    for stream in (HEAD + bad + WORD + STOP + DONE, bad + HEAD + WORD + STOP + DONE, HEAD + WORD + STOP + bad + DONE):
        out, digest, passing = passed(stream)
        assert out == HEAD + WORD + STOP + DONE
        assert (digest.skipped, passing.fault, passing.complete) == (1, None, True)


IN_BAND: dict[str, tuple[bytes, FaultKind, str | None]] = {
    "OpenAI": (
        b'data: {"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}\n\n',
        FaultKind.SERVER_ERROR,
        None,
    ),
    "event: error": (
        b'event: error\ndata: {"message":"Too fast","type":"rate_limit_error","code":"rate_limit_exceeded"}\n\n',
        FaultKind.RATE_LIMITED,
        "rate_limit_exceeded",
    ),
    "event: error with an error": (
        b'event: error\ndata: {"error":{"message":"Overloaded","type":"overloaded_error"}}\n\n',
        FaultKind.OVERLOADED,
        None,
    ),
    "type error": (
        b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        FaultKind.OVERLOADED,
        None,
    ),
    "object error (vLLM)": (
        b'data: {"object":"error","message":"boom","type":"InternalServerError","param":null,"code":500}\n\n',
        FaultKind.SERVER_ERROR,
        "500",
    ),
    "OpenRouter": (
        b'data: {"id":"gen-1","provider":"Meadow","error":{"code":429,"message":"Provider returned error"},'
        b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}\n\n',
        FaultKind.RATE_LIMITED,
        "429",
    ),
    "Groq": (
        b'data: {"id":"c","choices":[],"x_groq":{"id":"r","error":"over capacity, try again later"}}\n\n',
        FaultKind.OVERLOADED,
        None,
    ),
    "finish_reason error": (
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\n',
        FaultKind.SERVER_ERROR,
        None,
    ),
    "status in place of a chunk": (
        b'data: {"status":503,"message":"no healthy upstream"}\n\n',
        FaultKind.OVERLOADED,
        None,
    ),
    "detail": (b'data: {"detail":"Model is overloaded"}\n\n', FaultKind.OVERLOADED, None),
    "error as text": (b'data: {"error":"something broke"}\n\n', FaultKind.GARBLED, None),
    "error beside a wrong shape": (
        b'data: {"choices":{},"error":{"message":"no","code":"insufficient_quota"}}\n\n',
        FaultKind.OUT_OF_CREDIT,
        "insufficient_quota",
    ),
    "context": (
        b'data: {"error":{"message":"too long","code":"context_length_exceeded"}}\n\n',
        FaultKind.CONTEXT_TOO_LONG,
        "context_length_exceeded",
    ),
    "content filter": (
        b'data: {"error":{"message":"filtered","code":"content_filter","innererror":{"code":"x"}}}\n\n',
        FaultKind.REFUSED,
        "content_filter",
    ),
    "not UTF-8": (b'data: {"error":{"message":"\xe9chec","type":"server_error"}}\n\n', FaultKind.SERVER_ERROR, None),
}


@pytest.mark.parametrize(("error", "kind", "code"), IN_BAND.values(), ids=IN_BAND)
def test_an_error_inside_the_stream_is_a_fault(error: bytes, kind: FaultKind, code: str | None):
    for stream, shown in ((error, b""), (HEAD + error + WORD, HEAD), (HEAD + WORD + error + WORD + DONE, HEAD + WORD)):
        out, digest, passing = passed(stream)
        assert passing.fault
        assert (passing.fault.kind, passing.fault.code) == (kind, code)
        assert out == shown, "nothing is handed on after it, no [DONE] least of all"
        assert digest.output == (WORD in shown)
        assert not passing.complete


@pytest.mark.parametrize(("error", "kind", "code"), IN_BAND.values(), ids=IN_BAND)
def test_an_error_after_the_end_changes_nothing(error: bytes, kind: FaultKind, code: str | None):
    for stream in (HEAD + WORD + STOP + error, HEAD + WORD + STOP + DONE + error):
        out, _, passing = passed(stream)
        assert out == HEAD + WORD + STOP + DONE
        assert passing.fault is None
        assert passing.complete


@pytest.mark.parametrize("said", [b"null", b"{}", b'""', b"false", b"[]"])
def test_an_error_field_that_says_nothing_is_none(said: bytes):
    word = WORD.replace(b'{"id"', b'{"error":' + said + b',"id"')
    assert passed(HEAD + word + STOP)[2].fault is None


# stream: (what the client gets, complete)
ENDS: dict[str, tuple[bytes, bytes, bool]] = {
    "as it should be": (HEAD + WORD + STOP + DONE, HEAD + WORD + STOP + DONE, True),
    "[DONE] missing": (HEAD + WORD + STOP, HEAD + WORD + STOP + DONE, True),
    "[DONE] doubled": (HEAD + WORD + STOP + DONE + DONE, HEAD + WORD + STOP + DONE, True),
    "[DONE] cut off": (HEAD + WORD + STOP + b"data: [DO", HEAD + WORD + STOP + DONE, True),
    "[DONE] without a blank line": (HEAD + STOP + b"data: [DONE]", HEAD + STOP + b"data: [DONE]\n\n", True),
    "[DONE] without a finish": (HEAD + WORD + DONE, HEAD + WORD + DONE, True),
    "content after [DONE]": (HEAD + WORD + STOP + DONE + WORD, HEAD + WORD + STOP + DONE, True),
    "content after the finish": (HEAD + WORD + STOP + WORD + DONE, HEAD + WORD + STOP + WORD + DONE, True),
    "no finish": (HEAD + WORD, HEAD + WORD, False),
    "no finish, cut inside an event": (HEAD + WORD + WORD[:40], HEAD + WORD, False),
    "no output": (HEAD, HEAD, False),
    "nothing": (b"", b"", False),
    "comments": (b": a\n\n: b\n\n", b"", False),
    "one of two choices": (
        HEAD + HEAD.replace(b'"index":0', b'"index":1') + STOP,
        HEAD + HEAD.replace(b'"index":0', b'"index":1') + STOP,
        False,
    ),
}


@pytest.mark.parametrize(("stream", "shown", "complete"), ENDS.values(), ids=ENDS)
def test_how_a_stream_ends(stream: bytes, shown: bytes, complete: bool):
    for size in (None, 1, 7):
        out, _, passing = passed(stream, size=size)
        assert out == shown
        assert passing.complete == complete


def test_a_finish_without_a_word_is_output():
    _, digest, _ = passed(HEAD + STOP + DONE)
    assert digest.output


def test_only_what_the_model_says_is_progress():
    quiet = b": a\n\n" + event(b'{"choices":[]}') + HEAD
    assert passed(quiet)[1].progress == 0
    assert passed(quiet + WORD + WORD + STOP)[1].progress == 3


def test_an_endless_event_is_garbled():
    passing = Passing(CHAT)
    passing._splitter = Splitter(limit=100)
    assert passing.feed(b"data: " + b"x" * 100, 0.0) == b""
    assert passing.fault
    assert passing.fault.kind is FaultKind.GARBLED
    assert passing.feed(HEAD, 0.0) == b""


@given(st.lists(st.sampled_from([HEAD, WORD, STOP, DONE]) | st.binary(max_size=30), max_size=6), st.booleans())
def test_no_stream_raises(parts: list[bytes], withhold: bool):
    passed(b"".join(parts), withhold=withhold)
    going_on = Continuing(CHAT, "honk honk honk", {"id": "first"}, withhold_usage=withhold)
    for part in parts:
        going_on.feed(part, 0.0)
    going_on.end(0.0)


EVENTS = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "index", "finish_reason", "content", "usage", "error", "x_groq", "message", "code",
                 "status", "object", "type", "tool_calls", "role", "detail", "prompt_tokens_details", "cached_tokens"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)  # fmt: skip


@given(EVENTS, st.sampled_from([b"", b"error"]), st.booleans())
def test_no_event_raises(said: Any, name: bytes, withhold: bool):
    body = json.dumps(said).encode()
    frame = b"event: " + name + b"\ndata: " + body + b"\n\n" if name else event(body)
    passed(HEAD + frame + STOP, withhold=withhold)
    CHAT.read_whole(body, 0.0)
    DIALECTS["openai_embeddings"].read_whole(body, 0.0)
    going_on = Continuing(CHAT, "honk honk honk", {"id": "first"}, withhold_usage=withhold)
    going_on.feed(HEAD + frame + STOP, 0.0)
    going_on.end(0.0)


# Going on where another target broke off ------------------------------------------------------------------------------

GEESE = "The lead goose tires and falls back, and another takes its place at the point of the V."
SWANS = "Swans do not do that, as far as anybody knows."
FIRST = {"id": "first", "created": 1, "model": "gpt-5-mini", "system_fingerprint": "fp_1"}


def continued(
    delivered: str, words: list[str], *, withhold: bool = True, tail: bytes = b""
) -> tuple[bytes, Continuing]:
    going_on = Continuing(CHAT, delivered, FIRST, withhold_usage=withhold)
    chunk = {"id": "second", "created": 2, "model": "other", "object": "chat.completion.chunk"}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words]
    deltas += [({}, "stop")]
    sent = [
        event(json.dumps({**chunk, "choices": [{"index": 0, "delta": d, "finish_reason": f}], "usage": None}).encode())
        for d, f in deltas
    ]
    out = b"".join(going_on.feed(each, 0.0) for each in [*sent, tail, DONE])
    return out + going_on.end(0.0), going_on


def text_of(stream: bytes) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for said in data_of(stream)
        if said != "[DONE]"
        for choice in said["choices"]
    )


def by_words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


CONTINUED: dict[str, tuple[int, str, str]] = {
    # what was delivered (characters of GEESE), what the second target says, what is new in it
    "goes on exactly": (40, GEESE[40:], GEESE[40:]),
    "starts all over": (40, GEESE, GEESE[40:]),
    "repeats the last words": (40, GEESE[20:], GEESE[40:]),
    "repeats eight characters": (40, GEESE[32:], GEESE[40:]),
    "repeats seven, which may be chance": (40, GEESE[33:], GEESE[33:]),
    "says something else": (40, SWANS, SWANS),
    "starts all over and stops short": (40, GEESE[:30], ""),
    "starts all over and stops there": (40, GEESE[:40], ""),
    "repeats all and stops": (40, GEESE[20:40], ""),
    "begins alike, then differs": (40, GEESE[:12] + SWANS, GEESE[:12] + SWANS),
    "repeats more than it takes to tell": (80, GEESE[4:], GEESE[80:]),
    "says nothing": (40, "", ""),
    "had hardly begun": (3, GEESE[3:], GEESE[3:]),
}  # fmt: skip


@pytest.mark.parametrize("words", [by_words, list, lambda text: [text]], ids=["words", "characters", "at once"])
@pytest.mark.parametrize(("delivered", "said", "new"), CONTINUED.values(), ids=CONTINUED)
def test_nothing_is_said_twice(delivered: int, said: str, new: str, words):
    out, going_on = continued(GEESE[:delivered], words(said))
    assert text_of(out) == new
    assert "".join(going_on.digest.text) == new, "what the client has, should this one break off too"
    assert going_on.complete
    assert out.endswith(DONE)
    assert out.count(DONE) == 1


def test_a_continuation_looks_like_one_answer():
    out, _ = continued(GEESE[:40], by_words(GEESE[40:]))
    said = [each for each in data_of(out) if each != "[DONE]"]
    assert {(each["id"], each["created"], each["model"]) for each in said} == {("first", 1, "gpt-5-mini")}
    assert all("system_fingerprint" not in each for each in said), "what the second target does not say is not invented"
    assert all("role" not in choice["delta"] for each in said for choice in each["choices"])
    assert said[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_continuation_withholds_usage_too():
    usage = event(b'{"id":"second","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":9}}')
    out, going_on = continued(GEESE[:40], by_words(GEESE[40:]), tail=usage)
    assert b"usage" not in out
    assert going_on.digest.usage == Usage(input_tokens=50, output_tokens=9)
    out, _ = continued(GEESE[:40], by_words(GEESE[40:]), tail=usage, withhold=False)
    assert b'"prompt_tokens":50' in out


def test_a_continuation_may_not_call_a_tool():
    going_on = Continuing(CHAT, GEESE[:40], FIRST, withhold_usage=True)
    call = event(b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f"}}]}}]}')
    assert going_on.feed(HEAD + call + STOP + DONE, 0.0) == b""
    assert going_on.fault
    assert going_on.fault.kind is FaultKind.GARBLED


def test_a_continuation_that_breaks_off_gives_what_it_held():
    going_on = Continuing(CHAT, GEESE[:40], FIRST, withhold_usage=True)
    held = going_on.feed(HEAD + WORD, 0.0)
    assert text_of(held + going_on.end(0.0)) == "honk "
    assert not going_on.complete


@given(st.integers(1, len(GEESE) - 1), st.integers(0, len(GEESE)), st.lists(st.integers(0, len(GEESE)), max_size=8))
def test_any_true_continuation_gives_the_whole_text(broke: int, back: int, cuts: list[int]):
    """Whatever long part of the end it repeats: delivered and continued together are the text, once."""
    delivered, begin = GEESE[:broke], 0 if back > broke else broke - back
    if 0 < broke - begin < 8:
        begin = broke
    places = sorted(cut for cut in cuts if cut > begin)
    words = [GEESE[a:b] for a, b in zip([begin, *places], [*places, None], strict=True)]
    if begin == 0 and broke < 8:
        return
    out, _ = continued(delivered, words)
    assert delivered + text_of(out) == GEESE


def test_the_continuation_is_asked_for():
    body = b'{"model":"a","messages":[{"role":"user","content":"\\u0068i"}],"seed":18446744073709551616,"t":1e400}'
    plain = json.loads(PassThrough(CHAT, PLAIN).resume(body, "Hel"))
    assert plain["messages"][1] == {"role": "assistant", "content": "Hel"}
    assert plain["messages"][2] == {"role": "user", "content": openai_chat.GO_ON}
    assert plain["seed"] == 18446744073709551616
    prefilled = PassThrough(CHAT, VENDORS["mistral"]).resume(body, "Hel")
    assert json.loads(prefilled)["messages"][1:] == [{"role": "assistant", "content": "Hel", "prefix": True}]
    assert prefilled.startswith(b'{"model":"a","messages":[{"role":"user","content":"\\u0068i"},')


def test_what_a_translator_does_depends_on_who_asked():
    plain = translator(CHAT, PLAIN)
    asking = Facts(model="m", stream=True, wants_usage=True)
    usage = event(b'{"choices":[],"usage":{"prompt_tokens":1}}')
    for facts, vendor, shown in (
        (Facts(model="m", stream=True), PLAIN, b""),
        (asking, PLAIN, usage),
        (Facts(model="m", stream=True), QUIET, usage),
    ):
        made = translator(CHAT, vendor)
        assert made.stream(facts, 0.0, keep_text=False).feed(usage, 0.0) == shown
    assert not plain.stream(asking, 0.0, keep_text=False).digest.text
    assert isinstance(plain.resumed(asking, "x", {}, 0.0), Continuing)
    with pytest.raises(KeyError):
        translator(type("Unknown", (), {"NAME": "unknown", "FORMAT": "unknown", "OPERATION": "chat"}), PLAIN)  # type: ignore[arg-type]
