"""What the HTTP surface needs of the gateway at work. ``app`` fills it in, and swaps parts of it on a reload."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from gateway.access.keys import Doorkeeper
from gateway.api.kept_responses import KeptResponses
from gateway.api.listings_shown import Price
from gateway.chat import Prompt
from gateway.events import FeedbackGiven, Observer
from gateway.relay import Gateway


class Running(Protocol):
    """An exchange under way, as the drain sees it."""

    def cut(self) -> None: ...
    def refuse_unread(self) -> None: ...
    def leave(self) -> None: ...


class Catalogue(Protocol):
    """The models on offer."""

    def models(self) -> list[dict[str, Any]]:
        """Entries of ``/v1/models``, from the configuration and what listings have brought so far."""

    def resolved(self, name: str) -> str:
        """The name a model on offer resolves to."""

    def model(self, name: str) -> dict[str, Any]:
        """One entry, by any name that resolves. Raises ``CallerError`` (404)."""

    def price(self, name: str) -> Price | None:
        """Dollars per token: the highest that a model on offer may cost. Raises ``CallerError`` (404)."""

    def refresh(self) -> None:
        """Asks for listings in the background when they are old. Never waits."""


class ManagedPrompt(msgspec.Struct, frozen=True):
    """A prompt kept outside of the client: which one it is, and its messages in OpenAI's shape."""

    prompt: Prompt
    messages: list[dict[str, Any]]


class Prompts(Protocol):
    """Where managed prompts come from."""

    async def fetch(self, name: str, variables: Mapping[str, str]) -> ManagedPrompt:
        """``name``, ``name@label`` or ``name#version``, with its variables filled in.

        Raises ``CallerError``: 400 for one that does not exist, 503 when it cannot be had now.
        """


class Watcher(Protocol):
    """One reader of the live view's events."""

    async def next(self, seconds: float, /) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Kind and fact of all that has happened since, oldest first; nothing when nothing did for so long."""

    def close(self) -> None: ...


class Live(Protocol):
    """What the gateway is doing now and did just now. ``filters`` are some of ``operator.FILTERS``."""

    def requests(self, filters: Mapping[str, Any], limit: int, /) -> list[dict[str, Any]]: ...
    def request(self, id: str, /) -> dict[str, Any] | None: ...
    def known(
        self, request_id: str | None, trace_id: str | None, caller: str | None, /
    ) -> tuple[str, str | None] | None:
        """The request id and trace id of an exchange by either, or both."""

    def switches(self) -> list[dict[str, Any]]: ...
    def targets(self) -> Mapping[str, Mapping[str, Any]]: ...
    def watch(self, filters: Mapping[str, Any], /) -> Watcher | None:
        """None when too many watch already."""


class Pinning(Protocol):
    """One session's model. ``since`` and ``until`` are epoch seconds."""

    @property
    def session(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def since(self) -> float: ...
    @property
    def until(self) -> float: ...


class Pins(Protocol):
    """The models operators have set for sessions."""

    def pins(self) -> Sequence[Pinning]:
        """Newest first."""

    def find(self, session: str, /) -> Pinning | None: ...
    def pin(self, session: str, model: str, /) -> Pinning:
        """Raises ``CallerError``: 404 for an unknown model, 409 for one pin too many."""

    def free(self, session: str, /) -> None: ...


class Service(msgspec.Struct, kw_only=True):
    gateway: Gateway
    doorkeeper: Doorkeeper
    local_only: bool
    """Nobody is asked for a key: then only programs of this machine may come, and no web page of a browser here."""
    catalogue: Catalogue
    emit: Observer
    max_body: int
    client_timeout: float
    providers: Callable[[], Mapping[str, Any]]
    """What ``/health/providers`` shows."""
    scores: Callable[[], list[dict[str, Any]]] = list
    """Of every configured model: its candidates, and what they are expected to do."""
    sample_ratio: float = 0.0
    """The share of traces that is recorded, where the client has not decided."""
    prompts: Prompts | None = None
    pins: Pins
    responses: KeptResponses
    running: set[Running] = msgspec.field(default_factory=set)
    empty: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """Set when the last exchange has left."""
    draining: bool = False
    # For operators.
    admin: Doorkeeper = msgspec.field(default_factory=lambda: Doorkeeper([], required=True))
    """Knows ``access.admin_key``; without one it lets nobody in."""
    live: Live | None = None
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]] | None = None
    """The request's ``accept`` -> the page of metrics and its content type."""
    metrics_elsewhere: str = "this gateway keeps no metrics"
    """Where they are, when they are not here."""
    feedback: Callable[[FeedbackGiven, str | None], None] | None = None
    """Takes a verdict, and the trace it is about where that is known."""
    judged: dict[tuple[str, str, str], None] = msgspec.field(default_factory=dict)
    """Answer, what was judged of it, by whom: verdicts that were given."""
    worker: int | None = None
    """Which of several workers this is: its live view is its own. None: the only one."""
    watching: set[Running] = msgspec.field(default_factory=set)
    """Readers of ``/admin/events``. A drain does not wait for them: it cuts them at once."""

    def left(self, running: Running) -> None:
        self.running.discard(running)
        if not self.running:
            self.empty.set()
