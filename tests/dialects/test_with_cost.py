"""``usage.cost`` is added where the usage is, and nothing else moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.money import with_cost

SPLICED: dict[str, tuple[bytes, bytes]] = {
    "an answer": (
        b'{"id":"x","usage":{"prompt_tokens":1},"n":1e2}',
        b'{"id":"x","usage":{"prompt_tokens":1,"cost":0.25},"n":1e2}',
    ),
    "an empty usage": (b'{"usage":{}}', b'{"usage":{"cost":0.25}}'),
    "spaces stay": (
        b' { "usage" :\n{ "a" : 1\n} , "b" : 2 }\n',
        b' { "usage" :\n{ "a" : 1,"cost":0.25\n} , "b" : 2 }\n',
    ),
    "said in a text": (
        b'{"a":"\\"usage\\":{}","usage":{"t":1}}',
        b'{"a":"\\"usage\\":{}","usage":{"t":1,"cost":0.25}}',
    ),
    "a text that is the word": (b'{"a":"usage","usage":{"t":1}}', b'{"a":"usage","usage":{"t":1,"cost":0.25}}'),
    "nested too": (
        b'{"x_groq":{"usage":{"t":2}},"usage":{"t":1}}',
        b'{"x_groq":{"usage":{"t":2}},"usage":{"t":1,"cost":0.25}}',
    ),
    "nested in itself": (b'{"usage":{"usage":{"cost":1}}}', b'{"usage":{"usage":{"cost":1},"cost":0.25}}'),
    "the same twice": (
        b'{"x_groq":{"usage":{"t":1.50}},"usage":{"t":1.50}, "b":1e2}',
        b'{"x_groq":{"usage":{"t":1.50}},"usage":{"t":1.50,"cost":0.25},"b":1e2}',
    ),
    "an escaped key": (b'{"\\u0075sage":{"t":1}}', b'{"usage":{"t":1,"cost":0.25}}'),
    "an escaped key, another below": (
        b'{"a":{"usage":{"t":1}},"usa\\u0067e":{"t":1}}',
        b'{"a":{"usage":{"t":1}},"usage":{"t":1,"cost":0.25}}',
    ),
    "the last of two counts": (b'{"usage":{"t":1},"usage":{"t":2}}', b'{"usage":{"t":1},"usage":{"t":2,"cost":0.25}}'),
}


@pytest.mark.parametrize(("body", "expected"), SPLICED.values(), ids=SPLICED)
def test_the_cost_is_added(body: bytes, expected: bytes):
    assert with_cost(body, 0.25) == expected


KEPT: dict[str, bytes] = {
    "no usage": b'{"id":1}',
    "usage below only": b'{"x_groq":{"usage":{"t":1}}}',
    "usage as a text": b'{"usage":"{}"}',
    "usage null": b'{"usage":null}',
    "usage a list": b'{"usage":[]}',
    "a cost": b'{"usage":{"cost":1}}',
    "a cost, null": b'{"usage":{"cost":null}}',
    "a cost, escaped": b'{"usage":{"c\\u006fst":1}}',
    "not an object": b'["usage"]',
    "done": b"[DONE]",
    "nothing": b"",
    "cut off": b'{"usage":{"t":1}',
    "cut off in usage": b'{"usage":{"t":',
    "more after it": b'{"usage":{}} {}',
    "nested too deep": b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b',"usage":{}}',
    "half a character": b'{"a":"\\ud800","usage":{}}',
    "bytes that are no text": b'\xff{"usage":{}}',
}


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_what_has_no_room_for_it_comes_back_itself(body: bytes):
    assert with_cost(body, 0.25) is body


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -0.5])
def test_what_is_no_money_is_not_told(cost: float):
    assert with_cost(body := b'{"usage":{}}', cost) is body


def test_many_usages_below_are_no_match():
    body = b'{"a":[' + b",".join([b'{"usage":{}}'] * 50) + b'],"usage":{}}'
    assert json.loads(with_cost(body, 0.25))["usage"] == {"cost": 0.25}


NAMES = st.sampled_from(["usage", "cost", "total", '"usage":', "x"]) | st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
USAGE = st.dictionaries(NAMES, VALUES, max_size=4)


@given(
    before=st.dictionaries(NAMES, VALUES, max_size=3),
    usage=USAGE | VALUES,
    after=st.dictionaries(NAMES.filter(lambda name: name != "usage"), VALUES, max_size=3),
    cost=st.floats(0, 1e6),
    spaced=st.booleans(),
    plain=st.booleans(),
)
def test_the_same_object_and_the_cost(
    before: dict[str, Any], usage: Any, after: dict[str, Any], cost: float, spaced: bool, plain: bool
):
    said = {**before, "usage": usage, **after}
    body = json.dumps(said, indent=1 if spaced else None, ensure_ascii=plain).encode(errors="replace")
    said = json.loads(body)
    if isinstance(said["usage"], dict) and "cost" not in said["usage"]:
        expected = {**said, "usage": {**said["usage"], "cost": cost}}
        assert json.loads(with_cost(body, cost)) == expected
    else:
        assert with_cost(body, cost) is body


@given(st.binary(max_size=40) | st.text(alphabet='{}":,usage[] \\0', max_size=40).map(str.encode))
def test_nothing_breaks_it(body: bytes):
    with_cost(body, 1.0)
