"""What the HTTP surface needs of the gateway at work. ``app`` fills it in, and swaps parts of it on a reload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from gateway.access.keys import Doorkeeper
from gateway.events import Observer
from gateway.relay import Gateway


class Running(Protocol):
    """An exchange under way, as the drain sees it."""

    task: asyncio.Task[Any] | None

    def cut(self) -> None: ...
    def refuse_unread(self) -> None: ...


class Catalogue(Protocol):
    """The models on offer."""

    def models(self) -> list[dict[str, Any]]:
        """Entries of ``/v1/models``, from the configuration and what listings have brought so far."""

    def resolved(self, name: str) -> str:
        """The name a model on offer resolves to."""

    def model(self, name: str) -> dict[str, Any]:
        """One entry, by any name that resolves. Raises ``CallerError`` (404)."""

    def refresh(self) -> None:
        """Asks for listings in the background when they are old. Never waits."""


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
    running: set[Running] = msgspec.field(default_factory=set)
    draining: bool = False
