"""Gemini's requests and answers on their way through: nothing is changed that need not be, all is told."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.chat import (
    ChatResponse,
    Kept,
    Reasoning,
    Text,
)
from gateway.dialects import DIALECTS, gemini
from gateway.dialects.gemini_contents import FOREIGN_CALL
from gateway.dialects.gemini_marks import signature_of, unmarked
from gateway.dialects.glimpse import Whole
from gateway.errors import Fault, FaultKind
from gateway.passing import Continuing, Passing
from gateway.sse import Splitter, event
from gateway.transcoding import whole_of
from tests.corpus import answers, cases, streams
from tests.dialects.gemini_clients import (
    HIDDEN,
    NOW,
    SIGNED,
    USAGE,
    answered,
    asked,
    called,
    client,
    read,
    says,
    whole,
)

NEW, OLD = "gemini-3-pro", "gemini-2.5-flash"
GEMINI = DIALECTS["gemini"]


# Thoughts of others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thoughts", "own"),
    [
        ([SIGNED], None),
        ([SIGNED, HIDDEN], None),
        ([SIGNED], "Z2VtaW5p"),
        ([Reasoning("ü\n:", "a:b", "c", "openai")], None),
        ([Reasoning("", "no base64!", format="gemini")], None),
        # Whose bytes are written otherwise in base64 for URLs.
        ([Reasoning("?>~ ?>~  ?>~", "c2ln", format="anthropic")], None),
    ],
)
def test_a_mark_is_read_again_however_its_bytes_are_written(thoughts: list[Reasoning], own: str | None):
    signature = signature_of(thoughts, own)
    assert signature
    assert base64.b64decode(signature, validate=True).startswith(b"skein:")
    for spelled in (signature, signature.translate(str.maketrans("+/", "-_")), signature.rstrip("=")):
        assert unmarked(spelled) == Kept(tuple(thoughts), own)


def test_geminis_own_signature_stays_as_it_is():
    own = Reasoning("hm", "Z2VtaW5p", format="gemini")
    assert (
        signature_of([own]) == "Z2VtaW5p" == signature_of([], "Z2VtaW5p") == signature_of([Reasoning("x")], "Z2VtaW5p")
    )
    assert signature_of([]) is signature_of([Reasoning("unsigned")]) is unmarked("Z2VtaW5p") is None
    body = json.loads(whole(Text("Hi"), Reasoning("", "Z2VtaW5p", format="gemini")))
    assert body["candidates"][0]["content"]["parts"] == [{"text": "Hi"}, {"text": "", "thoughtSignature": "Z2VtaW5p"}]


def test_a_damaged_mark_holds_nothing():
    signature = signature_of([SIGNED]) or ""
    for at in range(8, len(signature)):
        read([says("model", {"text": "x", "thoughtSignature": signature[:at]})])
    assert unmarked(signature[:20]) == Kept()


MARKED = signature_of([SIGNED]) or ""
MIXED = signature_of([SIGNED], "Z2VtaW5p") or ""


def marked(*signatures: str) -> bytes:
    calls = [{**called("f", str(at)), "thoughtSignature": each} for at, each in enumerate(signatures)]
    return asked(
        [says("user", "go"), says("model", {"text": "hm", "thought": True}, *calls), says("user", answered({}))]
    )


def parts_of(body: bytes, place: int = 1) -> list[Any]:
    return json.loads(body)["contents"][place]["parts"]


def test_marked_signatures_do_not_go_to_google():
    fitted = gemini.cleared(marked(MARKED, MIXED), False)
    assert parts_of(fitted.body) == [called("f", "0"), {**called("f", "1"), "thoughtSignature": "Z2VtaW5p"}]
    assert fitted.dropped == (
        "contents[1].parts[1].thoughtSignature",
        "contents[1].parts[2].thoughtSignature",
        "contents[1].parts[0]",
    )


def test_nothing_marked_is_the_very_same_body():
    for body in (marked("Z2VtaW5p"), asked(), b"no JSON", b'{"contents": 1}'):
        assert gemini.cleared(body, False).body is body
    assert gemini.cleared(asked(), True).body is not None
    body = asked()
    assert gemini.cleared(body, True).body is body


def test_bare_is_without_any_thoughts():
    body = asked([says("user", "go"), says("model", {"text": "hm", "thought": True, "thoughtSignature": "YQ=="})])
    fitted = gemini.cleared(body, True)
    assert parts_of(fitted.body) == [{"text": " "}]
    assert len(fitted.dropped) == 2
    assert parts_of(gemini.cleared(marked("YQ=="), True).body) == [called("f", "0")]


def test_unsigned_calls_get_a_stand_in_where_they_would_be_refused():
    """Of the calls of one turn the first, in whatever content it is; no model before Gemini 3 is told."""
    body = asked(
        [
            says("user", "go"),
            says("model", "Well."),
            says("model", called("f", "1"), called("f", "2")),
            says("model", called("f", "3")),
            says("user", answered({}), answered({}), answered({})),
            says("model", {**called("f", "4"), "thought_signature": "YQ=="}, called("f", "5")),
        ]
    )
    written = gemini.rewrite(body, NEW)
    expected = json.loads(body)
    expected["contents"][2]["parts"][0]["thoughtSignature"] = FOREIGN_CALL
    assert json.loads(written) == expected
    assert gemini.rewrite(body, OLD) is body
    assert gemini.rewrite(written, NEW) is written


# On the way through ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", cases("gemini", "request.json"))
@pytest.mark.parametrize("model", [NEW, OLD])
def test_a_request_passes_as_it_came(body: bytes, model: str):
    if b"unction" not in body or model == OLD:
        assert gemini.rewrite(body, model, ask_usage=True) is body
    capped = json.loads(gemini.rewrite(body, OLD, max_tokens=5))
    config = capped.get("generationConfig") or capped["generation_config"]
    assert config.pop("maxOutputTokens", None) == 5 or config.pop("max_output_tokens", None) == 5
    kept = json.loads(body)
    (kept.get("generationConfig") or kept.get("generation_config") or {}).pop("maxOutputTokens", None)
    (kept.get("generationConfig") or kept.get("generation_config") or {}).pop("max_output_tokens", None)
    assert {**kept, "generationConfig": None} == {**capped, "generationConfig": None}


def test_a_limit_below_the_cap_stays():
    body = asked(generationConfig={"maxOutputTokens": "3"})
    assert gemini.rewrite(body, OLD, max_tokens=5) is body


def test_a_model_in_the_body_is_ours_and_goes_no_further():
    assert json.loads(gemini.rewrite(asked(model="ours"), NEW)) == json.loads(asked())


@pytest.mark.parametrize(("response", "stream"), answers("gemini"))
def test_what_passes_is_told_as_what_is_translated(response: bytes, stream: bytes):
    answer = gemini.decode_answer(response, NOW)
    assert isinstance(answer, ChatResponse)
    told, translated = gemini.read_whole(response, NOW), whole_of(answer)
    assert isinstance(told, Whole)
    assert (told.usage, told.finish_reasons, told.id, told.model) == (
        translated.usage,
        translated.finish_reasons,
        translated.id,
        translated.model,
    )
    assert [call[2:] for call in told.calls] == [call[2:] for call in translated.calls]
    passing = Passing(GEMINI, keep_text=True)
    out = b"".join(passing.feed(stream[at : at + 50], NOW) for at in range(0, len(stream), 50)) + passing.end(NOW)
    assert out == stream
    assert passing.complete
    assert passing.fault is None
    heard = passing.digest.heard(content=True)
    assert (heard.id, heard.model, passing.digest.usage) == (told.id, told.model, told.usage)
    assert [(call.tool, call.arguments) for call in heard.calls] == [(call.tool, call.arguments) for call in told.calls]
    assert heard.text == gemini.spoken(response)


def reads(stream: bytes, events: int) -> list[bytes]:
    frames = [frame.raw for frame in Splitter().feed(stream)]
    return [b"".join(frames[at : at + events]) for at in range(0, len(frames), events)]


class Careful(Passing):
    skims = False


@pytest.mark.parametrize("events", [1, 2, 3, 100])
@pytest.mark.parametrize("stream", streams("gemini").values(), ids=streams("gemini").keys())
def test_skimming_tells_the_same(stream: bytes, events: int):
    quick, careful = Passing(GEMINI, keep_text=True), Careful(GEMINI, keep_text=True)
    for piece in reads(stream, events):
        assert quick.feed(piece, NOW) == careful.feed(piece, NOW)
        assert quick.digest == careful.digest
        assert quick.fault == careful.fault
    assert quick.end(NOW) == careful.end(NOW)


def chunk(text: str, **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}], **fields}


def sent(*chunks: Any) -> bytes:
    return b"".join(event(json.dumps(each).encode()) for each in chunks)


def test_plain_texts_are_skimmed_and_only_the_last_count_is_read():
    counted = {"usageMetadata": {"promptTokenCount": 1}}
    thought = {"candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}]}
    signed = {"candidates": [{"content": {"parts": [{"text": "x", "thoughtSignature": "YQ=="}]}}]}
    finished = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}
    said = [chunk("a", **counted), thought, chunk("b", **counted), chunk("c"), signed, finished, {"error": {}}]
    skimmed = gemini.skim([json.dumps(each).encode() for each in said], False)
    assert skimmed == ["a", "", None, "c", None, None, None]


BROKEN: dict[str, bytes] = {
    "an event": b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n',
    "mere JSON": b'{\n  "error": {\n    "code": 503,\n    "message": "overloaded"\n  }\n}\n',
}


@pytest.mark.parametrize("error", BROKEN.values(), ids=BROKEN.keys())
def test_an_error_of_the_vendors_within_a_stream_is_a_fault(error: bytes):
    passing = Passing(GEMINI)
    before = sent(chunk("Lo"))
    assert passing.feed(before + error, NOW) + passing.end(NOW) == before
    assert passing.fault
    assert (passing.fault.kind, passing.fault.status) == (FaultKind.OVERLOADED, 503)
    assert not passing.complete


def test_an_answer_that_came_to_nothing_is_a_fault():
    candidate = {"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}
    passing = Passing(GEMINI)
    passing.feed(sent({"candidates": [candidate]}), NOW)
    assert passing.fault
    assert passing.fault.code == "MALFORMED_FUNCTION_CALL"
    assert isinstance(gemini.read_whole(json.dumps({"candidates": [candidate]}).encode(), NOW), Fault)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"no JSON", b'{"candidates": []}', b'{"candidates": 1}'])
def test_nothing_readable_is_a_fault(body: bytes):
    assert isinstance(gemini.read_whole(body, NOW), Fault)


def test_a_break_before_the_finish_is_no_end():
    passing = Passing(GEMINI)
    passing.feed(sent(chunk("Lo")), NOW)
    assert passing.end(NOW) == b""
    assert not passing.complete
    assert not passing.done


def test_a_broken_text_is_gone_on_with():
    first = gemini.identity(Splitter().feed(sent(chunk("Lo", responseId="r1", modelVersion="one")))[0])
    assert first == {"responseId": "r1", "modelVersion": "one"}
    rest = Continuing(GEMINI, "The shuttle flies over the", first, withhold_usage=False)
    end = {**chunk("", responseId="r2", modelVersion="two"), "usageMetadata": {"promptTokenCount": 1}}
    end["candidates"][0]["finishReason"] = "STOP"
    out = rest.feed(sent(chunk("flies over the warp.", responseId="r2", modelVersion="two"), end), NOW) + rest.end(NOW)
    with client(out) as (google, _):
        chunks = list(google.models.generate_content_stream(model="m", contents="hi"))
    assert "".join(each.text or "" for each in chunks) == " warp."
    assert {(each.response_id, each.model_version) for each in chunks} == {("r1", "one")}


def test_another_model_is_asked_to_go_on():
    body = gemini.continuation(asked({"parts": [{"text": "hi"}]}, labels={}), "Lo", None)
    own, delivered, go_on = json.loads(body)["contents"]
    assert (own, delivered) == ({"parts": [{"text": "hi"}]}, says("model", "Lo"))
    assert go_on["role"] == "user"
    assert len(json.loads(gemini.continuation(asked(), "Lo", {"prefix": True}))["contents"]) == 2


def test_a_cost_beside_the_usage_is_no_harm_to_the_sdk():
    body = whole(Text("x"), usage=USAGE)
    priced = gemini.with_cost(body, 0.25)
    assert json.loads(priced)["usageMetadata"]["cost"] == 0.25
    with client(priced) as (google, _):
        told = google.models.generate_content(model="m", contents="hi").usage_metadata
    assert told
    assert told.prompt_token_count == 10
    for unpriced in (whole(Text("x")), b"no JSON", priced):
        assert gemini.with_cost(unpriced, 1.0) is unpriced
    assert gemini.with_cost(body, float("nan")) is body
