"""Requests that are meant to hurt: refused as the caller's own mistake, or over when they have to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from gateway import events
from gateway.errors import FaultKind
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Said, account
from tests.end_to_end.replaying import Reply, replaying
from tests.end_to_end.setting import QUICK, Client, Told, eventually
from tests.running import RunningGateway, running_gateway
from tests.scripted import hanging


@contextmanager
def standing(family: str, **more: Any) -> Iterator[RunningGateway]:
    with replaying() as vendor:
        vendor.reply = FAMILIES[family].reply(Said(text="4"), stream=False)
        config = {
            "providers": {"one": account(family, vendor.url)},
            "models": {"m": {"targets": [f"one/{ACCOUNTS[family][0]}"]}},
            "resilience": {**QUICK, "retries": 0},
        }
        with running_gateway(json.dumps({**config, **more})) as gateway:
            yield gateway


def ask(gateway: RunningGateway, body: bytes | dict[str, Any], **headers: str) -> Told:
    with Client(gateway.url) as client:
        client.post(body, **headers)
        return client.reply()


@pytest.mark.parametrize("family", ["anthropic", "gemini", "mistral", "ollama"])
def test_what_is_nested_too_deeply_to_be_written(family: str) -> None:
    """At some depths it can be read and no longer be written, as that is done further down the stack."""
    codes = set()
    with standing(family) as gateway:
        for depth in range(930, 1000, 1 if family == "mistral" else 3):
            nested = b'{"a":' * depth + b"1" + b"}" * depth
            body = b'{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":['
            call = b'{"id":"x","type":"function","function":{"name":"f","arguments":%b}}' % nested
            told = ask(gateway, body + call + b"]}]}")
            codes.add(told.json["error"]["code"] if told.status == 400 else told.status)
        assert not gateway.of(events.HandlerCrashed)
    assert codes - {200} <= {"nested_too_deeply", "invalid_json"}
    assert 200 in codes


@pytest.mark.parametrize("needs", ["an image", "a token"])
def test_the_clients_time_is_over_while_something_is_fetched(needs: str) -> None:
    with ExitStack() as stack:
        silent = stack.enter_context(replaying())
        silent.answers = lambda heard: Reply(body=b"{}" if silent.go.wait(10) else b"")
        more: dict[str, Any] = {"media": {"allow": ["127.0.0.1"]}}
        content: Any = [{"type": "image_url", "image_url": {"url": f"{stack.enter_context(hanging())}/a.png"}}]
        if needs == "a token":
            signed_in = {"vendor": "databricks", "base_url": silent.url, "client_id": "me", "client_secret": "hush"}
            more = {"providers": {"one": signed_in}, "models": {"m": {"targets": ["one/llama"]}}}
            content = "hi"
        gateway = stack.enter_context(standing("bedrock", **more))
        stack.callback(silent.go.set)
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        told = ask(gateway, body, x_skein_timeout="300ms")
        assert (told.status, told.error["code"], told.error["origin"]) == (504, "timeout_total", "caller")
        (failed,) = gateway.of(events.AttemptFailed)
        assert (failed.fault.kind, failed.fault.origin) == (FaultKind.TIMEOUT_TOTAL, "caller")
        eventually(lambda: gateway.of(events.ExchangeFinished))
