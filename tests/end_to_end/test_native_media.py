"""Images that lie elsewhere: vendors that fetch get the address, others the bytes; and what cannot be had is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import openai
import pytest

from gateway import events
from gateway.errors import FaultKind
from tests.dialects import validity
from tests.end_to_end.native import ACCOUNTS, FAMILIES, Said, account
from tests.end_to_end.replaying import Replaying, Reply, replaying
from tests.end_to_end.setting import QUICK, eventually
from tests.running import RunningGateway, running_gateway

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 9
SHOWN = base64.b64encode(PNG).decode()
SAID = Said(text="A picture.")


class Stand:
    def __init__(self, gateway: RunningGateway, vendors: dict[str, Replaying], site: Replaying) -> None:
        self.gateway, self.vendors, self.site = gateway, vendors, site
        self.client = openai.OpenAI(base_url=gateway.base_url, api_key="x", max_retries=0, timeout=30)
        for name, vendor in vendors.items():
            vendor.reply = FAMILIES[name].reply(SAID, stream=False)

    def ask(self, model: str, *urls: str) -> str | None:
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        said: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *pictures]}]
        return self.client.chat.completions.create(model=model, messages=said).choices[0].message.content

    def told(self, name: str) -> Any:
        return self.vendors[name].heard[-1].json

    def refusal(self, model: str, url: str) -> dict[str, Any]:
        """Told to the client as its own mistake; no vendor has heard of it."""
        with pytest.raises(openai.BadRequestError) as raised:
            self.ask(model, url)
        assert not any(vendor.heard for vendor in self.vendors.values())
        eventually(lambda: self.gateway.of(events.ExchangeFinished))
        finished = self.gateway.of(events.ExchangeFinished)[-1]
        assert (finished.fault.kind, finished.fault.origin) == (FaultKind.BAD_REQUEST, "caller")
        # What no vendor has seen is no attempt.
        assert finished.attempts == 0
        assert not self.gateway.of(events.AttemptStarted)
        assert raised.value.response.headers["x-skein-attempts"] == "0"
        error: dict[str, Any] = raised.value.body  # type: ignore[assignment]
        return error


@contextmanager
def standing(**media: Any) -> Iterator[Stand]:
    with ExitStack() as stack:
        site = stack.enter_context(replaying())
        site.listing = Reply(content_type="image/png", body=PNG)
        vendors = {name: stack.enter_context(replaying()) for name in ("anthropic", "gemini", "bedrock", "cohere")}
        target = {name: f"{name}/{ACCOUNTS[name][0]}" for name in vendors}
        config = {
            "providers": {name: account(name, vendor.url) for name, vendor in vendors.items()},
            "models": {
                "bedrock-gemini": {"targets": [target["bedrock"], target["gemini"]]},
                **{name: {"targets": [where]} for name, where in target.items()},
            },
            "media": media,
            "resilience": {**QUICK, "retries": 2},
        }
        made = Stand(stack.enter_context(running_gateway(json.dumps(config))), vendors, site)
        stack.enter_context(made.client)
        yield made


def test_bytes_for_those_that_do_not_fetch() -> None:
    with standing(allow=["127.0.0.1"]) as s:
        url = f"{s.site.url}/a/cat?signed=secret"
        assert s.ask("bedrock", url) == "A picture."
        image = s.told("bedrock")["messages"][0]["content"][1]["image"]
        assert image == {"format": "png", "source": {"bytes": SHOWN}}
        assert s.ask("gemini", url) == "A picture."
        data = s.told("gemini")["contents"][0]["parts"][1]
        assert data == {"inlineData": {"mimeType": "image/png", "data": SHOWN}}
        for name in ("bedrock", "gemini"):
            validity.check(FAMILIES[name].dialect, s.told(name))
        assert "secret" not in repr(s.gateway.of(events.AttemptStarted))


def test_the_address_for_those_that_fetch_themselves() -> None:
    with standing() as s:
        url = f"{s.site.url}/a/cat.png"
        assert s.ask("anthropic", url) == "A picture."
        assert s.told("anthropic")["messages"][0]["content"][1] == {
            "type": "image",
            "source": {"type": "url", "url": url},
        }


def test_a_switch_to_one_that_does_not_fetch() -> None:
    with standing(allow=["127.0.0.1"]) as s:
        s.vendors["bedrock"].reply = FAMILIES["bedrock"].refusals["overloaded"]
        assert s.ask("bedrock-gemini", s.site.url) == "A picture."
        assert SHOWN in json.dumps(s.told("gemini"))


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:1/x", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"]
)
@pytest.mark.parametrize("model", ["bedrock-gemini", "gemini"])
def test_where_nobody_is_let(model: str, where: str) -> None:
    """Nor would anybody else be: no other target is tried."""
    with standing() as s:
        error = s.refusal(model, where)
        assert error["code"] == "media_refused"
        assert where in error["message"]


def test_where_nothing_is() -> None:
    with standing(allow=["127.0.0.1"]) as s:
        s.site.listing = Reply(status=404)
        error = s.refusal("bedrock-gemini", f"{s.site.url}/gone?signed=secret")
        assert (error["code"], error["origin"]) == ("media_unreachable", "caller")
        assert "404" in error["message"]
        assert "secret" not in json.dumps(error)


def test_what_is_too_large() -> None:
    with standing(allow=["127.0.0.1"], max_size=1000) as s:
        s.site.listing = Reply(content_type="image/png", body=PNG * 100)
        error = s.refusal("bedrock-gemini", s.site.url)
        assert error["code"] == "media_too_large"
        assert "1000 bytes (media.max_size)" in error["message"]


def test_what_takes_too_long() -> None:
    with standing(allow=["127.0.0.1"], timeout="300ms") as s:
        s.site.listing = Reply(content_type="image/png", body=PNG, then="wait")
        error = s.refusal("bedrock-gemini", s.site.url)
        assert error["code"] == "media_unreachable"
        assert "not there within 0.3 s" in error["message"]
        assert s.site.left.wait(20)


def test_what_is_no_picture() -> None:
    with standing(allow=["127.0.0.1"]) as s:
        s.site.listing = Reply(content_type="text/html", body=b"<html>Log in first</html>")
        error = s.refusal("gemini", s.site.url)
        assert error["code"] == "media_unreadable"
        assert "image was expected" in error["message"]
