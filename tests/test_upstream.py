"""What a vendor says of a call is told without what the call was signed in with."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from gateway.errors import Fault, FaultKind
from gateway.upstream import without_secrets

KEY = 'sk-a/b+c="d<7vR2mB9'

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "JSON": lambda key: json.dumps(key)[1:-1],
    "JSON's own escapes": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "a URL": lambda key: quote(key, safe=""),
    "a URL, in small letters": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%3C", "%3c"),
    "HTML": html.escape,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
}


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
def test_a_key_is_blotted_out_however_it_is_spelt(spelt: Callable[[str], str]):
    said = f"what is {spelt(KEY)}?"
    fault = Fault(kind=FaultKind.BAD_REQUEST, message=said, type=said, code=said, param=said, body=said)
    told = without_secrets(fault, (KEY,), f"https://vendor.example/v1?key={quote(KEY)}")
    assert spelt(KEY) not in repr(told)
    assert "7vR2mB9" not in f"{told.message} {told.type} {told.code} {told.param} {told.body} {told.url}"
    assert told.message


def test_what_is_short_means_nothing_in_base64():
    fault = Fault(kind=FaultKind.BAD_REQUEST, message="MQ is no model")
    assert without_secrets(fault, ("1",), "https://vendor.example").message == "MQ is no model"
