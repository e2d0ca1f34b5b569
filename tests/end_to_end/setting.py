"""What every story here needs: vendors, a gateway before them, and a client that sees each byte."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from gateway import events
from gateway.errors import FaultKind
from gateway.routing import Target
from tests.running import RunningGateway, running_gateway
from tests.scripted import ScriptedVendor

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
# Waits too short to notice, and clocks, breakers and budgets that never strike unless a test is about them.
QUICK: dict[str, Any] = {
    "backoff": {"initial": "2ms", "max": "5ms"},
    "timeouts": {"connect": "5s", "first_token": "10s", "whole": "10s", "idle": "10s", "total": "30s"},
    "breaker": {"consecutive": 1000, "min_requests": 1000},
    "spike": {"error_rate": 1},
    "retry_budget": 1000,
}
# A clock that is to strike: soon, and late enough for everything that is well.
SHORT = "1s"
# Between what a vendor says and how it fails, where the two are to be seen one after the other.
MOMENT = 0.3


def secret(name: str) -> str:
    """The key a provider's calls are signed with; it must never be seen by a client or an observer."""
    return f"sk-{name}-Xq7vR2mB9"


def at(base_url: str, name: str, **settings: Any) -> dict[str, Any]:
    """A provider's settings."""
    return {"vendor": "openai_compatible", "base_url": base_url, "api_key": secret(name), **settings}


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = dict(settings)
    for name, value in changes.items():
        both[name] = merged(both[name], value) if isinstance(value, dict) and name in both else value
    return both


# --- a client


@dataclass
class Told:
    """A reply as it came. ``whole``: the body ended as its head had announced."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of the body, or of the last event of a stream."""
        said = json.loads(self.data[-1]) if self.is_stream else self.json
        return said["error"]

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def data(self) -> list[str]:
        """What the events say; a comment or half an event in a wrong place fails the test."""
        blocks = re.split(r"(?>\r\n|\n|\r){2}", self.body.decode())
        assert blocks.pop() == "", "the stream ends in the middle of an event"
        said = []
        for block in blocks:
            lines = block.splitlines()
            values = [line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:")]
            if values:
                said.append("\n".join(values))
            else:
                assert all(line.startswith(":") for line in lines), block
        return said

    @property
    def comments(self) -> int:
        return len(re.findall(rb"(?m)^: keep-alive$", self.body))

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(said) for said in self.data if said != "[DONE]"]

    @property
    def done(self) -> bool:
        return bool(self.data) and self.data[-1] == "[DONE]" and self.data.count("[DONE]") == 1

    @property
    def text(self) -> str:
        """What the model said, streamed or not."""
        if not self.is_stream:
            return self.json["choices"][0]["message"]["content"] or ""
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def finish(self) -> str | None:
        if not self.is_stream:
            return self.json["choices"][0]["finish_reason"]
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", ())]
        return next((choice["finish_reason"] for choice in reversed(choices) if choice.get("finish_reason")), None)


class Client:
    """One connection, for what no HTTP library lets one see or do."""

    def __init__(self, url: str, *, buffer: int | None = None) -> None:
        address = urlsplit(url)
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect((address.hostname, address.port))
        self.received = bytearray()
        self.ended = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *failure: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(self, body: bytes | dict[str, Any], path: str = CHAT, **headers: str) -> None:
        self.send(request(body, path, **headers))

    def more(self, within: float) -> bool:
        """Takes in what comes next; False when nothing came within the time, or nothing ever will."""
        self.socket.settimeout(max(within, 0.001))
        try:
            data = self.socket.recv(2**20)
        except TimeoutError:
            return False
        except ConnectionResetError:
            data = b""
        self.ended = self.ended or not data
        self.received += data
        return bool(data)

    def silent(self, seconds: float) -> bool:
        """Nothing comes, not even an end, for so long."""
        return not self.more(seconds) and not self.ended

    def see(self, said: bytes, within: float = 20.0) -> None:
        """Reads until this has come."""
        deadline = time.monotonic() + within
        while said not in self.received:
            assert self.more(deadline - time.monotonic()), f"{said!r} did not come: {bytes(self.received[-2000:])!r}"

    def reply(self, within: float = 20.0) -> Told:
        """The next whole reply, or as much of it as there is when the connection ends."""
        deadline = time.monotonic() + within
        self._until(lambda: b"\r\n\r\n" in self.received, deadline)
        head, found, rest = bytes(self.received).partition(b"\r\n\r\n")
        assert found, f"the connection ended without a reply: {head!r}"
        self.received = bytearray(rest)
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        if 100 <= status < 200:
            return self.reply(deadline - time.monotonic())
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", ""):
            return Told(status, headers, *self._chunked(deadline))
        size = int(headers.get("content-length", 0))
        body = self._take(size, deadline)
        return Told(status, headers, body, len(body) == size)

    def _chunked(self, deadline: float) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        while True:
            self._until(lambda: b"\r\n" in self.received, deadline)
            line, found, _ = self.received.partition(b"\r\n")
            if not found:
                return b"".join(parts), False
            del self.received[: len(line) + 2]
            size = int(line, 16)
            data = self._take(size + 2, deadline)
            if len(data) < size + 2:
                return b"".join(parts), False
            if not size:
                return b"".join(parts), True
            parts.append(data[:size])

    def _take(self, size: int, deadline: float) -> bytes:
        self._until(lambda: len(self.received) >= size, deadline)
        data = bytes(self.received[:size])
        del self.received[:size]
        return data

    def _until(self, claim: Callable[[], bool], deadline: float) -> None:
        while not claim() and not self.ended:
            if not self.more(deadline - time.monotonic()) and not self.ended:
                raise AssertionError(f"no whole reply in time: {bytes(self.received[-2000:])!r}")

    def leave(self) -> float:
        """Closes at once; returns when."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        return time.monotonic()


def request(body: bytes | dict[str, Any], path: str = CHAT, method: str = "POST", **headers: str) -> bytes:
    """The bytes of a request; underscores in header names stand for hyphens."""
    data = json.dumps(body, separators=(",", ":")).encode() if isinstance(body, dict) else body
    fields = {"host": "localhost", "content-type": "application/json", "content-length": str(len(data))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


# --- the page of metrics


class Page:
    """What a scrape brought: samples, by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def by(self, name: str, *labels: str, **where: str) -> Counter[Any]:
        """The values of a metric, added up by these labels (one: by its value, several: by tuples), without zeros."""
        found = Counter[Any]()
        for sample in self.samples:
            if sample.name == name and all(sample.labels.get(label) == value for label, value in where.items()):
                key = tuple(sample.labels[label] for label in labels)
                found[key[0] if len(key) == 1 else key] += sample.value
        return Counter({key: value for key, value in found.items() if value})

    def total(self, name: str, **where: str) -> float:
        return sum(self.by(name, **where).values())

    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}


