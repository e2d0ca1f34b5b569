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


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """One way to an account of ours: a dialect, and the URLs that belong to it."""

    vendor: Vendor
    routes: Routes
    credential: Credential
    headers: Headers = ()
    """What the vendor wants to be told with every call."""

    def url(self, facts: Facts, model: str) -> str:
        """Of one call; streams may have a URL of their own."""
        streams = facts.stream and "chat_stream" in self.routes.urls
        return self.routes.url("chat_stream" if streams else facts.operation, model)


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
    ways: dict[tuple[str, Operation, bool, str], Way] = msgspec.field(default_factory=dict)
    """Known by dialect, operation, streamed or not, and model."""

    @property
    def vendor(self) -> Vendor:
        return self.faces[0].vendor

    @property
    def routes(self) -> Routes:
        return self.faces[0].routes

    @property
    def operations(self) -> frozenset[Operation]:
        return frozenset(operation for face in self.faces for operation in face.routes.urls)

    def face(self, dialect: str, operation: Operation, model: str = "") -> Face:
        """Which of them serves a request: one in the client's own dialect before all others.

        Raises ``KeyError`` when there is no such operation here.
        """
        able = [face for face in self.faces if operation in face.routes.urls]
        fitting = [face for face in able if not model or face.vendor.has(model)] or able
        if not fitting:
            raise KeyError(operation)
        return next((face for face in fitting if face.vendor.dialect == dialect), fitting[0])

    def way(self, dialect: str, facts: Facts, model: str) -> Way:
        """Raises ``KeyError`` as ``face`` does."""
        key = (dialect, facts.operation, facts.stream, model)
        way = self.ways.get(key)
        if way is None:
            if len(self.ways) >= MOST_WAYS:
                self.ways.clear()
            face = self.face(dialect, facts.operation, model)
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
