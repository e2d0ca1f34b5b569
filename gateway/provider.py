"""An account of ours on a vendor, ready to be called: its faces, its keys, and the way to each of its models."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.chat import Facts, Headers
from gateway.credentials import Credential
from gateway.resilience.keys import Keys
from gateway.upstream import shown_url
from gateway.vendors.vendor import Operation, Routes, Vendor
from gateway.wire.incoming import Transport

BASE_HEADERS = (
    ("content-type", "application/json"),
    ("accept", "application/json, text/event-stream"),
    ("accept-encoding", "identity"),
    ("user-agent", "skein"),
)

# Names of models come from clients: so many are known of a provider, and with one more all are worked out anew.
MOST_WAYS = 1024

SERVED_BY: Mapping[str, Operation] = {"completions": "chat", "count_tokens": "chat"}
"""What serves an operation where a vendor has none of its own for it; what is not counted there is estimated here."""


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """One way to an account of ours: a dialect, and the URLs that belong to it."""

    vendor: Vendor
    routes: Routes
    credential: Credential
    headers: Headers = ()
    """What the vendor wants to be told with every call."""

    def url(self, facts: Facts, model: str) -> str:
        """Of one call; streams may have a URL of their own."""
        urls = self.routes.urls
        operation = facts.operation if facts.operation in urls else SERVED_BY[facts.operation]
        streams = facts.stream and operation == "chat" and "chat_stream" in urls
        return self.routes.url("chat_stream" if streams else operation, model)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a model of a provider's is called, as far as no single request says: worked out once."""

    face: Face
    url: str
    shown: str
    """The URL as anybody may see it."""
    model: str
    """As the vendor calls it."""
    headers: Headers
    """Ours, the vendor's, and the operator's over both."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An account of ours on a vendor, ready to be called."""

    name: str
    faces: tuple[Face, ...]
    """The vendor's own first."""
    keys: Keys
    headers: Headers = ()
    """The operator's own."""
    secrets: tuple[str, ...] = ()
    """Their values, which nobody is to see."""
    windows: Mapping[str, int] = {}
    traced: bool = False
    """Its host may see which trace a call belongs to."""
    cache: bool = False
    """``cache: auto``: markers for the vendor's cache are set where the client set none."""
    transport: Transport = "pool"
    ways: dict[tuple[str, Operation, bool, str, str | None], Way] = msgspec.field(default_factory=dict)
    """Known by dialect, operation, streamed or not, model, and how much is to be thought beside tools."""

    @property
    def vendor(self) -> Vendor:
        return self.faces[0].vendor

    @property
    def routes(self) -> Routes:
        return self.faces[0].routes

    @property
    def urls(self) -> Mapping[str, str]:
        """One for each operation: of several faces the first one's."""
        return {
            operation: face.routes.url(operation) for face in reversed(self.faces) for operation in face.routes.urls
        }

    @property
    def operations(self) -> frozenset[str]:
        """Those it has a URL for, and those that others of them serve."""
        own = self.urls.keys()
        return frozenset(own | {operation for operation, other in SERVED_BY.items() if other in own})

    def face(self, dialect: str, operation: Operation, model: str = "", facts: Facts | None = None) -> Face:
        """Which of them serves a request in this wire format: one that speaks it before all others.

        Raises ``KeyError`` when there is no such operation here.
        """
        fitting = self._fitting(operation, model)
        if not fitting and operation in SERVED_BY:
            operation = SERVED_BY[operation]
            fitting = self._fitting(operation, model)
        if not fitting:
            raise KeyError(operation)
        if facts is not None:
            fitting = [face for face in fitting if face.vendor.fits(facts, model)] or fitting
        return next((face for face in fitting if face.vendor.speaks(operation) == dialect), fitting[0])

    def _fitting(self, operation: Operation, model: str) -> list[Face]:
        able = [face for face in self.faces if operation in face.routes.urls]
        return [face for face in able if not model or face.vendor.has(model)] or able

    def way(self, dialect: str, facts: Facts, model: str) -> Way:
        """Raises ``KeyError`` as ``face`` does."""
        thinking = str(facts.parameters.get("reasoning.level")) if facts.tools else None
        key = (dialect, facts.operation, facts.stream, model, thinking)
        way = self.ways.get(key)
        if way is None:
            if len(self.ways) >= MOST_WAYS:
                self.ways.clear()
            face = self.face(dialect, facts.operation, model, facts)
            url = face.url(facts, model)
            headers = joined((*BASE_HEADERS, *face.headers, *self.headers))
            way = Way(face=face, url=url, shown=shown_url(url), model=face.routes.deployed(model), headers=headers)
            self.ways[key] = way
        return way


def joined(headers: Headers) -> Headers:
    """Each once, the last one wins; but who asks for a beta takes none away that the request itself needs."""
    made = dict(headers)
    if _BETAS in made:
        betas = (beta.strip() for name, value in headers if name == _BETAS for beta in value.split(","))
        made[_BETAS] = ",".join(dict.fromkeys(filter(None, betas)))
    return tuple(made.items())


_BETAS = "anthropic-beta"
