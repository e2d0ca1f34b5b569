"""Anything may stand anywhere in a request: it is refused as the caller's mistake, or gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import msgspec
import pytest

from gateway.abilities import UNKNOWN
from gateway.chat import ChatRequest
from gateway.dialects import DIALECTS, EGRESS, INGRESS
from gateway.dialects.conduct import judged
from gateway.errors import CallerError
from gateway.routing.turns import read
from tests.corpus import ROOT, case

WRONG: tuple[Any, ...] = ([{}], {"a": 1}, None, -1, "x", "\x00", [], True)
FILES = [
    pytest.param(dialect, file.name, id=f"{dialect}-{file.name.partition('.')[0]}")
    for dialect in sorted(INGRESS)
    for file in sorted((ROOT / dialect).glob("*.request.json"))
]


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if before:
        yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*before, key))


def put(whole: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = whole.copy()
    changed[place[0]] = put(whole[place[0]], place[1:], value)
    return changed


def decoded(name: str, body: bytes) -> ChatRequest | None:
    try:
        DIALECTS[name].peek(body, "m")
        return INGRESS[name].decode_request(body)
    except CallerError:
        return None


def encoded(name: str, request: ChatRequest) -> None:
    try:
        written = EGRESS[name].encode_request(msgspec.structs.replace(request, model="m"), UNKNOWN)
    except CallerError:
        return
    json.dumps(written.body, allow_nan=False)


@pytest.mark.parametrize(("dialect", "file"), FILES)
def test_a_wrong_type_anywhere(dialect: str, file: str) -> None:
    """What has no hash, in every place; of the rest, and of the vendors' dialects, one after the other."""
    asked = json.loads(case(dialect, file))
    others, egresses = cycle(WRONG[2:]), cycle(sorted(EGRESS))
    for place in places(asked):
        for wrong in (*WRONG[:2], next(others)):
            body = json.dumps(put(asked, place, wrong)).encode()
            spoken = DIALECTS[dialect].conversation(body)
            judged(spoken)
            read(spoken)
            for body_of in (DIALECTS[dialect].planning(body, "Plan.", "Go."), DIALECTS[dialect].noted(body, "A plan.")):
                assert body_of is None or json.loads(body_of)
            request = decoded(dialect, body)
            for egress in (next(egresses), next(egresses)) if request else ():
                encoded(egress, request)


def test_half_a_character_in_the_name_of_a_field() -> None:
    body = b'{"requests": [{"model": "models/m", "c\xffntent": 1}]}'
    assert DIALECTS["gemini_embeddings"].peek(body).model == "m"
    (request,) = json.loads(DIALECTS["gemini_embeddings"].rewrite(body, "n"))["requests"]
    assert request["model"] == "models/n"


@pytest.mark.parametrize("egress", ["anthropic_messages", "bedrock_converse"])
def test_thinking_of_no_kind(egress: str) -> None:
    said = [{"role": "user", "content": "Hello?"}]
    asked = {"model": "m", "max_tokens": 9, "thinking": {"a": 1}, "messages": said}
    request = decoded("anthropic_messages", json.dumps(asked).encode())
    assert request
    encoded(egress, request)
