"""A token that a vendor has revoked is fetched anew, and the request that found it out is served all the same."""

from __future__ import annotations

import json

import httpx
import pytest

from gateway import events
from gateway.credentials import fetched
from tests.end_to_end.replaying import Heard, Reply, replaying
from tests.running import running_gateway

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def test_a_revoked_token(monkeypatch: pytest.MonkeyPatch):
    # However young a token is, a refusal counts.
    monkeypatch.setattr(fetched, "ASK_AGAIN_AFTER", 0.0)
    with replaying() as vendor:
        tokens: list[str] = []
        good = {"token-1"}

        def answers(heard: Heard) -> Reply:
            if heard.path == "/oidc/v1/token":
                tokens.append(f"token-{len(tokens) + 1}")
                return Reply(body=json.dumps({"access_token": tokens[-1], "expires_in": 3600}).encode())
            if heard.headers["authorization"].removeprefix("Bearer ") in good:
                return Reply(body=json.dumps(ANSWER).encode())
            return Reply(status=401, body=b'{"error_code": "UNAUTHENTICATED", "message": "the token was revoked"}')

        vendor.answers = answers
        account = {"vendor": "databricks", "base_url": vendor.url, "client_id": "id", "client_secret": "sk-secret-1"}
        with running_gateway(json.dumps({"providers": {"d": account}})) as gateway:
            asked = {"model": "d/m", "messages": [{"role": "user", "content": "hi"}]}
            chat = f"{gateway.url}/v1/chat/completions"
            assert httpx.post(chat, json=asked).status_code == 200
            good.clear()
            good.add("token-2")
            reply = httpx.post(chat, json=asked)
            assert (reply.status_code, reply.headers["x-skein-attempts"]) == (200, "2"), reply.text
            assert tokens == ["token-1", "token-2"]
            (failed,) = gateway.of(events.AttemptFailed)
            assert failed.fault.kind.value == "bad_credentials"
            good.clear()
            assert httpx.post(chat, json=asked).status_code == 502, "nobody asks for ever"