# --- a gateway between vendors and clients


@dataclass
class Stand:
    """A gateway whose model ``m`` is served by its vendors in order."""

    gateway: RunningGateway
    vendors: dict[str, ScriptedVendor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> ScriptedVendor:
        try:
            return self.vendors[name]
        except KeyError:
            raise AttributeError(name) from None

    def client(self, **settings: Any) -> Client:
        return Client(self.gateway.url, **settings)

    def ask(self, stream: bool = False, headers: dict[str, str] | None = None, **fields: Any) -> Told:
        """One request on a connection of its own, and all of its answer."""
        with self.client() as client:
            client.post(body(stream, **fields), **(headers or {}))
            return client.reply()

    def finished(self, count: int = 1) -> events.ExchangeFinished:
        """The last exchange, when all of so many have finished, each once, and nothing runs any more."""
        eventually(lambda: len(self.of(events.ExchangeFinished)) >= count and not self.gateway.runtime.service.running)
        found = self.of(events.ExchangeFinished)
        assert len(found) == len({event.exchange_id for event in found}) == count, found
        assert not self.of(events.HandlerCrashed), self.of(events.HandlerCrashed)[0].traceback
        return found[-1]

    def of(self, kind: type[Any]) -> list[Any]:
        return self.gateway.of(kind)

    def tried(self) -> list[str]:
        """The provider of every attempt, in order."""
        return [event.target.provider for event in self.of(events.AttemptStarted)]

    def faults(self) -> list[tuple[str, FaultKind]]:
        """Who failed how, in order."""
        return [(event.target.provider, event.fault.kind) for event in self.of(events.AttemptFailed)]

    def counted(self, provider: str) -> int:
        """How many failures the breaker of a provider's target has counted."""
        runtime = self.gateway.runtime
        breaker = runtime.health.breaker(Target(provider, "gpt-4.1"))
        return self.gateway.call(lambda: breaker.counts(runtime.clock())[1])

    def allowed(self, provider: str) -> bool:
        """Would the breaker of a provider's target let a call through?"""
        runtime = self.gateway.runtime
        breaker = runtime.health.breaker(Target(provider, "gpt-4.1"))
        return self.gateway.call(lambda: breaker.allows(runtime.clock()))

    def metrics(self) -> Page:
        """What a scrape would bring now."""
        return Page(self.gateway.page())

    def keys(self, provider: str) -> list[str]:
        runtime = self.gateway.runtime
        return self.gateway.call(lambda: runtime.health.keys(provider).states(runtime.clock()))

    def keeps_its_secrets(self, *told: Told) -> None:
        """No key of a provider in any reply, header or event."""
        said = [repr(self.gateway.events), *(f"{one.headers} {one.body!r}" for one in told)]
        for name in self.gateway.runtime.config.providers:
            assert not any(secret(name) in each for each in said)


def body(stream: bool = False, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": MESSAGES, **({"stream": True} if stream else {}), **fields}


@contextlib.contextmanager
def stand(
    *names: str,
    others: dict[str, dict[str, Any]] | None = None,
    path: str | None = None,
    model: dict[str, Any] | None = None,
    providers: dict[str, dict[str, Any]] | None = None,
    extra: dict[str, Any] | None = None,
    running: dict[str, Any] | None = None,
    **resilience: Any,
) -> Iterator[Stand]:
    """A gateway before a scripted vendor per name; ``others`` are providers without one, and come first.

    ``running``: more for ``running_gateway``.
    """
    with contextlib.ExitStack() as stack:
        vendors = {name: stack.enter_context(ScriptedVendor.in_thread()) for name in names}
        accounts = dict(others or {})
        for name, vendor in vendors.items():
            accounts[name] = at(vendor.base_url, name, **(providers or {}).get(name, {}))
        config: dict[str, Any] = {
            "providers": accounts,
            "models": {"m": model or {"targets": [f"{name}/gpt-4.1" for name in accounts]}},
            "resilience": merged(QUICK, resilience),
        }
        config = merged(config, extra or {})
        gateway = stack.enter_context(running_gateway(json.dumps(config), path=path, **(running or {})))
        for vendor in vendors.values():  # the listing that is asked for at the start is nobody's call
            vendor.wait_until(lambda each: each.listed and each.listed[0].outcome == "answered")
            vendor.forget()
        yield Stand(gateway, vendors)


def eventually(claim: Callable[[], object], within: float = 20.0) -> None:
    """Returns as soon as the claim holds."""
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.002)
